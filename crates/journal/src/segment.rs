//! The header of a segment file.

use crate::checksum::checksum;
use crate::identity::{IDENTITY_BYTES, Identity, LIFE_BYTES, Life};
use crate::layout::{array, is_blank, u32_at, u64_at};

/// Length of the header in bytes; the first item follows.
pub(crate) const HEADER_BYTES: usize = 136;

const MAGIC: [u8; 8] = *b"bqjournl";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = HEADER_BYTES - 8;

/// The header of a segment, written with the first records of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Length of the file in bytes.
    pub capacity: u32,
    /// Whose journal it is.
    pub identity: Identity,
    /// Number of the segment, from 1, dense.
    pub number: u64,
    /// Log sequence number of the first record in it.
    pub first_lsn: u64,
    /// Chain value of the last item of the segment before, 0 in segment 1.
    pub chain: u64,
    pub(crate) life: Life,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Zeros: prepared, never written.
    Blank,
    /// The file is too short, or the checksum or the magic is wrong.
    Damaged,
    /// A sound header of another version.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[16..16 + IDENTITY_BYTES].copy_from_slice(&self.identity.encode());
        bytes[88..88 + LIFE_BYTES].copy_from_slice(&self.life);
        bytes[104..112].copy_from_slice(&self.number.to_le_bytes());
        bytes[112..120].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[120..128].copy_from_slice(&self.chain.to_le_bytes());
        let sum = checksum(&[&bytes[..CHECKSUM_AT]]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes the header at the start of a segment's bytes.
    pub(crate) fn decode(segment: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = segment.get(..HEADER_BYTES) else {
            return Err(if is_blank(segment) {
                HeaderFault::Blank
            } else {
                HeaderFault::Damaged
            });
        };
        if is_blank(bytes) {
            return Err(HeaderFault::Blank);
        }
        let sound = bytes.starts_with(&MAGIC)
            && u64_at(bytes, CHECKSUM_AT) == checksum(&[&bytes[..CHECKSUM_AT]]);
        match u32_at(bytes, 8) {
            _ if !sound => Err(HeaderFault::Damaged),
            VERSION => Ok(Self {
                capacity: u32_at(bytes, 12),
                identity: Identity::decode(&array(bytes, 16)),
                life: array(bytes, 88),
                number: u64_at(bytes, 104),
                first_lsn: u64_at(bytes, 112),
                chain: u64_at(bytes, 120),
            }),
            found => Err(HeaderFault::Version(found)),
        }
    }
}
