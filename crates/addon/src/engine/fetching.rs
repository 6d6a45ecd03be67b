//! What replicas ask of each other and how it is answered, without TypeScript where bytes are all that is needed.

use bytes::Bytes;
use byzantine_crypto::bundle_digest;
use byzantine_transport::Source;

use super::frames::{Outcome, ZERO};
use super::pending::Pending;
use super::{BodyStatus, Engine};
use crate::bodies::Head;
use crate::links::Links;
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{Batch, Bundle, FetchKind, Lane, Writer};

/// More than a frame's header: what an answer needs in a queue besides its payload.
const FRAME_OVERHEAD: usize = 64;

impl Engine {
    pub(super) fn on_fetched_bundle(&mut self, from: u8, payload: Bytes) -> Outcome {
        let bundle = Bundle::decode(&payload)?;
        let digest = bundle_digest(&payload);
        if !self.fetches.is_asked(FetchKind::Bundle, &digest, from) {
            return Err(Reason::Unasked);
        }
        let outcome = self.admit_bundle(
            Source::Peer(from),
            digest,
            Head::of(&bundle),
            bundle.longest_operation,
            payload.clone(),
            true,
        );
        // The digest is what was asked for, so what is wrong with it is wrong everywhere.
        if matches!(outcome, Err(Reason::BundleTooLarge | Reason::UnknownClient)) {
            self.fetches.close(FetchKind::Bundle, &digest);
            self.report_body(FetchKind::Bundle, &digest, BodyStatus::Invalid);
        }
        outcome
    }

    pub(super) fn on_fetched_batch(&mut self, from: u8, payload: Bytes) -> Outcome {
        let digest = Batch::decode(&payload)?.digest();
        if !self.fetches.is_asked(FetchKind::Batch, &digest, from) {
            return Err(Reason::Unasked);
        }
        self.fetches.close(FetchKind::Batch, &digest);
        self.pending.push(Pending::Plain {
            from,
            message_type: FETCHED_BATCH,
            digest,
            payload,
        });
        Ok(())
    }

    pub(super) fn on_fetch(&mut self, from: u8, payload: Bytes, links: &impl Links) -> Outcome {
        let (kind, digest) = FetchKind::decode(&payload)?;
        let to = Source::Peer(from);
        let answered = match kind {
            FetchKind::Bundle => self
                .bodies
                .payload(&digest)
                .cloned()
                .map(|body| (FETCHED_BUNDLE, body)),
            FetchKind::Batch => self.manifests.get(&digest).map(|batch| {
                let mut writer = Writer::with_capacity(12 + batch.bundles.len() * 32);
                batch.write(&mut writer);
                (FETCHED_BATCH, Bytes::from(writer.into_vec()))
            }),
            FetchKind::ViewChange | FetchKind::NewView => {
                self.pending.push(Pending::Plain {
                    from,
                    message_type: FETCH,
                    digest: ZERO,
                    payload,
                });
                return Ok(());
            }
        };
        match answered {
            // A full queue would be dropped whole, with the answers that wait in it.
            Some((_, body)) if links.room(to, Lane::Bulk) < body.len() + FRAME_OVERHEAD => {
                return Err(Reason::OverQuota);
            }
            Some((message_type, body)) => self.send_to(to, message_type, &[&body], links),
            None => self.send_to(to, UNAVAILABLE, &[&payload], links),
        }
        Ok(())
    }

    pub(super) fn on_unavailable(&mut self, from: u8, payload: Bytes) -> Outcome {
        let (kind, digest) = FetchKind::decode(&payload)?;
        if !self.fetches.is_asked(kind, &digest, from) {
            return Err(Reason::Unasked);
        }
        let last = self.fetches.unavailable(kind, &digest, from);
        if matches!(kind, FetchKind::ViewChange | FetchKind::NewView) {
            self.pending.push(Pending::Plain {
                from,
                message_type: UNAVAILABLE,
                digest: ZERO,
                payload,
            });
        } else if last {
            self.report_body(kind, &digest, BodyStatus::Unavailable);
        }
        Ok(())
    }
}
