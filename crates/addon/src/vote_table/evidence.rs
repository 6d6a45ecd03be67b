//! Evidence: two signed messages of one replica that exclude each other.

use std::collections::BTreeMap;

use byzantine_crypto::sha256;

use crate::checks::{Check, Signed, Signer};
use crate::wire::types::CHECKPOINT;
use crate::wire::{Digest, Name, Signature, Writer};

/// Most conflicts that are kept: a faulty replica makes as many as it likes, one is enough to
/// show it, and 64 leave room for each of 31.
const EVIDENCE_MAX: usize = 64;
/// Most bytes of whole messages among them, of which one pair per signer and type is kept: eight
/// pairs of the largest ones, and all 31 pairs of the usual ones.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// What a replica signed, and its signature.
#[derive(Clone, Debug)]
pub struct SignedClaim {
    message_type: u8,
    signed: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

impl SignedClaim {
    /// A PRE-PREPARE or PREPARE.
    pub fn of_name(message_type: u8, name: &Name, signature: Signature) -> Self {
        Self {
            message_type,
            signed: name.signed_bytes().to_vec(),
            signature,
        }
    }

    /// A CHECKPOINT.
    pub fn of_checkpoint(sequence: u64, digest: &Digest, signature: Signature) -> Self {
        let mut signed = sequence.to_le_bytes().to_vec();
        signed.extend_from_slice(digest);
        Self {
            message_type: CHECKPOINT,
            signed,
            signature,
        }
    }

    /// The digest that it is for: the last field of all three types.
    pub fn digest(&self) -> Digest {
        *self
            .signed
            .last_chunk()
            .expect("what is signed ends in a digest")
    }

    /// The check of its signature.
    pub fn check(&self, by: u8) -> Check {
        let signed = match self.message_type {
            CHECKPOINT => Signed::Checkpoint(*self.signed.first_chunk().expect("40 bytes")),
            _ => Signed::Name(*self.signed.first_chunk().expect("48 bytes")),
        };
        Check {
            signer: Signer::Member(by),
            message_type: self.message_type,
            signed,
            signature: self.signature,
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.record(self.message_type, |body| {
            body.raw(&self.signed).raw(&self.signature);
        });
    }
}

/// Conflicts by the digest of their two messages.
#[derive(Debug, Default)]
pub struct Evidence {
    kept: BTreeMap<Digest, Vec<u8>>,
    /// Signers and types of whole messages.
    messages: Vec<(u8, u8)>,
    message_bytes: usize,
}

impl Evidence {
    /// Whether another conflict can be kept.
    pub fn has_room(&self) -> bool {
        self.kept.len() < EVIDENCE_MAX
    }

    /// Keeps two verified messages as records `u8 type | u32 length | signed payload | signature`;
    /// returns their digest, or none where there is no room or they are held.
    pub fn keep(&mut self, first: &SignedClaim, second: &SignedClaim) -> Option<Digest> {
        let mut writer = Writer::default();
        first.write(&mut writer);
        second.write(&mut writer);
        let digest = sha256(writer.as_slice());
        if !self.has_room() || self.kept.contains_key(&digest) {
            return None;
        }
        self.kept.insert(digest, writer.into_vec());
        Some(digest)
    }

    /// Whether two whole messages of this type by this replica are kept.
    pub fn knows_messages(&self, by: u8, message_type: u8) -> bool {
        self.messages.contains(&(by, message_type))
    }

    /// The same for two whole payloads that `by` signed, of which one pair per type is kept.
    pub fn keep_messages(
        &mut self,
        by: u8,
        message_type: u8,
        first: &[u8],
        second: &[u8],
    ) -> Option<Digest> {
        let bytes = first.len() + second.len();
        let full = self.message_bytes + bytes > MESSAGE_BYTES_MAX;
        if full || self.knows_messages(by, message_type) {
            return None;
        }
        let mut writer = Writer::with_capacity(bytes + 10);
        for payload in [first, second] {
            writer.record(message_type, |body| {
                body.raw(payload);
            });
        }
        let digest = sha256(writer.as_slice());
        self.messages.push((by, message_type));
        self.message_bytes += bytes;
        self.kept.insert(digest, writer.into_vec());
        Some(digest)
    }

    /// The records behind a digest.
    pub fn get(&self, digest: &Digest) -> Option<&[u8]> {
        self.kept.get(digest).map(Vec::as_slice)
    }
}
