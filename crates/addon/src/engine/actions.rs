//! What the core's shell wants of a turn.

use byzantine_transport::Source;

use super::fault::Fault;
use super::frames::{ZERO, unsigned};
use super::{BodyStatus, Engine};
use crate::links::Links;
use crate::records::{Action, InputKind};
use crate::wire::types::*;
use crate::wire::{
    Batch, Checkpoint, DecodeError, Digest, FetchKind, Name, PrePrepare, REPLICAS_MAX, Reader,
    Reply, SIGNATURE_LENGTH, Signature, Vote,
};

impl Engine {
    /// Carries out one action.
    ///
    /// # Errors
    /// [`Fault`]; nothing that a peer or a client sends leads to one.
    pub fn apply(&mut self, action: Action<'_>, links: &impl Links) -> Result<(), Fault> {
        match action {
            Action::Send {
                to,
                message_type,
                payload,
            } => return self.send(to, message_type, payload, links),
            Action::Assemble {
                view,
                sequence,
                batch,
            } => self.assemble(view, sequence, &batch),
            Action::Forward { to, digest } => return self.forward(to, &digest, links),
            Action::Fetch { from, kind, digest } => self.fetch(from, kind, digest, links),
            Action::ReadBatch { sequence, batch } => return self.read_batch(sequence, &batch),
            Action::Reply {
                client,
                in_full,
                payload,
            } => return self.reply(&client, in_full, payload, links),
            Action::Busy { digest } => self.busy(&digest, links),
            Action::Release(digests) => {
                for digest in digests {
                    self.bodies.release(digest);
                }
            }
            Action::Pin(digests) => {
                if !self.bodies.pin(digests) {
                    return Err(Fault::TooManyPins);
                }
            }
            Action::Window {
                low,
                high,
                view,
                pending,
            } => self.votes.set_window(low, high, view, pending),
            Action::Room { bundles, bytes } => self.bodies.set_room(bundles, bytes),
            Action::Stable {
                sequence,
                digest,
                signers,
            } => return self.stable(sequence, digest, signers),
            Action::Seal(payload) => return self.seal(payload),
            Action::Forget { kind, digests } => self.forget(kind, digests),
            Action::SendKept { to, digest } => self.send_kept(to, &digest, links),
            Action::Persist { lsn, record } => return self.persist(lsn, &record),
            Action::Truncate { below } => self.truncate(below),
        }
        Ok(())
    }

    fn send(
        &mut self,
        to: u32,
        message_type: u8,
        payload: &[u8],
        links: &impl Links,
    ) -> Result<(), Fault> {
        let signature = self.signature_for(message_type, payload)?;
        let signature = signature
            .as_ref()
            .map_or(&[] as &[u8], |signature| signature);
        for replica in replicas(to & !(1 << self.quorums.me)) {
            self.send_to(
                Source::Peer(replica),
                message_type,
                &[payload, signature],
                links,
            );
        }
        Ok(())
    }

    /// The signature that WIRE.md §2 wants on a message of ours. Votes are filed in the vote table.
    fn signature_for(
        &mut self,
        message_type: u8,
        payload: &[u8],
    ) -> Result<Option<Signature>, Fault> {
        let bad = |error| Fault::Payload(message_type, error);
        Ok(match message_type {
            PRE_PREPARE => {
                let mut reader = Reader::new(payload);
                let (view, sequence, batch) =
                    PrePrepare::read_unsigned(&mut reader).map_err(bad)?;
                reader.finish().map_err(bad)?;
                let name = Name {
                    view,
                    sequence,
                    digest: batch.digest(),
                };
                self.manifests.keep(name.digest, sequence, &batch);
                Some(self.sign_name(PRE_PREPARE, &name)?)
            }
            PREPARE => {
                Some(self.sign_name(PREPARE, &Vote::decode_commit(payload).map_err(bad)?.name)?)
            }
            CHECKPOINT => {
                let message = Checkpoint::decode(payload, false).map_err(bad)?;
                Some(self.sign_checkpoint(message.sequence, message.digest)?)
            }
            // RECOVER, as a client of the cluster; whoever gets it hands it on like any other.
            BUNDLE => Some(self.sign(BUNDLE, payload)),
            // They are made and kept first, and then sent as they are kept.
            VIEW_CHANGE | NEW_VIEW => return Err(bad(DecodeError::UnknownType)),
            _ => None,
        })
    }

    /// Signs a proposal or vote of ours and files it; a repeated one has the signature it had.
    ///
    /// # Errors
    /// We signed another digest there.
    pub fn sign_name(&mut self, message_type: u8, name: &Name) -> Result<Signature, Fault> {
        let contradiction = Fault::Contradiction {
            message_type,
            sequence: name.sequence,
        };
        if let Some(signature) = self
            .votes
            .own(message_type, name)
            .map_err(|_| contradiction)?
        {
            return Ok(signature);
        }
        let signature = self.sign(message_type, &name.signed_bytes());
        if message_type == PREPARE {
            self.votes.file_own_prepare(name, &signature);
        } else if self.quorums.primary(name.view) == self.quorums.me {
            self.votes
                .file_proposal(name, &signature)
                .map_err(|_| contradiction)?;
        }
        Ok(signature)
    }

