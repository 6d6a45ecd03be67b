//! The end of a turn: which claims to verify, what their verdicts mean, which sets to hand up.

use super::slot::Prepare;
use super::{Claim, Conflict, Part, PendingConflict, Phase, SignedClaim, VoteTable};
use crate::checks::{Check, Signed, Signer};
use crate::wire::Name;
use crate::wire::types::PREPARE;

impl VoteTable {
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

    pub(super) fn convict(
        &mut self,
        by: u8,
        message_type: u8,
        first: SignedClaim,
        second: SignedClaim,
    ) {
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
}
