//! Data directories that go away, and a disk whose syncs wait and fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use byzantine_journal::{Access, Disk, Identity, Origin, Storage, StorageFile, StorageLock, init};

use super::DataDirectory;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A path that is removed in the end.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// One that is not there yet.
    pub fn missing() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("byzantine-addon-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// A data directory.
    pub fn new(identity: &Identity, origin: Origin) -> Self {
        let directory = Self::missing();
        init(&Disk, &directory.0, identity, origin).expect("initialized");
        directory
    }

    /// It, on a real disk.
    pub fn of(&self, identity: Identity) -> DataDirectory {
        self.with(identity, Arc::new(Disk))
    }

    /// It, on this storage.
    pub fn with(&self, identity: Identity, storage: Arc<dyn Storage>) -> DataDirectory {
        DataDirectory {
            path: self.0.clone(),
            identity,
            storage,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the syncs of a [`GatedDisk`] do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They return.
    Open,
    /// They wait.
    Closed,
    /// They fail.
    Failing,
}

/// The real disk, but for the syncs of files.
#[derive(Clone)]
pub struct GatedDisk(Arc<(Mutex<Gate>, Condvar)>);

impl GatedDisk {
    /// One whose syncs return.
    pub fn open() -> Self {
        Self(Arc::new((Mutex::new(Gate::Open), Condvar::new())))
    }

    /// Sets what syncs do, those that wait among them.
    pub fn set(&self, gate: Gate) {
        let (held, changed) = &*self.0;
        *held.lock().unwrap_or_else(PoisonError::into_inner) = gate;
        changed.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let (held, changed) = &*self.0;
        let gate = held.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = changed.wait_while(gate, |gate| *gate == Gate::Closed);
        match *gate.unwrap_or_else(PoisonError::into_inner) {
            Gate::Failing => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }
}

impl Storage for GatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let file = Disk.open(path, access)?;
        Ok(Box::new(GatedFile(self.clone(), file)))
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

struct GatedFile(GatedDisk, Box<dyn StorageFile>);

impl StorageFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.1.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass()?;
        self.1.sync()
    }
}