    pub(super) fn sign_checkpoint(
        &mut self,
        sequence: u64,
        digest: &Digest,
    ) -> Result<Signature, Fault> {
        let me = self.quorums.me;
        let contradiction = Fault::Contradiction {
            message_type: CHECKPOINT,
            sequence,
        };
        let held = self
            .votes
            .checkpoints()
            .vote_of(me, sequence, digest)
            .map_err(|_| contradiction)?;
        if let Some(signature) = held {
            return Ok(signature);
        }
        let mut signed = sequence.to_le_bytes().to_vec();
        signed.extend_from_slice(digest);
        let signature = self.sign(CHECKPOINT, &signed);
        // One that is too old to be kept is sent all the same.
        let _ = self.votes.file_checkpoint(me, sequence, digest, &signature);
        Ok(signature)
    }

    pub(super) fn sign(&mut self, message_type: u8, payload: &[u8]) -> Signature {
        self.work.signed += 1;
        self.secret
            .sign(&[&self.domain.prefix(message_type), payload])
    }

    fn assemble(&mut self, view: u64, sequence: u64, batch: &Batch<'_>) {
        let digest = batch.digest();
        self.manifests.keep(digest, sequence, batch);
        self.records.push(InputKind::Assembled, |record| {
            record.u53(view).u53(sequence).raw(&digest);
        });
    }

    fn forward(&mut self, to: u32, digest: &Digest, links: &impl Links) -> Result<(), Fault> {
        let body = self
            .bodies
            .payload(digest)
            .cloned()
            .ok_or(Fault::MissingBody)?;
        for replica in replicas(to & !(1 << self.quorums.me)) {
            self.send_to(Source::Peer(replica), BUNDLE, &[&body], links);
        }
        Ok(())
    }

    fn fetch(&mut self, from: u32, kind: FetchKind, digest: Digest, links: &impl Links) {
        if self.is_at_hand(kind, &digest) {
            return;
        }
        let asked: Vec<u8> = replicas(from & !(1 << self.quorums.me))
            .filter(|replica| links.is_connected(Source::Peer(*replica)))
            .collect();
        let set = asked.iter().fold(0, |set, replica| set | 1 << replica);
        if !self.fetches.ask(kind, digest, set) {
            self.report_body(&digest, BodyStatus::Unavailable);
            return;
        }
        for replica in asked {
            self.send_to(
                Source::Peer(replica),
                FETCH,
                &[&[kind as u8], &digest],
                links,
            );
        }
    }

    /// What is held is handed up without asking anybody.
    fn is_at_hand(&mut self, kind: FetchKind, digest: &Digest) -> bool {
        let (message_type, kept, name) = match kind {
            FetchKind::Bundle if self.bodies.holds(digest) => {
                // It only waits for room.
                let _ = self.bodies.pin(&[*digest]);
                return true;
            }
            FetchKind::Bundle | FetchKind::Batch => return false,
            FetchKind::ViewChange => (VIEW_CHANGE, self.messages.view_change(digest), *digest),
            FetchKind::NewView => (NEW_VIEW, self.kept_new_view(digest), ZERO),
        };
        let Some(kept) = kept.cloned() else {
            return false;
        };
        self.push_control(
            kept.signer,
            message_type,
            &name,
            unsigned(message_type, &kept.payload),
        );
        true
    }

    fn read_batch(&mut self, sequence: u64, batch: &Batch<'_>) -> Result<(), Fault> {
        let bodies: Vec<_> = batch
            .bundles
            .iter()
            .map(|digest| self.bodies.payload(digest).ok_or(Fault::MissingBody))
            .collect::<Result<_, _>>()?;
        self.records.push(InputKind::Batch, |record| {
            record
                .u53(sequence)
                .u53(batch.time_ms)
                .u32(bodies.len() as u32);
            for (digest, body) in batch.bundles.iter().zip(&bodies) {
                record
                    .raw(digest)
                    .bytes(&body[..body.len() - SIGNATURE_LENGTH]);
            }
        });
        Ok(())
    }

    fn reply(
        &mut self,
        client: &[u8; 32],
        in_full: bool,
        payload: &[u8],
        links: &impl Links,
    ) -> Result<(), Fault> {
        let reply = Reply::decode(payload).map_err(|error| Fault::Payload(REPLY, error))?;
        let connections = self.clients.connections_of(client).to_vec();
        if connections.is_empty() {
            return Ok(());
        }
        let encoded = (!in_full).then(|| reply.encode_for_client(self.quorums.me, self.quorums.n));
        for connection in connections {
            self.send_to(
                Source::Client(connection),
                REPLY,
                &[encoded.as_deref().unwrap_or(payload)],
                links,
            );
        }
        Ok(())
    }

    fn busy(&mut self, digest: &Digest, links: &impl Links) {
        let Some(body) = self.bodies.release(digest) else {
            return;
        };
        for connection in self.clients.connections_of(&body.head.client).to_vec() {
            self.send_busy(
                Source::Client(connection),
                body.head.session,
                body.head.first_sequence,
                links,
            );
        }
    }
}

pub(super) fn replicas(set: u32) -> impl Iterator<Item = u8> {
    (0..REPLICAS_MAX as u8).filter(move |replica| set >> replica & 1 == 1)
}
