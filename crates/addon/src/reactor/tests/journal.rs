//! Reactors with a data directory.

use std::sync::Arc;

use byzantine_journal::{
    Disk, Identity, Journal, Options, Origin, QUEUE_BYTES_MAX, RECORD_BYTES_MAX, Reason,
};

use super::*;
use crate::journal::testing::{Gate, SyncGate, TemporaryDirectory};

/// Longest wait for a directory that is let go of.
const DISK_MAX: Duration = Duration::from_secs(30);
const ME: u8 = 1;
const PERSISTED: u8 = 11;
const DISK_FAILED: u8 = 12;

fn identity() -> Identity {
    Identity {
        cluster: [9; 32],
        epoch: 1,
        replica: *key(ME).public().as_bytes(),
    }
}

fn transport() -> Config {
    config(Role::Replica { id: ME }, key(ME), &[])
}

fn start(directory: DataDirectory) -> Result<Reactor, StartError> {
    Reactor::start(transport(), engine_config(ME), Some(directory))
}

fn genesis() -> TemporaryDirectory {
    TemporaryDirectory::new(&identity(), Origin::Genesis)
}

/// A reactor and the output of its turns.
struct Running {
    reactor: Reactor,
    output: Vec<u8>,
}

impl Running {
    fn on(directory: DataDirectory) -> Self {
        let Ok(reactor) = start(directory) else {
            panic!("a sound directory");
        };
        Self {
            reactor,
            output: vec![0; OUTPUT_BYTES_MIN],
        }
    }

    fn turn(&mut self, actions: &[u8], wait: Duration) -> Result<Vec<(u8, Vec<u8>)>, Fault> {
        turn(&mut self.reactor, &mut self.output, actions, wait)
    }

    /// What a turn that stores these leases brings, or the first one after it that brings something.
    fn store(&mut self, lsns: impl IntoIterator<Item = u64>) -> Vec<(u8, Vec<u8>)> {
        let records = self.turn(&leases(lsns), SLEEP_MAX).expect("dense");
        if records.is_empty() {
            return self.next();
        }
        records
    }

    fn next(&mut self) -> Vec<(u8, Vec<u8>)> {
        for _ in 0..TURNS_MAX {
            let records = self.turn(&[], SLEEP_MAX).expect("no actions");
            if !records.is_empty() {
                return records;
            }
        }
        panic!("nothing came");
    }
}

/// PERSIST of leases with these log sequence numbers.
fn leases(lsns: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut writer = Writer::default();
    for lsn in lsns {
        writer.record(16, |body| {
            body.u53(lsn).u8(1).u53(0).u53(lsn);
        });
    }
    writer.into_vec()
}

fn persisted(up_to: u64) -> (u8, Vec<u8>) {
    (PERSISTED, up_to.to_le_bytes().to_vec())
}

#[test]
fn records_of_a_turn_share_a_sync_and_persisted_comes_when_they_are_durable_and_wakes() {
    let (directory, gate) = (genesis(), SyncGate::open());
    let mut running = Running::on(directory.with(identity(), gate.disk()));
    // The segment is there after the first record.
    assert_eq!(running.store([1]), [persisted(1)]);
    gate.set(Gate::Closed);
    let turn = running.turn(&leases(2..=4), SLEEP_MAX);
    assert_eq!(turn, Ok(vec![]), "the disk has not answered");
    let woken = running.reactor.turns().woken;
    gate.set(Gate::Open);
    assert_eq!(running.next(), [persisted(4)]);
    // A wake that comes between turns ends the next sleep.
    assert_eq!(running.turn(&[], SLEEP_MAX), Ok(vec![]));
    assert!(running.reactor.turns().woken > woken);
    let journal = running.reactor.journal().expect("there is one");
    let statistics = journal.statistics();
    assert_eq!((statistics.syncs, statistics.records), (2, 4));
    assert_eq!(journal.status().reason(), None);
    running.reactor.shutdown(DISK_MAX);
}

