//! What a replica restarts from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Place;
use crate::layout::segment_name;
use crate::marker::Origin;
use crate::records::Records;
use crate::storage::Storage;
use crate::survey::{Held, Survey};

/// The tail of a group whose sync never returned; it was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where the sound records end.
    pub place: Place,
    /// Bytes cut off.
    pub bytes: u64,
}

/// What a replica restarts from: everything that was ever reported persisted and not released, and perhaps records
/// behind it that were appended and never reported; those are durable now as well.
pub struct Recovery {
    /// How the directory began. Without records, [`Origin::Genesis`] is a first start and [`Origin::Wiped`] is not.
    pub origin: Origin,
    /// Log sequence number of the oldest record kept; `last_lsn + 1` where none is.
    pub first_lsn: u64,
    /// Log sequence number of the last record, 0 before the first one.
    pub last_lsn: u64,
    /// The payload of `clean_stop`, where that was the last thing that happened here. It is consumed: the next start is
    /// unclean unless `clean_stop` succeeds again.
    pub clean_stop: Option<Vec<u8>>,
    /// What was cut off: a crash while a group was written.
    pub torn: Option<Torn>,
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    life: [u8; 16],
    held: Vec<Held>,
}

/// What recovery cuts off.
pub(crate) fn torn(survey: &Survey) -> Option<Torn> {
    let tail = survey.tail.as_ref().filter(|tail| tail.garbage > 0);
    let unused = survey.unused.filter(|unused| unused.garbage > 0);
    let (number, offset, bytes) = match (tail, unused) {
        (Some(tail), _) => (tail.number, tail.cursor.offset, tail.garbage),
        (None, Some(unused)) => (unused.number, 0, unused.garbage),
        (None, None) => return None,
    };
    Some(Torn {
        place: Place {
            file: segment_name(number),
            offset: offset as u64,
        },
        bytes: bytes as u64,
    })
}

impl Recovery {
    pub(crate) fn new(storage: Arc<dyn Storage>, dir: &Path, survey: Survey) -> Self {
        Self {
            origin: survey.marker.origin,
            first_lsn: survey.first_lsn(),
            last_lsn: survey.next_lsn - 1,
            torn: torn(&survey),
            clean_stop: survey.clean_stop,
            storage,
            dir: dir.to_owned(),
            life: survey.marker.life,
            held: survey.held,
        }
    }

    /// Whether the journal never had a record.
    pub fn is_empty(&self) -> bool {
        self.last_lsn == 0
    }

    /// The records from `first_lsn` to `last_lsn`. Read them before anything is released: their segments may be gone
    /// afterwards.
    pub fn records(&self) -> Records {
        Records {
            storage: Arc::clone(&self.storage),
            dir: self.dir.clone(),
            life: self.life,
            segments: self.held.clone().into_iter(),
            current: None,
            entered: 0,
            next_lsn: self.first_lsn,
            end_lsn: self.last_lsn + 1,
        }
    }
}
