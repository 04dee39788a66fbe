//! What devices send lies encrypted on disk: a configuration holds its customer's secrets.
//!
//! A file is a row of records, each its length (4 bytes) and what the vault sealed: the file's name,
//! the record's place and a piece of the content. So a record cannot be moved within a file or into
//! another, and a file that is cut shows in its length, which the store knows.

use crate::files::FileError;
use crate::secrets::Vault;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

/// Largest record that is read, in bytes: what one write seals, and what sealing adds.
const RECORD_MAX: usize = 1 << 20;

/// Seals pieces of one file.
#[derive(Debug)]
pub(super) struct Sealer {
    vault: Vault,
    id: Box<str>,
    place: u32,
}

impl Sealer {
    pub(super) fn new(vault: Vault, id: &str) -> Self {
        Self { vault, id: id.into(), place: 0 }
    }

    /// The next record.
    pub(super) fn seal(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut plain = heading(&self.id, self.place);
        plain.extend_from_slice(piece);
        self.place += 1;
        let sealed = self.vault.seal(&plain);
        let sealed = sealed.expose();
        let length = u32::try_from(sealed.len()).expect("a piece is a buffer, far below 4 GiB");
        let mut record = length.to_be_bytes().to_vec();
        record.extend_from_slice(sealed);
        record
    }
}

fn heading(id: &str, place: u32) -> Vec<u8> {
    let mut heading = id.as_bytes().to_vec();
    heading.extend_from_slice(&place.to_be_bytes());
    heading
}

/// Reads what [`Sealer`] wrote, piece by piece.
#[derive(Debug)]
pub(super) struct Unsealer {
    vault: Vault,
    id: Box<str>,
    place: u32,
    path: PathBuf,
    file: File,
}

impl Unsealer {
    pub(super) fn new(vault: Vault, id: &str, path: PathBuf, file: File) -> Self {
        Self { vault, id: id.into(), place: 0, path, file }
    }

    /// The next piece; `None` at the end. Waits for the disk.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let piece = self.read();
        piece.map_err(|error| FileError::new("read", &self.path, error))
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Ok(()) => {}
            // Between records or within: the length that the store knows tells.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > RECORD_MAX {
            return Err(damaged());
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        let plain = self.vault.open(&sealed).ok_or_else(damaged)?;
        let piece = plain.expose().strip_prefix(heading(&self.id, self.place).as_slice());
        let piece = piece.ok_or_else(damaged)?.to_vec();
        self.place += 1;
        Ok(Some(piece))
    }
}
