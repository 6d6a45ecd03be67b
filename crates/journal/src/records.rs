//! The records that recovery found, read one segment at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

use crate::error::{Damage, OpenError};
use crate::identity::Life;
use crate::item::ItemKind;
use crate::layout::segment_name;
use crate::scan::{Cursor, Segment};
use crate::segment::{HEADER_BYTES, SegmentHeader};
use crate::storage::Storage;
use crate::survey::{Held, load};

/// A record of the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its log sequence number.
    pub lsn: u64,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Records in ascending, dense order. Memory: one segment, however long the journal is. Records that were released come
/// no more, and none that is appended while reading.
pub struct Records {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: PathBuf,
    pub(crate) life: Life,
    pub(crate) segments: vec::IntoIter<Held>,
    pub(crate) current: Option<Loaded>,
    /// The segment that was entered last, 0 before the first one.
    pub(crate) entered: u64,
    /// The next record to hand out; those below are skipped.
    pub(crate) next_lsn: u64,
    /// Records from here on are not handed out.
    pub(crate) end_lsn: u64,
}

pub(crate) struct Loaded {
    number: u64,
    bytes: Vec<u8>,
    cursor: Cursor,
}

impl Records {
    fn enter(&mut self, held: Held) -> Result<Loaded, OpenError> {
        self.entered = held.number;
        let bytes = load(self.storage.as_ref(), &self.dir, held.number)?;
        let header = SegmentHeader::decode(&bytes).map_err(|_| self.changed())?;
        Ok(Loaded {
            number: held.number,
            bytes,
            cursor: Cursor {
                offset: HEADER_BYTES,
                next_lsn: header.first_lsn,
                chain: header.chain,
                synced: 0,
            },
        })
    }

    fn read(&mut self) -> Result<Option<Record>, OpenError> {
        while self.next_lsn < self.end_lsn {
            let mut loaded = match self.current.take() {
                Some(loaded) => loaded,
                None => match self.segments.next() {
                    Some(held) => self.enter(held)?,
                    None => return Err(self.changed()),
                },
            };
            let segment = Segment {
                bytes: &loaded.bytes,
                number: loaded.number,
                life: &self.life,
            };
            let Ok(item) = segment.next(&mut loaded.cursor) else {
                continue;
            };
            let record = (item.header.kind == ItemKind::Record && item.header.lsn >= self.next_lsn)
                .then(|| Record {
                    lsn: item.header.lsn,
                    payload: item.payload.to_vec(),
                });
            self.current = Some(loaded);
            if let Some(record) = record {
                return self.hand_out(record).map(Some);
            }
        }
        Ok(None)
    }

    fn hand_out(&mut self, record: Record) -> Result<Record, OpenError> {
        if record.lsn != self.next_lsn {
            return Err(self.changed());
        }
        self.next_lsn += 1;
        Ok(record)
    }

    /// The survey read it soundly a moment ago.
    fn changed(&self) -> OpenError {
        OpenError::corrupt(segment_name(self.entered), 0, Damage::Missing)
    }
}

impl Iterator for Records {
    type Item = Result<Record, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read().transpose();
        if let Some(Err(_)) = result {
            self.end_lsn = 0;
        }
        result
    }
}
