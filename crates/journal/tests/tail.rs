//! Where a journal ends: what is a torn tail, what is damage, and that the two are not confused at a segment's end.

mod support;

use byzantine_journal::{Damage, Entry, Log, OpenError, Place};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{IDENTITY, Replica, dir, path, segments};

const FIRST: &str = "journal-0000000000000001.segment";
const SECOND: &str = "journal-0000000000000002.segment";

/// Where the seventh record of 200 bytes begins in a segment, and where it ends: no eighth fits.
const SEVENTH: usize = 136 + 6 * 248;
const END: usize = SEVENTH + 248;

fn started() -> (SimulatedDisk, Replica) {
    let disk = SimulatedDisk::new(1);
    let mut replica = Replica::new(&disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    (disk, replica)
}

fn record(fill: u8) -> Entry {
    Entry::Record(vec![fill; 200])
}

/// Number of records that opening finds, or why not.
fn open(disk: &SimulatedDisk) -> Result<usize, OpenError> {
    let (_log, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY)?;
    Ok(recovery.records().count())
}

/// Seven records that fill the first segment, with a mark behind them, and a crash while a group of two opens the second
/// one; of that group the header is lost and the records are there.
fn torn_at_the_roll() -> SimulatedDisk {
    let (disk, mut replica) = started();
    for fill in 1..=7 {
        replica
            .write(vec![record(fill)])
            .expect("nothing is wrong with the disk");
    }
    replica.mark().expect("nothing is wrong with the disk");
    disk.inject(Fault {
        call: Some(Call::Sync),
        file: SECOND,
        // Those of its preparation.
        after: 2,
        harm: Harm::Crash,
    });
    replica
        .write(vec![record(8), record(9)])
        .expect_err("the machine crashed");
    replica.leave();
    disk.restart(Tear::Kept);
    change(&disk, SECOND, |bytes| bytes[..136].fill(0));
    disk
}

fn change(disk: &SimulatedDisk, file: &str, how: impl FnOnce(&mut [u8])) {
    let mut bytes = disk.peek(&path(file));
    how(&mut bytes);
    disk.poke(&path(file), bytes);
}

fn corrupt(file: &str, offset: usize, damage: Damage) -> Result<usize, OpenError> {
    let place = Place {
        file: file.to_owned(),
        offset: offset as u64,
    };
    Err(OpenError::Corrupt { place, damage })
}

#[test]
fn a_first_group_without_its_header_is_torn() {
    assert_eq!(open(&torn_at_the_roll()), Ok(7));
}

#[test]
fn a_torn_mark_before_a_torn_first_group_is_no_damage() {
    let disk = torn_at_the_roll();
    change(&disk, FIRST, |bytes| bytes[END + 8..END + 48].fill(0));
    assert_eq!(open(&disk), Ok(7));
}

#[test]
fn a_damaged_record_before_a_torn_first_group_is_damage() {
    let disk = torn_at_the_roll();
    change(&disk, FIRST, |bytes| {
        bytes[SEVENTH + 100] ^= 1;
        bytes[END..].fill(0);
    });
    assert_eq!(open(&disk), corrupt(FIRST, SEVENTH, Damage::Payload));
}

#[test]
fn a_damaged_header_before_synced_records_is_damage() {
    let (disk, mut replica) = started();
    for fill in 1..=2 {
        replica
            .write(vec![record(fill)])
            .expect("nothing is wrong with the disk");
    }
    replica.leave();
    assert_eq!(segments(&disk).len(), 1);
    change(&disk, FIRST, |bytes| bytes[20] ^= 1);
    assert_eq!(open(&disk), corrupt(FIRST, 0, Damage::Header));
}

/// After the cut the same record may be appended again, byte for byte, where the old one was; what followed the old one
/// must not follow the new one. In the middle of a segment, and at its beginning.
#[test]
fn a_record_that_was_cut_off_never_comes_back() {
    for (before, lost) in [(1, 384..392), (0, 0..8)] {
        let (disk, mut replica) = started();
        for fill in 0..before {
            replica
                .write(vec![record(fill)])
                .expect("nothing is wrong with the disk");
        }
        let after = if before == 0 { 2 } else { 0 };
        let (call, harm) = (Some(Call::Sync), Harm::Crash);
        disk.inject(Fault {
            call,
            file: FIRST,
            after,
            harm,
        });
        replica
            .write(vec![record(8), record(9)])
            .expect_err("the machine crashed");
        replica.leave();
        disk.restart(Tear::Kept);
        // Of the torn group, the last record is there.
        change(&disk, FIRST, |bytes| bytes[lost].fill(0));
        replica.open().expect("a torn tail");
        replica
            .write(vec![record(8)])
            .expect("nothing is wrong with the disk");
        replica.leave();
        disk.restart(Tear::Lost);
        assert_eq!(open(&disk), Ok(usize::from(before) + 1));
    }
}
