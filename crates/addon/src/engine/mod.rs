//! The engine of a replica: everything of a turn that is neither network nor TypeScript.
//!
//! Frames and actions go in; records for TypeScript and frames to send come out. It moves, checks
//! and stores bytes and decides nothing that is proposed, voted, executed or acknowledged. It is
//! told the time and does no input or output of its own, so its tests run without socket and clock.

mod actions;
mod apart;
mod composites;
mod fault;
mod fetching;
mod frames;
mod judging;
mod keeping;
mod pending;
mod restoring;
mod settle;
mod storing;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use byzantine_crypto::{Domain, PublicKey, SecretKey};
use byzantine_transport::{Event, RefuseReason, Source};

use crate::bodies::{BodyStore, Head};
use crate::budget::{Budget, NEW_VIEWS, VIEW_CHANGES};
use crate::checks::Verifier;
use crate::claims::Claims;
use crate::clients::Clients;
use crate::fetches::Fetches;
use crate::links::Links;
use crate::manifests::Manifests;
use crate::messages::Messages;
use crate::offenders::Offenders;
use crate::records::{InputKind, Records};
use crate::rejections::{NO_PEER, Reason, Rejections};
use crate::traffic::Traffic;
use crate::verified::VerifiedVotes;
use crate::vote_table::{Quorums, VoteTable};
use crate::wire::{Digest, Writer};

pub use fault::Fault;
use pending::Pending;
pub use restoring::{Recovered, Start};
use storing::Durable;

/// What the cluster agreed on and this replica is.
#[derive(Debug)]
pub struct EngineConfig {
    /// n, f and this replica.
    pub quorums: Quorums,
    /// Where signatures are valid.
    pub domain: Domain,
    /// This replica's key.
    pub secret: SecretKey,
    /// Keys by replica.
    pub members: Vec<PublicKey>,
    /// Admitted clients; none: any.
    pub clients: Option<HashSet<[u8; 32]>>,
    /// Bounds of the configuration.
    pub limits: EngineLimits,
}

/// Bounds of the configuration that are enforced on what arrives.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// Bytes of an operation.
    pub operation_bytes_max: usize,
    /// Bundles of a batch.
    pub batch_bundles_max: usize,
}

/// What the engine counts besides traffic and rejections, since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Calls of the verifier.
    pub verify_batches: u64,
    /// Signatures in them.
    pub verified: u64,
    /// The largest batch.
    pub verify_batch_max: u64,
    /// Votes in VIEW-CHANGEs and NEW-VIEWs that were verified before.
    pub known: u64,
    /// Signatures made.
    pub signed: u64,
}

/// Bytes of a REQUEST record with its header.
const REQUEST_RECORD: usize = 5 + 1 + 32 + 32 + 3 * 8 + 2 + 4;

/// See the module documentation.
#[derive(Debug)]
pub struct Engine {
    quorums: Quorums,
    domain: Domain,
    secret: SecretKey,
    verifier: Verifier,
    limits: EngineLimits,
    votes: VoteTable,
    bodies: BodyStore,
    manifests: Manifests,
    fetches: Fetches,
    clients: Clients,
    claims: Claims,
    offenders: Offenders,
    records: Records,
    rejections: Rejections,
    pending: Vec<Pending>,
    /// Bundles that wait in `pending`.
    verifying: HashSet<Digest>,
    messages: Messages,
    /// Votes that VIEW-CHANGEs and NEW-VIEWs carried.
    verified: VerifiedVotes,
    view_change_budget: Budget,
    new_view_budget: Budget,
    /// Since the start, as the turn says.
    now: Duration,
    /// Replicas whose link was reported up.
    linked: u32,
    traffic: Traffic,
    work: Work,
    durable: Durable,
}

impl Engine {
    /// An engine without connections.
    pub fn new(config: EngineConfig) -> Self {
        Self {
            quorums: config.quorums,
            domain: config.domain,
            secret: config.secret,
            clients: Clients::new(config.clients, &config.members),
            verifier: Verifier::new(config.domain, config.members),
            claims: Claims::default(),
            offenders: Offenders::default(),
            limits: config.limits,
            votes: VoteTable::new(config.quorums),
            bodies: BodyStore::default(),
            manifests: Manifests::default(),
            fetches: Fetches::default(),
            records: Records::default(),
            rejections: Rejections::default(),
            pending: Vec::new(),
            verifying: HashSet::new(),
            messages: Messages::new(config.quorums.n),
            verified: VerifiedVotes::default(),
            view_change_budget: Budget::new(config.quorums.n, VIEW_CHANGES),
            new_view_budget: Budget::new(config.quorums.n, NEW_VIEWS),
            now: Duration::ZERO,
            linked: 0,
            traffic: Traffic::default(),
            work: Work::default(),
            durable: Durable::default(),
        }
    }

    /// Takes one event of the endpoint. Signatures wait for [`Engine::settle`].
    pub fn on_event(&mut self, event: Event, links: &impl Links) {
        match event {
            Event::Frame {
                from,
                lane,
                kind,
                payload,
            } => self.on_frame(from, lane, kind, payload, links),
            Event::PeerUp { peer, .. } => {
                if self.linked >> peer & 1 == 1 {
                    self.link_down(peer);
                }
                self.linked |= 1 << peer;
                self.push_link(peer, true);
            }
            Event::PeerDown { peer, .. } => self.link_down(peer),
            Event::ClientUp { client, key } => self.clients.up(client, key),
            Event::ClientDown { client } => self.clients.down(client),
            Event::Refused { from, reason } => self.on_refused(from, &reason),
        }
    }

