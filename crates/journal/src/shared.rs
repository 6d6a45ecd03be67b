//! What the handle and the two threads of a journal share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::error::{DiskFailure, DiskReason};
use crate::preparation::Spare;
use crate::status::{BusySince, Counters};
use crate::storage::{Storage, StorageLock};

/// Called after records became durable, after a segment was removed, and when the status changed. It must not block: it
/// runs on the journal's threads.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What the handle wants of the threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// Write what is queued, then the marker of a clean stop with this payload.
    Stop(Vec<u8>),
    /// End after the group at hand; what is queued behind it is dropped.
    Close,
}

pub(crate) struct State {
    pub(crate) order: Order,
    pub(crate) queue: VecDeque<Entry>,
    pub(crate) queued_bytes: usize,
    /// The next record to be appended.
    pub(crate) next_lsn: u64,
    /// What may be released, as far as it was not written yet.
    pub(crate) release: Option<u64>,
    /// The next segment, once prepared.
    pub(crate) spare: Option<Spare>,
    /// The segment to prepare, and its capacity.
    pub(crate) wanted: Option<(u64, u32)>,
    /// The writer waits for the spare.
    pub(crate) writer_waits: bool,
    /// The last attempt to prepare found no space.
    pub(crate) full: bool,
    /// Segments to remove, the oldest first.
    pub(crate) freed: VecDeque<u64>,
    /// The writer has ended; after [`Order::Stop`] and without a failure, the marker is written.
    pub(crate) ended: bool,
}

impl State {
    /// Whether a spare of at least `capacity` bytes is prepared.
    pub(crate) fn has_spare(&self, capacity: u32) -> bool {
        self.spare
            .as_ref()
            .is_some_and(|spare| spare.capacity >= capacity)
    }
}

pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u32,
    pub(crate) waker: Waker,
    /// Held until the last thread has ended: nobody else may open the directory while one could still write.
    pub(crate) _lock: Arc<dyn StorageLock>,
    state: Mutex<State>,
    /// For the writer: entries, a spare, an order.
    pub(crate) work: Condvar,
    /// For the thread of the chores: a wanted spare, freed segments, an order.
    pub(crate) chores: Condvar,
    /// For whoever waits for the writer to end.
    pub(crate) end: Condvar,
    /// Log sequence number up to which records are durable.
    pub(crate) persisted: AtomicU64,
    pub(crate) busy: BusySince,
    pub(crate) failure: OnceLock<DiskFailure>,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        dir: PathBuf,
        segment_bytes: u32,
        waker: Waker,
        lock: Arc<dyn StorageLock>,
        next_lsn: u64,
    ) -> Self {
        Self {
            storage,
            dir,
            segment_bytes,
            waker,
            _lock: lock,
            state: Mutex::new(State {
                order: Order::Run,
                queue: VecDeque::new(),
                queued_bytes: 0,
                next_lsn,
                release: None,
                spare: None,
                wanted: None,
                writer_waits: false,
                full: false,
                freed: VecDeque::new(),
                ended: false,
            }),
            work: Condvar::new(),
            chores: Condvar::new(),
            end: Condvar::new(),
            persisted: AtomicU64::new(next_lsn - 1),
            busy: BusySince::new(Instant::now()),
            failure: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// The state. No code panics between two changes that belong together, so a poisoned lock holds a sound state; the
    /// thread that panicked has reported its failure.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(
        &self,
        condition: &Condvar,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        condition
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_for<'a>(
        &self,
        condition: &Condvar,
        state: MutexGuard<'a, State>,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let (state, _) = condition
            .wait_timeout(state, at_most)
            .unwrap_or_else(PoisonError::into_inner);
        state
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// The first failure is the journal's end.
    pub(crate) fn fail(&self, failure: DiskFailure) {
        let _ = self.failure.set(failure);
        // Under the lock, so that nobody misses it between looking and waiting.
        let state = self.state();
        self.work.notify_all();
        self.chores.notify_all();
        self.end.notify_all();
        drop(state);
        (self.waker)();
    }

    pub(crate) fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }
}

/// Reports a thread that panicked: a writer that silently ended would look like a disk that takes its time.
pub(crate) struct PanicReport<'a>(pub(crate) &'a Shared);

impl Drop for PanicReport<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(DiskFailure {
                reason: DiskReason::WriteFailed,
                detail: "a thread of the journal panicked".to_owned(),
            });
        }
    }
}
