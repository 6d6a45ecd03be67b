//! What the engine needs of the network: the endpoint in a reactor, a recording in tests.

use std::time::Duration;

use byzantine_transport::{Endpoint, Lane, Source};

use crate::wire::lane_of;

/// Connections to replicas and clients.
pub trait Links {
    /// Queues one frame on its type's lane. False where it was dropped.
    fn send(&self, to: Source, message_type: u8, parts: &[&[u8]]) -> bool;
    /// Whether the other side is connected.
    fn is_connected(&self, to: Source) -> bool;
    /// Bytes that fit into a queue before it is dropped.
    fn room(&self, to: Source, lane: Lane) -> usize;
    /// Ends all connections of a client's key and refuses new ones for a while.
    fn bar_client(&self, key: [u8; 32], during: Duration);
}

impl Links for Endpoint {
    fn send(&self, to: Source, message_type: u8, parts: &[&[u8]]) -> bool {
        lane_of(message_type)
            .is_some_and(|lane| Endpoint::send(self, to, lane, message_type, parts).is_ok())
    }

    fn is_connected(&self, to: Source) -> bool {
        Endpoint::is_connected(self, to)
    }

    fn room(&self, to: Source, lane: Lane) -> usize {
        self.outbound_room(to, lane)
    }

    fn bar_client(&self, key: [u8; 32], during: Duration) {
        Endpoint::bar_client(self, key, during);
    }
}
