//! Counters of an endpoint: since it was bound, unless they say otherwise.

use std::time::Duration;

use crate::lane::LANES;

/// A snapshot of everything that an endpoint counts.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// One entry per other member, ascending by id.
    pub peers: Vec<PeerStatistics>,
    /// Connections of clients.
    pub clients: ClientStatistics,
    /// Refusals and violations by [`crate::RefuseReason::name`], ascending by name, only those
    /// that happened.
    pub refused: Vec<(&'static str, u64)>,
    /// QUIC connections that exist now, those in handshake and those being closed included.
    pub connections: usize,
    /// Payload bytes that wait to be polled, of all sources, with the overhead per frame.
    pub waiting_bytes: usize,
}

/// What is counted of one member.
#[derive(Clone, Debug, Default)]
pub struct PeerStatistics {
    /// The member.
    pub peer: u8,
    /// Whether its connection is up now.
    pub connected: bool,
    /// Whether this endpoint dialled the connection that is up.
    pub dialled_here: Option<bool>,
    /// Smoothed round trip time of the connection that is up.
    pub rtt: Option<Duration>,
    /// Bytes and frames, all connections together.
    pub traffic: Traffic,
    /// Bytes that are queued and not handed to QUIC, now, per lane.
    pub queued_bytes: [usize; LANES],
    /// Connections that came up, the first included.
    pub connects: u64,
    /// Dials that failed before HELLO was accepted.
    pub dial_failures: u64,
    /// The error of the last dial that failed, cleared when the peer is up.
    pub last_error: Option<String>,
}

/// What is counted of clients, all together.
#[derive(Clone, Debug, Default)]
pub struct ClientStatistics {
    /// Connections that are up now.
    pub connected: usize,
    /// Connections that came up.
    pub connects: u64,
    /// Bytes and frames of all connections.
    pub traffic: Traffic,
    /// Bytes that are queued for clients and not handed to QUIC, now.
    pub queued_bytes: usize,
}

/// Bytes (headers included) and frames per lane, indexed by [`crate::Lane::index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames received.
    pub frames_in: [u64; LANES],
    /// Bytes of them.
    pub bytes_in: [u64; LANES],
    /// Frames handed to QUIC.
    pub frames_out: [u64; LANES],
    /// Bytes of them.
    pub bytes_out: [u64; LANES],
    /// Frames dropped because a queue was full or a connection ended.
    pub frames_dropped: [u64; LANES],
    /// Bytes of them.
    pub bytes_dropped: [u64; LANES],
}
