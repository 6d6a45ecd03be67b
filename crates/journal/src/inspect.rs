//! What lies in a data directory, for people: read without the lock and without changing anything.
//!
//! While a replica runs on the directory, its newest records may look torn, and segments may vanish underfoot.

use std::path::Path;

use crate::clean_stop::JournalEnd;
use crate::error::{Damage, DiskFailure, OpenError};
use crate::identity::Identity;
use crate::item::{ItemHeader, item_bytes, payload};
use crate::layout::segment_name;
use crate::marker::{Marker, Origin};
use crate::recovery::{Torn, torn};
use crate::scan::{Cursor, Segment};
use crate::segment::{HEADER_BYTES, HeaderFault, SegmentHeader};
use crate::storage::Storage;
use crate::survey::{Survey, load, numbers};

/// What recovery would find. [`inspect`] returns its error where recovery would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Whose directory it is, by its marker.
    pub identity: Identity,
    /// How it began.
    pub origin: Origin,
    /// Segments with records.
    pub segments: u64,
    /// Log sequence number of the oldest record kept; `last_lsn + 1` where none is.
    pub first_lsn: u64,
    /// Log sequence number of the last record, 0 before the first one.
    pub last_lsn: u64,
    /// Length in bytes of what the marker of a clean stop carries, where there is one.
    pub clean_stop: Option<u64>,
    /// What recovery would cut off.
    pub torn: Option<Torn>,
}

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// Its name in the directory.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its header, or why it has none.
    pub header: Result<SegmentHeader, HeaderFault>,
    /// The items in it, also those behind a damaged one.
    pub items: Vec<ItemReport>,
}

/// One item of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemReport {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its header.
    pub header: ItemHeader,
    /// What is wrong with it; none if it is sound and follows the item before it. A mark that a later item wrote over in
    /// part is out of the chain as well.
    pub damage: Option<Damage>,
}

/// What recovery of the directory would find.
///
/// # Errors
/// Why recovery would refuse; [`OpenError::InUse`] and [`OpenError::Foreign`] of the marker are never found here.
pub fn inspect(storage: &dyn Storage, dir: &Path) -> Result<Inspection, OpenError> {
    let marker = Marker::read(storage, dir)?;
    let survey = Survey::take(storage, dir, marker)?;
    let JournalEnd { last_lsn, .. } = survey.end();
    Ok(Inspection {
        identity: marker.identity,
        origin: marker.origin,
        segments: survey.held.len() as u64,
        first_lsn: survey.first_lsn(),
        last_lsn,
        clean_stop: survey
            .clean_stop
            .as_ref()
            .map(|payload| payload.len() as u64),
        torn: torn(&survey),
    })
}

/// Numbers of the segment files that are there, ascending; [`inspect`] names one that is missing between them.
///
/// # Errors
/// [`DiskFailure`] where the directory cannot be read.
pub fn segments(storage: &dyn Storage, dir: &Path) -> Result<Vec<u64>, DiskFailure> {
    numbers(storage, dir)
}

/// Reads one segment, with its damage. Memory: the file and a report per item.
///
/// # Errors
/// [`OpenError`] where the marker or the file cannot be read at all.
pub fn segment(storage: &dyn Storage, dir: &Path, number: u64) -> Result<SegmentReport, OpenError> {
    let marker = Marker::read(storage, dir)?;
    let bytes = load(storage, dir, number)?;
    let header = SegmentHeader::decode(&bytes);
    let segment = Segment {
        bytes: &bytes,
        number,
        life: &marker.life,
    };
    Ok(SegmentReport {
        number,
        file: segment_name(number),
        bytes: bytes.len() as u64,
        items: items(&segment, header.ok()),
        header,
    })
}

/// Follows the chain; where it breaks, searches for the next item.
fn items(segment: &Segment<'_>, header: Option<SegmentHeader>) -> Vec<ItemReport> {
    let mut reports = Vec::new();
    let mut cursor = header.map(|header| Cursor {
        offset: HEADER_BYTES,
        next_lsn: header.first_lsn.max(1),
        chain: header.chain,
        synced: 0,
    });
    let mut from = HEADER_BYTES;
    while let Some((offset, header)) = segment.items_from(from).next() {
        let in_place = cursor
            .as_ref()
            .is_some_and(|cursor| cursor.offset == offset);
        let mut report = |damage| {
            reports.push(ItemReport {
                offset: offset as u64,
                header,
                damage,
            });
        };
        from = offset + item_bytes(header.length as usize);
        if payload(segment.bytes, offset, &header).is_none() {
            report(Some(Damage::Payload));
            continue;
        }
        let follows = match cursor.as_mut().filter(|_| in_place) {
            None => false,
            Some(cursor) => !matches!(
                segment.next(cursor),
                Err(crate::scan::End::Fault(_) | crate::scan::End::Nothing)
            ),
        };
        report((!follows).then_some(Damage::OutOfChain));
    }
    reports
}
