//! Objects that were made and removed since the factory, over a model that is shared.

use super::model::{Entry, Model, is_number, is_template};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What differs from the model's objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    /// Instances that were made, and the one of the model that each is like. Both end in a dot.
    made: BTreeMap<String, String>,
    /// Instances of the model that were removed.
    gone: BTreeSet<String>,
}

impl Objects {
    /// The model's path that `path` is like; none where that is not there.
    pub(super) fn origin<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        for (dot, _) in path.rmatch_indices('.') {
            let object = &path[..=dot];
            if let Some(like) = self.made.get(object) {
                return Some(Cow::Owned(format!("{like}{}", &path[object.len()..])));
            }
            if self.gone.contains(object) {
                return None;
            }
        }
        Some(Cow::Borrowed(path))
    }

    /// Every parameter below a path that ends in a dot or is empty, sorted.
    pub(super) fn below<'a>(&self, model: &'a Model, path: &str) -> Vec<(Cow<'a, str>, &'a Entry)> {
        let own = model.below(path).iter().map(|entry| (Cow::Borrowed(entry.path.as_str()), entry));
        if self.made.is_empty() && self.gone.is_empty() {
            return own.collect();
        }
        let mut all: BTreeMap<Cow<'a, str>, &'a Entry> =
            own.filter(|(full, _)| self.origin(full).is_some()).collect();
        for (made, like) in &self.made {
            for entry in model.below(like) {
                let full = format!("{made}{}", &entry.path[like.len()..]);
                // What a table within it would hold is not there either.
                if !is_template(&full) && full.starts_with(path) && self.origin(&full).is_some() {
                    all.insert(Cow::Owned(full), entry);
                }
            }
        }
        all.into_iter().collect()
    }

    /// Makes an instance of a table; its number.
    pub(super) fn make(&mut self, model: &Model, table: &str) -> Option<u32> {
        let origin = self.origin(table).filter(|it| model.grows(it) && !is_instance(it))?;
        let template = format!("{origin}0.");
        let like = if model.below(&template).is_empty() {
            let first = model.below(&origin).first()?;
            let number = first.path[origin.len()..].split('.').next()?;
            format!("{origin}{number}.")
        } else {
            template
        };
        let number_of = |path: &str| path[table.len()..].split('.').next()?.parse::<u32>().ok();
        let kept = self.below(model, table).into_iter().filter_map(|(path, _)| number_of(&path));
        // A number that was the model's is never given again.
        let removed = self.gone.iter().filter(|it| it.starts_with(table));
        let number = kept.chain(removed.filter_map(|it| number_of(it))).max().unwrap_or(0) + 1;
        self.made.insert(format!("{table}{number}."), like);
        Some(number)
    }

    /// Removes an instance and all below it; whether it was there.
    pub(super) fn remove(&mut self, model: &Model, instance: &str) -> bool {
        let origin = self.origin(instance);
        let was_made = self.made.contains_key(instance);
        let is_there = origin.is_some_and(|it| {
            model.grows(&it) && is_instance(&it) && (was_made || !is_template(&it))
        });
        if !is_there {
            return false;
        }
        self.made.retain(|made, _| !made.starts_with(instance));
        if !was_made {
            self.gone.insert(instance.to_owned());
        }
        true
    }
}

fn is_instance(object: &str) -> bool {
    object.trim_end_matches('.').rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_come_and_go() {
        let model = Model::parse("D.P.1.A,int,1,5\nD.P.1.Q.1.B,int,1,6\nD.C,int,0,\n").unwrap();
        let mut objects = Objects::default();
        let paths = |objects: &Objects, path: &str| {
            let below = objects.below(&model, path);
            below.into_iter().map(|(path, _)| path.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(objects.make(&model, "D.P."), Some(2));
        assert_eq!(objects.make(&model, "D.P.2.Q."), Some(2), "within one that was made");
        assert_eq!(objects.make(&model, "D.P.1."), None, "an instance is no table");
        assert_eq!(objects.make(&model, "D.X."), None);
        assert_eq!(paths(&objects, "D.P.2."), ["D.P.2.A", "D.P.2.Q.1.B", "D.P.2.Q.2.B"]);
        assert_eq!(objects.origin("D.P.2.Q.2.B").as_deref(), Some("D.P.1.Q.1.B"));
        assert!(objects.remove(&model, "D.P.1."));
        assert!(!objects.remove(&model, "D.P.1."), "once");
        assert!(!objects.remove(&model, "D.P."), "no table");
        assert_eq!(objects.origin("D.P.1.A"), None);
        assert_eq!(paths(&objects, "D."), ["D.C", "D.P.2.A", "D.P.2.Q.1.B", "D.P.2.Q.2.B"]);
        assert!(objects.remove(&model, "D.P.2."));
        assert_eq!(paths(&objects, ""), ["D.C"]);
        assert_eq!(objects.make(&model, "D.P."), Some(2), "the model's number stays gone");
    }

    #[test]
    fn a_table_may_be_empty() {
        let model = Model::parse("D.A,int,0,1\nD.P.0.B,int,1,6\n").unwrap();
        let mut objects = Objects::default();
        assert_eq!(objects.below(&model, "D.").len(), 1);
        assert_eq!(model.tables_below("D.").collect::<Vec<_>>(), ["D.P."]);
        assert_eq!(objects.make(&model, "D.P."), Some(1));
        assert_eq!(objects.make(&model, "D.P."), Some(2));
        assert_eq!(objects.origin("D.P.2.B").as_deref(), Some("D.P.0.B"));
        assert_eq!(objects.below(&model, "D.").len(), 3);
        assert!(!objects.remove(&model, "D.P.0."), "it is not there");
    }
}
