//! The model of a disk: what is on it, what is only written, and when it fails. No `unsafe`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Power fails between two of these: the unit that a disk writes whole.
const SECTOR: usize = 512;

/// Kinds of calls, each counted by itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Call {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Syncs.
    Sync,
    /// Truncations.
    Truncate,
    /// Opening or making a file.
    Open,
    /// Deleting a file.
    Delete,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// `EIO`, and nothing was done. A failed sync leaves all unsynced as it was.
    Io,
    /// `ENOSPC`, and nothing was done. For writes.
    NoSpace,
    /// Half of it was written. For writes.
    Short,
}

/// A planned failure.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Of which calls.
    pub call: Call,
    /// Which one: the first is 1.
    pub nth: u64,
    /// How.
    pub failure: Failure,
    /// Whether all later ones fail, too.
    pub for_good: bool,
}

/// A change that is not on disk.
#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A file as open handles see it.
#[derive(Debug, Default)]
struct Volatile {
    content: Vec<u8>,
    unsynced: Vec<Change>,
    /// Whether its name was never synced: a cut may leave nothing of it.
    is_new: bool,
}

/// Everything behind one VFS.
#[derive(Debug)]
pub(crate) struct Disk {
    files: HashMap<PathBuf, Volatile>,
    /// Deleted without a sync of the folder: a cut may bring them back.
    deleted: HashMap<PathBuf, Vec<u8>>,
    chance: Chance,
    calls: HashMap<Call, u64>,
    faults: Vec<(u64, Fault)>,
    struck: bool,
    full: bool,
    sync_delay: Duration,
    off: bool,
    /// How many calls are left until the power is cut by itself.
    cut_after: Option<u64>,
    /// Counts cuts: handles of an earlier time are dead.
    pub(crate) time: u64,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            files: HashMap::new(),
            deleted: HashMap::new(),
            chance: Chance(seed),
            calls: HashMap::new(),
            faults: Vec::new(),
            struck: false,
            full: false,
            sync_delay: Duration::ZERO,
            off: false,
            cut_after: None,
            time: 0,
        }
    }

    /// Whether a handle opened at `time` still works.
    pub(crate) fn is_alive(&self, time: u64) -> bool {
        !self.off && self.time == time
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Counts a call; says how it fails, if it does.
    pub(crate) fn call(&mut self, call: Call) -> Option<Failure> {
        if let Some(left) = &mut self.cut_after {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.cut();
                return Some(Failure::Io);
            }
        }
        let count = self.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        let strikes = |(nth, fault): &&(u64, Fault)| {
            fault.call == call && (count == *nth || (fault.for_good && count > *nth))
        };
        let failure = self.faults.iter().find(strikes).map(|(_, fault)| fault.failure);
        self.struck |= failure.is_some();
        failure
    }

    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    pub(crate) fn fail(&mut self, fault: Fault) {
        self.faults.push((self.calls(fault.call) + fault.nth, fault));
    }

    pub(crate) fn heal(&mut self) {
        self.faults.clear();
        self.struck = false;
    }

    pub(crate) fn has_struck(&self) -> bool {
        self.struck
    }

    pub(crate) fn set_cut_after(&mut self, calls: u64) {
        self.cut_after = Some(calls);
    }

    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    pub(crate) fn set_sync_delay(&mut self, delay: Duration) {
        self.sync_delay = delay;
    }

    pub(crate) fn sync_delay(&self) -> Duration {
        self.sync_delay
    }

    pub(crate) fn unsynced_bytes(&self, file: &Path) -> usize {
        let bytes = |change: &Change| match change {
            Change::Write { bytes, .. } => bytes.len(),
            Change::Truncate(_) => 0,
        };
        self.files.get(file).map_or(0, |file| file.unsynced.iter().map(bytes).sum())
    }

    /// Takes note of an opened file; `durable` is what is on disk.
    pub(crate) fn opened(&mut self, file: &Path, is_new: bool, durable: Vec<u8>) {
        self.files.entry(file.to_owned()).or_insert(Volatile {
            content: durable,
            unsynced: Vec::new(),
            is_new,
        });
    }

    pub(crate) fn knows(&self, file: &Path) -> bool {
        self.files.contains_key(file)
    }

    /// The length that handles see; `None` when the file was never opened here.
    pub(crate) fn length(&self, file: &Path) -> Option<usize> {
        self.files.get(file).map(|file| file.content.len())
    }

    /// Fills `into` from `at` on; returns how many bytes there were.
    pub(crate) fn read(&self, file: &Path, at: usize, into: &mut [u8]) -> usize {
        let content = self.files.get(file).map_or(&[][..], |file| &file.content);
        let found = content.get(at..).unwrap_or(&[]);
        let count = found.len().min(into.len());
        into[..count].copy_from_slice(&found[..count]);
        count
    }

    /// Writes; false when the disk is full.
    pub(crate) fn write(&mut self, file: &Path, at: usize, bytes: &[u8]) -> bool {
        let file = self.files.entry(file.to_owned()).or_default();
        if self.full && at + bytes.len() > file.content.len() {
            return false;
        }
        let change = Change::Write { at, bytes: bytes.to_vec() };
        apply(&change, &mut file.content);
        file.unsynced.push(change);
        true
    }

    pub(crate) fn truncate(&mut self, file: &Path, length: usize) {
        let file = self.files.entry(file.to_owned()).or_default();
        file.content.truncate(length);
        file.unsynced.push(Change::Truncate(length));
    }

    /// What a sync has to make durable: the pieces to write, then the length.
    pub(crate) fn sync(&mut self, path: &Path) -> (Vec<(usize, Vec<u8>)>, usize) {
        let Some(file) = self.files.get_mut(path) else { return (Vec::new(), 0) };
        let mut pieces = Vec::new();
        for change in file.unsynced.drain(..) {
            if let Change::Write { at, bytes } = change {
                let end = (at + bytes.len()).min(file.content.len());
                if at < end {
                    pieces.push((at, file.content[at..end].to_vec()));
                }
            }
        }
        if std::mem::take(&mut file.is_new) {
            // SQLite syncs the folder with a new journal or log.
            self.deleted.clear();
        }
        (pieces, file.content.len())
    }

    /// Takes note of a deletion; `durable` is what was on disk.
    pub(crate) fn deleted(&mut self, file: &Path, folder_synced: bool, durable: Vec<u8>) {
        let known = self.files.remove(file);
        if folder_synced {
            self.deleted.clear();
        } else if known.is_none_or(|known| !known.is_new) {
            self.deleted.insert(file.to_owned(), durable);
        }
    }

    pub(crate) fn cut(&mut self) {
        // Some cuts lose all, some nearly nothing, most some.
        let kept = [0, 40, 80, 98][self.chance.below(4)];
        let whole = [0, 50, 95][self.chance.below(3)];
        let mut files: Vec<_> = self.files.drain().collect();
        files.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (path, file) in files {
            if file.is_new && self.chance.percent(50) {
                remove(&path);
                continue;
            }
            if file.unsynced.is_empty() {
                continue;
            }
            let mut durable = fs::read(&path).unwrap_or_default();
            for change in &file.unsynced {
                if self.chance.percent(kept) {
                    let torn = !self.chance.percent(whole);
                    self.survive(change, torn, &mut durable);
                }
            }
            fs::write(&path, durable).expect("the real file is written");
        }
        let mut deleted: Vec<_> = self.deleted.drain().collect();
        deleted.sort_unstable();
        for (path, durable) in deleted {
            if !path.exists() && self.chance.percent(50) {
                fs::write(&path, durable).expect("the real file is written");
            }
        }
        self.off = true;
        self.cut_after = None;
        self.time += 1;
    }

    /// Applies what survives of a change.
    fn survive(&mut self, change: &Change, torn: bool, durable: &mut Vec<u8>) {
        let Change::Write { at, bytes } = change else { return apply(change, durable) };
        if !torn {
            return apply(change, durable);
        }
        let mut from = 0;
        while from < bytes.len() {
            let to = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
            if self.chance.percent(50) {
                let piece = Change::Write { at: at + from, bytes: bytes[from..to].to_vec() };
                apply(&piece, durable);
            }
            from = to;
        }
    }

    pub(crate) fn restore(&mut self) {
        self.off = false;
        self.cut_after = None;
    }

    /// A new disk: what was open is dead, nothing is known.
    pub(crate) fn replace(&mut self, seed: u64) {
        let time = self.time + 1;
        *self = Self { time, ..Self::new(seed) };
    }
}

