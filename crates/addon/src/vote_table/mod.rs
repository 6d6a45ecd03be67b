//! The vote table: where votes wait until they count.
//!
//! One slot per (phase, view, sequence, signer), filled only from that signer's own connection and
//! bounded by the window and by the views installed, pending and one above each. It verifies
//! PREPAREs lazily: when enough replicas claim one digest, their signatures are verified in one
//! batch, and claims beyond what a quorum needs never are. COMMIT rests on its channel. What it
//! hands up are sets of verified signers; it filters, the core counts again.
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

use std::collections::BTreeMap;

use crate::rejections::Reason;
use crate::wire::types::PREPARE;
use crate::wire::{Digest, Name, Signature};

pub use checkpoints::Checkpoints;
pub use evidence::{Evidence, SignedClaim};
pub use quorums::{Phase, Quorums};
use slot::{Prepare, Slot};

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

/// A prepared certificate of a view that the table no longer holds.
#[derive(Debug)]
struct Kept {
    name: Name,
    votes: Vec<(u8, Signature)>,
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
    /// Per sequence the complete certificate of the highest view that the table has left.
    kept: BTreeMap<u64, Kept>,
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
            kept: BTreeMap::new(),
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

    /// The table keeps low < sequence ≤ high, and the views installed, pending, and one above
    /// each. Certificates of views that it leaves are kept, the highest per sequence. What was
    /// collected for a view before it was installed is handed up again.
    pub fn set_window(&mut self, low: u64, high: u64, view: u64, pending: Option<u64>) {
        let before = std::mem::replace(
            &mut self.window,
            Window {
                low,
                high,
                view,
                pending,
            },
        );
        if low > before.low {
            self.slots = self.slots.split_off(&(low.saturating_add(1), 0));
            self.kept = self.kept.split_off(&low.saturating_add(1));
        }
        if (before.view, before.pending) != (view, pending) {
            self.leave_views();
            self.hand_up_again(view);
        }
    }

    fn leave_views(&mut self) {
        let window = self.window;
        let left: Vec<_> = self
            .slots
            .keys()
            .filter(|(_, view)| !window.holds_view(*view))
            .copied()
            .collect();
        for place in left {
            let Some(slot) = self.slots.remove(&place) else {
                continue;
            };
            let (sequence, view) = place;
            let Some((digest, votes)) = slot.certificate_of(self.quorums, view) else {
                continue;
            };
            let higher = self
                .kept
                .get(&sequence)
                .is_some_and(|kept| kept.name.view > view);
            if !higher {
                self.kept.insert(
                    sequence,
                    Kept {
                        name: Name {
                            view,
                            sequence,
                            digest,
                        },
                        votes,
                    },
                );
            }
        }
    }

    fn hand_up_again(&mut self, view: u64) {
        for (place, slot) in self
            .slots
            .iter_mut()
            .filter(|((_, slot_view), _)| *slot_view == view)
        {
            slot.handed.clear();
            mark(&mut self.dirty, slot, *place);
        }
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

    /// Frees checkpoint votes below a stable one.
    pub fn stable(&mut self, sequence: u64) {
        self.checkpoints.free_below(sequence);
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
            None => match self.kept.get(&name.sequence) {
                Some(kept) if kept.name == *name => kept.votes.clone(),
                _ => Vec::new(),
            },
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
