//! The marks of a document one by one: start tags, end tags and what stands between them.
//!
//! Takes what devices write and no more: no document type, so no entity but the five of XML. That,
//! and looking at each byte once, is why it is not a general reader: an Inform takes it a third of
//! the time (`benches/codec.rs`). `tests.rs` compares it with one.

use crate::DecodeError;

/// Most attributes looked at in one start tag. An envelope with its namespaces has about 6.
const ATTRIBUTES_MAX: usize = 32;

/// Deeper nesting than this makes its list of open elements grow. CWMP itself needs 8.
const DEPTH_USUAL: usize = 12;

/// Where a document has been read to.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Names of the elements that are open, prefix and all.
    open: Vec<&'a str>,
    /// Whether the innermost was `<name/>`: its end comes next.
    ends: bool,
    element: Element<'a>,
    piece: Text<'a>,
}

/// One mark. What it holds is asked for apart: handed about with it, it would be copied often.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    /// Of an [`Scanner::element`].
    Start,
    /// Of the innermost element.
    End,
    /// A [`Scanner::piece`] of it.
    Text,
}

/// Characters between tags, as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a str,
    /// Whether nothing in it means anything else, nor is forbidden.
    pub(super) plain: bool,
    /// Whether `&` is an ampersand.
    pub(super) literal: bool,
}

/// A start tag.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Element<'a> {
    local_name: &'a str,
    attributes: &'a str,
}

impl<'a> Element<'a> {
    /// Its name without a prefix.
    pub(crate) fn name(&self) -> &'a str {
        self.local_name
    }

    /// Whether an attribute holds what looks like a tag: XML forbids it (3.1).
    pub(crate) fn has_markup(&self) -> bool {
        self.attributes.contains('<')
    }

    /// The first attribute for which `choose` has an answer; it is given the name with its prefix
    /// and the value as written.
    pub(crate) fn attribute<T>(
        &self,
        mut choose: impl FnMut(&str, &str) -> Option<T>,
    ) -> Option<T> {
        let mut rest = self.attributes;
        for _ in 0..ATTRIBUTES_MAX {
            let (name, more) = rest.split_once('=')?;
            let more = more.trim_ascii_start();
            let quote = more.chars().next().filter(|it| matches!(it, '"' | '\''))?;
            let (value, more) = more[1..].split_once(quote)?;
            if let Some(chosen) = choose(name.trim_ascii(), value) {
                return Some(chosen);
            }
            rest = more;
        }
        None
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let open = Vec::with_capacity(DEPTH_USUAL);
        let (element, piece) = (Element::default(), Text::default());
        Self { text, at: 0, open, ends: false, element, piece }
    }

    /// The element that was opened last.
    pub(crate) fn element(&self) -> Element<'a> {
        self.element
    }

    /// The text that was met last.
    pub(crate) fn piece(&self) -> Text<'a> {
        self.piece
    }

    /// How far it has read, in bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next mark. Comments and processing instructions are passed over.
    pub(crate) fn token(&mut self) -> Result<Token, DecodeError> {
        if self.ends {
            self.ends = false;
            self.open.pop();
            return Ok(Token::End);
        }
        loop {
            match self.rest() {
                [] => return Err(DecodeError::Truncated),
                [b'<', b'/', ..] => return self.end_tag(),
                [b'<', b'?', ..] => {
                    self.up_to("<?", "?>")?;
                }
                [b'<', b'!', ..] => match self.declaration()? {
                    Some(raw) => {
                        self.piece = Text { raw, plain: false, literal: true };
                        return Ok(Token::Text);
                    }
                    None => continue,
                },
                [b'<', ..] => return self.start_tag(),
                _ => return Ok(self.characters()),
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The innermost element's text, where that is all there is in it and it is as it looks: it is
    /// closed. The short way through most elements; for the others nothing is read.
    pub(super) fn plain_leaf(&mut self) -> Option<&'a str> {
        if self.ends {
            return None;
        }
        let (begun, rest) = (self.at, self.rest());
        let (len, plain) = run(rest);
        if !plain || rest.get(len + 1) != Some(&b'/') {
            return None;
        }
        let tag_len = self.end_tag_len(&rest[len..]).ok()?;
        self.at += len + tag_len;
        self.open.pop();
        Some(&self.text[begun..begun + len])
    }

    /// Passes over the white space between two tags.
    pub(super) fn skip_space(&mut self) {
        if !self.ends {
            self.at += self.rest().iter().take_while(|it| it.is_ascii_whitespace()).count();
        }
    }

    fn characters(&mut self) -> Token {
        let begun = self.at;
        let (len, plain) = run(self.rest());
        self.at += len;
        self.piece = Text { raw: &self.text[begun..self.at], plain, literal: false };
        Token::Text
    }

    fn end_tag(&mut self) -> Result<Token, DecodeError> {
        self.at += self.end_tag_len(self.rest())?;
        self.open.pop();
        Ok(Token::End)
    }

    /// How long the innermost element's end tag is, with which `rest` begins.
    fn end_tag_len(&self, rest: &[u8]) -> Result<usize, DecodeError> {
        let name = self.open.last().ok_or(DecodeError::Malformed)?.as_bytes();
        let inside = &rest[2..];
        let Some(after) = inside.strip_prefix(name) else {
            let is_cut = name.starts_with(inside);
            return Err(if is_cut { DecodeError::Truncated } else { DecodeError::Malformed });
        };
        let space = after.iter().take_while(|it| it.is_ascii_whitespace()).count();
        match after.get(space) {
            Some(b'>') => Ok(2 + name.len() + space + 1),
            Some(_) => Err(DecodeError::Malformed),
            None => Err(DecodeError::Truncated),
        }
    }

    fn start_tag(&mut self) -> Result<Token, DecodeError> {
        let begun = self.at + 1;
        let inside = &self.text.as_bytes()[begun..];
        let mut len = 0;
        let mut seen = 0;
        while let Some(class) = inside.get(len).map(|byte| NAME_CLASS[usize::from(*byte)]) {
            if class == NAME_ENDS {
                break;
            }
            seen |= class;
            len += 1;
        }
        let local = if seen & PREFIX_ENDS == 0 { 0 } else { local_start(&inside[..len]) };
        let after = match inside.get(len) {
            Some(b'<' | b'&' | b'"' | b'\'' | b'=') => return Err(DecodeError::Malformed),
            Some(b'/') if !matches!(inside.get(len + 1), None | Some(b'>')) => {
                return Err(DecodeError::Malformed);
            }
            Some(_) if len == local => return Err(DecodeError::Malformed),
            Some(after) => *after,
            None => return Err(DecodeError::Truncated),
        };
        let name_ends = begun + len;
        let tag_ends = if after == b'>' { name_ends } else { self.tag_end(name_ends)? };
        // Without attributes, as most are, there is no more than the `>` to look at.
        self.ends = tag_ends > name_ends && self.text.as_bytes()[tag_ends - 1] == b'/';
        self.at = tag_ends + 1;
        self.open.push(&self.text[begun..name_ends]);
        self.element = Element {
            local_name: &self.text[begun + local..name_ends],
            attributes: &self.text[name_ends..tag_ends],
        };
        Ok(Token::Start)
    }

    /// Where the `>` is: one within quotes does not count.
    fn tag_end(&self, from: usize) -> Result<usize, DecodeError> {
        let mut quote = None;
        for (at, byte) in self.text.bytes().enumerate().skip(from) {
            match (quote, byte) {
                (None, b'>') => return Ok(at),
                (None, b'<') => return Err(DecodeError::Malformed),
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                (None | Some(_), _) => {}
            }
        }
        Err(DecodeError::Truncated)
    }

    /// A comment, which is nothing, or a CDATA section.
    fn declaration(&mut self) -> Result<Option<&'a str>, DecodeError> {
        const DOCTYPE: &[u8] = b"<!DOCTYPE";
        let rest = self.rest();
        if rest.starts_with(b"<!--") {
            self.up_to("<!--", "-->")?;
            return Ok(None);
        }
        if rest.starts_with(b"<![CDATA[") {
            return self.up_to("<![CDATA[", "]]>").map(Some);
        }
        let is_doctype =
            rest.get(..DOCTYPE.len()).is_some_and(|it| it.eq_ignore_ascii_case(DOCTYPE));
        Err(if is_doctype { DecodeError::Dtd } else { DecodeError::Malformed })
    }

    /// What stands between the two, and is thereby read.
    fn up_to(&mut self, start: &str, end: &str) -> Result<&'a str, DecodeError> {
        let begun = self.at + start.len();
        let len = self.text[begun..].find(end).ok_or(DecodeError::Truncated)?;
        self.at = begun + len + end.len();
        Ok(&self.text[begun..begun + len])
    }
}

