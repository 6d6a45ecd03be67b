//! Reads a whole data directory without changing it, and judges it.
//!
//! A group of records is written only after the group before it is synced, a segment only after the segment before it
//! is, and every item says how much of its segment was durable when it was written. So whatever fails its check can be
//! told apart: if a sound item says that it was durable, it is damage ([`OpenError::Corrupt`]); if none does, it is the
//! tail of a group whose sync never returned, which nobody was told about.

use std::path::Path;

use crate::clean_stop::{self, JournalEnd};
use crate::error::{Attempted, Damage, DiskFailure, OpenError};
use crate::item::{ITEM_HEADER_BYTES, ItemKind};
use crate::layout::{segment_name, segment_number, u64_at};
use crate::marker::Marker;
use crate::preparation::SEGMENT_BYTES_MAX;
use crate::scan::{Cursor, End, Segment};
use crate::segment::{HEADER_BYTES, HeaderFault, SegmentHeader};
use crate::storage::{Storage, read_file};

/// Log sequence numbers stay exact in JavaScript.
pub(crate) const LSN_MAX: u64 = (1 << 53) - 1;

/// A segment with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) first_lsn: u64,
}

/// A segment that was prepared or torn before anything in it was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) number: u64,
    /// Bytes up to the last one that is not zero.
    pub(crate) garbage: usize,
}

/// The segment where the journal goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) number: u64,
    pub(crate) cursor: Cursor,
    end: End,
    /// Bytes behind the cursor up to the last one that is not zero; none where a mark is all that is there.
    pub(crate) garbage: usize,
}

/// What lies in a data directory.
pub(crate) struct Survey {
    pub(crate) marker: Marker,
    /// Ascending, dense.
    pub(crate) held: Vec<Held>,
    /// The last one held; none before the first record.
    pub(crate) tail: Option<Tail>,
    /// Behind the tail. One at most: the next one is prepared only when a group in this one was synced.
    pub(crate) unused: Option<Unused>,
    /// Records below were released.
    pub(crate) released_below: u64,
    pub(crate) next_lsn: u64,
    pub(crate) chain: u64,
    /// The payload of the marker of a clean stop.
    pub(crate) clean_stop: Option<Vec<u8>>,
}

/// Reads the bytes of a segment, at most [`SEGMENT_BYTES_MAX`].
pub(crate) fn load(storage: &dyn Storage, dir: &Path, number: u64) -> Result<Vec<u8>, OpenError> {
    let name = segment_name(number);
    match read_file(storage, &dir.join(&name), u64::from(SEGMENT_BYTES_MAX)) {
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            Err(OpenError::corrupt(name, 0, Damage::Length))
        }
        result => Ok(result.reading(&name)?),
    }
}

/// Numbers of the segments that are there, ascending.
pub(crate) fn numbers(storage: &dyn Storage, dir: &Path) -> Result<Vec<u64>, DiskFailure> {
    let names = storage.list(dir).reading("data directory")?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .filter(|&number| number > 0)
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A journal without a segment has vanished, and one with a gap has lost what was in it.
fn require_dense(numbers: &[u64]) -> Result<(), OpenError> {
    let missing = match numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        Some(gap) => gap[0] + 1,
        None if numbers.is_empty() => 1,
        None => return Ok(()),
    };
    Err(OpenError::corrupt(
        segment_name(missing),
        0,
        Damage::FileMissing,
    ))
}

impl Survey {
    pub(crate) fn take(
        storage: &dyn Storage,
        dir: &Path,
        marker: Marker,
    ) -> Result<Self, OpenError> {
        let mut survey = Self {
            marker,
            held: Vec::new(),
            tail: None,
            unused: None,
            released_below: 0,
            next_lsn: 1,
            chain: 0,
            clean_stop: None,
        };
        let numbers = numbers(storage, dir)?;
        require_dense(&numbers)?;
        for number in numbers {
            let bytes = load(storage, dir, number)?;
            survey.visit(&Segment {
                bytes: &bytes,
                number,
                life: &marker.life,
            })?;
        }
        survey.require_beginning()?;
        survey.clean_stop = clean_stop::read(storage, dir, &survey.end())?;
        Ok(survey)
    }

    /// Where the journal ends.
    pub(crate) fn end(&self) -> JournalEnd {
        JournalEnd {
            life: self.marker.life,
            last_lsn: self.next_lsn - 1,
            chain: self.chain,
        }
    }

    /// The oldest record kept; `next_lsn` where none is.
    pub(crate) fn first_lsn(&self) -> u64 {
        self.held
            .first()
            .map_or(self.next_lsn, |held| held.first_lsn)
            .max(self.released_below)
    }

