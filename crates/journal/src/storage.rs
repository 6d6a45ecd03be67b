//! What the journal asks of a file system.
//!
//! Nothing else in the crate touches files, so that the tests can put a storage beneath it that crashes, tears, fails
//! and lies.

use std::io;
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file, to read only.
    Read,
    /// An existing file, to read and write.
    Write,
    /// To read and write; created empty if it is not there.
    Create,
    /// To read and write; created empty, or emptied.
    Replace,
}

/// A file system, or what a test puts in its place. All calls block.
///
/// Contract: what was written to a file survives a crash of the machine once [`StorageFile::sync`] has returned;
/// created, renamed and removed names once [`Storage::sync_dir`] has. Without them any part of a write may survive, also
/// none, in any order. Renaming is atomic. A failed sync leaves unknown what survived, for ever.
pub trait Storage: Send + Sync + 'static {
    /// Creates a directory with its parents, durably. Nothing to do where it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>>;
    /// Names of the files in a directory, in any order. Names that are no UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file within a directory, replacing its target, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Locks a file, which is created if needed, until the value is dropped or the process ends.
    /// [`io::ErrorKind::WouldBlock`] where another owner holds it, in this process or another.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>>;
    /// Fills the bytes with what nobody can guess.
    fn entropy(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open file. Reads and writes name their offset in bytes.
pub trait StorageFile: Send + Sync {
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads what is there at `offset`, at most the buffer's length; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at `offset`, extending the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all that was written, and the length, durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases.
pub trait StorageLock: Send + Sync {}

/// Reads until the buffer is full or the file ends; returns the bytes read.
pub(crate) fn read_full(
    file: &dyn StorageFile,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads a file of at most `bytes_max` bytes. Longer is [`io::ErrorKind::FileTooLarge`], so memory stays bounded
/// whatever lies on the disk.
pub(crate) fn read_file(storage: &dyn Storage, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = storage.open(path, Access::Read)?;
    let length = file.length()?;
    if length > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length as usize];
    let read = read_full(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
