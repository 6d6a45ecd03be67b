//! Counters as plain objects. Numbers are exact up to 2^53.

use byzantine_transport::{PeerStatistics, Statistics, Traffic};
use napi_derive::napi;

use crate::reactor::Reactor;

/// Frames and bytes per lane: votes, control, client, bulk.
#[napi(object)]
pub struct NativeTraffic {
    /// Frames received.
    pub frames_in: Vec<f64>,
    /// Bytes of them.
    pub bytes_in: Vec<f64>,
    /// Frames handed to QUIC.
    pub frames_out: Vec<f64>,
    /// Bytes of them.
    pub bytes_out: Vec<f64>,
    /// Frames dropped because a queue was full or a connection ended.
    pub frames_dropped: Vec<f64>,
}

/// The link to one other member.
#[napi(object)]
pub struct NativePeerStatistics {
    /// The member.
    pub peer: u32,
    /// Whether it is up.
    pub connected: bool,
    /// Smoothed round trip time.
    pub rtt_ms: Option<f64>,
    /// Of all its connections.
    pub traffic: NativeTraffic,
    /// Bytes queued per lane, now.
    pub queued_bytes: Vec<f64>,
    /// Connections that came up.
    pub connects: f64,
    /// Dials that failed.
    pub dial_failures: f64,
    /// Why the last dial failed; absent while it is up.
    pub last_error: Option<String>,
}

/// Clients' connections.
#[napi(object)]
pub struct NativeClientStatistics {
    /// Up now.
    pub connected: u32,
    /// Connections that came up.
    pub connects: f64,
    /// Of all of them.
    pub traffic: NativeTraffic,
    /// Bytes queued, now.
    pub queued_bytes: f64,
}

/// Refused connections and violations of one reason.
#[napi(object)]
pub struct NativeRefused {
    /// Name of the reason.
    pub reason: String,
    /// How many.
    pub count: f64,
}

/// Messages of one type.
#[napi(object)]
pub struct NativeTypeCount {
    /// Type of the message (WIRE.md §2).
    #[napi(js_name = "type")]
    pub message_type: u32,
    /// How many.
    pub messages: f64,
    /// Their payload bytes.
    pub bytes: f64,
}

/// What was dropped for one reason from one peer.
#[napi(object)]
pub struct NativeRejected {
    /// Place in `rejectReasons`.
    pub reason: u32,
    /// Replica, 255 where none is to blame.
    pub peer: u32,
    /// How many.
    pub count: f64,
}

/// What only a replica's reactor has.
#[napi(object)]
pub struct NativeReactorStatistics {
    /// By message type.
    pub received: Vec<NativeTypeCount>,
    /// By message type.
    pub sent: Vec<NativeTypeCount>,
    /// Messages that could not be queued.
    pub dropped: f64,
    /// By reason and peer.
    pub rejected: Vec<NativeRejected>,
    /// Bodies held.
    pub bodies: u32,
    /// Their bytes.
    pub body_bytes: f64,
    /// Bundles that wait for room.
    pub bundles_waiting: u32,
    /// Open fetches.
    pub fetches: u32,
    /// Batches whose content is kept.
    pub batches: u32,
    /// (view, sequence) pairs in the vote table.
    pub vote_slots: u32,
    /// VIEW-CHANGEs and NEW-VIEWs kept.
    pub messages_kept: u32,
    /// Their bytes.
    pub message_bytes: f64,
    /// Bytes of inputs that wait for the next turn.
    pub input_bytes_waiting: f64,
    /// Calls of `turn`: crossings of the border, one each.
    pub crossings: f64,
    /// Objects made for JavaScript, by calls other than `turn`, which makes none.
    pub objects_made: f64,
    /// Sleeps inside of turns.
    pub turns_slept: f64,
    /// Sleeps that `wakeReactor` ended.
    pub turns_woken: f64,
    /// Turns that brought something.
    pub turns_with_input: f64,
    /// Calls of the verifier.
    pub verify_batches: f64,
    /// Signatures in them.
    pub signatures_verified: f64,
    /// The largest batch.
    pub verify_batch_max: f64,
    /// Votes in VIEW-CHANGEs and NEW-VIEWs that were verified before.
    pub votes_known: f64,
    /// Signatures made.
    pub signatures_made: f64,
}

