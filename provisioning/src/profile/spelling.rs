//! How texts of a file are shown in a fault, and what was meant by a name that does not exist.

/// A text of the file as a fault shows it: bounded, and on one line whatever is in it.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// What `name` was meant to be, as the end of a sentence; empty where nothing is near.
pub(super) fn meant(name: &str, names: &[&str]) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The name that is at most two slips of the finger from `name`.
pub(super) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    const SLIPS_MAX: usize = 2;
    // A longer name is no slip of any of ours, and the comparison is quadratic.
    const LEN_MAX: usize = 64;
    if name.len() > LEN_MAX {
        return None;
    }
    let near = names.iter().map(|it| (slips(name, it), *it));
    near.filter(|(slips, it)| *slips <= SLIPS_MAX && *slips < it.len()).min().map(|(_, it)| it)
}

/// Levenshtein's distance.
fn slips(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, r) in row.iter_mut().skip(1).zip(&right) {
            let changed = diagonal + usize::from(l != *r);
            diagonal = *cell;
            *cell = changed.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// What another program says of a text, on one line.
pub(super) fn shown_line(text: &str) -> String {
    const SHOWN_MAX: usize = 200;
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(SHOWN_MAX).filter(|it| !it.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_found() {
        let names = ["path", "value", "template", "optional"];
        assert_eq!(nearest("pth", &names), Some("path"));
        assert_eq!(nearest("tempalte", &names), Some("template"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(nearest("", &names), None);
        assert_eq!(slips("kitten", "sitting"), 3);
        assert_eq!(meant("vlaue", &names), "; did you mean `value`?");
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert!(shown(&"x".repeat(1_000)).len() <= 64);
        assert_eq!(shown_line("one\ntwo"), "one");
    }
}
