//! Names of the files in a data directory, and little-endian fields at fixed places.

/// The genesis marker.
pub(crate) const MARKER: &str = "identity";
/// The marker of a clean stop.
pub(crate) const CLEAN_STOP: &str = "clean-stop";
/// The file whose lock makes one process the owner.
pub(crate) const LOCK: &str = "lock";
/// What a file is called until it is complete and synced.
pub(crate) const UNFINISHED: &str = ".unfinished";

const SEGMENT_PREFIX: &str = "journal-";
const SEGMENT_SUFFIX: &str = ".segment";
const SNAPSHOT_PREFIX: &str = "snapshot-";
const SNAPSHOT_SUFFIX: &str = ".state";

/// Name of segment `number`; names sort like numbers.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{SEGMENT_PREFIX}{number:016x}{SEGMENT_SUFFIX}")
}

/// The number in a segment's name; none for any other name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    number_between(name, SEGMENT_PREFIX, SEGMENT_SUFFIX)
}

/// Name of the snapshot at `sequence`.
pub(crate) fn snapshot_name(sequence: u64) -> String {
    format!("{SNAPSHOT_PREFIX}{sequence:016x}{SNAPSHOT_SUFFIX}")
}

/// The sequence in a snapshot's name; none for any other name.
pub(crate) fn snapshot_sequence(name: &str) -> Option<u64> {
    number_between(name, SNAPSHOT_PREFIX, SNAPSHOT_SUFFIX)
}

/// Whether the name is one of a snapshot that was never finished.
pub(crate) fn is_unfinished_snapshot(name: &str) -> bool {
    name.strip_suffix(UNFINISHED)
        .is_some_and(|stem| snapshot_sequence(stem).is_some())
}

fn number_between(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let canonical = digits.len() == 16
        && digits
            .bytes()
            .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    canonical.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The `N` bytes at `offset`; the caller has checked that they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[offset..offset + N]);
    field
}

/// The u32 at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(bytes, offset))
}

/// The u64 at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset))
}

/// Whether all bytes are zero, as those that were prepared and never written.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_was_written_here_has_a_number() {
        assert_eq!(segment_number(&segment_name(0x1f)), Some(0x1f));
        assert_eq!(snapshot_sequence(&snapshot_name(u64::MAX)), Some(u64::MAX));
        for foreign in [
            "journal-1.segment",
            "journal-000000000000001F.segment",
            "journal-+00000000000001f.segment",
            "journal-000000000000001f.segment.unfinished",
            "snapshot-000000000000001f.segment",
            "journal-000000000000001f",
            "",
        ] {
            assert_eq!(segment_number(foreign), None, "{foreign}");
        }
        assert!(is_unfinished_snapshot(
            "snapshot-000000000000001f.state.unfinished"
        ));
        assert!(!is_unfinished_snapshot(&snapshot_name(1)));
    }
}
