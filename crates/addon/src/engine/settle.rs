//! The end of what arrived in a turn: one batch of signatures, then their effects in order.

use byzantine_transport::Source;

use super::frames::unsigned;
use super::pending::{Composite, Pending};
use super::{BodyStatus, Engine, VERIFIED_MESSAGES_MAX, peer_of};
use crate::checks::{Check, Signer};
use crate::links::Links;
use crate::records::InputKind;
use crate::rejections::Reason;
use crate::wire::types::{CHECKPOINT, PRE_PREPARE, VIEW_CHANGE};
use crate::wire::{Digest, FetchKind, types};

/// Bad signatures per turn for which it is found out whether another member made them, which
/// costs up to n − 1 verifications each.
const NAMED_SIGNERS_MAX: usize = 4;

impl Engine {
    /// Verifies what waits, applies it, and writes the records of the turn.
    pub fn settle(&mut self, links: &impl Links) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut checks = Vec::new();
        let spans: Vec<usize> = pending
            .iter_mut()
            .map(|frame| frame.collect(&mut checks))
            .collect();
        let votes_from = checks.len();
        let mut claims = Vec::new();
        self.votes.collect(&mut checks, &mut claims);
        let verdicts = self.verify(&checks);
        self.count_bad_votes(&checks[votes_from..], &verdicts[votes_from..]);
        self.votes.resolve(&claims, &verdicts[votes_from..]);

        let mut start = 0;
        for (frame, span) in pending.drain(..).zip(spans) {
            let bad = verdicts[start..start + span]
                .iter()
                .position(|valid| !valid);
            match bad {
                None => self.accept(frame, links),
                Some(first) => self.refuse(frame, &checks[start + first]),
            }
            start += span;
        }
        self.pending = pending;
        self.verifying.clear();
        self.report_votes();
        self.rejections.report(&mut self.records);
    }

    fn verify(&mut self, checks: &[Check]) -> Vec<bool> {
        if checks.is_empty() {
            return Vec::new();
        }
        self.work.verify_batches += 1;
        self.work.verified += checks.len() as u64;
        self.work.verify_batch_max = self.work.verify_batch_max.max(checks.len() as u64);
        self.verifier.verdicts(checks)
    }

    fn count_bad_votes(&mut self, checks: &[Check], verdicts: &[bool]) {
        let bad = checks.iter().zip(verdicts).filter(|(_, valid)| !**valid);
        for (number, (check, _)) in bad.enumerate() {
            if let Signer::Member(from) = check.signer {
                let named = number < NAMED_SIGNERS_MAX && self.verifier.is_of_another_member(check);
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
    }

    fn accept(&mut self, frame: Pending, links: &impl Links) {
        match frame {
            Pending::Bundle {
                source,
                digest,
                head,
                payload,
                fetched,
                ..
            } => {
                let stored = self
                    .bodies
                    .put(digest, peer_of(source), head, &payload, fetched);
                match stored {
                    Ok(()) => {
                        self.fetches.close(FetchKind::Bundle, &digest);
                    }
                    Err(reason) => {
                        self.reject(reason, source);
                        if reason == Reason::Busy {
                            self.send_busy(source, head.session, head.first_sequence, links);
                        }
                    }
                }
            }
            Pending::PrePrepare {
                from,
                name,
                signature,
                payload,
            } => match self.votes.file_proposal(&name, &signature) {
                Err(reason) => self.rejections.count(reason, from),
                Ok(()) => {
                    if let Ok(message) = crate::wire::PrePrepare::decode(&payload) {
                        self.manifests
                            .keep(name.digest, name.sequence, &message.batch);
                    }
                    self.push_control(
                        from,
                        PRE_PREPARE,
                        &name.digest,
                        unsigned(PRE_PREPARE, &payload),
                    );
                }
            },
            Pending::Checkpoint {
                from,
                sequence,
                digest,
                signature,
                payload,
            } => {
                match self
                    .votes
                    .file_checkpoint(from, sequence, &digest, &signature)
                {
                    Err(reason @ Reason::ConflictingVote) => self.rejections.count(reason, from),
                    // A repeated one answers somebody's STATUS; the core tells it from news.
                    _ => self.push_control(
                        from,
                        CHECKPOINT,
                        &[0; 32],
                        unsigned(CHECKPOINT, &payload),
                    ),
                }
            }
            Pending::Composite(composite) => self.accept_composite(composite),
            Pending::Plain {
                from,
                message_type,
                digest,
                payload,
            } => {
                self.push_control(
                    from,
                    message_type,
                    &digest,
                    unsigned(message_type, &payload),
                );
            }
        }
    }

    fn accept_composite(&mut self, composite: Composite) {
        let Composite {
            from,
            signer,
            message_type,
            digest,
            payload,
            proposals,
            ..
        } = composite;
        let is_view_change = matches!(message_type, VIEW_CHANGE | types::FETCHED_VIEW_CHANGE);
        if is_view_change {
            if self.verified_messages.len() >= VERIFIED_MESSAGES_MAX {
                self.verified_messages.pop_front();
            }
            self.verified_messages.push_back((signer, digest));
            self.fetches.close(FetchKind::ViewChange, &digest);
        } else {
            self.fetches.close(FetchKind::NewView, &digest);
        }
        for (name, signature) in &proposals {
            if let Err(reason) = self.votes.file_proposal(name, signature) {
                self.rejections.count(reason, from);
                return;
            }
        }
        let digest = if is_view_change { digest } else { [0; 32] };
        self.push_control(
            from,
            message_type,
            &digest,
            unsigned(message_type, &payload),
        );
    }

    fn refuse(&mut self, frame: Pending, check: &Check) {
        match frame {
            Pending::Bundle {
                source,
                digest,
                fetched,
                ..
            } => {
                self.reject(Reason::BadSignature, source);
                if fetched {
                    // The digest covers the signature: what was asked for is what is bad.
                    self.fetches.close(FetchKind::Bundle, &digest);
                    self.report_body(FetchKind::Bundle, &digest, BodyStatus::Invalid);
                }
            }
            Pending::PrePrepare { from, .. } | Pending::Checkpoint { from, .. } => {
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
            Pending::Composite(Composite { from, .. }) | Pending::Plain { from, .. } => {
                self.reject(Reason::BadSignature, Source::Peer(from));
            }
        }
    }

    fn push_control(&mut self, from: u8, message_type: u8, digest: &Digest, body: &[u8]) {
        self.records.push(InputKind::Control, |record| {
            record.u8(from).u8(message_type).raw(digest).raw(body);
        });
    }

    fn report_votes(&mut self) {
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
    }
}
