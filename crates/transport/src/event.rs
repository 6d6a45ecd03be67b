//! What an endpoint reports.

use bytes::Bytes;
use std::net::SocketAddr;

use crate::lane::Lane;
use crate::reason::{DownReason, RefuseReason};

/// The number of a client's connection: counts up from 1 and is never reused by an endpoint.
pub type ClientId = u32;

/// The other side of a connection, as its key proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The member of this id.
    Peer(u8),
    /// A client's connection.
    Client(ClientId),
}

/// One thing that happened, in the order of [`crate::Endpoint::poll_events`].
#[derive(Clone, Debug)]
pub enum Event {
    /// A member is connected and its HELLO accepted. Comes again, without [`Event::PeerDown`]
    /// between, when a new connection replaced the old one: what was queued on that is lost.
    PeerUp {
        /// The member.
        peer: u8,
        /// Where the connection comes from or leads to.
        address: SocketAddr,
    },
    /// A member's connection ended; all frames that arrived on it were delivered before.
    PeerDown {
        /// The member.
        peer: u8,
        /// Why.
        reason: DownReason,
    },
    /// A client connected (never reported by an endpoint in the client role).
    ClientUp {
        /// The connection.
        client: ClientId,
        /// Its proven key.
        key: [u8; 32],
    },
    /// A client's connection ended.
    ClientDown {
        /// The connection.
        client: ClientId,
    },
    /// One frame.
    Frame {
        /// Who sent it.
        from: Source,
        /// On which lane.
        lane: Lane,
        /// The type byte.
        kind: u8,
        /// What follows the type byte. It may share an allocation of at most the lane's frame
        /// maximum or 64 KiB, whichever is larger, with frames that arrived together: copy what
        /// is kept for long.
        payload: Bytes,
    },
    /// A connection was refused, or closed for a violation. Counted even when too many wait.
    Refused {
        /// The key that was *presented*; proven unless the reason says otherwise.
        from: Option<[u8; 32]>,
        /// Why.
        reason: RefuseReason,
    },
}
