//! The journal of a reactor: it refills the engine at the start, takes the records of a turn at its
//! end, and tells the engine what became durable.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use byzantine_journal::{
    AppendError, Identity, Journal, OpenError, Options, Origin, Reason, Recovery, Statistics,
    Status, StopError, Storage, Waker,
};

use crate::durable::Unreadable;
use crate::engine::{Engine, Fault, Recovered, Start};

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

/// See the module documentation.
pub struct ReplicaJournal {
    journal: Journal,
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

    /// Hands on the records of a turn, which share a sync, and what is needed no more. A disk that is
    /// a whole queue behind (`QUEUE_BYTES_MAX`) counts as failed: memory is bounded.
    ///
    /// # Errors
    /// [`Fault`]: the engine made a record that the journal does not take.
    pub fn store(&mut self, engine: &mut Engine) -> Result<(), Fault> {
        let records = engine.take_records();
        if !self.failed && !records.is_empty() {
            self.append(records, engine)?;
        }
        if let Some(below) = engine.take_release() {
            self.journal.release(below);
        }
        Ok(())
    }

    /// Appends records as they are stored.
    pub(crate) fn append(
        &mut self,
        records: Vec<Vec<u8>>,
        engine: &mut Engine,
    ) -> Result<(), Fault> {
        let count = records.len() as u64;
        match self.journal.append_all(self.next_lsn, records) {
            Ok(()) => self.next_lsn += count,
            // `report` says so; nothing becomes durable any more.
            Err(AppendError::Failed(_)) => {}
            Err(AppendError::QueueFull) => {
                let reason = self.status().reason().unwrap_or(Reason::Stalled);
                self.failed = true;
                engine.disk_failed(number_of(reason));
            }
            Err(AppendError::NotDense { expected, found }) => {
                return Err(Fault::NotDense { expected, found });
            }
            Err(AppendError::TooLarge { bytes }) => return Err(Fault::RecordTooLarge(bytes)),
            Err(AppendError::Stopped) => return Err(Fault::JournalStopped),
        }
        Ok(())
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
    /// [`StopError`]: the next start counts as one after a crash.
    pub fn clean_stop(self, within: Duration) -> Result<(), StopError> {
        self.journal.clean_stop(Vec::new(), within)
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

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        self.journal.statistics()
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
        Origin::Genesis => Start::Restart,
        Origin::Wiped => Start::Replaced,
    };
    Ok(recovered.into_bytes(start, recovery.clean_stop.is_some()))
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
