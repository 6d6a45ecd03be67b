//! The journal of a running replica.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::chores;
use crate::clean_stop::CLEAN_STOP_BYTES_MAX;
use crate::entry::Entry;
use crate::error::{Attempted, DiskFailure, OpenError};
use crate::identity::Identity;
use crate::item::RECORD_BYTES_MAX;
use crate::log::Log;
use crate::preparation::{SEGMENT_BYTES, SEGMENT_BYTES_MAX};
use crate::recovery::Recovery;
use crate::shared::{End, Order, Role, Shared, State, Waker};
use crate::status::{STALL_AFTER, Statistics, Status};
use crate::storage::Storage;
use crate::survey::LSN_MAX;
use crate::writer;

/// Most bytes of records, their headers included, that wait to become durable: what a window of large batches can bring
/// while the disk stalls.
pub const QUEUE_BYTES_MAX: usize = 256 << 20;

/// The smallest segment that can be configured, in bytes.
pub const SEGMENT_BYTES_MIN: u32 = 4096;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// Length of a segment in bytes, from [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`]; others are moved to the nearer
    /// end.
    pub segment_bytes: u32,
    /// Says that something changed.
    pub waker: Waker,
}

/// Why a record was not queued. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Log sequence numbers are dense.
    NotDense {
        /// The one that comes next.
        expected: u64,
        /// The one that was given.
        found: u64,
    },
    /// The payload is longer than [`RECORD_BYTES_MAX`].
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// More than [`QUEUE_BYTES_MAX`] bytes would wait; append again when some are durable.
    QueueFull,
    /// The disk failed before.
    Failed(DiskFailure),
    /// The journal was stopped.
    Stopped,
}

/// Why a stop is not known to be clean. The next start then counts as one after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopError {
    /// The payload is longer than [`CLEAN_STOP_BYTES_MAX`].
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The disk did not take it in time. It may still do so: the marker would be valid, for nothing may leave after
    /// `clean_stop` was called.
    TimedOut,
    /// The disk failed.
    Failed(DiskFailure),
}

/// An open journal with its threads: one writes and syncs, the other prepares segments ahead of need and removes freed
/// ones.
///
/// Dropping it ends both without waiting; what is queued behind the group at hand is lost, as in a crash, and the lock
/// is held until they have ended. [`Journal::close`] waits for that.
pub struct Journal {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            waker: Arc::new(|| ()),
        }
    }
}

impl Journal {
    /// Opens the data directory of `identity` and recovers what is in it (see [`Log::open`]), then starts the threads.
    /// Blocks for as long as it takes to read the journal.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed before the whole directory was found sound.
    pub fn open(
        dir: &Path,
        identity: &Identity,
        storage: Arc<dyn Storage>,
        options: Options,
    ) -> Result<(Self, Recovery), OpenError> {
        let (log, recovery) = Log::open(Arc::clone(&storage), dir, identity)?;
        let segment_bytes = options
            .segment_bytes
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let shared = Arc::new(Shared::new(
            storage,
            dir.to_owned(),
            segment_bytes,
            options.waker,
            log.lock(),
            log.next_lsn(),
        ));
        shared.state().wanted = Some((log.next_number(), segment_bytes));
        let mut journal = Self {
            shared: Arc::clone(&shared),
            threads: Vec::with_capacity(2),
        };
        journal.spawn(Role::Chores, chores::run).writing("thread")?;
        journal
            .spawn(Role::Writer, move |shared| writer::run(shared, log))
            .writing("thread")?;
        Ok((journal, recovery))
    }

    fn spawn(&mut self, role: Role, run: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new().name(role.thread_name().to_owned());
        self.threads.push(builder.spawn(move || {
            let _end = End::new(&shared, role);
            run(&shared);
        })?);
        Ok(())
    }

    /// Queues a record; it is durable once [`Journal::persisted_up_to`] has reached `lsn`. Never blocks on the disk.
    /// All records that are queued while the writer is busy share one write and one sync.
    ///
    /// # Errors
    /// [`AppendError`]; the record is not queued.
    pub fn append(&self, lsn: u64, payload: Vec<u8>) -> Result<(), AppendError> {
        self.append_all(lsn, vec![payload])
    }

