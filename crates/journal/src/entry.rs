//! What a journal is told to write, and what became of it.

use crate::item::item_bytes;

/// Length of a release's payload in bytes.
const RELEASE_BYTES: usize = 8;

/// What the journal writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The next record.
    Record(Vec<u8>),
    /// Records below this log sequence number are needed no more.
    Release(u64),
}

/// What [`Log::write`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// A group was written and synced; its entries left the queue.
    Group {
        /// Records in it.
        records: u64,
        /// Bytes of their payloads.
        payload_bytes: usize,
        /// Bytes written, headers included.
        bytes: usize,
        /// Segments that may be removed now, the oldest first.
        freed: Vec<u64>,
    },
    /// Nothing was written: the next entry needs the next segment, and this spare is missing.
    Wants {
        /// Its number.
        number: u64,
        /// Length of the first payload in it, in bytes.
        length: usize,
    },
}

impl Entry {
    /// Bytes of a record's payload.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Record(payload) => payload.len(),
            Self::Release(_) => 0,
        }
    }

    /// Bytes of its item.
    pub(crate) fn bytes(&self) -> usize {
        item_bytes(match self {
            Self::Record(payload) => payload.len(),
            Self::Release(_) => RELEASE_BYTES,
        })
    }
}
