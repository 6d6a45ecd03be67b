//! What arrives: cheap checks first, then decoding, then the stores or the wait for a verdict.

use bytes::Bytes;
use byzantine_crypto::{bundle_digest, hash::sha256_parts};
use byzantine_transport::Source;

use super::pending::{Composite, Pending};
use super::{BodyStatus, Engine};
use crate::bodies::Head;
use crate::checks::{Check, Signed, Signer};
use crate::links::Links;
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{
    Batch, Bundle, Certificate, Checkpoint, Digest, FetchKind, Lane, Name, NewView, PrePrepare,
    SIGNATURE_LENGTH, U53_MAX, ViewChange, Vote, check, lane_of,
};

/// Digest of what has none of its own.
const ZERO: Digest = [0; 32];
/// Tag of a message digest (WIRE.md §3).
const TAG_MESSAGE: u8 = 0x05;

type Outcome = Result<(), Reason>;

impl Engine {
    /// Takes one frame. It may be anything that a peer or a client can write.
    pub fn on_frame(
        &mut self,
        from: Source,
        lane: Lane,
        message_type: u8,
        payload: Bytes,
        links: &impl Links,
    ) {
        self.traffic.received(message_type, payload.len());
        let outcome = if lane_of(message_type) != Some(lane) {
            Err(Reason::UnexpectedType)
        } else {
            match from {
                Source::Peer(peer) => self.on_peer_frame(peer, message_type, payload, links),
                Source::Client(_) if message_type == BUNDLE => self.on_bundle(from, payload, links),
                Source::Client(_) => Err(Reason::UnexpectedType),
            }
        };
        if let Err(reason) = outcome {
            self.reject(reason, from);
        }
    }

    fn on_peer_frame(
        &mut self,
        from: u8,
        message_type: u8,
        payload: Bytes,
        links: &impl Links,
    ) -> Outcome {
        if from >= self.quorums.n || from == self.quorums.me {
            return Err(Reason::NotMember);
        }
        match message_type {
            BUNDLE => self.on_bundle(Source::Peer(from), payload, links),
            PRE_PREPARE => self.on_pre_prepare(from, payload),
            PREPARE => {
                let vote = Vote::decode_prepare(&payload)?;
                let signature = vote.signature.ok_or(Reason::Malformed)?;
                self.votes.offer_prepare(from, &vote.name, signature)
            }
            COMMIT => self
                .votes
                .offer_commit(from, &Vote::decode_commit(&payload)?.name),
            CHECKPOINT => self.on_checkpoint(from, payload),
            VIEW_CHANGE => self.on_view_change(from, from, message_type, 0, payload),
            NEW_VIEW => self.on_new_view(from, message_type, payload),
            DECIDED => self.on_decided(from, payload),
            FETCH => self.on_fetch(from, payload, links),
            UNAVAILABLE => self.on_unavailable(from, payload),
            FETCHED_BUNDLE => self.on_fetched_bundle(from, payload),
            FETCHED_BATCH => self.on_fetched_batch(from, payload),
            FETCHED_VIEW_CHANGE => {
                let (signer, _) = check::split_sender(&payload)?;
                self.on_view_change(from, signer, message_type, 1, payload)
            }
            FETCHED_NEW_VIEW => self.on_new_view(from, message_type, payload),
            STATUS | COMPLAINT | STATE_FETCH | STATE_NODES => {
                check::decode_check(message_type, &payload)?;
                self.pending.push(Pending::Plain {
                    from,
                    message_type,
                    digest: ZERO,
                    payload,
                });
                Ok(())
            }
            _ => Err(Reason::UnexpectedType),
        }
    }

    fn on_bundle(&mut self, source: Source, payload: Bytes, links: &impl Links) -> Outcome {
        let bundle = Bundle::decode(&payload)?;
        if let Source::Client(client) = source
            && self.clients.key_of(client) != Some(bundle.client)
        {
            return Err(Reason::WrongClient);
        }
        let (session, first_sequence) = (bundle.session, bundle.first_sequence);
        let (digest, from_client) = (bundle_digest(&payload), matches!(source, Source::Client(_)));
        let outcome = self.admit_bundle(
            source,
            digest,
            Head::of(&bundle),
            bundle.longest_operation,
            payload.clone(),
            false,
        );
        match outcome {
            Err(Reason::Busy) => self.send_busy(source, session, first_sequence, links),
            // Its client has not got its replies: the core decides whether to answer again.
            Err(Reason::Duplicate) if from_client && self.bodies.repeat(&digest) => return Ok(()),
            _ => {}
        }
        outcome
    }

