//! QUIC between replicas, and between clients and replicas: one [`Endpoint`] per node.
//!
//! It moves frames and knows who sent them; it neither reads nor trusts them. What it promises to
//! the room above:
//!
//! - **Identity.** TLS 1.3 with raw public keys both ways (RFC 7250). A [`Source`] is a key that
//!   signed its handshake, pinned for members, admitted by policy for clients. No tickets, early
//!   data, resumption or migration.
//! - **One cluster.** Nothing is delivered before HELLO was exchanged and found equal; a
//!   difference closes the connection and both sides learn the field.
//! - **One connection per pair.** Both sides dial; of two connections the lower id's stays, of two
//!   that one side dialled the newer.
//! - **Lanes.** Votes, control, client and bulk travel on streams of their own, by priority, so
//!   that a large transfer never delays a vote.
//! - **Bounds both ways.** A full outbound queue is dropped whole and counted, so that a slow peer
//!   slows nobody; an inbound lane that is not polled is not read, and its flow control holds that
//!   sender alone.
//!
//! # Memory
//!
//! What one member can make this process hold at worst, all at once
//! ([`Limits::memory_per_peer`]), with the defaults:
//!
//! | what | MiB |
//! |---|---|
//! | received by QUIC and not read: `connection_window` ≥ 4 lanes × `stream_window` | 4 |
//! | handed to QUIC and not acknowledged: `send_window` | 4 |
//! | waiting to be polled: `inbound_bytes` of the lanes | 10.5 |
//! | beyond that, per lane: one read of empty frames, a frame in assembly, a frame delivered | 15.3 |
//! | queued, and being handed to QUIC: 2 × `outbound_bytes` of the lanes | 41 |
//! | **sum** | **75** |
//!
//! Every waiting frame counts [`FRAME_OVERHEAD`] bytes more than its payload, so empty frames are
//! not free. A member's inbound budget outlives its connections. A connection whose key is not
//! proven yet has the windows of a client, and no stream of it is read: with `handshakes_max` 64
//! and `incoming_bytes` 4 MiB, strangers hold little. Clients have a bound each and one together
//! ([`Limits::memory_all_clients`]). Events about strangers and changes of connections are queues
//! with fixed bounds, beyond which strangers are only counted and connections refused.
//!
//! # Runtime
//!
//! All tasks run on the tokio runtime in which the endpoint was bound, which may be a
//! current-thread one that is driven in slices: `send` and `flush` only touch memory, the
//! runtime's next turns do the rest. Dropping an endpoint ends its tasks.

mod acceptor;
mod barred;
mod config;
mod dialler;
mod endpoint;
mod event;
mod frame;
mod hello;
mod hub;
mod lane;
mod lanes;
mod ledger;
mod limits;
mod link;
mod quic;
mod reason;
mod session;
mod shared;
mod statistics;
mod throttle;
mod tls;

pub use config::{ClientPolicy, Config, HelloField, Member, Role, TransportError};
pub use endpoint::Endpoint;
pub use event::{ClientId, Event, Source};
pub use frame::FRAME_OVERHEAD;
pub use hello::PROTOCOL_VERSION;
pub use lane::{LANES, Lane};
pub use limits::{Limits, MTU_CEILING, MTU_FLOOR};
pub use reason::{CloseCode, DownReason, RefuseReason};
pub use session::SendError;
pub use statistics::{ClientStatistics, PeerStatistics, Statistics, Traffic};
pub use tls::{ALPN_CLIENT, ALPN_REPLICA};