#[test]
fn a_failed_disk_is_told_once_and_later_records_go_nowhere() {
    let (directory, gate) = (genesis(), SyncGate::open());
    let mut running = Running::on(directory.with(identity(), gate.disk()));
    assert_eq!(running.store([1]), [persisted(1)]);
    gate.set(Gate::Failing);
    assert_eq!(running.store([2]), [(DISK_FAILED, vec![0])]);
    let status = running.reactor.journal().expect("there is one").status();
    assert_eq!(status.reason(), Some(Reason::FsyncFailed));
    for lsn in 3..6 {
        let turn = running.turn(&leases([lsn]), Duration::ZERO);
        assert_eq!(turn, Ok(vec![]));
    }
    assert!(running.reactor.clean_stop(DISK_MAX).is_err());
}

#[test]
fn a_disk_that_is_a_whole_queue_behind_counts_as_failed_and_memory_is_bounded() {
    let (directory, gate) = (genesis(), SyncGate::open());
    let mut running = Running::on(directory.with(identity(), gate.disk()));
    assert_eq!(running.store([1]), [persisted(1)]);
    gate.set(Gate::Closed);
    // Zeros that nobody looks at take no memory.
    let large = || vec![vec![0; RECORD_BYTES_MAX]];
    for _ in 0..=QUEUE_BYTES_MAX / RECORD_BYTES_MAX {
        let Reactor {
            journal, engine, ..
        } = &mut running.reactor;
        let journal = journal.as_mut().expect("there is one");
        assert_eq!(journal.append(large(), engine), Ok(()));
    }
    assert_eq!(running.next(), [(DISK_FAILED, vec![4])]);
    gate.set(Gate::Failing);
    running.reactor.shutdown(DISK_MAX);
}

#[test]
fn a_stop_in_order_ends_the_records_and_is_found_at_the_next_start() {
    let directory = genesis();
    let mut running = Running::on(directory.of(identity()));
    assert_eq!(running.reactor.take_recovery(), [0; 14]);
    let turn = running.turn(&leases([1, 2]), Duration::ZERO);
    assert!(turn.is_ok());
    assert_eq!(running.reactor.clean_stop(DISK_MAX), Ok(()));
    assert!(running.reactor.journal().is_none());
    let late = running.turn(&leases([3]), Duration::ZERO);
    assert_eq!(late, Err(Fault::JournalStopped));
    running.reactor.shutdown(DISK_MAX);

    let mut again = Running::on(directory.of(identity()));
    let recovery = again.reactor.take_recovery();
    let kind = &recovery[..6];
    assert_eq!(kind, [1, 1, 2, 0, 0, 0], "a restart, clean, two records");
    assert_eq!(again.reactor.take_recovery(), [], "it is taken once");
    let not_dense = Fault::NotDense {
        expected: 3,
        found: 1,
    };
    let turn = again.turn(&leases([1]), Duration::ZERO);
    assert_eq!(turn, Err(not_dense));
    assert_eq!(again.store([3]), [persisted(3)]);
    again.reactor.shutdown(DISK_MAX);
}

#[test]
fn after_a_shutdown_the_directory_is_free_and_what_was_durable_is_there() {
    let directory = genesis();
    for life in 0..3u64 {
        let mut running = Running::on(directory.of(identity()));
        let recovery = running.reactor.take_recovery();
        assert_eq!(recovery[..3], [u8::from(life > 0), 0, life as u8]);
        assert_eq!(running.store([life + 1]), [persisted(life + 1)]);
        running.reactor.shutdown(DISK_MAX);
    }
}

/// PERSIST of a checkpoint with so many batches, 32 bytes each.
fn checkpoint(lsn: u64, batches: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.record(16, |body| {
        body.u53(lsn).u8(6).u53(lsn).raw(&[1; 32]).u53(1);
        body.u32(batches).raw(&vec![2; 32 * batches as usize]);
    });
    writer.into_vec()
}