    fn link_down(&mut self, peer: u8) {
        self.linked &= !(1 << peer);
        for (_, digest) in self.fetches.lost(peer) {
            self.report_body(&digest, BodyStatus::Unavailable);
        }
        self.push_link(peer, false);
    }

    fn push_link(&mut self, peer: u8, up: bool) {
        self.records.push(InputKind::Link, |record| {
            record.u8(peer).u8(u8::from(up));
        });
    }

    fn on_refused(&mut self, key: Option<[u8; 32]>, reason: &RefuseReason) {
        use RefuseReason as R;
        let counted = match reason {
            R::UnknownKey | R::WeakKey | R::WrongKey | R::WrongRole => Reason::NotMember,
            R::KeyNotProven | R::HandshakeTimeout | R::HandshakeFailed => Reason::BadHandshake,
            R::HelloMismatch(_) | R::BadHello => Reason::HelloDiffers,
            R::LyingLength => Reason::FrameTooLong,
            R::PartialFrame | R::LaneEnded | R::DuplicateLane | R::UnknownLane => Reason::Malformed,
            R::Barred => Reason::Barred,
            R::ClientQuota | R::Throttled | R::Busy => Reason::OverQuota,
        };
        // A key that was only shown does not say who is to blame.
        let proven = !matches!(
            counted,
            Reason::BadHandshake | Reason::NotMember | Reason::Barred
        );
        let peer = key.filter(|_| proven).and_then(|key| self.replica_of(&key));
        self.rejections.count(counted, peer.unwrap_or(NO_PEER));
    }

    fn replica_of(&self, key: &[u8; 32]) -> Option<u8> {
        (0..self.quorums.n).find(|replica| {
            self.verifier
                .key_of(*replica)
                .is_some_and(|member| member.as_bytes() == key)
        })
    }

    /// A fetch failed.
    fn report_body(&mut self, digest: &Digest, status: BodyStatus) {
        self.records.push(InputKind::Body, |record| {
            record.raw(digest).u8(status as u8);
        });
    }

    fn reject(&mut self, reason: Reason, from: Source) {
        self.rejections.count(reason, peer_of(from));
    }

    /// Tells the time since the start, which never goes back.
    pub fn set_time(&mut self, now: Duration) {
        self.now = now;
    }

    /// The actions of a turn were carried out, which were all that the last inputs led to.
    pub fn actions_are_done(&mut self) {
        if self.records.waiting() == 0 {
            self.votes.turn_is_over();
        }
    }

    /// Whether [`Engine::settle`] has something to write although nothing arrived.
    pub fn is_unsettled(&self) -> bool {
        self.votes.has_news()
    }

    /// Whether [`Engine::fill`] has something.
    pub fn has_input(&mut self) -> bool {
        self.durable.has_news() || self.records.waiting() > 0 || self.bodies.has_request()
    }

    /// Bytes of records that wait; what exceeds one output holds back the network.
    pub fn backlog(&self) -> usize {
        self.records.waiting()
    }

    /// Moves what fits to `output`: what the disk did, records in their order, then requests.
    /// Returns how many bytes.
    pub fn fill(&mut self, output: &mut [u8]) -> usize {
        let mut length = self.durable.tell(output);
        length += self.records.drain_into(&mut output[length..]);
        while self.records.waiting() == 0 && output.len() - length >= REQUEST_RECORD {
            let Some((digest, from, body)) = self.bodies.next_request() else {
                break;
            };
            let (bytes, head) = (body.payload.len() as u32, body.head);
            self.records.push(InputKind::Request, |record| {
                write_request(record, from, &digest, &head, bytes)
            });
            length += self.records.drain_into(&mut output[length..]);
        }
        length
    }

    /// Whether clients should be held back, given whether they are now.
    pub fn pauses_clients(&self, paused: bool) -> bool {
        self.bodies.pauses_clients(paused)
    }

    /// The vote table, for certificates and evidence.
    pub fn votes(&self) -> &VoteTable {
        &self.votes
    }

    /// The body store.
    pub fn bodies(&self) -> &BodyStore {
        &self.bodies
    }

    /// What was dropped.
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// Messages and bytes by type.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Signatures verified and made.
    pub fn work(&self) -> Work {
        self.work
    }

    /// VIEW-CHANGEs and NEW-VIEWs that are kept, and their bytes.
    pub fn kept_messages(&self) -> (usize, usize) {
        self.messages.sizes()
    }

    /// Open fetches, kept batches, slots of the vote table.
    pub fn depths(&self) -> (usize, usize, usize) {
        (self.fetches.len(), self.manifests.len(), self.votes.slots())
    }
}

/// Writes the body of a REQUEST record; `bytes` is the length of the signed bundle.
pub fn write_request(record: &mut Writer, from: u8, digest: &Digest, head: &Head, bytes: u32) {
    write_head(record.u8(from), digest, head, bytes);
}

/// Writes what a bundle is, as REQUEST has it behind its sender.
pub fn write_head(record: &mut Writer, digest: &Digest, head: &Head, bytes: u32) {
    record
        .raw(digest)
        .raw(&head.client)
        .u53(head.session)
        .u53(head.first_sequence);
    record
        .u53(head.acknowledged_through)
        .u16(head.count)
        .u32(bytes);
}

/// Why a body did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum BodyStatus {
    Invalid = 0,
    Unavailable = 1,
}

fn peer_of(source: Source) -> u8 {
    match source {
        Source::Peer(peer) => peer,
        Source::Client(_) => NO_PEER,
    }
}
