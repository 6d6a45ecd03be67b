//! The journal with its threads: group commit, bounds, release, and clean stops.

mod support;

use std::sync::Arc;

use byzantine_journal::{
    AppendError, Disk, Entry, Journal, Log, OpenError, Origin, QUEUE_BYTES_MAX, RECORD_BYTES_MAX,
    init,
};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::real::RealDir;
use support::replica::{IDENTITY, Replica, dir, path, segments};
use support::running::{Bell, FIRST, PATIENCE, Running, SECOND, SEGMENT, open, options, start};

#[test]
fn all_that_queued_while_the_last_sync_ran_shares_the_next_one() {
    let running = start();
    running.settle();
    let before = running.journal.statistics();
    running.hold_next_sync();
    running.append(2);
    running.disk.wait_for_held();
    for lsn in 3..=22 {
        running.append(lsn);
    }
    assert_eq!(
        running.journal.persisted_up_to(),
        1,
        "nothing is durable before its sync"
    );
    // A header of 48 bytes each, and the payload up to a multiple of 8.
    assert_eq!(running.journal.statistics().queued_bytes, 21 * (48 + 104));
    running.disk.let_go();
    running.until_persisted(22);
    let after = running.journal.statistics();
    assert_eq!(after.syncs - before.syncs, 2);
    assert_eq!(after.records - before.records, 21);
    assert_eq!(after.queued_bytes, 0);
    assert_eq!(after.sync_buckets.iter().sum::<u64>(), after.syncs);
}

#[test]
fn the_records_of_a_turn_share_one_sync() {
    let running = start();
    running.settle();
    let before = running.journal.statistics();
    let turn = (2..=21).map(|lsn| vec![lsn as u8; 100]).collect();
    running.journal.append_all(2, turn).expect("queued");
    running.until_persisted(21);
    let after = running.journal.statistics();
    assert_eq!(after.syncs - before.syncs, 1);
    assert_eq!(after.records - before.records, 20);
    let disk = running.disk.clone();
    running.journal.close();
    let (_running, recovery) = open(&disk);
    for record in recovery.records() {
        let record = record.expect("sound");
        assert_eq!(record.payload, vec![record.lsn as u8; 100]);
    }
}

#[test]
fn a_turn_is_queued_as_a_whole_or_not_at_all() {
    let running = start();
    let bytes = RECORD_BYTES_MAX + 1;
    let turn = vec![vec![1], vec![0; bytes]];
    let refused = running.journal.append_all(1, turn);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes }));
    let turn = vec![vec![0; RECORD_BYTES_MAX]; QUEUE_BYTES_MAX / RECORD_BYTES_MAX];
    let refused = running.journal.append_all(1, turn);
    assert_eq!(refused, Err(AppendError::QueueFull));
    running.journal.append_all(1, Vec::new()).expect("nothing");
    running.append(1);
    running.until_persisted(1);
    assert_eq!(running.journal.statistics().records, 1);
}

#[test]
fn what_was_reported_is_there_after_a_crash() {
    let running = start();
    for lsn in 1..=200 {
        running.append(lsn);
    }
    running.until_persisted(200);
    let disk = running.disk.clone();
    running.journal.close();
    disk.restart(Tear::Lost);
    let (running, recovery) = open(&disk);
    assert_eq!((recovery.first_lsn, recovery.last_lsn), (1, 200));
    for record in recovery.records() {
        let record = record.expect("sound");
        assert_eq!(record.payload, vec![record.lsn as u8; 100]);
    }
    assert_eq!(running.journal.persisted_up_to(), 200);
    running.append(201);
    running.until_persisted(201);
}

#[test]
fn log_sequence_numbers_are_dense() {
    let running = start();
    let refused = running.journal.append(2, vec![1]);
    assert_eq!(
        refused,
        Err(AppendError::NotDense {
            expected: 1,
            found: 2
        })
    );
    running.append(1);
    let refused = running.journal.append(1, vec![1]);
    assert_eq!(
        refused,
        Err(AppendError::NotDense {
            expected: 2,
            found: 1
        })
    );
}

#[test]
fn the_queue_is_bounded() {
    let running = start();
    running.settle();
    let bytes = RECORD_BYTES_MAX + 1;
    let refused = running.journal.append(2, vec![0; bytes]);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes }));
    running.hold_next_sync();
    running.append(2);
    running.disk.wait_for_held();
    let mut lsn = 3;
    for _ in 0..(QUEUE_BYTES_MAX - 100) / RECORD_BYTES_MAX {
        running
            .journal
            .append(lsn, vec![0; RECORD_BYTES_MAX])
            .expect("queued");
        lsn += 1;
    }
    let refused = running.journal.append(lsn, vec![0; RECORD_BYTES_MAX]);
    assert_eq!(refused, Err(AppendError::QueueFull));
    running.append(lsn);
    // What is queued behind the group at hand is dropped.
    let Running { disk, journal, .. } = running;
    drop(journal);
    disk.let_go();
}

/// Else records without a payload would queue without end while the disk stalls.
#[test]
fn a_record_without_a_payload_takes_room_in_the_queue() {
    let running = start();
    running.settle();
    running.hold_next_sync();
    running.append(2);
    running.disk.wait_for_held();
    let before = running.journal.statistics().queued_bytes;
    running.journal.append(3, Vec::new()).expect("queued");
    assert!(running.journal.statistics().queued_bytes > before);
    running.disk.let_go();
    running.until_persisted(3);
    assert_eq!(running.journal.statistics().queued_bytes, 0);
}

