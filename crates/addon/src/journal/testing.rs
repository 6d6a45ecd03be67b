//! Data directories that go away, and a disk whose syncs wait and fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use byzantine_journal::{Disk, Identity, Origin, Storage, init};

use super::DataDirectory;
use crate::testing::{Hook, HookedDisk};

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

/// What the syncs of a [`SyncGate`]'s disk do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They return.
    Open,
    /// They wait.
    Closed,
    /// They fail.
    Failing,
}

/// Decides what syncs do.
pub struct SyncGate {
    gate: Mutex<Gate>,
    changed: Condvar,
}

impl SyncGate {
    /// One whose syncs return.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            gate: Mutex::new(Gate::Open),
            changed: Condvar::new(),
        })
    }

    /// The real disk, but for the syncs of files.
    pub fn disk(self: &Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(HookedDisk(self.clone()))
    }

    /// Sets what syncs do, those that wait among them.
    pub fn set(&self, gate: Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
        self.changed.notify_all();
    }
}

impl Hook for SyncGate {
    fn sync(&self) -> io::Result<()> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = self.changed.wait_while(gate, |gate| *gate == Gate::Closed);
        match *gate.unwrap_or_else(PoisonError::into_inner) {
            Gate::Failing => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }
}
