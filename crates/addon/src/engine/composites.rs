//! Messages that carry signatures of several replicas: VIEW_CHANGE and NEW_VIEW, also fetched ones.
//!
//! What is cheap is looked at first, then whether the peer may ask for so much verification, then its
//! signer's own signature, and only then the votes inside. A message that is known is not verified
//! again, and neither is a vote: not one that the vote table holds, not one of an earlier message.

use bytes::Bytes;

use super::Engine;
use super::frames::Outcome;
use super::pending::{Composite, Pending};
use crate::checks::{Check, Signed, Signer};
use crate::messages::{Kept, new_view_name, view_change_digest};
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{Certificate, FetchKind, Name, NewView, Signature, U53_MAX, ViewChange, check};

/// Sequences between a stable checkpoint and the last that a certificate above it is for: the
/// widest window (WIRE.md §5). TypeScript knows the configured one.
const WINDOW_MAX: u64 = 4096;

impl Engine {
    /// A VIEW_CHANGE on its sender's own connection.
    pub(super) fn on_view_change(&mut self, from: u8, payload: Bytes) -> Outcome {
        self.admit_view_change(from, from, false, payload)
    }

    /// What `from` says is the VIEW_CHANGE that we asked for. The digest does not cover whose it is
    /// said to be, so one that is refused only shows that this replica has not got it.
    pub(super) fn on_fetched_view_change(&mut self, from: u8, payload: Bytes) -> Outcome {
        let (signer, body) = check::split_sender(&payload)?;
        let digest = view_change_digest(body);
        if !self.fetches.is_asked(FetchKind::ViewChange, &digest, from) {
            return Err(Reason::Unasked);
        }
        let outcome = self.admit_view_change(from, signer, true, payload.slice(1..));
        if outcome.is_err() {
            self.answer_failed(FetchKind::ViewChange, &digest, from);
        }
        outcome
    }

    fn admit_view_change(
        &mut self,
        from: u8,
        signer: u8,
        fetched: bool,
        payload: Bytes,
    ) -> Outcome {
        let message = ViewChange::decode(&payload)?;
        if signer >= self.quorums.n {
            return Err(Reason::NotMember);
        }
        let digest = view_change_digest(&payload);
        let view = message.target;
        if self.messages.is_verified(signer, &digest) {
            let kept = Kept {
                signer,
                view,
                payload,
            };
            self.pending.push(Pending::Known {
                message_type: VIEW_CHANGE,
                digest,
                kept,
            });
            return Ok(());
        }
        if self.messages.is_bad(signer, &digest) {
            return Err(Reason::BadSignature);
        }
        if !fetched && view <= self.votes.installed_view() {
            return Err(Reason::WrongView);
        }
        self.check_certificates(&message)?;
        let second = self.messages.rival_of(signer, view, &digest).is_some();
        if !fetched {
            self.pay(signer, VIEW_CHANGE, second, payload.len())?;
        }
        // Of a second one for the same view only the signature matters, unless it was asked for.
        let votes = if second && !fetched {
            Vec::new()
        } else {
            self.unverified_votes(&message)
        };
        self.pending.push(Pending::Composite(Composite {
            from,
            signer,
            message_type: VIEW_CHANGE,
            fetched,
            digest,
            view,
            votes,
            payload,
        }));
        Ok(())
    }

