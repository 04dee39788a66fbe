//! The table of C functions that SQLite calls.
//!
//! An open file is a [`File`] in memory that SQLite gives us, followed by the system's own file
//! structure. `File` owns a box with everything else; `xClose` gives it back.

use crate::disk::{Call, Disk, Failure};
use crate::lock;
use libsqlite3_sys::{
    SQLITE_ACCESS_EXISTS, SQLITE_CANTOPEN, SQLITE_FCNTL_CHUNK_SIZE, SQLITE_FCNTL_SIZE_HINT,
    SQLITE_FULL, SQLITE_IOERR, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ,
    SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE, SQLITE_OK,
    SQLITE_OPEN_CREATE, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL,
    sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex};

/// What the VFS itself carries.
struct Context {
    disk: Arc<Mutex<Disk>>,
    system: *mut sqlite3_vfs,
}

/// An open file, as SQLite sees it. The system's file follows in memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    open: *mut Open,
}

/// What we know of an open file.
struct Open {
    disk: Arc<Mutex<Disk>>,
    /// `None` for temporary files, which go through.
    path: Option<PathBuf>,
    /// When it was opened: a cut later it is dead.
    time: u64,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // 2: with shared memory, without memory mapping.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Registers a VFS that behaves as `disk` says.
pub(crate) fn register(name: &str, disk: &Arc<Mutex<Disk>>) {
    let name = CString::new(name).expect("the name holds no NUL");
    // SAFETY: a null name asks for the default VFS, which lives as long as the process; the copy
    // keeps its plain values and functions. What we register is leaked, so it outlives every user.
    unsafe {
        let system = sqlite3_vfs_find(ptr::null());
        assert!(!system.is_null(), "SQLite has a default VFS");
        assert!(sqlite3_vfs_find(name.as_ptr()).is_null(), "the name is new");
        let context = Box::new(Context { disk: Arc::clone(disk), system });
        let mut ours = Box::new(ptr::read(system));
        let file_bytes = c_int::try_from(size_of::<File>()).expect("a file is two pointers");
        ours.szOsFile += file_bytes;
        ours.pNext = ptr::null_mut();
        ours.zName = name.into_raw();
        ours.pAppData = Box::into_raw(context).cast();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        ours.xAccess = Some(access);
        ours.xFullPathname = Some(full_pathname);
        assert_eq!(sqlite3_vfs_register(Box::into_raw(ours), 0), SQLITE_OK);
    }
}

/// # Safety
/// `vfs` is one that [`register`] made.
unsafe fn context<'a>(vfs: *mut sqlite3_vfs) -> &'a Context {
    // SAFETY: `register` set the pointer to a leaked box.
    unsafe { &*(*vfs).pAppData.cast::<Context>() }
}

/// # Safety
/// `file` is one that [`open`] opened and that is not closed.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Open {
    // SAFETY: `open` set the pointer to a box that `close` takes back.
    unsafe { &*(*file.cast::<File>()).open }
}

/// The system's file behind ours.
///
/// # Safety
/// `file` is memory of the size that our VFS asks for.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` is the size of `File` and that of the system's file.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// Calls a method of the system's file.
macro_rules! inner_method {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let inner = inner($file);
        match (*(*inner).pMethods).$method {
            Some(method) => method(inner $(, $argument)*),
            None => Default::default(),
        }
    }};
}

unsafe fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite passes names that end in NUL.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())).to_owned()
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract: `file` is `szOsFile` bytes that we may fill.
    unsafe {
        (*file).pMethods = ptr::null();
        let Context { disk, system } = context(vfs);
        let kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
        let path = (!name.is_null() && flags & kept != 0).then(|| path_of(name));
        let time = {
            let mut disk = lock(disk);
            if disk.is_off() || disk.call(Call::Open).is_some() {
                return SQLITE_CANTOPEN;
            }
            disk.time
        };
        let is_new =
            flags & SQLITE_OPEN_CREATE != 0 && path.as_ref().is_some_and(|it| !it.exists());
        let Some(system_open) = (**system).xOpen else { return SQLITE_CANTOPEN };
        let code = system_open(*system, name, inner(file), flags, flags_out);
        if code != SQLITE_OK {
            return code;
        }
        if let Some(path) = &path
            && !lock(disk).knows(path)
        {
            let durable = match read_whole(file) {
                Ok(durable) => durable,
                Err(code) => {
                    inner_method!(file, xClose);
                    return code;
                }
            };
            lock(disk).opened(path, is_new, durable);
        }
        let open = Box::new(Open { disk: Arc::clone(disk), path, time });
        (*file.cast::<File>()).open = Box::into_raw(open);
        (*file).pMethods = &raw const METHODS;
        SQLITE_OK
    }
}

/// What is on disk, through the system's handle: closing another of the same file would drop the
/// process's locks on it.
unsafe fn read_whole(file: *mut sqlite3_file) -> Result<Vec<u8>, c_int> {
    // SAFETY: the system's file was just opened.
    unsafe {
        let mut bytes: sqlite3_int64 = 0;
        let code = inner_method!(file, xFileSize, &raw mut bytes);
        if code != SQLITE_OK {
            return Err(code);
        }
        let length = c_int::try_from(bytes).map_err(|_| SQLITE_IOERR)?;
        let mut content = vec![0; usize::try_from(bytes).map_err(|_| SQLITE_IOERR)?];
        if length > 0 {
            let code = inner_method!(file, xRead, content.as_mut_ptr().cast(), length, 0);
            if code != SQLITE_OK {
                return Err(code);
            }
        }
        Ok(content)
    }
}

