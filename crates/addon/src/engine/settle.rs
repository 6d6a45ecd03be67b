//! The end of what arrived in a turn: one batch of signatures, a second one for the votes inside of
//! VIEW-CHANGEs and NEW-VIEWs that their signers really signed, then the effects of all in order.

use std::collections::HashMap;

use super::frames::{ZERO, unsigned};
use super::pending::{Composite, Pending};
use super::{BodyStatus, Engine, peer_of};
use crate::checks::{Check, Signer};
use crate::links::Links;
use crate::messages::Kept;
use crate::records::InputKind;
use crate::rejections::Reason;
use crate::wire::types::{CHECKPOINT, NEW_VIEW, PRE_PREPARE, VIEW_CHANGE};
use crate::wire::{Digest, FetchKind, NewView, ViewChange};

/// Bad signatures per turn for which it is found out whether another member made them, which
/// costs up to n − 1 verifications each.
const NAMED_SIGNERS_MAX: usize = 4;

/// What the signatures of a frame came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// The signer's own signature is good and one inside is not.
    BadInside,
    /// The signer's own signature is good, and it has had too much verified.
    Unpaid,
    /// Place of the check that failed.
    Bad(usize),
}

impl Engine {
    /// Verifies what waits, applies it, and writes the records of the turn.
    pub fn settle(&mut self, links: &impl Links) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut checks = Vec::new();
        let spans: Vec<usize> = pending
            .iter()
            .map(|frame| frame.collect(&mut checks))
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
        self.verify_inside(&mut pending, &mut own);
        for (frame, verdict) in pending.drain(..).zip(own) {
            match verdict {
                Verdict::Bad(place) => self.refuse(frame, &checks[place]),
                _ => self.accept(frame, verdict, links),
            }
        }
        self.pending = pending;
        self.verifying.clear();
        self.report_votes();
        self.rejections.report(&mut self.records);
    }

    /// Verifies each distinct vote inside of the messages whose own signature is good.
    fn verify_inside(&mut self, pending: &mut [Pending], verdicts: &mut [Verdict]) {
        let mut checks: Vec<Check> = Vec::new();
        let mut keys: Vec<Digest> = Vec::new();
        let mut places = HashMap::new();
        let mut inside: Vec<(usize, usize)> = Vec::new();
        for (index, frame) in pending.iter_mut().enumerate() {
            let Pending::Composite(composite) = frame else {
                continue;
            };
            let unpaid = composite.message_type == NEW_VIEW && composite.fetched;
            if verdicts[index] == Verdict::Good
                && unpaid
                && !self.new_view_budget.pay(composite.signer, self.now)
            {
                verdicts[index] = Verdict::Unpaid;
            }
            for vote in std::mem::take(&mut composite.votes) {
                let Some(key) = vote.vote_key().filter(|_| verdicts[index] == Verdict::Good) else {
                    continue;
                };
                let place = *places.entry(key).or_insert(checks.len());
                if place == checks.len() {
                    checks.push(vote);
                    keys.push(key);
                } else {
                    self.work.known += 1;
                }
                inside.push((index, place));
            }
        }
        let valid = self.verify(&checks);
        for (index, place) in inside {
            if !valid[place] {
                verdicts[index] = Verdict::BadInside;
            }
        }
        for (key, _) in keys.into_iter().zip(valid).filter(|(_, valid)| *valid) {
            self.verified.remember(key);
        }
    }

    /// The verdict on each check; votes that were verified inside of earlier messages pass.
    fn verify(&mut self, checks: &[Check]) -> Vec<bool> {
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

    fn accept_composite(&mut self, composite: Composite, verdict: Verdict) {
        let is_view_change = composite.message_type == VIEW_CHANGE;
        if self.convict_twice(&composite) && !(composite.fetched && is_view_change) {
            // A NEW-VIEW may name the second VIEW-CHANGE, but then it is fetched.
            return self.refuse_composite(&composite, Reason::ConflictingVote);
        }
        match verdict {
            Verdict::Good => {
                let Composite {
                    signer,
                    message_type,
                    digest,
                    view,
                    payload,
                    ..
                } = composite;
                let kept = Kept {
                    signer,
                    view,
                    payload,
                };
                self.hand_up(message_type, digest, kept);
            }
            Verdict::Unpaid => self.refuse_composite(&composite, Reason::OverQuota),
            Verdict::BadInside | Verdict::Bad(_) => {
                if is_view_change {
                    self.messages
                        .remember_bad(composite.signer, composite.digest);
                }
                self.refuse_bad_composite(&composite);
            }
        }
    }

    /// Whether its signer signed another one for the same view, which is evidence.
    fn convict_twice(&mut self, composite: &Composite) -> bool {
        let Composite {
            signer,
            message_type,
            digest,
            view,
            payload,
            ..
        } = composite;
        let held = if *message_type == VIEW_CHANGE {
            self.messages.rival_of(*signer, *view, digest)
        } else {
            self.messages.new_view(*view)
        };
        let Some(held) = held.filter(|held| held.payload != *payload) else {
            return false;
        };
        self.votes
            .convict_messages(*signer, *message_type, &held.payload, payload);
        true
    }

    fn refuse_bad_composite(&mut self, composite: &Composite) {
        self.view_change_budget.penalize(composite.from, self.now);
        self.refuse_composite(composite, Reason::BadSignature);
    }

    fn refuse_composite(&mut self, composite: &Composite, reason: Reason) {
        self.rejections.count(reason, composite.from);
        if composite.fetched {
            let kind = fetch_kind(composite.message_type);
            self.answer_failed(kind, &composite.digest, composite.from);
        }
    }

    /// Keeps a verified VIEW-CHANGE or NEW-VIEW with what it proves, and hands it up as its signer's.
    fn hand_up(&mut self, message_type: u8, digest: Digest, kept: Kept) {
        self.fetches.close(fetch_kind(message_type), &digest);
        let is_view_change = message_type == VIEW_CHANGE;
        let name = if is_view_change { digest } else { ZERO };
        self.push_control(
            kept.signer,
            message_type,
            &name,
            unsigned(message_type, &kept.payload),
        );
        if is_view_change {
            if let Ok(ViewChange {
                stable: Some(stable),
                ..
            }) = ViewChange::decode(&kept.payload)
            {
                let votes = stable.votes().map(|(from, signature)| (from, *signature));
                let name = (stable.name.sequence, stable.name.digest);
                self.votes.carry(digest, name, votes.collect());
            }
            self.messages.keep_view_change(digest, kept);
        } else {
            if let Ok(message) = NewView::decode(&kept.payload) {
                self.file_new_view(&message);
            }
            self.messages.keep_new_view(kept);
        }
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

fn fetch_kind(message_type: u8) -> FetchKind {
    if message_type == VIEW_CHANGE {
        FetchKind::ViewChange
    } else {
        FetchKind::NewView
    }
}
