//! Signatures under checkpoints, kept so that the certificate of a stable one can be shown.

use std::collections::BTreeMap;

use crate::wire::{Digest, Signature};

/// Most checkpoints of one signer: twice the eight intervals of the widest window, so that a
/// replica that is behind still holds what the others sign now.
const PER_SIGNER_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Vote {
    digest: Digest,
    signature: Signature,
    /// Another digest of the same signer was seen here.
    reported: bool,
}

/// Why a checkpoint vote was not filed.
#[derive(Debug)]
pub enum Refused {
    /// The signer's first vote here was for another digest.
    Conflict(Digest, Signature),
    /// The same, and it is known.
    Reported,
    /// It is held.
    Held,
    /// The signer has as many higher ones as are kept.
    Full,
}

/// Checkpoint votes, one per signer and sequence.
#[derive(Debug)]
pub struct Checkpoints {
    signers: Vec<BTreeMap<u64, Vote>>,
}

impl Checkpoints {
    /// No votes of n replicas.
    pub fn new(n: u8) -> Self {
        Self {
            signers: vec![BTreeMap::new(); usize::from(n)],
        }
    }

    /// Files a verified vote. The lowest of its signer makes room for a higher one.
    ///
    /// # Errors
    /// Why not.
    pub fn file(
        &mut self,
        from: u8,
        sequence: u64,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), Refused> {
        let votes = &mut self.signers[usize::from(from)];
        if let Some(held) = votes.get_mut(&sequence) {
            return Err(if held.digest == *digest {
                Refused::Held
            } else if std::mem::replace(&mut held.reported, true) {
                Refused::Reported
            } else {
                Refused::Conflict(held.digest, held.signature)
            });
        }
        if votes.len() >= PER_SIGNER_MAX {
            if votes
                .first_key_value()
                .is_some_and(|(lowest, _)| *lowest > sequence)
            {
                return Err(Refused::Full);
            }
            votes.pop_first();
        }
        votes.insert(
            sequence,
            Vote {
                digest: *digest,
                signature: *signature,
                reported: false,
            },
        );
        Ok(())
    }

    /// The signature that `from` gave to this checkpoint; `Err` holds the digest that it signed
    /// instead.
    ///
    /// # Errors
    /// It signed another digest for the sequence.
    pub fn vote_of(
        &self,
        from: u8,
        sequence: u64,
        digest: &Digest,
    ) -> Result<Option<Signature>, Digest> {
        match self.signers[usize::from(from)].get(&sequence) {
            Some(vote) if vote.digest != *digest => Err(vote.digest),
            other => Ok(other.map(|vote| vote.signature)),
        }
    }

    /// Signatures under a checkpoint by replica ascending.
    pub fn certificate(&self, sequence: u64, digest: &Digest) -> Vec<(u8, Signature)> {
        let replicas = 0..self.signers.len() as u8;
        replicas
            .filter_map(|from| Some((from, self.vote_of(from, sequence, digest).ok()??)))
            .collect()
    }

    /// Frees votes below `sequence`.
    pub fn free_below(&mut self, sequence: u64) {
        for votes in &mut self.signers {
            *votes = votes.split_off(&sequence);
        }
    }
}
