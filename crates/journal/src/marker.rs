//! The genesis marker: proof that `init` was run here, and for whom.

use std::path::Path;

use crate::error::{Damage, DiskFailure, OpenError};
use crate::identity::{IDENTITY_BYTES, Identity, LIFE_BYTES, Life};
use crate::layout::{MARKER, array};
use crate::sealed::Seal;
use crate::storage::Storage;

const SEAL: Seal = Seal {
    name: MARKER,
    magic: *b"bqmarker",
    version: 1,
};

const BODY_BYTES: usize = IDENTITY_BYTES + LIFE_BYTES + 1;

/// How the directory began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cluster's first start: a journal without records is a replica that never voted.
    Genesis,
    /// A wiped disk: a journal without records says nothing about what its replica voted before.
    Wiped,
}

/// The genesis marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whose directory it is.
    pub identity: Identity,
    /// How it began.
    pub origin: Origin,
    pub(crate) life: Life,
}

impl Marker {
    pub(crate) fn write(&self, storage: &dyn Storage, dir: &Path) -> Result<(), DiskFailure> {
        let mut body = [0; BODY_BYTES];
        body[..IDENTITY_BYTES].copy_from_slice(&self.identity.encode());
        body[IDENTITY_BYTES..BODY_BYTES - 1].copy_from_slice(&self.life);
        body[BODY_BYTES - 1] = match self.origin {
            Origin::Genesis => 0,
            Origin::Wiped => 1,
        };
        SEAL.write(storage, dir, &body)
    }

    /// Reads the marker; a directory without one is [`OpenError::Wiped`].
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self, OpenError> {
        let body = SEAL.read(storage, dir)?.ok_or(OpenError::Wiped)?;
        let origin = match (body.len(), body.last()) {
            (BODY_BYTES, Some(0)) => Origin::Genesis,
            (BODY_BYTES, Some(1)) => Origin::Wiped,
            _ => return Err(OpenError::corrupt(MARKER, 0, Damage::Header)),
        };
        Ok(Self {
            identity: Identity::decode(&array(&body, 0)),
            origin,
            life: array(&body, IDENTITY_BYTES),
        })
    }

    /// Refuses a directory of somebody else, by the first field that differs.
    pub(crate) fn require(&self, identity: &Identity) -> Result<(), OpenError> {
        match self.identity.differs(identity) {
            None => Ok(()),
            Some(field) => Err(OpenError::Foreign {
                file: MARKER.to_owned(),
                field,
            }),
        }
    }
}
