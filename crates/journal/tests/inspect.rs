//! Looking at a data directory changes nothing and takes no lock.

mod support;

use byzantine_journal::inspect::{inspect, segment, segments};
use byzantine_journal::{Damage, Entry, HeaderFault, ItemKind, OpenError, Origin};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{IDENTITY, Replica, SEGMENT, dir, path};

const FIRST: &str = "journal-0000000000000001.segment";

fn written() -> (SimulatedDisk, Replica) {
    let disk = SimulatedDisk::new(1);
    let mut replica = Replica::new(&disk);
    replica.init().expect("a good disk");
    replica.open().expect("a good disk");
    for fill in 1..=10 {
        replica
            .write(vec![Entry::Record(vec![fill; 300])])
            .expect("a good disk");
    }
    replica.mark().expect("a good disk");
    replica.prepare(SEGMENT).expect("a good disk");
    (disk, replica)
}

fn bytes(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names().into_iter();
    names
        .map(|name| (name.clone(), disk.peek(&path(&name))))
        .collect()
}

#[test]
fn a_running_journal_can_be_inspected() {
    let (disk, _running) = written();
    let before = bytes(&disk);
    disk.clear_log();
    let found = inspect(&disk, &dir()).expect("sound");
    assert_eq!(found.identity, IDENTITY);
    assert_eq!(found.origin, Origin::Genesis);
    assert_eq!(
        (found.first_lsn, found.last_lsn, found.segments),
        (1, 10, 2)
    );
    assert_eq!((found.clean_stop, found.torn), (None, None));
    assert_eq!(segments(&disk, &dir()).expect("readable"), [1, 2, 3]);
    for number in 1..=3 {
        segment(&disk, &dir(), number).expect("readable");
    }
    for call in [
        Call::Write,
        Call::Sync,
        Call::Lock,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
    ] {
        assert_eq!(disk.count(call, ""), 0, "{call:?}");
    }
    assert_eq!(bytes(&disk), before);
}

#[test]
fn every_item_has_its_place_and_verdict() {
    let (disk, _running) = written();
    let report = segment(&disk, &dir(), 1).expect("readable");
    let header = report.header.expect("a header");
    assert_eq!(
        (header.number, header.first_lsn, header.capacity),
        (1, 1, SEGMENT)
    );
    let places: Vec<u64> = report.items.iter().map(|item| item.offset).collect();
    assert_eq!(places, [136, 488, 840, 1192, 1544]);
    for (item, lsn) in report.items.iter().zip(1..) {
        assert_eq!((item.header.kind, item.header.lsn), (ItemKind::Record, lsn));
        assert_eq!((item.header.length, item.damage), (300, None));
    }
    let last = segment(&disk, &dir(), 2).expect("readable").items;
    assert_eq!(last.last().expect("a mark").header.kind, ItemKind::Mark);
    assert!(last.iter().all(|item| item.damage.is_none()));
    let spare = segment(&disk, &dir(), 3).expect("readable");
    assert_eq!(spare.header, Err(HeaderFault::Blank));
    assert!(spare.items.is_empty());
}

#[test]
fn what_lies_behind_damage_is_still_shown() {
    let (disk, mut replica) = written();
    replica.leave();
    let file = path(FIRST);
    let mut harmed = disk.peek(&file);
    harmed[488 + 48] ^= 1;
    harmed[840] ^= 1;
    disk.poke(&file, harmed);
    let verdict = inspect(&disk, &dir());
    let Err(OpenError::Corrupt { place, damage }) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        (place.file.as_str(), place.offset, damage),
        (FIRST, 488, Damage::Payload)
    );
    let items = segment(&disk, &dir(), 1).expect("readable").items;
    let verdicts: Vec<_> = items
        .iter()
        .map(|item| (item.offset, item.header.lsn, item.damage))
        .collect();
    let expected = [
        (136, 1, None),
        (488, 2, Some(Damage::Payload)),
        (1192, 4, Some(Damage::OutOfChain)),
        (1544, 5, Some(Damage::OutOfChain)),
    ];
    assert_eq!(verdicts, expected);
}

#[test]
fn a_torn_tail_and_a_clean_stop_are_told() {
    let (disk, mut replica) = written();
    disk.inject(Fault::next(Call::Sync, "journal-", Harm::Crash));
    replica
        .write(vec![Entry::Record(vec![1; 300])])
        .expect_err("crashed");
    replica.leave();
    disk.restart(Tear::Kept);
    let file = path("journal-0000000000000003.segment");
    let mut torn = disk.peek(&file);
    torn[..136].fill(0);
    disk.poke(&file, torn);
    let found = inspect(&disk, &dir()).expect("a torn tail");
    let torn = found.torn.expect("a torn tail");
    assert_eq!(path(&torn.place.file), file);
    assert_eq!(
        (found.last_lsn, torn.place.offset, torn.bytes),
        (10, 0, 484)
    );

    replica.open().expect("cut off");
    assert_eq!(inspect(&disk, &dir()).expect("sound").torn, None);
    replica.clean_stop(vec![1; 9]).expect("a good disk");
    assert_eq!(inspect(&disk, &dir()).expect("sound").clean_stop, Some(9));
}

#[test]
fn what_is_left_beside_a_missing_segment_is_still_shown() {
    let (disk, mut replica) = written();
    replica.leave();
    disk.vanish(&path("journal-0000000000000002.segment"));
    assert!(matches!(
        inspect(&disk, &dir()),
        Err(OpenError::Corrupt {
            damage: Damage::FileMissing,
            ..
        })
    ));
    assert_eq!(segments(&disk, &dir()), Ok(vec![1, 3]));
    assert_eq!(segment(&disk, &dir(), 1).expect("readable").items.len(), 5);
}

#[test]
fn a_wiped_directory_is_called_so() {
    let disk = SimulatedDisk::new(1);
    assert_eq!(inspect(&disk, &dir()), Err(OpenError::Wiped));
}
