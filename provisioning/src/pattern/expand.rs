//! From a pattern to the paths that it stands for, as far as a device's data model is known.

use super::{Pattern, Segment};
use model::DataModel;

/// What a pattern stands for on one device, as far as that is known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expansion {
    /// Paths, by their instance numbers in rising order. Each instance in them is known to be there;
    /// whether what is below the last of them is, is not asked. The pattern itself where it is
    /// literal.
    pub paths: Vec<Box<str>>,
    /// The tables whose instances were looked up; each ends in a dot. One of which nothing is known
    /// was never listed, or is empty.
    pub tables: Vec<Box<str>>,
    /// The parameters that conditions asked for.
    pub asked: Vec<Box<str>>,
    /// Those of them that are not known or stale: their instances are left out of `paths` until they
    /// are read.
    pub unknown: Vec<Box<str>>,
}

impl Pattern {
    /// The paths that it stands for. A model's bounds bound the work: each instance is an entry of it.
    #[must_use]
    pub fn expand(&self, known: &DataModel) -> Expansion {
        let mut expansion = Expansion::default();
        let mut paths = vec![String::with_capacity(self.as_str().len())];
        for (place, segment) in self.segments().enumerate() {
            if place > 0 {
                paths.iter_mut().for_each(|path| path.push('.'));
            }
            match segment {
                Segment::Name(name) => paths.iter_mut().for_each(|path| path.push_str(name)),
                Segment::Every | Segment::Where { .. } => {
                    let tables = std::mem::take(&mut paths);
                    for table in &tables {
                        expansion.instances(known, table, segment, &mut paths);
                    }
                    expansion.tables.extend(tables.into_iter().map(String::into_boxed_str));
                }
            }
        }
        if self.is_object() {
            paths.iter_mut().for_each(|path| path.push('.'));
        }
        expansion.paths = paths.into_iter().map(String::into_boxed_str).collect();
        expansion
    }
}

impl Expansion {
    /// Adds the instances of `table` that fit `segment` to `paths`, without a dot at their ends.
    fn instances(
        &mut self,
        known: &DataModel,
        table: &str,
        segment: Segment<'_>,
        paths: &mut Vec<String>,
    ) {
        for number in numbers(known, table) {
            let instance = format!("{table}{number}");
            if let Segment::Where { name, value } = segment {
                let path = format!("{instance}.{name}").into_boxed_str();
                let entry = known.get(&path).filter(|it| !it.stale);
                let holds = entry.and_then(|it| {
                    Some(is_same(it.value?.expose(), value, it.xsd_type == Some("boolean")))
                });
                self.asked.push(path.clone());
                match holds {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        self.unknown.push(path);
                        continue;
                    }
                }
            }
            paths.push(instance);
        }
    }
}

/// The instances of a table that are known, rising.
pub(crate) fn numbers(known: &DataModel, table: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut after = table.to_owned();
    loop {
        let next = known.below_after(table, &after).next();
        let Some(entry) = next else { break };
        let name = entry.path[table.len()..].split('.').next().unwrap_or_default();
        if super::is_number(name) {
            numbers.extend(name.parse::<u32>().ok());
        }
        // On to the first path that is not below it: `/` is what follows the dot.
        after.clear();
        after.extend([table, name, "/"]);
    }
    numbers.sort_unstable();
    numbers
}

/// Whether a reading is what a condition asks for: devices write `true` or `1`, and the path of an
/// object with its dot or without.
fn is_same(read: &str, asked: &str, is_boolean: bool) -> bool {
    let truth = |text: &str| match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    };
    let is_path = |text: &str| super::ROOTS.iter().any(|root| text.starts_with(root));
    read == asked
        || (is_boolean && truth(read).is_some_and(|it| Some(it) == truth(asked)))
        || (is_path(asked) && read.trim_end_matches('.') == asked.trim_end_matches('.'))
}
