//! Bundles, proposals and votes.

use super::{DecodeError, Digest, Reader, SIGNATURE_LENGTH, Signature, U53_MAX, Writer};

type Decoded<T> = Result<T, DecodeError>;

/// Most operations of a bundle (WIRE.md §5).
pub const BUNDLE_OPERATIONS_MAX: u16 = 1024;
/// Most bytes of a signed bundle (WIRE.md §5).
pub const BUNDLE_BYTES_MAX: usize = 512 * 1024;

/// A client's signed bundle of operations.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    /// The client's public key.
    pub client: &'a [u8; 32],
    /// Its session; 0 outside of any.
    pub session: u64,
    /// Client sequence of the first operation, or the nonce outside of a session.
    pub first_sequence: u64,
    /// All results up to here have reached the client.
    pub acknowledged_through: u64,
    /// Operations, 1 … 1,024.
    pub count: u16,
    /// Length of the longest operation in bytes.
    pub longest_operation: usize,
    /// The payload without its signature: what is signed after the domain tag.
    pub signed: &'a [u8],
    /// The client's signature.
    pub signature: &'a Signature,
}

impl<'a> Bundle<'a> {
    /// Decodes a BUNDLE payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let client = reader.array()?;
        let session = reader.u53()?;
        let first_sequence = reader.u53()?;
        let acknowledged_through = reader.u53()?;
        let count = reader.u16()?;
        reader.counted(count, 4)?;
        if count == 0 || count > BUNDLE_OPERATIONS_MAX {
            return Err(DecodeError::OutOfRange);
        }
        // Outside of a session these fields say nothing, so they have one value.
        if session == 0 && (count != 1 || acknowledged_through != 0) {
            return Err(DecodeError::NotCanonical);
        }
        if first_sequence + u64::from(count) - 1 > U53_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let mut longest_operation = 0;
        for _ in 0..count {
            longest_operation = longest_operation.max(reader.bytes()?.len());
        }
        let signed = &payload[..payload.len() - reader.remaining()];
        if signed.len() > BUNDLE_BYTES_MAX - SIGNATURE_LENGTH {
            return Err(DecodeError::TooLong);
        }
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self {
            client,
            session,
            first_sequence,
            acknowledged_through,
            count,
            longest_operation,
            signed,
            signature,
        })
    }
}

/// What a proposal or a decision binds: view is 0 where the message has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// View of the proposal.
    pub view: u64,
    /// Its sequence.
    pub sequence: u64,
    /// Batch digest.
    pub digest: Digest,
}

impl Name {
    /// `view | sequence | digest`: the signed payload of PRE-PREPARE and of PREPARE.
    pub fn signed_bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&self.view.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..].copy_from_slice(&self.digest);
        bytes
    }

    /// Reads `view | sequence | digest`.
    pub fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            view: reader.u53()?,
            sequence: reader.u53()?,
            digest: *reader.array()?,
        })
    }
}

/// Time and bundles of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Agreed time in milliseconds.
    pub time_ms: u64,
    /// Digests of its bundles in order.
    pub bundles: &'a [Digest],
}

impl<'a> Batch<'a> {
    /// Reads `u53 timeMs | u32 count | count × digest`.
    pub fn read(reader: &mut Reader<'a>) -> Decoded<Self> {
        let time_ms = reader.u53()?;
        let count = reader.u32()?;
        Ok(Self {
            time_ms,
            bundles: reader.arrays(count as usize)?,
        })
    }

    /// Decodes a FETCHED_BATCH payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let batch = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(batch)
    }

    /// The batch digest (WIRE.md §3).
    pub fn digest(&self) -> Digest {
        byzantine_crypto::batch_digest(self.time_ms, self.bundles)
    }

    /// Writes what [`Batch::read`] reads.
    pub fn write(&self, writer: &mut Writer) {
        writer.u53(self.time_ms);
        writer.u32(u32::try_from(self.bundles.len()).expect("a batch fits a frame"));
        writer.raw(self.bundles.as_flattened());
    }
}

/// A proposal of a view's primary.
#[derive(Clone, Copy, Debug)]
pub struct PrePrepare<'a> {
    /// View.
    pub view: u64,
    /// Sequence.
    pub sequence: u64,
    /// Content.
    pub batch: Batch<'a>,
    /// Signature over view, sequence and batch digest.
    pub signature: &'a Signature,
}

impl<'a> PrePrepare<'a> {
    /// Decodes a PRE_PREPARE payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let (view, sequence, batch) = Self::read_unsigned(&mut reader)?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self {
            view,
            sequence,
            batch,
            signature,
        })
    }

    /// Reads the payload without its signature.
    pub fn read_unsigned(reader: &mut Reader<'a>) -> Decoded<(u64, u64, Batch<'a>)> {
        Ok((reader.u53()?, reader.u53()?, Batch::read(reader)?))
    }
}

/// A PREPARE or a COMMIT.
#[derive(Clone, Copy, Debug)]
pub struct Vote<'a> {
    /// What is voted for.
    pub name: Name,
    /// Present on PREPARE.
    pub signature: Option<&'a Signature>,
}

impl<'a> Vote<'a> {
    /// Decodes a PREPARE payload.
    pub fn decode_prepare(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let name = Name::read(&mut reader)?;
        let signature = Some(reader.array()?);
        reader.finish()?;
        Ok(Self { name, signature })
    }

    /// Decodes a COMMIT payload, or a PREPARE payload without its signature.
    pub fn decode_commit(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let name = Name::read(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            name,
            signature: None,
        })
    }
}

/// A CHECKPOINT.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Sequence after which the state has the digest.
    pub sequence: u64,
    /// Root of the replicated map.
    pub digest: &'a Digest,
    /// Absent on our own before it is signed.
    pub signature: Option<&'a Signature>,
}

impl<'a> Checkpoint<'a> {
    /// Decodes a CHECKPOINT payload, with its signature or without.
    pub fn decode(payload: &'a [u8], signed: bool) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let sequence = reader.u53()?;
        let digest = reader.array()?;
        let signature = if signed { Some(reader.array()?) } else { None };
        reader.finish()?;
        Ok(Self {
            sequence,
            digest,
            signature,
        })
    }
}

/// What a FETCH asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FetchKind {
    /// A signed bundle.
    Bundle = 0,
    /// Time and bundle digests of a batch.
    Batch = 1,
    /// A VIEW-CHANGE.
    ViewChange = 2,
    /// A NEW-VIEW.
    NewView = 3,
}

impl FetchKind {
    /// The kind with this number.
    pub fn from_u8(value: u8) -> Decoded<Self> {
        Ok(match value {
            0 => Self::Bundle,
            1 => Self::Batch,
            2 => Self::ViewChange,
            3 => Self::NewView,
            _ => return Err(DecodeError::OutOfRange),
        })
    }

    /// Decodes a FETCH or UNAVAILABLE payload.
    pub fn decode(payload: &[u8]) -> Decoded<(Self, Digest)> {
        let mut reader = Reader::new(payload);
        let kind = Self::from_u8(reader.u8()?)?;
        let digest = *reader.array()?;
        reader.finish()?;
        Ok((kind, digest))
    }
}

/// `payload` without the signature at its end.
pub fn without_signature(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().saturating_sub(SIGNATURE_LENGTH)]
}
