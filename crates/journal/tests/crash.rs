//! Crashes at every call to the storage, with every way to tear what was not synced.

mod support;

use byzantine_journal::{DiskFailure, InitError, OpenError};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use support::disk::SimulatedDisk;
use support::fault::{Fault, Harm};
use support::inode::{TEARS, Tear};
use support::replica::{Replica, SEGMENT, records};
use support::soak::rounds;

/// Schedules of each test; each is crashed at every one of its calls.
const SCHEDULES: u64 = 12;
/// Steps of a schedule.
const STEPS: usize = 14;

/// Why a schedule ended early.
#[derive(Debug)]
#[allow(dead_code, reason = "printed when a test fails")]
enum Stop {
    Init(InitError),
    Open(OpenError),
    Disk(DiskFailure),
}

impl From<DiskFailure> for Stop {
    fn from(failure: DiskFailure) -> Self {
        Self::Disk(failure)
    }
}

/// One step; its choices depend on the seed and on what happened before, and on nothing else.
fn step(replica: &mut Replica, random: &mut ChaCha8Rng) -> Result<(), Stop> {
    match random.random_range(0..16) {
        0..=8 => {
            let count = random.random_range(1..8);
            let mut queue = records(random, count);
            if random.random_bool(0.3) {
                queue.extend(replica.release(random));
            }
            replica.write(queue)?;
            if random.random_bool(0.5) {
                replica.mark()?;
            }
        }
        9 => {
            let release = replica.release(random);
            replica.write(Vec::from_iter(release))?;
        }
        10 => replica.prepare(SEGMENT)?,
        11 | 12 => replica.unlink_one()?,
        13 => {
            replica.clean_stop(vec![5; random.random_range(0..50)])?;
            replica.open().map_err(Stop::Open)?;
        }
        _ => {
            replica.leave();
            if random.random_bool(0.5) {
                replica
                    .disk
                    .restart(TEARS[random.random_range(0..TEARS.len())]);
            }
            replica.open().map_err(Stop::Open)?;
        }
    }
    Ok(())
}

fn run(replica: &mut Replica, seed: u64, steps: usize) -> Result<(), Stop> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..steps {
        step(replica, &mut random)?;
    }
    Ok(())
}

fn begin(replica: &mut Replica) -> Result<(), Stop> {
    replica.init().map_err(Stop::Init)?;
    replica.open().map_err(Stop::Open)
}

/// Restarts until recovery ends; it may be crashed itself, at a call that the seed chooses.
fn recover(replica: &mut Replica, tear: Tear, seed: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    replica.leave();
    replica.disk.restart(tear);
    for (crashes, again) in (0..).zip([0.5, 0.5, 0.0]) {
        if random.random_bool(again) {
            let after = random.random_range(0..40);
            replica.disk.inject(Fault::any(after, Harm::Crash));
        }
        let opened = match replica.open() {
            Err(OpenError::Wiped) if replica.model.appended.is_empty() => begin(replica),
            result => result.map_err(Stop::Open),
        };
        match opened {
            Ok(()) => return crashes,
            Err(stop) => assert!(
                replica.disk.has_crashed(),
                "seed {seed}, {tear:?}: {stop:?}"
            ),
        }
        replica.leave();
        replica
            .disk
            .restart(TEARS[random.random_range(0..TEARS.len())]);
    }
    unreachable!("the last attempt is not crashed");
}

/// Runs a schedule up to its crash, recovers, goes on, loses what recovery did not make durable, and recovers again.
fn crash_at(seed: u64, call: u64, tear: Tear) -> u64 {
    let disk = SimulatedDisk::new(seed);
    let mut replica = Replica::new(&disk);
    disk.inject(Fault::any(call, Harm::Crash));
    let ended = begin(&mut replica).and_then(|()| run(&mut replica, seed, STEPS));
    if let Err(stop) = ended {
        assert!(disk.has_crashed(), "seed {seed}, call {call}: {stop:?}");
    }
    let salt = seed << 32 | call;
    let mut crashes = 1 + recover(&mut replica, tear, salt);
    disk.clear_faults();
    // What recovery reported is durable, also if nothing is written before the next crash.
    crashes += 1 + recover(&mut replica, Tear::Lost, salt + 1);
    disk.clear_faults();
    run(&mut replica, salt + 2, 4).expect("nothing is wrong with the disk");
    let last = TEARS[(call % TEARS.len() as u64) as usize];
    crashes + 1 + recover(&mut replica, last, salt + 3)
}

fn calls_of(seed: u64) -> u64 {
    let disk = SimulatedDisk::new(seed);
    let mut replica = Replica::new(&disk);
    begin(&mut replica).expect("nothing is wrong with the disk");
    run(&mut replica, seed, STEPS).expect("nothing is wrong with the disk");
    disk.calls()
}

fn crash_everywhere(tear: Tear) {
    let mut crashes = 0;
    let schedules = rounds(SCHEDULES);
    for seed in 0..schedules {
        for call in 0..calls_of(seed) {
            crashes += crash_at(seed, call, tear);
        }
    }
    println!("{tear:?}: {crashes} crashes");
    assert!(crashes > 250 * schedules, "{crashes} crashes");
}

#[test]
fn a_crash_that_loses_all_that_was_not_synced_loses_no_persisted_record() {
    crash_everywhere(Tear::Lost);
}

#[test]
fn a_crash_that_loses_nothing_invents_no_record() {
    crash_everywhere(Tear::Kept);
}

#[test]
fn a_crash_that_keeps_a_prefix_loses_no_persisted_record() {
    crash_everywhere(Tear::Prefix);
}

#[test]
fn a_crash_that_keeps_any_sectors_loses_no_persisted_record() {
    crash_everywhere(Tear::Sectors);
}

#[test]
fn a_crash_that_keeps_any_bytes_loses_no_persisted_record() {
    crash_everywhere(Tear::Bytes);
}

#[test]
fn a_killed_process_loses_no_persisted_record_though_the_machine_crashes_later() {
    crash_everywhere(Tear::Process);
}

#[test]
fn the_same_seed_makes_the_same_disk() {
    let state = |seed| {
        let disk = SimulatedDisk::new(seed);
        let mut replica = Replica::new(&disk);
        begin(&mut replica).expect("nothing is wrong with the disk");
        run(&mut replica, seed, 3 * STEPS).expect("nothing is wrong with the disk");
        let files = support::replica::segments(&disk);
        files.iter().map(|file| disk.peek(file)).collect::<Vec<_>>()
    };
    assert_eq!(state(5), state(5));
    assert_ne!(state(5), state(6));
}
