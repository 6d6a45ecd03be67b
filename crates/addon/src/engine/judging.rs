//! What becomes of VIEW_CHANGEs and NEW_VIEWs once it is known whether their signers signed them.

use std::collections::HashMap;

use super::Engine;
use super::frames::{ZERO, unsigned};
use super::pending::{Composite, Pending};
use super::settle::Verdict;
use crate::checks::Check;
use crate::messages::Kept;
use crate::rejections::Reason;
use crate::wire::types::{NEW_VIEW, VIEW_CHANGE};
use crate::wire::{Digest, FetchKind, NewView};

impl Engine {
    /// Verifies each distinct vote inside of the messages whose own signature is good.
    pub(super) fn verify_inside(&mut self, pending: &mut [Pending], verdicts: &mut [Verdict]) {
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

    pub(super) fn accept_composite(&mut self, composite: Composite, verdict: Verdict) {
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
            Verdict::Apart(reason) => self.refuse_composite(&composite, reason),
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

    pub(super) fn refuse_bad_composite(&mut self, composite: &Composite) {
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
    pub(super) fn hand_up(&mut self, message_type: u8, digest: Digest, kept: Kept) {
        self.fetches.close(fetch_kind(message_type), &digest);
        let is_view_change = message_type == VIEW_CHANGE;
        // The core has it, or is about to hear of it: it may let go of what comes twice while the
        // first is still needed.
        let held = self.messages.view_change(&digest);
        if is_view_change && held.is_some_and(|held| held.signer == kept.signer) {
            return;
        }
        let name = if is_view_change { digest } else { ZERO };
        self.push_control(
            kept.signer,
            message_type,
            &name,
            unsigned(message_type, &kept.payload),
        );
        if is_view_change {
            self.keep_view_change(digest, kept);
        } else {
            if let Ok(message) = NewView::decode(&kept.payload) {
                self.file_new_view(&message);
            }
            self.messages.keep_new_view(kept);
        }
    }
}

fn fetch_kind(message_type: u8) -> FetchKind {
    if message_type == VIEW_CHANGE {
        FetchKind::ViewChange
    } else {
        FetchKind::NewView
    }
}