/// Where the name without its prefix begins.
fn local_start(name: &[u8]) -> usize {
    name.iter().rposition(|byte| *byte == b':').map_or(0, |colon| colon + 1)
}

/// How many bytes there are before a tag, and whether none of them is special.
fn run(rest: &[u8]) -> (usize, bool) {
    let (mut len, mut seen) = (0, 0);
    while let Some(byte) = rest.get(len).filter(|byte| **byte != b'<') {
        seen |= CLASS[usize::from(*byte)];
        len += 1;
    }
    (len, seen == 0)
}

/// 1 for a byte that makes a text more than it looks like: a reference, a line end to be normalised,
/// what XML forbids, or the first of the three bytes of U+FFFE and U+FFFF, which it forbids, too.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        class[byte] = 1;
        byte += 1;
    }
    class[b'\t' as usize] = 0;
    class[b'\n' as usize] = 0;
    class[b'&' as usize] = 1;
    class[0xEF] = 1;
    class
};

/// Of a byte that ends an element's name, or cannot be in one.
const NAME_ENDS: u8 = 1;
/// Of the colon.
const PREFIX_ENDS: u8 = 2;

const NAME_CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let ends = b">/ \t\r\n<&\"'=";
    let mut at = 0;
    while at < ends.len() {
        class[ends[at] as usize] = NAME_ENDS;
        at += 1;
    }
    class[b':' as usize] = PREFIX_ENDS;
    class
};
