//! The marker of a clean stop: what the replica knew when it stopped voting.
//!
//! It says at which record the journal ended. `open` removes it durably before it returns, so that no vote of a later
//! run can stand beside a marker that does not know it.

use std::path::Path;

use crate::error::{Attempted, Damage, DiskFailure, OpenError};
use crate::identity::{LIFE_BYTES, Life};
use crate::layout::{CLEAN_STOP, array, u64_at};
use crate::sealed::{BODY_BYTES_MAX, Seal};
use crate::storage::Storage;

const SEAL: Seal = Seal {
    name: CLEAN_STOP,
    magic: *b"bqclean\0",
    version: 1,
};

const FIXED_BYTES: usize = LIFE_BYTES + 16;

/// Longest payload of a clean stop, in bytes.
pub const CLEAN_STOP_BYTES_MAX: usize = BODY_BYTES_MAX - FIXED_BYTES;

/// Where a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    pub(crate) life: Life,
    /// Log sequence number of the last record, 0 before the first.
    pub(crate) last_lsn: u64,
    /// Chain value of the last item.
    pub(crate) chain: u64,
}

/// Writes the marker durably.
pub(crate) fn write(
    storage: &dyn Storage,
    dir: &Path,
    end: &JournalEnd,
    payload: &[u8],
) -> Result<(), DiskFailure> {
    let mut body = Vec::with_capacity(FIXED_BYTES + payload.len());
    body.extend_from_slice(&end.life);
    body.extend_from_slice(&end.last_lsn.to_le_bytes());
    body.extend_from_slice(&end.chain.to_le_bytes());
    body.extend_from_slice(payload);
    SEAL.write(storage, dir, &body)
}

/// The payload of the marker; none after an unclean stop. A marker that does not match the journal's end is refused:
/// one of the two was restored from another time.
pub(crate) fn read(
    storage: &dyn Storage,
    dir: &Path,
    end: &JournalEnd,
) -> Result<Option<Vec<u8>>, OpenError> {
    let Some(mut body) = SEAL.read(storage, dir)? else {
        return Ok(None);
    };
    if body.len() < FIXED_BYTES {
        return Err(OpenError::corrupt(CLEAN_STOP, 0, Damage::Header));
    }
    let marked = JournalEnd {
        life: array(&body, 0),
        last_lsn: u64_at(&body, LIFE_BYTES),
        chain: u64_at(&body, LIFE_BYTES + 8),
    };
    if marked != *end {
        return Err(OpenError::corrupt(CLEAN_STOP, 0, Damage::Stale));
    }
    Ok(Some(body.split_off(FIXED_BYTES)))
}

/// Removes the marker durably.
pub(crate) fn consume(storage: &dyn Storage, dir: &Path) -> Result<(), DiskFailure> {
    storage.remove(&dir.join(CLEAN_STOP)).writing(CLEAN_STOP)?;
    storage.sync_dir(dir).syncing("data directory")
}
