//! Whose data directory it is.

use std::fmt;

use crate::layout::{array, u64_at};

/// Encoded length in bytes.
pub(crate) const IDENTITY_BYTES: usize = 72;
/// Length of a life in bytes.
pub(crate) const LIFE_BYTES: usize = 16;

/// Drawn by `init` and part of every checksum: bytes of an earlier life of the directory, or such that a client chose,
/// never pass for records of this one.
pub(crate) type Life = [u8; LIFE_BYTES];

/// Whose data directory it is: the cluster, its configuration epoch, and the replica.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Cluster id, 32 bytes.
    pub cluster: [u8; 32],
    /// Configuration epoch.
    pub epoch: u64,
    /// The replica's Ed25519 public key, 32 bytes. A replica *is* its key.
    pub replica: [u8; 32],
}

/// A field in which two identities differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityField {
    /// The cluster id.
    Cluster,
    /// The configuration epoch.
    Epoch,
    /// The replica's key.
    Replica,
}

impl Identity {
    /// The first field in which the other identity differs; none if they are equal.
    pub fn differs(&self, other: &Self) -> Option<IdentityField> {
        if self.cluster != other.cluster {
            Some(IdentityField::Cluster)
        } else if self.replica != other.replica {
            Some(IdentityField::Replica)
        } else if self.epoch != other.epoch {
            Some(IdentityField::Epoch)
        } else {
            None
        }
    }

    pub(crate) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[..32].copy_from_slice(&self.cluster);
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..].copy_from_slice(&self.replica);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; IDENTITY_BYTES]) -> Self {
        Self {
            cluster: array(bytes, 0),
            epoch: u64_at(bytes, 32),
            replica: array(bytes, 40),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("cluster", &Hex(&self.cluster))
            .field("epoch", &self.epoch)
            .field("replica", &Hex(&self.replica))
            .finish()
    }
}

impl fmt::Display for IdentityField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cluster => "cluster id",
            Self::Epoch => "configuration epoch",
            Self::Replica => "replica key",
        })
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
