//! How a journal is doing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::DiskFailure;

/// A write with its sync that takes longer than this is a stall: far above the tail of a healthy disk (tens of
/// milliseconds), and what operators call a hanging one. Who wants to act earlier asks [`crate::Journal::writing_for`].
pub const STALL_AFTER: Duration = Duration::from_secs(10);

/// Buckets of [`Statistics::sync_buckets`].
pub const SYNC_BUCKETS: usize = 26;

/// How a journal is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Records become durable.
    Running,
    /// A write or sync has been running for longer than [`STALL_AFTER`]; lasts until it returns.
    Stalled {
        /// How long it has been running.
        since: Duration,
    },
    /// No space is left for the next segment. Records go on while the one in use has room, and wait then; it is tried
    /// again every second and after each release.
    Full,
    /// The disk failed. Final: nothing more becomes durable, and nothing that was not reported persisted may be relied on.
    Failed(DiskFailure),
    /// It was closed or stopped cleanly.
    Stopped,
}

/// Counters since the journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Groups written and synced. `records / syncs` is how many share one.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Bytes written in groups, headers included.
    pub bytes: u64,
    /// Sum of the times that groups took to be written and synced.
    pub sync_time: Duration,
    /// Groups by that time: bucket i counts those below 2^i µs that are in no lower one, the last one all others.
    pub sync_buckets: [u64; SYNC_BUCKETS],
    /// Times that the writer had to wait for a segment to be prepared.
    pub spare_waits: u64,
    /// Segments prepared ahead of need.
    pub segments_prepared: u64,
    /// Segments removed.
    pub segments_freed: u64,
    /// Bytes of records that are appended and not yet durable.
    pub queued_bytes: u64,
}

/// The counters behind [`Statistics`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) sync_nanos: AtomicU64,
    pub(crate) sync_buckets: [AtomicU64; SYNC_BUCKETS],
    pub(crate) spare_waits: AtomicU64,
    pub(crate) segments_prepared: AtomicU64,
    pub(crate) segments_freed: AtomicU64,
}

impl Counters {
    pub(crate) fn group(&self, records: u64, bytes: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.sync_buckets[bucket.min(SYNC_BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, queued_bytes: u64) -> Statistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            syncs: load(&self.syncs),
            records: load(&self.records),
            bytes: load(&self.bytes),
            sync_time: Duration::from_nanos(load(&self.sync_nanos)),
            sync_buckets: std::array::from_fn(|bucket| load(&self.sync_buckets[bucket])),
            spare_waits: load(&self.spare_waits),
            segments_prepared: load(&self.segments_prepared),
            segments_freed: load(&self.segments_freed),
            queued_bytes,
        }
    }
}

/// Since when the writer has been busy with the disk. Read without a lock: a stalled writer holds none, and who asks
/// must not wait for it.
pub(crate) struct BusySince {
    base: Instant,
    /// Nanoseconds after `base`, plus 1; 0 while idle.
    nanos: AtomicU64,
}

impl BusySince {
    pub(crate) fn new(base: Instant) -> Self {
        Self {
            base,
            nanos: AtomicU64::new(0),
        }
    }

    pub(crate) fn begin(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX - 1);
        self.nanos.store(nanos + 1, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.nanos.store(0, Ordering::Release);
    }

    pub(crate) fn lasts(&self, now: Instant) -> Option<Duration> {
        let nanos = self.nanos.load(Ordering::Acquire).checked_sub(1)?;
        let begun = self.base + Duration::from_nanos(nanos);
        Some(now.saturating_duration_since(begun))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => formatter.write_str("running"),
            Self::Stalled { since } => {
                write!(
                    formatter,
                    "a write has been running for {} s",
                    since.as_secs()
                )
            }
            Self::Full => formatter.write_str("no space is left for the next segment"),
            Self::Failed(failure) => failure.fmt(formatter),
            Self::Stopped => formatter.write_str("stopped"),
        }
    }
}
