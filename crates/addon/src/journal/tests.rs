//! The queue, and reasons.

use super::*;

#[test]
fn a_full_queue_takes_the_first_records_that_fit_and_none_behind_one_that_does_not() {
    let one = 100 + RECORD_OVERHEAD;
    for (lengths, room, count) in [
        (&[100, 100, 100][..], 3 * one, 3),
        (&[100, 100, 100], 3 * one - 1, 2),
        (&[1000, 1], one, 0),
        (&[], 0, 0),
    ] {
        assert_eq!(fitting(lengths.iter().copied(), room), count);
    }
    let largest = byzantine_journal::RECORD_BYTES_MAX;
    assert_eq!(
        fitting([largest].into_iter(), QUEUE_BYTES_MAX),
        1,
        "an empty queue takes any record"
    );
}

#[test]
fn every_final_reason_has_its_number() {
    let reasons = [
        Reason::FsyncFailed,
        Reason::Full,
        Reason::ReadOnly,
        Reason::Corrupt,
        Reason::Stalled,
    ];
    assert_eq!(reasons.map(number_of), [0, 1, 2, 3, 4]);
}
