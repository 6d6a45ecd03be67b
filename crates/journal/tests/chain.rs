//! What binds a record to its place, its directory, and the records before it.

mod support;

use byzantine_journal::inspect::segment;
use byzantine_journal::{Damage, Entry, OpenError};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{Replica, SEGMENT, dir, open, segments};

fn started(seed: u64) -> (SimulatedDisk, Replica) {
    let disk = SimulatedDisk::new(seed);
    let mut replica = Replica::new(&disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    (disk, replica)
}

/// Two histories of one directory that differ in the second record alone; the end of one in the place of the other's.
#[test]
fn a_record_of_another_history_is_out_of_the_chain() {
    let (disk, mut replica) = started(1);
    let record = |fill| vec![Entry::Record(vec![fill; 40])];
    replica
        .write(record(1))
        .expect("nothing is wrong with the disk");
    replica.leave();
    let other = disk.copy(1);
    for (disk, fill) in [(&disk, 2), (&other, 9)] {
        let mut replica = Replica::new(disk);
        replica.model.appended = vec![vec![1; 40]];
        replica.open().expect("nothing is wrong with the disk");
        replica
            .write(record(fill))
            .expect("nothing is wrong with the disk");
        replica
            .write(record(3))
            .expect("nothing is wrong with the disk");
        replica.mark().expect("nothing is wrong with the disk");
    }
    let file = segments(&disk)[0].clone();
    let mut mixed = disk.peek(&file);
    mixed[312..].copy_from_slice(&other.peek(&file)[312..]);
    disk.poke(&file, mixed);
    let Err(OpenError::Corrupt { place, damage }) = open(&disk) else {
        panic!("a mixture is sound");
    };
    assert_eq!((place.offset, damage), (312, Damage::OutOfChain));
}

#[test]
fn a_copy_of_a_record_in_another_place_is_none() {
    let (disk, mut replica) = started(1);
    replica
        .write(vec![Entry::Record(vec![1; 40])])
        .expect("nothing is wrong with the disk");
    let file = segments(&disk)[0].clone();
    let mut copied = disk.peek(&file);
    copied.copy_within(136..224, 1000);
    disk.poke(&file, copied);
    let items = segment(&disk, &dir(), 1).expect("readable").items;
    assert_eq!(items.len(), 1);
}

/// What a client chose may look like a record; it is not taken for one, nor for a proof that the tail was synced.
#[test]
fn records_within_a_payload_prove_nothing() {
    let (disk, mut writer) = started(1);
    for fill in 1..5 {
        writer
            .write(vec![Entry::Record(vec![fill; 200])])
            .expect("nothing is wrong with the disk");
    }
    // At the very places where they lie in the other directory: only its life differs.
    let forged = disk.peek(&segments(&disk)[0])[240..].to_vec();
    let (other, mut replica) = started(2);
    replica
        .prepare(2 * SEGMENT)
        .expect("nothing is wrong with the disk");
    replica
        .write(vec![Entry::Record(vec![1; 8])])
        .expect("nothing is wrong with the disk");
    other.inject(Fault::next(Call::Sync, "journal-", Harm::Crash));
    replica
        .write(vec![Entry::Record(forged)])
        .expect_err("the machine crashed");
    replica.leave();
    other.restart(Tear::Kept);
    // The header of the torn record is gone, its payload is there.
    let file = segments(&other)[0].clone();
    let mut torn = other.peek(&file);
    torn[192..240].fill(0);
    other.poke(&file, torn);
    assert_eq!(open(&other).expect("a torn tail"), vec![vec![1; 8]]);
}
