//! The digest of a batch: a Merkle root over its bundles (the tree of RFC 6962 §2.1).
//!
//! Each kind of hashed bytes opens with a tag of its own, so that a leaf never passes for an
//! inner node, nor a batch for either. The count of leaves is hashed with the root; the leaf
//! covers the whole signed bundle, signature included.

use crate::hash::{Digest, sha256_parts};

/// Tag of a leaf: the digest of one signed bundle.
pub const TAG_BUNDLE: u8 = 0x00;
/// Tag of an inner node.
pub const TAG_INNER: u8 = 0x01;
/// Tag of a batch: agreed time, count and root.
pub const TAG_BATCH: u8 = 0x02;
/// Tag of the result of an operation.
pub const TAG_RESULT: u8 = 0x04;

/// The root of no leaves. A null batch still differs from everything else by its tag and count.
pub const EMPTY_ROOT: Digest = [0; 32];

/// Digest of a signed bundle: SHA-256(0x00 | bytes).
pub fn bundle_digest(signed_bundle: &[u8]) -> Digest {
    sha256_parts(&[&[TAG_BUNDLE], signed_bundle])
}

/// Inner node over two subtrees: SHA-256(0x01 | left | right).
pub fn inner(left: &Digest, right: &Digest) -> Digest {
    sha256_parts(&[&[TAG_INNER], left, right])
}

/// Merkle root of `leaves` in their order. The left subtree holds the largest power of two below
/// the count, which is the same as promoting an odd node unchanged. No leaves: [`EMPTY_ROOT`].
pub fn merkle_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            // Two or more leaves: the split lies in 1..count, and the depth is log2(count).
            let split = leaves.len().next_power_of_two() / 2;
            inner(
                &merkle_root(&leaves[..split]),
                &merkle_root(&leaves[split..]),
            )
        }
    }
}

/// Digest of a batch: SHA-256(0x02 | time u64 LE | count u32 LE | Merkle root).
///
/// `time_ms` is the agreed time in milliseconds, `leaves` are the bundle digests in the order
/// of execution.
///
/// # Panics
/// With 2^32 leaves or more, which would fill 128 GiB; the codec bounds a batch far below.
pub fn batch_digest(time_ms: u64, leaves: &[Digest]) -> Digest {
    let count = u32::try_from(leaves.len()).expect("a batch names fewer than 2^32 bundles");
    sha256_parts(&[
        &[TAG_BATCH],
        &time_ms.to_le_bytes(),
        &count.to_le_bytes(),
        &merkle_root(leaves),
    ])
}

/// Digest of a result, which f+1 replies must agree on: SHA-256(0x04 | status | result).
pub fn result_digest(status: u8, result: &[u8]) -> Digest {
    sha256_parts(&[&[TAG_RESULT, status], result])
}
