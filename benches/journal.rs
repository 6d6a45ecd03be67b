//! What a durable append costs: the journal beside the raw disk, in the same run.
//!
//! `cargo bench -p byzantine-journal --bench journal -- [DIR] [ROUNDS]`; DIR (default: the directory for temporary files)
//! chooses the file system. Rounds are interleaved and medians printed, for a disk under other load varies more than the
//! candidates do. The candidates that were not chosen are measured by `crates/journal/candidates`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use byzantine_journal::{Disk, Identity, Journal, Options, Origin, init};

/// Something that makes records durable.
pub trait Candidate {
    /// Appends `count` records and returns when all are durable.
    fn append(&mut self, record: &[u8], count: usize);
    /// Syncs so far, where it counts them.
    fn syncs(&self) -> Option<u64> {
        None
    }
}

/// A candidate's name, and how it is begun in an empty directory.
pub type Named = (&'static str, fn(&Path) -> Box<dyn Candidate>);

/// Length of a record in bytes (a vote, a small batch with its certificate, a large one) and records per sync.
const CASES: [(usize, usize); 8] = [
    (256, 1),
    (256, 16),
    (256, 256),
    (4096, 1),
    (4096, 16),
    (4096, 256),
    (65536, 1),
    (65536, 16),
];
/// How long each is measured per round.
const SLICE: Duration = Duration::from_millis(300);
/// What the raw disk writes over and over.
const RAW_BYTES: u64 = 64 << 20;
/// Records in flight of the flowing measurement.
const IN_FLIGHT: u64 = 256;

/// The raw disk and the journal.
pub const OURS: [Named; 4] = [
    ("disk, file grows", |dir| Box::new(Raw::new(dir, false))),
    ("disk, file prepared", |dir| Box::new(Raw::new(dir, true))),
    ("journal", |dir| Box::new(Durable::new(dir))),
    ("journal, flowing 256", |dir| {
        Box::new(Flowing(Durable::new(dir)))
    }),
];

/// pwrite and fdatasync of the same bytes, into a growing file or into one that was written before.
struct Raw {
    file: File,
    prepared: bool,
    offset: u64,
    buffer: Vec<u8>,
}

impl Raw {
    fn new(dir: &Path, prepared: bool) -> Self {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("raw"))
            .expect("a file");
        if prepared {
            let zeros = vec![0; 1 << 20];
            for offset in (0..RAW_BYTES).step_by(zeros.len()) {
                file.write_all_at(&zeros, offset).expect("room");
            }
            file.sync_all().expect("a sound disk");
        }
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .expect("a sound disk");
        Self {
            file,
            prepared,
            offset: 0,
            buffer: Vec::new(),
        }
    }
}

impl Candidate for Raw {
    fn append(&mut self, record: &[u8], count: usize) {
        self.buffer.clear();
        for _ in 0..count {
            self.buffer.extend_from_slice(record);
        }
        if self.prepared && self.offset + self.buffer.len() as u64 > RAW_BYTES {
            self.offset = 0;
        }
        self.file
            .write_all_at(&self.buffer, self.offset)
            .expect("room");
        self.offset += self.buffer.len() as u64;
        self.file.sync_data().expect("a sound disk");
    }
}

type Bell = Arc<(Mutex<()>, Condvar)>;

/// The journal with its threads, as a replica uses it.
struct Durable {
    journal: Journal,
    bell: Bell,
    next_lsn: u64,
}

impl Durable {
    fn new(dir: &Path) -> Self {
        let identity = Identity {
            cluster: [1; 32],
            epoch: 0,
            replica: [2; 32],
        };
        init(&Disk, dir, &identity, Origin::Genesis).expect("an empty directory");
        let bell = Bell::default();
        let ring = Arc::clone(&bell);
        let options = Options {
            waker: Arc::new(move || {
                let _guard = ring.0.lock().expect("nobody panics with the bell");
                ring.1.notify_one();
            }),
            ..Options::default()
        };
        let (journal, _) =
            Journal::open(dir, &identity, Arc::new(Disk), options).expect("an empty directory");
        Self {
            journal,
            bell,
            next_lsn: 1,
        }
    }

