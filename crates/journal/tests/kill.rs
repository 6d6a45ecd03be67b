//! Processes that are killed while they append, on the real file system: what they reported is there.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use byzantine_journal::{Disk, Journal, OpenError, Origin, init};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use support::real::RealDir;
use support::replica::IDENTITY;
use support::running::{Bell, options};
use support::soak::rounds;

/// Processes killed.
const KILLS: u64 = 25;
/// Names the directory, in the process that is going to be killed.
const VICTIM: &str = "BYZANTINE_JOURNAL_VICTIM";

/// A record's payload says which it is; lengths differ, so that segments end anywhere.
fn payload(lsn: u64) -> Vec<u8> {
    lsn.to_le_bytes().repeat(1 + (lsn % 60) as usize)
}

/// Appends for ever, in bursts, and prints what is durable.
fn append_until_killed(dir: &Path) {
    let bell = Bell::default();
    let (journal, recovery) =
        Journal::open(dir, &IDENTITY, Arc::new(Disk), options(&bell)).expect("its own directory");
    let mut next = recovery.last_lsn + 1;
    loop {
        let burst = 1 + next % 7;
        for lsn in next..next + burst {
            journal.append(lsn, payload(lsn)).expect("queued");
        }
        next += burst;
        bell.until(|| journal.persisted_up_to() + 1 == next);
        println!("persisted {}", next - 1);
        journal.release(next.saturating_sub(100));
    }
}

/// Lets a process append until it has reported so many bursts, kills it, and returns what it reported last.
fn kill_after(dir: &Path, bursts: usize) -> u64 {
    let mut victim = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", "--test-threads", "1"])
        .arg("a_killed_process_loses_nothing_that_it_reported")
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(victim.stdout.take().expect("its output"));
    let mut reports = output.lines().filter_map(|line| {
        let line = line.expect("text");
        let (_, lsn) = line.split_once("persisted ")?;
        Some(lsn.parse::<u64>().expect("a number"))
    });
    let before = reports.nth(bursts).expect("it appends until it is killed");
    victim.kill().expect("it runs");
    // What it still wrote into the pipe it had reported as well.
    let last = reports.last().unwrap_or(before);
    victim.wait().expect("it was killed");
    last
}

#[test]
fn a_killed_process_loses_nothing_that_it_reported() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        append_until_killed(Path::new(&dir));
    }
    let real = RealDir::new("kill");
    init(&Disk, &real.0, &IDENTITY, Origin::Genesis).expect("a directory");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for kill in 0..rounds(KILLS) {
        let reported = kill_after(&real.0, random.random_range(0..60));
        let (journal, recovery) = Journal::open(
            &real.0,
            &IDENTITY,
            Arc::new(Disk),
            options(&Bell::default()),
        )
        .unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert!(recovery.last_lsn >= reported, "kill {kill}");
        assert!(recovery.first_lsn <= reported.saturating_sub(99).max(1));
        assert_eq!(recovery.clean_stop, None);
        let mut lsn = recovery.first_lsn;
        for record in recovery.records() {
            let record = record.unwrap_or_else(|error: OpenError| panic!("kill {kill}: {error}"));
            assert!((record.lsn, record.payload) == (lsn, payload(lsn)));
            lsn += 1;
        }
        assert_eq!(lsn, recovery.last_lsn + 1);
        journal.close();
    }
}
