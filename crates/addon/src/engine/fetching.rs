//! What replicas ask of each other and how it is answered, without TypeScript where bytes are all that is needed.

use bytes::Bytes;
use byzantine_crypto::bundle_digest;
use byzantine_transport::Source;

use super::frames::Outcome;
use super::pending::Pending;
use super::{BodyStatus, Engine};
use crate::bodies::Head;
use crate::links::Links;
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{Batch, Bundle, Digest, FetchKind, Lane, Writer};

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
            self.report_body(&digest, BodyStatus::Invalid);
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
            _ if self.is_withheld(kind, &digest) => None,
            FetchKind::Bundle => self
                .bodies
                .payload(&digest)
                .map(|body| (FETCHED_BUNDLE, None, body.clone())),
            FetchKind::Batch => self.manifests.get(&digest).map(|batch| {
                let mut writer = Writer::with_capacity(12 + batch.bundles.len() * 32);
                batch.write(&mut writer);
                (FETCHED_BATCH, None, Bytes::from(writer.into_vec()))
            }),
            FetchKind::ViewChange => self
                .messages
                .view_change(&digest)
                .map(|kept| (FETCHED_VIEW_CHANGE, Some(kept.signer), kept.payload.clone())),
            FetchKind::NewView => self
                .kept_new_view(&digest)
                .map(|kept| (FETCHED_NEW_VIEW, None, kept.payload.clone())),
        };
        match answered {
            // A full queue would be dropped whole, with the answers that wait in it.
            Some((.., body)) if links.room(to, Lane::Bulk) < body.len() + FRAME_OVERHEAD => {
                return Err(Reason::OverQuota);
            }
            Some((message_type, signer, body)) => {
                self.send_to(to, message_type, &[signer.as_slice(), &body], links);
            }
            None => self.send_to(to, UNAVAILABLE, &[&payload], links),
        }
        Ok(())
    }

    pub(super) fn on_unavailable(&mut self, from: u8, payload: Bytes) -> Outcome {
        let (kind, digest) = FetchKind::decode(&payload)?;
        if !self.fetches.is_asked(kind, &digest, from) {
            return Err(Reason::Unasked);
        }
        self.answer_failed(kind, &digest, from);
        Ok(())
    }

    /// A replica that was asked has not got it, or answered with something else.
    pub(super) fn answer_failed(&mut self, kind: FetchKind, digest: &Digest, from: u8) {
        if self.fetches.unavailable(kind, digest, from) {
            self.report_body(digest, BodyStatus::Unavailable);
        }
    }
}
