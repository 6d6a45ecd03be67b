//! What outlives a view, and what begins one.

use std::collections::BTreeMap;

use super::slot::{Prepare, Slot};
use super::{SignedClaim, VoteTable, Window, mark};
use crate::wire::types::PRE_PREPARE;
use crate::wire::{Digest, Name, Signature};

/// A prepared certificate.
#[derive(Clone, Debug)]
struct Kept {
    name: Name,
    votes: Vec<(u8, Signature)>,
}

/// Certificates of views that the table no longer holds, two per sequence: that of the highest
/// view, and the one that was named last. The core names fewer than are complete here, since it
/// counts only what it has the bodies of, so its own may be the lower one.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    highest: BTreeMap<u64, Kept>,
    named: BTreeMap<u64, Kept>,
}

impl Certificates {
    /// The votes of a certificate.
    pub fn get(&self, name: &Name) -> Option<&[(u8, Signature)]> {
        let held = [&self.named, &self.highest].map(|kept| kept.get(&name.sequence));
        let mut held = held.into_iter().flatten();
        held.find(|kept| kept.name == *name)
            .map(|kept| kept.votes.as_slice())
    }

    fn free_through(&mut self, low: u64) {
        for kept in [&mut self.highest, &mut self.named] {
            *kept = kept.split_off(&low.saturating_add(1));
        }
    }

    fn keep_highest(&mut self, name: Name, votes: Vec<(u8, Signature)>) {
        let held = self.highest.get(&name.sequence);
        if held.is_none_or(|held| held.name.view < name.view) {
            self.highest.insert(name.sequence, Kept { name, votes });
        }
    }
}

/// What a NEW-VIEW proposes.
#[derive(Debug)]
pub(super) struct Proposals {
    first: u64,
    batches: Vec<(Digest, Signature)>,
}

impl VoteTable {
    /// The table keeps low < sequence ≤ high, and the views installed, pending, and one above
    /// each. Certificates of views that it leaves are kept. What was collected for a view before it
    /// was installed is handed up again, and the proposals of its NEW-VIEW are filed.
    pub fn set_window(&mut self, low: u64, high: u64, view: u64, pending: Option<u64>) {
        let window = Window {
            low,
            high,
            view,
            pending,
        };
        let before = std::mem::replace(&mut self.window, window);
        if low > before.low {
            self.slots = self.slots.split_off(&(low.saturating_add(1), 0));
            self.kept.free_through(low);
        }
        if (before.view, before.pending) != (view, pending) {
            self.leave_views();
            self.hand_up_again(view);
        }
        if before != window {
            self.file_restored();
            self.file_new_view();
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
        for (sequence, view) in left {
            let Some(slot) = self.slots.remove(&(sequence, view)) else {
                continue;
            };
            let name = |digest| Name {
                view,
                sequence,
                digest,
            };
            if let Some(digest) = slot.named {
                let votes = slot.votes_for(&digest, self.quorums.primary(view));
                let name = name(digest);
                self.kept.named.insert(sequence, Kept { name, votes });
            }
            if let Some((digest, votes)) = slot.certificate_of(self.quorums, view) {
                self.kept.keep_highest(name(digest), votes);
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

    /// The core named this certificate: it stays until its sequence falls out of the window or
    /// another one is named for it.
    pub fn name_certificate(&mut self, name: &Name) {
        if let Some(slot) = self.slots.get_mut(&(name.sequence, name.view)) {
            slot.named = Some(name.digest);
            self.kept.named.remove(&name.sequence);
        } else if let Some(votes) = self.kept.get(name).map(<[_]>::to_vec) {
            let kept = Kept { name: *name, votes };
            self.kept.named.insert(name.sequence, kept);
        }
    }

    /// Takes back a certificate that the core named before a restart, with its verified votes.
    pub fn restore_certificate(&mut self, name: Name, votes: Vec<(u8, Signature)>) {
        self.kept.named.insert(name.sequence, Kept { name, votes });
    }

    /// Files certificates of views that the table holds again: a slot that later votes made would hide
    /// them.
    fn file_restored(&mut self) {
        let window = self.window;
        let is_held = |name: &Name| {
            (window.low + 1..=window.high).contains(&name.sequence) && window.holds_view(name.view)
        };
        let named = self.kept.named.values().map(|kept| kept.name);
        let held: Vec<u64> = named.filter(is_held).map(|name| name.sequence).collect();
        for sequence in held {
            let Some(Kept { name, votes }) = self.kept.named.remove(&sequence) else {
                continue;
            };
            let primary = self.quorums.primary(name.view);
            let slot = self
                .slots
                .entry((sequence, name.view))
                .or_insert_with(|| Slot::new(self.quorums.n));
            slot.named = Some(name.digest);
            for (from, signature) in votes {
                if from == primary {
                    slot.proposal = Some((name.digest, signature));
                    continue;
                }
                slot.prepares[usize::from(from)] = Some(Prepare {
                    digest: name.digest,
                    signature,
                    verified: true,
                });
            }
        }
    }

    /// Keeps the verified proposals of a NEW-VIEW until [`VoteTable::forget_new_view`]; they are
    /// filed when its view is entered.
    pub fn keep_new_view(&mut self, view: u64, first: u64, batches: Vec<(Digest, Signature)>) {
        self.new_views.insert(view, Proposals { first, batches });
        if self.window.view == view {
            self.file_new_view();
        }
    }

    /// A NEW-VIEW was let go of; what was filed stays.
    pub fn forget_new_view(&mut self, view: u64) {
        self.new_views.remove(&view);
    }

    /// Files the proposals of the installed view's NEW-VIEW. They take the place of what its primary
    /// proposed there before, which nobody acts on; that it proposed both is evidence against it.
    fn file_new_view(&mut self) {
        let view = self.window.view;
        let Some(new_view) = self.new_views.remove(&view) else {
            return;
        };
        let by = self.quorums.primary(view);
        for (sequence, (digest, signature)) in (new_view.first..).zip(&new_view.batches) {
            if self.check_place(view, sequence).is_err() {
                continue;
            }
            let slot = self
                .slots
                .entry((sequence, view))
                .or_insert_with(|| Slot::new(self.quorums.n));
            let before = slot.proposal.replace((*digest, *signature));
            let Some((held, held_signature)) = before.filter(|(held, _)| held != digest) else {
                continue;
            };
            if slot.conflicting >> by & 1 == 0 {
                slot.conflicting |= 1 << by;
                let claim = |digest, signature| {
                    let name = Name {
                        view,
                        sequence,
                        digest,
                    };
                    SignedClaim::of_name(PRE_PREPARE, &name, signature)
                };
                let claims = (claim(held, held_signature), claim(*digest, *signature));
                self.convict(by, PRE_PREPARE, claims.0, claims.1);
            }
        }
        self.new_views.insert(view, new_view);
    }
}
