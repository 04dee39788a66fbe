//! Elements in the order they come, with every count bounded.

use super::scanner::{Element, Scanner, Text, Token};
use super::text::meant;
use crate::{DecodeError, Options};
use std::borrow::Cow;

/// Walks down a document: [`Reader::child`] opens an element, and each opened element is finished
/// by `child` returning `None`, by [`Reader::text`] or by [`Reader::skip`].
pub(crate) struct Reader<'a> {
    tokens: Scanner<'a>,
    elements: usize,
    options: &'a Options,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, options: &'a Options) -> Self {
        Self { tokens: Scanner::new(text), elements: 0, options }
    }

    /// Opens the document's own element.
    pub(crate) fn root(&mut self) -> Result<Element<'a>, DecodeError> {
        self.child()?.ok_or(DecodeError::Malformed)
    }

    /// Opens the next child of the element that is open, or closes that one.
    pub(crate) fn child(&mut self) -> Result<Option<Element<'a>>, DecodeError> {
        loop {
            self.tokens.skip_space();
            match self.token()? {
                Token::Start => return Ok(Some(self.tokens.element())),
                Token::End => return Ok(None),
                Token::Text => {}
            }
        }
    }

    /// The open element's text, which closes it. Elements within are passed over.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if let Some(text) = self.tokens.plain_leaf() {
            return Ok(Cow::Borrowed(text));
        }
        let (mut text, mut child) = self.text_before_child()?;
        while child.is_some() {
            self.skip()?;
            let (more, next) = self.text_before_child()?;
            if !more.is_empty() {
                text.to_mut().push_str(&more);
            }
            child = next;
        }
        Ok(text)
    }

    /// The open element's text up to its first child, which is opened; without one, its text.
    pub(crate) fn text_before_child(
        &mut self,
    ) -> Result<(Cow<'a, str>, Option<Element<'a>>), DecodeError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.token()? {
                Token::Text => append(&mut text, self.tokens.piece()),
                Token::Start => return Ok((text, Some(self.tokens.element()))),
                Token::End => return Ok((text, None)),
            }
        }
    }

    /// The open element's text without the white space around it.
    pub(crate) fn word(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        Ok(match self.text()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }

    /// The open element's text as a number: 0 where it is none, for devices write all sorts.
    pub(crate) fn number(&mut self) -> Result<u32, DecodeError> {
        Ok(self.word()?.parse().unwrap_or(0))
    }

    /// Closes the open element without looking at what is in it.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        let outside = self.tokens.depth().saturating_sub(1);
        while self.tokens.depth() > outside {
            self.token()?;
        }
        Ok(())
    }

    fn token(&mut self) -> Result<Token, DecodeError> {
        let token = self.tokens.token()?;
        if let Token::Start = token {
            self.elements += 1;
            if self.tokens.depth() > self.options.depth_max {
                return Err(DecodeError::TooDeep);
            }
            if self.elements > self.options.elements_max {
                return Err(DecodeError::TooMany);
            }
        }
        Ok(token)
    }
}

fn append<'a>(text: &mut Cow<'a, str>, piece: Text<'a>) {
    let meant = if piece.plain { Cow::Borrowed(piece.raw) } else { meant(&piece) };
    if text.is_empty() {
        *text = meant;
    } else {
        text.to_mut().push_str(&meant);
    }
}
