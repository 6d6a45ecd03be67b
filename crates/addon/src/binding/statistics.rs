//! Counters as plain objects. Numbers are exact up to 2^53.

use byzantine_journal::Reason;
use byzantine_transport::{PeerStatistics, Statistics, Traffic};
use napi_derive::napi;

use crate::journal::ReplicaJournal;
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

/// The journal of a replica that has a data directory.
#[napi(object)]
pub struct NativeJournalStatistics {
    /// `running`, or why records do not become durable: `fsyncFailed`, `full`, `readOnly`, `corrupt`
    /// or `stalled`.
    pub status: String,
    /// Records made durable.
    pub records: f64,
    /// Groups of them, each with one sync.
    pub syncs: f64,
    /// Bytes written, headers included.
    pub bytes: f64,
    /// Half of the groups took at most so long.
    pub sync_ms_p50: f64,
    /// 99 of 100 did. Above 33 s it says no more than that.
    pub sync_ms_p99: f64,
    /// Bytes that are not durable yet, now.
    pub queued_bytes: f64,
    /// Segments removed.
    pub segments_freed: f64,
    /// Times that a write had to wait for a segment to be prepared.
    pub spare_waits: f64,
    /// How long the write at hand has been running; 0 while the disk is idle.
    pub writing_for_ms: f64,
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
    /// Absent without a data directory, and once the journal was stopped.
    pub journal: Option<NativeJournalStatistics>,
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
        journal: None,
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
        journal: reactor.journal().map(of_journal),
        ..of_endpoint(reactor.statistics())
    }
}

fn of_journal(journal: &ReplicaJournal) -> NativeJournalStatistics {
    let counters = journal.statistics();
    let status = journal.status().reason().map_or("running", Reason::name);
    let writing = journal.writing_for().unwrap_or_default();
    NativeJournalStatistics {
        status: status.to_owned(),
        records: counters.records as f64,
        syncs: counters.syncs as f64,
        bytes: counters.bytes as f64,
        sync_ms_p50: percentile(&counters.sync_buckets, 50),
        sync_ms_p99: percentile(&counters.sync_buckets, 99),
        queued_bytes: counters.queued_bytes as f64,
        segments_freed: counters.segments_freed as f64,
        spare_waits: counters.spare_waits as f64,
        writing_for_ms: writing.as_secs_f64() * 1000.0,
    }
}

/// The upper bound in milliseconds of the bucket that so many hundredths of all groups do not
/// exceed; 0 where there are none. Bucket i ends at 2^i µs.
fn percentile(buckets: &[u64], hundredths: u64) -> f64 {
    let all: u64 = buckets.iter().sum();
    let enough = (all * hundredths).div_ceil(100).max(1);
    let mut seen = 0;
    let bucket = buckets.iter().position(|count| {
        seen += count;
        seen >= enough
    });
    bucket.map_or(0.0, |bucket| (1u64 << bucket) as f64 / 1000.0)
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

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_the_upper_bound_of_the_bucket_that_it_falls_into() {
        assert_eq!(percentile(&[0; 26], 99), 0.0);
        // 98 below 1 ms, one below 2 ms, one below 8 ms.
        let mut buckets = [0; 26];
        for (bucket, count) in [(10, 98), (11, 1), (13, 1)] {
            buckets[bucket] = count;
        }
        let of = |hundredths| percentile(&buckets, hundredths);
        assert_eq!((of(50), of(98)), (1.024, 1.024));
        assert_eq!((of(99), of(100)), (2.048, 8.192));
    }
}
