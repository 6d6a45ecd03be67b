//! What arrives: cheap checks first, then decoding, then the stores or the wait for a verdict.

use bytes::Bytes;
use byzantine_crypto::bundle_digest;
use byzantine_transport::Source;

use super::Engine;
use super::pending::Pending;
use crate::bodies::Head;
use crate::links::Links;
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{
    Bundle, Checkpoint, Digest, Lane, Name, PrePrepare, SIGNATURE_LENGTH, Vote, check, lane_of,
};

/// Digest of what has none of its own.
pub(super) const ZERO: Digest = [0; 32];

/// Whether a frame was taken.
pub(super) type Outcome = Result<(), Reason>;

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
            VIEW_CHANGE => self.on_view_change(from, payload),
            NEW_VIEW => self.on_new_view(from, false, payload),
            DECIDED => self.on_decided(from, payload),
            FETCH => self.on_fetch(from, payload, links),
            UNAVAILABLE => self.on_unavailable(from, payload),
            FETCHED_BUNDLE => self.on_fetched_bundle(from, payload),
            FETCHED_BATCH => self.on_fetched_batch(from, payload),
            FETCHED_VIEW_CHANGE => self.on_fetched_view_change(from, payload),
            FETCHED_NEW_VIEW => self.on_new_view(from, true, payload),
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
        if matches!(source, Source::Client(_)) && self.offenders.is_barred(bundle.client, self.now)
        {
            return Err(Reason::Barred);
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

    pub(super) fn admit_bundle(
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

/// What the CONTROL record holds: the payload without its sender's signature.
pub(super) fn unsigned(message_type: u8, payload: &Bytes) -> &[u8] {
    match message_type {
        PRE_PREPARE | CHECKPOINT | VIEW_CHANGE | NEW_VIEW => {
            &payload[..payload.len() - SIGNATURE_LENGTH]
        }
        _ => payload,
    }
}

impl From<crate::wire::DecodeError> for Reason {
    fn from(_: crate::wire::DecodeError) -> Self {
        Self::Malformed
    }
}
