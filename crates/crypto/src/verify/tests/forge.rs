//! Makes every kind of signature that verifiers are known to disagree about.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

use crate::key::PublicKey;
use crate::verify::Item;

/// The group order ℓ, little-endian.
pub(super) const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// What opens the signed bytes of all forged items.
pub(super) const CONTEXT: &[u8] = b"context";

/// A signature with its key and message, and the verdict that ZIP-215 gives.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) name: String,
    pub(super) key: PublicKey,
    pub(super) message: Vec<u8>,
    pub(super) signature: [u8; 64],
    pub(super) valid: bool,
}

impl Forged {
    pub(super) fn item(&self) -> Item<'_> {
        Item {
            key: &self.key,
            context: CONTEXT,
            message: &self.message,
            signature: &self.signature,
        }
    }

    /// Verdict of ed25519-zebra, which implements ZIP-215 by itself.
    pub(super) fn zebra(&self) -> bool {
        zebra(
            self.key.as_bytes(),
            &[CONTEXT, &self.message].concat(),
            &self.signature,
        )
    }
}

/// Verdict of ed25519-zebra on one signature over `message`.
pub(super) fn zebra(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = ed25519_zebra::Signature::from(*signature);
    ed25519_zebra::VerificationKey::try_from(*key)
        .and_then(|key| key.verify(&signature, message))
        .is_ok()
}

/// A scalar that depends on `label` and `index` alone.
pub(super) fn scalar(label: &str, index: usize) -> Scalar {
    let hash = Sha512::new()
        .chain_update(label)
        .chain_update(index.to_le_bytes());
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// Encodings of points that differ from the canonical encoding of the same point: y of ±1 with
/// the sign bit of x = 0 set, and y ≥ p (RFC 8032 §5.1.3 refuses them, ZIP-215 does not).
pub(super) fn noncanonical_encodings() -> Vec<[u8; 32]> {
    let mut candidates = Vec::new();
    for low in 0xed..=0xff_u8 {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        candidates.push(bytes);
        bytes[31] = 0xff;
        candidates.push(bytes);
    }
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    candidates.extend([one, minus_one]);
    candidates
        .retain(|bytes| decode(bytes).is_some_and(|point| point.compress().as_bytes() != bytes));
    assert_eq!(candidates.len(), 26);
    candidates
}

pub(super) fn decode(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(*bytes).decompress()
}

/// Signs so that the cofactored equation holds, for A = aB + torsion encoded as `key` and
/// R = rB + torsion encoded as `r_bytes`: S = r + ka.
pub(super) fn forge(
    name: String,
    (key, a): ([u8; 32], Scalar),
    (r_bytes, r): ([u8; 32], Scalar),
) -> Forged {
    let message = name.clone().into_bytes();
    let hash = Sha512::new()
        .chain_update(r_bytes)
        .chain_update(key)
        .chain_update(CONTEXT)
        .chain_update(&message);
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r_bytes);
    signature[32..].copy_from_slice((r + k * a).as_bytes());
    Forged {
        name,
        key: PublicKey::from_bytes_unchecked_for_tests(key),
        message,
        signature,
        valid: true,
    }
}

/// An encoded point sB + torsion and its scalar.
pub(super) fn encoded(scalar: Scalar, torsion: EdwardsPoint) -> ([u8; 32], Scalar) {
    let point = ED25519_BASEPOINT_POINT * scalar + torsion;
    (point.compress().to_bytes(), scalar)
}

/// An honest signature; those with equal `key_index` have the same key.
pub(super) fn honest(key_index: usize, index: usize) -> Forged {
    forge(
        format!("honest {key_index}/{index}"),
        encoded(scalar("key", key_index), EIGHT_TORSION[0]),
        encoded(scalar("nonce", index), EIGHT_TORSION[0]),
    )
}

fn invalid(name: &str, mut forged: Forged, alter: impl FnOnce(&mut Forged)) -> Forged {
    alter(&mut forged);
    forged.name = name.to_owned();
    forged.valid = false;
    forged
}

/// Every kind: torsion in A and R in all combinations, small order and non-canonical encodings
/// of both, and what is invalid by encoding, by scalar, by message, or behind torsion.
pub(super) fn all_kinds() -> Vec<Forged> {
    let (a, r) = (scalar("key", 0), scalar("nonce", 0));
    let zero = Scalar::ZERO;
    let mut kinds = Vec::new();
    for (i, in_key) in EIGHT_TORSION.into_iter().enumerate() {
        for (j, in_r) in EIGHT_TORSION.into_iter().enumerate() {
            for (order, a, r) in [
                ("mixed", a, r),
                ("small A", zero, r),
                ("small R", a, zero),
                ("small A and R", zero, zero),
            ] {
                let name = format!("{order}, torsion {i} in A and {j} in R");
                kinds.push(forge(name, encoded(a, in_key), encoded(r, in_r)));
            }
        }
    }
    for (i, bytes) in noncanonical_encodings().into_iter().enumerate() {
        let small = decode(&bytes).is_some_and(|point| point.is_small_order());
        let honest_r = encoded(r, EIGHT_TORSION[0]);
        let mut in_r = forge(
            format!("non-canonical R {i}"),
            encoded(a, EIGHT_TORSION[0]),
            (bytes, zero),
        );
        let mut in_key = forge(format!("non-canonical A {i}"), (bytes, zero), honest_r);
        // Beyond small order their discrete logarithm is unknown, so nobody can sign for them.
        (in_r.valid, in_key.valid) = (small, small);
        kinds.extend([in_r, in_key]);
    }
    kinds.extend(invalid_kinds());
    kinds
}

fn invalid_kinds() -> Vec<Forged> {
    let torsion_in_r = forge(
        "torsion in R, message altered".to_owned(),
        encoded(scalar("key", 0), EIGHT_TORSION[0]),
        encoded(scalar("nonce", 9), EIGHT_TORSION[1]),
    );
    vec![
        invalid("message altered", honest(0, 1), |f| f.message.push(0)),
        invalid("key of another", honest(0, 2), |f| f.key = honest(1, 0).key),
        invalid("S + 1", honest(0, 3), |f| {
            add_to_s(f, &Scalar::ONE.to_bytes())
        }),
        invalid("S + order", honest(0, 4), |f| add_to_s(f, &ORDER)),
        invalid("S with its high bits set", honest(0, 5), |f| {
            f.signature[63] |= 0xe0
        }),
        invalid("R is no point", honest(0, 6), |f| {
            f.signature[..32].copy_from_slice(&[2; 32]);
            assert!(decode(&[2; 32]).is_none());
        }),
        invalid("all zero", honest(0, 7), |f| f.signature = [0; 64]),
        invalid("all ones", honest(0, 8), |f| f.signature = [0xff; 64]),
        invalid("torsion in R, message altered", torsion_in_r, |f| {
            f.message.push(0)
        }),
    ]
}

/// Adds a 256-bit number to S, without reduction.
fn add_to_s(forged: &mut Forged, addend: &[u8; 32]) {
    let mut carry = 0;
    for (byte, add) in forged.signature[32..].iter_mut().zip(addend) {
        carry += u16::from(*byte) + u16::from(*add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
}
