//! Records as they cross the border.

use super::types::*;
use super::*;

const DIGESTS: [Digest; 2] = [[3; 32], [4; 32]];

fn all() -> Vec<(u8, DurableRecord<'static>)> {
    let batch = Batch {
        time_ms: 6,
        bundles: &DIGESTS,
    };
    let name = Name {
        view: 1,
        sequence: 2,
        digest: [5; 32],
    };
    let (digest, signers) = ([5; 32], 0b0111);
    use DurableRecord as R;
    vec![
        (
            LEASE,
            R::Lease {
                view: 1,
                through: 2,
            },
        ),
        (
            PREPARED,
            R::Prepared {
                name,
                signers,
                batch,
            },
        ),
        (
            VIEW_LEFT,
            R::ViewLeft {
                target: 1,
                cause: 2,
                message: digest,
            },
        ),
        (
            VIEW_ENTERED,
            R::ViewEntered {
                view: 1,
                new_view: &[7; 9],
            },
        ),
        (
            DECIDED,
            R::Decided {
                sequence: 2,
                digest,
                batch,
            },
        ),
        (
            CHECKPOINT,
            R::Checkpoint {
                sequence: 2,
                digest,
                first: 1,
                batches: &DIGESTS,
            },
        ),
        (
            STABLE,
            R::Stable {
                sequence: 2,
                digest,
                signers,
            },
        ),
        (
            CLEAN_STOP,
            R::CleanStop {
                view: 1,
                through: 2,
            },
        ),
        (
            READMITTED,
            R::Readmitted {
                view: 1,
                ordered: 2,
            },
        ),
    ]
}

fn encoded(record: &DurableRecord<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    record.write(&mut writer);
    writer.into_vec()
}

#[test]
fn each_type_has_its_number_and_is_read_as_it_was_written() {
    for (kind, record) in all() {
        let bytes = encoded(&record);
        let read = DurableRecord::decode(&bytes).expect("well-formed");
        assert_eq!((record.kind(), read.kind(), bytes[0]), (kind, kind, kind));
        assert_eq!(encoded(&read), bytes);
        assert_eq!(format!("{read:?}"), format!("{record:?}"));
    }
}

#[test]
fn each_is_refused_cut_or_continued_and_unknown_types_are() {
    for (_, record) in all() {
        let bytes = encoded(&record);
        for length in 0..bytes.len() {
            let cut = DurableRecord::decode(&bytes[..length]);
            assert_eq!(cut.err(), Some(DecodeError::Truncated));
        }
        let longer = [&bytes[..], &[0]].concat();
        let trailing = DurableRecord::decode(&longer);
        assert_eq!(trailing.err(), Some(DecodeError::Trailing));
    }
    for kind in [0, 10, 255] {
        let unknown = DurableRecord::decode(&[kind; 100]).err();
        assert_eq!(unknown, Some(DecodeError::UnknownType));
    }
}

#[test]
fn only_a_new_view_stands_outside_of_its_record_where_it_is_stored() {
    for (kind, record) in all() {
        let (bytes, stored) = (encoded(&record), encoded(&record.as_stored()));
        if kind == VIEW_ENTERED {
            assert_eq!(stored, [&bytes[..9], &[0; 4]].concat());
        } else {
            assert_eq!(stored, bytes);
        }
    }
}
