//! What is filed with a verified signature: proposals, our own votes, checkpoints.

use super::slot::{Prepare, Slot};
use super::{Contradiction, SignedClaim, VoteTable, checkpoints};
use crate::rejections::Reason;
use crate::wire::types::{CHECKPOINT, PRE_PREPARE};
use crate::wire::{Digest, Name, Signature};

impl VoteTable {
    /// Files the verified signature of a PRE-PREPARE, ours or that of its view's primary.
    ///
    /// # Errors
    /// [`Reason::ConflictingVote`] where the primary signed another digest there before; then it is
    /// evidence. Out of the window it is not filed, which is no error.
    pub fn file_proposal(&mut self, name: &Name, signature: &Signature) -> Result<(), Reason> {
        if self.check_place(name.view, name.sequence).is_err() {
            return Ok(());
        }
        let by = self.quorums.primary(name.view);
        let place = (name.sequence, name.view);
        let slot = self
            .slots
            .entry(place)
            .or_insert_with(|| Slot::new(self.quorums.n));
        match slot.proposal {
            None => {
                slot.proposal = Some((name.digest, *signature));
                Ok(())
            }
            Some((held, _)) if held == name.digest => Ok(()),
            Some((held, held_signature)) => {
                if slot.conflicting >> by & 1 == 0 {
                    slot.conflicting |= 1 << by;
                    let held_name = Name {
                        digest: held,
                        ..*name
                    };
                    let first = SignedClaim::of_name(PRE_PREPARE, &held_name, held_signature);
                    self.convict(
                        by,
                        PRE_PREPARE,
                        first,
                        SignedClaim::of_name(PRE_PREPARE, name, *signature),
                    );
                }
                Err(Reason::ConflictingVote)
            }
        }
    }

    /// The signature that we gave to this proposal or vote of ours before, if it is still held.
    ///
    /// # Errors
    /// We signed another digest there.
    pub fn own(&self, message_type: u8, name: &Name) -> Result<Option<Signature>, Contradiction> {
        let Some(slot) = self.slots.get(&(name.sequence, name.view)) else {
            return Ok(None);
        };
        let held = match message_type {
            PRE_PREPARE => slot.proposal,
            _ => slot.prepares[usize::from(self.quorums.me)]
                .as_ref()
                .map(|vote| (vote.digest, vote.signature)),
        };
        match held {
            Some((digest, _)) if digest != name.digest => Err(Contradiction),
            other => Ok(other.map(|(_, signature)| signature)),
        }
    }

    /// Files our own PREPARE, for certificates; it is not handed up. Out of the window it is not
    /// filed.
    pub fn file_own_prepare(&mut self, name: &Name, signature: &Signature) {
        if self.check_place(name.view, name.sequence).is_ok() {
            let slot = self
                .slots
                .entry((name.sequence, name.view))
                .or_insert_with(|| Slot::new(self.quorums.n));
            let vote = Prepare {
                digest: name.digest,
                signature: *signature,
                verified: true,
            };
            slot.prepares[usize::from(self.quorums.me)].get_or_insert(vote);
        }
    }

    /// Files a verified CHECKPOINT, ours or another replica's.
    ///
    /// # Errors
    /// [`Reason::ConflictingVote`] where it signed another digest for the sequence before,
    /// [`Reason::Duplicate`] where it is held, [`Reason::AboveWindow`] where its signer has too
    /// many higher ones.
    pub fn file_checkpoint(
        &mut self,
        from: u8,
        sequence: u64,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), Reason> {
        if self.judge_checkpoint(from, sequence, digest, signature) {
            return Err(Reason::ConflictingVote);
        }
        match self.checkpoints.file(from, sequence, digest, signature) {
            Err(checkpoints::Refused::Held) => Err(Reason::Duplicate),
            Err(checkpoints::Refused::Full) => Err(Reason::AboveWindow),
            Err(checkpoints::Refused::Below) => Err(Reason::BelowWindow),
            Ok(()) => Ok(()),
        }
    }

    /// Whether `from` signed another digest for the sequence before; evidence is kept of it.
    pub(super) fn judge_checkpoint(
        &mut self,
        from: u8,
        sequence: u64,
        digest: &Digest,
        signature: &Signature,
    ) -> bool {
        let Some(contradicted) = self.checkpoints.contradicted(from, sequence, digest) else {
            return false;
        };
        if let Some((first_digest, first_signature)) = contradicted.unreported {
            let first = SignedClaim::of_checkpoint(sequence, &first_digest, first_signature);
            let second = SignedClaim::of_checkpoint(sequence, digest, *signature);
            self.convict(from, CHECKPOINT, first, second);
        }
        true
    }
}
