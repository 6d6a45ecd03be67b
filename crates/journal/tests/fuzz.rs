//! Recovery of arbitrary bytes: no panic, bounded memory, and nothing that was never appended.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use byzantine_journal::inspect::{inspect, segment};
use byzantine_journal::snapshot::{SnapshotHeader, SnapshotReader, SnapshotWriter, verify};
use byzantine_journal::{Log, OpenError};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use support::disk::SimulatedDisk;
use support::replica::{IDENTITY, Replica, SEGMENT, dir, path, records, segments};
use support::soak::rounds;

/// Rounds of each test.
const ROUNDS: u64 = 2000;
/// Recovery holds one segment and some bookkeeping; a length that lies must not make it hold more.
const HEAP_MAX: usize = 256 << 10;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Counts the bytes that this thread holds.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; the counters are plain cells without drop.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(HELD.get()));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs and returns the most bytes that were held more than before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    (result, PEAK.get().wrapping_sub(before))
}

fn havoc(random: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            bytes.resize(random.random_range(1..3000), 0);
        }
        let at = random.random_range(0..bytes.len());
        let end = (at + random.random_range(1..64)).min(bytes.len());
        match random.random_range(0..7) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => random.fill_bytes(&mut bytes[at..end]),
            2 => bytes[at..end].fill(0),
            3 => bytes.truncate(at),
            4 => bytes[at..end].fill(0xff),
            5 => {
                let from = random.random_range(0..bytes.len());
                let length = (end - at).min(bytes.len() - from);
                let to = at.min(bytes.len() - length);
                bytes.copy_within(from..from + length, to);
            }
            _ => bytes.extend(std::iter::repeat_n(0, random.random_range(0..200))),
        }
    }
}

fn written(seed: u64) -> Replica {
    let disk = SimulatedDisk::new(seed);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut replica = Replica::new(&disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    for _ in 0..6 {
        let group = records(&mut random, 3);
        replica
            .write(group)
            .expect("nothing is wrong with the disk");
    }
    replica
        .prepare(SEGMENT)
        .expect("nothing is wrong with the disk");
    replica.leave();
    replica
}

/// What opens holds only what was appended, in order.
fn require_a_beginning(disk: &SimulatedDisk, appended: &[Vec<u8>]) -> bool {
    let opened: Result<_, OpenError> = (|| {
        let (_log, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY)?;
        recovery.records().collect::<Result<Vec<_>, _>>()
    })();
    let Ok(records) = opened else {
        return false;
    };
    for record in records {
        assert!(
            record.payload == appended[record.lsn as usize - 1],
            "record {} was never appended",
            record.lsn
        );
    }
    true
}

#[test]
fn havoc_in_any_file_is_refused_or_harmless() {
    let replica = written(1);
    let appended = &replica.model.appended;
    let (mut opened, mut refused) = (0, 0);
    for round in 0..rounds(ROUNDS) {
        let disk = replica.disk.copy(round);
        let mut random = ChaCha8Rng::seed_from_u64(round);
        let mut files = segments(&disk);
        files.push(path("identity"));
        let file = &files[random.random_range(0..files.len())];
        let mut bytes = disk.peek(file);
        havoc(&mut random, &mut bytes);
        disk.poke(file, bytes);
        let number = random.random_range(1..5);
        let (sound, heap) = peak(|| {
            let _ = inspect(&disk, &dir());
            let _ = segment(&disk, &dir(), number);
            require_a_beginning(&disk, appended)
        });
        assert!(heap < HEAP_MAX, "round {round}: {heap} bytes");
        if sound { opened += 1 } else { refused += 1 }
    }
    assert!(
        opened > 50 && refused > 500,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn random_bytes_in_every_file_never_make_a_record() {
    let replica = written(2);
    for round in 0..rounds(ROUNDS) {
        let disk = replica.disk.copy(round);
        let mut random = ChaCha8Rng::seed_from_u64(round);
        for file in segments(&disk) {
            let mut bytes = vec![0; random.random_range(0..6000)];
            random.fill_bytes(&mut bytes);
            // Half of them keep a sound header, so that what is behind it is read.
            if random.random_bool(0.5) {
                let sound = disk.peek(&file);
                let keep = random.random_range(0..sound.len());
                bytes.resize(sound.len(), 0xaa);
                bytes[..keep].copy_from_slice(&sound[..keep]);
            }
            disk.poke(&file, bytes);
        }
        let (_, heap) = peak(|| require_a_beginning(&disk, &replica.model.appended));
        assert!(heap < HEAP_MAX, "round {round}: {heap} bytes");
    }
}

#[test]
fn havoc_in_a_snapshot_is_refused() {
    let disk = SimulatedDisk::new(1);
    let header = SnapshotHeader {
        identity: IDENTITY,
        sequence: 128,
        digest: [4; 32],
    };
    let mut writer = SnapshotWriter::create(disk.storage(), &dir(), header).expect("a good disk");
    for chunk in 0..8_u8 {
        writer.write_chunk(&vec![chunk; 300]).expect("a good disk");
    }
    writer.finish().expect("a good disk");
    let file = path("snapshot-0000000000000080.state");
    let sound = disk.peek(&file);
    for round in 0..rounds(ROUNDS) {
        let mut random = ChaCha8Rng::seed_from_u64(round);
        let mut bytes = sound.clone();
        havoc(&mut random, &mut bytes);
        let harmed = bytes != sound;
        disk.poke(&file, bytes);
        disk.clear_log();
        let (verdict, heap) = peak(|| verify(&disk, &dir(), 128));
        assert_eq!(verdict.is_err(), harmed, "round {round}");
        // A chunk's length is bounded whatever is written there.
        assert!(heap < (1 << 20) + HEAP_MAX, "round {round}: {heap} bytes");
        let _ = SnapshotReader::open(&disk, &dir(), &IDENTITY, 128);
    }
}
