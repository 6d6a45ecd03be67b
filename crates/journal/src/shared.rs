//! What the handle and the two threads of a journal share.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::error::DiskFailure;
use crate::preparation::Spare;
use crate::status::{BusySince, Counters};
use crate::storage::{Storage, StorageLock};

/// Called after records became durable, after a segment was prepared or removed, and when the status changed, but for
/// the beginning of a stall, which only [`crate::Journal::status`] tells. It runs on the journal's threads: it must not
/// block, and if it panics the journal has failed.
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

/// What a thread of the journal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Chores,
}

impl Role {
    pub(crate) fn thread_name(self) -> &'static str {
        match self {
            Self::Writer => "journal-writer",
            Self::Chores => "journal-chores",
        }
    }
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
    /// The threads that have ended. Where the writer did so after [`Order::Stop`] and without a failure, the marker is
    /// written.
    pub(crate) ended: Vec<Role>,
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
    waker: Waker,
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
                ended: Vec::with_capacity(2),
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
        self.record(failure);
        self.wake();
    }

    fn record(&self, failure: DiskFailure) {
        let _ = self.failure.set(failure);
        // Under the lock, so that nobody misses it between looking and waiting.
        let _state = self.state();
        self.work.notify_all();
        self.chores.notify_all();
        self.end.notify_all();
    }

    /// Says that something changed. A waker that panics fails the journal: its owner would wait for ever.
    pub(crate) fn wake(&self) {
        let woken = panic::catch_unwind(AssertUnwindSafe(|| (self.waker)()));
        if woken.is_err() {
            self.record(DiskFailure::panicked("the waker"));
        }
    }

    pub(crate) fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }
}

/// Reports that a thread has ended, also by a panic: a writer that silently ended would look like a disk that takes its
/// time.
pub(crate) struct End<'a> {
    shared: &'a Shared,
    role: Role,
}

impl<'a> End<'a> {
    pub(crate) fn new(shared: &'a Shared, role: Role) -> Self {
        Self { shared, role }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let failure = DiskFailure::panicked(self.role.thread_name());
            self.shared.record(failure);
        }
        let mut state = self.shared.state();
        state.ended.push(self.role);
        self.shared.chores.notify_all();
        self.shared.end.notify_all();
        drop(state);
        self.shared.wake();
    }
}
