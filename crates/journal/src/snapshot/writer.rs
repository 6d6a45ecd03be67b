//! Writes a snapshot, chunk by chunk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    CHUNK_BYTES_MAX, FOOTER_BYTES, FrameKind, HEADER_BYTES, SnapshotHeader, chain,
};
use super::list::{Snapshot, prune};
use crate::error::{Attempted, DiskFailure};
use crate::layout::{UNFINISHED, is_unfinished_snapshot, snapshot_name};
use crate::storage::{Access, Storage, StorageFile};

/// What was written is synced whenever it has grown by this many bytes: a sync of the journal beside it never queues
/// behind a large one.
const SYNC_BYTES: u64 = 4 << 20;

/// Why a snapshot was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The chunk is longer than [`CHUNK_BYTES_MAX`].
    ChunkTooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The disk failed. Final for this snapshot; the ones before it are untouched.
    Disk(DiskFailure),
}

/// A snapshot that is being written; one at a time per directory. Without [`SnapshotWriter::finish`] it never existed.
/// All calls block on the disk.
pub struct SnapshotWriter {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    header: SnapshotHeader,
    name: String,
    file: Box<dyn StorageFile>,
    offset: u64,
    synced: u64,
    chain: u64,
    chunks: u64,
    bytes: u64,
    buffer: Vec<u8>,
    renamed: bool,
}

impl SnapshotWriter {
    /// Begins a snapshot in a data directory, and removes what unfinished ones left there.
    ///
    /// # Errors
    /// [`SnapshotError::Disk`].
    pub fn create(
        storage: Arc<dyn Storage>,
        dir: &Path,
        header: SnapshotHeader,
    ) -> Result<Self, SnapshotError> {
        for name in storage.list(dir).reading("data directory")? {
            if is_unfinished_snapshot(&name) {
                storage.remove(&dir.join(&name)).writing(&name)?;
            }
        }
        let name = snapshot_name(header.sequence);
        let path = dir.join(format!("{name}{UNFINISHED}"));
        let file = storage.open(&path, Access::Replace).writing(&name)?;
        let (bytes, chain) = header.encode();
        file.write_at(&bytes, 0).writing(&name)?;
        Ok(Self {
            storage,
            dir: dir.to_owned(),
            header,
            name,
            file,
            offset: HEADER_BYTES as u64,
            synced: 0,
            chain,
            chunks: 0,
            bytes: 0,
            buffer: Vec::new(),
            renamed: false,
        })
    }

    /// Appends a chunk of at most [`CHUNK_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn write_chunk(&mut self, payload: &[u8]) -> Result<(), SnapshotError> {
        if payload.len() > CHUNK_BYTES_MAX {
            return Err(SnapshotError::ChunkTooLarge {
                bytes: payload.len(),
            });
        }
        self.write_frame(FrameKind::Chunk, payload)?;
        self.chunks += 1;
        self.bytes += payload.len() as u64;
        if self.offset - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the snapshot: once this returns it is durable under its name, and all but the last
    /// [`super::SNAPSHOTS_KEPT`] are gone.
    ///
    /// # Errors
    /// [`SnapshotError::Disk`]; the snapshot is then there as a whole or not at all.
    pub fn finish(mut self) -> Result<Snapshot, SnapshotError> {
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&self.chunks.to_le_bytes());
        footer[8..].copy_from_slice(&self.bytes.to_le_bytes());
        self.write_frame(FrameKind::Footer, &footer)?;
        self.sync()?;
        self.storage
            .rename(&self.unfinished(), &self.dir.join(&self.name))
            .writing(&self.name)?;
        self.renamed = true;
        self.storage.sync_dir(&self.dir).syncing("data directory")?;
        prune(self.storage.as_ref(), &self.dir, self.header.sequence)?;
        Ok(Snapshot {
            header: self.header,
            chunks: self.chunks,
            bytes: self.bytes,
        })
    }

    fn write_frame(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), DiskFailure> {
        let header = kind.frame_header(payload.len());
        let chain = chain(self.chain, &header, payload);
        self.buffer.clear();
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(payload);
        self.buffer.extend_from_slice(&chain.to_le_bytes());
        self.file
            .write_at(&self.buffer, self.offset)
            .writing(&self.name)?;
        self.offset += self.buffer.len() as u64;
        self.chain = chain;
        Ok(())
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join(format!("{}{UNFINISHED}", self.name))
    }

    fn sync(&mut self) -> Result<(), DiskFailure> {
        self.file.sync().syncing(&self.name)?;
        self.synced = self.offset;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.renamed {
            // It may be what fills the disk. Where this fails, the next `create` does it.
            let _ = self.storage.remove(&self.unfinished());
        }
    }
}

impl From<DiskFailure> for SnapshotError {
    fn from(failure: DiskFailure) -> Self {
        Self::Disk(failure)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChunkTooLarge { bytes } => write!(formatter, "a chunk of {bytes} bytes"),
            Self::Disk(failure) => failure.fmt(formatter),
        }
    }
}

impl std::error::Error for SnapshotError {}
