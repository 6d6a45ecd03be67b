//! Frames that were decoded and wait for the verdicts of the turn, in order of arrival.

use std::sync::Arc;

use bytes::Bytes;
use byzantine_crypto::PublicKey;
use byzantine_transport::Source;

use crate::bodies::Head;
use crate::checks::{Check, Signed, Signer};
use crate::wire::types::{BUNDLE, CHECKPOINT, PRE_PREPARE};
use crate::wire::{Digest, Name, Signature};

/// One frame whose effect waits for [`super::Engine::settle`].
#[derive(Debug)]
pub(super) enum Pending {
    Bundle {
        source: Source,
        digest: Digest,
        head: Head,
        key: Arc<PublicKey>,
        payload: Bytes,
        fetched: bool,
    },
    PrePrepare {
        from: u8,
        name: Name,
        signature: Signature,
        payload: Bytes,
    },
    Checkpoint {
        from: u8,
        sequence: u64,
        digest: Digest,
        signature: Signature,
        payload: Bytes,
    },
    /// A VIEW_CHANGE or NEW_VIEW, also a fetched one, with all signatures in it.
    Composite(Composite),
    /// Authenticated by its channel, or verified before.
    Plain {
        from: u8,
        message_type: u8,
        digest: Digest,
        payload: Bytes,
    },
}

/// A message that carries signatures of several replicas.
#[derive(Debug)]
pub(super) struct Composite {
    /// The connection it came on.
    pub from: u8,
    /// Whose message it is.
    pub signer: u8,
    pub message_type: u8,
    /// Message digest of a VIEW_CHANGE, otherwise zero.
    pub digest: Digest,
    pub payload: Bytes,
    /// Its own signature first.
    pub checks: Vec<Check>,
    /// Proposals of a NEW_VIEW.
    pub proposals: Vec<(Name, Signature)>,
}

impl Pending {
    /// Appends the signatures to verify; returns how many.
    pub fn collect(&mut self, checks: &mut Vec<Check>) -> usize {
        let before = checks.len();
        match self {
            Self::Bundle { key, payload, .. } => checks.push(Check {
                signer: Signer::Client(Arc::clone(key)),
                message_type: BUNDLE,
                signed: Signed::Payload(payload.clone()),
                signature: *payload
                    .last_chunk()
                    .expect("a decoded bundle ends in its signature"),
            }),
            Self::PrePrepare {
                from,
                name,
                signature,
                ..
            } => checks.push(Check {
                signer: Signer::Member(*from),
                message_type: PRE_PREPARE,
                signed: Signed::name(name),
                signature: *signature,
            }),
            Self::Checkpoint {
                from,
                sequence,
                digest,
                signature,
                ..
            } => checks.push(Check {
                signer: Signer::Member(*from),
                message_type: CHECKPOINT,
                signed: Signed::checkpoint(*sequence, digest),
                signature: *signature,
            }),
            Self::Composite(composite) => checks.append(&mut composite.checks),
            Self::Plain { .. } => {}
        }
        checks.len() - before
    }
}