/// Else every segment would begin with a wait for what is there already.
#[test]
fn a_segment_that_is_prepared_while_a_group_is_written_is_kept() {
    let running = start();
    let hold = |call, file| running.disk.inject(Fault::next(call, file, Harm::Hold));
    hold(Call::Sync, SECOND);
    running.settle();
    running.disk.wait_for_held();
    hold(Call::Write, FIRST);
    running.append(2);
    running.disk.wait_for_another_held();
    // The group waits once more, at its sync, until the segment is prepared.
    hold(Call::Sync, FIRST);
    running.disk.let_go();
    running
        .bell
        .until(|| running.journal.statistics().segments_prepared == 2);
    running.disk.wait_for_held();
    let before = running.journal.statistics().spare_waits;
    running.disk.let_go();
    running.until_persisted(2);
    for lsn in 3..=30 {
        running.append(lsn);
    }
    running.until_persisted(30);
    assert_eq!(segments(&running.disk)[1], path(SECOND));
    assert!(running.disk.count(Call::Write, SECOND) > 1, "it is in use");
    assert_eq!(running.journal.statistics().spare_waits, before);
}

#[test]
fn a_record_longer_than_a_segment_gets_one_of_its_length() {
    let running = start();
    running.append(1);
    running
        .journal
        .append(2, vec![7; 3 * SEGMENT as usize])
        .expect("queued");
    running.append(3);
    running.until_persisted(3);
    let disk = running.disk.clone();
    running.journal.close();
    let (_running, recovery) = open(&disk);
    let lengths: Vec<usize> = recovery
        .records()
        .map(|record| record.expect("sound").payload.len())
        .collect();
    assert_eq!(lengths, [100, 3 * SEGMENT as usize, 100]);
}

#[test]
fn released_segments_go_and_their_records_with_them() {
    let running = start();
    for lsn in 1..=300 {
        running.append(lsn);
    }
    running.until_persisted(300);
    // Twelve segments hold them, and the next one is prepared.
    running
        .bell
        .until(|| running.journal.statistics().segments_prepared == 13);
    let before = segments(&running.disk).len();
    running.journal.release(250);
    running
        .bell
        .until(|| running.journal.statistics().segments_freed >= 8);
    let disk = running.disk.clone();
    running.journal.close();
    assert!(segments(&disk).len() + 8 <= before);
    let (running, recovery) = open(&disk);
    assert_eq!(recovery.first_lsn, 250);
    assert_eq!(recovery.records().count(), 51);
    // What is not durable is never released.
    running.journal.release(u64::MAX);
    running.append(301);
    running.until_persisted(301);
    let disk = running.disk.clone();
    running.journal.close();
    let (_running, recovery) = open(&disk);
    assert!(
        recovery
            .records()
            .any(|record| record.expect("sound").lsn == 301)
    );
}

#[test]
fn a_clean_stop_makes_all_durable_and_carries_its_payload() {
    let running = start();
    for lsn in 1..=50 {
        running.append(lsn);
    }
    let disk = running.disk.clone();
    running
        .journal
        .clean_stop(b"votes".to_vec(), PATIENCE)
        .expect("a good disk");
    disk.restart(Tear::Lost);
    let (running, recovery) = open(&disk);
    assert_eq!(recovery.clean_stop.as_deref(), Some(&b"votes"[..]));
    assert_eq!(recovery.last_lsn, 50);
    assert_eq!(recovery.torn, None);
    running.journal.close();
    let (_running, recovery) = open(&disk);
    assert_eq!(recovery.clean_stop, None);
}

#[test]
fn a_release_keeps_every_record_at_or_above_it() {
    for below in 1..=40 {
        let disk = SimulatedDisk::new(below);
        let mut replica = Replica::new(&disk);
        replica.init().expect("a good disk");
        replica.open().expect("a good disk");
        let records = (0..40).map(|fill| Entry::Record(vec![fill; 200]));
        replica.write(records.collect()).expect("a good disk");
        replica
            .write(vec![Entry::Release(below)])
            .expect("a good disk");
        for _ in 0..40 {
            replica.unlink_one().expect("a good disk");
        }
        replica.leave();
        // Each removal is durable before the next one: a crash leaves no gap.
        disk.restart(Tear::Sectors);
        let (_, recovery) =
            Log::open(disk.storage(), &dir(), &IDENTITY).expect("every record that is needed");
        assert_eq!((recovery.first_lsn, recovery.last_lsn), (below, 40));
    }
}

#[test]
fn it_works_on_the_real_file_system() {
    let real = RealDir::new("works");
    let bell = Bell::default();
    let refused = Journal::open(&real.0, &IDENTITY, Arc::new(Disk), options(&bell)).err();
    assert_eq!(refused, Some(OpenError::Wiped));
    init(&Disk, &real.0, &IDENTITY, Origin::Genesis).expect("a directory");
    for round in 0..3_u64 {
        let (journal, recovery) =
            Journal::open(&real.0, &IDENTITY, Arc::new(Disk), options(&bell)).expect("its own");
        assert_eq!(recovery.last_lsn, round * 100);
        assert_eq!(recovery.clean_stop.is_some(), round > 0);
        for record in recovery.records() {
            let record = record.expect("sound");
            assert_eq!(record.payload, record.lsn.to_le_bytes());
        }
        let again = Journal::open(&real.0, &IDENTITY, Arc::new(Disk), options(&bell)).err();
        assert_eq!(again, Some(OpenError::InUse));
        for lsn in round * 100 + 1..=(round + 1) * 100 {
            journal
                .append(lsn, lsn.to_le_bytes().to_vec())
                .expect("queued");
        }
        bell.until(|| journal.persisted_up_to() == (round + 1) * 100);
        journal.release(round * 50);
        journal
            .clean_stop(vec![round as u8], PATIENCE)
            .expect("a good disk");
    }
}
