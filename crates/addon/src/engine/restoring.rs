//! An engine refilled from the records of its journal, and what TypeScript restarts from.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Engine, write_head};
use crate::durable::{DurableRecord, Stored, StoredBundle, StoredViewChange, Unreadable};
use crate::messages::Kept;
use crate::wire::{Digest, NewView, Signature, ViewChange, Writer, without_signature};

/// How a data directory was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Start {
    /// The replica never voted.
    Genesis = 0,
    /// It goes on from its records.
    Restart = 1,
    /// Nobody knows what it voted before its disk was wiped.
    Wiped = 2,
    /// It goes on from records that begin after that.
    Replaced = 3,
}

/// What the records hold for TypeScript, collected record by record.
#[derive(Debug, Default)]
pub struct Recovered {
    records: Writer,
    record_count: u32,
    bundles: Writer,
    bundle_digests: HashSet<Digest>,
    view_changes: Writer,
    view_change_digests: HashSet<Digest>,
}

impl Recovered {
    fn add_record(&mut self, lsn: u64, stored: &Stored<'_>) {
        let mut record = Writer::default();
        stored.write_record(&mut record);
        self.records.u53(lsn).bytes(record.as_slice());
        self.record_count += 1;
    }

    fn add_bundle(&mut self, bundle: &StoredBundle<'_>) {
        if self.bundle_digests.insert(bundle.digest) {
            let bytes = bundle.payload.len() as u32;
            write_head(&mut self.bundles, &bundle.digest, &bundle.head, bytes);
        }
    }

    fn add_view_change(&mut self, message: &StoredViewChange<'_>) {
        if self.view_change_digests.insert(message.digest) {
            self.view_changes.u8(message.signer).raw(&message.digest);
            self.view_changes.bytes(without_signature(message.payload));
        }
    }

    /// What `recovery` returns (WIRE.md §7). `clean` says that the last process ended in order.
    pub fn into_bytes(self, start: Start, clean: bool) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(start as u8).u8(u8::from(clean));
        writer.u32(self.record_count).raw(self.records.as_slice());
        writer.u32(self.bundle_digests.len() as u32);
        writer.raw(self.bundles.as_slice());
        writer.u32(self.view_change_digests.len() as u32);
        writer.raw(self.view_changes.as_slice());
        writer.into_vec()
    }
}

impl Engine {
    /// Takes back one stored record, in the order in which they were stored, before the first turn.
    ///
    /// # Errors
    /// [`Unreadable`]; nothing was taken.
    pub fn restore(
        &mut self,
        lsn: u64,
        payload: &[u8],
        recovered: &mut Recovered,
    ) -> Result<(), Unreadable> {
        let stored = Stored::decode(payload, self.quorums.me, self.quorums.n)?;
        recovered.add_record(lsn, &stored);
        for bundle in &stored.bundles {
            recovered.add_bundle(bundle);
            self.bodies
                .restore(bundle.digest, bundle.head, bundle.payload);
        }
        for message in &stored.view_changes {
            recovered.add_view_change(message);
            let payload = Bytes::copy_from_slice(message.payload);
            let kept = Kept {
                signer: message.signer,
                view: message.target,
                payload,
            };
            self.keep_view_change(message.digest, kept);
        }
        if let Some(payload) = stored.new_view {
            self.restore_new_view(payload);
        }
        self.restore_names(&stored);
        Ok(())
    }

    fn restore_names(&mut self, stored: &Stored<'_>) {
        match &stored.record {
            DurableRecord::Prepared {
                name,
                signers,
                batch,
            } => {
                self.manifests.keep(name.digest, name.sequence, batch);
                let votes = votes_of(*signers, stored.signatures);
                self.votes.restore_certificate(*name, votes);
            }
            DurableRecord::Decided {
                sequence,
                digest,
                batch,
            } => self.manifests.keep(*digest, *sequence, batch),
            DurableRecord::Stable {
                sequence,
                digest,
                signers,
            } => {
                for (from, signature) in votes_of(*signers, stored.signatures) {
                    // It may be held from an earlier record.
                    let _ = self
                        .votes
                        .file_checkpoint(from, *sequence, digest, &signature);
                }
                self.votes.stable(*sequence, *digest, *signers);
                self.manifests.stable(*sequence);
            }
            _ => {}
        }
    }

    fn restore_new_view(&mut self, payload: &[u8]) {
        let Ok(message) = NewView::decode(payload) else {
            return;
        };
        self.file_new_view(&message);
        self.messages.keep_new_view(Kept {
            signer: self.quorums.primary(message.view),
            view: message.view,
            payload: Bytes::copy_from_slice(payload),
        });
    }

    /// Keeps a verified VIEW-CHANGE, and its stable certificate with it.
    pub(super) fn keep_view_change(&mut self, digest: Digest, kept: Kept) {
        if let Ok(ViewChange {
            stable: Some(stable),
            ..
        }) = ViewChange::decode(&kept.payload)
        {
            let votes = stable.votes().map(|(from, signature)| (from, *signature));
            let name = (stable.name.sequence, stable.name.digest);
            self.votes.carry(digest, name, votes.collect());
        }
        self.messages.keep_view_change(digest, kept);
    }
}

fn votes_of(signers: u32, signatures: &[Signature]) -> Vec<(u8, Signature)> {
    super::actions::replicas(signers)
        .zip(signatures.iter().copied())
        .collect()
}
