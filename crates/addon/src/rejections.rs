//! Counting what was dropped, by reason and peer.

use crate::records::{InputKind, Records};
use crate::wire::REPLICAS_MAX;

/// Why something was dropped: the numbers of `rejectReasons` in `ts/codec/turn.ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The payload does not decode.
    Malformed = 0,
    /// The sender may not send this type, or not on this lane.
    UnexpectedType,
    /// A frame's length is above its lane's bound.
    FrameTooLong,
    /// A signature does not verify.
    BadSignature,
    /// A signature verifies, under the key of another member than the connection's.
    WrongSigner,
    /// A proposal from a replica that is not the primary of its view.
    NotPrimary,
    /// A connection with a key that no member has.
    NotMember,
    /// A connection that did not prove its key, or failed otherwise.
    BadHandshake,
    /// A connection whose HELLO differs.
    HelloDiffers,
    /// A bundle of a client that is not admitted.
    UnknownClient,
    /// A bundle of another client than its connection's.
    WrongClient,
    /// A view that the vote table does not hold.
    WrongView,
    /// A sequence at or below the low watermark.
    BelowWindow,
    /// A sequence above the high watermark.
    AboveWindow,
    /// A second vote of one signer in one slot with another digest.
    ConflictingVote,
    /// A PREPARE of its view's primary, whose proposal is its vote.
    PrimaryVoted,
    /// A proposal with more bundles than a batch may have.
    BatchTooLarge,
    /// An operation above the configured length.
    BundleTooLarge,
    /// A body for which its sender's quota, or all memory for bodies, is used up; a VIEW-CHANGE or
    /// NEW-VIEW beyond what its sender may have verified, or beyond what is kept of its signer.
    OverQuota,
    /// An answer that nobody asked for.
    Unasked,
    /// Held already.
    Duplicate,
    /// A client was told that the pool is full.
    Busy,
    /// A client that forged signatures and is kept out: what it sent before it knew, unverified, and
    /// the connections that it tried to make.
    Barred,
    /// A client signed two bundles for one of its sequences.
    ConflictingBundle,
}

/// Number of reasons.
pub const REASONS: usize = Reason::ConflictingBundle as usize + 1;
/// The peer of what no replica is to blame for.
pub const NO_PEER: u8 = 255;
const PEERS: usize = REPLICAS_MAX + 1;

/// Counters by reason and peer: those of the turn, and all since the start.
#[derive(Debug)]
pub struct Rejections {
    turn: Vec<u32>,
    touched: Vec<usize>,
    total: Vec<u64>,
}

impl Default for Rejections {
    fn default() -> Self {
        Self {
            turn: vec![0; REASONS * PEERS],
            touched: Vec::new(),
            total: vec![0; REASONS * PEERS],
        }
    }
}

impl Rejections {
    /// Counts one; `peer` is a replica or [`NO_PEER`].
    pub fn count(&mut self, reason: Reason, peer: u8) {
        let place = reason as usize * PEERS + usize::from(peer).min(REPLICAS_MAX);
        if self.turn[place] == 0 {
            self.touched.push(place);
        }
        self.turn[place] = self.turn[place].saturating_add(1);
        self.total[place] += 1;
    }

    /// Writes one REJECTED record per (reason, peer) of the turn and starts the next.
    pub fn report(&mut self, records: &mut Records) {
        for place in self.touched.drain(..) {
            let (reason, peer) = split(place);
            let count = std::mem::take(&mut self.turn[place]);
            records.push(InputKind::Rejected, |record| {
                record.u8(reason).u8(peer).u32(count);
            });
        }
    }

    /// All that was counted: (reason, peer, count), without zeros.
    pub fn totals(&self) -> impl Iterator<Item = (u8, u8, u64)> {
        let counted = self
            .total
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        counted.map(|(place, count)| {
            let (reason, peer) = split(place);
            (reason, peer, *count)
        })
    }

    /// How often `reason` was counted, for all peers.
    pub fn total_of(&self, reason: Reason) -> u64 {
        let start = reason as usize * PEERS;
        self.total[start..start + PEERS].iter().sum()
    }
}

fn split(place: usize) -> (u8, u8) {
    let peer = place % PEERS;
    let peer = if peer == REPLICAS_MAX {
        NO_PEER
    } else {
        peer as u8
    };
    ((place / PEERS) as u8, peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_reports_each_reason_and_peer_once_with_its_count() {
        let mut rejections = Rejections::default();
        rejections.count(Reason::BadSignature, 2);
        rejections.count(Reason::BadSignature, 2);
        rejections.count(Reason::Busy, NO_PEER);
        let mut records = Records::default();
        rejections.report(&mut records);
        let mut output = [0; 64];
        let length = records.drain_into(&mut output);
        assert_eq!(
            output[..length],
            [
                9, 6, 0, 0, 0, 3, 2, 2, 0, 0, 0, 9, 6, 0, 0, 0, 21, 255, 1, 0, 0, 0
            ]
        );
        rejections.report(&mut records);
        assert_eq!(records.drain_into(&mut output), 0);
        assert_eq!(
            rejections.totals().collect::<Vec<_>>(),
            [(3, 2, 2), (21, NO_PEER, 1)]
        );
    }
}
