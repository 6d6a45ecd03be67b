//! Which snapshots a data directory has.

use std::path::Path;

use super::format::SnapshotHeader;
use super::reader;
use crate::error::{Attempted, DiskFailure, OpenError};
use crate::layout::{snapshot_name, snapshot_sequence};
use crate::storage::Storage;

/// Snapshots that stay when a new one is finished: the newest, and the one before in case it is damaged.
pub const SNAPSHOTS_KEPT: usize = 2;

/// A whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub header: SnapshotHeader,
    /// Chunks in it.
    pub chunks: u64,
    /// Bytes of its chunks.
    pub bytes: u64,
}

/// A snapshot file, as far as its name and header tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The sequence in its name.
    pub sequence: u64,
    /// Its header, or why it has none.
    pub header: Result<SnapshotHeader, OpenError>,
}

/// The snapshots in a directory, the newest first. Only the headers are read; [`verify`] reads all. Whose they are is in
/// the header.
///
/// # Errors
/// [`DiskFailure`] where the directory cannot be read.
pub fn list(storage: &dyn Storage, dir: &Path) -> Result<Vec<Listed>, DiskFailure> {
    let listed = |sequence| Listed {
        sequence,
        header: reader::open(storage, dir, sequence).map(|reader| *reader.header()),
    };
    Ok(sequences(storage, dir)?.into_iter().map(listed).collect())
}

/// Reads all of a snapshot, whoever it belongs to, and checks every byte. Changes nothing and takes no lock.
///
/// # Errors
/// [`OpenError`] with the place of the damage.
pub fn verify(storage: &dyn Storage, dir: &Path, sequence: u64) -> Result<Snapshot, OpenError> {
    reader::open(storage, dir, sequence)?.finish()
}

/// Removes a snapshot durably, such as a damaged one that would outlive a sound older one.
///
/// # Errors
/// [`DiskFailure`].
pub fn remove(storage: &dyn Storage, dir: &Path, sequence: u64) -> Result<(), DiskFailure> {
    let name = snapshot_name(sequence);
    storage.remove(&dir.join(&name)).writing(&name)?;
    storage.sync_dir(dir).syncing("data directory")
}

/// Removes all but the newest, and never the one that was just finished.
pub(super) fn prune(storage: &dyn Storage, dir: &Path, finished: u64) -> Result<(), DiskFailure> {
    for sequence in sequences(storage, dir)?.into_iter().skip(SNAPSHOTS_KEPT) {
        if sequence != finished {
            remove(storage, dir, sequence)?;
        }
    }
    Ok(())
}

fn sequences(storage: &dyn Storage, dir: &Path) -> Result<Vec<u64>, DiskFailure> {
    let names = storage.list(dir).reading("data directory")?;
    let mut sequences: Vec<u64> = names
        .iter()
        .filter_map(|name| snapshot_sequence(name))
        .collect();
    sequences.sort_unstable_by(|one, other| other.cmp(one));
    Ok(sequences)
}
