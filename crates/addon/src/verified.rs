//! Votes that were verified inside of VIEW-CHANGEs and NEW-VIEWs. The VIEW-CHANGEs of one view
//! carry largely the same votes, each of which is verified once.

use std::collections::HashSet;

use crate::checks::Check;
use crate::wire::Digest;

/// Votes remembered at least: every replica's vote on every sequence of the widest window,
/// 31 × 4,096. Twice as many at most, 10 MB.
const GENERATION: usize = 31 * 4096;

/// Digests of (signer, type, what was signed, signature); the younger half takes new ones.
#[derive(Debug, Default)]
pub struct VerifiedVotes {
    young: HashSet<Digest>,
    old: HashSet<Digest>,
}

impl VerifiedVotes {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Whether the vote with this [`Check::vote_key`] was verified before.
    pub fn holds(&mut self, key: &Digest) -> bool {
        if self.young.contains(key) {
            return true;
        }
        let held = self.old.contains(key);
        if held {
            self.remember(*key);
        }
        held
    }

    /// Remembers a verified vote.
    pub fn remember(&mut self, key: Digest) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
    }

    /// Whether this check is that of a vote which was verified before.
    pub fn knows(&mut self, check: &Check) -> bool {
        !self.is_empty() && check.vote_key().is_some_and(|key| self.holds(&key))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::checks::{Signed, Signer};
    use crate::wire::types::{PRE_PREPARE, PREPARE};

    fn key(number: usize) -> Digest {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn what_is_asked_for_again_outlives_what_is_not_and_memory_is_bounded() {
        let mut votes = VerifiedVotes::default();
        for number in 0..3 * GENERATION {
            votes.remember(key(number));
            assert!(votes.holds(&key(0)));
            assert!(votes.young.len() + votes.old.len() <= 2 * GENERATION);
        }
        assert!(!votes.holds(&key(1)));
        assert!(votes.holds(&key(3 * GENERATION - 1)));
    }

    #[test]
    fn a_vote_is_known_only_with_its_signer_type_content_and_signature() {
        let check = |signer, message_type, digest, signature| Check {
            signer: Signer::Member(signer),
            message_type,
            signed: Signed::checkpoint(5, &[digest; 32]),
            signature: [signature; 64],
        };
        let first = check(1, PREPARE, 2, 3);
        let mut votes = VerifiedVotes::default();
        votes.remember(first.vote_key().expect("a vote"));
        assert!(votes.knows(&first));
        for other in [
            check(2, PREPARE, 2, 3),
            check(3, PREPARE, 2, 3),
            check(1, PRE_PREPARE, 2, 3),
            check(1, PREPARE, 3, 3),
            check(1, PREPARE, 2, 4),
        ] {
            assert!(!votes.knows(&other));
        }
        let message = Check {
            signed: Signed::Payload(Bytes::from_static(&[0; 200])),
            ..first
        };
        assert_eq!(message.vote_key(), None);
    }
}
