//! Snapshot files: whole or not there, and checked to the last byte.

mod support;

use std::io::ErrorKind;

use byzantine_journal::snapshot::{
    CHUNK_BYTES_MAX, Snapshot, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter, list,
    remove, verify,
};
use byzantine_journal::{Damage, DiskReason, Identity, IdentityField, OpenError};
use support::disk::SimulatedDisk;
use support::fault::{Call, Fault, Harm};
use support::inode::TEARS;
use support::replica::{IDENTITY, dir, path};

fn header(sequence: u64) -> SnapshotHeader {
    SnapshotHeader {
        identity: IDENTITY,
        sequence,
        digest: [sequence as u8; 32],
    }
}

fn chunk(sequence: u64, index: usize) -> Vec<u8> {
    vec![(sequence as usize * 10 + index) as u8; 700 + index]
}

fn write(disk: &SimulatedDisk, sequence: u64, chunks: usize) -> Result<Snapshot, SnapshotError> {
    let mut writer = SnapshotWriter::create(disk.storage(), &dir(), header(sequence))?;
    for index in 0..chunks {
        writer.write_chunk(&chunk(sequence, index))?;
    }
    writer.finish()
}

fn read(disk: &SimulatedDisk, sequence: u64) -> Result<Vec<Vec<u8>>, OpenError> {
    let mut reader = SnapshotReader::open(disk, &dir(), &IDENTITY, sequence)?;
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn sequences(disk: &SimulatedDisk) -> Vec<u64> {
    let listed = list(disk, &dir()).expect("a good disk");
    listed.iter().map(|one| one.sequence).collect()
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    let disk = SimulatedDisk::new(1);
    let written = write(&disk, 128, 5).expect("a good disk");
    assert_eq!((written.chunks, written.bytes), (5, 700 * 5 + 10));
    let chunks: Vec<_> = (0..5).map(|index| chunk(128, index)).collect();
    assert!(read(&disk, 128).expect("sound") == chunks);
    assert_eq!(verify(&disk, &dir(), 128), Ok(written));
    let listed = list(&disk, &dir()).expect("a good disk");
    assert_eq!(listed[0].header, Ok(header(128)));
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 0).expect("a good disk");
    assert!(read(&disk, 128).expect("sound").is_empty());
}

#[test]
fn the_last_two_are_kept() {
    let disk = SimulatedDisk::new(1);
    for sequence in [128, 256, 384, 512] {
        write(&disk, sequence, 2).expect("a good disk");
    }
    assert_eq!(sequences(&disk), [512, 384]);
    remove(&disk, &dir(), 512).expect("a good disk");
    assert_eq!(sequences(&disk), [384]);
    assert_eq!(disk.names().len(), 1);
}

#[test]
fn what_was_just_finished_is_kept_whatever_else_is_there() {
    let disk = SimulatedDisk::new(1);
    for sequence in [384, 512, 128] {
        write(&disk, sequence, 2).expect("a good disk");
    }
    assert_eq!(sequences(&disk), [512, 384, 128]);
    write(&disk, 640, 2).expect("a good disk");
    assert_eq!(sequences(&disk), [640, 512]);
}

#[test]
fn a_chunk_that_is_too_large_is_refused() {
    let disk = SimulatedDisk::new(1);
    let mut writer =
        SnapshotWriter::create(disk.storage(), &dir(), header(1)).expect("a good disk");
    let bytes = CHUNK_BYTES_MAX + 1;
    let refused = writer.write_chunk(&vec![0; bytes]);
    assert_eq!(refused, Err(SnapshotError::ChunkTooLarge { bytes }));
    writer
        .write_chunk(&vec![0; bytes - 1])
        .expect("a good disk");
}

#[test]
fn a_large_snapshot_is_synced_as_it_grows() {
    let disk = SimulatedDisk::new(1);
    let mut writer =
        SnapshotWriter::create(disk.storage(), &dir(), header(1)).expect("a good disk");
    for _ in 0..12 {
        writer
            .write_chunk(&vec![1; CHUNK_BYTES_MAX])
            .expect("a good disk");
    }
    assert_eq!(disk.count(Call::Sync, "snapshot"), 3);
    writer.finish().expect("a good disk");
    assert_eq!(disk.count(Call::Sync, "snapshot"), 4);
}

#[test]
fn every_flipped_bit_is_found() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 3).expect("a good disk");
    let file = path("snapshot-0000000000000080.state");
    let bytes = disk.peek(&file);
    for offset in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[offset] ^= 1 << bit;
            disk.poke(&file, flipped);
            let verdict = verify(&disk, &dir(), 128);
            assert!(
                matches!(verdict, Err(OpenError::Corrupt { .. })),
                "byte {offset}: {verdict:?}"
            );
        }
    }
}

