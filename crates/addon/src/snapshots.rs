//! Writes a snapshot on a thread of its own, so that no caller ever waits for the disk.
//!
//! The caller hands over chunks for as long as few of them wait, and asks now and then how it goes.

mod turns;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use byzantine_journal::snapshot::{CHUNK_BYTES_MAX, SnapshotError, SnapshotHeader, SnapshotWriter};
use byzantine_journal::{Reason, Storage};

/// Chunks that wait at most: enough that the disk is never idle for want of one, and with the one that is being written
/// at most 5 MiB of memory.
pub const WAITING_MAX: usize = 4;

/// A snapshot that is being written; no call blocks on the disk. Dropped before [`SnapshotThread::finish`] it never was;
/// afterwards it becomes durable all the same.
///
/// One is written at a time in a directory: the second of two waits, on its thread, until the first has ended.
pub struct SnapshotThread {
    shared: Arc<Shared>,
}

/// How far a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not durable yet.
    Writing,
    /// Durable under its name.
    Done,
    /// There is none: what may be left of it has no name that counts, and the next one removes it. Only after a failure
    /// in [`SnapshotThread::finish`] it may be there as a whole. The snapshots before it are untouched.
    Failed {
        /// [`Reason::name`], or `aborted`.
        reason: &'static str,
        /// What happened, for the log.
        text: String,
    },
}

/// A chunk that was refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than [`CHUNK_BYTES_MAX`].
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The snapshot was finished or given up before.
    Ended,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<Vec<u8>>,
    wish: Wish,
    progress: Progress,
}

/// What the caller wants once nothing waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    More,
    Finish,
    Abort,
}

enum Step {
    Write(Vec<u8>),
    Finish,
    Abort,
}

impl SnapshotThread {
    /// Begins a snapshot in `dir`.
    ///
    /// # Errors
    /// [`std::io::Error`] where no thread can be started. What the disk refuses is in [`SnapshotThread::progress`].
    pub fn start(
        storage: Arc<dyn Storage>,
        dir: &Path,
        header: SnapshotHeader,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                wish: Wish::More,
                progress: Progress::Writing,
            }),
            changed: Condvar::new(),
        });
        let (theirs, dir) = (Arc::clone(&shared), dir.to_owned());
        std::thread::Builder::new()
            .name("byzantine-snapshot".to_owned())
            .spawn(move || run(&theirs, storage, dir, header))?;
        Ok(Self { shared })
    }

    /// Copies a chunk of at most [`CHUNK_BYTES_MAX`] bytes; whether it was taken. It is not while [`WAITING_MAX`] chunks
    /// wait, and no more once the snapshot has failed.
    ///
    /// # Errors
    /// [`Refused`]: it will not be taken later either.
    pub fn write(&self, chunk: &[u8]) -> Result<bool, Refused> {
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(Refused::TooLarge { bytes: chunk.len() });
        }
        let mut state = self.shared.lock();
        if state.wish != Wish::More {
            return Err(Refused::Ended);
        }
        if state.progress != Progress::Writing || state.waiting.len() >= WAITING_MAX {
            return Ok(false);
        }
        state.waiting.push_back(chunk.to_owned());
        self.shared.changed.notify_all();
        Ok(true)
    }

    /// There are no more chunks: what waits is written, and the snapshot made durable.
    pub fn finish(&self) {
        self.shared.wish(Wish::Finish);
    }

    /// Gives the snapshot up; nothing after [`SnapshotThread::finish`].
    pub fn abort(&self) {
        self.shared.wish(Wish::Abort);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.shared.lock().progress.clone()
    }
}

impl Drop for SnapshotThread {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first wish stands.
    fn wish(&self, wish: Wish) {
        let mut state = self.lock();
        if state.wish == Wish::More {
            state.wish = wish;
            self.changed.notify_all();
        }
    }

    /// What to do next; waits for it.
    fn next(&self) -> Step {
        let mut state = self.lock();
        loop {
            if state.wish == Wish::Abort {
                return Step::Abort;
            }
            if let Some(chunk) = state.waiting.pop_front() {
                return Step::Write(chunk);
            }
            if state.wish == Wish::Finish {
                return Step::Finish;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, progress: Progress) {
        let mut state = self.lock();
        state.waiting = VecDeque::new();
        state.progress = progress;
        self.changed.notify_all();
    }
}

fn run(shared: &Shared, storage: Arc<dyn Storage>, dir: PathBuf, header: SnapshotHeader) {
    let written = catch_unwind(AssertUnwindSafe(|| write(shared, storage, &dir, header)));
    let progress = written.unwrap_or_else(|_| Progress::Failed {
        reason: Reason::FsyncFailed.name(),
        text: "the thread that wrote the snapshot panicked".to_owned(),
    });
    shared.end(progress);
}

/// When this returns, the file has its name or was removed: only then the caller hears of the end.
fn write(
    shared: &Shared,
    storage: Arc<dyn Storage>,
    dir: &Path,
    header: SnapshotHeader,
) -> Progress {
    let turn = turns::turn_in(dir);
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    write_all(shared, storage, dir, header).unwrap_or_else(|error| failed(&error))
}

fn write_all(
    shared: &Shared,
    storage: Arc<dyn Storage>,
    dir: &Path,
    header: SnapshotHeader,
) -> Result<Progress, SnapshotError> {
    let mut writer = SnapshotWriter::create(storage, dir, header)?;
    loop {
        match shared.next() {
            Step::Write(chunk) => writer.write_chunk(&chunk)?,
            Step::Finish => return writer.finish().map(|_| Progress::Done),
            Step::Abort => return Ok(aborted()),
        }
    }
}

fn aborted() -> Progress {
    Progress::Failed {
        reason: "aborted",
        text: "the snapshot was given up".to_owned(),
    }
}

fn failed(error: &SnapshotError) -> Progress {
    let reason = match error {
        SnapshotError::Disk(failure) => failure.reason().name(),
        SnapshotError::ChunkTooLarge { .. } => unreachable!("such a chunk is not taken"),
    };
    Progress::Failed {
        reason,
        text: error.to_string(),
    }
}

/// `writing`, `done`, or `failed: <reason>: <text>`.
impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writing => formatter.write_str("writing"),
            Self::Done => formatter.write_str("done"),
            Self::Failed { reason, text } => write!(formatter, "failed: {reason}: {text}"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(
                formatter,
                "a chunk is at most {CHUNK_BYTES_MAX} bytes, not {bytes}"
            ),
            Self::Ended => formatter.write_str("the snapshot was finished or given up"),
        }
    }
}

#[cfg(test)]
mod tests;
