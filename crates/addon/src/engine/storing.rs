//! What the core wants to survive: each record gets the bodies, signatures and messages that it names.

use std::collections::BTreeMap;

use super::Engine;
use super::fault::Fault;
use crate::durable::{DurableRecord, STORED_VERSION};
use crate::records::InputKind;
use crate::wire::{Batch, Digest, FetchKind, NewView, SIGNATURE_LENGTH, Writer};

/// What is under way to the journal, and what came back from it.
#[derive(Debug, Default)]
pub(super) struct Durable {
    /// Log sequence number of the next record; none without a journal.
    next_lsn: Option<u64>,
    /// Records of the turn.
    records: Vec<Vec<u8>>,
    below: Option<u64>,
    /// NEW-VIEWs of ours by view, with the records that must be durable before anyone gets them:
    /// after a crash before that we could make others.
    withheld: BTreeMap<u64, u64>,
    /// What TypeScript has yet to hear.
    persisted: Option<u64>,
    failed: Option<u8>,
}

/// Bytes of a PERSISTED and a DISK_FAILED record with their headers.
const NEWS_BYTES: usize = 5 + 8 + 5 + 1;

impl Durable {
    pub fn has_news(&self) -> bool {
        self.persisted.is_some() || self.failed.is_some()
    }

    /// Writes what TypeScript has yet to hear, which comes before everything else of a turn.
    pub fn tell(&mut self, output: &mut [u8]) -> usize {
        if !self.has_news() || output.len() < NEWS_BYTES {
            return 0;
        }
        let mut writer = Writer::with_capacity(NEWS_BYTES);
        if let Some(up_to) = self.persisted.take() {
            writer.record(InputKind::Persisted as u8, |record| {
                record.u53(up_to);
            });
        }
        if let Some(reason) = self.failed.take() {
            writer.record(InputKind::DiskFailed as u8, |record| {
                record.u8(reason);
            });
        }
        let news = writer.as_slice();
        output[..news.len()].copy_from_slice(news);
        news.len()
    }
}

impl Engine {
    /// Records are stored from now on; `last_lsn` is that of the last one which is there.
    pub fn keep_journal(&mut self, last_lsn: u64) {
        self.durable.next_lsn = Some(last_lsn + 1);
    }

