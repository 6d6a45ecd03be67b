//! What the tests of several modules share: the real disk, with something that acts before its writes and syncs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use byzantine_journal::{Access, Disk, Storage, StorageFile, StorageLock};

/// What happens before a file is written or synced; an error takes its place.
pub trait Hook: Send + Sync + 'static {
    /// Before a write.
    fn write(&self) -> io::Result<()> {
        Ok(())
    }

    /// Before the sync of a file.
    fn sync(&self) -> io::Result<()>;
}

/// The real disk behind a hook.
pub struct HookedDisk(pub Arc<dyn Hook>);

impl Storage for HookedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let file = Disk.open(path, access)?;
        Ok(Box::new(HookedFile(Arc::clone(&self.0), file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        Disk.lock(path)
    }

    fn entropy(&self, bytes: &mut [u8]) -> io::Result<()> {
        Disk.entropy(bytes)
    }
}

struct HookedFile(Arc<dyn Hook>, Box<dyn StorageFile>);

impl StorageFile for HookedFile {
    fn length(&self) -> io::Result<u64> {
        self.1.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write()?;
        self.1.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()?;
        self.1.sync()
    }
}