    fn admit_bundle(
        &mut self,
        source: Source,
        digest: Digest,
        head: Head,
        longest: usize,
        payload: Bytes,
        fetched: bool,
    ) -> Outcome {
        if longest > self.limits.operation_bytes_max {
            return Err(Reason::BundleTooLarge);
        }
        let from = super::peer_of(source);
        if self.verifying.contains(&digest) {
            return Err(Reason::Duplicate);
        }
        self.bodies
            .admit(&digest, from, &head.client, payload.len(), fetched)?;
        let key = self
            .clients
            .admit(&head.client)
            .ok_or(Reason::UnknownClient)?;
        self.verifying.insert(digest);
        self.pending.push(Pending::Bundle {
            source,
            digest,
            head,
            key,
            payload,
            fetched,
        });
        Ok(())
    }

    fn on_fetched_bundle(&mut self, from: u8, payload: Bytes) -> Outcome {
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

    fn on_fetched_batch(&mut self, from: u8, payload: Bytes) -> Outcome {
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

    fn on_pre_prepare(&mut self, from: u8, payload: Bytes) -> Outcome {
        let message = PrePrepare::decode(&payload)?;
        if from != self.quorums.primary(message.view) {
            return Err(Reason::NotPrimary);
        }
        self.votes.check_place(message.view, message.sequence)?;
        if message.batch.bundles.len() > self.limits.batch_bundles_max {
            return Err(Reason::BatchTooLarge);
        }
        let name = Name {
            view: message.view,
            sequence: message.sequence,
            digest: message.batch.digest(),
        };
        let signature = *message.signature;
        self.pending.push(Pending::PrePrepare {
            from,
            name,
            signature,
            payload,
        });
        Ok(())
    }

    fn on_checkpoint(&mut self, from: u8, payload: Bytes) -> Outcome {
        let message = Checkpoint::decode(&payload, true)?;
        let (sequence, digest) = (message.sequence, *message.digest);
        let signature = *message.signature.ok_or(Reason::Malformed)?;
        self.pending.push(Pending::Checkpoint {
            from,
            sequence,
            digest,
            signature,
            payload,
        });
        Ok(())
    }

    fn on_decided(&mut self, from: u8, payload: Bytes) -> Outcome {
        let (_, batch) = check::decided(&payload)?;
        if batch.bundles.len() > self.limits.batch_bundles_max {
            return Err(Reason::BatchTooLarge);
        }
        let digest = batch.digest();
        self.pending.push(Pending::Plain {
            from,
            message_type: DECIDED,
            digest,
            payload,
        });
        Ok(())
    }

    /// A VIEW_CHANGE of `signer` that starts at `start` of the payload, from the connection of
    /// `from`. All its signatures are verified, once: a resent one passes by its digest.
    fn on_view_change(
        &mut self,
        from: u8,
        signer: u8,
        message_type: u8,
        start: usize,
        payload: Bytes,
    ) -> Outcome {
        let body = payload.slice(start..);
        let message = ViewChange::decode(&body)?;
        let digest = sha256_parts(&[&[TAG_MESSAGE, VIEW_CHANGE], &body]);
        let fetched = message_type == FETCHED_VIEW_CHANGE;
        if fetched && !self.fetches.is_asked(FetchKind::ViewChange, &digest, from) {
            return Err(Reason::Unasked);
        }
        if signer >= self.quorums.n {
            return Err(Reason::NotMember);
        }
        if self.verified_messages.contains(&(signer, digest)) {
            self.fetches.close(FetchKind::ViewChange, &digest);
            self.pending.push(Pending::Plain {
                from,
                message_type,
                digest,
                payload,
            });
            return Ok(());
        }
        let mut checks = vec![Check {
            signer: Signer::Member(signer),
            message_type: VIEW_CHANGE,
            signed: Signed::Payload(body.clone()),
            signature: *message.signature,
        }];
        if let Some(stable) = &message.stable {
            checks.extend(stable.votes().map(|(replica, signature)| Check {
                signer: Signer::Member(replica),
                message_type: CHECKPOINT,
                signed: Signed::checkpoint(stable.name.sequence, &stable.name.digest),
                signature: *signature,
            }));
        }
        for certificate in &message.prepared {
            self.collect_certificate(certificate, &mut checks)?;
        }
        let composite = Composite {
            from,
            signer,
            message_type,
            digest,
            payload,
            checks,
            proposals: Vec::new(),
        };
        self.pending.push(Pending::Composite(composite));
        Ok(())
    }

    /// The primary's signature in a prepared certificate is that of its PRE_PREPARE.
    fn collect_certificate(
        &self,
        certificate: &Certificate<'_>,
        checks: &mut Vec<Check>,
    ) -> Outcome {
        let primary = self.quorums.primary(certificate.name.view);
        if certificate.signers >> primary & 1 == 0 {
            return Err(Reason::Malformed);
        }
        checks.extend(certificate.votes().map(|(replica, signature)| Check {
            signer: Signer::Member(replica),
            message_type: if replica == primary {
                PRE_PREPARE
            } else {
                PREPARE
            },
            signed: Signed::name(&certificate.name),
            signature: *signature,
        }));
        Ok(())
    }

    fn on_new_view(&mut self, from: u8, message_type: u8, payload: Bytes) -> Outcome {
        let message = NewView::decode(&payload)?;
        let primary = self.quorums.primary(message.view);
        let fetched = message_type == FETCHED_NEW_VIEW;
        if fetched
            && !self
                .fetches
                .is_asked(FetchKind::NewView, &new_view_name(message.view), from)
        {
            return Err(Reason::Unasked);
        }
        if !fetched && from != primary {
            return Err(Reason::NotPrimary);
        }
        if message.first > U53_MAX - message.batches.len() as u64 {
            return Err(Reason::Malformed);
        }
        let mut checks = vec![Check {
            signer: Signer::Member(primary),
            message_type: NEW_VIEW,
            signed: Signed::Payload(payload.clone()),
            signature: *message.signature,
        }];
        let mut proposals = Vec::with_capacity(message.batches.len());
        for (sequence, (digest, signature)) in (message.first..).zip(&message.batches) {
            let name = Name {
                view: message.view,
                sequence,
                digest: **digest,
            };
            let (signed, signature) = (Signed::name(&name), **signature);
            checks.push(Check {
                signer: Signer::Member(primary),
                message_type: PRE_PREPARE,
                signed,
                signature,
            });
            proposals.push((name, signature));
        }
        let digest = new_view_name(message.view);
        let composite = Composite {
            from,
            signer: primary,
            message_type,
            digest,
            payload,
            checks,
            proposals,
        };
        self.pending.push(Pending::Composite(composite));
        Ok(())
    }

    fn on_fetch(&mut self, from: u8, payload: Bytes, links: &impl Links) -> Outcome {
        let (kind, digest) = FetchKind::decode(&payload)?;
        let to = Source::Peer(from);
        let answered = match kind {
            FetchKind::Bundle => self
                .bodies
                .payload(&digest)
                .cloned()
                .map(|body| (FETCHED_BUNDLE, body)),
            FetchKind::Batch => self.manifests.get(&digest).map(|batch| {
                let mut writer = crate::wire::Writer::with_capacity(12 + batch.bundles.len() * 32);
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

    fn on_unavailable(&mut self, from: u8, payload: Bytes) -> Outcome {
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

    pub(super) fn send_busy(
        &mut self,
        to: Source,
        session: u64,
        first_sequence: u64,
        links: &impl Links,
    ) {
        let (session, first) = (session.to_le_bytes(), first_sequence.to_le_bytes());
        self.send_to(to, BUSY, &[&session, &first], links);
    }

    pub(super) fn send_to(
        &mut self,
        to: Source,
        message_type: u8,
        parts: &[&[u8]],
        links: &impl Links,
    ) {
        let bytes = parts.iter().map(|part| part.len()).sum();
        let queued = links.send(to, message_type, parts);
        self.traffic.sent(message_type, bytes, queued);
    }
}

/// More than a frame's header: what an answer needs in a queue besides its payload.
const FRAME_OVERHEAD: usize = 64;

/// The name of a NEW_VIEW in a fetch: its view in the first 8 bytes.
fn new_view_name(view: u64) -> Digest {
    let mut name = ZERO;
    name[..8].copy_from_slice(&view.to_le_bytes());
    name
}

/// What the CONTROL record holds: the payload without its sender's signature.
pub(super) fn unsigned(message_type: u8, payload: &Bytes) -> &[u8] {
    match message_type {
        PRE_PREPARE | CHECKPOINT | VIEW_CHANGE | NEW_VIEW | FETCHED_VIEW_CHANGE
        | FETCHED_NEW_VIEW => &payload[..payload.len() - SIGNATURE_LENGTH],
        _ => payload,
    }
}

impl From<crate::wire::DecodeError> for Reason {
    fn from(_: crate::wire::DecodeError) -> Self {
        Self::Malformed
    }
}
