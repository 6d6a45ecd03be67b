//! Messages that carry signatures of several replicas: VIEW_CHANGE and NEW_VIEW, also fetched ones.

use bytes::Bytes;
use byzantine_crypto::hash::sha256_parts;

use super::Engine;
use super::frames::{Outcome, ZERO};
use super::pending::{Composite, Pending};
use crate::checks::{Check, Signed, Signer};
use crate::rejections::Reason;
use crate::wire::types::*;
use crate::wire::{Certificate, Digest, FetchKind, Name, NewView, U53_MAX, ViewChange};

/// Tag of a message digest (WIRE.md §3).
const TAG_MESSAGE: u8 = 0x05;

impl Engine {
    /// A VIEW_CHANGE of `signer` that starts at `start` of the payload, from the connection of
    /// `from`. All its signatures are verified, once: a resent one passes by its digest.
    pub(super) fn on_view_change(
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

    pub(super) fn on_new_view(&mut self, from: u8, message_type: u8, payload: Bytes) -> Outcome {
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
}

/// The name of a NEW_VIEW in a fetch: its view in the first 8 bytes.
fn new_view_name(view: u64) -> Digest {
    let mut name = ZERO;
    name[..8].copy_from_slice(&view.to_le_bytes());
    name
}
