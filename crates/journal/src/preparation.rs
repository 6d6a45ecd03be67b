//! Segments are prepared before they are needed: filled with zeros, synced, and named durably.
//!
//! A write into a prepared segment changes neither the file's length nor where its blocks lie, so that its fdatasync
//! waits for the data alone and not for the file system's own journal (`DECISION.md` has the figures).

use std::path::Path;

use crate::entry::RELEASE_ITEM_BYTES;
use crate::error::{Attempted, DiskFailure};
use crate::item::{RECORD_BYTES_MAX, item_bytes};
use crate::layout::segment_name;
use crate::segment::HEADER_BYTES;
use crate::storage::{Access, Storage, StorageFile};

/// Length of a segment in bytes: below a second of a busy journal, so that a release frees soon, and long enough that
/// preparing the next one does not show in the latency of the syncs beside it.
pub const SEGMENT_BYTES: u32 = 8 << 20;

/// A segment for one large record is as long as that; never longer than this.
pub const SEGMENT_BYTES_MAX: u32 = bytes_for(RECORD_BYTES_MAX) as u32;

/// Zeros are written in slices of this many bytes, each synced, so that no sync of records queues behind a large one.
const SLICE_BYTES: usize = 512 << 10;

const PAGE_BYTES: usize = 4096;

/// Bytes of a segment for one record with a payload of `length` bytes and the release behind it.
const fn bytes_for(length: usize) -> usize {
    (HEADER_BYTES + item_bytes(length) + RELEASE_ITEM_BYTES).next_multiple_of(PAGE_BYTES)
}

/// A segment that is prepared and not yet in use.
pub struct Spare {
    pub(crate) number: u64,
    pub(crate) capacity: u32,
    pub(crate) file: Box<dyn StorageFile>,
}

/// How a segment is prepared; asked before each slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Beside the syncs of records: each slice is synced.
    Gentle,
    /// Records wait for it: one sync at the end.
    Hurry,
    /// Not at all any more.
    Stop,
}

/// Capacity of a segment of usually `segment_bytes` whose first record has a payload of `length` bytes.
pub(crate) fn capacity_for(segment_bytes: u32, length: usize) -> u32 {
    segment_bytes.max(bytes_for(length) as u32)
}

/// Prepares segment `number` with at least `capacity` bytes; none is returned once the pace is to stop. Doing it again,
/// after a crash or with more bytes, goes on where it ended.
pub fn prepare(
    storage: &dyn Storage,
    dir: &Path,
    number: u64,
    capacity: u32,
    pace: &dyn Fn() -> Pace,
) -> Result<Option<Spare>, DiskFailure> {
    let name = segment_name(number);
    let file = storage
        .open(&dir.join(&name), Access::Create)
        .writing(&name)?;
    let begun = file.length().reading(&name)?;
    let capacity = u64::from(capacity).max(begun);
    let zeros = vec![0; SLICE_BYTES.min(capacity as usize)];
    let mut written = begun;
    while written < capacity {
        let pace = pace();
        if pace == Pace::Stop {
            return Ok(None);
        }
        let slice = zeros.len().min((capacity - written) as usize);
        file.write_at(&zeros[..slice], written).writing(&name)?;
        if pace == Pace::Gentle {
            file.sync().syncing(&name)?;
        }
        written += slice as u64;
    }
    file.sync().syncing(&name)?;
    storage.sync_dir(dir).syncing("data directory")?;
    Ok(Some(Spare {
        number,
        capacity: capacity as u32,
        file,
    }))
}

/// Removes segment `number` durably. The oldest goes first and the next one after it is gone, so that a crash leaves no
/// gap.
pub fn unlink(storage: &dyn Storage, dir: &Path, number: u64) -> Result<(), DiskFailure> {
    let name = segment_name(number);
    storage.remove(&dir.join(&name)).writing(&name)?;
    storage.sync_dir(dir).syncing("data directory")
}

/// Writes `length` zeros at `offset`, without a sync.
pub(crate) fn blank(file: &dyn StorageFile, offset: u64, length: usize) -> std::io::Result<()> {
    let zeros = vec![0; SLICE_BYTES.min(length)];
    let mut done = 0;
    while done < length {
        let slice = zeros.len().min(length - done);
        file.write_at(&zeros[..slice], offset + done as u64)?;
        done += slice;
    }
    Ok(())
}
