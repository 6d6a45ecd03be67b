//! View changes as TypeScript wants them: what of ours is made once and kept, what is let go of, and
//! the signatures that go into it.

use bytes::Bytes;
use byzantine_transport::Source;

use super::Engine;
use super::actions::replicas;
use super::fault::Fault;
use crate::durable::types::VIEW_ENTERED;
use crate::links::Links;
use crate::messages::{Kept, named_view, view_change_digest};
use crate::records::InputKind;
use crate::wire::types::*;
use crate::wire::{Digest, FetchKind, Name, NewView, Signature, ViewChange};

impl Engine {
    /// Signs and keeps our VIEW-CHANGE. There is one per view: a second one that says something else
    /// is a bug.
    pub(super) fn seal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let me = self.quorums.me;
        let payload = self.signed(VIEW_CHANGE, payload);
        let message =
            ViewChange::decode(&payload).map_err(|error| Fault::Payload(VIEW_CHANGE, error))?;
        let (view, digest) = (message.target, view_change_digest(&payload));
        if self.messages.rival_of(me, view, &digest).is_some() {
            return Err(Fault::Contradiction {
                message_type: VIEW_CHANGE,
                sequence: view,
            });
        }
        let kept = Kept {
            signer: me,
            view,
            payload,
        };
        self.messages.keep_view_change(digest, kept);
        self.records.push(InputKind::Sealed, |record| {
            record.u53(view).raw(&digest);
        });
        Ok(())
    }

    /// Signs and keeps our NEW-VIEW. Its proposals are signed already, by those who encoded it.
    pub(super) fn keep_own_new_view(&mut self, view: u64, payload: &[u8]) -> Result<(), Fault> {
        let payload = self.signed(NEW_VIEW, payload);
        let message = NewView::decode(&payload).map_err(|error| Fault::Payload(NEW_VIEW, error))?;
        if message.view != view || self.quorums.primary(view) != self.quorums.me {
            return Err(Fault::Unresolved(VIEW_ENTERED));
        }
        let held = self.messages.new_view(view);
        if held.is_some_and(|kept| kept.payload != payload) {
            return Err(Fault::Contradiction {
                message_type: NEW_VIEW,
                sequence: view,
            });
        }
        self.file_new_view(&message);
        self.messages.keep_new_view(Kept {
            signer: self.quorums.me,
            view,
            payload,
        });
        Ok(())
    }

    pub(super) fn file_new_view(&mut self, message: &NewView<'_>) {
        let batches = message.batches.iter();
        let batches = batches
            .map(|(digest, signature)| (**digest, **signature))
            .collect();
        self.votes
            .keep_new_view(message.view, message.first, batches);
    }

    /// Sends what is kept of ours. What was let go of meanwhile is of no use to anybody.
    pub(super) fn send_kept(&mut self, to: u32, digest: &Digest, links: &impl Links) {
        let view_change = self
            .messages
            .view_change(digest)
            .map(|kept| (VIEW_CHANGE, kept));
        let kept = view_change.or_else(|| self.kept_new_view(digest).map(|kept| (NEW_VIEW, kept)));
        let me = self.quorums.me;
        let Some((message_type, kept)) = kept.filter(|(_, kept)| kept.signer == me) else {
            return;
        };
        let payload = kept.payload.clone();
        for replica in replicas(to & !(1 << me)) {
            self.send_to(Source::Peer(replica), message_type, &[&payload], links);
        }
    }

    pub(super) fn kept_new_view(&self, name: &Digest) -> Option<&Kept> {
        named_view(name).and_then(|view| self.messages.new_view(view))
    }

    pub(super) fn forget(&mut self, kind: FetchKind, digests: &[Digest]) {
        for digest in digests {
            if kind == FetchKind::ViewChange {
                self.messages.forget_view_change(digest);
                self.votes.drop_carried(digest);
            } else if let Some(view) = named_view(digest) {
                self.messages.forget_new_view(view);
                self.votes.forget_new_view(view);
            }
        }
    }

    /// The core named a prepared certificate: its signatures are kept whatever becomes of its view.
    pub(super) fn name_certificate(&mut self, name: &Name, signers: u32) -> Result<(), Fault> {
        self.add_own_vote(name, signers)?;
        self.votes.name_certificate(name);
        Ok(())
    }

    /// Signatures of `signers` under a prepared certificate, by replica ascending, as far as they
    /// are held. A vote of ours counts when the core casts it, which may be before it leaves: it is
    /// signed here if it was not yet.
    ///
    /// # Errors
    /// We signed another digest there.
    pub fn prepared_certificate(
        &mut self,
        name: &Name,
        signers: u32,
    ) -> Result<Vec<Signature>, Fault> {
        self.add_own_vote(name, signers)?;
        Ok(picked(self.votes.certificate(name), signers))
    }

    /// The same under a checkpoint.
    ///
    /// # Errors
    /// We signed another digest there.
    pub fn stable_certificate(
        &mut self,
        sequence: u64,
        digest: &Digest,
        signers: u32,
    ) -> Result<Vec<Signature>, Fault> {
        self.add_own_checkpoint(sequence, digest, signers)?;
        let held = self.votes.checkpoints().certificate(sequence, digest);
        Ok(picked(held, signers))
    }

    /// A checkpoint is stable.
    pub(super) fn stable(
        &mut self,
        sequence: u64,
        digest: Digest,
        signers: u32,
    ) -> Result<(), Fault> {
        self.manifests.stable(sequence);
        self.add_own_checkpoint(sequence, &digest, signers)?;
        self.votes.stable(sequence, digest, signers);
        Ok(())
    }

    fn add_own_vote(&mut self, name: &Name, signers: u32) -> Result<(), Fault> {
        let me = self.quorums.me;
        let missing =
            signers >> me & 1 == 1 && self.votes.check_place(name.view, name.sequence).is_ok();
        if missing {
            let is_primary = self.quorums.primary(name.view) == me;
            self.sign_name(if is_primary { PRE_PREPARE } else { PREPARE }, name)?;
        }
        Ok(())
    }

    fn add_own_checkpoint(
        &mut self,
        sequence: u64,
        digest: &Digest,
        signers: u32,
    ) -> Result<(), Fault> {
        let me = self.quorums.me;
        let held = self.votes.checkpoints().certificate(sequence, digest);
        if signers >> me & 1 == 1 && held.iter().all(|(from, _)| *from != me) {
            self.sign_checkpoint(sequence, digest)?;
        }
        Ok(())
    }

    fn signed(&mut self, message_type: u8, payload: &[u8]) -> Bytes {
        let signature = self.sign(message_type, payload);
        Bytes::from([payload, &signature].concat())
    }
}

fn picked(votes: Vec<(u8, Signature)>, signers: u32) -> Vec<Signature> {
    let picked = votes
        .into_iter()
        .filter(|(from, _)| signers >> from & 1 == 1);
    picked.map(|(_, signature)| signature).collect()
}
