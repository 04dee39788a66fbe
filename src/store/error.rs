//! What can go wrong between the daemon and its store.

use super::OperationError;

/// Why the store cannot be opened. The daemon does not start; nothing is ever started over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is not a store, or is damaged.
    #[error("`{file}` is damaged: {detail}; restore it from a backup or move it away by hand")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The file was written by a newer version.
    #[error("`{file}` was written by a newer version of lastmile")]
    Newer {
        /// Which file.
        file: String,
    },
    /// Another process has it open.
    #[error("`{file}` is in use by another process")]
    InUse {
        /// Which file.
        file: String,
    },
    /// The system would not let us.
    #[error("failed to open `{file}`")]
    Io {
        /// Which file.
        file: String,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a group was not committed. None of it is on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// There is no room: refuse, free space, try again.
    #[error("the store is full")]
    Full,
    /// A write or a sync failed: what cannot be kept must not be acknowledged, so the process ends.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A row's checksum does not hold: what was kept has changed.
    #[error("event {0} is damaged")]
    Damaged(super::Position),
    /// The engine failed.
    #[error("the store cannot be read")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a write was not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// There is no room: refuse in the protocol's own words.
    #[error("the store is full")]
    Full,
    /// The daemon is stopping, or the store has failed and the process is about to end.
    #[error("the store is closed")]
    Closed,
    /// The operation itself was refused.
    #[error(transparent)]
    Refused(#[from] OperationError),
}
