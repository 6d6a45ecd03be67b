//! The bytes of a snapshot file.

use crate::checksum::checksum;
use crate::identity::{IDENTITY_BYTES, Identity};
use crate::layout::{array, u32_at, u64_at};

/// Longest chunk in bytes; a reader's memory.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Length of the file's header in bytes.
pub(crate) const HEADER_BYTES: usize = 136;
/// Length of a frame without its payload in bytes: before it, and after it.
pub(crate) const FRAME_HEADER_BYTES: usize = 8;
pub(crate) const CHAIN_BYTES: usize = 8;
/// Length of the footer's payload in bytes.
pub(crate) const FOOTER_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"bqsnapsh";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = HEADER_BYTES - 8;

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Whose it is.
    pub identity: Identity,
    /// The sequence number whose execution led to the state.
    pub sequence: u64,
    /// The state's digest (Merkle root), 32 bytes.
    pub digest: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Chunk,
    Footer,
}

/// Why the header of a file is none.
pub(crate) enum Fault {
    Damaged,
    Version(u32),
}

impl SnapshotHeader {
    /// The header's bytes and the chain value that it begins.
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], u64) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..16 + IDENTITY_BYTES].copy_from_slice(&self.identity.encode());
        bytes[88..96].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[96..CHECKSUM_AT].copy_from_slice(&self.digest);
        let chain = checksum(&[&bytes[..CHECKSUM_AT]]);
        bytes[CHECKSUM_AT..].copy_from_slice(&chain.to_le_bytes());
        (bytes, chain)
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Self, u64), Fault> {
        let chain = u64_at(bytes, CHECKSUM_AT);
        if !bytes.starts_with(&MAGIC) || chain != checksum(&[&bytes[..CHECKSUM_AT]]) {
            return Err(Fault::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => {
                let header = Self {
                    identity: Identity::decode(&array(bytes, 16)),
                    sequence: u64_at(bytes, 88),
                    digest: array(bytes, 96),
                };
                Ok((header, chain))
            }
            found => Err(Fault::Version(found)),
        }
    }
}

impl FrameKind {
    fn code(self) -> u32 {
        match self {
            Self::Chunk => 1,
            Self::Footer => 2,
        }
    }

    /// Bytes before the payload.
    pub(crate) fn frame_header(self, length: usize) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
        bytes[4..].copy_from_slice(&self.code().to_le_bytes());
        bytes
    }

    /// The kind and the payload's length in bytes, if a frame can have them.
    pub(crate) fn of(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<(Self, usize)> {
        let length = u32_at(bytes, 0) as usize;
        match u32_at(bytes, 4) {
            1 if length <= CHUNK_BYTES_MAX => Some((Self::Chunk, length)),
            2 if length == FOOTER_BYTES => Some((Self::Footer, length)),
            _ => None,
        }
    }
}

/// The chain value of a frame.
pub(crate) fn chain(previous: u64, header: &[u8; FRAME_HEADER_BYTES], payload: &[u8]) -> u64 {
    checksum(&[&previous.to_le_bytes(), header, payload])
}
