//! The vote table: where votes wait until they count.
//!
//! One slot per (phase, view, sequence, signer), filled only from that signer's own connection and
//! bounded by the window and by the views installed, pending and one above each. It verifies
//! PREPAREs lazily: when enough replicas claim one digest, their signatures are verified in one
//! batch, and claims beyond what a quorum needs never are. COMMIT rests on its channel. What it
//! hands up are sets of verified signers; it filters, the core counts again.
//!
//! Of the views that it leaves the certificates stay that a VIEW-CHANGE may carry; into the view that
//! it enters the proposals of its NEW-VIEW are filed.
//!
//! The first vote of a slot wins. A second one with another digest is evidence against its signer:
//! both are verified, kept within a bound, and named by a digest.

mod checkpoints;
mod evidence;
mod filing;
mod quorums;
mod settling;
mod slot;
#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeMap;

use crate::rejections::Reason;
use crate::wire::types::PREPARE;
use crate::wire::{Digest, Name, Signature};

pub use checkpoints::Checkpoints;
pub use evidence::{Evidence, SignedClaim};
pub use quorums::{Phase, Quorums};
use slot::{Prepare, Slot};
use views::{Certificates, Proposals};

/// Two signed messages of one replica that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who signed both.
    pub by: u8,
    /// Their type.
    pub message_type: u8,
    /// Names the evidence.
    pub digest: Digest,
}

/// Our own vote contradicts an earlier one of ours: a bug that must stop the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

/// A signature that [`VoteTable::collect`] asks to verify.
#[derive(Debug)]
pub struct Claim {
    place: Place,
    from: u8,
    part: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Slot,
    /// Index into the conflicts of the turn, and whether it is the second message.
    Conflict(usize, bool),
}

/// Sequence first: the low watermark cuts off a range.
type Place = (u64, u64);

