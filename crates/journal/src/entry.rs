//! What a journal is told to write, and what became of it.

use crate::item::item_bytes;

/// Length of a release's payload in bytes.
const RELEASE_BYTES: usize = 8;
/// Bytes of a release's item. Behind every record there is room for one in the same segment: a release must not need a
/// new segment, for on a full disk it is what makes room for one.
pub(crate) const RELEASE_ITEM_BYTES: usize = item_bytes(RELEASE_BYTES);

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
        /// Bytes of their items, as [`crate::QUEUE_BYTES_MAX`] counts them.
        record_bytes: usize,
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
    /// Bytes of its item.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Record(payload) => item_bytes(payload.len()),
            Self::Release(_) => RELEASE_ITEM_BYTES,
        }
    }

    /// Bytes that it takes in the queue; releases are not queued.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Self::Record(_) => self.bytes(),
            Self::Release(_) => 0,
        }
    }

    /// Bytes that must be free in a segment for it to be written there.
    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Record(_) => self.bytes() + RELEASE_ITEM_BYTES,
            Self::Release(_) => self.bytes(),
        }
    }
}
