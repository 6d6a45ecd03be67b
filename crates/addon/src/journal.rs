//! The journal of a reactor: it refills the engine at the start, takes the records of a turn at its
//! end, and tells the engine what became durable.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use byzantine_journal::{
    AppendError, Identity, Journal, OpenError, Options, Origin, QUEUE_BYTES_MAX, Reason, Recovery,
    Statistics, Status, StopError, Storage, Waker,
};

use crate::durable::Unreadable;
use crate::engine::{Engine, Fault, Recovered, Start};

/// More than the journal's queue counts for a record besides its payload.
const RECORD_OVERHEAD: usize = 64;

/// Where a replica keeps its journal.
pub struct DataDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Whose it must be.
    pub identity: Identity,
    /// The file system.
    pub storage: Arc<dyn Storage>,
}

/// Why a data directory is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryError {
    /// The journal does not open.
    Open(OpenError),
    /// A record of the journal cannot be used.
    Record {
        /// Its log sequence number.
        lsn: u64,
        /// What is wrong with it.
        problem: Unreadable,
    },
}

impl DirectoryError {
    /// Its name: `inUse`, `wiped`, `foreign`, `unsupportedVersion`, `corrupt` or `disk`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(error) => error.name(),
            Self::Record {
                problem: Unreadable::Version(_),
                ..
            } => "unsupportedVersion",
            Self::Record { .. } => "corrupt",
        }
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(formatter),
            Self::Record { lsn, problem } => write!(formatter, "record {lsn} {problem}"),
        }
    }
}

/// Why a stop is not known to be clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanStopError {
    /// More records wait than the journal takes at once.
    Waiting,
    /// The journal says so.
    Stop(StopError),
}

impl fmt::Display for CleanStopError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => formatter.write_str("the disk has not taken all records"),
            Self::Stop(error) => error.fmt(formatter),
        }
    }
}

/// See the module documentation.
pub struct ReplicaJournal {
    journal: Journal,
    /// Records that the journal's queue has no room for yet, the first of them with `next_lsn`.
    waiting: VecDeque<Vec<u8>>,
    next_lsn: u64,
    /// What the engine was told.
    persisted: u64,
    failed: bool,
}

