//! Reads a snapshot, chunk by chunk, and checks each before handing it out.

use std::io;
use std::path::Path;

use super::format::{
    CHAIN_BYTES, FRAME_HEADER_BYTES, Fault, FrameKind, HEADER_BYTES, SnapshotHeader, chain,
};
use super::list::Snapshot;
use crate::error::{Attempted, Damage, OpenError};
use crate::identity::Identity;
use crate::layout::{snapshot_name, u64_at};
use crate::storage::{Access, Storage, StorageFile, read_full};

/// A snapshot that is being read. Each chunk was checked when it is handed out, but that the snapshot is complete is
/// known only once [`SnapshotReader::next_chunk`] has returned none.
pub struct SnapshotReader {
    name: String,
    file: Box<dyn StorageFile>,
    header: SnapshotHeader,
    offset: u64,
    chain: u64,
    chunks: u64,
    bytes: u64,
    ended: bool,
}

/// Opens a snapshot and decodes its header, whoever it belongs to.
pub(super) fn open(
    storage: &dyn Storage,
    dir: &Path,
    sequence: u64,
) -> Result<SnapshotReader, OpenError> {
    let name = snapshot_name(sequence);
    let file = match storage.open(&dir.join(&name), Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::corrupt(name, 0, Damage::FileMissing));
        }
        result => result.reading(&name)?,
    };
    let mut bytes = [0; HEADER_BYTES];
    read_full(file.as_ref(), &mut bytes, 0).reading(&name)?;
    let (header, chain) = match SnapshotHeader::decode(&bytes) {
        Ok(decoded) => decoded,
        Err(Fault::Damaged) => return Err(OpenError::corrupt(name, 0, Damage::Header)),
        Err(Fault::Version(found)) => {
            return Err(OpenError::UnsupportedVersion { file: name, found });
        }
    };
    if header.sequence != sequence {
        return Err(OpenError::corrupt(name, 0, Damage::Stale));
    }
    Ok(SnapshotReader {
        name,
        file,
        header,
        offset: HEADER_BYTES as u64,
        chain,
        chunks: 0,
        bytes: 0,
        ended: false,
    })
}

impl SnapshotReader {
    /// Opens the snapshot at `sequence` in the data directory of `identity`.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] with [`Damage::FileMissing`] where there is none; [`OpenError::Foreign`] where it is of
    /// another replica, cluster or epoch.
    pub fn open(
        storage: &dyn Storage,
        dir: &Path,
        identity: &Identity,
        sequence: u64,
    ) -> Result<Self, OpenError> {
        let reader = open(storage, dir, sequence)?;
        match reader.header.identity.differs(identity) {
            None => Ok(reader),
            Some(field) => Err(OpenError::Foreign {
                file: reader.name,
                field,
            }),
        }
    }

    /// What it is a snapshot of.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The next chunk, at most [`super::CHUNK_BYTES_MAX`] bytes; none after the last one, when the snapshot is known to
    /// be complete.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] with the place; what was handed out before must not be used then.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, OpenError> {
        if self.ended {
            return Ok(None);
        }
        let mut header = [0; FRAME_HEADER_BYTES];
        self.read(&mut header, self.offset)?;
        let (kind, length) = FrameKind::of(&header)
            .ok_or_else(|| OpenError::corrupt(&self.name, self.offset, Damage::RecordHeader))?;
        let mut payload = vec![0; length + CHAIN_BYTES];
        self.read(&mut payload, self.offset + FRAME_HEADER_BYTES as u64)?;
        let found = u64_at(&payload, length);
        payload.truncate(length);
        self.chain = chain(self.chain, &header, &payload);
        if found != self.chain {
            return Err(self.corrupt(Damage::Payload));
        }
        self.offset += (FRAME_HEADER_BYTES + length + CHAIN_BYTES) as u64;
        if kind == FrameKind::Footer {
            self.require_complete(&payload)?;
            self.ended = true;
            return Ok(None);
        }
        self.chunks += 1;
        self.bytes += length as u64;
        Ok(Some(payload))
    }

    /// Reads and checks all that is left.
    pub(super) fn finish(mut self) -> Result<Snapshot, OpenError> {
        while self.next_chunk()?.is_some() {}
        Ok(Snapshot {
            header: self.header,
            chunks: self.chunks,
            bytes: self.bytes,
        })
    }

    fn require_complete(&self, footer: &[u8]) -> Result<(), OpenError> {
        if (u64_at(footer, 0), u64_at(footer, 8)) != (self.chunks, self.bytes) {
            return Err(self.corrupt(Damage::OutOfChain));
        }
        if self.file.length().reading(&self.name)? != self.offset {
            return Err(self.corrupt(Damage::Length));
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), OpenError> {
        let read = read_full(self.file.as_ref(), buffer, offset).reading(&self.name)?;
        if read < buffer.len() {
            return Err(self.corrupt(Damage::Length));
        }
        Ok(())
    }

    fn corrupt(&self, damage: Damage) -> OpenError {
        OpenError::corrupt(&self.name, self.offset, damage)
    }
}