    fn visit(&mut self, segment: &Segment<'_>) -> Result<(), OpenError> {
        if let Some(unused) = self.unused {
            let name = segment_name(unused.number);
            return Err(OpenError::corrupt(name, 0, Damage::Header));
        }
        match SegmentHeader::decode(segment.bytes) {
            Ok(header) => self.visit_held(segment, &header),
            Err(HeaderFault::Version(found)) => Err(OpenError::UnsupportedVersion {
                file: segment_name(segment.number),
                found,
            }),
            Err(HeaderFault::Blank | HeaderFault::Damaged) => self.visit_unused(segment),
        }
    }

    fn visit_held(
        &mut self,
        segment: &Segment<'_>,
        header: &SegmentHeader,
    ) -> Result<(), OpenError> {
        let name = segment_name(segment.number);
        self.require_ours(segment, header, &name)?;
        match &self.tail {
            Some(tail) if (header.first_lsn, header.chain) != (self.next_lsn, self.chain) => {
                return Err(tail.corrupt());
            }
            None if segment.number == 1 && (header.first_lsn, header.chain) != (1, 0) => {
                return Err(OpenError::corrupt(name, 0, Damage::OutOfChain));
            }
            _ => {}
        }
        let mut cursor = Cursor {
            offset: HEADER_BYTES,
            next_lsn: header.first_lsn,
            chain: header.chain,
            synced: 0,
        };
        let end = self.walk(segment, &mut cursor);
        let marked = end == End::Mark && segment.garbage(cursor.offset + ITEM_HEADER_BYTES) == 0;
        let tail = Tail {
            number: segment.number,
            cursor,
            end,
            garbage: if marked {
                0
            } else {
                segment.garbage(cursor.offset)
            },
        };
        if segment.proves_more(cursor.offset, cursor.offset) {
            return Err(tail.corrupt());
        }
        self.held.push(Held {
            number: segment.number,
            first_lsn: header.first_lsn,
        });
        self.next_lsn = cursor.next_lsn;
        self.chain = cursor.chain;
        self.tail = Some(tail);
        Ok(())
    }

    fn require_ours(
        &self,
        segment: &Segment<'_>,
        header: &SegmentHeader,
        name: &str,
    ) -> Result<(), OpenError> {
        if let Some(field) = self.marker.identity.differs(&header.identity) {
            return Err(OpenError::Foreign {
                file: name.to_owned(),
                field,
            });
        }
        let damage = if header.life != self.marker.life || header.number != segment.number {
            Damage::Stale
        } else if header.capacity as usize != segment.bytes.len() {
            Damage::Length
        } else if header.first_lsn == 0 || header.first_lsn > LSN_MAX {
            Damage::Header
        } else {
            return Ok(());
        };
        Err(OpenError::corrupt(name, 0, damage))
    }

    fn walk(&mut self, segment: &Segment<'_>, cursor: &mut Cursor) -> End {
        loop {
            match segment.next(cursor) {
                Ok(item) if item.header.kind == ItemKind::Release && item.payload.len() == 8 => {
                    self.released_below = self.released_below.max(u64_at(item.payload, 0));
                }
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }

    /// A segment without a header was never synced, unless an item in it says otherwise. Any item in it proves that the
    /// segment before it was complete, but for a torn mark.
    fn visit_unused(&mut self, segment: &Segment<'_>) -> Result<(), OpenError> {
        let mut items = segment.items_from(0).peekable();
        let fault = self
            .tail
            .as_ref()
            .filter(|tail| matches!(tail.end, End::Fault(_)) && tail.garbage > ITEM_HEADER_BYTES);
        if let Some(tail) = fault.filter(|_| items.peek().is_some()) {
            return Err(tail.corrupt());
        }
        if items.any(|(_, header)| header.synced > 0) {
            let name = segment_name(segment.number);
            return Err(OpenError::corrupt(name, 0, Damage::Header));
        }
        self.unused = Some(Unused {
            number: segment.number,
            garbage: segment.garbage(0),
        });
        Ok(())
    }

    /// The oldest segment that is left begins no later than what was released.
    fn require_beginning(&self) -> Result<(), OpenError> {
        let missing = match (self.held.first(), self.unused) {
            (Some(held), _) if held.first_lsn > self.released_below.max(1) => held.number - 1,
            (None, Some(unused)) if unused.number > 1 => unused.number - 1,
            _ => return Ok(()),
        };
        Err(OpenError::corrupt(
            segment_name(missing),
            0,
            Damage::FileMissing,
        ))
    }
}

impl Tail {
    fn corrupt(&self) -> OpenError {
        let damage = match self.end {
            End::Nothing | End::Mark => Damage::Missing,
            End::Fault(damage) => damage,
        };
        OpenError::corrupt(segment_name(self.number), self.cursor.offset as u64, damage)
    }
}
