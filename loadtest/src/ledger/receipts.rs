//! What somebody got beside the backend: a program that subscribes to what boards send.

use super::bits::Bits;
use super::tag::Tag;
use std::collections::HashMap;

/// Facts by run and stream.
#[derive(Debug, Default)]
pub(crate) struct Receipts(HashMap<(u32, usize), Bits>);

impl Receipts {
    /// A fact came, for the first time or again.
    pub(crate) fn note(&mut self, tag: Tag) {
        let stream = (tag.run, tag.stream as usize);
        self.0.entry(stream).or_default().set(tag.number as usize);
    }

    /// What came of one stream.
    pub(super) fn of(&self, run: u32, stream: usize) -> Option<&Bits> {
        self.0.get(&(run, stream))
    }
}
