//! One verdict for one signature: alone, at every place of a batch, and in a second
//! implementation of ZIP-215.

use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::forge::{Forged, all_kinds, honest};
use crate::verify::{CHUNK_ITEMS, Chunk, Claim, Item, equation, verify, verify_batch};

/// Seed of the random batches; any other must do as well.
const SEED: u64 = 0x5eed;

fn items<'a>(forged: impl IntoIterator<Item = &'a Forged>) -> Vec<Item<'a>> {
    forged.into_iter().map(Forged::item).collect()
}

fn expected<'a>(forged: impl IntoIterator<Item = &'a Forged>) -> Vec<bool> {
    forged.into_iter().map(|one| one.valid).collect()
}

#[test]
fn every_kind_alone_has_the_verdict_of_zip_215_and_of_zebra() {
    for kind in all_kinds() {
        assert_eq!(verify(&kind.item()), kind.valid, "{}", kind.name);
        assert_eq!(kind.zebra(), kind.valid, "zebra on {}", kind.name);
    }
}

/// One of each kind that batches may tell apart; [`all_kinds`] varies them further.
fn distinct_kinds() -> Vec<Forged> {
    let mut kinds = all_kinds();
    let invalid = kinds.split_off(kinds.len() - 9);
    let (torsion, encodings) = kinds.split_at(256);
    torsion
        .iter()
        .skip(4)
        .step_by(37)
        .chain(encodings.iter().take(12).step_by(3))
        .chain(encodings.iter().skip(46))
        .chain(&invalid)
        .cloned()
        .collect()
}

#[test]
fn a_kind_has_one_verdict_at_every_place_of_batches_of_1_to_16() {
    let others: Vec<Forged> = (0..16).map(|index| honest(index % 5, index)).collect();
    for kind in distinct_kinds() {
        for size in 1..=16 {
            for place in 0..size {
                let batch = (0..size).map(|at| if at == place { &kind } else { &others[at] });
                let verdicts = verify_batch(&items(batch.clone()));
                let name = &kind.name;
                assert_eq!(verdicts, expected(batch), "{name} at {place} of {size}");
            }
        }
    }
}

#[test]
fn random_batches_of_all_kinds_give_each_item_its_own_verdict() {
    let kinds = all_kinds();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..200 {
        let bad_share = random.random_range(0.0..1.0_f64);
        let batch: Vec<&Forged> = (0..random.random_range(1..=64))
            .map(|_| {
                loop {
                    let kind = &kinds[random.random_range(0..kinds.len())];
                    if kind.valid || random.random_bool(bad_share) {
                        break kind;
                    }
                }
            })
            .collect();
        assert_eq!(
            verify_batch(&items(batch.iter().copied())),
            expected(batch.iter().copied()),
            "round {round}"
        );
    }
}

/// The search would hide an equation that fails for valid items, at the cost of speed and, with
/// other coefficients, of agreement. So the equation itself is asked.
#[test]
fn the_common_equation_holds_whenever_every_item_is_valid() {
    let kinds: Vec<Forged> = all_kinds().into_iter().filter(|kind| kind.valid).collect();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..200 {
        let claims: Vec<Claim> = (0..random.random_range(2..=24))
            .map(|_| random.random_range(0..kinds.len()))
            .map(|kind| Claim::decode(&kinds[kind].item()).expect("canonical S, R a point"))
            .enumerate()
            .map(|(slot, claim)| Claim { slot, ..claim })
            .collect();
        assert!(equation::holds(&claims));
    }
}

#[test]
fn errors_that_cancel_without_random_coefficients_are_found() {
    let (mut plus, mut minus) = (honest(0, 0), honest(0, 1));
    for (forged, shift) in [(&mut plus, Scalar::ONE), (&mut minus, -Scalar::ONE)] {
        let s: [u8; 32] = forged.signature[32..].try_into().expect("32 bytes");
        let s = Scalar::from_canonical_bytes(s).expect("canonical") + shift;
        forged.signature[32..].copy_from_slice(s.as_bytes());
    }
    let good = honest(0, 2);
    let batch = [&plus, &good, &minus].map(Forged::item);
    assert_eq!(verify_batch(&batch), [false, true, false]);
}

#[test]
fn a_batch_of_nothing_has_no_verdicts() {
    assert!(verify_batch(&[]).is_empty());
}

#[test]
fn bad_items_are_found_across_chunks_and_groups_whatever_their_share() {
    let good: Vec<Forged> = (0..40).map(|index| honest(index % 7, index)).collect();
    let mut bad = good.clone();
    for forged in &mut bad {
        forged.message.push(1);
        forged.valid = false;
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for bad_share in [0.0, 0.005, 0.1, 0.5, 1.0] {
        let batch: Vec<&Forged> = (0..CHUNK_ITEMS * 2 + 3)
            .map(|at| {
                let from = if random.random_bool(bad_share) {
                    &bad
                } else {
                    &good
                };
                &from[at % from.len()]
            })
            .collect();
        assert_eq!(
            verify_batch(&items(batch.iter().copied())),
            expected(batch.iter().copied()),
            "share {bad_share}"
        );
    }
}

#[test]
fn equal_keys_share_one_slot_and_the_equation_holds_over_any_part_of_a_chunk() {
    let signed: Vec<Forged> = (0..12).map(|index| honest(index % 3, index)).collect();
    let batch = items(&signed);
    let mut verdicts = vec![false; batch.len()];
    let chunk = Chunk::new(&batch, &mut verdicts);
    let slots: Vec<usize> = chunk.claims.iter().map(|claim| claim.slot).collect();
    assert_eq!(slots, [0, 1, 2].repeat(4));
    assert!(equation::holds(&chunk.claims));
    assert!(equation::holds(&chunk.claims[1..3]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any flipped bit makes it invalid (or, in R and S alone, whatever zebra says), and a batch
    /// says the same of every item as zebra does.
    #[test]
    fn flipped_bits_get_the_same_verdict_alone_in_a_batch_and_from_zebra(
        flips in prop::collection::vec((0..64_usize, 0..8_u32, any::<bool>()), 1..12),
    ) {
        let mut signed: Vec<Forged> =
            (0..flips.len()).map(|index| honest(index % 4, index)).collect();
        for (forged, (byte, bit, apply)) in signed.iter_mut().zip(&flips) {
            forged.signature[*byte] ^= u8::from(*apply) << bit;
            forged.valid = !apply;
        }
        let alone: Vec<bool> = signed.iter().map(|forged| verify(&forged.item())).collect();
        let zebra: Vec<bool> = signed.iter().map(Forged::zebra).collect();
        prop_assert_eq!(&verify_batch(&items(&signed)), &alone);
        prop_assert_eq!(&alone, &zebra);
        prop_assert_eq!(alone, expected(&signed));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_agree_with_zebra(
        signature in prop::array::uniform32(any::<u8>()),
        s in prop::array::uniform32(any::<u8>()),
        message in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut forged = honest(0, 0);
        forged.signature[..32].copy_from_slice(&signature);
        forged.signature[32..].copy_from_slice(&s);
        forged.message = message;
        prop_assert_eq!(verify(&forged.item()), forged.zebra());
        prop_assert_eq!(verify_batch(&[forged.item()]), [forged.zebra()]);
    }
}
