//! Which bundles a batch digest stands for, kept until a stable checkpoint frees them, so that
//! replicas that lack a batch can fetch it.

use std::collections::{BTreeMap, HashMap};

use crate::wire::{Batch, Digest};

/// Most manifests: twice the widest window, for the proposals of two views.
const MANIFESTS_MAX: usize = 8192;

#[derive(Debug)]
struct Manifest {
    time_ms: u64,
    bundles: Vec<Digest>,
    sequence: u64,
}

/// Contents of batches by digest.
#[derive(Debug, Default)]
pub struct Manifests {
    by_digest: HashMap<Digest, Manifest>,
    by_sequence: BTreeMap<u64, Vec<Digest>>,
}

impl Manifests {
    /// Keeps the content of a batch; a digest that is kept moves to the higher sequence. At the
    /// bound the batches of the highest sequence make room for lower ones, which are needed first.
    pub fn keep(&mut self, digest: Digest, sequence: u64, batch: &Batch<'_>) {
        if self
            .by_digest
            .get(&digest)
            .is_some_and(|kept| kept.sequence >= sequence)
        {
            return;
        }
        if self.by_digest.len() >= MANIFESTS_MAX && !self.make_room(sequence) {
            return;
        }
        let manifest = Manifest {
            time_ms: batch.time_ms,
            bundles: batch.bundles.to_vec(),
            sequence,
        };
        self.by_digest.insert(digest, manifest);
        self.by_sequence.entry(sequence).or_default().push(digest);
    }

    fn make_room(&mut self, sequence: u64) -> bool {
        match self.by_sequence.last_key_value() {
            Some((highest, _)) if *highest > sequence => {
                let highest = *highest;
                self.free(|kept| kept == highest);
                true
            }
            _ => false,
        }
    }

    /// The content of a batch.
    pub fn get(&self, digest: &Digest) -> Option<Batch<'_>> {
        self.by_digest.get(digest).map(|kept| Batch {
            time_ms: kept.time_ms,
            bundles: &kept.bundles,
        })
    }

    /// Frees batches at or below a stable sequence.
    pub fn stable(&mut self, sequence: u64) {
        self.free(|kept| kept <= sequence);
    }

    fn free(&mut self, test: impl Fn(u64) -> bool) {
        let by_digest = &mut self.by_digest;
        self.by_sequence.retain(|sequence, digests| {
            if test(*sequence) {
                for digest in digests {
                    // A digest proposed again at a higher sequence stays for that one.
                    if by_digest
                        .get(digest)
                        .is_some_and(|kept| kept.sequence == *sequence)
                    {
                        by_digest.remove(digest);
                    }
                }
                return false;
            }
            true
        });
    }

    /// Number of batches kept.
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_kept_until_its_highest_sequence_is_stable() {
        let mut manifests = Manifests::default();
        let bundles = [[1; 32], [2; 32]];
        let batch = Batch {
            time_ms: 5,
            bundles: &bundles,
        };
        let digest = batch.digest();
        manifests.keep(digest, 3, &batch);
        manifests.keep(digest, 9, &batch);
        manifests.keep(
            [9; 32],
            4,
            &Batch {
                time_ms: 0,
                bundles: &[],
            },
        );
        manifests.stable(4);
        assert_eq!(
            manifests
                .get(&digest)
                .map(|kept| (kept.time_ms, kept.bundles.len())),
            Some((5, 2))
        );
        assert_eq!(manifests.len(), 1);
        manifests.stable(9);
        assert!(manifests.is_empty());
    }

    #[test]
    fn at_the_bound_lower_sequences_push_out_the_highest() {
        let mut manifests = Manifests::default();
        let batch = Batch {
            time_ms: 0,
            bundles: &[],
        };
        let digest = |number: u64| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            digest
        };
        for sequence in 0..MANIFESTS_MAX as u64 {
            manifests.keep(digest(sequence + 10), sequence + 10, &batch);
        }
        manifests.keep(digest(1 << 40), 1 << 40, &batch);
        assert!(manifests.get(&digest(1 << 40)).is_none());
        manifests.keep(digest(1), 1, &batch);
        assert!(manifests.get(&digest(1)).is_some());
        assert!(manifests.get(&digest(MANIFESTS_MAX as u64 + 9)).is_none());
        assert_eq!(manifests.len(), MANIFESTS_MAX);
    }
}
