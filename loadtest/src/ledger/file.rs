//! Acknowledged facts on disk, for a test that judges from outside.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A line for each acknowledged fact: the device's identity and the fact's number.
///
/// A line is written after the acknowledgement was read, so that the file never claims too much.
#[derive(Debug)]
pub(crate) struct LedgerFile(Mutex<BufWriter<File>>);

impl LedgerFile {
    /// Makes the file anew.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufWriter::new(File::create(path)?))))
    }

    /// Notes one acknowledgement.
    pub(super) fn acknowledged(&self, subject: &str, number: u32) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{subject} {number}") {
            eprintln!("loadtest: the ledger cannot be written: {error}");
        }
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&self) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.flush() {
            eprintln!("loadtest: the ledger cannot be written: {error}");
        }
    }
}
