//! Each type: a valid payload, every prefix of it, one byte more, and each rule broken by itself.

use super::check::decode_check;
use super::types::*;
use super::*;

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    writer.into_vec()
}

fn bundle(
    session: u64,
    first: u64,
    acknowledged: u64,
    count: u16,
    operations: &[&[u8]],
) -> Vec<u8> {
    written(|w| {
        w.raw(&[1; 32])
            .u53(session)
            .u53(first)
            .u53(acknowledged)
            .u16(count);
        for operation in operations {
            w.bytes(operation);
        }
        w.raw(&[2; 64]);
    })
}

fn view_change(sequences: &[u64]) -> Vec<u8> {
    written(|w| {
        w.u53(3).u53(100).raw(&[1; 32]).u32(0b111).raw(&[9; 3 * 64]);
        w.u16(sequences.len() as u16);
        for sequence in sequences {
            w.u53(2)
                .u53(*sequence)
                .raw(&[4; 32])
                .u32(0b1001)
                .raw(&[9; 2 * 64]);
        }
        w.raw(&[8; 64]);
    })
}

fn new_view(from: &[u8]) -> Vec<u8> {
    written(|w| {
        w.u53(3).u8(from.len() as u8);
        for replica in from {
            w.u8(*replica).raw(&[5; 32]);
        }
        w.u53(101).u16(2).raw(&[6; 2 * (32 + 64)]).raw(&[8; 64]);
    })
}

/// `bits` sequences, bitmaps of `bitmap`, and the byte that says whether a fence follows.
fn status(mode: u8, bits: u16, bitmap: &[u8], fenced: u8) -> Vec<u8> {
    written(|w| {
        w.u8(mode)
            .u53(1)
            .u53(2)
            .u53(3)
            .u16(bits)
            .raw(bitmap)
            .raw(bitmap)
            .raw(bitmap);
        w.u16(1).raw(&[7; 32]).u32(0b11).u8(fenced);
        if fenced == 1 {
            w.u53(1).u53(9);
        }
    })
}

fn reply(status: u8, form: u8) -> Vec<u8> {
    written(|w| {
        w.u53(1)
            .u53(2)
            .u53(3)
            .u8(1)
            .u16(1)
            .u53(4)
            .u8(status)
            .u8(form);
        match form {
            1 => w.raw(&[3; 32]),
            _ => w.bytes(b"result"),
        };
    })
}

fn batch(count: u32, digests: usize) -> Vec<u8> {
    written(|w| {
        w.u53(7).u32(count).raw(&vec![1; digests * 32]);
    })
}

fn prefixed(numbers: &[u64], rest: &[u8]) -> Vec<u8> {
    written(|w| {
        for number in numbers {
            w.u53(*number);
        }
        w.raw(rest);
    })
}

fn state_fetch(bytes_max: u32, items: &[(u8, &[u8])]) -> Vec<u8> {
    written(|w| {
        w.u53(1).u32(2).u32(bytes_max).u16(items.len() as u16);
        for (deep, path) in items {
            w.u8(*deep).u16(path.len() as u16).raw(path);
        }
    })
}

fn valid() -> Vec<(u8, Vec<u8>)> {
    let nodes = written(|w| {
        w.u32(1).u16(2).bytes(b"node").bytes(b"");
    });
    vec![
        (BUNDLE, bundle(1, 2, 1, 2, &[b"one", b""])),
        (FETCHED_BUNDLE, bundle(0, U53_MAX, 0, 1, &[b"open"])),
        (
            PRE_PREPARE,
            [prefixed(&[1, 2], &batch(2, 2)), vec![0; 64]].concat(),
        ),
        (PREPARE, prefixed(&[1, 2], &[0; 96])),
        (COMMIT, prefixed(&[1, 2], &[0; 32])),
        (CHECKPOINT, prefixed(&[2], &[0; 96])),
        (VIEW_CHANGE, view_change(&[101, 103])),
        (VIEW_CHANGE, prefixed(&[1, 0], &[0; 2 + 64])),
        (FETCHED_VIEW_CHANGE, [vec![30], view_change(&[])].concat()),
        (NEW_VIEW, new_view(&[0, 2, 3])),
        (FETCHED_NEW_VIEW, new_view(&[])),
        (STATUS, status(0, 9, &[0xff, 0x01], 0)),
        (STATUS, status(1, 0, &[], 1)),
        (DECIDED, prefixed(&[1], &batch(0, 0))),
        (COMPLAINT, prefixed(&[1], &[])),
        (FETCH, vec![3; 33]),
        (UNAVAILABLE, vec![0; 33]),
        (FETCHED_BATCH, batch(3, 3)),
        (STATE_FETCH, state_fetch(1, &[(0, &[]), (1, &[0, 16])])),
        (STATE_NODES, nodes),
        (REPLY, reply(5, 0)),
        (REPLY, reply(0, 1)),
        (BUSY, prefixed(&[1, 2], &[])),
        (READ, prefixed(&[1], &[0; 4])),
        (
            READ_ANSWER,
            prefixed(&[1, 2], &[&[0, 1][..], &[0; 32]].concat()),
        ),
    ]
}

#[test]
fn a_payload_decodes_whole_and_neither_shorter_nor_longer() {
    for (message_type, payload) in valid() {
        assert_eq!(
            decode_check(message_type, &payload),
            Ok(()),
            "{message_type:#x}"
        );
        for length in 0..payload.len() {
            let error = decode_check(message_type, &payload[..length]).expect_err("cut short");
            assert_eq!(
                error,
                DecodeError::Truncated,
                "{message_type:#x} at {length}"
            );
        }
        let longer = [payload.as_slice(), &[0]].concat();
        assert_eq!(
            decode_check(message_type, &longer),
            Err(DecodeError::Trailing),
            "{message_type:#x}"
        );
    }
}