    /// Queues the records of a turn, the first of them with `first_lsn`: as [`Journal::append`], but all share one sync
    /// also where the writer is idle, which would take the first one by itself otherwise.
    ///
    /// # Errors
    /// [`AppendError`]; none of the records is queued.
    pub fn append_all(&self, first_lsn: u64, payloads: Vec<Vec<u8>>) -> Result<(), AppendError> {
        if let Some(payload) = payloads.iter().find(|one| one.len() > RECORD_BYTES_MAX) {
            let bytes = payload.len();
            return Err(AppendError::TooLarge { bytes });
        }
        if let Some(failure) = self.shared.failure.get() {
            return Err(AppendError::Failed(failure.clone()));
        }
        let count = payloads.len() as u64;
        let records: Vec<Entry> = payloads.into_iter().map(Entry::Record).collect();
        let bytes: usize = records.iter().map(Entry::queued_bytes).sum();
        let mut state = self.shared.state();
        if state.order != Order::Run {
            return Err(AppendError::Stopped);
        }
        if first_lsn != state.next_lsn || first_lsn.saturating_add(count) > LSN_MAX + 1 {
            return Err(AppendError::NotDense {
                expected: state.next_lsn,
                found: first_lsn,
            });
        }
        if state.queued_bytes + bytes > QUEUE_BYTES_MAX {
            return Err(AppendError::QueueFull);
        }
        state.next_lsn += count;
        state.queued_bytes += bytes;
        state.queue.extend(records);
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Log sequence number up to which all records are durable; 0 before the first one.
    pub fn persisted_up_to(&self) -> u64 {
        self.shared.persisted()
    }

    /// Says that records below `lsn` are needed no more: below one's own durable snapshot. Segments that hold nothing
    /// else are removed in the background; records that share a segment with later ones come back at a restart. Returns
    /// at once. What is not durable yet is never released.
    pub fn release(&self, lsn: u64) {
        let mut state = self.shared.state();
        let lsn = lsn.min(self.shared.persisted() + 1);
        state.release = Some(state.release.map_or(lsn, |release| release.max(lsn)));
        drop(state);
        self.shared.work.notify_one();
    }

    /// How the journal is doing at `now`.
    pub fn status(&self, now: Instant) -> Status {
        if let Some(failure) = self.shared.failure.get() {
            return Status::Failed(failure.clone());
        }
        let state = self.shared.state();
        if state.ended.contains(&Role::Writer) || state.order == Order::Close {
            return Status::Stopped;
        }
        if state.full {
            return Status::Full;
        }
        match self.shared.busy.lasts(now) {
            Some(since) if since > STALL_AFTER => Status::Stalled { since },
            _ => Status::Running,
        }
    }

    /// How long the write or sync at hand has been running at `now`; none while the disk is idle. For decisions that
    /// come before [`STALL_AFTER`], such as a planned hand-over.
    pub fn writing_for(&self, now: Instant) -> Option<Duration> {
        self.shared.busy.lasts(now)
    }

    /// Counters since the journal was opened.
    pub fn statistics(&self) -> Statistics {
        let queued_bytes = self.shared.state().queued_bytes;
        self.shared.counters.read(queued_bytes as u64)
    }

    /// Stops cleanly: makes everything that is queued durable, and then writes the marker with what the replica must
    /// know to vote on at its next start. Nothing that binds may leave once this was called, whatever it returns.
    /// Blocks for at most `within`. The lock is free once this returned, unless the disk holds up what was done in the
    /// background: then as soon as that ends.
    ///
    /// # Errors
    /// [`StopError`]: the stop is not known to be clean.
    pub fn clean_stop(mut self, payload: Vec<u8>, within: Duration) -> Result<(), StopError> {
        if payload.len() > CLEAN_STOP_BYTES_MAX {
            return Err(StopError::TooLarge {
                bytes: payload.len(),
            });
        }
        let ended = self.order(Order::Stop(payload), Some(within));
        if ended.len() == self.threads.len() {
            self.join();
        }
        match self.shared.failure.get() {
            Some(failure) => Err(StopError::Failed(failure.clone())),
            None if ended.contains(&Role::Writer) => Ok(()),
            None => Err(StopError::TimedOut),
        }
    }

    /// Ends the threads after the group at hand and waits for them; as a crash, for what is queued behind it.
    pub fn close(mut self) {
        self.order(Order::Close, None);
        self.join();
    }

    /// Gives an order and waits until both threads have ended, or for `within`; returns which have.
    fn order(&self, order: Order, within: Option<Duration>) -> Vec<Role> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut state = self.shared.state();
        state.order = order;
        self.shared.work.notify_all();
        self.shared.chores.notify_all();
        while state.ended.len() < self.threads.len() {
            state = match deadline {
                None => self.shared.wait(&self.shared.end, state),
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) => self.shared.wait_for(&self.shared.end, state, left),
                    None => break,
                },
            };
        }
        state.ended.clone()
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic was reported as the journal's failure.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let mut state: std::sync::MutexGuard<'_, State> = self.shared.state();
        if state.order == Order::Run {
            state.order = Order::Close;
        }
        self.shared.work.notify_all();
        self.shared.chores.notify_all();
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDense { expected, found } => {
                write!(formatter, "record {found} where {expected} comes next")
            }
            Self::TooLarge { bytes } => write!(formatter, "a record of {bytes} bytes"),
            Self::QueueFull => formatter.write_str("too many bytes wait to become durable"),
            Self::Failed(failure) => failure.fmt(formatter),
            Self::Stopped => formatter.write_str("the journal was stopped"),
        }
    }
}

impl fmt::Display for StopError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(formatter, "a clean stop of {bytes} bytes"),
            Self::TimedOut => formatter.write_str("the disk did not take the stop in time"),
            Self::Failed(failure) => failure.fmt(formatter),
        }
    }
}

impl std::error::Error for AppendError {}
impl std::error::Error for StopError {}
