//! Snapshot files: written beside the caller, read by it.

use std::path::Path;
use std::sync::Arc;

use byzantine_journal::Disk;
use byzantine_journal::snapshot::{self, CHUNK_BYTES_MAX, SnapshotHeader, SnapshotReader};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use super::data_dir::{disk_failure, identity, open_failure};
use super::{counter, exact, failure};
use crate::snapshots::{Refused, SnapshotThread};
use crate::wire::U53_MAX;

/// A snapshot that is being written on a thread of its own; see [`SnapshotThread`].
#[napi]
pub struct NativeSnapshotWriter {
    thread: SnapshotThread,
}

#[napi]
impl NativeSnapshotWriter {
    /// Begins a snapshot; what the disk refuses is in `status`.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        dir: String,
        cluster_id: &[u8],
        epoch: f64,
        replica_key: &[u8],
        sequence: f64,
        digest: &[u8],
        first_bytes: Option<Uint8Array>,
    ) -> Result<Self> {
        let header = SnapshotHeader {
            identity: identity(cluster_id, epoch, replica_key)?,
            sequence: counter("sequence", sequence)?,
            digest: exact("digest", digest)?,
        };
        let thread = SnapshotThread::start(Arc::new(Disk), Path::new(&dir), header)
            .map_err(|error| disk_failure(format!("no thread for a snapshot: {error}")))?;
        if let Some(first) = first_bytes {
            thread.write(&first).map_err(refused)?;
        }
        Ok(Self { thread })
    }

    /// Copies a chunk of at most 1 MiB; whether it was taken.
    #[napi(catch_unwind)]
    pub fn write(&self, chunk: &[u8]) -> Result<bool> {
        self.thread.write(chunk).map_err(refused)
    }

    /// There are no more chunks.
    #[napi(catch_unwind)]
    pub fn finish(&self) {
        self.thread.finish();
    }

    /// Gives the snapshot up, unless it was finished.
    #[napi(catch_unwind)]
    pub fn abort(&self) {
        self.thread.abort();
    }

    /// `writing`, `done`, or `failed: <reason>: <text>`.
    #[napi(catch_unwind)]
    pub fn status(&self) -> String {
        self.thread.progress().to_string()
    }
}

/// A snapshot that is being read; blocks on the disk.
#[napi]
pub struct NativeSnapshotReader {
    reader: SnapshotReader,
}

#[napi]
impl NativeSnapshotReader {
    /// Sequences of the snapshots of this identity whose headers are sound, the newest first.
    #[napi(catch_unwind)]
    pub fn list(
        dir: String,
        cluster_id: &[u8],
        epoch: f64,
        replica_key: &[u8],
    ) -> Result<Vec<f64>> {
        let identity = identity(cluster_id, epoch, replica_key)?;
        let listed = snapshot::list(&Disk, Path::new(&dir)).map_err(disk_failure)?;
        let ours = listed
            .into_iter()
            .filter_map(|listed| listed.header.ok())
            .filter(|header| header.identity == identity && header.sequence <= U53_MAX);
        Ok(ours.map(|header| header.sequence as f64).collect())
    }

    /// Opens the snapshot of this identity at a sequence.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        dir: String,
        cluster_id: &[u8],
        epoch: f64,
        replica_key: &[u8],
        sequence: f64,
    ) -> Result<Self> {
        let (identity, sequence) = (
            identity(cluster_id, epoch, replica_key)?,
            counter("sequence", sequence)?,
        );
        let reader = SnapshotReader::open(&Disk, Path::new(&dir), &identity, sequence)
            .map_err(open_failure)?;
        Ok(Self { reader })
    }

    /// The sequence whose execution led to the state.
    #[napi(getter)]
    pub fn sequence(&self) -> f64 {
        self.reader.header().sequence as f64
    }

    /// The state's digest, 32 bytes.
    #[napi(getter)]
    pub fn digest(&self) -> Uint8Array {
        self.reader.header().digest.to_vec().into()
    }

    /// The next chunk, checked; null after the last one, when the snapshot is known to be complete.
    #[napi(catch_unwind)]
    pub fn next_chunk(&mut self) -> Result<Option<Uint8Array>> {
        let chunk = self.reader.next_chunk().map_err(open_failure)?;
        Ok(chunk.map(Uint8Array::from))
    }
}

/// Bytes of a chunk at most.
#[napi(catch_unwind)]
pub fn snapshot_chunk_bytes_max() -> u32 {
    CHUNK_BYTES_MAX as u32
}

/// Removes a snapshot durably, such as a damaged one that would outlive a sound older one.
#[napi(catch_unwind)]
pub fn remove_snapshot(dir: String, sequence: f64) -> Result<()> {
    snapshot::remove(&Disk, Path::new(&dir), counter("sequence", sequence)?).map_err(disk_failure)
}

fn refused(refused: Refused) -> napi::Error {
    let code = match refused {
        Refused::TooLarge { .. } => "INVALID_ARGUMENT",
        Refused::Ended => "CLOSED",
    };
    failure(code, refused)
}