#[test]
fn every_length_but_its_own_is_found() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 3).expect("a good disk");
    let file = path("snapshot-0000000000000080.state");
    let bytes = disk.peek(&file);
    for length in 0..bytes.len() {
        disk.poke(&file, bytes[..length].to_vec());
        assert!(verify(&disk, &dir(), 128).is_err(), "{length} bytes");
    }
    disk.poke(&file, [bytes.as_slice(), &[0]].concat());
    let Err(OpenError::Corrupt { damage, .. }) = verify(&disk, &dir(), 128) else {
        panic!("a longer file is sound");
    };
    assert_eq!(damage, Damage::Length);
}

#[test]
fn a_snapshot_under_another_name_or_of_somebody_else_is_refused() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 3).expect("a good disk");
    let bytes = disk.peek(&path("snapshot-0000000000000080.state"));
    disk.poke(&path("snapshot-0000000000000100.state"), bytes);
    let Err(OpenError::Corrupt { damage, .. }) = read(&disk, 256) else {
        panic!("an old state under a new name is sound");
    };
    assert_eq!(damage, Damage::Stale);
    let stranger = Identity {
        replica: [1; 32],
        ..IDENTITY
    };
    let refused = SnapshotReader::open(&disk, &dir(), &stranger, 128).err();
    let file = "snapshot-0000000000000080.state".to_owned();
    let field = IdentityField::Replica;
    assert_eq!(refused, Some(OpenError::Foreign { file, field }));
    let missing = SnapshotReader::open(&disk, &dir(), &IDENTITY, 1).err();
    assert!(matches!(
        missing,
        Some(OpenError::Corrupt {
            damage: Damage::FileMissing,
            ..
        })
    ));
}

#[test]
fn what_was_not_finished_was_never_there() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 2).expect("a good disk");
    let mut writer =
        SnapshotWriter::create(disk.storage(), &dir(), header(256)).expect("a good disk");
    writer.write_chunk(&[1; 100]).expect("a good disk");
    assert_eq!(sequences(&disk), [128]);
    drop(writer);
    assert_eq!(disk.names().len(), 1);
}

#[test]
fn a_full_disk_leaves_the_old_snapshot() {
    let disk = SimulatedDisk::new(1);
    write(&disk, 128, 2).expect("a good disk");
    disk.set_free(Some(1000));
    let Err(SnapshotError::Disk(failure)) = write(&disk, 256, 4) else {
        panic!("it had no room");
    };
    assert_eq!(failure.reason, DiskReason::Full);
    assert_eq!(disk.names(), ["snapshot-0000000000000080.state"]);
    disk.set_free(None);
    disk.inject(Fault::next(
        Call::Sync,
        "snapshot",
        Harm::Fail(ErrorKind::Other),
    ));
    let Err(SnapshotError::Disk(failure)) = write(&disk, 256, 4) else {
        panic!("its sync failed");
    };
    assert_eq!(failure.reason, DiskReason::SyncFailed);
    assert_eq!(sequences(&disk), [128]);
}

/// A state transfer or a checkpoint that is crashed at any call, torn in any way.
#[test]
fn a_crash_leaves_the_old_or_the_new_and_never_a_mix() {
    let mut crashes = 0;
    for tear in TEARS {
        for seed in 0..40 {
            for call in 0.. {
                let disk = SimulatedDisk::new(seed << 16 | call);
                write(&disk, 128, 2).expect("a good disk");
                write(&disk, 256, 3).expect("a good disk");
                disk.inject(Fault::any(call, Harm::Crash));
                let finished = write(&disk, 384, 4).is_ok();
                if finished && !disk.has_crashed() {
                    break;
                }
                crashes += 1;
                disk.restart(tear);
                let found = sequences(&disk);
                for sequence in &found {
                    let count = (*sequence / 128 + 1) as usize;
                    let whole: Vec<_> = (0..count).map(|index| chunk(*sequence, index)).collect();
                    assert!(read(&disk, *sequence).expect("whole") == whole);
                }
                let valid = [vec![256, 128], vec![384, 256, 128], vec![384, 256]];
                assert!(valid.contains(&found), "{tear:?} at call {call}: {found:?}");
                write(&disk, 512, 5).expect("a good disk");
                let highest = found[0];
                assert_eq!(sequences(&disk), [512, highest]);
                assert_eq!(disk.names().len(), 2, "nothing unfinished is left");
            }
        }
    }
    assert!(crashes > 3000, "{crashes} crashes");
}