    fn queue(&mut self, record: &[u8]) {
        self.journal
            .append(self.next_lsn, record.to_vec())
            .expect("room in the queue");
        self.next_lsn += 1;
    }

    fn wait(&self, lsn: u64) {
        let guard = self.bell.0.lock().expect("nobody panics with the bell");
        let behind = |(): &mut ()| self.journal.persisted_up_to() < lsn;
        let _guard = self.bell.1.wait_while(guard, behind).expect("no panic");
    }
}

impl Candidate for Durable {
    fn append(&mut self, record: &[u8], count: usize) {
        self.journal
            .append_all(self.next_lsn, vec![record.to_vec(); count])
            .expect("room in the queue");
        self.next_lsn += count as u64;
        self.wait(self.next_lsn - 1);
        self.journal.release(self.next_lsn.saturating_sub(10_000));
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.journal.statistics().syncs)
    }
}

/// The journal with a constant number of records in flight: the sync decides how many share it.
struct Flowing(Durable);

impl Candidate for Flowing {
    fn append(&mut self, record: &[u8], count: usize) {
        for _ in 0..count {
            self.0.queue(record);
            let oldest = self.0.next_lsn.saturating_sub(IN_FLIGHT);
            if self.0.journal.persisted_up_to() < oldest {
                self.0.wait(oldest);
            }
        }
        let durable = self.0.journal.persisted_up_to();
        self.0.journal.release(durable.saturating_sub(10_000));
    }

    fn syncs(&self) -> Option<u64> {
        self.0.syncs()
    }
}

#[derive(Clone, Copy)]
struct Figures {
    records: f64,
    syncs: f64,
    p10_us: f64,
    median_us: f64,
    p99_us: f64,
}

fn measure(
    begin: fn(&Path) -> Box<dyn Candidate>,
    dir: &Path,
    length: usize,
    count: usize,
) -> Figures {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("a directory");
    let mut candidate = begin(dir);
    let record: Vec<u8> = (0..length).map(|at| ((at * 7919) >> 3) as u8).collect();
    for _ in 0..3 {
        candidate.append(&record, count);
    }
    let syncs_before = candidate.syncs();
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < SLICE {
        let start = Instant::now();
        candidate.append(&record, count);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let syncs = match (syncs_before, candidate.syncs()) {
        (Some(before), Some(after)) => after - before,
        _ => times.len() as u64,
    };
    drop(candidate);
    let _ = fs::remove_dir_all(dir);
    times.sort_by(f64::total_cmp);
    Figures {
        records: (times.len() * count) as f64 / seconds,
        syncs: syncs as f64 / seconds,
        p10_us: times[times.len() / 10],
        median_us: times[times.len() / 2],
        p99_us: times[times.len() * 99 / 100],
    }
}

fn median(rounds: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures all candidates in interleaved rounds, and prints medians.
pub fn compare(candidates: &[Named]) {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| one != "--bench")
        .collect();
    let base = arguments
        .first()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments
        .get(1)
        .map_or(5, |text| text.parse().expect("a number of rounds"));
    let base = base.join(format!("byzantine-journal-bench-{}", std::process::id()));
    for (length, count) in CASES {
        let mut figures = vec![Vec::new(); candidates.len()];
        for _ in 0..rounds {
            for (index, (_, begin)) in candidates.iter().enumerate() {
                let dir = base.join(index.to_string());
                figures[index].push(measure(*begin, &dir, length, count));
            }
        }
        println!("{count} x {length} B          records/s    syncs/s   P10 us   P50 us   P99 us");
        for ((name, _), rounds) in candidates.iter().zip(&figures) {
            println!(
                "  {name:22} {:9.0}  {:9.0}  {:7.0}  {:7.0}  {:7.0}",
                median(rounds, |one| one.records),
                median(rounds, |one| one.syncs),
                median(rounds, |one| one.p10_us),
                median(rounds, |one| one.median_us),
                median(rounds, |one| one.p99_us),
            );
        }
    }
    let _ = fs::remove_dir_all(&base);
}

fn main() {
    compare(&OURS);
}
