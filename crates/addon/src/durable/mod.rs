//! Records of the journal (WIRE.md §7 and §8): what the core wants to survive, and the form in which it
//! is stored, with everything that it names.

mod stored;
#[cfg(test)]
mod tests;

use crate::wire::{Batch, DecodeError, Digest, Name, Reader, Writer};

pub use stored::{STORED_VERSION, Stored, StoredBundle, StoredViewChange, Unreadable};

/// Numbers of the types of records.
pub mod types {
    #![allow(missing_docs, reason = "the names are those of WIRE.md §7")]
    pub const LEASE: u8 = 1;
    pub const PREPARED: u8 = 2;
    pub const VIEW_LEFT: u8 = 3;
    pub const VIEW_ENTERED: u8 = 4;
    pub const DECIDED: u8 = 5;
    pub const CHECKPOINT: u8 = 6;
    pub const STABLE: u8 = 7;
    pub const CLEAN_STOP: u8 = 8;
    pub const READMITTED: u8 = 9;
}
use types::*;

/// What the core wants to survive a crash.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of WIRE.md §7")]
pub enum DurableRecord<'a> {
    /// We may vote in `view` up to `through`.
    Lease { view: u64, through: u64 },
    /// A prepared certificate and its batch.
    Prepared {
        name: Name,
        signers: u32,
        batch: Batch<'a>,
    },
    /// We left a view with the VIEW-CHANGE of this digest.
    ViewLeft {
        target: u64,
        cause: u8,
        message: Digest,
    },
    /// A view began; `new_view` is a NEW-VIEW without its signature, empty where it is kept already.
    ViewEntered { view: u64, new_view: &'a [u8] },
    /// What was decided without a certificate of our own.
    Decided {
        sequence: u64,
        digest: Digest,
        batch: Batch<'a>,
    },
    /// A checkpoint of ours, and the batches that led to it.
    Checkpoint {
        sequence: u64,
        digest: Digest,
        first: u64,
        batches: &'a [Digest],
    },
    /// A stable certificate.
    Stable {
        sequence: u64,
        digest: Digest,
        signers: u32,
    },
    /// Stopped in order.
    CleanStop { view: u64, through: u64 },
    /// The disk was wiped once; since the RECOVER at `ordered` the journal holds all that binds us.
    Readmitted { view: u64, ordered: u64 },
}

impl<'a> DurableRecord<'a> {
    /// Decodes a record; nothing may follow it.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let record = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(record)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            LEASE => Self::Lease {
                view: reader.u53()?,
                through: reader.u53()?,
            },
            PREPARED => Self::Prepared {
                name: Name::read(reader)?,
                signers: reader.set()?,
                batch: Batch::read(reader)?,
            },
            VIEW_LEFT => Self::ViewLeft {
                target: reader.u53()?,
                cause: reader.u8()?,
                message: *reader.array()?,
            },
            VIEW_ENTERED => Self::ViewEntered {
                view: reader.u53()?,
                new_view: reader.bytes()?,
            },
            DECIDED => Self::Decided {
                sequence: reader.u53()?,
                digest: *reader.array()?,
                batch: Batch::read(reader)?,
            },
            CHECKPOINT => {
                let (sequence, digest, first) = (reader.u53()?, *reader.array()?, reader.u53()?);
                let count = reader.u32()?;
                Self::Checkpoint {
                    sequence,
                    digest,
                    first,
                    batches: reader.arrays(count as usize)?,
                }
            }
            STABLE => Self::Stable {
                sequence: reader.u53()?,
                digest: *reader.array()?,
                signers: reader.set()?,
            },
            CLEAN_STOP => Self::CleanStop {
                view: reader.u53()?,
                through: reader.u53()?,
            },
            READMITTED => Self::Readmitted {
                view: reader.u53()?,
                ordered: reader.u53()?,
            },
            _ => return Err(DecodeError::UnknownType),
        })
    }

    /// Its type.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Lease { .. } => LEASE,
            Self::Prepared { .. } => PREPARED,
            Self::ViewLeft { .. } => VIEW_LEFT,
            Self::ViewEntered { .. } => VIEW_ENTERED,
            Self::Decided { .. } => DECIDED,
            Self::Checkpoint { .. } => CHECKPOINT,
            Self::Stable { .. } => STABLE,
            Self::CleanStop { .. } => CLEAN_STOP,
            Self::Readmitted { .. } => READMITTED,
        }
    }

    /// Writes what [`DurableRecord::decode`] reads.
    pub fn write(&self, writer: &mut Writer) {
        writer.u8(self.kind());
        match self {
            Self::Lease { view, through } | Self::CleanStop { view, through } => {
                writer.u53(*view).u53(*through);
            }
            Self::Readmitted { view, ordered } => {
                writer.u53(*view).u53(*ordered);
            }
            Self::Prepared {
                name,
                signers,
                batch,
            } => {
                writer.raw(&name.signed_bytes()).u32(*signers);
                batch.write(writer);
            }
            Self::ViewLeft {
                target,
                cause,
                message,
            } => {
                writer.u53(*target).u8(*cause).raw(message);
            }
            Self::ViewEntered { view, new_view } => {
                writer.u53(*view).bytes(new_view);
            }
            Self::Decided {
                sequence,
                digest,
                batch,
            } => {
                writer.u53(*sequence).raw(digest);
                batch.write(writer);
            }
            Self::Checkpoint {
                sequence,
                digest,
                first,
                batches,
            } => {
                writer.u53(*sequence).raw(digest).u53(*first);
                writer.u32(batches.len() as u32).raw(batches.as_flattened());
            }
            Self::Stable {
                sequence,
                digest,
                signers,
            } => {
                writer.u53(*sequence).raw(digest).u32(*signers);
            }
        }
    }

    /// The record as it is stored: its NEW-VIEW stands behind it.
    pub fn as_stored(&self) -> Self {
        match self {
            Self::ViewEntered { view, .. } => Self::ViewEntered {
                view: *view,
                new_view: &[],
            },
            other => *other,
        }
    }
}