fn apply(change: &Change, content: &mut Vec<u8>) {
    match change {
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
        Change::Truncate(length) => content.truncate(*length),
    }
}

fn remove(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            panic!("the real file is removed: {error}")
        }
        _ => {}
    }
}

/// SplitMix64: small, seeded, good enough to choose what survives.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).expect("the bound is small")
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with(content: &[u8]) -> (tempdir::Folder, PathBuf, Disk) {
        let folder = tempdir::Folder::new();
        let file = folder.path().join("file");
        fs::write(&file, content).unwrap();
        let mut disk = Disk::new(7);
        disk.opened(&file, false, content.to_vec());
        (folder, file, disk)
    }

    /// A folder that is removed with its value.
    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicU32, Ordering};

        pub(super) struct Folder(PathBuf);

        impl Folder {
            pub(super) fn new() -> Self {
                static COUNT: AtomicU32 = AtomicU32::new(0);
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let name = format!("lastmile-vfs-{}-{count}", std::process::id());
                let path = std::env::temp_dir().join(name);
                std::fs::create_dir_all(&path).unwrap();
                Self(path)
            }

            pub(super) fn path(&self) -> &Path {
                &self.0
            }
        }

        impl Drop for Folder {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn what_is_written_is_seen_and_not_on_disk() {
        let (_folder, file, mut disk) = disk_with(b"old");
        assert!(disk.write(&file, 2, b"new"));
        let mut seen = [0; 8];
        assert_eq!(disk.read(&file, 0, &mut seen), 5);
        assert_eq!(&seen[..5], b"olnew");
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(disk.sync(&file), (vec![(2, b"new".to_vec())], 5));
        assert_eq!(disk.unsynced_bytes(&file), 0);
    }

    #[test]
    fn a_cut_keeps_sectors_whole_and_loses_some() {
        let old = vec![b'o'; 4 * SECTOR];
        let new = vec![b'n'; 4 * SECTOR];
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let (_folder, file, mut disk) = disk_with(&old);
            disk.chance = Chance(seed);
            assert!(disk.write(&file, 0, &new));
            disk.cut();
            assert!(disk.is_off() && !disk.is_alive(0));
            let left = fs::read(&file).unwrap();
            let sectors: Vec<u8> = left.chunks(SECTOR).map(|sector| sector[0]).collect();
            assert!(left.chunks(SECTOR).all(|it| it.iter().all(|byte| *byte == it[0])));
            match sectors.iter().filter(|byte| **byte == b'n').count() {
                0 => lost += 1,
                4 => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 10 && lost > 10 && torn > 10, "{kept} {lost} {torn}");
    }

    #[test]
    fn faults_strike_the_call_they_name() {
        let mut disk = Disk::new(0);
        assert_eq!(disk.call(Call::Sync), None);
        let fault = Fault { call: Call::Sync, nth: 2, failure: Failure::Io, for_good: false };
        disk.fail(fault);
        assert_eq!(disk.call(Call::Write), None);
        assert_eq!(disk.call(Call::Sync), None);
        assert_eq!(disk.call(Call::Sync), Some(Failure::Io));
        assert_eq!(disk.call(Call::Sync), None, "once");
        assert!(disk.has_struck());
        disk.heal();
        assert!(!disk.has_struck());
        disk.fail(Fault { for_good: true, nth: 1, ..fault });
        assert_eq!(disk.call(Call::Sync), Some(Failure::Io));
        assert_eq!(disk.call(Call::Sync), Some(Failure::Io), "for good");
    }

    #[test]
    fn a_full_disk_takes_only_what_is_there_already() {
        let (_folder, file, mut disk) = disk_with(b"old");
        disk.set_full(true);
        assert!(disk.write(&file, 0, b"new"));
        assert!(!disk.write(&file, 1, b"new"));
        disk.set_full(false);
        assert!(disk.write(&file, 1, b"new"));
    }
}
