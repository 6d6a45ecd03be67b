//! Stored payloads as they lie on a disk: whole, cut, changed, and put together wrongly.

use super::scenes::*;
use super::*;
use crate::durable::{DurableRecord, Unreadable};
use crate::wire::DecodeError;

/// A stored payload of each type, and whose it is.
fn all() -> Vec<(u8, Vec<u8>)> {
    let (prepared, next) = (PreparedBatch::new(), NextView::new());
    let mut stored = Vec::new();
    let mut take = |me: u8, mut scene: Scene, record: DurableRecord<'_>| {
        scene.persist(1, record);
        let records = scene.engine.take_records();
        assert_eq!(records.len(), 1);
        stored.extend(records.into_iter().map(|payload| (me, payload)));
    };
    take(1, prepared.scene(), prepared.record());
    take(1, prepared.scene(), prepared.decided());
    take(1, next.scene(1), next.record(1));
    take(2, next.scene(2), next.record(2));
    let message = next.digests()[1];
    let left = DurableRecord::ViewLeft {
        target: 1,
        cause: 3,
        message,
    };
    take(2, next.scene(2), left);
    take(1, stable_scene(), stable_record(0b0111));
    for record in [
        DurableRecord::Lease {
            view: 3,
            through: 9,
        },
        DurableRecord::CleanStop {
            view: 3,
            through: 9,
        },
        DurableRecord::Readmitted {
            view: 3,
            ordered: 9,
        },
        DurableRecord::Checkpoint {
            sequence: 9,
            digest: [1; 32],
            first: 8,
            batches: &[[2; 32], [3; 32]],
        },
    ] {
        take(1, prepared.scene(), record);
    }
    stored
}

fn restore(engine: &mut Engine, payload: &[u8]) -> Result<(), Unreadable> {
    engine.restore(1, payload, &mut Recovered::default())
}

#[test]
fn each_is_restored_whole_and_refused_cut_or_continued() {
    for (me, payload) in all() {
        let mut engine = closed(me);
        assert_eq!(restore(&mut engine, &payload), Ok(()), "{payload:02x?}");
        for length in 0..payload.len() {
            let cut = restore(&mut engine, &payload[..length]);
            assert_eq!(cut, Err(Unreadable::Malformed(DecodeError::Truncated)));
        }
        let longer = [&payload[..], &[0]].concat();
        let trailing = Unreadable::Malformed(DecodeError::Trailing);
        assert_eq!(restore(&mut engine, &longer), Err(trailing));
    }
}

#[test]
fn no_changed_byte_ends_in_a_panic_and_an_engine_survives_them_all() {
    for (me, payload) in all() {
        let mut engine = closed(me);
        let mut refused = 0;
        for place in 0..payload.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = payload.clone();
                changed[place] ^= change;
                refused += usize::from(restore(&mut engine, &changed).is_err());
            }
        }
        assert!(refused >= 15, "version, length and type at the least");
        open(&mut engine);
        assert_eq!(restore(&mut closed(me), &payload), Ok(()));
    }
}

#[test]
fn another_version_is_named() {
    let (me, mut payload) = all().remove(0);
    payload[0] = 2;
    let refused = restore(&mut closed(me), &payload);
    assert_eq!(refused, Err(Unreadable::Version(2)));
    let text = Unreadable::Version(2).to_string();
    assert_eq!(text, "has the unsupported version 2");
}

/// A stored payload of this record with this behind it.
fn stored(record: DurableRecord<'_>, behind: &[&[u8]]) -> Vec<u8> {
    let (mut head, mut writer) = (Writer::default(), Writer::default());
    record.write(&mut head);
    writer.u8(1).bytes(head.as_slice());
    behind.iter().for_each(|part| {
        writer.raw(part);
    });
    writer.into_vec()
}

fn with_length(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes()[..], payload].concat()
}

#[test]
fn what_stands_behind_a_record_must_be_what_it_names() {
    let (prepared, next) = (PreparedBatch::new(), NextView::new());
    let other_bundle = with_length(&bundle(&client_key(), 5, b"add 2"));
    let same_bundle = with_length(&prepared.bundle);
    let messages = [0, 1, 2].map(|place: usize| with_length(&next.view_changes[place]));
    let new_view = with_length(&next.payload);
    let left = |target| DurableRecord::ViewLeft {
        target,
        cause: 0,
        message: next.digests()[1],
    };
    let entered = |view, new_view| DurableRecord::ViewEntered { view, new_view };
    let wrong_batch = DurableRecord::Decided {
        sequence: 5,
        digest: [1; 32],
        batch: prepared.batch(),
    };
    let of_strangers = stable_record(0b1_0011);
    let three: [&[u8]; 3] = [&messages[0], &messages[1], &messages[2]];
    for (case, payload) in [
        ("a bundle", stored(prepared.decided(), &[&other_bundle])),
        ("a batch", stored(wrong_batch, &[&same_bundle])),
        ("a VIEW-CHANGE", stored(left(1), &[&messages[0]])),
        ("its view", stored(left(2), &[&messages[1]])),
        (
            "a NEW-VIEW's view",
            stored(entered(2, &[]), &[&new_view, &[3]]),
        ),
        ("a NEW-VIEW twice", stored(entered(1, &[1]), &[&new_view])),
        (
            "how many VIEW-CHANGEs",
            stored(
                entered(1, &[]),
                &[&new_view, &[2], &[1], three[0], &[2], three[1]],
            ),
        ),
        (
            "the order of VIEW-CHANGEs",
            stored(
                entered(1, &[]),
                &[
                    &new_view,
                    &[3],
                    &[1],
                    three[1],
                    &[2],
                    three[0],
                    &[3],
                    three[2],
                ],
            ),
        ),
        (
            "their signers",
            stored(
                entered(1, &[]),
                &[
                    &new_view,
                    &[3],
                    &[0],
                    three[0],
                    &[2],
                    three[1],
                    &[3],
                    three[2],
                ],
            ),
        ),
        ("strangers", stored(of_strangers, &[&[0; 192]])),
    ] {
        let refused = restore(&mut closed(2), &payload);
        assert_eq!(refused, Err(Unreadable::Mismatch), "{case}");
    }
    let whole = [
        &new_view[..],
        &[3],
        &[1],
        three[0],
        &[2],
        three[1],
        &[3],
        three[2],
    ];
    let payload = stored(entered(1, &[]), &whole);
    assert_eq!(restore(&mut closed(2), &payload), Ok(()));
}