#[test]
fn each_rule_that_is_broken_has_its_name() {
    use DecodeError::*;
    let over = U53_MAX + 1;
    for (case, message_type, payload, expected) in [
        ("no such type", 0x7f, vec![], UnknownType),
        ("HELLO is the transport's", HELLO, vec![], UnknownType),
        (
            "a bundle of nothing",
            BUNDLE,
            bundle(1, 2, 1, 0, &[]),
            OutOfRange,
        ),
        (
            "too many operations",
            BUNDLE,
            bundle(1, 2, 1, 1025, &[b"".as_slice(); 1025]),
            OutOfRange,
        ),
        (
            "client sequences beyond u53",
            BUNDLE,
            bundle(1, U53_MAX, 1, 2, &[b"", b""]),
            OutOfRange,
        ),
        (
            "two operations without session",
            BUNDLE,
            bundle(0, 1, 0, 2, &[b"", b""]),
            NotCanonical,
        ),
        (
            "acknowledging without session",
            BUNDLE,
            bundle(0, 1, 1, 1, &[b""]),
            NotCanonical,
        ),
        (
            "too many bytes",
            BUNDLE,
            bundle(1, 1, 0, 1, &[&vec![0; BUNDLE_BYTES_MAX]]),
            TooLong,
        ),
        (
            "a count of 4 GiB",
            FETCHED_BATCH,
            batch(u32::MAX, 1),
            Truncated,
        ),
        (
            "a view beyond u53",
            COMMIT,
            prefixed(&[over, 2], &[0; 32]),
            OutOfRange,
        ),
        (
            "a sequence beyond u53",
            PREPARE,
            prefixed(&[1, over], &[0; 96]),
            OutOfRange,
        ),
        (
            "certificates out of order",
            VIEW_CHANGE,
            view_change(&[103, 101]),
            NotCanonical,
        ),
        (
            "certificates repeated",
            VIEW_CHANGE,
            view_change(&[101, 101]),
            NotCanonical,
        ),
        (
            "senders repeated",
            NEW_VIEW,
            new_view(&[1, 1]),
            NotCanonical,
        ),
        (
            "a sender that cannot be",
            NEW_VIEW,
            new_view(&[31]),
            OutOfRange,
        ),
        (
            "a fetched sender that cannot be",
            FETCHED_VIEW_CHANGE,
            vec![31],
            OutOfRange,
        ),
        ("no such mode", STATUS, status(2, 0, &[], 0), OutOfRange),
        (
            "padding bits",
            STATUS,
            status(0, 9, &[0xff, 0x02], 0),
            NotCanonical,
        ),
        (
            "a window beyond all",
            STATUS,
            status(0, 4097, &[0; 513], 0),
            OutOfRange,
        ),
        (
            "a third truth value",
            STATUS,
            status(0, 0, &[], 2),
            NotCanonical,
        ),
        ("nothing of that kind", FETCH, vec![4; 33], OutOfRange),
        (
            "nothing asked",
            STATE_FETCH,
            state_fetch(1, &[]),
            OutOfRange,
        ),
        (
            "too many places",
            STATE_FETCH,
            state_fetch(1, &[(0, &[][..]); 1025]),
            OutOfRange,
        ),
        (
            "an answer without bytes",
            STATE_FETCH,
            state_fetch(0, &[(0, &[])]),
            OutOfRange,
        ),
        (
            "an answer of too many bytes",
            STATE_FETCH,
            state_fetch((1 << 20) + 1, &[(0, &[])]),
            OutOfRange,
        ),
        (
            "a path longer than any key",
            STATE_FETCH,
            state_fetch(1, &[(0, &[1; 2052][..])]),
            OutOfRange,
        ),
        (
            "too many symbols in all",
            STATE_FETCH,
            state_fetch(1, &[(0, &[1; 2048][..]); 33]),
            OutOfRange,
        ),
        (
            "a seventeenth half byte",
            STATE_FETCH,
            state_fetch(1, &[(0, &[17])]),
            OutOfRange,
        ),
        (
            "half of the depths",
            STATE_FETCH,
            state_fetch(1, &[(2, &[])]),
            NotCanonical,
        ),
        (
            "too many nodes",
            STATE_NODES,
            written(|w| {
                w.u32(1).u16(4097).raw(&[0; 4 * 4097]);
            }),
            OutOfRange,
        ),
        ("no such result status", REPLY, reply(6, 0), OutOfRange),
        ("no such form", REPLY, reply(0, 2), OutOfRange),
    ] {
        assert_eq!(
            decode_check(message_type, &payload),
            Err(expected),
            "{case}"
        );
    }
}

#[test]
fn a_set_with_bit_31_is_refused_in_a_certificate() {
    let mut payload = view_change(&[]);
    payload[8 + 8 + 32 + 3] |= 0x80;
    assert_eq!(
        decode_check(VIEW_CHANGE, &payload),
        Err(DecodeError::NotCanonical)
    );
}

#[test]
fn every_single_changed_bit_still_gives_a_message_or_an_error() {
    for (message_type, payload) in valid() {
        for bit in 0..payload.len() * 8 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = decode_check(message_type, &changed);
        }
    }
}
