//! A SQLite VFS that forgets what was not synced.
//!
//! It stands before the system's own: a file on disk holds what was synced and nothing else; what
//! was written since is kept in memory, where every open handle sees it. [`Handle::cut`] is a
//! power cut: of the writes that were not synced some reach the disk, torn at sectors, in any
//! order, and all open handles are dead. Beside that it fails the nth call of a kind, is full, or
//! slow to sync. Everything is drawn from a seed.
//!
//! Locks, shared memory and temporary files go through to the system. For tests only, and the one
//! place in the repository with `unsafe` code: see `ffi`.

#![allow(unsafe_code, reason = "a VFS is a table of C functions")]
#![allow(clippy::disallowed_methods, reason = "a disk reads, writes and stalls")]

mod disk;
mod ffi;

use disk::Disk;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use disk::{Call, Failure, Fault};

/// Registers VFSs.
#[derive(Debug)]
pub struct Vfs;

impl Vfs {
    /// Registers a VFS under `name`, which must be new in this process. It stays registered until
    /// the process ends.
    ///
    /// # Panics
    ///
    /// When SQLite does not take it, or `name` holds a NUL.
    pub fn register(name: &str, seed: u64) -> Handle {
        let disk = Arc::new(Mutex::new(Disk::new(seed)));
        ffi::register(name, &disk);
        Handle { name: name.to_owned(), disk }
    }
}

/// Rules over one registered VFS.
#[derive(Clone, Debug)]
pub struct Handle {
    name: String,
    disk: Arc<Mutex<Disk>>,
}

impl Handle {
    /// The name to open with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cuts the power: decides what of the unsynced survives, writes that to the real files, and
    /// fails every call until [`Handle::restore`]. Handles that are open now stay dead after it.
    ///
    /// # Panics
    ///
    /// When a real file cannot be written.
    pub fn cut(&self) {
        self.disk().cut();
    }

    /// Cuts the power by itself in the midst of the given call from now on, counting calls of all
    /// kinds.
    pub fn cut_after(&self, calls: u64) {
        self.disk().set_cut_after(calls);
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.disk().is_off()
    }

    /// Puts a new disk in, of another seed: for the next case of a loop, in another folder.
    pub fn replace(&self, seed: u64) {
        self.disk().replace(seed);
    }

    /// Switches the power on again, once everything that was open is closed.
    pub fn restore(&self) {
        self.disk().restore();
    }

    /// Has calls fail from now on, counted from now.
    pub fn fail(&self, fault: Fault) {
        self.disk().fail(fault);
    }

    /// Ends all faults of [`Handle::fail`].
    pub fn heal(&self) {
        self.disk().heal();
    }

    /// Whether a fault of [`Handle::fail`] has struck since the last [`Handle::heal`].
    pub fn has_struck(&self) -> bool {
        self.disk().has_struck()
    }

    /// Whether no file may grow: `ENOSPC`.
    pub fn full(&self, full: bool) {
        self.disk().set_full(full);
    }

    /// Has every sync take this long.
    pub fn sync_delay(&self, delay: Duration) {
        self.disk().set_sync_delay(delay);
    }

    /// How many calls of a kind there were so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.disk().calls(call)
    }

    /// How many bytes of `file` are written and not synced.
    pub fn unsynced_bytes(&self, file: &Path) -> usize {
        self.disk().unsynced_bytes(file)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    // A test that panicked elsewhere is reported there.
    disk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