#[derive(Debug)]
struct PendingConflict {
    place: Place,
    from: u8,
    first: SignedClaim,
    first_verified: bool,
    second: SignedClaim,
    verdicts: [Option<bool>; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    low: u64,
    high: u64,
    view: u64,
    pending: Option<u64>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct VoteTable {
    quorums: Quorums,
    window: Window,
    slots: BTreeMap<Place, Slot>,
    dirty: Vec<Place>,
    /// Certificates of views that the table has left.
    kept: Certificates,
    /// Proposals of NEW-VIEWs by their view.
    new_views: BTreeMap<u64, Proposals>,
    /// Replicas whose votes are verified on arrival, since one of theirs had a bad signature.
    eager: u32,
    pending_conflicts: Vec<PendingConflict>,
    conflicts: Vec<Conflict>,
    evidence: Evidence,
    checkpoints: Checkpoints,
}

impl VoteTable {
    /// An empty table; it accepts nothing before the first [`VoteTable::set_window`].
    pub fn new(quorums: Quorums) -> Self {
        Self {
            quorums,
            window: Window::default(),
            slots: BTreeMap::new(),
            dirty: Vec::new(),
            kept: Certificates::default(),
            new_views: BTreeMap::new(),
            eager: 0,
            pending_conflicts: Vec::new(),
            conflicts: Vec::new(),
            evidence: Evidence::default(),
            checkpoints: Checkpoints::new(quorums.n),
        }
    }

    /// Quorum sizes.
    pub fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// The view that the last [`VoteTable::set_window`] named.
    pub fn installed_view(&self) -> u64 {
        self.window.view
    }

    /// Whether the table holds votes for this view and sequence.
    ///
    /// # Errors
    /// Why not.
    pub fn check_place(&self, view: u64, sequence: u64) -> Result<(), Reason> {
        if sequence <= self.window.low {
            Err(Reason::BelowWindow)
        } else if sequence > self.window.high {
            Err(Reason::AboveWindow)
        } else if !self.window.holds_view(view) {
            Err(Reason::WrongView)
        } else {
            Ok(())
        }
    }

    /// Takes a PREPARE from the connection of `from`, another replica.
    ///
    /// # Errors
    /// Why it changed nothing.
    pub fn offer_prepare(
        &mut self,
        from: u8,
        name: &Name,
        signature: &Signature,
    ) -> Result<(), Reason> {
        self.check_place(name.view, name.sequence)?;
        if from == self.quorums.primary(name.view) {
            return Err(Reason::PrimaryVoted);
        }
        let place = (name.sequence, name.view);
        let slot = self
            .slots
            .entry(place)
            .or_insert_with(|| Slot::new(self.quorums.n));
        match &slot.prepares[usize::from(from)] {
            None => {
                let vote = Prepare {
                    digest: name.digest,
                    signature: *signature,
                    verified: false,
                };
                slot.prepares[usize::from(from)] = Some(vote);
                mark(&mut self.dirty, slot, place);
                Ok(())
            }
            Some(held) if held.digest == name.digest => Err(Reason::Duplicate),
            Some(held) => {
                if slot.conflicting >> from & 1 == 0 && self.evidence.has_room() {
                    slot.conflicting |= 1 << from;
                    let held_name = Name {
                        digest: held.digest,
                        ..*name
                    };
                    self.pending_conflicts.push(PendingConflict {
                        place,
                        from,
                        first: SignedClaim::of_name(PREPARE, &held_name, held.signature),
                        first_verified: held.verified,
                        second: SignedClaim::of_name(PREPARE, name, *signature),
                        verdicts: [held.verified.then_some(true), None],
                    });
                }
                Err(Reason::ConflictingVote)
            }
        }
    }

    /// Takes a COMMIT from the connection of `from`, another replica.
    ///
    /// # Errors
    /// Why it changed nothing.
    pub fn offer_commit(&mut self, from: u8, name: &Name) -> Result<(), Reason> {
        self.check_place(name.view, name.sequence)?;
        let place = (name.sequence, name.view);
        let slot = self
            .slots
            .entry(place)
            .or_insert_with(|| Slot::new(self.quorums.n));
        match slot.commits[usize::from(from)] {
            None => {
                slot.commits[usize::from(from)] = Some(name.digest);
                mark(&mut self.dirty, slot, place);
                Ok(())
            }
            Some(held) if held == name.digest => Err(Reason::Duplicate),
            Some(_) => Err(Reason::ConflictingVote),
        }
    }

    /// Signatures under checkpoints, for stable certificates.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// A checkpoint is stable: the signatures of `signers` are kept aside, votes below it freed.
    pub fn stable(&mut self, sequence: u64, digest: Digest, signers: u32) {
        self.checkpoints.settle(sequence, digest, signers);
    }

    /// Keeps the stable certificate of a verified VIEW-CHANGE, until that is let go of, beside the
    /// votes that the core counts: among those it would push others out. One that contradicts
    /// another is evidence.
    pub fn carry(&mut self, view_change: Digest, name: (u64, Digest), votes: Vec<(u8, Signature)>) {
        let (sequence, digest) = name;
        for (from, signature) in &votes {
            self.judge_checkpoint(*from, sequence, &digest, signature);
        }
        self.checkpoints.carry(view_change, name, votes);
    }

    /// A VIEW-CHANGE was let go of.
    pub fn drop_carried(&mut self, view_change: &Digest) {
        self.checkpoints.drop_carried(view_change);
    }

    /// Everything that was handed up was read, and what it led to is done.
    pub fn turn_is_over(&mut self) {
        self.checkpoints.turn_is_over();
    }

    /// Whether [`VoteTable::hand_up`] or [`VoteTable::take_conflicts`] may have something.
    pub fn has_news(&self) -> bool {
        !self.dirty.is_empty() || !self.conflicts.is_empty()
    }

    /// Whether two whole messages of this type that `by` signed are kept as evidence.
    pub fn is_convicted(&self, by: u8, message_type: u8) -> bool {
        self.evidence.knows_messages(by, message_type)
    }

    /// `by` signed both payloads, VIEW-CHANGEs for one view or NEW-VIEWs of one view.
    pub fn convict_messages(&mut self, by: u8, message_type: u8, first: &[u8], second: &[u8]) {
        let kept = self.evidence.keep_messages(by, message_type, first, second);
        self.conflicts.extend(kept.map(|digest| Conflict {
            by,
            message_type,
            digest,
        }));
    }

    /// Conflicts found since the last call.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }

    /// The two messages that a conflict names.
    pub fn evidence(&self, digest: &Digest) -> Option<&[u8]> {
        self.evidence.get(digest)
    }

    /// Verified signatures under (view, sequence, digest), by replica ascending, the primary's
    /// PRE-PREPARE among them; empty where none is held.
    pub fn certificate(&self, name: &Name) -> Vec<(u8, Signature)> {
        match self.slots.get(&(name.sequence, name.view)) {
            Some(slot) => slot.votes_for(&name.digest, self.quorums.primary(name.view)),
            None => self.kept.get(name).map(<[_]>::to_vec).unwrap_or_default(),
        }
    }

    /// Whether this very vote was verified here before.
    pub fn is_verified(&self, from: u8, name: &Name, signature: &Signature) -> bool {
        let equals = |held: &Signature| held == signature;
        match self.slots.get(&(name.sequence, name.view)) {
            Some(slot) => slot
                .vote_of(from, &name.digest, self.quorums.primary(name.view))
                .is_some_and(equals),
            None => self.kept.get(name).is_some_and(|votes| {
                let mut votes = votes.iter();
                votes.any(|(signer, held)| *signer == from && equals(held))
            }),
        }
    }

    /// Number of slots that hold something.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}

impl Window {
    fn holds_view(&self, view: u64) -> bool {
        let near = |base: u64| view == base || view == base + 1;
        near(self.view) || self.pending.is_some_and(near)
    }
}

fn mark(dirty: &mut Vec<Place>, slot: &mut Slot, place: Place) {
    if !slot.dirty {
        slot.dirty = true;
        dirty.push(place);
    }
}
