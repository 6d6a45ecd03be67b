//! Whose directory it is, and who may open it.

mod support;

use std::io::ErrorKind;

use byzantine_journal::{
    DiskReason, Entry, Identity, IdentityField, InitError, Log, OpenError, Origin, init,
};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{IDENTITY, Replica, dir, has, path, segments};

fn open(disk: &SimulatedDisk, identity: &Identity) -> Result<Log, OpenError> {
    Log::open(disk.storage(), &dir(), identity).map(|(log, _)| log)
}

fn refusal(disk: &SimulatedDisk, identity: &Identity) -> OpenError {
    open(disk, identity).err().expect("refused")
}

fn started(seed: u64) -> (SimulatedDisk, Replica) {
    let disk = SimulatedDisk::new(seed);
    let replica = Replica::new(&disk);
    replica.init().expect("nothing is wrong with the disk");
    (disk, replica)
}

/// A journal with one record, and the replica that has it open.
fn written() -> (SimulatedDisk, Replica) {
    let (disk, mut replica) = started(1);
    replica.open().expect("its own directory");
    replica
        .write(vec![Entry::Record(vec![1])])
        .expect("a good disk");
    (disk, replica)
}

#[test]
fn a_directory_without_a_marker_is_wiped_and_stays_untouched() {
    let disk = SimulatedDisk::new(1);
    assert_eq!(refusal(&disk, &IDENTITY), OpenError::Wiped);
    assert_eq!(disk.names(), Vec::<String>::new());

    let (disk, _) = written();
    disk.vanish(&path("identity"));
    assert_eq!(refusal(&disk, &IDENTITY), OpenError::Wiped);
    let refused = init(&disk, &dir(), &IDENTITY, Origin::Genesis);
    let first = "journal-0000000000000001.segment".to_owned();
    assert_eq!(refused, Err(InitError::NotEmpty(first)));
}

#[test]
fn a_directory_of_somebody_else_is_refused_by_the_field_that_differs() {
    let (disk, _) = written();
    let strangers = [
        (
            IdentityField::Cluster,
            Identity {
                cluster: [1; 32],
                ..IDENTITY
            },
        ),
        (
            IdentityField::Epoch,
            Identity {
                epoch: 4,
                ..IDENTITY
            },
        ),
        (
            IdentityField::Replica,
            Identity {
                replica: [1; 32],
                ..IDENTITY
            },
        ),
    ];
    for (field, stranger) in strangers {
        let file = "identity".to_owned();
        assert_eq!(
            refusal(&disk, &stranger),
            OpenError::Foreign { file, field }
        );
        // The files of one directory in another one.
        let other = SimulatedDisk::new(2);
        init(&other, &dir(), &stranger, Origin::Genesis).expect("a good disk");
        let segment = segments(&disk)[0].clone();
        other.poke(&segment, disk.peek(&segment));
        let file = "journal-0000000000000001.segment".to_owned();
        assert_eq!(
            refusal(&other, &stranger),
            OpenError::Foreign { file, field }
        );
    }
    assert!(open(&disk, &IDENTITY).is_ok());
}

#[test]
fn a_directory_has_one_owner() {
    let (disk, mut replica) = started(1);
    replica.open().expect("its own directory");
    assert_eq!(refusal(&disk, &IDENTITY), OpenError::InUse);
    let again = init(&disk, &dir(), &IDENTITY, Origin::Genesis);
    assert_eq!(again, Err(InitError::InUse));
    replica.leave();
    assert!(open(&disk, &IDENTITY).is_ok());
}

#[test]
fn init_happens_once() {
    let (disk, _) = started(1);
    let again = init(&disk, &dir(), &IDENTITY, Origin::Wiped);
    assert_eq!(again, Err(InitError::AlreadyInitialized));
}

/// The journal that it belongs to is gone; a new one could never be opened beside it.
#[test]
fn init_refuses_a_clean_stop_that_was_left_alone() {
    let (disk, mut replica) = started(1);
    replica.open().expect("its own directory");
    replica.clean_stop(vec![1]).expect("a good disk");
    disk.vanish(&path("identity"));
    disk.vanish(&segments(&disk)[0]);
    let refused = init(&disk, &dir(), &IDENTITY, Origin::Genesis);
    assert_eq!(refused, Err(InitError::NotEmpty("clean-stop".to_owned())));
}

#[test]
fn a_directory_made_after_a_wipe_says_so_for_ever() {
    let disk = SimulatedDisk::new(1);
    init(&disk, &dir(), &IDENTITY, Origin::Wiped).expect("a good disk");
    for _ in 0..2 {
        let (_, recovery) =
            Log::open(disk.storage(), &dir(), &IDENTITY).expect("its own directory");
        assert_eq!(recovery.origin, Origin::Wiped);
        assert!(recovery.is_empty());
    }
}

#[test]
fn an_init_that_crashed_at_any_call_can_be_done_again() {
    for tear in support::inode::TEARS {
        for call in 0.. {
            let disk = SimulatedDisk::new(call);
            disk.inject(Fault::any(call, Harm::Crash));
            let replica = Replica::new(&disk);
            if replica.init().is_ok() {
                assert!(call > 8, "the crash hit none of {call} calls");
                break;
            }
            disk.restart(tear);
            match open(&disk, &IDENTITY) {
                Ok(_) => continue,
                Err(OpenError::Wiped) => {}
                Err(other) => panic!("{tear:?} at call {call}: {other}"),
            }
            replica.init().expect("what the first left is no obstacle");
            assert!(open(&disk, &IDENTITY).is_ok());
        }
    }
}

#[test]
fn a_file_of_another_version_is_named_and_not_called_damaged() {
    let (disk, _) = written();
    let segment = segments(&disk)[0].clone();
    let mut bytes = disk.peek(&segment);
    bytes[8] = 2;
    let sum = crc64fast(&bytes[..128]);
    bytes[128..136].copy_from_slice(&sum.to_le_bytes());
    disk.poke(&segment, bytes);
    let file = "journal-0000000000000001.segment".to_owned();
    let unsupported = OpenError::UnsupportedVersion { file, found: 2 };
    assert_eq!(refusal(&disk, &IDENTITY), unsupported);
}

fn crc64fast(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    digest.sum64()
}

#[test]
fn a_read_only_file_system_opens_nothing() {
    let (disk, _) = started(1);
    disk.inject(Fault::next(
        Call::Lock,
        "lock",
        Harm::Fail(ErrorKind::ReadOnlyFilesystem),
    ));
    let OpenError::Disk(failure) = refusal(&disk, &IDENTITY) else {
        panic!("another refusal");
    };
    assert_eq!(failure.reason, DiskReason::ReadOnly);
}

#[test]
fn a_clean_stop_is_seen_once() {
    let (disk, mut replica) = written();
    replica.clean_stop(b"votes".to_vec()).expect("a good disk");
    let (log, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY).expect("its own directory");
    assert_eq!(recovery.clean_stop.as_deref(), Some(&b"votes"[..]));
    assert!(!has(&disk, &path("clean-stop")));
    drop(log);
    // Durably: also if the machine crashes before anything is written.
    disk.restart(Tear::Lost);
    let (_, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY).expect("its own directory");
    assert_eq!(recovery.clean_stop, None);
    assert_eq!(recovery.last_lsn, 1);
}
