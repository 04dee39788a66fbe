//! Files on disk: written beside their place and put there whole, within a quota.
//!
//! No path comes from a user: a folder is called after a tenant (`a-z 0-9 - _`), a file after an
//! identity that we made. What a crash leaves half-written is swept at the next start.

use super::sealed::{Sealer, Unsealer};
use crate::files::{self, FileError};
use crate::secrets::Vault;
use firmware::Sha256;
use model::Tenant;
use sha2::Digest as _;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::spawn_blocking;

/// What a file costs at least, in bytes, as on disk: many tiny ones are no way around the quota.
const FILE_COST_MIN: u64 = 4_096;
/// The end of the name of what is not whole yet.
const UNFINISHED: &str = "part";

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    /// It would go beyond the quota.
    #[error("there is no room within the quota")]
    Quota,
    /// The system would not let us.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The files of one kind.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    quota: u64,
    used: Arc<AtomicU64>,
    /// Encrypts what lies here.
    vault: Option<Vault>,
}

impl Shelf {
    pub(super) fn new(dir: PathBuf, quota: u64, vault: Option<Vault>) -> Self {
        Self { dir, quota, used: Arc::default(), vault }
    }

    /// Takes stock at start: `known` are the files that are kept. All others were left behind by a
    /// crash and are removed; says how many.
    pub(super) fn open(&self, known: &[(Tenant, Box<str>, u64)]) -> Result<usize, FileError> {
        files::make_private_dir(&self.dir)?;
        let used = known.iter().map(|(_, _, bytes)| cost(*bytes)).sum();
        self.used.store(used, Ordering::Relaxed);
        let known: HashSet<PathBuf> =
            known.iter().map(|(tenant, file, _)| self.path(tenant, file)).collect();
        let mut swept = 0;
        for folder in files::list(&self.dir)?.iter().filter(|it| it.is_dir()) {
            for file in files::list(folder)?.iter().filter(|it| !known.contains(*it)) {
                files::remove(file)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Begins a file of at most `bytes_max` bytes, which are reserved.
    pub(super) async fn begin(
        &self,
        tenant: &Tenant,
        id: Box<str>,
        bytes_max: u64,
    ) -> Result<Incoming, ShelfError> {
        let room = self.reserve(bytes_max)?;
        let place = self.path(tenant, &id);
        let beside = place.with_extension(UNFINISHED);
        let sealer = self.vault.as_ref().map(|vault| Sealer::new(vault.clone(), &id));
        // Made before the file is, so that a caller who goes away leaves nothing behind.
        let unfinished = Leftover { path: Some(beside.clone()) };
        let file = off_the_runtime(&place, move || {
            files::make_private_dir(beside.parent().unwrap_or_else(|| Path::new(".")))?;
            files::create_private(&beside)
        })
        .await?;
        let work = Some(Work { file, hasher: sha2::Sha256::new(), sealer });
        Ok(Incoming { id, place, unfinished, work, room, bytes: 0 })
    }

    fn reserve(&self, bytes: u64) -> Result<Room, ShelfError> {
        let bytes = cost(bytes);
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.quota);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_| ShelfError::Quota)?;
        Ok(Room { used: Arc::clone(&self.used), bytes })
    }

    /// Opens a file that is whole, to be read as it lies there.
    pub(super) async fn file(&self, tenant: &Tenant, id: &str) -> Result<Arc<File>, FileError> {
        let path = self.path(tenant, id);
        off_the_runtime(&path.clone(), move || files::open(&path)).await.map(Arc::new)
    }

    /// Opens a file that was encrypted.
    pub(super) async fn unseal(&self, tenant: &Tenant, id: &str) -> Result<Unsealer, FileError> {
        let path = self.path(tenant, id);
        let vault = self.vault.clone().ok_or_else(|| {
            FileError::new("read", &path, io::Error::other("nothing is encrypted here"))
        })?;
        let id: Box<str> = id.into();
        off_the_runtime(&path.clone(), move || {
            files::open(&path).map(|file| Unsealer::new(vault, &id, path, file))
        })
        .await
    }

    /// Removes a file that is no longer kept, in the background: it is not in the store any more, so
    /// a crash before its end leaves it to be swept.
    pub(super) fn remove(&self, tenant: &Tenant, id: &str, bytes: u64) {
        give_back(&self.used, cost(bytes));
        remove_in_background(self.path(tenant, id));
    }

    fn path(&self, tenant: &Tenant, id: &str) -> PathBuf {
        self.dir.join(tenant.as_str()).join(id)
    }
}

fn cost(bytes: u64) -> u64 {
    bytes.max(FILE_COST_MIN)
}

fn remove_in_background(path: PathBuf) {
    let remove = move || {
        if let Err(error) = files::remove(&path) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a file stays behind");
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(remove)),
        Err(_) => remove(),
    }
}

