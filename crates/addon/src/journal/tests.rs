//! Reasons.

use super::*;

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
