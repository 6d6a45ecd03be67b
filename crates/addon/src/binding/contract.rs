//! The vote table and the body store by themselves, for the contract tests that their simulated
//! forms share. The product uses them inside the reactor.

use std::collections::HashSet;

use byzantine_crypto::{Domain, PublicKey, bundle_digest};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use super::{counter, exact, failure};
use crate::bodies::{BodyStore, Head};
use crate::checks::{Check, Signed, Signer, Verifier};
use crate::clients::Clients;
use crate::records::{InputKind, Records};
use crate::rejections::{NO_PEER, Reason};
use crate::vote_table::{Quorums, VoteTable};
use crate::wire::types::{BUNDLE, CHECKPOINT, PRE_PREPARE};
use crate::wire::{Bundle, Digest, Name, Signature};

/// What an offer came to: -1 where it was taken, otherwise the place in `rejectReasons`.
fn offer(outcome: std::result::Result<(), Reason>) -> i32 {
    outcome.err().map_or(-1, |reason| reason as i32)
}

/// Bytes of hand-ups that one call returns.
const OUTPUT_BYTES: usize = 1 << 20;

fn drain(records: &mut Records) -> Uint8Array {
    let mut output = vec![0; records.waiting().min(OUTPUT_BYTES)];
    let length = records.drain_into(&mut output);
    output.truncate(length);
    output.into()
}

/// A vote table with its verifier.
#[napi]
pub struct NativeVoteTable {
    votes: VoteTable,
    verifier: Verifier,
    records: Records,
    rejections: crate::rejections::Rejections,
}

