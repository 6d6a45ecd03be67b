//! Damage to what was synced: found, named, and never cut off.

mod support;

use std::path::{Path, PathBuf};

use byzantine_journal::{Damage, Entry, Log, OpenError, Origin, Place, init};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::Tear;
use support::replica::{IDENTITY, Replica, SEGMENT, dir, open, path, segments};

const RECORDS: u8 = 20;

/// Twenty records in groups of two over several segments, all synced, the last group marked.
fn written(disk: &SimulatedDisk) -> Replica {
    let mut replica = Replica::new(disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    for pair in 0..RECORDS / 2 {
        let group = [2 * pair, 2 * pair + 1].map(|fill| Entry::Record(vec![fill + 1; 200]));
        replica
            .write(group.to_vec())
            .expect("nothing is wrong with the disk");
    }
    replica.mark().expect("nothing is wrong with the disk");
    replica
        .prepare(SEGMENT)
        .expect("nothing is wrong with the disk");
    replica.leave();
    replica
}

/// The segments that hold records; the last file is the spare.
fn held(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let mut files = segments(disk);
    files.pop();
    files
}

fn all() -> Vec<Vec<u8>> {
    (1..=RECORDS).map(|fill| vec![fill; 200]).collect()
}

/// Bytes of a segment up to the last one that is not zero.
fn used(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}

fn require_corrupt(result: Result<Vec<Vec<u8>>, OpenError>, file: &Path, what: &str) -> Damage {
    match result {
        Err(OpenError::Corrupt { place, damage }) => {
            assert_eq!(path(&place.file), file, "{what}");
            damage
        }
        other => panic!("{what}: {}", brief(other)),
    }
}

/// A flipped bit in any byte of the file keeps the journal from being opened, and is placed in this file.
fn require_every_flip_found(disk: &SimulatedDisk, file: &Path) {
    let bytes = disk.peek(file);
    for offset in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1 << (offset % 8);
        disk.poke(file, flipped);
        require_corrupt(open(disk), file, &format!("byte {offset}"));
    }
}

fn brief(result: Result<Vec<Vec<u8>>, OpenError>) -> String {
    match result {
        Ok(records) => format!("{} records", records.len()),
        Err(error) => error.to_string(),
    }
}

/// The place of the record that holds this byte: segment header, or a multiple of a record behind it.
fn record_at(offset: usize) -> u64 {
    const HEADER: usize = 136;
    const RECORD: usize = 248;
    match offset.checked_sub(HEADER) {
        None => 0,
        Some(behind) => (HEADER + behind / RECORD * RECORD) as u64,
    }
}

#[test]
fn a_flipped_bit_anywhere_in_what_was_synced_is_found_and_placed() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let files = held(&disk);
    assert!(files.len() > 2);
    let mut flips = 0;
    for file in &files {
        let bytes = disk.peek(file);
        let is_last = files.last() == Some(file);
        // The mark behind the last record was never synced.
        let mark = if is_last { 48 } else { 0 };
        let synced = used(&bytes).next_multiple_of(8) - mark;
        for offset in 0..synced {
            for bit in [offset % 8, (offset + 5) % 8] {
                let mut flipped = bytes.clone();
                flipped[offset] ^= 1 << bit;
                disk.poke(file, flipped);
                let what = format!("{} byte {offset} bit {bit}", file.display());
                match open(&disk) {
                    Err(OpenError::Corrupt { place, .. }) => {
                        assert_eq!(path(&place.file), *file, "{what}");
                        assert_eq!(place.offset, record_at(offset), "{what}");
                    }
                    other => panic!("{what}: {}", brief(other)),
                }
                flips += 1;
            }
        }
        for offset in synced..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[offset] ^= 1 << (offset % 8);
            disk.poke(file, flipped);
            assert!(open(&disk).expect("no record is damaged") == all());
        }
        disk.poke(file, bytes);
    }
    assert!(flips > 10_000, "{flips} flips");
}

#[test]
fn a_flipped_bit_in_the_marker_is_found() {
    let disk = SimulatedDisk::new(1);
    let replica = written(&disk);
    drop(replica);
    require_every_flip_found(&disk, &path("identity"));
}

#[test]
fn a_flipped_bit_in_the_marker_of_a_clean_stop_is_found() {
    let disk = SimulatedDisk::new(1);
    let mut replica = written(&disk);
    replica.open().expect("nothing is wrong with the disk");
    replica
        .clean_stop(b"votes".to_vec())
        .expect("nothing is wrong with the disk");
    require_every_flip_found(&disk, &path("clean-stop"));
}

#[test]
fn a_file_that_was_cut_short_is_found() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let mut files = held(&disk);
    files.push(path("identity"));
    for file in &files {
        let bytes = disk.peek(file);
        for length in 0..bytes.len() {
            disk.poke(file, bytes[..length].to_vec());
            require_corrupt(open(&disk), file, &format!("{length} bytes"));
        }
        disk.poke(file, [bytes.as_slice(), &[0]].concat());
        require_corrupt(open(&disk), file, "longer");
        disk.poke(file, bytes);
    }
    assert!(open(&disk).expect("all is as it was") == all());
}

#[test]
fn a_missing_segment_is_found() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    for file in held(&disk) {
        let copy = disk.copy(1);
        copy.vanish(&file);
        assert_eq!(
            require_corrupt(open(&copy), &file, "missing"),
            Damage::FileMissing
        );
    }
    let spare = segments(&disk).pop().expect("a spare");
    disk.vanish(&spare);
    assert!(open(&disk).expect("a spare holds nothing") == all());
}

