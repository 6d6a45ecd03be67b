//! Clients at fault: their bundles are not verified together with everybody's, and some are cut off.
//!
//! One bad signature fails the common equation, and finding it costs several times as much as the batch
//! did. So a client that forged before, and one with so many bundles in a turn that they are a batch by
//! themselves, pays with its own bundles alone: in groups, one by one from its first forgery on, and no
//! more after the last that it is allowed. Only a client's own connection shows whose fault it is.

use std::collections::BTreeMap;

use byzantine_transport::Source;

use super::Engine;
use super::actions::replicas;
use super::pending::Pending;
use super::settle::Verdict;
use crate::links::Links;
use crate::rejections::{NO_PEER, Reason};
use crate::wire::Digest;
use crate::wire::types::BUNDLE;

/// Bundles of one client in a turn that share nobody's batch. A batch of one key and this size costs
/// less per signature than a common one.
const GROUP_BUNDLES: usize = 16;

/// Places of bundles by client.
pub(super) struct Apart {
    by_client: BTreeMap<[u8; 32], Vec<usize>>,
    holds: Vec<bool>,
}

impl Apart {
    /// Whether the frame at this place is verified apart.
    pub fn holds(&self, place: usize) -> bool {
        self.holds.get(place).copied().unwrap_or(false)
    }
}

impl Engine {
    /// What is verified apart of what waits.
    pub(super) fn apart(&self, pending: &[Pending]) -> Apart {
        let mut by_client: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        for (place, frame) in pending.iter().enumerate() {
            if let Pending::Bundle {
                source: Source::Client(_),
                head,
                ..
            } = frame
            {
                by_client.entry(head.client).or_default().push(place);
            }
        }
        by_client
            .retain(|key, places| places.len() > GROUP_BUNDLES || self.offenders.is_suspect(key));
        let mut holds = Vec::new();
        for place in by_client.values().flatten() {
            holds.resize(holds.len().max(place + 1), false);
            holds[*place] = true;
        }
        Apart { by_client, holds }
    }

    /// Gives what is verified apart its verdicts.
    pub(super) fn verify_apart(
        &mut self,
        apart: Apart,
        pending: &[Pending],
        own: &mut [Verdict],
        links: &impl Links,
    ) {
        for (key, places) in apart.by_client {
            let mut rest = places.as_slice();
            while !rest.is_empty() {
                if self.offenders.is_barred(&key, self.now) {
                    rest.iter()
                        .for_each(|place| own[*place] = Verdict::Apart(Reason::Barred));
                    break;
                }
                let size = match self.offenders.is_suspect(&key) {
                    true => 1,
                    false => GROUP_BUNDLES.min(rest.len()),
                };
                let (group, later) = rest.split_at(size);
                let mut checks = Vec::with_capacity(size);
                for place in group {
                    pending[*place].collect(&mut checks);
                }
                for (place, is_good) in group.iter().zip(self.verify(&checks)) {
                    if !is_good {
                        own[*place] = Verdict::Apart(Reason::BadSignature);
                        self.call_to_account(&key, links);
                    }
                }
                rest = later;
            }
        }
    }

    /// A client has signed two bundles for one sequence. The others may have got one of them each: both
    /// are shown to all, so that whoever the client speaks to next knows it too. Once per cut, so that
    /// replicas which convict each other's evidence come to an end.
    pub(super) fn convict(&mut self, client: &[u8; 32], bundles: [Digest; 2], links: &impl Links) {
        self.rejections.count(Reason::ConflictingBundle, NO_PEER);
        let Some(during) = self.offenders.contradicted(client, self.now) else {
            return;
        };
        links.bar_client(*client, during);
        for digest in bundles {
            let Some(payload) = self.bodies.payload(&digest).cloned() else {
                continue;
            };
            for replica in replicas(self.linked) {
                self.send_to(Source::Peer(replica), BUNDLE, &[&payload], links);
            }
        }
    }

    /// A client's own connection has brought a signature that is not the client's.
    pub(super) fn call_to_account(&mut self, client: &[u8; 32], links: &impl Links) {
        if let Some(during) = self.offenders.forged(client, self.now) {
            links.bar_client(*client, during);
        }
    }
}
