//! The end of what arrived in a turn: one batch of signatures, those of clients that must not spoil it,
//! a second batch for the votes inside of VIEW-CHANGEs and NEW-VIEWs that their signers really signed,
//! then the effects of all in order.

use byzantine_transport::Source;

use super::frames::unsigned;
use super::pending::Pending;
use super::{BodyStatus, Engine, peer_of};
use crate::checks::{Check, Signer};
use crate::links::Links;
use crate::records::InputKind;
use crate::rejections::{NO_PEER, Reason};
use crate::wire::types::{CHECKPOINT, PRE_PREPARE};
use crate::wire::{Digest, FetchKind};

/// Bad signatures per turn for which it is found out whether another member made them, which
/// costs up to n − 1 verifications each.
const NAMED_SIGNERS_MAX: usize = 4;

/// What the signatures of a frame came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// The signer's own signature is good and one inside is not.
    BadInside,
    /// The signer's own signature is good, and it has had too much verified.
    Unpaid,
    /// Place of the check that failed.
    Bad(usize),
    /// Refused where a client's own bundles are verified apart: it was called to account.
    Apart(Reason),
}

impl Engine {
    /// Verifies what waits, applies it, and writes the records of the turn.
    pub fn settle(&mut self, links: &impl Links) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut checks = Vec::new();
        let apart = self.apart(&pending);
        let spans: Vec<usize> = pending
            .iter()
            .enumerate()
            .map(|(place, frame)| match apart.holds(place) {
                true => 0,
                false => frame.collect(&mut checks),
            })
            .collect();
        let votes_from = checks.len();
        let mut claims = Vec::new();
        self.votes.collect(&mut checks, &mut claims);
        let verdicts = self.verify(&checks);
        self.count_bad_votes(&checks[votes_from..], &verdicts[votes_from..]);
        self.votes.resolve(&claims, &verdicts[votes_from..]);

        let mut own = Vec::with_capacity(pending.len());
        let mut start = 0;
        for span in spans {
            let bad = (start..start + span).find(|place| !verdicts[*place]);
            own.push(bad.map_or(Verdict::Good, Verdict::Bad));
            start += span;
        }
        self.verify_apart(apart, &pending, &mut own, links);
        self.verify_inside(&mut pending, &mut own);
        for (frame, verdict) in pending.drain(..).zip(own) {
            match verdict {
                Verdict::Bad(place) => self.refuse(frame, &checks[place], links),
                Verdict::Apart(reason) => self.rejections.count(reason, NO_PEER),
                _ => self.accept(frame, verdict, links),
            }
        }
        self.pending = pending;
        self.verifying.clear();
        self.report_votes();
        self.rejections.report(&mut self.records);
    }

    /// The verdict on each check; votes that were verified inside of earlier messages pass.
    pub(super) fn verify(&mut self, checks: &[Check]) -> Vec<bool> {
        let fresh: Vec<usize> = (0..checks.len())
            .filter(|place| !self.verified.knows(&checks[*place]))
            .collect();
        if fresh.is_empty() {
            return vec![true; checks.len()];
        }
        self.work.verify_batches += 1;
        self.work.verified += fresh.len() as u64;
        self.work.verify_batch_max = self.work.verify_batch_max.max(fresh.len() as u64);
        let mut verdicts = vec![true; checks.len()];
        let made = self
            .verifier
            .verdicts(fresh.iter().map(|place| &checks[*place]));
        for (place, valid) in fresh.into_iter().zip(made) {
            verdicts[place] = valid;
        }
        verdicts
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

    /// A frame whose sender signed it; only of a composite may the rest be worth less.
    fn accept(&mut self, frame: Pending, verdict: Verdict, links: &impl Links) {
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
                        if let Some(rival) = self.claims.note(&head, &digest) {
                            self.convict(&head.client, [rival, digest], links);
                        }
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
            Pending::Composite(composite) => self.accept_composite(composite, verdict),
            Pending::Known {
                message_type,
                digest,
                kept,
            } => self.hand_up(message_type, digest, kept),
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

    fn refuse(&mut self, frame: Pending, check: &Check, links: &impl Links) {
        match frame {
            Pending::Bundle {
                source,
                digest,
                head,
                fetched,
                ..
            } => {
                self.reject(Reason::BadSignature, source);
                if let Source::Client(_) = source {
                    self.call_to_account(&head.client, links);
                }
                if fetched {
                    // The digest covers the signature: what was asked for is what is bad.
                    self.fetches.close(FetchKind::Bundle, &digest);
                    self.report_body(&digest, BodyStatus::Invalid);
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
            Pending::Composite(composite) => self.refuse_bad_composite(&composite),
            Pending::Known { .. } | Pending::Plain { .. } => {}
        }
    }

    pub(super) fn push_control(
        &mut self,
        from: u8,
        message_type: u8,
        digest: &Digest,
        body: &[u8],
    ) {
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
