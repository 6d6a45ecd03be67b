//! The body store with the admission and verification of bundles.

use std::collections::HashSet;

use byzantine_crypto::{Domain, bundle_digest};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use super::super::{counter, exact, failure};
use super::{OUTPUT_BYTES, drain, offer};
use crate::bodies::{BodyStore, Head};
use crate::checks::{Check, Signed, Signer, Verifier};
use crate::clients::Clients;
use crate::records::{InputKind, Records};
use crate::rejections::{NO_PEER, Reason};
use crate::wire::Bundle;
use crate::wire::types::BUNDLE;

/// A body store with the admission and verification of bundles.
#[napi]
pub struct NativeBodyStore {
    bodies: BodyStore,
    clients: Clients,
    verifier: Verifier,
    operation_bytes_max: usize,
    records: Records,
}

#[napi]
impl NativeBodyStore {
    /// `clients` are the admitted keys; absent: any.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        cluster_id: &[u8],
        epoch: f64,
        operation_bytes_max: u32,
        clients: Option<Vec<Uint8Array>>,
    ) -> Result<Self> {
        let domain = Domain::new(exact("clusterId", cluster_id)?, counter("epoch", epoch)?);
        let admitted = match clients {
            None => None,
            Some(keys) => Some(
                keys.iter()
                    .map(|key| exact("clients[]", key))
                    .collect::<Result<HashSet<_>>>()?,
            ),
        };
        Ok(Self {
            bodies: BodyStore::default(),
            clients: Clients::new(admitted, &[]),
            verifier: Verifier::new(domain, Vec::new()),
            operation_bytes_max: operation_bytes_max as usize,
            records: Records::default(),
        })
    }

    /// A BUNDLE payload from a replica, or from a client's connection (255).
    #[napi(catch_unwind)]
    pub fn put(&mut self, from: u32, payload: &[u8]) -> Result<i32> {
        let from = match from {
            0..=30 | 255 => from as u8,
            _ => return Err(failure("INVALID_ARGUMENT", "from is a replica, or 255")),
        };
        Ok(offer(self.offer(from, payload)))
    }

    fn offer(&mut self, from: u8, payload: &[u8]) -> std::result::Result<(), Reason> {
        debug_assert!(from < 31 || from == NO_PEER);
        let bundle = Bundle::decode(payload)?;
        if bundle.longest_operation > self.operation_bytes_max {
            return Err(Reason::BundleTooLarge);
        }
        let (digest, head) = (bundle_digest(payload), Head::of(&bundle));
        self.bodies
            .admit(&digest, from, &head.client, payload.len(), false)?;
        let key = self
            .clients
            .admit(bundle.client)
            .ok_or(Reason::UnknownClient)?;
        let check = Check {
            signer: Signer::Client(key),
            message_type: BUNDLE,
            signed: Signed::Payload(bytes::Bytes::copy_from_slice(payload)),
            signature: *bundle.signature,
        };
        if self.verifier.verdicts(&[check]) != [true] {
            return Err(Reason::BadSignature);
        }
        self.bodies.put(digest, from, head, payload, false)
    }

    /// PIN; false where too many are pinned.
    #[napi(catch_unwind)]
    pub fn pin(&mut self, digest: &[u8]) -> Result<bool> {
        Ok(self.bodies.pin(&[exact("digest", digest)?]))
    }

    /// RELEASE; whether it was held.
    #[napi(catch_unwind)]
    pub fn release(&mut self, digest: &[u8]) -> Result<bool> {
        Ok(self.bodies.release(&exact("digest", digest)?).is_some())
    }

    /// ROOM.
    #[napi(catch_unwind)]
    pub fn set_room(&mut self, bundles: u32, bytes: u32) {
        self.bodies.set_room(bundles, bytes);
    }

    /// The REQUEST records that are due.
    #[napi(catch_unwind)]
    pub fn requests(&mut self) -> Uint8Array {
        while self.records.waiting() < OUTPUT_BYTES / 2 {
            let Some((digest, from, body)) = self.bodies.next_request() else {
                break;
            };
            let (bytes, head) = (body.payload.len() as u32, body.head);
            self.records.push(InputKind::Request, |record| {
                crate::engine::write_request(record, from, &digest, &head, bytes)
            });
        }
        drain(&mut self.records)
    }

    /// The signed bundle; empty where it is not held.
    #[napi(catch_unwind)]
    pub fn payload(&self, digest: &[u8]) -> Result<Uint8Array> {
        let digest = exact("digest", digest)?;
        Ok(self
            .bodies
            .payload(&digest)
            .map(|payload| payload.to_vec())
            .unwrap_or_default()
            .into())
    }
}
