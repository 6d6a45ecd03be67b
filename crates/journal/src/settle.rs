//! Makes durable what recovery read, and zeros what it did not take.

use std::path::Path;

use crate::error::{Attempted, Damage, DiskFailure, OpenError};
use crate::layout::segment_name;
use crate::log::Active;
use crate::preparation::blank;
use crate::storage::{Access, Storage};
use crate::survey::{Tail, Unused, load};

/// Makes the tail durable as it was read, and zeros what lies behind it.
///
/// What was read may have come from memory alone, also after a sync that failed and left its pages clean; only writing
/// it again makes a sync mean something. What a later item says was durable needs none of it.
pub(crate) fn settle(storage: &dyn Storage, dir: &Path, tail: &Tail) -> Result<Active, OpenError> {
    let name = segment_name(tail.number);
    let bytes = load(storage, dir, tail.number)?;
    let file = storage
        .open(&dir.join(&name), Access::Write)
        .writing(&name)?;
    let (synced, end) = (tail.cursor.synced, tail.cursor.offset);
    let unsettled = bytes
        .get(synced..end)
        .ok_or_else(|| OpenError::corrupt(&name, synced as u64, Damage::Length))?;
    if !unsettled.is_empty() {
        file.write_at(unsettled, synced as u64).writing(&name)?;
    }
    blank(file.as_ref(), end as u64, tail.garbage).writing(&name)?;
    if !unsettled.is_empty() || tail.garbage > 0 {
        file.sync().syncing(&name)?;
    }
    Ok(Active {
        number: tail.number,
        capacity: bytes.len(),
        offset: end,
        file,
    })
}

/// Zeros what a group left in the next segment that was never synced.
pub(crate) fn settle_unused(
    storage: &dyn Storage,
    dir: &Path,
    unused: &Unused,
) -> Result<(), DiskFailure> {
    let name = segment_name(unused.number);
    let file = storage
        .open(&dir.join(&name), Access::Write)
        .writing(&name)?;
    blank(file.as_ref(), 0, unused.garbage).writing(&name)?;
    file.sync().syncing(&name)
}
