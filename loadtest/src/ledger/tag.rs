//! The name of one fact, as it travels through the daemon.

use std::fmt;

/// `lt-<run>-<stream>-<number>`, eight hexadecimal digits each: found in any text by its form.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Tag {
    /// One run of this program.
    pub(crate) run: u32,
    /// One device.
    pub(crate) stream: u32,
    /// Its fact, from 0.
    pub(crate) number: u32,
}

impl Tag {
    /// Bytes of a written tag.
    pub(crate) const LEN: usize = 29;

    /// Bytes of its number, which is its end.
    pub(crate) const NUMBER_LEN: usize = 8;

    /// A number as it is written in a tag.
    pub(crate) fn digits(number: u32) -> [u8; Self::NUMBER_LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        std::array::from_fn(|at| DIGITS[(number >> (28 - 4 * at) & 0xF) as usize])
    }

    /// The first tag in a text.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let mut rest = text;
        while let Some(at) = rest.find("lt-") {
            let here = &rest[at..];
            if let Some(tag) = here.get(..Self::LEN).and_then(Self::read) {
                return Some(tag);
            }
            rest = &here[3..];
        }
        None
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-').skip(1).map(|part| {
            let plain = part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u32::from_str_radix(part, 16).ok()).flatten()
        });
        Some(Self { run: parts.next()??, stream: parts.next()??, number: parts.next()?? })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lt-{:08x}-{:08x}-{:08x}", self.run, self.stream, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_where_it_stands() {
        let tag = Tag { run: 0xDEAD_BEEF, stream: 17, number: u32::MAX };
        let text = format!(r#"{{"a":"lt-x","b":"default-é","session":"ATUid_{tag}"}}"#);
        assert_eq!(tag.to_string().len(), Tag::LEN);
        assert_eq!(Tag::find(&text), Some(tag));
        assert_eq!(Tag::find("lt-0000-1"), None);
        assert_eq!(Tag::find(&format!("{}é", &tag.to_string()[..27])), None);
        assert_eq!(Tag::find("lt-+0000001-00000001-00000001"), None);
    }
}
