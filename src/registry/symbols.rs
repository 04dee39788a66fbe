//! Texts that many devices share (makers, models, versions, tags), kept once.

use parking_lot::{RwLock, RwLockReadGuard};
use std::collections::HashMap;
use std::sync::Arc;

/// Distinct texts kept, at most. A fleet has some thousands; devices that make up a new version
/// with every Inform fill no more than this, and what comes after stands in each record itself.
const SYMBOLS_MAX: usize = 65_536;
/// Longest text that is kept here, in bytes; a longer one is hardly shared.
const SYMBOL_LEN_MAX: usize = 64;

/// Texts and their numbers. Grows up to its bound and never shrinks.
#[derive(Default)]
pub(super) struct Symbols(RwLock<Table>);

#[derive(Default)]
pub(super) struct Table {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Symbols {
    /// The number of `text`, given to it now if need be; `None` when it must stand alone.
    pub(super) fn intern(&self, text: &str) -> Option<u32> {
        if text.len() > SYMBOL_LEN_MAX {
            return None;
        }
        {
            let table = self.0.read();
            if let Some(&number) = table.numbers.get(text) {
                return Some(number);
            }
            if table.texts.len() >= SYMBOLS_MAX {
                return None;
            }
        }
        let mut table = self.0.write();
        // Only one thread changes the registry at a time, but that is not this file's to rely on.
        if let Some(&number) = table.numbers.get(text) {
            return Some(number);
        }
        let number = u32::try_from(table.texts.len()).ok()?;
        let text = Arc::<str>::from(text);
        table.texts.push(Arc::clone(&text));
        table.numbers.insert(text, number);
        Some(number)
    }

    /// For reading records: taken after a shard's lock, never before it.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read()
    }
}

impl Table {
    /// The text of a number given by [`Symbols::intern`].
    pub(super) fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}
