//! On the real file system, behind a gate that keeps the disk from answering.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use byzantine_journal::snapshot::{self, CHUNK_BYTES_MAX, SnapshotHeader, SnapshotReader};
use byzantine_journal::{Disk, Identity, Storage};

use super::turns::turn_in;
use super::{Progress, Refused, SnapshotThread, WAITING_MAX};
use crate::testing::{Hook, HookedDisk};

const IDENTITY: Identity = Identity {
    cluster: [1; 32],
    epoch: 0,
    replica: [2; 32],
};

fn header(sequence: u64) -> SnapshotHeader {
    SnapshotHeader {
        identity: IDENTITY,
        sequence,
        digest: [3; 32],
    }
}

/// A directory that is gone afterwards.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("byzantine-snapshots-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).expect("a new directory");
        Self(dir)
    }

    fn names(&self) -> Vec<String> {
        let mut names = Disk.list(&self.0).expect("readable");
        names.sort_unstable();
        names
    }

    fn sequences(&self) -> Vec<u64> {
        let listed = snapshot::list(&Disk, &self.0).expect("readable");
        listed.iter().map(|listed| listed.sequence).collect()
    }

    fn chunks(&self, sequence: u64) -> Vec<Vec<u8>> {
        let mut reader = SnapshotReader::open(&Disk, &self.0, &IDENTITY, sequence).expect("sound");
        std::iter::from_fn(|| reader.next_chunk().expect("sound")).collect()
    }

    fn start(&self, storage: Arc<dyn Storage>, sequence: u64) -> SnapshotThread {
        SnapshotThread::start(storage, &self.0, header(sequence)).expect("a thread")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The real disk, whose writes wait while the gate is closed, and fail or panic if they shall.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    at_gate: usize,
    passed: usize,
    fault: Option<Fault>,
}

#[derive(Clone, Copy)]
enum Fault {
    Sync,
    Full,
    Panic,
}

impl Gate {
    fn closed() -> Arc<Self> {
        let gate = Self::default();
        gate.state.lock().expect("no panic").closed = true;
        Arc::new(gate)
    }

    fn faulty(fault: Fault) -> Arc<Self> {
        let gate = Self::default();
        gate.state.lock().expect("no panic").fault = Some(fault);
        Arc::new(gate)
    }

    fn disk(self: &Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(HookedDisk(self.clone()))
    }

    fn open(&self) {
        self.state.lock().expect("no panic").closed = false;
        self.changed.notify_all();
    }

    /// Writes and syncs that were let through.
    fn passed(&self) -> usize {
        self.state.lock().expect("no panic").passed
    }

    /// Waits until a write waits.
    fn wait_for_a_write(&self) {
        let state = self.state.lock().expect("no panic");
        drop(self.changed.wait_while(state, |state| state.at_gate == 0));
    }

    fn pass(&self) -> Option<Fault> {
        let mut state = self.state.lock().expect("no panic");
        state.at_gate += 1;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.closed)
            .expect("no panic");
        state.at_gate -= 1;
        state.passed += 1;
        state.fault
    }
}

impl Hook for Gate {
    fn write(&self) -> io::Result<()> {
        match self.pass() {
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Panic) => panic!("as the test asked"),
            Some(Fault::Sync) | None => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.pass() {
            Some(Fault::Sync) => Err(io::Error::other("no answer from the device")),
            _ => Ok(()),
        }
    }
}

/// How it ended.
fn ended(thread: &SnapshotThread) -> Progress {
    let shared = &thread.shared;
    let state = shared
        .changed
        .wait_while(shared.lock(), |state| state.progress == Progress::Writing)
        .expect("no panic");
    state.progress.clone()
}

fn reason(progress: &Progress) -> &str {
    match progress {
        Progress::Failed { reason, .. } => reason,
        Progress::Writing | Progress::Done => panic!("it did not fail: {progress}"),
    }
}

#[test]
fn what_was_written_and_finished_is_durable_under_its_name() {
    let directory = Directory::new();
    let thread = directory.start(Arc::new(Disk), 100);
    let chunks: Vec<Vec<u8>> = (0..4).map(|fill| vec![fill; 1000]).collect();
    for chunk in &chunks {
        assert_eq!(thread.write(chunk), Ok(true));
    }
    thread.finish();
    assert_eq!(ended(&thread).to_string(), "done");
    assert_eq!(directory.sequences(), [100]);
    assert_eq!(directory.chunks(100), chunks);
}

