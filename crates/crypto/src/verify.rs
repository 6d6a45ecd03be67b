//! THE verifier: one verdict for one signature, everywhere.
//!
//! A signature (R, S) of key A over `context | message` is valid exactly when (ZIP-215)
//!
//! - S < ℓ, encoded canonically;
//! - R decodes to a point of the curve (any order, canonical or not);
//! - \[8\](\[S\]B − \[k\]A − R) = 0 with k = SHA-512(R | A | context | message) mod ℓ.
//!
//! The equation is cofactored: multiplied by 8 all torsion vanishes, so a random linear
//! combination of equations that hold always holds, and one that contains a false equation
//! holds with probability 2⁻¹²⁸. Hence an item has the same verdict alone and in every batch. A
//! cofactorless batch has not: a torsion component in R passes it with probability 1/8, and
//! replicas that batch differently would split.

mod equation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

use crate::key::PublicKey;

/// Items per equation. Cost per signature keeps falling with the size (AVX2, distinct keys / 8
/// keys, alone = 100 %: 16 items 52 / 42, 64 47 / 31, 128 41 / 27, 256 36 / 23, 1024 31 / 20),
/// but a larger chunk makes one bad item dearer to find and keeps a thread longer (256: 4 ms).
pub const CHUNK_ITEMS: usize = 256;

/// Items per equation once that of the chunk has failed; a group that fails too is checked item
/// by item. An item's share of a group costs about half a single check, so halving further saves
/// nothing: with 1, 2 or 4 bad items among 128 (distinct keys) two levels take two thirds of the
/// time of repeated halving. They also bound what an attacker can make us spend: a chunk of
/// nothing but bad items costs less than twice its single verification.
const GROUP_ITEMS: usize = 16;

/// One signature to verify: `signature` of `key` over `context | message`.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The signer.
    pub key: &'a PublicKey,
    /// What the signed bytes open with: the tag of [`crate::Domain::prefix`].
    pub context: &'a [u8],
    /// The rest of the signed bytes: the canonical payload.
    pub message: &'a [u8],
    /// R (32 bytes) and S (32 bytes).
    pub signature: &'a [u8; 64],
}

/// Whether the signature of `item` is valid: a batch of one.
pub fn verify(item: &Item<'_>) -> bool {
    Claim::decode(item).is_some_and(|claim| equation::holds_single(&claim))
}

/// The verdict on each of `items`, in their order; equal to [`verify`] of each.
///
/// Cost per signature falls with the count and with the number of distinct keys. The call takes
/// any count, works in chunks of [`CHUNK_ITEMS`], and holds less than 1 MiB besides its result.
pub fn verify_batch(items: &[Item<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; items.len()];
    for (items, verdicts) in items
        .chunks(CHUNK_ITEMS)
        .zip(verdicts.chunks_mut(CHUNK_ITEMS))
    {
        Chunk::new(items, verdicts).settle();
    }
    verdicts
}

/// An item whose signature decoded: what is left to check is the equation.
struct Claim {
    key: EdwardsPoint,
    /// Equal for items of equal key bytes within a chunk, dense from 0.
    slot: usize,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Claim {
    /// None when S is not canonical or R is no point: then no equation can make it valid.
    fn decode(item: &Item<'_>) -> Option<Self> {
        let (r_bytes, s_bytes) = item.signature.split_at(32);
        let s = Option::from(Scalar::from_canonical_bytes(s_bytes.try_into().ok()?))?;
        let r = CompressedEdwardsY::from_slice(r_bytes).ok()?.decompress()?;
        let hash = Sha512::new()
            .chain_update(r_bytes)
            .chain_update(item.key.as_bytes())
            .chain_update(item.context)
            .chain_update(item.message);
        Some(Self {
            key: *item.key.point(),
            slot: 0,
            r,
            s,
            k: Scalar::from_bytes_mod_order_wide(&hash.finalize().into()),
        })
    }
}

/// The search for the bad items of one chunk.
struct Chunk<'a> {
    claims: Vec<Claim>,
    /// Where the verdict of each claim belongs.
    places: Vec<usize>,
    verdicts: &'a mut [bool],
}

impl<'a> Chunk<'a> {
    fn new(items: &[Item<'_>], verdicts: &'a mut [bool]) -> Self {
        let mut slots = HashMap::with_capacity(items.len());
        let mut claims = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            if let Some(mut claim) = Claim::decode(item) {
                let fresh = slots.len();
                claim.slot = *slots.entry(item.key).or_insert(fresh);
                claims.push(claim);
                places.push(place);
            }
        }
        Self {
            claims,
            places,
            verdicts,
        }
    }

    /// Gives every claim its verdict.
    fn settle(&mut self) {
        let count = self.claims.len();
        if self.accept_together(0..count) {
            return;
        }
        for from in (0..count).step_by(GROUP_ITEMS) {
            let group = from..count.min(from + GROUP_ITEMS);
            let has_failed = group.len() == count;
            if has_failed || !self.accept_together(group.clone()) {
                self.settle_singly(group);
            }
        }
    }

    /// Accepts all of `range` when their common equation holds; of less than two there is none.
    fn accept_together(&mut self, range: Range<usize>) -> bool {
        let holds = range.len() > 1 && equation::holds(&self.claims[range.clone()]);
        if holds {
            for &place in &self.places[range] {
                self.verdicts[place] = true;
            }
        }
        holds
    }

    fn settle_singly(&mut self, range: Range<usize>) {
        for index in range {
            self.verdicts[self.places[index]] = equation::holds_single(&self.claims[index]);
        }
    }
}