/// Runs what waits for the disk where it holds nobody up.
async fn off_the_runtime<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let gone = |_| FileError::new("work on", path, io::Error::other("the runtime is stopping"));
    spawn_blocking(work).await.map_err(gone)?
}

/// Bytes of the quota that are spoken for.
#[derive(Debug)]
struct Room {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    /// What was taken in the end is less.
    fn shrink_to(&mut self, bytes: u64) {
        let less = cost(bytes).min(self.bytes);
        give_back(&self.used, self.bytes - less);
        self.bytes = less;
    }

    /// It stays taken.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        give_back(&self.used, self.bytes);
    }
}

/// Never below nothing: a slip in the count must not look like a full disk.
fn give_back(used: &AtomicU64, bytes: u64) {
    let less = |used: u64| Some(used.saturating_sub(bytes));
    // It always says `Some`.
    let _ = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

/// A file that is removed unless it is kept.
#[derive(Debug)]
struct Leftover {
    path: Option<PathBuf>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        self.path.take().into_iter().for_each(remove_in_background);
    }
}

/// What a thread that may wait works with.
#[derive(Debug)]
struct Work {
    file: File,
    hasher: sha2::Sha256,
    sealer: Option<Sealer>,
}

/// A file that is being written. Dropped, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Incoming {
    id: Box<str>,
    place: PathBuf,
    unfinished: Leftover,
    work: Option<Work>,
    room: Room,
    bytes: u64,
}

impl Incoming {
    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends `buffer` and gives it back empty.
    pub(crate) async fn write(&mut self, mut buffer: Vec<u8>) -> Result<Vec<u8>, FileError> {
        let mut work = self.work()?;
        let (place, length) = (self.place.clone(), buffer.len() as u64);
        let (work, buffer) = off_the_runtime(&self.place, move || {
            work.hasher.update(&buffer);
            let written = match &mut work.sealer {
                None => work.file.write_all(&buffer),
                Some(sealer) => work.file.write_all(&sealer.seal(&buffer)),
            };
            written.map_err(|error| FileError::new("write", &place, error))?;
            buffer.clear();
            Ok((work, buffer))
        })
        .await?;
        self.work = Some(work);
        self.bytes += length;
        Ok(buffer)
    }

    /// Syncs the file and puts it in its place.
    pub(crate) async fn finish(mut self) -> Result<Received, FileError> {
        let work = self.work()?;
        let (place, beside) = (self.place.clone(), self.place.with_extension(UNFINISHED));
        let settled = Leftover { path: Some(self.place.clone()) };
        let (sha256, settled) = off_the_runtime(&self.place, move || {
            files::put_in_place(&work.file, &beside, &place)?;
            Ok((Sha256(work.hasher.finalize().into()), settled))
        })
        .await?;
        self.unfinished.path = None;
        self.room.shrink_to(self.bytes);
        let Self { id, room, bytes, .. } = self;
        Ok(Received { id, bytes, sha256, settled, room })
    }

    fn work(&mut self) -> Result<Work, FileError> {
        self.work.take().ok_or_else(|| {
            FileError::new("write", &self.place, io::Error::other("an earlier write failed"))
        })
    }
}

/// A file that is whole and in its place. Dropped before it is kept, it is removed.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its name.
    pub(crate) id: Box<str>,
    /// Its length.
    pub(crate) bytes: u64,
    /// Its content.
    pub(crate) sha256: Sha256,
    settled: Leftover,
    room: Room,
}

impl Received {
    /// The store knows of it: it stays.
    pub(crate) fn keep(mut self) {
        self.settled.path = None;
        self.room.keep();
    }
}
