//! A replica's journal on a simulated disk, and what it knows about what it wrote.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use byzantine_journal::{
    DiskFailure, Entry, Identity, InitError, Log, OpenError, Origin, Pace, Record, Recovery, Spare,
    Wrote, init, prepare, unlink,
};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use super::disk::SimulatedDisk;

/// Small segments, so that a short schedule crosses several.
pub const SEGMENT: u32 = 2048;

pub const IDENTITY: Identity = Identity {
    cluster: [7; 32],
    epoch: 3,
    replica: [9; 32],
};

pub fn dir() -> PathBuf {
    PathBuf::from("/data")
}

pub fn path(name: &str) -> PathBuf {
    dir().join(name)
}

/// What was appended, and what of it was reported.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Payloads of all records that were ever handed to the journal and not known to be cut off.
    pub appended: Vec<Vec<u8>>,
    /// Records reported persisted.
    pub persisted: u64,
    /// The highest release that was asked for.
    pub released: u64,
    /// The payload of a clean stop that was begun, and whether it succeeded. None once the directory was opened.
    pub clean_stop: Option<(Vec<u8>, bool)>,
}

pub struct Replica {
    pub disk: SimulatedDisk,
    pub model: Model,
    pub log: Option<Log>,
    spare: Option<Spare>,
    freed: VecDeque<u64>,
}

impl Replica {
    pub fn new(disk: &SimulatedDisk) -> Self {
        Self {
            disk: disk.clone(),
            model: Model::default(),
            log: None,
            spare: None,
            freed: VecDeque::new(),
        }
    }

    pub fn init(&self) -> Result<(), InitError> {
        init(&self.disk, &dir(), &IDENTITY, Origin::Genesis)
    }

    /// Opens, and checks what was recovered against what is known.
    pub fn open(&mut self) -> Result<(), OpenError> {
        self.leave();
        match Log::open(self.disk.storage(), &dir(), &IDENTITY) {
            Ok((log, recovery)) => {
                self.check(&recovery)?;
                self.log = Some(log);
                Ok(())
            }
            Err(error) => {
                // It may have been consumed.
                if let Some((_, succeeded)) = &mut self.model.clean_stop {
                    *succeeded = false;
                }
                Err(error)
            }
        }
    }

    /// As when the process ends.
    pub fn leave(&mut self) {
        self.log = None;
        self.spare = None;
        self.freed.clear();
    }

    fn check(&mut self, recovery: &Recovery) -> Result<(), OpenError> {
        let Model {
            appended,
            persisted,
            released,
            clean_stop,
        } = &mut self.model;
        let last = recovery.last_lsn;
        assert!(last >= *persisted, "{last} of {persisted} persisted");
        assert!(last <= appended.len() as u64, "records from nowhere");
        assert!(
            recovery.first_lsn <= (*released).max(1),
            "{} of {released} released",
            recovery.first_lsn
        );
        assert_eq!(recovery.origin, Origin::Genesis);
        match (&recovery.clean_stop, clean_stop.take()) {
            (None, None | Some((_, false))) => {}
            (Some(found), Some((written, _))) => {
                assert_eq!(*found, written);
                assert_eq!(last, appended.len() as u64, "a clean stop loses nothing");
            }
            (found, known) => panic!("clean stop {found:?} where {known:?} is known"),
        }
        let records: Vec<Record> = recovery.records().collect::<Result<_, _>>()?;
        assert_eq!(records.len() as u64, last + 1 - recovery.first_lsn);
        for (record, lsn) in records.iter().zip(recovery.first_lsn..) {
            assert_eq!(record.lsn, lsn);
            assert_eq!(record.payload, appended[lsn as usize - 1], "record {lsn}");
        }
        appended.truncate(last as usize);
        *persisted = last;
        Ok(())
    }

    /// Writes until the queue is empty; `persisted` follows group by group.
    pub fn write(&mut self, queue: Vec<Entry>) -> Result<(), DiskFailure> {
        for entry in &queue {
            match entry {
                Entry::Record(payload) => self.model.appended.push(payload.clone()),
                Entry::Release(below) => self.model.released = self.model.released.max(*below),
            }
        }
        let mut queue = VecDeque::from(queue);
        while !queue.is_empty() {
            let log = self.log.as_mut().expect("open");
            match log.write(&mut queue, &mut self.spare)? {
                Wrote::Group { records, freed, .. } => {
                    self.model.persisted += records;
                    self.freed.extend(freed);
                }
                Wrote::Wants { length, .. } => {
                    let capacity = SEGMENT.max(length as u32 + 512);
                    self.prepare(capacity)?;
                }
            }
        }
        Ok(())
    }

    pub fn prepare(&mut self, capacity: u32) -> Result<(), DiskFailure> {
        let number = self.log.as_ref().expect("open").next_number();
        self.spare = prepare(&self.disk, &dir(), number, capacity, &|| Pace::Gentle)?;
        Ok(())
    }

    pub fn mark(&mut self) -> Result<(), DiskFailure> {
        self.log.as_mut().expect("open").mark()
    }

    pub fn unlink_one(&mut self) -> Result<(), DiskFailure> {
        match self.freed.pop_front() {
            Some(number) => unlink(&self.disk, &dir(), number),
            None => Ok(()),
        }
    }

    pub fn clean_stop(&mut self, payload: Vec<u8>) -> Result<(), DiskFailure> {
        let log = self.log.take().expect("open");
        self.model.clean_stop = Some((payload.clone(), false));
        log.clean_stop(&payload)?;
        self.model.clean_stop = Some((payload, true));
        Ok(())
    }

    /// A release of what is persisted, where it frees something.
    pub fn release(&mut self, random: &mut ChaCha8Rng) -> Option<Entry> {
        let below = random.random_range(0..=self.model.persisted) + 1;
        let frees = self.log.as_ref().expect("open").frees(below);
        frees.then_some(Entry::Release(below))
    }
}

/// Records of random lengths, a few of them long.
pub fn records(random: &mut ChaCha8Rng, count: usize) -> Vec<Entry> {
    let one = |_| {
        let length = match random.random_range(0..20) {
            0 => random.random_range(1000..4000),
            1 => 0,
            _ => random.random_range(1..200),
        };
        let mut payload = vec![0; length];
        random.fill_bytes(&mut payload);
        Entry::Record(payload)
    };
    (0..count).map(one).collect()
}

/// Names of the segment files on the disk.
pub fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let mut names = disk.names();
    names.retain(|name| name.starts_with("journal-"));
    names.sort();
    names.iter().map(|name| path(name)).collect()
}

/// Whether the disk has a file.
pub fn has(disk: &SimulatedDisk, file: &Path) -> bool {
    disk.names().iter().any(|name| path(name) == file)
}

/// What opening finds: all records, or why not.
pub fn open(disk: &SimulatedDisk) -> Result<Vec<Vec<u8>>, OpenError> {
    let (_log, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY)?;
    recovery
        .records()
        .map(|record| record.map(|record| record.payload))
        .collect()
}