#[test]
fn a_journal_that_vanished_is_no_genesis() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    for file in segments(&disk) {
        disk.vanish(&file);
    }
    let first = path("journal-0000000000000001.segment");
    assert_eq!(
        require_corrupt(open(&disk), &first, "vanished"),
        Damage::FileMissing
    );
}

#[test]
fn segments_in_each_others_place_are_found() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let files = segments(&disk);
    let (one, other) = (disk.peek(&files[0]), disk.peek(&files[1]));
    disk.poke(&files[0], other.clone());
    assert_eq!(
        require_corrupt(open(&disk), &files[0], "swapped"),
        Damage::Stale
    );
    disk.poke(&files[0], one);
    disk.poke(&files[2], other);
    assert_eq!(
        require_corrupt(open(&disk), &files[2], "copied"),
        Damage::Stale
    );
}

/// All but the sector that holds the end of the last group and its mark: without it the rest is an earlier state.
#[test]
fn a_stale_sector_is_found() {
    let disk = SimulatedDisk::new(1);
    let mut replica = Replica::new(&disk);
    replica.init().expect("nothing is wrong with the disk");
    replica.open().expect("nothing is wrong with the disk");
    let mut states = Vec::new();
    for fill in 0..4 {
        replica
            .write(vec![Entry::Record(vec![fill + 1; 300])])
            .expect("nothing is wrong with the disk");
        replica.mark().expect("nothing is wrong with the disk");
        states.push(disk.peek(&segments(&disk)[0]));
    }
    replica.leave();
    let file = segments(&disk)[0].clone();
    let last = states.pop().expect("four states");
    let last_sector = (used(&last) - 1) / 512 * 512;
    let mut found = 0;
    for old in states {
        for sector in (0..last_sector).step_by(512) {
            let mut stale = last.clone();
            stale[sector..sector + 512].copy_from_slice(&old[sector..sector + 512]);
            if stale == last {
                continue;
            }
            let copy = disk.copy(1);
            copy.poke(&file, stale);
            require_corrupt(open(&copy), &file, &format!("sector {sector}"));
            found += 1;
        }
    }
    assert!(found > 3, "{found} stale sectors");
}

/// A disk that acknowledges a write and loses it, or writes it elsewhere, once the cache is gone.
#[test]
fn a_lost_or_misdirected_write_is_found() {
    for harm in [Harm::LoseWrite, Harm::Misdirect(512), Harm::Misdirect(1024)] {
        for group in 1..6 {
            let disk = SimulatedDisk::new(1);
            let mut replica = Replica::new(&disk);
            replica.init().expect("nothing is wrong with the disk");
            replica.open().expect("nothing is wrong with the disk");
            for fill in 0..6 {
                if fill == group {
                    disk.inject(Fault::next(Call::Write, "journal-", harm));
                }
                replica
                    .write(vec![Entry::Record(vec![fill + 1; 80])])
                    .expect("the disk says that all is well");
            }
            replica.mark().expect("the disk says that all is well");
            replica.leave();
            disk.restart(Tear::Kept);
            let place = Place {
                file: "journal-0000000000000001.segment".to_owned(),
                offset: 136 + u64::from(group) * 128,
            };
            match open(&disk) {
                Err(OpenError::Corrupt { place: found, .. }) => assert_eq!(found, place),
                other => panic!("{harm:?} of group {group}: {}", brief(other)),
            }
        }
    }
}

#[test]
fn a_segment_of_an_earlier_life_of_the_directory_is_found() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let old = disk.peek(&segments(&disk)[0]);
    let fresh = SimulatedDisk::new(2);
    init(&fresh, &dir(), &IDENTITY, Origin::Genesis).expect("nothing is wrong with the disk");
    let file = segments(&fresh)[0].clone();
    fresh.poke(&file, old);
    assert_eq!(
        require_corrupt(open(&fresh), &file, "an old life"),
        Damage::Stale
    );
}

#[test]
fn an_older_state_of_the_directory_beside_its_clean_stop_is_found() {
    let disk = SimulatedDisk::new(1);
    let mut replica = written(&disk);
    replica.open().expect("nothing is wrong with the disk");
    replica
        .clean_stop(Vec::new())
        .expect("nothing is wrong with the disk");
    let marker = path("clean-stop");
    let old = disk.peek(&marker);
    replica.open().expect("nothing is wrong with the disk");
    replica
        .write(vec![Entry::Record(vec![1])])
        .expect("nothing is wrong with the disk");
    replica.leave();
    disk.poke(&marker, old);
    assert_eq!(
        require_corrupt(open(&disk), &marker, "stale"),
        Damage::Stale
    );
}

/// Between the judgement of the directory and the reading of its records.
#[test]
fn records_that_change_while_they_are_read_are_not_handed_out() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let (_log, recovery) = Log::open(disk.storage(), &dir(), &IDENTITY).expect("sound");
    let file = segments(&disk)[1].clone();
    let mut bytes = disk.peek(&file);
    bytes[136 + 100] ^= 1;
    disk.poke(&file, bytes);
    let mut records = recovery.records();
    let sound = records.by_ref().take_while(Result::is_ok).count();
    assert_eq!(sound, 7, "those of the first segment");
    assert!(records.next().is_none(), "nothing behind the damage");
}

/// Else it would prove that something was durable in a segment that was never used.
#[test]
fn records_of_one_segment_are_none_in_another() {
    let disk = SimulatedDisk::new(1);
    written(&disk);
    let files = segments(&disk);
    let spare = files.last().expect("a spare");
    let mut misdirected = disk.peek(&files[0]);
    misdirected[..136].fill(0);
    disk.poke(spare, misdirected);
    assert!(open(&disk).expect("nothing that was synced is damaged") == all());
}
