//! The name of one fact, as it travels through the daemon.

use memchr::memmem::Finder;
use std::fmt;
use std::sync::LazyLock;

static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("lt-"));

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
        let text = text.as_bytes();
        let mut places = BEGIN.find_iter(text);
        places.find_map(|at| Self::read(text.get(at..at + Self::LEN)?))
    }

    fn read(text: &[u8]) -> Option<Self> {
        let part = |begin: usize| {
            let (dash, digits) = text.get(begin..begin + 9)?.split_first()?;
            let digit =
                |number: u32, byte: &u8| Some(number << 4 | char::from(*byte).to_digit(16)?);
            (*dash == b'-').then(|| digits.iter().try_fold(0, digit)).flatten()
        };
        Some(Self { run: part(2)?, stream: part(11)?, number: part(20)? })
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
