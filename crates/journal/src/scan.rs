//! Reads the items of one segment in their order, and says what is behind the last sound one.

use crate::error::Damage;
use crate::identity::Life;
use crate::item::{
    ALIGNMENT, ITEM_HEADER_BYTES, ItemHeader, ItemKind, Position, decode, item_bytes, payload,
};
use crate::layout::is_blank;

/// The bytes of one segment.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) number: u64,
    pub(crate) life: &'a Life,
}

/// How far the walk has come. Items are taken only if they continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Where the next item begins, or nothing is.
    pub(crate) offset: usize,
    /// Log sequence number of the next record.
    pub(crate) next_lsn: u64,
    /// Chain value of the last item.
    pub(crate) chain: u64,
    /// Everything of this segment before this offset was durable: a later item says so.
    pub(crate) synced: usize,
}

/// What follows the last sound item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of the file, or zeros where an item would begin.
    Nothing,
    /// A mark: all before it is durable.
    Mark,
    /// Bytes that are no item, or not the next one.
    Fault(Damage),
}

/// A sound item.
pub(crate) struct Sound<'a> {
    pub(crate) header: ItemHeader,
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(crate) fn header_at(&self, offset: usize) -> Option<ItemHeader> {
        decode(
            self.bytes,
            Position {
                life: self.life,
                segment: self.number,
                offset,
            },
        )
    }

    /// The next item, or why there is none. A mark ends the walk without moving the cursor: it is written over.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Result<Sound<'a>, End> {
        let offset = cursor.offset;
        let Some(header) = self.header_at(offset) else {
            return Err(self.end_without_header(offset));
        };
        let lsn = match header.kind {
            ItemKind::Record => cursor.next_lsn,
            ItemKind::Release | ItemKind::Mark => cursor.next_lsn.saturating_sub(1),
        };
        if header.previous != cursor.chain || header.lsn != lsn {
            return Err(End::Fault(Damage::OutOfChain));
        }
        let Some(payload) = payload(self.bytes, offset, &header) else {
            return Err(End::Fault(Damage::Payload));
        };
        cursor.synced = cursor.synced.max(header.synced as usize);
        if header.kind == ItemKind::Mark {
            return Err(End::Mark);
        }
        cursor.offset = offset + item_bytes(payload.len());
        cursor.next_lsn = lsn.saturating_add(1);
        cursor.chain = header.chain;
        Ok(Sound { header, payload })
    }

    fn end_without_header(&self, offset: usize) -> End {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        if is_blank(&rest[..rest.len().min(ITEM_HEADER_BYTES)]) {
            End::Nothing
        } else {
            End::Fault(Damage::RecordHeader)
        }
    }

    /// Whether an item at or behind `from` says that more than the first `durable` bytes of this segment were durable.
    /// The search is what tells a torn tail from damage: a group of records is written only after the one before it is
    /// synced.
    pub(crate) fn proves_more(&self, from: usize, durable: usize) -> bool {
        self.items_from(from)
            .any(|(_, header)| header.synced as usize > durable)
    }

    /// All headers at or behind `from`, in the chain or not.
    pub(crate) fn items_from(&self, from: usize) -> impl Iterator<Item = (usize, ItemHeader)> {
        (from.next_multiple_of(ALIGNMENT)..self.bytes.len())
            .step_by(ALIGNMENT)
            .filter_map(|offset| Some((offset, self.header_at(offset)?)))
    }

    /// Bytes from `from` to the last one that is not zero.
    pub(crate) fn garbage(&self, from: usize) -> usize {
        self.bytes
            .get(from..)
            .unwrap_or_default()
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1)
    }
}
