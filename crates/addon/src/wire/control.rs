//! View changes, status and state transfer.

use super::{DecodeError, Digest, Name, REPLICAS_MAX, Reader, Signature};

type Decoded<T> = Result<T, DecodeError>;

/// Most sequences of a window (WIRE.md §5), hence of STATUS bitmaps and of certificates.
const WINDOW_MAX: u16 = 4096;
/// Kinds of STATUS modes: normal, view change.
const STATUS_MODES: u8 = 2;
/// View, sequence, digest and signers of a prepared certificate.
const PREPARED_BYTES_MIN: usize = 8 + 8 + 32 + 4;

/// Places in a STATE_FETCH (WIRE.md §4).
const STATE_ITEMS_MAX: u16 = 1024;
/// Branches on the way to a node of the tree, and of all paths of a STATE_FETCH (WIRE.md §5).
const STATE_PATH_MAX: usize = 2051;
const STATE_PATHS_MAX: usize = 64 << 10;
/// Symbols that a branch of the tree may have.
const SYMBOLS: u8 = 17;
/// Bytes that an answer to a STATE_FETCH may be asked to have, and nodes that it may have.
const STATE_BYTES_MAX: u32 = 1 << 20;
const STATE_NODES_MAX: u16 = 4096;

/// Signatures of a set of replicas under one name; view 0 for a stable checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// What is certified.
    pub name: Name,
    /// Who signed.
    pub signers: u32,
    /// Their signatures, by replica ascending.
    pub signatures: &'a [Signature],
}

impl<'a> Certificate<'a> {
    fn read(reader: &mut Reader<'a>, view: u64, sequence: u64) -> Decoded<Self> {
        let digest = *reader.array()?;
        let signers = reader.set()?;
        let signatures = reader.arrays(signers.count_ones() as usize)?;
        Ok(Self {
            name: Name {
                view,
                sequence,
                digest,
            },
            signers,
            signatures,
        })
    }

    /// Each signer with its signature.
    pub fn votes(&self) -> impl Iterator<Item = (u8, &'a Signature)> {
        let signers = self.signers;
        (0..REPLICAS_MAX as u8)
            .filter(move |replica| signers >> replica & 1 == 1)
            .zip(self.signatures)
    }
}

/// A VIEW-CHANGE.
#[derive(Clone, Debug)]
pub struct ViewChange<'a> {
    /// The view it asks for.
    pub target: u64,
    /// Certificate of the sender's stable checkpoint; none at sequence 0.
    pub stable: Option<Certificate<'a>>,
    /// Prepared certificates by ascending sequence.
    pub prepared: Vec<Certificate<'a>>,
    /// The sender's signature.
    pub signature: &'a Signature,
}

impl<'a> ViewChange<'a> {
    /// Decodes a VIEW_CHANGE payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let message = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    fn read(reader: &mut Reader<'a>) -> Decoded<Self> {
        let target = reader.u53()?;
        let stable_sequence = reader.u53()?;
        let stable = match stable_sequence {
            0 => None,
            _ => Some(Certificate::read(reader, 0, stable_sequence)?),
        };
        let count = reader.u16()?;
        reader.counted(count, PREPARED_BYTES_MIN)?;
        if count > WINDOW_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let mut prepared = Vec::new();
        let mut last = None;
        for _ in 0..count {
            let view = reader.u53()?;
            let sequence = reader.u53()?;
            if last.is_some_and(|last| sequence <= last) {
                return Err(DecodeError::NotCanonical);
            }
            last = Some(sequence);
            prepared.push(Certificate::read(reader, view, sequence)?);
        }
        let signature = reader.array()?;
        Ok(Self {
            target,
            stable,
            prepared,
            signature,
        })
    }
}

/// A NEW-VIEW.
#[derive(Clone, Debug)]
pub struct NewView<'a> {
    /// The view that begins.
    pub view: u64,
    /// The VIEW-CHANGEs that it rests on.
    pub view_changes: Vec<(u8, &'a Digest)>,
    /// Sequence of the first batch of O.
    pub first: u64,
    /// Digest and the primary's PRE-PREPARE signature of each batch of O.
    pub batches: Vec<(&'a Digest, &'a Signature)>,
    /// The primary's signature.
    pub signature: &'a Signature,
}

impl<'a> NewView<'a> {
    /// Decodes a NEW_VIEW payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let view = reader.u53()?;
        let count = reader.u8()?;
        reader.counted(count, 1 + 32)?;
        let mut view_changes: Vec<(u8, &Digest)> = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let from = reader.below(REPLICAS_MAX as u8)?;
            if view_changes.last().is_some_and(|(last, _)| from <= *last) {
                return Err(DecodeError::NotCanonical);
            }
            view_changes.push((from, reader.array()?));
        }
        let first = reader.u53()?;
        let count = reader.u16()?;
        reader.counted(count, 32 + 64)?;
        if count > WINDOW_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let batches = (0..count)
            .map(|_| Ok((reader.array()?, reader.array()?)))
            .collect::<Decoded<Vec<_>>>()?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self {
            view,
            view_changes,
            first,
            batches,
            signature,
        })
    }
}

/// Checks a STATUS payload.
pub fn check_status(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.below(STATUS_MODES)?;
    for _ in 0..3 {
        reader.u53()?;
    }
    let count = reader.u16()?;
    if count > WINDOW_MAX {
        return Err(DecodeError::OutOfRange);
    }
    for _ in 0..3 {
        check_bitmap(reader.take(usize::from(count).div_ceil(8))?, count)?;
    }
    let missing = reader.u16()?;
    reader.arrays::<32>(usize::from(missing))?;
    reader.set()?;
    if reader.boolean()? {
        reader.u53()?;
        reader.u53()?;
    }
    reader.finish()
}

fn check_bitmap(bytes: &[u8], count: u16) -> Decoded<()> {
    let used = count % 8;
    match bytes.last() {
        Some(last) if used != 0 && last >> used != 0 => Err(DecodeError::NotCanonical),
        _ => Ok(()),
    }
}

/// Checks a STATE_FETCH payload.
pub fn check_state_fetch(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.u53()?;
    reader.u32()?;
    if !(1..=STATE_BYTES_MAX).contains(&reader.u32()?) {
        return Err(DecodeError::OutOfRange);
    }
    let count = reader.u16()?;
    reader.counted(count, 1 + 2)?;
    if !(1..=STATE_ITEMS_MAX).contains(&count) {
        return Err(DecodeError::OutOfRange);
    }
    let mut symbols = 0;
    for _ in 0..count {
        reader.boolean()?;
        let length = usize::from(reader.u16()?);
        symbols += length;
        if length > STATE_PATH_MAX || symbols > STATE_PATHS_MAX {
            return Err(DecodeError::OutOfRange);
        }
        if reader.take(length)?.iter().any(|symbol| *symbol >= SYMBOLS) {
            return Err(DecodeError::OutOfRange);
        }
    }
    reader.finish()
}

/// Checks a STATE_NODES payload.
pub fn check_state_nodes(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.u32()?;
    let count = reader.u16()?;
    reader.counted(count, 4)?;
    if count > STATE_NODES_MAX {
        return Err(DecodeError::OutOfRange);
    }
    for _ in 0..count {
        reader.bytes()?;
    }
    reader.finish()
}
