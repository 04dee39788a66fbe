//! The one place that opens files: the configuration, keys, first-run secrets, and what devices
//! fetch and send.
//!
//! Small files are read whole and bounded; what is secret is written with mode 0600. Large ones are
//! opened here and read and written by `transfers`, always off the runtime.

use model::Redacted;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Largest file that is read whole, in bytes: a configuration or a certificate chain is far smaller.
const SIZE_MAX: u64 = 4 << 20;

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} `{}`", .file.display())]
pub struct FileError {
    action: &'static str,
    file: PathBuf,
    source: io::Error,
}

impl FileError {
    /// Something that failed with a file that is open already.
    pub(crate) fn new(action: &'static str, file: &Path, source: io::Error) -> Self {
        Self { action, file: file.to_owned(), source }
    }

    /// Whether the disk, or what we may take of it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

fn failed(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { action, file: file.to_owned(), source }
}

/// Reads a file of at most 4 MiB.
#[expect(clippy::disallowed_methods, reason = "the one place that opens files")]
pub fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(file)?.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SIZE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(failed("read", file))
}

/// Reads a text file of at most 4 MiB.
pub fn read_text(file: &Path) -> Result<String, FileError> {
    let bytes = read(file)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
        .map_err(failed("read", file))
}

/// Reads a secret: a text without the line end that editors leave.
pub fn read_secret(file: &Path) -> Result<Redacted<String>, FileError> {
    let text = read_text(file)?;
    Ok(Redacted(text.trim().to_owned()))
}

/// Makes a directory for the daemon alone, and those above it.
pub fn make_private_dir(dir: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))
}

/// Names of the files in a directory, sorted.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            files.push(entry?.path());
        }
        files.sort();
        Ok(files)
    };
    list().map_err(failed("list", dir))
}

/// Makes a file for the daemon alone, where there is none of that name.
pub fn create_private(file: &Path) -> Result<File, FileError> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(0o600).open(file).map_err(failed("create", file))
}

/// Opens a file to be read in parts.
pub fn open(file: &Path) -> Result<File, FileError> {
    OpenOptions::new().read(true).open(file).map_err(failed("open", file))
}

/// Gives a file that was written as `from` its name, once it is on disk. After a crash it is there
/// whole, or not at all.
pub fn put_in_place(written: &File, from: &Path, to: &Path) -> Result<(), FileError> {
    let put = || -> io::Result<()> {
        written.sync_all()?;
        fs::rename(from, to)?;
        sync_dir(to.parent().unwrap_or_else(|| Path::new(".")))
    };
    put().map_err(failed("write", to))
}

/// Removes a file; no error when there is none.
pub fn remove(file: &Path) -> Result<(), FileError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", file)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a secret, or makes it with `make` and writes it with mode 0600; says whether it was made.
///
/// A file that is there but empty was torn by a crash before anyone could have used it: it is
/// written anew.
pub fn read_or_make_secret(
    file: &Path,
    make: impl FnOnce() -> Redacted<String>,
) -> Result<(Redacted<String>, bool), FileError> {
    match read_secret(file) {
        Ok(secret) if !secret.0.is_empty() => Ok((secret, false)),
        Ok(_) => write_new_secret(file, make()).map(|secret| (secret, true)),
        Err(error) if error.is_missing() => {
            write_new_secret(file, make()).map(|secret| (secret, true))
        }
        Err(error) => Err(error),
    }
}

/// Writes a secret with mode 0600 and syncs it, replacing what was there in one step.
pub fn write_new_secret(
    file: &Path,
    secret: Redacted<String>,
) -> Result<Redacted<String>, FileError> {
    let write = || -> io::Result<()> {
        let beside = file.with_extension("new");
        let mut open = OpenOptions::new();
        let mut new = open.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        new.write_all(secret.expose().as_bytes())?;
        new.write_all(b"\n")?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        sync_dir(file.parent().unwrap_or_else(|| Path::new(".")))
    };
    write().map_err(failed("write", file))?;
    Ok(secret)
}

#[expect(clippy::disallowed_methods, reason = "the one place that opens files")]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("operator.token");
        let make = || Redacted("first".to_owned());
        assert_eq!(read_or_make_secret(&file, make).unwrap(), (make(), true));
        let other = || Redacted("second".to_owned());
        assert_eq!(read_or_make_secret(&file, other).unwrap(), (make(), false));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).unwrap_err().is_missing());
        assert!(!read(dir.path()).unwrap_err().is_missing());
    }
}
