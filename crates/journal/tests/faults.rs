//! Calls to the disk that fail: what was reported stays, and a failed journal is never believed again.

mod support;

use std::io::ErrorKind;

use byzantine_journal::{DiskReason, Entry, OpenError};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{Replica, SEGMENT, records};
use support::soak::rounds;

fn started(disk: &SimulatedDisk) -> Replica {
    let mut replica = Replica::new(disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    replica
}

/// Groups, marks, releases and removals; the same for each seed.
fn work(replica: &mut Replica, seed: u64) -> Result<(), byzantine_journal::DiskFailure> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..8 {
        let mut queue = records(&mut random, 1 + round % 4);
        queue.extend(replica.release(&mut random));
        replica.write(queue)?;
        replica.mark()?;
        replica.unlink_one()?;
    }
    Ok(())
}

/// Every call fails once. The process ends and the next one sees what the operating system still has in memory, which a
/// failed sync has left clean and not on the disk; then the machine crashes.
#[test]
fn after_any_failed_call_what_recovery_reports_survives_a_crash() {
    let mut failures = 0;
    for seed in 0..rounds(12) {
        let calls = {
            let disk = SimulatedDisk::new(seed);
            let mut replica = started(&disk);
            let before = disk.calls();
            work(&mut replica, seed).expect("nothing is wrong with the disk");
            disk.calls() - before
        };
        for call in 0..calls {
            for kind in [
                ErrorKind::Other,
                ErrorKind::StorageFull,
                ErrorKind::ReadOnlyFilesystem,
            ] {
                let disk = SimulatedDisk::new(seed);
                let mut replica = started(&disk);
                disk.inject(Fault::any(call, Harm::Fail(kind)));
                work(&mut replica, seed).expect_err("the call fails");
                replica.leave();
                disk.restart(Tear::Process);
                replica
                    .open()
                    .expect("what failed is cut off or was written again");
                replica.leave();
                disk.restart(Tear::Lost);
                replica.open().expect("what was recovered is durable");
                work(&mut replica, seed + 100).expect("nothing is wrong with the disk");
                replica.leave();
                disk.restart(Tear::Sectors);
                replica.open().expect("what was recovered is durable");
                failures += 1;
            }
        }
    }
    assert!(failures > 1000, "{failures} failures");
}

#[test]
fn an_open_that_fails_at_any_call_changes_nothing_that_counts() {
    let disk = SimulatedDisk::new(1);
    let mut replica = started(&disk);
    work(&mut replica, 1).expect("nothing is wrong with the disk");
    replica
        .clean_stop(b"votes".to_vec())
        .expect("nothing is wrong with the disk");
    for call in 0.. {
        let mut again = Replica::new(&disk.copy(call));
        again.model = replica.model.clone();
        again
            .disk
            .inject(Fault::any(call, Harm::Fail(ErrorKind::Other)));
        match again.open() {
            Ok(()) => {
                assert!(call > 20, "the fault hit none of {call} calls");
                return;
            }
            Err(OpenError::Disk(_)) => {}
            Err(other) => panic!("call {call}: {other}"),
        }
        again.leave();
        again.disk.restart(Tear::Lost);
        again.open().expect("nothing is wrong with the disk");
    }
}

#[test]
fn the_reason_says_what_failed() {
    let cases = [
        (Call::Sync, ErrorKind::Other, DiskReason::SyncFailed),
        (Call::Sync, ErrorKind::StorageFull, DiskReason::SyncFailed),
        (Call::Write, ErrorKind::Other, DiskReason::WriteFailed),
        (Call::Write, ErrorKind::StorageFull, DiskReason::Full),
        (Call::Write, ErrorKind::QuotaExceeded, DiskReason::Full),
        (
            Call::Write,
            ErrorKind::ReadOnlyFilesystem,
            DiskReason::ReadOnly,
        ),
    ];
    for (call, kind, reason) in cases {
        let disk = SimulatedDisk::new(1);
        let mut replica = started(&disk);
        replica
            .prepare(SEGMENT)
            .expect("nothing is wrong with the disk");
        disk.inject(Fault::next(call, "journal-", Harm::Fail(kind)));
        let failure = replica
            .write(vec![Entry::Record(vec![1])])
            .expect_err("the call fails");
        assert_eq!(failure.reason, reason, "{call:?} {kind:?}");
        assert!(failure.detail.contains("journal-0000000000000001.segment"));
    }
}

#[test]
fn a_disk_that_cannot_be_read_opens_nothing() {
    let disk = SimulatedDisk::new(1);
    let mut replica = started(&disk);
    work(&mut replica, 1).expect("nothing is wrong with the disk");
    disk.inject(Fault::next(
        Call::Read,
        "journal-",
        Harm::Fail(ErrorKind::Other),
    ));
    let Err(OpenError::Disk(failure)) = replica.open() else {
        panic!("opened");
    };
    assert_eq!(failure.reason, DiskReason::ReadFailed);
}
