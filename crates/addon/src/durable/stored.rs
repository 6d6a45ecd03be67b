//! What is stored of a record: itself, and what it names.
//!
//! It proves itself: bundles, batches and VIEW-CHANGEs have the digests that the record names.
//! Signatures were verified before they were stored, and the journal's checksums bind them.

use std::fmt;

use byzantine_crypto::bundle_digest;

use super::DurableRecord;
use crate::bodies::Head;
use crate::messages::view_change_digest;
use crate::wire::{
    Batch, Bundle, DecodeError, Digest, NewView, REPLICAS_MAX, Reader, SIGNATURE_LENGTH, Signature,
    ViewChange, Writer, without_signature,
};

/// The form of stored records that this release writes and reads.
pub const STORED_VERSION: u8 = 1;

/// A stored VIEW-CHANGE.
#[derive(Clone, Copy, Debug)]
pub struct StoredViewChange<'a> {
    /// Who signed it.
    pub signer: u8,
    /// Its message digest.
    pub digest: Digest,
    /// The view that it asks for.
    pub target: u64,
    /// With its signature.
    pub payload: &'a [u8],
}

/// A stored bundle.
#[derive(Clone, Copy, Debug)]
pub struct StoredBundle<'a> {
    /// Its digest.
    pub digest: Digest,
    /// The fields of REQUEST.
    pub head: Head,
    /// With its signature.
    pub payload: &'a [u8],
}

/// A stored record with what it names.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// The record; a NEW-VIEW that it stands for is in `new_view`.
    pub record: DurableRecord<'a>,
    /// Those of `prepared` and `stable`, by replica ascending.
    pub signatures: &'a [Signature],
    /// Those of `prepared` and `decided`, in the batch's order.
    pub bundles: Vec<StoredBundle<'a>>,
    /// That of `viewEntered`, with its signature.
    pub new_view: Option<&'a [u8]>,
    /// That of `viewLeft`, or those that a NEW-VIEW names, in its order.
    pub view_changes: Vec<StoredViewChange<'a>>,
}

/// Why a stored record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Another release wrote it.
    Version(u8),
    /// It does not decode.
    Malformed(DecodeError),
    /// What stands behind it is not what it names.
    Mismatch,
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(formatter, "has the unsupported version {found}"),
            Self::Malformed(error) => write!(formatter, "is malformed: {}", error.name()),
            Self::Mismatch => {
                formatter.write_str("names something else than what it is stored with")
            }
        }
    }
}

impl<'a> Stored<'a> {
    /// Decodes a stored record of replica `me` among `n`.
    ///
    /// # Errors
    /// [`Unreadable`]; what is returned holds together, its signatures are not verified.
    pub fn decode(payload: &'a [u8], me: u8, n: u8) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(payload);
        let version = reader.u8()?;
        if version != STORED_VERSION {
            return Err(Unreadable::Version(version));
        }
        let mut stored = Self {
            record: DurableRecord::decode(reader.bytes()?)?,
            signatures: &[],
            bundles: Vec::new(),
            new_view: None,
            view_changes: Vec::new(),
        };
        match stored.record {
            DurableRecord::Prepared {
                name,
                signers,
                batch,
            } => {
                stored.signatures = signatures(&mut reader, signers, n)?;
                stored.bundles = bundles(&mut reader, &name.digest, &batch)?;
            }
            DurableRecord::Decided { digest, batch, .. } => {
                stored.bundles = bundles(&mut reader, &digest, &batch)?;
            }
            DurableRecord::ViewLeft {
                target, message, ..
            } => {
                let ours = view_change(reader.bytes()?, me, &message, n)?;
                require(ours.target == target)?;
                stored.view_changes.push(ours);
            }
            DurableRecord::ViewEntered { view, new_view } => {
                require(new_view.is_empty())?;
                stored.read_new_view(&mut reader, view, n)?;
            }
            DurableRecord::Stable { signers, .. } => {
                stored.signatures = signatures(&mut reader, signers, n)?;
            }
            DurableRecord::Lease { .. }
            | DurableRecord::Checkpoint { .. }
            | DurableRecord::CleanStop { .. }
            | DurableRecord::Readmitted { .. } => {}
        }
        reader.finish()?;
        Ok(stored)
    }

    fn read_new_view(
        &mut self,
        reader: &mut Reader<'a>,
        view: u64,
        n: u8,
    ) -> Result<(), Unreadable> {
        let payload = reader.bytes()?;
        let message = NewView::decode(payload)?;
        let count = reader.u8()?;
        require(message.view == view && usize::from(count) == message.view_changes.len())?;
        for (from, digest) in message.view_changes {
            let signer = reader.below(REPLICAS_MAX as u8)?;
            require(signer == from)?;
            let named = view_change(reader.bytes()?, signer, digest, n)?;
            self.view_changes.push(named);
        }
        self.new_view = Some(payload);
        Ok(())
    }

    /// Writes the record as TypeScript gets it back: with the NEW-VIEW's payload without signature.
    pub fn write_record(&self, writer: &mut Writer) {
        let record = match self.record {
            DurableRecord::ViewEntered { view, .. } => DurableRecord::ViewEntered {
                view,
                new_view: without_signature(self.new_view.unwrap_or_default()),
            },
            other => other,
        };
        record.write(writer);
    }
}

fn signatures<'a>(
    reader: &mut Reader<'a>,
    signers: u32,
    n: u8,
) -> Result<&'a [Signature], Unreadable> {
    require(signers >> n == 0)?;
    Ok(reader.arrays::<SIGNATURE_LENGTH>(signers.count_ones() as usize)?)
}

fn bundles<'a>(
    reader: &mut Reader<'a>,
    digest: &Digest,
    batch: &Batch<'_>,
) -> Result<Vec<StoredBundle<'a>>, Unreadable> {
    require(batch.digest() == *digest)?;
    let mut bundles = Vec::with_capacity(reader.counted(batch.bundles.len() as u32, 4)?);
    for digest in batch.bundles {
        let payload = reader.bytes()?;
        let head = Head::of(&Bundle::decode(payload)?);
        require(bundle_digest(payload) == *digest)?;
        bundles.push(StoredBundle {
            digest: *digest,
            head,
            payload,
        });
    }
    Ok(bundles)
}

fn view_change<'a>(
    payload: &'a [u8],
    signer: u8,
    digest: &Digest,
    n: u8,
) -> Result<StoredViewChange<'a>, Unreadable> {
    let message = ViewChange::decode(payload)?;
    let stable = message.stable.map_or(0, |stable| stable.signers);
    require(signer < n && stable >> n == 0 && view_change_digest(payload) == *digest)?;
    Ok(StoredViewChange {
        signer,
        digest: *digest,
        target: message.target,
        payload,
    })
}

fn require(holds: bool) -> Result<(), Unreadable> {
    holds.then_some(()).ok_or(Unreadable::Mismatch)
}
