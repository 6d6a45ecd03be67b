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
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::checks::{Check, Signed, Signer};
use crate::rejections::Reason;
use crate::wire::types::{CHECKPOINT, PRE_PREPARE, PREPARE};
use crate::wire::{Digest, Name, Signature};

pub use checkpoints::Checkpoints;
pub use evidence::{Evidence, SignedClaim};
use slot::{Prepare, Slot};

/// The two phases whose votes are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// PREPARE.
    Prepare = 0,
    /// COMMIT.
    Commit = 1,
}

/// How many replicas there are and how many of them may lie.
#[derive(Clone, Copy, Debug)]
pub struct Quorums {
    /// Replicas.
    pub n: u8,
    /// Faulty ones among them at most.
    pub f: u8,
    /// This replica.
    pub me: u8,
}

impl Quorums {
    /// Q = ⌈(n+f+1)/2⌉.
    pub fn quorum(&self) -> u32 {
        (u32::from(self.n) + u32::from(self.f) + 1).div_ceil(2)
    }

    /// Claims of others at which the core wants to hear of them: with the PRE-PREPARE they are
    /// f+1 replicas that vouch for a proposal.
    fn hand_up_from(&self) -> u32 {
        u32::from(self.f).max(1)
    }

    /// The primary of `view`.
    pub fn primary(&self, view: u64) -> u8 {
        (view % u64::from(self.n)) as u8
    }
}

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
        match self.checkpoints.file(from, sequence, digest, signature) {
            Err(checkpoints::Refused::Conflict(first_digest, first_signature)) => {
                let first = SignedClaim::of_checkpoint(sequence, &first_digest, first_signature);
                self.convict(
                    from,
                    CHECKPOINT,
                    first,
                    SignedClaim::of_checkpoint(sequence, digest, *signature),
                );
                Err(Reason::ConflictingVote)
            }
            Err(checkpoints::Refused::Reported) => Err(Reason::ConflictingVote),
            Err(checkpoints::Refused::Held) => Err(Reason::Duplicate),
            Err(checkpoints::Refused::Full) => Err(Reason::AboveWindow),
            Ok(()) => Ok(()),
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

    /// Appends the signatures that must be verified now; the verdicts go to
    /// [`VoteTable::resolve`] in the same order.
    pub fn collect(&mut self, checks: &mut Vec<Check>, claims: &mut Vec<Claim>) {
        for index in 0..self.dirty.len() {
            let place = self.dirty[index];
            let Some(slot) = self.slots.get(&place) else {
                continue;
            };
            let unverified = slot.to_verify(self.quorums, place.1, self.eager);
            for (from, vote) in slot
                .prepares
                .iter()
                .enumerate()
                .filter(|(from, _)| unverified >> from & 1 == 1)
            {
                let Some(vote) = vote else { continue };
                let name = Name {
                    view: place.1,
                    sequence: place.0,
                    digest: vote.digest,
                };
                checks.push(Check {
                    signer: Signer::Member(from as u8),
                    message_type: PREPARE,
                    signed: Signed::name(&name),
                    signature: vote.signature,
                });
                claims.push(Claim {
                    place,
                    from: from as u8,
                    part: Part::Slot,
                });
            }
        }
        for (index, conflict) in self.pending_conflicts.iter().enumerate() {
            for (second, claim) in [(false, &conflict.first), (true, &conflict.second)] {
                if second || !conflict.first_verified {
                    checks.push(claim.check(conflict.from));
                    let part = Part::Conflict(index, second);
                    claims.push(Claim {
                        place: conflict.place,
                        from: conflict.from,
                        part,
                    });
                }
            }
        }
    }

    /// Acts on the verdicts. The replicas of false ones are verified on arrival from now on; their
    /// slots are empty again.
    pub fn resolve(&mut self, claims: &[Claim], verdicts: &[bool]) {
        for (claim, &valid) in claims.iter().zip(verdicts) {
            match claim.part {
                Part::Slot => self.resolve_slot(claim, valid),
                Part::Conflict(index, second) => {
                    self.pending_conflicts[index].verdicts[usize::from(second)] = Some(valid);
                    if !valid {
                        self.eager |= 1 << claim.from;
                    }
                }
            }
        }
        for conflict in std::mem::take(&mut self.pending_conflicts) {
            self.resolve_conflict(conflict);
        }
    }

    fn resolve_slot(&mut self, claim: &Claim, valid: bool) {
        let Some(slot) = self.slots.get_mut(&claim.place) else {
            return;
        };
        let entry = &mut slot.prepares[usize::from(claim.from)];
        match entry {
            Some(vote) if valid => vote.verified = true,
            _ => {
                *entry = None;
                self.eager |= 1 << claim.from;
            }
        }
    }

    fn resolve_conflict(&mut self, conflict: PendingConflict) {
        let Some(slot) = self.slots.get_mut(&conflict.place) else {
            return;
        };
        let entry = &mut slot.prepares[usize::from(conflict.from)];
        match conflict.verdicts {
            [Some(true), Some(true)] => {
                if let Some(vote) = entry {
                    vote.verified = true;
                }
                self.convict(conflict.from, PREPARE, conflict.first, conflict.second);
            }
            [Some(false), second] => {
                // Only the second was really signed, so it is this signer's first vote.
                *entry = (second == Some(true)).then(|| Prepare {
                    digest: conflict.second.digest(),
                    signature: conflict.second.signature,
                    verified: true,
                });
                slot.conflicting &= !(1 << conflict.from);
            }
            _ => slot.conflicting &= !(1 << conflict.from),
        }
    }

    fn convict(&mut self, by: u8, message_type: u8, first: SignedClaim, second: SignedClaim) {
        if let Some(digest) = self.evidence.keep(&first, &second) {
            self.conflicts.push(Conflict {
                by,
                message_type,
                digest,
            });
        }
    }

    /// Calls `emit` with every set that is new or has grown and is large enough to matter.
    pub fn hand_up(&mut self, mut emit: impl FnMut(Phase, &Name, u32)) {
        for place in self.dirty.drain(..) {
            let Some(slot) = self.slots.get_mut(&place) else {
                continue;
            };
            slot.dirty = false;
            slot.hand_up(self.quorums, |phase, digest, set| {
                emit(
                    phase,
                    &Name {
                        view: place.1,
                        sequence: place.0,
                        digest,
                    },
                    set,
                );
            });
        }
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
