//! The formats of `ts/codec/WIRE.md` §2 and §4, as the native side needs them.
//!
//! Little-endian; `u53` is a u64 of at most 2^53−1. Two byte strings never decode to one message:
//! no optional encodings, no trailing bytes. A decoder checks every count against the bytes that
//! are left before it uses it, allocates nothing that the sender chose the size of, and borrows
//! what it can. The TypeScript codec decodes the same formats; a differential fuzz test compares
//! the two through [`check::decode_check`].

pub mod check;
mod control;
mod error;
mod messages;
mod reader;
mod replies;
#[cfg(test)]
mod tests;
mod writer;

pub use byzantine_transport::Lane;
pub use control::{
    Certificate, NewView, ViewChange, check_state_fetch, check_state_nodes, check_status,
};
pub use error::DecodeError;
pub use messages::{
    BUNDLE_BYTES_MAX, BUNDLE_OPERATIONS_MAX, Batch, Bundle, Checkpoint, FetchKind, Name,
    PrePrepare, Vote, without_signature,
};
pub use reader::Reader;
pub use replies::{Reply, ReplyEntry, ResultForm, check_busy, check_read, check_read_answer};
pub use writer::Writer;

/// A SHA-256 digest.
pub type Digest = [u8; 32];
/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// Length of a signature in bytes.
pub const SIGNATURE_LENGTH: usize = 64;
/// Highest counter that both sides of the language border represent exactly.
pub const U53_MAX: u64 = (1 << 53) - 1;
/// Most replicas of a cluster: a set is one u32 with its highest bit clear.
pub const REPLICAS_MAX: usize = 31;

/// Message types (WIRE.md §2).
pub mod types {
    #![allow(missing_docs, reason = "the names are those of WIRE.md §2")]
    pub const HELLO: u8 = 0x01;
    pub const BUNDLE: u8 = 0x10;
    pub const REPLY: u8 = 0x11;
    pub const BUSY: u8 = 0x12;
    pub const PRE_PREPARE: u8 = 0x20;
    pub const PREPARE: u8 = 0x21;
    pub const COMMIT: u8 = 0x22;
    pub const CHECKPOINT: u8 = 0x23;
    pub const VIEW_CHANGE: u8 = 0x24;
    pub const NEW_VIEW: u8 = 0x25;
    pub const STATUS: u8 = 0x26;
    pub const DECIDED: u8 = 0x27;
    pub const COMPLAINT: u8 = 0x28;
    pub const FETCH: u8 = 0x30;
    pub const UNAVAILABLE: u8 = 0x31;
    pub const FETCHED_BUNDLE: u8 = 0x32;
    pub const FETCHED_BATCH: u8 = 0x33;
    pub const FETCHED_VIEW_CHANGE: u8 = 0x34;
    pub const FETCHED_NEW_VIEW: u8 = 0x35;
    pub const STATE_FETCH: u8 = 0x40;
    pub const STATE_NODES: u8 = 0x41;
    pub const READ: u8 = 0x50;
    pub const READ_ANSWER: u8 = 0x51;
}

/// The lane that WIRE.md §2 gives to a type; none for an unknown one.
pub fn lane_of(message_type: u8) -> Option<Lane> {
    use types::*;
    Some(match message_type {
        PREPARE | COMMIT => Lane::Votes,
        HELLO | PRE_PREPARE | CHECKPOINT | VIEW_CHANGE | NEW_VIEW | STATUS | DECIDED
        | COMPLAINT | FETCH | UNAVAILABLE | STATE_FETCH => Lane::Control,
        BUNDLE | REPLY | BUSY | READ | READ_ANSWER => Lane::Client,
        FETCHED_BUNDLE | FETCHED_BATCH | FETCHED_VIEW_CHANGE | FETCHED_NEW_VIEW | STATE_NODES => {
            Lane::Bulk
        }
        _ => return None,
    })
}