#[napi]
impl NativeVoteTable {
    /// `keys` holds 32 bytes per replica.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        cluster_id: &[u8],
        epoch: f64,
        keys: &[u8],
        max_faults: u32,
        me: u32,
    ) -> Result<Self> {
        let (keys, _) = keys.as_chunks::<32>();
        let members: Vec<PublicKey> = keys
            .iter()
            .map(|key| PublicKey::from_bytes(key).map_err(|error| failure("INVALID_KEY", error)))
            .collect::<Result<_>>()?;
        let n = members.len() as u8;
        if members.is_empty()
            || members.len() > 31
            || me >= u32::from(n)
            || max_faults * 3 >= u32::from(n)
        {
            return Err(failure(
                "INVALID_ARGUMENT",
                "1 to 31 replicas, me among them, fewer than a third faulty",
            ));
        }
        let domain = Domain::new(exact("clusterId", cluster_id)?, counter("epoch", epoch)?);
        Ok(Self {
            votes: VoteTable::new(Quorums {
                n,
                f: max_faults as u8,
                me: me as u8,
            }),
            verifier: Verifier::new(domain, members),
            records: Records::default(),
            rejections: crate::rejections::Rejections::default(),
        })
    }

    /// WINDOW; `pending` is one more than the pending view, 0 for none.
    #[napi(catch_unwind)]
    pub fn set_window(&mut self, low: f64, high: f64, view: f64, pending: f64) -> Result<()> {
        let pending = counter("pending", pending)?.checked_sub(1);
        self.votes.set_window(
            counter("low", low)?,
            counter("high", high)?,
            counter("view", view)?,
            pending,
        );
        Ok(())
    }

    /// A PREPARE from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_prepare(
        &mut self,
        from: u32,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let (from, name) = (self.replica(from)?, name(view, sequence, digest)?);
        Ok(offer(self.votes.offer_prepare(
            from,
            &name,
            &exact("signature", signature)?,
        )))
    }

    /// A COMMIT from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_commit(
        &mut self,
        from: u32,
        view: f64,
        sequence: f64,
        digest: &[u8],
    ) -> Result<i32> {
        let (from, name) = (self.replica(from)?, name(view, sequence, digest)?);
        Ok(offer(self.votes.offer_commit(from, &name)))
    }

    /// A PRE-PREPARE header of its view's primary.
    #[napi(catch_unwind)]
    pub fn offer_proposal(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let name = name(view, sequence, digest)?;
        let signature: Signature = exact("signature", signature)?;
        let primary = self.votes.quorums().primary(name.view);
        let outcome = match self.votes.check_place(name.view, name.sequence) {
            Err(reason) => Err(reason),
            Ok(()) if !self.is_valid(primary, PRE_PREPARE, Signed::name(&name), signature) => {
                Err(Reason::BadSignature)
            }
            Ok(()) => self.votes.file_proposal(&name, &signature),
        };
        Ok(offer(outcome))
    }

    /// A CHECKPOINT from the connection of `from`.
    #[napi(catch_unwind)]
    pub fn offer_checkpoint(
        &mut self,
        from: u32,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<i32> {
        let (from, sequence) = (self.replica(from)?, counter("sequence", sequence)?);
        let (digest, signature): (Digest, Signature) =
            (exact("digest", digest)?, exact("signature", signature)?);
        let outcome = if self.is_valid(
            from,
            CHECKPOINT,
            Signed::checkpoint(sequence, &digest),
            signature,
        ) {
            self.votes
                .file_checkpoint(from, sequence, &digest, &signature)
        } else {
            Err(Reason::BadSignature)
        };
        Ok(offer(outcome))
    }

    /// Our own PREPARE.
    #[napi(catch_unwind)]
    pub fn file_own(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let name = name(view, sequence, digest)?;
        self.votes
            .file_own_prepare(&name, &exact("signature", signature)?);
        Ok(())
    }

    /// Ends a turn: verifies what must be, and returns its VOTES, CONFLICT and REJECTED records.
    #[napi(catch_unwind)]
    pub fn settle(&mut self) -> Uint8Array {
        let (mut checks, mut claims) = (Vec::new(), Vec::new());
        self.votes.collect(&mut checks, &mut claims);
        let verdicts = self.verifier.verdicts(&checks);
        for (check, _) in checks.iter().zip(&verdicts).filter(|(_, valid)| !**valid) {
            if let Signer::Member(from) = check.signer {
                let named = self.verifier.is_of_another_member(check);
                self.rejections.count(
                    if named {
                        Reason::WrongSigner
                    } else {
                        Reason::BadSignature
                    },
                    from,
                );
            }
        }
        self.votes.resolve(&claims, &verdicts);
        for conflict in self.votes.take_conflicts() {
            self.records.push(InputKind::Conflict, |record| {
                record
                    .u8(conflict.by)
                    .u8(conflict.message_type)
                    .raw(&conflict.digest);
            });
        }
        let records = &mut self.records;
        self.votes.hand_up(|phase, name, signers| {
            records.push(InputKind::Votes, |record| {
                record
                    .u8(phase as u8)
                    .u53(name.view)
                    .u53(name.sequence)
                    .raw(&name.digest)
                    .u32(signers);
            });
        });
        self.rejections.report(&mut self.records);
        drain(&mut self.records)
    }

    /// Verified signatures under (view, sequence, digest): `u8 replica | signature` each.
    #[napi(catch_unwind)]
    pub fn certificate(&self, view: f64, sequence: f64, digest: &[u8]) -> Result<Uint8Array> {
        Ok(packed(
            &self.votes.certificate(&name(view, sequence, digest)?),
        ))
    }

    /// The same for a checkpoint.
    #[napi(catch_unwind)]
    pub fn checkpoint_certificate(&self, sequence: f64, digest: &[u8]) -> Result<Uint8Array> {
        let (sequence, digest) = (counter("sequence", sequence)?, exact("digest", digest)?);
        Ok(packed(
            &self.votes.checkpoints().certificate(sequence, &digest),
        ))
    }

    fn is_valid(&self, from: u8, message_type: u8, signed: Signed, signature: Signature) -> bool {
        let check = Check {
            signer: Signer::Member(from),
            message_type,
            signed,
            signature,
        };
        self.verifier.verdicts(&[check]) == [true]
    }

    fn replica(&self, replica: u32) -> Result<u8> {
        let n = u32::from(self.votes.quorums().n);
        if replica < n {
            Ok(replica as u8)
        } else {
            Err(failure("INVALID_ARGUMENT", "no such replica"))
        }
    }
}

fn name(view: f64, sequence: f64, digest: &[u8]) -> Result<Name> {
    Ok(Name {
        view: counter("view", view)?,
        sequence: counter("sequence", sequence)?,
        digest: exact("digest", digest)?,
    })
}

fn packed(votes: &[(u8, Signature)]) -> Uint8Array {
    let bytes = votes
        .iter()
        .flat_map(|(replica, signature)| std::iter::once(*replica).chain(*signature));
    bytes.collect::<Vec<u8>>().into()
}

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
