//! The digest of a batch binds time, count, order and every byte of its bundles.

use byzantine_crypto::merkle::{
    EMPTY_ROOT, TAG_BATCH, batch_digest, bundle_digest, inner, merkle_root, result_digest,
};
use byzantine_crypto::{Digest, sha256, sha256_parts};
use proptest::prelude::*;

fn leaves(count: usize) -> Vec<Digest> {
    (0..count)
        .map(|index| bundle_digest(&index.to_le_bytes()))
        .collect()
}

/// The other way to build the tree of RFC 6962: level by level, an odd node promoted unchanged.
fn root_by_levels(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => sha256(&[&[1], left.as_slice(), right].concat()),
                _ => pair[0],
            })
            .collect();
    }
    level.first().copied().unwrap_or([0; 32])
}

#[test]
fn sha256_is_that_of_fips_180_and_parts_are_their_concatenation() {
    let hex: String = sha256(b"abc")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(sha256_parts(&[b"a", b"", b"bc"]), sha256(b"abc"));
    assert_eq!(sha256_parts(&[]), sha256(b""));
}

#[test]
fn roots_of_0_to_17_leaves_are_those_of_the_tree_built_by_levels() {
    for count in 0..=17 {
        let leaves = leaves(count);
        assert_eq!(merkle_root(&leaves), root_by_levels(&leaves), "{count}");
    }
}

#[test]
fn the_root_of_five_leaves_promotes_the_fifth() {
    let l = leaves(5);
    let four = inner(&inner(&l[0], &l[1]), &inner(&l[2], &l[3]));
    assert_eq!(merkle_root(&l), inner(&four, &l[4]));
}

#[test]
fn no_leaves_have_the_root_of_zeroes_and_one_leaf_is_its_own_root() {
    assert_eq!(merkle_root(&[]), EMPTY_ROOT);
    assert_eq!(EMPTY_ROOT, [0; 32]);
    assert_eq!(merkle_root(&leaves(1)), leaves(1)[0]);
}

/// Without tags a bundle whose bytes are two digests would hash like the node above them.
#[test]
fn a_bundle_made_of_two_digests_is_not_their_inner_node() {
    let [left, right] = [leaves(2)[0], leaves(2)[1]];
    let bundle = [left, right].concat();
    assert_ne!(bundle_digest(&bundle), inner(&left, &right));
    assert_ne!(result_digest(left[0], &bundle[1..]), inner(&left, &right));
    assert_ne!(result_digest(0, &bundle), bundle_digest(&bundle));
}

#[test]
fn each_digest_opens_with_its_own_tag() {
    assert_eq!(bundle_digest(b"xy"), sha256(b"\x00xy"));
    assert_eq!(
        inner(&[3; 32], &[4; 32]),
        sha256(&[vec![1], vec![3; 32], vec![4; 32]].concat())
    );
    assert_eq!(result_digest(7, b"xy"), sha256(b"\x04\x07xy"));
    let batch = [
        &[TAG_BATCH],
        &[1, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 0, 0, 0],
        &[9; 32],
    ]
    .concat();
    assert_eq!(batch_digest(1, &[[9; 32]]), sha256(&batch));
    assert_eq!(TAG_BATCH, 2);
}

/// A batch of four and the batch of its two inner nodes have one root: the count tells them apart.
#[test]
fn the_count_of_leaves_is_in_the_digest() {
    let four = leaves(4);
    let two = [inner(&four[0], &four[1]), inner(&four[2], &four[3])];
    assert_eq!(merkle_root(&four), merkle_root(&two));
    assert_ne!(batch_digest(5, &four), batch_digest(5, &two));
}

#[test]
fn time_order_and_emptiness_change_the_digest_of_a_batch() {
    let mut leaves = leaves(3);
    let digest = batch_digest(5, &leaves);
    assert_ne!(digest, batch_digest(6, &leaves));
    leaves.swap(0, 1);
    assert_ne!(digest, batch_digest(5, &leaves));
    assert_ne!(batch_digest(5, &[]), batch_digest(5, &[EMPTY_ROOT]));
}

proptest! {
    #[test]
    fn both_definitions_of_the_root_agree(leaves in prop::collection::vec(any::<[u8; 32]>(), 0..200)) {
        prop_assert_eq!(merkle_root(&leaves), root_by_levels(&leaves));
    }

    #[test]
    fn a_changed_swapped_added_or_removed_leaf_changes_the_digest(
        leaves in prop::collection::vec(any::<[u8; 32]>(), 2..18),
        place in any::<prop::sample::Index>(),
        bit in 0..256_usize,
    ) {
        let digest = batch_digest(0, &leaves);
        let place = place.index(leaves.len());
        let mut changed = leaves.clone();
        changed[place][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(batch_digest(0, &changed), digest);
        let mut rotated = leaves.clone();
        rotated.rotate_left(1);
        prop_assert!(rotated == leaves || batch_digest(0, &rotated) != digest);
        let mut longer = leaves.clone();
        longer.insert(place, leaves[place]);
        prop_assert_ne!(batch_digest(0, &longer), digest);
        let mut shorter = leaves;
        shorter.remove(place);
        prop_assert_ne!(batch_digest(0, &shorter), digest);
    }
}
