//! Signatures under checkpoints, kept so that the certificate of a stable one can be shown.
//!
//! The highest of each signer are kept, also far above the window: that is how a replica learns that
//! it fell behind. What may be named stays: what was pushed out until the turn is over, the
//! certificates of VIEW-CHANGEs as long as those are kept, and the stable one until the next. Those
//! lie beside what is filed, which is exactly what the core counts.

use std::collections::{BTreeMap, HashMap};

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
    /// It is held.
    Held,
    /// The signer has as many higher ones as are kept.
    Full,
    /// A higher one is stable.
    Below,
}

/// A signer gave two digests for one sequence.
#[derive(Debug)]
pub struct Contradicted {
    /// The first of them, unless it was returned before.
    pub unreported: Option<(Digest, Signature)>,
}

/// Signatures under one checkpoint.
#[derive(Clone, Debug)]
struct Certified {
    sequence: u64,
    digest: Digest,
    votes: Vec<(u8, Signature)>,
}

impl Certified {
    fn signature(&self, from: u8, sequence: u64, digest: &Digest) -> Option<Signature> {
        let votes = (self.sequence == sequence && self.digest == *digest).then_some(&self.votes)?;
        votes
            .iter()
            .find(|(signer, _)| *signer == from)
            .map(|(_, signature)| *signature)
    }
}

/// Checkpoint votes, one per signer and sequence.
#[derive(Debug)]
pub struct Checkpoints {
    signers: Vec<BTreeMap<u64, Vote>>,
    /// What had to make room since the last turn ended. Each stands for a record that TypeScript
    /// has yet to read, so there are as many as those at most.
    pushed_out: HashMap<(u64, u8, Digest), Signature>,
    /// Certificates of VIEW-CHANGEs that are kept, by the digests of those.
    carried: HashMap<Digest, Certified>,
    stable: Option<Certified>,
}

impl Checkpoints {
    /// No votes of n replicas.
    pub fn new(n: u8) -> Self {
        Self {
            signers: vec![BTreeMap::new(); usize::from(n)],
            pushed_out: HashMap::new(),
            carried: HashMap::new(),
            stable: None,
        }
    }

    /// What `from` signed for the sequence before, filed or carried, where that is another digest.
    pub fn contradicted(
        &mut self,
        from: u8,
        sequence: u64,
        digest: &Digest,
    ) -> Option<Contradicted> {
        if let Some(held) = self.signers[usize::from(from)].get_mut(&sequence)
            && held.digest != *digest
        {
            let known = std::mem::replace(&mut held.reported, true);
            let first = (held.digest, held.signature);
            return Some(Contradicted {
                unreported: (!known).then_some(first),
            });
        }
        let carried = self.carried.values().find_map(|certified| {
            let other = certified.sequence == sequence && certified.digest != *digest;
            let signature = certified.signature(from, sequence, &certified.digest)?;
            other.then_some((certified.digest, signature))
        })?;
        Some(Contradicted {
            unreported: Some(carried),
        })
    }

    /// Files a verified vote that contradicts no other. The lowest of its signer makes room for a
    /// higher one.
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
        if self
            .stable
            .as_ref()
            .is_some_and(|stable| sequence < stable.sequence)
        {
            return Err(Refused::Below);
        }
        let votes = &mut self.signers[usize::from(from)];
        if votes.contains_key(&sequence) {
            return Err(Refused::Held);
        }
        if votes.len() >= PER_SIGNER_MAX
            && let Some(lowest) = votes.first_entry()
        {
            if *lowest.key() > sequence {
                self.pushed_out
                    .insert((sequence, from, *digest), *signature);
                return Err(Refused::Full);
            }
            let (lowest, vote) = lowest.remove_entry();
            self.pushed_out
                .insert((lowest, from, vote.digest), vote.signature);
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
            .filter_map(|from| Some((from, self.signature(from, sequence, digest)?)))
            .collect()
    }

    fn signature(&self, from: u8, sequence: u64, digest: &Digest) -> Option<Signature> {
        let aside = self.stable.iter().chain(self.carried.values());
        let held = self.vote_of(from, sequence, digest).ok().flatten();
        held.or_else(|| self.pushed_out.get(&(sequence, from, *digest)).copied())
            .or_else(|| {
                aside
                    .filter_map(|certified| certified.signature(from, sequence, digest))
                    .next()
            })
    }

    /// Keeps the stable certificate of a VIEW-CHANGE until [`Checkpoints::drop_carried`].
    pub fn carry(&mut self, view_change: Digest, name: (u64, Digest), votes: Vec<(u8, Signature)>) {
        let (sequence, digest) = name;
        let certified = Certified {
            sequence,
            digest,
            votes,
        };
        self.carried.insert(view_change, certified);
    }

    /// The VIEW-CHANGE was let go of.
    pub fn drop_carried(&mut self, view_change: &Digest) {
        self.carried.remove(view_change);
    }

    /// Keeps exactly the signatures of `signers` aside until the next call, and frees votes below
    /// them.
    pub fn settle(&mut self, sequence: u64, digest: Digest, signers: u32) {
        let mut votes = self.certificate(sequence, &digest);
        votes.retain(|(from, _)| signers >> from & 1 == 1);
        self.stable = Some(Certified {
            sequence,
            digest,
            votes,
        });
        for votes in &mut self.signers {
            *votes = votes.split_off(&sequence);
        }
    }

    /// Everything that was handed up was read, and what it led to is done.
    pub fn turn_is_over(&mut self) {
        self.pushed_out.clear();
    }
}
