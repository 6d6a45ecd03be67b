//! The vote table with its verifier.

use byzantine_crypto::{Domain, PublicKey};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use super::super::{counter, exact, failure};
use super::{drain, offer};
use crate::checks::{Check, Signed, Signer, Verifier};
use crate::records::{InputKind, Records};
use crate::rejections::{Reason, Rejections};
use crate::vote_table::{Quorums, VoteTable};
use crate::wire::types::{CHECKPOINT, PRE_PREPARE};
use crate::wire::{Digest, Name, Signature};

/// A vote table with its verifier.
#[napi]
pub struct NativeVoteTable {
    votes: VoteTable,
    verifier: Verifier,
    records: Records,
    rejections: Rejections,
}

#[napi]
impl NativeVoteTable {
    /// `keys` holds 32 bytes per replica.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        cluster_id: &[u8],
        epoch: f64,
        keys: &[u8],
        max_faults: u32,
        me: u32,
    ) -> Result<Self> {
        let (keys, _) = keys.as_chunks::<32>();
        let members: Vec<PublicKey> = keys
            .iter()
            .map(|key| PublicKey::from_bytes(key).map_err(|error| failure("INVALID_KEY", error)))
            .collect::<Result<_>>()?;
        let n = members.len() as u8;
        if members.is_empty()
            || members.len() > 31
            || me >= u32::from(n)
            || max_faults * 3 >= u32::from(n)
        {
            return Err(failure(
                "INVALID_ARGUMENT",
                "1 to 31 replicas, me among them, fewer than a third faulty",
            ));
        }
        let domain = Domain::new(exact("clusterId", cluster_id)?, counter("epoch", epoch)?);
        Ok(Self {
            votes: VoteTable::new(Quorums {
                n,
                f: max_faults as u8,
                me: me as u8,
            }),
            verifier: Verifier::new(domain, members),
            records: Records::default(),
            rejections: Rejections::default(),
        })
    }

    /// WINDOW; `pending` is one more than the pending view, 0 for none.
    #[napi(catch_unwind)]
    pub fn set_window(&mut self, low: f64, high: f64, view: f64, pending: f64) -> Result<()> {
        let pending = counter("pending", pending)?.checked_sub(1);
        self.votes.set_window(
            counter("low", low)?,
            counter("high", high)?,
            counter("view", view)?,
            pending,
        );
        Ok(())
    }

    /// A PREPARE from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_prepare(
        &mut self,
        from: u32,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let (from, name) = (self.replica(from)?, name(view, sequence, digest)?);
        Ok(offer(self.votes.offer_prepare(
            from,
            &name,
            &exact("signature", signature)?,
        )))
    }

    /// A COMMIT from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_commit(
        &mut self,
        from: u32,
        view: f64,
        sequence: f64,
        digest: &[u8],
    ) -> Result<i32> {
        let (from, name) = (self.replica(from)?, name(view, sequence, digest)?);
        Ok(offer(self.votes.offer_commit(from, &name)))
    }

    /// A NEW-VIEW whose signatures are verified: 32 bytes per digest from sequence `first` on, 64 per
    /// signature.
    #[napi(catch_unwind)]
    pub fn keep_new_view(
        &mut self,
        view: f64,
        first: f64,
        digests: &[u8],
        signatures: &[u8],
    ) -> Result<()> {
        let (digests, signatures) = (digests.as_chunks::<32>().0, signatures.as_chunks::<64>().0);
        let batches = digests.iter().copied().zip(signatures.iter().copied());
        let (view, first) = (counter("view", view)?, counter("first", first)?);
        self.votes.keep_new_view(view, first, batches.collect());
        Ok(())
    }

    /// FORGET of a NEW-VIEW.
    #[napi(catch_unwind)]
    pub fn forget_new_view(&mut self, view: f64) -> Result<()> {
        self.votes.forget_new_view(counter("view", view)?);
        Ok(())
    }

    /// PERSIST of `prepared`: the core named this certificate.
    #[napi(catch_unwind)]
    pub fn name_certificate(&mut self, view: f64, sequence: f64, digest: &[u8]) -> Result<()> {
        self.votes.name_certificate(&name(view, sequence, digest)?);
        Ok(())
    }

    /// STABLE; `signers` is a set.
    #[napi(catch_unwind)]
    pub fn stable(&mut self, sequence: f64, digest: &[u8], signers: u32) -> Result<()> {
        let (sequence, digest) = (counter("sequence", sequence)?, exact("digest", digest)?);
        self.votes.stable(sequence, digest, signers);
        Ok(())
    }

    /// The stable certificate of a verified VIEW-CHANGE: `signers` is a set, `signatures` theirs by
    /// replica ascending.
    #[napi(catch_unwind)]
    pub fn carry(
        &mut self,
        view_change: &[u8],
        sequence: f64,
        digest: &[u8],
        signers: u32,
        signatures: &[u8],
    ) -> Result<()> {
        let name = (counter("sequence", sequence)?, exact("digest", digest)?);
        let members = (0..self.votes.quorums().n).filter(|replica| signers >> replica & 1 == 1);
        let votes = members.zip(signatures.as_chunks::<64>().0.iter().copied());
        self.votes
            .carry(exact("viewChange", view_change)?, name, votes.collect());
        Ok(())
    }

    /// FORGET of a VIEW-CHANGE.
    #[napi(catch_unwind)]
    pub fn drop_carried(&mut self, view_change: &[u8]) -> Result<()> {
        self.votes.drop_carried(&exact("viewChange", view_change)?);
        Ok(())
    }

    /// What the last [`NativeVoteTable::settle`] returned was read, and what it led to is done.
    #[napi(catch_unwind)]
    pub fn turn_is_over(&mut self) {
        self.votes.turn_is_over();
    }

    /// A PRE-PREPARE header of its view's primary.
    #[napi(catch_unwind)]
    pub fn offer_proposal(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let name = name(view, sequence, digest)?;
        let signature: Signature = exact("signature", signature)?;
        let primary = self.votes.quorums().primary(name.view);
        let outcome = match self.votes.check_place(name.view, name.sequence) {
            Err(reason) => Err(reason),
            Ok(()) if !self.is_valid(primary, PRE_PREPARE, Signed::name(&name), signature) => {
                Err(Reason::BadSignature)
            }
            Ok(()) => self.votes.file_proposal(&name, &signature),
        };
        Ok(offer(outcome))
    }

    /// A CHECKPOINT from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_checkpoint(
        &mut self,
        from: u32,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let (from, sequence) = (self.replica(from)?, counter("sequence", sequence)?);
        let (digest, signature): (Digest, Signature) =
            (exact("digest", digest)?, exact("signature", signature)?);
        let outcome = if self.is_valid(
            from,
            CHECKPOINT,
            Signed::checkpoint(sequence, &digest),
            signature,
        ) {
            self.votes
                .file_checkpoint(from, sequence, &digest, &signature)
        } else {
            Err(Reason::BadSignature)
        };
        Ok(offer(outcome))
    }

    /// Our own PREPARE.
    #[napi(catch_unwind)]
    pub fn file_own(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let name = name(view, sequence, digest)?;
        self.votes
            .file_own_prepare(&name, &exact("signature", signature)?);
        Ok(())
    }

    /// Ends a turn: verifies what must be, and returns its VOTES, CONFLICT and REJECTED records.
    #[napi(catch_unwind)]
    pub fn settle(&mut self) -> Uint8Array {
        let (mut checks, mut claims) = (Vec::new(), Vec::new());
        self.votes.collect(&mut checks, &mut claims);
        let verdicts = self.verifier.verdicts(&checks);
        for (check, _) in checks.iter().zip(&verdicts).filter(|(_, valid)| !**valid) {
            if let Signer::Member(from) = check.signer {
                let named = self.verifier.is_of_another_member(check);
                self.rejections.count(
                    if named {
                        Reason::WrongSigner
                    } else {
                        Reason::BadSignature
                    },
                    from,
                );
            }
        }
        self.votes.resolve(&claims, &verdicts);
        for conflict in self.votes.take_conflicts() {
            self.records.push(InputKind::Conflict, |record| {
                record
                    .u8(conflict.by)
                    .u8(conflict.message_type)
                    .raw(&conflict.digest);
            });
        }
        let records = &mut self.records;
        self.votes.hand_up(|phase, name, signers| {
            records.push(InputKind::Votes, |record| {
                record
                    .u8(phase as u8)
                    .u53(name.view)
                    .u53(name.sequence)
                    .raw(&name.digest)
                    .u32(signers);
            });
        });
        self.rejections.report(&mut self.records);
        drain(&mut self.records)
    }

    /// Verified signatures under (view, sequence, digest): `u8 replica | signature` each.
    #[napi(catch_unwind)]
    pub fn certificate(&self, view: f64, sequence: f64, digest: &[u8]) -> Result<Uint8Array> {
        Ok(packed(
            &self.votes.certificate(&name(view, sequence, digest)?),
        ))
    }

    /// The same for a checkpoint.
    #[napi(catch_unwind)]
    pub fn checkpoint_certificate(&self, sequence: f64, digest: &[u8]) -> Result<Uint8Array> {
        let (sequence, digest) = (counter("sequence", sequence)?, exact("digest", digest)?);
        Ok(packed(
            &self.votes.checkpoints().certificate(sequence, &digest),
        ))
    }

    fn is_valid(&self, from: u8, message_type: u8, signed: Signed, signature: Signature) -> bool {
        let check = Check {
            signer: Signer::Member(from),
            message_type,
            signed,
            signature,
        };
        self.verifier.verdicts(&[check]) == [true]
    }

    fn replica(&self, replica: u32) -> Result<u8> {
        let n = u32::from(self.votes.quorums().n);
        if replica < n {
            Ok(replica as u8)
        } else {
            Err(failure("INVALID_ARGUMENT", "no such replica"))
        }
    }
}

fn name(view: f64, sequence: f64, digest: &[u8]) -> Result<Name> {
    Ok(Name {
        view: counter("view", view)?,
        sequence: counter("sequence", sequence)?,
        digest: exact("digest", digest)?,
    })
}

fn packed(votes: &[(u8, Signature)]) -> Uint8Array {
    let bytes = votes
        .iter()
        .flat_map(|(replica, signature)| std::iter::once(*replica).chain(*signature));
    bytes.collect::<Vec<u8>>().into()
}
