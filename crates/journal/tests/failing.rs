//! The journal on a disk that fails, is full, or stalls: what it reports, and what it does no more.

mod support;

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use byzantine_journal::{
    AppendError, CLEAN_STOP_BYTES_MAX, DiskReason, Journal, OpenError, Options, Origin,
    STALL_AFTER, Status, StopError, init,
};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::replica::{IDENTITY, dir, has, path};
use support::running::{FIRST, PATIENCE, Running, SECOND, open, start};
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

/// A release needs a few bytes itself; without room kept for it a full disk would stay full for ever.
#[test]
fn a_release_makes_room_on_a_full_disk_while_records_wait_for_it() {
    let running = start();
    for lsn in 1..=100 {
        running.append(lsn);
    }
    // Four segments hold them, and the next one is prepared.
    running
        .bell
        .until(|| running.journal.statistics().segments_prepared == 5);
    running.disk.set_free(Some(0));
    let waits = running.journal.statistics().spare_waits;
    for lsn in 101..=300 {
        running.append(lsn);
    }
    running.eventually(|| running.journal.statistics().spare_waits > waits);
    let persisted = running.journal.persisted_up_to();
    assert!(persisted < 300, "{persisted} records in two segments");
    running.journal.release(persisted + 1);
    running
        .bell
        .until(|| running.journal.statistics().segments_freed > 1);
    assert_eq!(running.journal.persisted_up_to(), persisted);
    running.disk.set_free(None);
    running.until_persisted(300);
    let disk = running.disk.clone();
    running.journal.close();
    let (_running, recovery) = open(&disk);
    assert_eq!(
        (recovery.first_lsn, recovery.last_lsn),
        (persisted + 1, 300)
    );
}

/// A journal whose owner is never told that records are durable is of no use, and must not take the process along.
#[test]
fn a_waker_that_panics_is_the_end_of_the_journal_and_of_nothing_else() {
    let disk = SimulatedDisk::new(1);
    init(&disk, &dir(), &IDENTITY, Origin::Genesis).expect("a good disk");
    let armed = Arc::new(AtomicBool::new(false));
    let panics = Arc::clone(&armed);
    let options = Options {
        waker: Arc::new(move || assert!(!panics.load(Ordering::Acquire), "a bad waker")),
        ..Options::default()
    };
    let (journal, _) =
        Journal::open(&dir(), &IDENTITY, disk.storage(), options).expect("a good disk");
    armed.store(true, Ordering::Release);
    journal.append(1, vec![1]).expect("queued");
    let stopped = journal.clean_stop(Vec::new(), PATIENCE);
    let Err(StopError::Failed(failure)) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(failure.reason, DiskReason::Panicked);
    assert!(failure.detail.contains("waker"), "{failure}");
    assert!(!has(&disk, &path("clean-stop")));
    open(&disk);
}

#[test]
fn a_clean_stop_does_not_wait_longer_than_told_for_what_runs_beside_it() {
    let running = start();
    running
        .disk
        .inject(Fault::next(Call::Sync, SECOND, Harm::Hold));
    running.settle();
    running.disk.wait_for_held();
    let Running { disk, journal, .. } = running;
    let (report, stopped) = mpsc::channel();
    let stop = thread::spawn(move || {
        let within = Duration::from_millis(20);
        report.send(journal.clean_stop(b"votes".to_vec(), within))
    });
    assert_eq!(stopped.recv_timeout(PATIENCE), Ok(Ok(())));
    // Its other thread may still write, so the directory is still its own.
    let refused = Journal::open(&dir(), &IDENTITY, disk.storage(), Options::default()).err();
    assert_eq!(refused, Some(OpenError::InUse));
    disk.let_go();
    stop.join().expect("no panic").expect("received");
    disk.wait_for_unlocked();
    assert_eq!(open(&disk).1.clean_stop.as_deref(), Some(&b"votes"[..]));
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
