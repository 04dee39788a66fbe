//! What a session was told of its device's data model, until it is kept.

use model::Observation;

/// Most entries that are held back: some 400 KB, the whole of an ordinary gateway.
const ENTRIES_MAX: usize = 4_000;

/// Observations in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    observations: Vec<Observation>,
    entries: usize,
}

impl Lessons {
    pub(super) fn add(&mut self, learned: Vec<Observation>) {
        self.entries += learned.iter().map(Observation::weight).sum::<usize>();
        if self.observations.is_empty() {
            self.observations = learned;
        } else {
            self.observations.extend(learned);
        }
    }

    /// Whether they are to be kept before more come.
    pub(super) fn are_many(&self) -> bool {
        self.entries > ENTRIES_MAX
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Observation] {
        &self.observations
    }

    pub(super) fn is_empty(&self) -> bool {
        self.observations.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Observation> {
        self.entries = 0;
        std::mem::take(&mut self.observations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_before_more_come() {
        let entry = model::NameEntry { path: "A.B".into(), writable: false };
        let names = |count| Observation::Names {
            path: "A.".into(),
            next_level: false,
            entries: vec![entry.clone(); count],
        };
        let mut lessons = Lessons::default();
        assert!(lessons.is_empty());
        lessons.add(vec![names(ENTRIES_MAX - 1)]);
        assert!(!lessons.are_many());
        lessons.add(vec![Observation::Forgotten { path: "A.C".into() }, names(0)]);
        assert!(lessons.are_many());
        assert_eq!(lessons.take().len(), 3);
        assert!(lessons.is_empty() && !lessons.are_many());
    }
}
