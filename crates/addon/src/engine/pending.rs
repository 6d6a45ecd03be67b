//! Frames that were decoded and wait for the verdicts of the turn, in order of arrival.

use std::sync::Arc;

use bytes::Bytes;
use byzantine_crypto::PublicKey;
use byzantine_transport::Source;

use crate::bodies::Head;
use crate::checks::{Check, Signed, Signer};
use crate::messages::Kept;
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
    /// A VIEW_CHANGE or NEW_VIEW, also a fetched one.
    Composite(Composite),
    /// A VIEW_CHANGE or NEW_VIEW that was verified before, from whomever.
    Known {
        message_type: u8,
        digest: Digest,
        kept: Kept,
    },
    /// Authenticated by its channel.
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
    /// VIEW_CHANGE or NEW_VIEW.
    pub message_type: u8,
    /// Whether we asked for it.
    pub fetched: bool,
    /// Message digest of a VIEW_CHANGE, name of a NEW_VIEW.
    pub digest: Digest,
    /// The view that it is for.
    pub view: u64,
    /// The message itself, without what says whose a fetched one is.
    pub payload: Bytes,
    /// The votes in it that are not known to be verified.
    pub votes: Vec<Check>,
}

impl Pending {
    /// Appends the signatures to verify; returns how many.
    pub fn collect(&self, checks: &mut Vec<Check>) -> usize {
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
            // What it carries is looked at once its signer is known to have signed it.
            Self::Composite(Composite {
                signer,
                message_type,
                payload,
                ..
            }) => checks.push(Check {
                signer: Signer::Member(*signer),
                message_type: *message_type,
                signed: Signed::Payload(payload.clone()),
                signature: *payload
                    .last_chunk()
                    .expect("a decoded message ends in its signature"),
            }),
            Self::Known { .. } | Self::Plain { .. } => {}
        }
        checks.len() - before
    }
}
