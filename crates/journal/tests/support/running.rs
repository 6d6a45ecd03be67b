//! A journal with its threads on a simulated disk.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use byzantine_journal::{Journal, Options, Origin, Recovery, Status, init};

use super::disk::SimulatedDisk;
use super::fault::{Call, Fault, Harm};
use super::replica::{IDENTITY, dir};

pub const SEGMENT: u32 = 4096;
pub const FIRST: &str = "journal-0000000000000001.segment";
pub const SECOND: &str = "journal-0000000000000002.segment";
/// Far above what any of it takes; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what the journal's waker is called for.
#[derive(Clone, Default)]
pub struct Bell(Arc<(Mutex<()>, Condvar)>);

impl Bell {
    pub fn ring(&self) {
        let _guard = self.0.0.lock().expect("nobody panics with the bell");
        self.0.1.notify_all();
    }

    /// Waits until it holds; whatever makes it hold rings.
    pub fn until(&self, holds: impl Fn() -> bool) {
        let guard = self.0.0.lock().expect("nobody panics with the bell");
        let (_guard, timeout) = self
            .0
            .1
            .wait_timeout_while(guard, PATIENCE, |()| !holds())
            .expect("nobody panics with the bell");
        assert!(!timeout.timed_out(), "nothing happened");
    }
}

pub struct Running {
    pub disk: SimulatedDisk,
    pub journal: Journal,
    pub bell: Bell,
}

pub fn options(bell: &Bell) -> Options {
    let bell = bell.clone();
    Options {
        segment_bytes: SEGMENT,
        waker: Arc::new(move || bell.ring()),
    }
}

pub fn open(disk: &SimulatedDisk) -> (Running, Recovery) {
    let bell = Bell::default();
    let (journal, recovery) =
        Journal::open(&dir(), &IDENTITY, disk.storage(), options(&bell)).expect("a good disk");
    let disk = disk.clone();
    (
        Running {
            disk,
            journal,
            bell,
        },
        recovery,
    )
}

pub fn start() -> Running {
    let disk = SimulatedDisk::new(1);
    init(&disk, &dir(), &IDENTITY, Origin::Genesis).expect("a good disk");
    open(&disk).0
}

impl Running {
    pub fn append(&self, lsn: u64) {
        self.journal
            .append(lsn, vec![lsn as u8; 100])
            .expect("queued");
    }

    pub fn until_persisted(&self, lsn: u64) {
        self.bell.until(|| self.journal.persisted_up_to() >= lsn);
    }

    /// Waits until it holds, for what rings no bell.
    pub fn eventually(&self, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "nothing happened");
            std::thread::yield_now();
        }
    }

    pub fn status(&self) -> Status {
        self.journal.status(Instant::now())
    }

    pub fn hold_next_sync(&self) {
        self.disk.inject(Fault::next(Call::Sync, FIRST, Harm::Hold));
    }

    /// Appends a first record, so that the first segment is in use.
    pub fn settle(&self) {
        self.append(1);
        self.until_persisted(1);
    }
}