    /// Whether every certificate is one of Q members, the primary among them where it is a prepared
    /// one, for a view below the target, and within one window.
    fn check_certificates(&self, message: &ViewChange<'_>) -> Outcome {
        let stable = message.stable.map_or(0, |stable| stable.name.sequence);
        let is_quorum = |certificate: &Certificate<'_>| {
            certificate.signers >> self.quorums.n == 0
                && certificate.signers.count_ones() >= self.quorums.quorum()
        };
        let is_sound = |certificate: &Certificate<'_>| {
            let Name { view, sequence, .. } = certificate.name;
            let primary = self.quorums.primary(view);
            view < message.target
                && (stable + 1..=stable + WINDOW_MAX).contains(&sequence)
                && certificate.signers >> primary & 1 == 1
                && is_quorum(certificate)
        };
        let sound = message.stable.iter().all(is_quorum) && message.prepared.iter().all(is_sound);
        sound.then_some(()).ok_or(Reason::Malformed)
    }

    /// The votes in a VIEW_CHANGE that were not verified before.
    fn unverified_votes(&mut self, message: &ViewChange<'_>) -> Vec<Check> {
        let mut votes = Vec::new();
        if let Some(stable) = &message.stable {
            let Name {
                sequence, digest, ..
            } = stable.name;
            let known = self.votes.checkpoints().certificate(sequence, &digest);
            for (replica, signature) in stable.votes() {
                if known.contains(&(replica, *signature)) {
                    self.work.known += 1;
                    continue;
                }
                let signed = Signed::checkpoint(sequence, &digest);
                self.add_vote(&mut votes, replica, CHECKPOINT, signed, signature);
            }
        }
        for certificate in &message.prepared {
            let name = certificate.name;
            let primary = self.quorums.primary(name.view);
            for (replica, signature) in certificate.votes() {
                if self.votes.is_verified(replica, &name, signature) {
                    self.work.known += 1;
                    continue;
                }
                // The primary's signature is that of its PRE_PREPARE.
                let message_type = if replica == primary {
                    PRE_PREPARE
                } else {
                    PREPARE
                };
                self.add_vote(
                    &mut votes,
                    replica,
                    message_type,
                    Signed::name(&name),
                    signature,
                );
            }
        }
        votes
    }

    fn add_vote(
        &mut self,
        votes: &mut Vec<Check>,
        replica: u8,
        message_type: u8,
        signed: Signed,
        signature: &Signature,
    ) {
        let vote = Check {
            signer: Signer::Member(replica),
            message_type,
            signed,
            signature: *signature,
        };
        if self.verified.knows(&vote) {
            self.work.known += 1;
        } else {
            votes.push(vote);
        }
    }

    /// A NEW_VIEW on its primary's own connection, or one that we asked for.
    pub(super) fn on_new_view(&mut self, from: u8, fetched: bool, payload: Bytes) -> Outcome {
        let message = NewView::decode(&payload)?;
        let (view, primary) = (message.view, self.quorums.primary(message.view));
        let digest = new_view_name(view);
        if fetched && !self.fetches.is_asked(FetchKind::NewView, &digest, from) {
            return Err(Reason::Unasked);
        }
        if !fetched && from != primary {
            return Err(Reason::NotPrimary);
        }
        let outcome = self.admit_new_view(from, fetched, &message, payload.clone());
        if fetched && outcome.is_err() {
            self.answer_failed(FetchKind::NewView, &digest, from);
        }
        outcome
    }

    fn admit_new_view(
        &mut self,
        from: u8,
        fetched: bool,
        message: &NewView<'_>,
        payload: Bytes,
    ) -> Outcome {
        let (view, signer) = (message.view, self.quorums.primary(message.view));
        let digest = new_view_name(view);
        let held = self.messages.new_view(view);
        if let Some(kept) = held.filter(|kept| kept.payload == payload) {
            let kept = kept.clone();
            self.pending.push(Pending::Known {
                message_type: NEW_VIEW,
                digest,
                kept,
            });
            return Ok(());
        }
        let second = held.is_some();
        if !fetched && !second && view <= self.votes.installed_view() {
            return Err(Reason::WrongView);
        }
        let named = &message.view_changes;
        let sound = named.len() as u32 >= self.quorums.quorum()
            && named.iter().all(|(from, _)| *from < self.quorums.n)
            && message.first <= U53_MAX - message.batches.len() as u64;
        if !sound {
            return Err(Reason::Malformed);
        }
        // Anyone can answer a fetch in the primary's name, so that is paid for once it has signed it.
        if !fetched {
            self.pay(signer, NEW_VIEW, second, payload.len())?;
        }
        let mut votes = Vec::new();
        for (sequence, (digest, signature)) in (message.first..).zip(&message.batches) {
            let name = Name {
                view,
                sequence,
                digest: **digest,
            };
            if second || self.votes.is_verified(signer, &name, signature) {
                continue;
            }
            self.add_vote(
                &mut votes,
                signer,
                PRE_PREPARE,
                Signed::name(&name),
                signature,
            );
        }
        self.pending.push(Pending::Composite(Composite {
            from,
            signer,
            message_type: NEW_VIEW,
            fetched,
            digest,
            view,
            votes,
            payload,
        }));
        Ok(())
    }

    /// Whether a message that nobody asked for may cost what it costs. A second one for the same view
    /// is evidence, of which one pair is enough.
    fn pay(&mut self, signer: u8, message_type: u8, second: bool, bytes: usize) -> Outcome {
        if second && self.votes.is_convicted(signer, message_type) {
            return Err(Reason::ConflictingVote);
        }
        let budget = if message_type == VIEW_CHANGE {
            &mut self.view_change_budget
        } else {
            &mut self.new_view_budget
        };
        let paid = self.messages.has_room(signer, bytes) && budget.pay(signer, self.now);
        paid.then_some(()).ok_or(Reason::OverQuota)
    }
}
