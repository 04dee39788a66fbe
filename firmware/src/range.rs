//! Which part of a file a request asks for (RFC 9110 14).

/// What to answer with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Selection {
    /// Everything: 200.
    Whole,
    /// One part: 206.
    Part {
        /// The first byte, counted from 0.
        first: u64,
        /// The last byte, itself included; never before `first` nor behind the file's end.
        last: u64,
    },
    /// Nothing that was asked for is there: 416 (RFC 9110 15.5.17).
    Unsatisfiable,
}

impl Selection {
    /// Where to begin, and how many bytes follow.
    pub fn span(self, bytes: u64) -> (u64, u64) {
        match self {
            Self::Whole => (0, bytes),
            Self::Part { first, last } => (first, last - first + 1),
            Self::Unsatisfiable => (0, 0),
        }
    }
}

/// Reads `Range` and `If-Range` of a GET for a file of `bytes` whose strong entity tag is `etag`.
///
/// What is not understood is passed over, as RFC 9110 14.2 demands: another unit, a malformed
/// range. Several ranges are answered with the whole file, which the same clause allows: a CPE that
/// resumes asks for one. A date in `If-Range` is no strong validator of ours, so it never matches
/// (RFC 9110 13.1.5).
pub fn select(range: Option<&str>, if_range: Option<&str>, etag: &str, bytes: u64) -> Selection {
    let Some(range) = range else { return Selection::Whole };
    if if_range.is_some_and(|validator| validator.trim() != etag) {
        return Selection::Whole;
    }
    parse(range, bytes).unwrap_or(Selection::Whole)
}

/// `bytes=first-last`, `bytes=first-` or `bytes=-suffix` (RFC 9110 14.1.2); `None` for all else.
fn parse(range: &str, bytes: u64) -> Option<Selection> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let end = bytes.checked_sub(1);
    let selection = match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            match end {
                Some(end) if suffix > 0 => {
                    Selection::Part { first: bytes.saturating_sub(suffix), last: end }
                }
                _ => Selection::Unsatisfiable,
            }
        }
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            match end {
                Some(end) if first <= end => Selection::Part { first, last: last.min(end) },
                _ => Selection::Unsatisfiable,
            }
        }
    };
    Some(selection)
}

/// Digits and nothing else; more than fit are as good as infinity.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAG: &str = "\"tag\"";

    fn part(first: u64, last: u64) -> Selection {
        Selection::Part { first, last }
    }

    #[test]
    fn one_range_is_served_and_what_is_not_understood_passed_over() {
        // The first ones are RFC 9110 14.1.2's own examples, of 10,000 bytes.
        for (range, expected) in [
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-999", part(500, 999)),
            ("bytes=-500", part(9_500, 9_999)),
            ("bytes=9500-", part(9_500, 9_999)),
            ("BYTES=0-0", part(0, 0)),
            ("bytes= 5-9 ", part(5, 9)),
            ("bytes=9999-20000", part(9_999, 9_999)),
            ("bytes=-20000", part(0, 9_999)),
            ("bytes=0-99999999999999999999999", part(0, 9_999)),
            ("bytes=10000-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=0-0,-1", Selection::Whole),
            ("bytes=5-4", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes=1", Selection::Whole),
            ("bytes", Selection::Whole),
            ("", Selection::Whole),
            ("rows=0-1", Selection::Whole),
        ] {
            assert_eq!(select(Some(range), None, TAG, 10_000), expected, "{range}");
        }
        assert_eq!(select(None, None, TAG, 10_000), Selection::Whole);
        assert_eq!(select(Some("bytes=-1"), None, TAG, 0), Selection::Unsatisfiable);
    }

    #[test]
    fn if_range_must_be_the_same_strong_tag() {
        for (if_range, served) in [
            (TAG, true),
            (" \"tag\" ", true),
            ("\"other\"", false),
            ("W/\"tag\"", false),
            ("Sat, 21 Nov 2026 11:00:00 GMT", false),
            ("", false),
        ] {
            let expected = if served { part(5, 9) } else { Selection::Whole };
            assert_eq!(select(Some("bytes=5-"), Some(if_range), TAG, 10), expected, "{if_range}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,4}-[0-9]{0,4}", bytes in 0_u64..2_000) {
            let selection = select(Some(&range), None, TAG, bytes);
            let (start, length) = selection.span(bytes);
            prop_assert!(start + length <= bytes);
            if let Selection::Part { first, last } = selection {
                prop_assert!(first <= last && last < bytes);
                prop_assert_eq!((start, length), (first, last - first + 1));
            }
        }

        #[test]
        fn no_header_is_too_strange(range in ".*", if_range in prop::option::of(".*")) {
            let (start, length) = select(Some(&range), if_range.as_deref(), TAG, 100).span(100);
            prop_assert!(start + length <= 100);
        }
    }
}