unsafe extern "C" fn delete(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        let Context { disk, system } = context(vfs);
        let path = path_of(name);
        {
            let mut disk = lock(disk);
            if disk.is_off() || disk.call(Call::Delete).is_some() {
                return SQLITE_IOERR_DELETE;
            }
            let durable = std::fs::read(&path).unwrap_or_default();
            disk.deleted(&path, sync_folder != 0, durable);
        }
        let Some(system_delete) = (**system).xDelete else { return SQLITE_IOERR_DELETE };
        system_delete(*system, name, sync_folder)
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        let Context { disk, system } = context(vfs);
        if flags == SQLITE_ACCESS_EXISTS
            && let Some(length) = lock(disk).length(&path_of(name))
        {
            // As the system's: an empty file counts as absent.
            *found = c_int::from(length > 0);
            return SQLITE_OK;
        }
        let Some(system_access) = (**system).xAccess else { return SQLITE_IOERR };
        system_access(*system, name, flags, found)
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract; the system's function gets the system's VFS.
    unsafe {
        let system = context(vfs).system;
        let Some(system_full_pathname) = (*system).xFullPathname else { return SQLITE_CANTOPEN };
        system_full_pathname(system, name, bytes, out)
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, after its last use.
    unsafe {
        drop(Box::from_raw((*file.cast::<File>()).open));
        inner_method!(file, xClose)
    }
}

fn offset(at: sqlite3_int64) -> usize {
    usize::try_from(at).expect("SQLite's offsets are not negative")
}

fn length(bytes: c_int) -> usize {
    usize::try_from(bytes).expect("SQLite's lengths are not negative")
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    bytes: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract: `into` has `bytes` bytes.
    unsafe {
        let Open { disk, path, time } = opened(file);
        let Some(path) = path else { return inner_method!(file, xRead, into, bytes, at) };
        let mut disk = lock(disk);
        if !disk.is_alive(*time) || disk.call(Call::Read).is_some() {
            return SQLITE_IOERR_READ;
        }
        let into = std::slice::from_raw_parts_mut(into.cast::<u8>(), length(bytes));
        let count = disk.read(path, offset(at), into);
        if count < into.len() {
            into[count..].fill(0);
            return SQLITE_IOERR_SHORT_READ;
        }
        SQLITE_OK
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    bytes: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract: `from` has `bytes` bytes.
    unsafe {
        let Open { disk, path, time } = opened(file);
        let Some(path) = path else { return inner_method!(file, xWrite, from, bytes, at) };
        let mut disk = lock(disk);
        if !disk.is_alive(*time) {
            return SQLITE_IOERR_WRITE;
        }
        let from = std::slice::from_raw_parts(from.cast::<u8>(), length(bytes));
        match disk.call(Call::Write) {
            None if disk.write(path, offset(at), from) => SQLITE_OK,
            None | Some(Failure::NoSpace) => SQLITE_FULL,
            Some(Failure::Io) => SQLITE_IOERR_WRITE,
            Some(Failure::Short) => {
                // As the system's VFS: a short write is a full disk.
                disk.write(path, offset(at), &from[..from.len() / 2]);
                SQLITE_FULL
            }
        }
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, to: sqlite3_int64) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        let Open { disk, path, time } = opened(file);
        let Some(path) = path else { return inner_method!(file, xTruncate, to) };
        let mut disk = lock(disk);
        if !disk.is_alive(*time) || disk.call(Call::Truncate).is_some() {
            return SQLITE_IOERR_TRUNCATE;
        }
        disk.truncate(path, offset(to));
        SQLITE_OK
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        let Open { disk, path, time } = opened(file);
        let Some(path) = path else { return SQLITE_OK };
        let delay = lock(disk).sync_delay();
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut disk = lock(disk);
        if !disk.is_alive(*time) || disk.call(Call::Sync).is_some() {
            return SQLITE_IOERR_FSYNC;
        }
        // Held until all is written: a cut falls before or after a sync.
        let (pieces, end) = disk.sync(path);
        for (at, bytes) in pieces {
            let at = sqlite3_int64::try_from(at).expect("the file fits in memory");
            let count = c_int::try_from(bytes.len()).expect("a write of SQLite's");
            let code = inner_method!(file, xWrite, bytes.as_ptr().cast(), count, at);
            assert_eq!(code, SQLITE_OK, "the real file is written");
        }
        let end = sqlite3_int64::try_from(end).expect("the file fits in memory");
        inner_method!(file, xTruncate, end)
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, bytes: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        let Open { disk, path, time } = opened(file);
        let Some(path) = path else { return inner_method!(file, xFileSize, bytes) };
        let disk = lock(disk);
        if !disk.is_alive(*time) {
            return SQLITE_IOERR;
        }
        *bytes = disk.length(path).and_then(|length| length.try_into().ok()).unwrap_or(0);
        SQLITE_OK
    }
}

unsafe extern "C" fn file_control(
    file: *mut sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: SQLite keeps the VFS contract.
    unsafe {
        match operation {
            // Hints that would have the system grow the real file.
            SQLITE_FCNTL_SIZE_HINT | SQLITE_FCNTL_CHUNK_SIZE => SQLITE_OK,
            _ => inner_method!(file, xFileControl, operation, argument),
        }
    }
}

unsafe extern "C" fn lock_file(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xLock, level) }
}

unsafe extern "C" fn unlock_file(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xCheckReservedLock, held) }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xDeviceCharacteristics) }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    mapped: *mut *mut c_void,
) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xShmMap, region, bytes, extend, mapped) }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xShmLock, first, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xShmBarrier) }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: passed through.
    unsafe { inner_method!(file, xShmUnmap, delete) }
}
