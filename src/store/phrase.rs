//! Phrases of menus that operators changed: rows, changes, reads.

use super::ReadError;
use async_trait::async_trait;
use model::Tenant;

/// A phrase that an operator changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PhraseRow {
    /// Whose.
    pub tenant: Tenant,
    /// Of which menu.
    pub menu: Box<str>,
    /// In which language.
    pub language: Box<str>,
    /// Its key.
    pub key: Box<str>,
    /// What it says.
    pub text: Box<str>,
}

/// A change of what is kept of phrases.
#[derive(Clone, Debug)]
pub enum PhraseOperation {
    /// Changes a phrase.
    Put(PhraseRow),
    /// Forgets changed phrases; no error when there are none.
    Remove {
        /// Whose.
        tenant: Tenant,
        /// Of which menu.
        menu: Box<str>,
        /// In which language; `None` in all of them.
        language: Option<Box<str>>,
        /// Which one; `None` all of them.
        key: Option<Box<str>>,
    },
}

impl PhraseOperation {
    /// Whether a full store must still take it.
    pub const fn frees_space(&self) -> bool {
        matches!(self, Self::Remove { .. })
    }
}

/// What is read of phrases.
#[async_trait]
pub trait PhraseStore: Send + Sync + 'static {
    /// Every changed phrase.
    async fn phrases(&self) -> Result<Vec<PhraseRow>, ReadError>;
}
