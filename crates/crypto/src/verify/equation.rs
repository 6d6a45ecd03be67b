//! The equation of ZIP-215, for one claim and for many at once.

use std::iter::once;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};

use super::Claim;

/// Bytes of a random coefficient: 128 bits, so that a false combination holds with 2⁻¹²⁸.
const COEFFICIENT_BYTES: usize = 16;

/// \[8\](\[s\]B − \[k\]A − R) = 0.
pub(super) fn holds_single(claim: &Claim) -> bool {
    let expected =
        EdwardsPoint::vartime_double_scalar_mul_basepoint(&claim.k, &-claim.key, &claim.s);
    (expected - claim.r).mul_by_cofactor().is_identity()
}

/// Whether all claims hold: \[8\](\[Σzs\]B − Σ\[z\]R − Σ\[zk\]A) = 0 with one random z for each
/// claim (the first is 1: a single false equation is false times any z, and with more than one
/// the others randomise the sum), and the terms of equal keys added up.
///
/// Without entropy nothing is claimed for the batch: the answer is `false`, and the caller goes
/// on to single claims, which need none.
pub(super) fn holds(claims: &[Claim]) -> bool {
    let Some(coefficients) = coefficients(claims.len()) else {
        return false;
    };
    let mut base = Scalar::ZERO;
    let mut keys = KeyTerms::with_capacity(claims.len());
    for (claim, z) in claims.iter().zip(&coefficients) {
        base -= z * claim.s;
        keys.add(claim, z * claim.k);
    }
    let scalars = once(&base).chain(&coefficients).chain(&keys.scalars);
    let points = once(&ED25519_BASEPOINT_POINT)
        .chain(claims.iter().map(|claim| &claim.r))
        .chain(keys.points.iter().copied());
    EdwardsPoint::vartime_multiscalar_mul(scalars, points)
        .mul_by_cofactor()
        .is_identity()
}

/// 1, then `count − 1` random coefficients; none when the operating system gives no entropy.
fn coefficients(count: usize) -> Option<Vec<Scalar>> {
    let mut bytes = vec![0; count.saturating_sub(1) * COEFFICIENT_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    let (random, _) = bytes.as_chunks::<COEFFICIENT_BYTES>();
    Some(
        once(Scalar::ONE)
            .chain(random.iter().map(|z| Scalar::from(u128::from_le_bytes(*z))))
            .collect(),
    )
}

/// One term \[Σzk\]A for each distinct key.
struct KeyTerms<'a> {
    scalars: Vec<Scalar>,
    points: Vec<&'a EdwardsPoint>,
    /// Index of the term of each slot of the chunk, where the slot occurs among the claims.
    terms: Vec<Option<usize>>,
}

impl<'a> KeyTerms<'a> {
    fn with_capacity(count: usize) -> Self {
        Self {
            scalars: Vec::with_capacity(count),
            points: Vec::with_capacity(count),
            terms: Vec::with_capacity(count),
        }
    }

    fn add(&mut self, claim: &'a Claim, scalar: Scalar) {
        if self.terms.len() <= claim.slot {
            self.terms.resize(claim.slot + 1, None);
        }
        match self.terms[claim.slot] {
            Some(term) => self.scalars[term] += scalar,
            None => {
                self.terms[claim.slot] = Some(self.scalars.len());
                self.scalars.push(scalar);
                self.points.push(&claim.key);
            }
        }
    }
}
