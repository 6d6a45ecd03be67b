//! Items: what a segment holds behind its header. Records, releases, and marks.

use crate::checksum::checksum;
use crate::identity::Life;
use crate::layout::{is_blank, u32_at, u64_at};

/// Length of an item's header in bytes.
pub(crate) const ITEM_HEADER_BYTES: usize = 48;
/// Items begin at multiples of this, so that a search for them can skip.
pub(crate) const ALIGNMENT: usize = 8;
/// Longest payload of a record, in bytes: the certificate and all bodies of a batch, or the VIEW-CHANGEs that a NEW-VIEW
/// names, with room above what the frames of the wire can carry.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

const CHAINED_BYTES: usize = ITEM_HEADER_BYTES - 8;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A record of the replica; it takes a log sequence number.
    Record,
    /// Says below which log sequence number records were released. Durable before a segment is removed.
    Release,
    /// Says that all before it is durable. Written over by the next item.
    Mark,
}

/// The header of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemHeader {
    /// What it is.
    pub kind: ItemKind,
    /// Length of the payload in bytes.
    pub length: u32,
    /// Offset in the segment up to which everything was durable when this was written.
    pub synced: u32,
    /// A record's log sequence number; that of the last record before a release or a mark.
    pub lsn: u64,
    /// Chain value of the item before it.
    pub previous: u64,
    pub(crate) payload_sum: u64,
    /// This item's chain value.
    pub chain: u64,
}

/// Where an item lies; part of its checksum, so that a copy of it elsewhere is not one.
#[derive(Clone, Copy)]
pub(crate) struct Position<'a> {
    pub(crate) life: &'a Life,
    pub(crate) segment: u64,
    pub(crate) offset: usize,
}

impl ItemKind {
    fn code(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Release => 2,
            Self::Mark => 3,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Record, Self::Release, Self::Mark]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

impl Position<'_> {
    fn chain(&self, header: &[u8]) -> u64 {
        checksum(&[
            self.life,
            &self.segment.to_le_bytes(),
            &(self.offset as u64).to_le_bytes(),
            &header[..CHAINED_BYTES],
        ])
    }
}

/// Bytes of an item with a payload of `length` bytes.
pub(crate) const fn item_bytes(length: usize) -> usize {
    ITEM_HEADER_BYTES + length.next_multiple_of(ALIGNMENT)
}

/// What `encode` is told; the rest follows from the payload and the position.
pub(crate) struct NewItem<'a> {
    pub(crate) kind: ItemKind,
    pub(crate) synced: u32,
    pub(crate) lsn: u64,
    pub(crate) previous: u64,
    pub(crate) payload: &'a [u8],
}

/// Appends an item to a buffer that will be written such that the item lies at `position`; returns its chain value.
pub(crate) fn encode(buffer: &mut Vec<u8>, position: Position<'_>, item: &NewItem<'_>) -> u64 {
    let start = buffer.len();
    buffer.extend_from_slice(&(item.payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&item.synced.to_le_bytes());
    buffer.extend_from_slice(&item.lsn.to_le_bytes());
    buffer.extend_from_slice(&u64::from(item.kind.code()).to_le_bytes());
    buffer.extend_from_slice(&item.previous.to_le_bytes());
    buffer.extend_from_slice(&checksum(&[item.payload]).to_le_bytes());
    let chain = position.chain(&buffer[start..]);
    buffer.extend_from_slice(&chain.to_le_bytes());
    buffer.extend_from_slice(item.payload);
    buffer.resize(start + item_bytes(item.payload.len()), 0);
    chain
}

/// The header at `position.offset` of a segment's bytes, if one was written exactly there and nothing of it is damaged.
pub(crate) fn decode(segment: &[u8], position: Position<'_>) -> Option<ItemHeader> {
    let header = segment.get(position.offset..)?.get(..ITEM_HEADER_BYTES)?;
    // Cheap refusals first: the search for items asks at every aligned offset.
    let kind = ItemKind::of(header[16])?;
    if !is_blank(&header[17..24]) {
        return None;
    }
    let length = u32_at(header, 0);
    let synced = u32_at(header, 4);
    if length as usize > RECORD_BYTES_MAX
        || item_bytes(length as usize) > segment.len() - position.offset
        || synced as usize > position.offset
    {
        return None;
    }
    let chain = u64_at(header, CHAINED_BYTES);
    (chain == position.chain(header)).then(|| ItemHeader {
        kind,
        length,
        synced,
        lsn: u64_at(header, 8),
        previous: u64_at(header, 24),
        payload_sum: u64_at(header, 32),
        chain,
    })
}

/// The payload of an item whose header was decoded at `offset`; none if it is damaged.
pub(crate) fn payload<'a>(
    segment: &'a [u8],
    offset: usize,
    header: &ItemHeader,
) -> Option<&'a [u8]> {
    let start = offset + ITEM_HEADER_BYTES;
    let end = start + header.length as usize;
    let padded = offset + item_bytes(header.length as usize);
    let payload = segment.get(start..end)?;
    let sound = is_blank(segment.get(end..padded)?) && checksum(&[payload]) == header.payload_sum;
    sound.then_some(payload)
}
