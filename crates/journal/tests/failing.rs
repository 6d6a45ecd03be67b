//! The journal on a disk that fails, is full, or stalls: what it reports, and what it does no more.

mod support;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use byzantine_journal::{
    AppendError, CLEAN_STOP_BYTES_MAX, DiskReason, Journal, OpenError, Options, STALL_AFTER,
    Status, StopError,
};
use support::fault::{Call, Fault, Harm};
use support::replica::{IDENTITY, dir};
use support::running::{FIRST, PATIENCE, Running, start};

#[test]
fn a_failed_sync_is_final_and_nothing_is_reported_afterwards() {
    let running = start();
    running.settle();
    running
        .disk
        .inject(Fault::next(Call::Sync, FIRST, Harm::Fail(ErrorKind::Other)));
    running.append(2);
    running.bell.until(|| running.status() != Status::Running);
    let Status::Failed(failure) = running.status() else {
        panic!("{}", running.status());
    };
    assert_eq!(failure.reason, DiskReason::SyncFailed);
    // The disk would work again; the journal does not ask.
    let refused = running.journal.append(3, vec![1]);
    assert_eq!(refused, Err(AppendError::Failed(failure.clone())));
    assert_eq!(running.journal.persisted_up_to(), 1);
    let syncs = running.disk.count(Call::Sync, FIRST);
    let Running { disk, journal, .. } = running;
    let stopped = journal.clean_stop(Vec::new(), PATIENCE);
    assert_eq!(stopped, Err(StopError::Failed(failure)));
    assert_eq!(disk.count(Call::Sync, FIRST), syncs);
    assert_eq!(disk.count(Call::Write, "clean-stop"), 0);
}

#[test]
fn a_read_only_file_system_is_final() {
    let running = start();
    running.settle();
    running.disk.inject(Fault::next(
        Call::Write,
        FIRST,
        Harm::Fail(ErrorKind::ReadOnlyFilesystem),
    ));
    running.append(2);
    running.bell.until(|| running.status() != Status::Running);
    let Status::Failed(failure) = running.status() else {
        panic!("{}", running.status());
    };
    assert_eq!(failure.reason, DiskReason::ReadOnly);
}

#[test]
fn a_failure_in_the_background_ends_the_writer_too() {
    let running = start();
    running.settle();
    running.disk.inject(Fault::next(
        Call::Sync,
        "journal-0000000000000003",
        Harm::Fail(ErrorKind::Other),
    ));
    for lsn in 2..=80 {
        running.append(lsn);
    }
    running.bell.until(|| running.status() != Status::Running);
    assert!(
        matches!(running.status(), Status::Failed(failure) if failure.reason == DiskReason::SyncFailed)
    );
    running.journal.close();
}

#[test]
fn a_stalled_sync_is_reported_while_it_lasts() {
    let running = start();
    running.settle();
    running.hold_next_sync();
    running.append(2);
    running.disk.wait_for_held();
    let now = Instant::now();
    assert_eq!(running.journal.status(now), Status::Running);
    let later = now + STALL_AFTER + Duration::from_secs(1);
    assert!(
        matches!(running.journal.status(later), Status::Stalled { since } if since > STALL_AFTER)
    );
    assert!(
        running
            .journal
            .writing_for(later)
            .is_some_and(|since| since > STALL_AFTER)
    );
    running.disk.let_go();
    running.until_persisted(2);
    running.append(3);
    running.until_persisted(3);
    assert_eq!(running.status(), Status::Running);
}

#[test]
fn a_full_disk_is_reported_while_it_lasts_and_loses_nothing() {
    let running = start();
    running.settle();
    running.disk.set_free(Some(0));
    for lsn in 2..=100 {
        running.append(lsn);
    }
    running.bell.until(|| running.status() == Status::Full);
    let persisted = running.journal.persisted_up_to();
    assert!(persisted < 100, "{persisted} records in two segments");
    running.disk.set_free(None);
    running.until_persisted(100);
    assert_eq!(running.status(), Status::Running);
}

#[test]
fn a_stop_that_the_disk_does_not_take_in_time_is_not_known_to_be_clean() {
    let running = start();
    running.settle();
    let Running { disk, journal, .. } = running;
    disk.inject(Fault::next(Call::Sync, "clean-stop", Harm::Hold));
    let stopped = journal.clean_stop(Vec::new(), Duration::from_millis(20));
    assert_eq!(stopped, Err(StopError::TimedOut));
    disk.wait_for_held();
    // Its thread may still write, so the directory is still its own.
    let refused = Journal::open(&dir(), &IDENTITY, disk.storage(), Options::default()).err();
    assert_eq!(refused, Some(OpenError::InUse));
    disk.let_go();
    let running = start();
    let bytes = CLEAN_STOP_BYTES_MAX + 1;
    let stopped = running.journal.clean_stop(vec![0; bytes], PATIENCE);
    assert_eq!(stopped, Err(StopError::TooLarge { bytes }));
}
