//! The journal without threads: what [`crate::Journal`] drives from two of them, and tools and tests from one.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clean_stop;
use crate::entry::{Entry, Wrote};
use crate::error::{Attempted, DiskFailure, OpenError};
use crate::identity::Identity;
use crate::init::lock;
use crate::item::{ITEM_HEADER_BYTES, ItemKind, NewItem, Position, encode};
use crate::layout::{LOCK, segment_name};
use crate::marker::Marker;
use crate::preparation::Spare;
use crate::recovery::Recovery;
use crate::segment::{HEADER_BYTES, SegmentHeader};
use crate::settle::{settle, settle_unused};
use crate::storage::{Storage, StorageFile, StorageLock};
use crate::survey::{Held, Survey};

/// Most bytes of one write, unless a single record is longer: bounds the buffer, and how long the first record of a group
/// waits for the last.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// The segment in use.
pub(crate) struct Active {
    pub(crate) number: u64,
    pub(crate) capacity: usize,
    /// Where the next group begins.
    pub(crate) offset: usize,
    pub(crate) file: Box<dyn StorageFile>,
}

/// An open journal. It holds the directory's lock.
pub struct Log {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    marker: Marker,
    lock: Arc<dyn StorageLock>,
    held: VecDeque<Held>,
    active: Option<Active>,
    next_number: u64,
    next_lsn: u64,
    chain: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Opens the data directory of `identity`: takes its lock, reads and judges all of it, makes durable what was read,
    /// cuts off a torn tail, and consumes the marker of a clean stop.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing is changed before the whole directory was found sound.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: &Path,
        identity: &Identity,
    ) -> Result<(Self, Recovery), OpenError> {
        // Without a marker nothing is created, not even the lock file; it is read again under the lock.
        Marker::read(storage.as_ref(), dir)?;
        let lock = lock(storage.as_ref(), dir)
            .writing(LOCK)?
            .ok_or(OpenError::InUse)?;
        let marker = Marker::read(storage.as_ref(), dir)?;
        marker.require(identity)?;
        let survey = Survey::take(storage.as_ref(), dir, marker)?;
        let active = survey
            .tail
            .as_ref()
            .map(|tail| settle(storage.as_ref(), dir, tail))
            .transpose()?;
        if let Some(unused) = survey.unused.filter(|unused| unused.garbage > 0) {
            settle_unused(storage.as_ref(), dir, &unused)?;
        }
        // Also where nothing was removed: a removal before the last crash may not be durable yet.
        storage.sync_dir(dir).syncing("data directory")?;
        if survey.clean_stop.is_some() {
            clean_stop::consume(storage.as_ref(), dir)?;
        }
        let mut log = Self {
            dir: dir.to_owned(),
            marker,
            lock,
            held: survey.held.iter().copied().collect(),
            next_number: active.as_ref().map_or(1, |active| active.number + 1),
            active,
            next_lsn: survey.next_lsn,
            chain: survey.chain,
            buffer: Vec::new(),
            storage: Arc::clone(&storage),
        };
        log.mark()?;
        Ok((log, Recovery::new(storage, dir, survey)))
    }

    /// Number of the segment that comes after the one in use: the spare to prepare.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Log sequence number that the next record takes.
    pub fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// Whether releasing below `lsn` would free a segment.
    pub fn frees(&self, lsn: u64) -> bool {
        self.held
            .get(1)
            .is_some_and(|second| second.first_lsn <= lsn)
    }

    pub(crate) fn lock(&self) -> Arc<dyn StorageLock> {
        Arc::clone(&self.lock)
    }

    /// Writes as many entries as make one group, in one write, and syncs once. `spare` is taken when the segment in use
    /// is full. The queue must not be empty.
    ///
    /// # Errors
    /// A [`DiskFailure`] is final: what was written may or may not survive. Drop the journal.
    pub fn write(
        &mut self,
        queue: &mut VecDeque<Entry>,
        spare: &mut Option<Spare>,
    ) -> Result<Wrote, DiskFailure> {
        let first = queue.front().expect("a group has an entry");
        if !self.fits(first) {
            match spare.take_if(|spare| HEADER_BYTES + first.room() <= spare.capacity as usize) {
                Some(spare) => self.activate(spare),
                None => {
                    return Ok(Wrote::Wants {
                        number: self.next_number,
                        length: first.bytes() - ITEM_HEADER_BYTES,
                    });
                }
            }
        }
        let (entries, lsn, chain) = self.fill(queue);
        let record_bytes = queue.iter().take(entries).map(Entry::queued_bytes).sum();
        let active = self.active.as_mut().expect("the group fits somewhere");
        let name = segment_name(active.number);
        active
            .file
            .write_at(&self.buffer, active.offset as u64)
            .writing(&name)?;
        active.file.sync().syncing(&name)?;
        let bytes = self.buffer.len();
        active.offset += bytes;
        let records = lsn + 1 - self.next_lsn;
        (self.next_lsn, self.chain) = (lsn + 1, chain);
        if self.buffer.capacity() > 2 * GROUP_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(Wrote::Group {
            records,
            record_bytes,
            bytes,
            freed: self.free(queue.drain(..entries)),
        })
    }

    /// Notes behind the last record that all before it is durable, without a sync of its own: it costs nothing, and a
    /// later damage to the last group is then found unless the machine crashed as well.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn mark(&mut self) -> Result<(), DiskFailure> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        if active.offset <= HEADER_BYTES || active.capacity - active.offset < ITEM_HEADER_BYTES {
            return Ok(());
        }
        self.buffer.clear();
        let item = NewItem {
            kind: ItemKind::Mark,
            synced: active.offset as u32,
            lsn: self.next_lsn - 1,
            previous: self.chain,
            payload: &[],
        };
        let position = Position {
            life: &self.marker.life,
            segment: active.number,
            offset: active.offset,
        };
        encode(&mut self.buffer, position, &item);
        active
            .file
            .write_at(&self.buffer, active.offset as u64)
            .writing(&segment_name(active.number))
    }

    /// Writes the marker of a clean stop with what the replica must know at its next start, at most
    /// [`crate::CLEAN_STOP_BYTES_MAX`] bytes. Nothing may be written afterwards.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn clean_stop(self, payload: &[u8]) -> Result<(), DiskFailure> {
        let end = clean_stop::JournalEnd {
            life: self.marker.life,
            last_lsn: self.next_lsn - 1,
            chain: self.chain,
        };
        clean_stop::write(self.storage.as_ref(), &self.dir, &end, payload)
    }

    fn fits(&self, entry: &Entry) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.offset + entry.room() <= active.capacity)
    }

    fn activate(&mut self, spare: Spare) {
        assert_eq!(spare.number, self.next_number, "segments are used in order");
        self.held.push_back(Held {
            number: spare.number,
            first_lsn: self.next_lsn,
        });
        self.next_number += 1;
        self.active = Some(Active {
            number: spare.number,
            capacity: spare.capacity as usize,
            offset: 0,
            file: spare.file,
        });
    }

    /// Fills the buffer with the next group; returns its entries, the last log sequence number and the chain value.
    fn fill(&mut self, queue: &VecDeque<Entry>) -> (usize, u64, u64) {
        let active = self.active.as_ref().expect("the group fits somewhere");
        let start = active.offset;
        self.buffer.clear();
        if start == 0 {
            let header = SegmentHeader {
                capacity: active.capacity as u32,
                identity: self.marker.identity,
                number: active.number,
                first_lsn: self.next_lsn,
                chain: self.chain,
                life: self.marker.life,
            };
            self.buffer.extend_from_slice(&header.encode());
        }
        let (mut entries, mut lsn, mut chain) = (0, self.next_lsn - 1, self.chain);
        for entry in queue {
            let end = self.buffer.len() + entry.room();
            if start + end > active.capacity || (entries > 0 && end > GROUP_BYTES_MAX) {
                break;
            }
            let released;
            let (kind, payload) = match entry {
                Entry::Record(payload) => {
                    lsn += 1;
                    (ItemKind::Record, payload.as_slice())
                }
                Entry::Release(below) => {
                    released = below.to_le_bytes();
                    (ItemKind::Release, released.as_slice())
                }
            };
            let position = Position {
                life: &self.marker.life,
                segment: active.number,
                offset: start + self.buffer.len(),
            };
            let item = NewItem {
                kind,
                synced: start as u32,
                lsn,
                previous: chain,
                payload,
            };
            chain = encode(&mut self.buffer, position, &item);
            entries += 1;
        }
        (entries, lsn, chain)
    }

    /// Forgets the segments that the releases among durable entries free.
    fn free(&mut self, durable: impl Iterator<Item = Entry>) -> Vec<u64> {
        let below = durable
            .filter_map(|entry| match entry {
                Entry::Release(below) => Some(below),
                Entry::Record(_) => None,
            })
            .max()
            .unwrap_or(0);
        let mut freed = Vec::new();
        while self.frees(below) {
            freed.extend(self.held.pop_front().map(|held| held.number));
        }
        freed
    }
}