#[test]
fn what_is_truncated_is_freed_by_the_segment_and_the_rest_comes_back() {
    let directory = genesis();
    let mut running = Running::on(directory.of(identity()));
    // One of them fills a segment.
    for lsn in 1..=3 {
        let turn = running.turn(&checkpoint(lsn, 250_000), Duration::ZERO);
        let records = turn.expect("dense");
        if !records.contains(&persisted(lsn)) {
            assert_eq!(running.next(), [persisted(lsn)]);
        }
    }
    let mut truncate = Writer::default();
    truncate.record(17, |body| {
        body.u53(3);
    });
    assert_eq!(running.turn(truncate.as_slice(), SLEEP_MAX), Ok(vec![]));
    let freed = |running: &Running| {
        let journal = running.reactor.journal().expect("there is one");
        journal.statistics().segments_freed
    };
    for _ in 0..TURNS_MAX {
        if freed(&running) == 2 {
            break;
        }
        assert_eq!(running.turn(&[], SLEEP_MAX), Ok(vec![]));
    }
    assert_eq!(freed(&running), 2);
    running.reactor.shutdown(DISK_MAX);

    let mut again = Running::on(directory.of(identity()));
    let recovery = again.reactor.take_recovery();
    let (count, first) = (&recovery[2..6], &recovery[6..14]);
    assert_eq!((count, first), (&[1, 0, 0, 0][..], &3u64.to_le_bytes()[..]));
    assert_eq!(again.store([4]), [persisted(4)]);
    again.reactor.shutdown(DISK_MAX);
}

#[test]
fn without_a_directory_there_is_nothing_to_recover_stop_or_wait_for() {
    let mut running = Running {
        reactor: Reactor::start(transport(), engine_config(ME), None).expect("bound"),
        output: vec![0; OUTPUT_BYTES_MIN],
    };
    assert_eq!(running.reactor.take_recovery(), []);
    let turn = running.turn(&leases([1, 7]), SLEEP_MAX);
    assert_eq!(turn, Ok(vec![]));
    assert_eq!(running.reactor.clean_stop(DISK_MAX), Ok(()));
    running.reactor.shutdown(DISK_MAX);
}

/// The name under which a directory is refused, by a reactor that could not bind its address either.
fn refused(directory: DataDirectory) -> &'static str {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let transport = Config {
        listen: Some(taken.local_addr().expect("an address")),
        ..transport()
    };
    match Reactor::start(transport, engine_config(ME), Some(directory)) {
        Err(StartError::Directory(error)) => error.name(),
        Err(_) => "used, before a socket that is taken",
        Ok(_) => "used",
    }
}

#[test]
fn a_directory_that_is_not_ours_is_refused_by_name_before_the_socket_is_bound() {
    let directory = genesis();
    let other = Identity {
        replica: *key(2).public().as_bytes(),
        ..identity()
    };
    let next_epoch = Identity {
        epoch: 2,
        ..identity()
    };
    assert_eq!(refused(directory.of(other)), "foreign");
    assert_eq!(refused(directory.of(next_epoch)), "foreign");
    let holder = Running::on(directory.of(identity()));
    assert_eq!(refused(directory.of(identity())), "inUse");
    holder.reactor.shutdown(DISK_MAX);

    let wiped = TemporaryDirectory::missing();
    std::fs::create_dir(wiped.path()).expect("made");
    assert_eq!(refused(wiped.of(identity())), "wiped");
    for _ in 0..2 {
        let sound = refused(directory.of(identity()));
        assert_eq!(sound, "used, before a socket that is taken");
    }
}

#[test]
fn a_record_that_does_not_decode_is_refused_by_its_number() {
    for (payload, name, text) in [
        (
            vec![1, 1, 0, 0, 0, 99],
            "corrupt",
            "record 1 is malformed: unknownType",
        ),
        (
            vec![9],
            "unsupportedVersion",
            "record 1 has the unsupported version 9",
        ),
    ] {
        let directory = genesis();
        let (path, disk) = (directory.path(), Arc::new(Disk));
        let opened = Journal::open(path, &identity(), disk, Options::default());
        let (journal, _) = opened.expect("a sound directory");
        journal.append(1, payload).expect("queued");
        journal.clean_stop(vec![], DISK_MAX).expect("durable");
        for _ in 0..2 {
            let Err(StartError::Directory(error)) = start(directory.of(identity())) else {
                panic!("it is used");
            };
            assert_eq!((error.name(), error.to_string().as_str()), (name, text));
        }
    }
}