/// All counters of a reactor or a transport.
#[napi(object)]
pub struct NativeStatistics {
    /// By member, this one excluded.
    pub peers: Vec<NativePeerStatistics>,
    /// Clients.
    pub clients: NativeClientStatistics,
    /// By reason.
    pub refused: Vec<NativeRefused>,
    /// Bytes that arrived and wait, now.
    pub waiting_bytes: f64,
    /// Absent for a transport.
    pub reactor: Option<NativeReactorStatistics>,
}

/// Counters of an endpoint.
pub fn of_endpoint(statistics: Statistics) -> NativeStatistics {
    let clients = statistics.clients;
    NativeStatistics {
        peers: statistics.peers.into_iter().map(of_peer).collect(),
        clients: NativeClientStatistics {
            connected: clients.connected as u32,
            connects: clients.connects as f64,
            traffic: of_traffic(&clients.traffic),
            queued_bytes: clients.queued_bytes as f64,
        },
        refused: statistics
            .refused
            .into_iter()
            .map(|(reason, count)| NativeRefused {
                reason: reason.to_owned(),
                count: count as f64,
            })
            .collect(),
        waiting_bytes: statistics.waiting_bytes as f64,
        reactor: None,
    }
}

/// Counters of a reactor.
pub fn of_reactor(reactor: &Reactor, objects: u64) -> NativeStatistics {
    let engine = reactor.engine();
    let (turns, work) = (reactor.turns(), engine.work());
    let (bodies, body_bytes, bundles_waiting) = engine.bodies().sizes();
    let (fetches, batches, vote_slots) = engine.depths();
    let (messages_kept, message_bytes) = engine.kept_messages();
    let rejected = engine
        .rejections()
        .totals()
        .map(|(reason, peer, count)| NativeRejected {
            reason: u32::from(reason),
            peer: u32::from(peer),
            count: count as f64,
        });
    let own = NativeReactorStatistics {
        received: engine.traffic().all_received().map(of_type).collect(),
        sent: engine.traffic().all_sent().map(of_type).collect(),
        dropped: engine.traffic().dropped() as f64,
        rejected: rejected.collect(),
        bodies: bodies as u32,
        body_bytes: body_bytes as f64,
        bundles_waiting: bundles_waiting as u32,
        fetches: fetches as u32,
        batches: batches as u32,
        vote_slots: vote_slots as u32,
        messages_kept: messages_kept as u32,
        message_bytes: message_bytes as f64,
        input_bytes_waiting: engine.backlog() as f64,
        crossings: turns.calls as f64,
        objects_made: objects as f64,
        turns_slept: turns.slept as f64,
        turns_woken: turns.woken as f64,
        turns_with_input: turns.with_input as f64,
        verify_batches: work.verify_batches as f64,
        signatures_verified: work.verified as f64,
        verify_batch_max: work.verify_batch_max as f64,
        votes_known: work.known as f64,
        signatures_made: work.signed as f64,
    };
    NativeStatistics {
        reactor: Some(own),
        ..of_endpoint(reactor.statistics())
    }
}

fn of_peer(peer: PeerStatistics) -> NativePeerStatistics {
    NativePeerStatistics {
        peer: u32::from(peer.peer),
        connected: peer.connected,
        rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        traffic: of_traffic(&peer.traffic),
        queued_bytes: peer
            .queued_bytes
            .iter()
            .map(|bytes| *bytes as f64)
            .collect(),
        connects: peer.connects as f64,
        dial_failures: peer.dial_failures as f64,
        last_error: peer.last_error,
    }
}

fn of_traffic(traffic: &Traffic) -> NativeTraffic {
    let numbers = |counters: &[u64]| counters.iter().map(|count| *count as f64).collect();
    NativeTraffic {
        frames_in: numbers(&traffic.frames_in),
        bytes_in: numbers(&traffic.bytes_in),
        frames_out: numbers(&traffic.frames_out),
        bytes_out: numbers(&traffic.bytes_out),
        frames_dropped: numbers(&traffic.frames_dropped),
    }
}

fn of_type((message_type, messages, bytes): (u8, u64, u64)) -> NativeTypeCount {
    NativeTypeCount {
        message_type: u32::from(message_type),
        messages: messages as f64,
        bytes: bytes as f64,
    }
}