    /// The records that were made since the last call, as they are stored; their log sequence numbers
    /// go on from the last ones.
    pub fn take_records(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.durable.records)
    }

    /// Below which log sequence number records are needed no more, where that was said since the
    /// last call.
    pub fn take_release(&mut self) -> Option<u64> {
        self.durable.below.take()
    }

    /// All records up to this one are durable.
    pub fn persisted(&mut self, up_to: u64) {
        self.durable.withheld.retain(|_, lsn| *lsn > up_to);
        self.durable.persisted = Some(up_to);
    }

    /// The disk failed for good; `reason` is that of DISK_FAILED.
    pub fn disk_failed(&mut self, reason: u8) {
        self.durable.failed = Some(reason);
    }

    /// Whether nobody may have this NEW-VIEW of ours yet.
    pub(super) fn is_withheld(&self, kind: FetchKind, name: &Digest) -> bool {
        kind == FetchKind::NewView
            && self
                .kept_new_view(name)
                .is_some_and(|kept| self.durable.withheld.contains_key(&kept.view))
    }

    pub(super) fn truncate(&mut self, below: u64) {
        let held = self.durable.below.unwrap_or(0);
        self.durable.below = Some(held.max(below));
    }

    /// Keeps what the record names and, where there is a journal, makes what is stored of it.
    pub(super) fn persist(&mut self, lsn: u64, record: &DurableRecord<'_>) -> Result<(), Fault> {
        if let Some(expected) = self.durable.next_lsn.filter(|expected| *expected != lsn) {
            return Err(Fault::NotDense {
                expected,
                found: lsn,
            });
        }
        self.note(lsn, record)?;
        if self.durable.next_lsn.is_some() {
            let stored = self.stored(record)?;
            self.durable.records.push(stored);
            self.durable.next_lsn = Some(lsn + 1);
        }
        Ok(())
    }

    fn note(&mut self, lsn: u64, record: &DurableRecord<'_>) -> Result<(), Fault> {
        match record {
            DurableRecord::Prepared {
                name,
                signers,
                batch,
            } => {
                self.name_certificate(name, *signers)?;
                self.manifests.keep(name.digest, name.sequence, batch);
            }
            DurableRecord::Decided {
                sequence,
                digest,
                batch,
            } => self.manifests.keep(*digest, *sequence, batch),
            DurableRecord::ViewEntered { view, new_view } if !new_view.is_empty() => {
                self.keep_own_new_view(*view, new_view)?;
                if self.durable.next_lsn.is_some() {
                    self.durable.withheld.entry(*view).or_insert(lsn);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn stored(&mut self, record: &DurableRecord<'_>) -> Result<Vec<u8>, Fault> {
        let mut head = Writer::default();
        record.as_stored().write(&mut head);
        let mut stored = Writer::with_capacity(head.as_slice().len() + self.bytes_behind(record));
        stored.u8(STORED_VERSION).bytes(head.as_slice());
        let unresolved = Fault::Unresolved(record.kind());
        match record {
            DurableRecord::Prepared {
                name,
                signers,
                batch,
            } => {
                let signatures = self.prepared_certificate(name, *signers)?;
                write_signatures(&mut stored, &signatures, *signers).ok_or(unresolved)?;
                self.store_batch(&mut stored, &name.digest, batch, unresolved)?;
            }
            DurableRecord::Decided { digest, batch, .. } => {
                self.store_batch(&mut stored, digest, batch, unresolved)?;
            }
            DurableRecord::ViewLeft {
                target, message, ..
            } => {
                let kept = self.messages.view_change(message);
                let kept = kept
                    .filter(|kept| kept.signer == self.quorums.me && kept.view == *target)
                    .ok_or(unresolved)?;
                stored.bytes(&kept.payload);
            }
            DurableRecord::ViewEntered { view, .. } => {
                self.store_new_view(&mut stored, *view).ok_or(unresolved)?;
            }
            DurableRecord::Stable {
                sequence,
                digest,
                signers,
            } => {
                let signatures = self.stable_certificate(*sequence, digest, *signers)?;
                write_signatures(&mut stored, &signatures, *signers).ok_or(unresolved)?;
            }
            DurableRecord::Lease { .. }
            | DurableRecord::Checkpoint { .. }
            | DurableRecord::CleanStop { .. }
            | DurableRecord::Readmitted { .. } => {}
        }
        Ok(stored.into_vec())
    }

    /// About as many bytes as stand behind a record: a batch can be large, and is copied once.
    fn bytes_behind(&self, record: &DurableRecord<'_>) -> usize {
        let (DurableRecord::Prepared { batch, .. } | DurableRecord::Decided { batch, .. }) = record
        else {
            return SIGNATURE_LENGTH * usize::from(self.quorums.n);
        };
        let bodies = batch.bundles.iter();
        let bytes = bodies.filter_map(|digest| Some(self.bodies.payload(digest)?.len() + 4));
        SIGNATURE_LENGTH * usize::from(self.quorums.n) + bytes.sum::<usize>()
    }

    fn store_batch(
        &self,
        stored: &mut Writer,
        digest: &Digest,
        batch: &Batch<'_>,
        unresolved: Fault,
    ) -> Result<(), Fault> {
        let is_kept = self
            .manifests
            .get(digest)
            .is_some_and(|kept| kept.time_ms == batch.time_ms && kept.bundles == batch.bundles);
        if !is_kept && batch.digest() != *digest {
            return Err(unresolved);
        }
        for digest in batch.bundles {
            stored.bytes(self.bodies.payload(digest).ok_or(Fault::MissingBody)?);
        }
        Ok(())
    }

    fn store_new_view(&self, stored: &mut Writer, view: u64) -> Option<()> {
        let kept = self.messages.new_view(view)?;
        let message = NewView::decode(&kept.payload).ok()?;
        stored.bytes(&kept.payload);
        stored.u8(u8::try_from(message.view_changes.len()).ok()?);
        for (from, digest) in message.view_changes {
            let named = self.messages.view_change(digest)?;
            if named.signer != from {
                return None;
            }
            stored.u8(from).bytes(&named.payload);
        }
        Some(())
    }
}

/// All of the signers' signatures, or none.
fn write_signatures(
    stored: &mut Writer,
    signatures: &[[u8; SIGNATURE_LENGTH]],
    signers: u32,
) -> Option<()> {
    stored.raw(signatures.as_flattened());
    (signatures.len() as u32 == signers.count_ones()).then_some(())
}
