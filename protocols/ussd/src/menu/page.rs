//! A long screen shown in pages: cut at a line's end, else between words, and each with its hints.

use crate::text::Limits;

/// What stands around each page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// How long a page may be.
    pub(crate) limits: Limits,
    /// The error line that may come above it; its room is kept free.
    pub(crate) error: &'a str,
    /// Below it where another follows: `98. More`.
    pub(crate) more: &'a str,
    /// Below it where another is before it: `0. Back`.
    pub(crate) back: Option<&'a str>,
}

/// A page to be shown.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Page {
    pub(crate) text: String,
    /// Whether another follows.
    pub(crate) has_more: bool,
}

impl Frame<'_> {
    /// Page `at` of `text`, from 0; the last one when there are fewer.
    pub(crate) fn page(&self, text: &str, at: usize, with_error: bool) -> Page {
        let (mut rest, mut place) = (text, 0);
        loop {
            let end = self.end_of(rest, place > 0);
            let (page, after) = rest.split_at(end);
            let after = after.trim_start();
            if place == at || after.is_empty() {
                let has_more = !after.is_empty();
                let error = if with_error { self.error } else { "" };
                let text = self.framed(error, page.trim_end(), place > 0, has_more);
                return Page { text: self.limits.clip(&text).to_owned(), has_more };
            }
            (rest, place) = (after, place + 1);
        }
    }

    /// Where the first page of `rest` ends; never at its start.
    fn end_of(&self, rest: &str, has_back: bool) -> usize {
        let fits = |end: usize, has_more| {
            let page = self.framed(self.error, rest[..end].trim_end(), has_back, has_more);
            self.limits.excess(&page) == 0
        };
        if fits(rest.len(), false) {
            return rest.len();
        }
        let last = |ends: &mut dyn Iterator<Item = usize>| {
            ends.take_while(|end| fits(*end, true)).filter(|end| *end > 0).last()
        };
        last(&mut rest.match_indices('\n').map(|(at, _)| at))
            .or_else(|| last(&mut rest.match_indices(' ').map(|(at, _)| at)))
            .or_else(|| last(&mut rest.char_indices().skip(1).map(|(at, _)| at)))
            // A frame that leaves no room is refused with its menu: one letter, so that it ends.
            .unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8))
    }

    fn framed(&self, error: &str, page: &str, has_back: bool, has_more: bool) -> String {
        let mut text = String::with_capacity(error.len() + page.len() + 32);
        for line in [error, page] {
            if !line.is_empty() {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(line);
            }
        }
        let more = has_more.then_some(self.more);
        for hint in more.into_iter().chain(self.back.filter(|_| has_back)) {
            text.push('\n');
            text.push_str(hint);
        }
        text
    }

    /// Whether a page has room for more than a few words.
    pub(crate) fn has_room(&self) -> bool {
        const WORDS: &str = "twenty letters in it";
        self.limits.excess(&self.framed(self.error, WORDS, true, true)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Frame<'static> = Frame {
        limits: Limits { septets: 50, units: 40 },
        error: "No.",
        more: "98. More",
        back: Some("0. Back"),
    };

    #[test]
    fn a_text_is_cut_at_lines_and_told_that_more_follows() {
        let text = "Choose a site\n1. Kibera north\n2. Kibera south\n3. Mathare\n4. Kawangware";
        let first = FRAME.page(text, 0, false);
        assert_eq!(first.text, "Choose a site\n1. Kibera north\n98. More");
        assert!(first.has_more);
        let second = FRAME.page(text, 1, true);
        assert_eq!(second.text, "No.\n2. Kibera south\n3. Mathare\n98. More\n0. Back");
        let third = FRAME.page(text, 2, false);
        assert_eq!(third, Page { text: "4. Kawangware\n0. Back".to_owned(), has_more: false });
        assert_eq!(FRAME.page(text, 9, false), third, "there is no page after the last");
        assert_eq!(FRAME.page("Short", 0, false).text, "Short");
        assert!(FRAME.has_room());
        assert!(!Frame { limits: Limits { septets: 40, units: 40 }, ..FRAME }.has_room());
    }

    proptest! {
        /// Nothing is lost but blanks at a page's end, and every page fits.
        #[test]
        fn pages_hold_the_whole_text(text in "[a-z€ç \n]{1,400}") {
            let mut whole = String::new();
            for at in 0.. {
                let page = FRAME.page(text.trim(), at, false);
                prop_assert_eq!(FRAME.limits.excess(&page.text), 0);
                let shown = page.text.replace("\n98. More", "").replace("\n0. Back", "");
                whole.push_str(&shown);
                if !page.has_more {
                    break;
                }
            }
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&whole), letters(&text));
        }
    }
}