impl ReplicaJournal {
    /// Opens the journal and refills `engine` from it; returns what TypeScript restarts from. Blocks
    /// for as long as it takes to read the journal.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn open(
        directory: DataDirectory,
        engine: &mut Engine,
        waker: Waker,
    ) -> Result<(Self, Vec<u8>), DirectoryError> {
        let options = Options {
            waker,
            ..Options::default()
        };
        let DataDirectory {
            path,
            identity,
            storage,
        } = directory;
        let (journal, recovery) =
            Journal::open(&path, &identity, storage, options).map_err(DirectoryError::Open)?;
        match refill(engine, &recovery) {
            Ok(bytes) => {
                let opened = Self {
                    journal,
                    waiting: VecDeque::new(),
                    next_lsn: recovery.last_lsn + 1,
                    persisted: recovery.last_lsn,
                    failed: false,
                };
                Ok((opened, bytes))
            }
            Err(error) => {
                journal.close();
                Err(error)
            }
        }
    }

    /// Hands on the records of a turn, which share a sync, and what is needed no more.
    ///
    /// # Errors
    /// [`Fault`]: the engine made a record that the journal does not take.
    pub fn store(&mut self, engine: &mut Engine) -> Result<(), Fault> {
        self.waiting.extend(engine.take_records());
        if self.failed {
            self.waiting.clear();
        }
        self.append()?;
        if let Some(below) = engine.take_release() {
            self.journal.release(below);
        }
        Ok(())
    }

    /// Appends as much of what waits as the queue has room for; nobody else appends.
    fn append(&mut self) -> Result<(), Fault> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let room = QUEUE_BYTES_MAX.saturating_sub(self.queued_bytes());
        let count = fitting(self.waiting.iter().map(Vec::len), room);
        if count == 0 {
            return Ok(());
        }
        let records = self.waiting.drain(..count).collect();
        match self.journal.append_all(self.next_lsn, records) {
            Ok(()) => self.next_lsn += count as u64,
            // DISK_FAILED says so; nothing becomes durable any more.
            Err(AppendError::Failed(_)) => self.waiting.clear(),
            Err(AppendError::NotDense { expected, found }) => {
                return Err(Fault::NotDense { expected, found });
            }
            Err(AppendError::TooLarge { bytes }) => return Err(Fault::RecordTooLarge(bytes)),
            Err(AppendError::QueueFull | AppendError::Stopped) => {
                return Err(Fault::JournalStopped);
            }
        }
        Ok(())
    }

    fn queued_bytes(&self) -> usize {
        usize::try_from(self.journal.statistics().queued_bytes).unwrap_or(usize::MAX)
    }

    /// Tells the engine what became durable, and once that the disk failed for good.
    pub fn report(&mut self, engine: &mut Engine) {
        let persisted = self.journal.persisted_up_to();
        if persisted > self.persisted {
            self.persisted = persisted;
            engine.persisted(persisted);
        }
        if !self.failed
            && let Status::Failed(failure) = self.journal.status(Instant::now())
        {
            self.failed = true;
            engine.disk_failed(number_of(failure.reason()));
        }
    }

    /// Makes everything durable and marks the end as one in order, within this time.
    ///
    /// # Errors
    /// [`CleanStopError`]: the next start counts as one after a crash.
    pub fn clean_stop(mut self, within: Duration) -> Result<(), CleanStopError> {
        let appended = self.append();
        if appended.is_err() || !self.waiting.is_empty() {
            return Err(CleanStopError::Waiting);
        }
        let stopped = self.journal.clean_stop(Vec::new(), within);
        stopped.map_err(CleanStopError::Stop)
    }

    /// Ends its threads as a crash does, for what is queued; the receiver hears when the directory is
    /// free.
    pub fn close(self) -> mpsc::Receiver<()> {
        let (done, closed) = mpsc::channel();
        let journal = self.journal;
        // A disk that hangs holds that thread and nobody else. Where there is none to be had, the
        // journal is dropped with what would have run in it, which ends it without waiting.
        let _ = thread::Builder::new()
            .name("journal-close".to_owned())
            .spawn(move || {
                journal.close();
                let _ = done.send(());
            });
        closed
    }

    /// How long the write at hand has been running; none while the disk is idle.
    pub fn writing_for(&self) -> Option<Duration> {
        self.journal.writing_for(Instant::now())
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.journal.status(Instant::now())
    }

    /// Counters; what waits for the queue counts as queued.
    pub fn statistics(&self) -> Statistics {
        let waiting: usize = self.waiting.iter().map(Vec::len).sum();
        let statistics = self.journal.statistics();
        Statistics {
            queued_bytes: statistics.queued_bytes + waiting as u64,
            ..statistics
        }
    }
}

/// Takes back all records; returns what TypeScript restarts from.
fn refill(engine: &mut Engine, recovery: &Recovery) -> Result<Vec<u8>, DirectoryError> {
    let mut recovered = Recovered::default();
    for record in recovery.records() {
        let record = record.map_err(DirectoryError::Open)?;
        let lsn = record.lsn;
        engine
            .restore(lsn, &record.payload, &mut recovered)
            .map_err(|problem| DirectoryError::Record { lsn, problem })?;
    }
    engine.keep_journal(recovery.last_lsn);
    let start = match recovery.origin {
        Origin::Genesis if recovery.is_empty() => Start::Genesis,
        Origin::Wiped if recovery.is_empty() => Start::Wiped,
        _ => Start::Restart,
    };
    Ok(recovered.into_bytes(start, recovery.clean_stop.is_some()))
}

/// How many records of these lengths, from the first on, a queue with so much room takes.
fn fitting(lengths: impl Iterator<Item = usize>, room: usize) -> usize {
    let ends = lengths.scan(0, |end: &mut usize, length| {
        *end += length + RECORD_OVERHEAD;
        Some(*end)
    });
    ends.take_while(|end| *end <= room).count()
}

/// The number of a reason in DISK_FAILED (WIRE.md §7).
fn number_of(reason: Reason) -> u8 {
    match reason {
        Reason::FsyncFailed => 0,
        Reason::Full => 1,
        Reason::ReadOnly => 2,
        Reason::Corrupt => 3,
        Reason::Stalled => 4,
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