#[test]
fn no_caller_waits_for_a_disk_that_does_not_answer() {
    let (directory, gate) = (Directory::new(), Gate::closed());
    let thread = directory.start(gate.disk(), 100);
    gate.wait_for_a_write();
    for fill in 0..WAITING_MAX {
        assert_eq!(thread.write(&[fill as u8]), Ok(true));
    }
    assert_eq!(thread.write(&[9]), Ok(false), "four wait");
    assert_eq!(thread.progress().to_string(), "writing");
    thread.finish();
    assert_eq!(thread.progress(), Progress::Writing);
    gate.open();
    assert_eq!(ended(&thread), Progress::Done);
    assert_eq!(directory.chunks(100), [[0], [1], [2], [3]]);
}

#[test]
fn what_was_not_finished_never_was() {
    let directory = Directory::new();
    let aborted = directory.start(Arc::new(Disk), 100);
    assert_eq!(aborted.write(&[1]), Ok(true));
    aborted.abort();
    assert_eq!(
        ended(&aborted).to_string(),
        "failed: aborted: the snapshot was given up"
    );
    assert_eq!(directory.names(), [""; 0]);

    let dropped = directory.start(Arc::new(Disk), 200);
    let shared = Arc::clone(&dropped.shared);
    drop(dropped);
    let shown = SnapshotThread { shared };
    assert_eq!(reason(&ended(&shown)), "aborted");
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn chunks_that_wait_are_not_written_once_it_is_given_up() {
    let (directory, gate) = (Directory::new(), Gate::closed());
    let thread = directory.start(gate.disk(), 100);
    gate.wait_for_a_write();
    assert_eq!(thread.write(&[1]), Ok(true));
    thread.abort();
    assert_eq!(thread.write(&[2]), Err(Refused::Ended));
    gate.open();
    assert_eq!(reason(&ended(&thread)), "aborted");
    assert_eq!(gate.passed(), 1, "the header alone was on its way");
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn after_finish_it_is_neither_written_nor_given_up() {
    let (directory, gate) = (Directory::new(), Gate::closed());
    let thread = directory.start(gate.disk(), 100);
    assert_eq!(thread.write(&[1]), Ok(true));
    thread.finish();
    assert_eq!(thread.write(&[2]), Err(Refused::Ended));
    thread.abort();
    gate.open();
    assert_eq!(ended(&thread), Progress::Done);
    assert_eq!(directory.chunks(100), [[1]]);
}

#[test]
fn a_chunk_is_at_most_a_mebibyte() {
    let directory = Directory::new();
    let thread = directory.start(Arc::new(Disk), 100);
    let bytes = CHUNK_BYTES_MAX + 1;
    assert_eq!(
        thread.write(&vec![0; bytes]),
        Err(Refused::TooLarge { bytes })
    );
    assert_eq!(thread.write(&vec![7; CHUNK_BYTES_MAX]), Ok(true));
    thread.finish();
    assert_eq!(ended(&thread), Progress::Done);
    assert_eq!(directory.chunks(100), [vec![7; CHUNK_BYTES_MAX]]);
}

#[test]
fn what_the_disk_refuses_is_named_and_leaves_the_snapshots_before_it() {
    let directory = Directory::new();
    let sound = directory.start(Arc::new(Disk), 100);
    assert_eq!(sound.write(&[7]), Ok(true));
    sound.finish();
    assert_eq!(ended(&sound), Progress::Done);
    for (fault, name) in [
        (Fault::Full, "full"),
        (Fault::Sync, "fsyncFailed"),
        (Fault::Panic, "fsyncFailed"),
    ] {
        let failing = directory.start(Gate::faulty(fault).disk(), 200);
        failing.finish();
        let progress = ended(&failing);
        assert_eq!(reason(&progress), name, "{progress}");
        assert_eq!(directory.sequences(), [100], "{progress}");
    }
    assert_eq!(directory.chunks(100), [[7]]);
    let nowhere = directory.0.join("nowhere");
    let missing = SnapshotThread::start(Arc::new(Disk), &nowhere, header(300)).expect("a thread");
    let progress = ended(&missing).to_string();
    assert!(progress.starts_with("failed: corrupt: a read failed (data directory: "));
    assert_eq!(missing.write(&[1]), Ok(false), "it takes no more");
}

#[test]
fn the_next_snapshot_of_a_directory_waits_until_the_one_before_is_gone() {
    let (directory, gate) = (Directory::new(), Gate::closed());
    let first = directory.start(gate.disk(), 100);
    gate.wait_for_a_write();
    first.abort();
    let behind = Gate::closed();
    let second = directory.start(behind.disk(), 100);
    assert_eq!(second.write(&[2]), Ok(true));
    second.finish();
    assert!(turn_in(&directory.0).try_lock().is_err(), "it is taken");
    gate.open();
    assert_eq!(reason(&ended(&first)), "aborted");
    behind.wait_for_a_write();
    behind.open();
    assert_eq!(ended(&second), Progress::Done);
    assert_eq!(directory.chunks(100), [[2]]);
}
