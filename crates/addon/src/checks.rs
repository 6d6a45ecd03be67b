//! Signatures that wait to be verified, and their verdicts: all of a turn in one batch.

use std::sync::Arc;

use bytes::Bytes;
use byzantine_crypto::{Domain, Item, PublicKey, sha256_parts, verify_batch};

use crate::wire::{Digest, Name, SIGNATURE_LENGTH, Signature};

/// Whose signature it is.
#[derive(Clone, Debug)]
pub enum Signer {
    /// A replica.
    Member(u8),
    /// A client.
    Client(Arc<PublicKey>),
}

/// What is signed after the domain tag.
#[derive(Clone, Debug)]
pub enum Signed {
    /// View, sequence and digest.
    Name([u8; 48]),
    /// Sequence and digest of a CHECKPOINT.
    Checkpoint([u8; 40]),
    /// A payload; its own signature at the end is not part of what is signed.
    Payload(Bytes),
}

impl Signed {
    /// What a PRE-PREPARE or PREPARE signs.
    pub fn name(name: &Name) -> Self {
        Self::Name(name.signed_bytes())
    }

    /// What a CHECKPOINT signs.
    pub fn checkpoint(sequence: u64, digest: &Digest) -> Self {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&sequence.to_le_bytes());
        bytes[8..].copy_from_slice(digest);
        Self::Checkpoint(bytes)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Name(bytes) => bytes,
            Self::Checkpoint(bytes) => bytes,
            Self::Payload(payload) => &payload[..payload.len().saturating_sub(SIGNATURE_LENGTH)],
        }
    }
}

/// One signature to verify.
#[derive(Clone, Debug)]
pub struct Check {
    /// Whose it should be.
    pub signer: Signer,
    /// The type that the domain tag names.
    pub message_type: u8,
    /// What it should cover.
    pub signed: Signed,
    /// The signature.
    pub signature: Signature,
}

impl Check {
    /// Names a replica's vote with its signature; none for anything else.
    pub fn vote_key(&self) -> Option<Digest> {
        match (&self.signer, &self.signed) {
            (Signer::Client(_), _) | (_, Signed::Payload(_)) => None,
            (Signer::Member(signer), signed) => Some(sha256_parts(&[
                &[*signer, self.message_type],
                signed.bytes(),
                &self.signature,
            ])),
        }
    }
}

/// The members' keys and the cluster's domain.
#[derive(Clone, Debug)]
pub struct Verifier {
    domain: Domain,
    members: Vec<PublicKey>,
}

impl Verifier {
    /// A verifier for a cluster whose members have these keys, by replica.
    pub fn new(domain: Domain, members: Vec<PublicKey>) -> Self {
        Self { domain, members }
    }

    /// Number of members.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The key of a member.
    pub fn key_of(&self, replica: u8) -> Option<&PublicKey> {
        self.members.get(usize::from(replica))
    }

    /// The verdict on each check. A check of a replica that is no member is false.
    pub fn verdicts<'a>(&self, checks: impl IntoIterator<Item = &'a Check>) -> Vec<bool> {
        let checks: Vec<&Check> = checks.into_iter().collect();
        let contexts: Vec<_> = checks
            .iter()
            .map(|check| self.domain.prefix(check.message_type))
            .collect();
        let mut verdicts = vec![false; checks.len()];
        let mut places = Vec::with_capacity(checks.len());
        let mut items = Vec::with_capacity(checks.len());
        for (place, (check, context)) in checks.iter().zip(&contexts).enumerate() {
            if let Some(key) = self.key(&check.signer) {
                places.push(place);
                items.push(Item {
                    key,
                    context,
                    message: check.signed.bytes(),
                    signature: &check.signature,
                });
            }
        }
        for (place, verdict) in places.into_iter().zip(verify_batch(&items)) {
            verdicts[place] = verdict;
        }
        verdicts
    }

    /// Whether a signature that failed is another member's than the one it came from.
    pub fn is_of_another_member(&self, check: &Check) -> bool {
        let Signer::Member(own) = check.signer else {
            return false;
        };
        let others = (0..self.members.len() as u8).filter(|replica| *replica != own);
        let checks: Vec<_> = others
            .map(|replica| Check {
                signer: Signer::Member(replica),
                ..check.clone()
            })
            .collect();
        self.verdicts(&checks).contains(&true)
    }

    fn key<'a>(&'a self, signer: &'a Signer) -> Option<&'a PublicKey> {
        match signer {
            Signer::Member(replica) => self.key_of(*replica),
            Signer::Client(key) => Some(key),
        }
    }
}
