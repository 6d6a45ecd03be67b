//! What goes to clients, and what they ask besides bundles.

use super::{DecodeError, Digest, Reader, Writer};

type Decoded<T> = Result<T, DecodeError>;

/// Results up to this length travel in full from every replica (WIRE.md §4).
const RESULT_INLINE_MAX: usize = 64;
/// Number of result statuses.
const STATUSES: u8 = 6;

/// Sequence, status, form, and an empty result.
const ENTRY_BYTES_MIN: usize = 8 + 1 + 1 + 4;

/// The result of one operation, in full or by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultForm<'a> {
    /// The result.
    Full(&'a [u8]),
    /// Its digest.
    Digest(&'a Digest),
}

impl<'a> ResultForm<'a> {
    fn read(reader: &mut Reader<'a>) -> Decoded<Self> {
        Ok(match reader.below(2)? {
            0 => Self::Full(reader.bytes()?),
            _ => Self::Digest(reader.array()?),
        })
    }
}

/// One entry of a REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyEntry<'a> {
    /// Client sequence, or the nonce outside of a session.
    pub sequence: u64,
    /// How the operation ended.
    pub status: u8,
    /// Its result.
    pub result: ResultForm<'a>,
}

/// A REPLY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Everything before the entries and their count, as it was encoded.
    head: &'a [u8],
    /// Session of the client.
    pub session: u64,
    /// Results.
    pub entries: Vec<ReplyEntry<'a>>,
}

impl<'a> Reply<'a> {
    /// Decodes a REPLY payload.
    pub fn decode(payload: &'a [u8]) -> Decoded<Self> {
        let mut reader = Reader::new(payload);
        let session = reader.u53()?;
        reader.u53()?;
        reader.u53()?;
        reader.boolean()?;
        let head = &payload[..payload.len() - reader.remaining()];
        let count = reader.u16()?;
        let count = reader.counted(count, ENTRY_BYTES_MIN)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let sequence = reader.u53()?;
            let status = reader.below(STATUSES)?;
            entries.push(ReplyEntry {
                sequence,
                status,
                result: ResultForm::read(&mut reader)?,
            });
        }
        reader.finish()?;
        Ok(Self {
            head,
            session,
            entries,
        })
    }

    /// Encodes it for the client as replica `me` of `n` sends it: a long result travels in full
    /// from the replica (client sequence mod n) and as its digest from all others.
    pub fn encode_for_client(&self, me: u8, n: u8) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.head.len() + 2 + self.entries.len() * 24);
        writer
            .raw(self.head)
            .u16(u16::try_from(self.entries.len()).expect("decoded from a u16 count"));
        for entry in &self.entries {
            writer.u53(entry.sequence).u8(entry.status);
            match entry.result {
                ResultForm::Full(result)
                    if result.len() > RESULT_INLINE_MAX
                        && entry.sequence % u64::from(n) != u64::from(me) =>
                {
                    writer
                        .u8(1)
                        .raw(&byzantine_crypto::result_digest(entry.status, result));
                }
                ResultForm::Full(result) => {
                    writer.u8(0).bytes(result);
                }
                ResultForm::Digest(digest) => {
                    writer.u8(1).raw(digest);
                }
            }
        }
        writer.into_vec()
    }
}

/// Checks a BUSY payload.
pub fn check_busy(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.u53()?;
    reader.u53()?;
    reader.finish()
}

/// Checks a READ payload.
pub fn check_read(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.u53()?;
    reader.bytes()?;
    reader.finish()
}

/// Checks a READ_ANSWER payload.
pub fn check_read_answer(payload: &[u8]) -> Decoded<()> {
    let mut reader = Reader::new(payload);
    reader.u53()?;
    reader.u53()?;
    reader.below(STATUSES)?;
    ResultForm::read(&mut reader)?;
    reader.finish()
}
