//! Records between TypeScript and the addon, `u8 kind | u32 length | body` (WIRE.md §7).
//!
//! Not a wire format: both sides are one release, so an action that does not parse is our bug and
//! ends the call with an error.

use crate::durable::DurableRecord;
use crate::wire::{Batch, DecodeError, Digest, FetchKind, Reader, Writer};

/// Kind and length before each body.
const HEADER: usize = 5;

/// Kinds of input records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InputKind {
    /// A verified message from a replica.
    Control = 1,
    /// Verified signers of equal votes.
    Votes = 2,
    /// A replica signed two messages that exclude each other.
    Conflict = 3,
    /// A verified bundle is held.
    Request = 4,
    /// Answer to ASSEMBLE.
    Assembled = 5,
    /// A fetch failed.
    Body = 6,
    /// Answer to READ_BATCH.
    Batch = 7,
    /// A replica's connection came up or ended.
    Link = 8,
    /// Something was dropped.
    Rejected = 9,
    /// Our VIEW-CHANGE is signed and kept.
    Sealed = 10,
    /// Records are durable.
    Persisted = 11,
    /// The disk failed for good.
    DiskFailed = 12,
}

/// Records that wait to be read, in order. What does not fit into an output stays for the next.
#[derive(Debug, Default)]
pub struct Records {
    writer: Writer,
    start: usize,
}

impl Records {
    /// Appends one record.
    pub fn push(&mut self, kind: InputKind, body: impl FnOnce(&mut Writer)) {
        self.writer.record(kind as u8, body);
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.writer.as_slice().len() - self.start
    }

    /// Moves as many whole records as fit to the front of `output`; returns how many bytes.
    pub fn drain_into(&mut self, output: &mut [u8]) -> usize {
        let waiting = &self.writer.as_slice()[self.start..];
        let mut end = 0;
        while end < waiting.len() {
            let next = end + record_length(&waiting[end..]);
            if next > output.len() {
                break;
            }
            end = next;
        }
        output[..end].copy_from_slice(&waiting[..end]);
        self.start += end;
        if self.waiting() == 0 {
            self.writer.clear();
            self.start = 0;
        } else if self.start > self.waiting() {
            self.writer.discard_front(std::mem::take(&mut self.start));
        }
        end
    }
}

fn record_length(record: &[u8]) -> usize {
    let length = record[1..HEADER].try_into().expect("a record has a header");
    HEADER + u32::from_le_bytes(length) as usize
}

/// One action of the core's shell. Sets are bitmaps of replicas.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of WIRE.md §7")]
pub enum Action<'a> {
    /// A message, signed here where its type is signed.
    Send {
        to: u32,
        message_type: u8,
        payload: &'a [u8],
    },
    /// Asks for a batch digest.
    Assemble {
        view: u64,
        sequence: u64,
        batch: Batch<'a>,
    },
    /// Sends a held bundle.
    Forward { to: u32, digest: Digest },
    /// Asks replicas for what has this digest.
    Fetch {
        from: u32,
        kind: FetchKind,
        digest: Digest,
    },
    /// Asks for the bodies of a batch.
    ReadBatch { sequence: u64, batch: Batch<'a> },
    /// Results for a client; `in_full` where it has asked again, since whoever had to send a long
    /// result in full may be silent.
    Reply {
        client: [u8; 32],
        in_full: bool,
        payload: &'a [u8],
    },
    /// The pool is full: tells the client of this bundle and frees it.
    Busy { digest: Digest },
    /// Frees bodies.
    Release(&'a [Digest]),
    /// Bodies that are wanted although no room is left.
    Pin(&'a [Digest]),
    /// Bounds of the vote table; `pending` is none outside of view changes.
    Window {
        low: u64,
        high: u64,
        view: u64,
        pending: Option<u64>,
    },
    /// Requests are delivered only within it.
    Room { bundles: u32, bytes: u32 },
    /// A checkpoint is stable.
    Stable {
        sequence: u64,
        digest: Digest,
        signers: u32,
    },
    /// Signs and keeps our VIEW-CHANGE.
    Seal(&'a [u8]),
    /// Lets go of VIEW-CHANGEs by digest, or of NEW-VIEWs by name.
    Forget {
        kind: FetchKind,
        digests: &'a [Digest],
    },
    /// Sends a VIEW-CHANGE or NEW-VIEW of ours as it is kept.
    SendKept { to: u32, digest: Digest },
    /// What the core named must survive, and is kept with what it names.
    Persist { lsn: u64, record: DurableRecord<'a> },
    /// Records below are needed no more.
    Truncate { below: u64 },
}

/// A record that does not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedAction {
    /// Kind of the record; 0 where even that is missing.
    pub kind: u8,
    /// Offset of the record.
    pub offset: usize,
    /// What is wrong with it.
    pub error: DecodeError,
}

/// The actions of one turn.
#[derive(Debug)]
pub struct Actions<'a> {
    reader: Reader<'a>,
    length: usize,
}

impl<'a> Actions<'a> {
    /// The records in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            length: bytes.len(),
        }
    }
}

impl<'a> Iterator for Actions<'a> {
    type Item = Result<Action<'a>, MalformedAction>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.remaining() == 0 {
            return None;
        }
        let offset = self.length - self.reader.remaining();
        let kind = self.reader.u8().unwrap_or(0);
        let action = self.reader.bytes().and_then(|body| parse(kind, body));
        if action.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(action.map_err(|error| MalformedAction {
            kind,
            offset,
            error,
        }))
    }
}

fn parse(kind: u8, body: &[u8]) -> Result<Action<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let action = match kind {
        1 => Action::Send {
            to: reader.set()?,
            message_type: reader.u8()?,
            payload: rest(&mut reader)?,
        },
        2 => Action::Assemble {
            view: reader.u53()?,
            sequence: reader.u53()?,
            batch: Batch::read(&mut reader)?,
        },
        3 => Action::Forward {
            to: reader.set()?,
            digest: *reader.array()?,
        },
        4 => Action::Fetch {
            from: reader.set()?,
            kind: FetchKind::from_u8(reader.u8()?)?,
            digest: *reader.array()?,
        },
        5 => Action::ReadBatch {
            sequence: reader.u53()?,
            batch: Batch::read(&mut reader)?,
        },
        6 => Action::Reply {
            client: *reader.array()?,
            in_full: reader.boolean()?,
            payload: rest(&mut reader)?,
        },
        7 => Action::Busy {
            digest: *reader.array()?,
        },
        8 => Action::Release(digests(&mut reader)?),
        9 => Action::Pin(digests(&mut reader)?),
        10 => Action::Window {
            low: reader.u53()?,
            high: reader.u53()?,
            view: reader.u53()?,
            pending: reader.u53()?.checked_sub(1),
        },
        11 => Action::Room {
            bundles: reader.u32()?,
            bytes: reader.u32()?,
        },
        12 => Action::Stable {
            sequence: reader.u53()?,
            digest: *reader.array()?,
            signers: reader.set()?,
        },
        13 => Action::Seal(rest(&mut reader)?),
        14 => Action::Forget {
            kind: match FetchKind::from_u8(reader.u8()?)? {
                kind @ (FetchKind::ViewChange | FetchKind::NewView) => kind,
                _ => return Err(DecodeError::OutOfRange),
            },
            digests: digests(&mut reader)?,
        },
        15 => Action::SendKept {
            to: reader.set()?,
            digest: *reader.array()?,
        },
        16 => Action::Persist {
            lsn: reader.u53()?,
            record: DurableRecord::decode(rest(&mut reader)?)?,
        },
        17 => Action::Truncate {
            below: reader.u53()?,
        },
        _ => return Err(DecodeError::UnknownType),
    };
    reader.finish()?;
    Ok(action)
}

fn rest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    reader.take(reader.remaining())
}

fn digests<'a>(reader: &mut Reader<'a>) -> Result<&'a [Digest], DecodeError> {
    let count = reader.u32()?;
    reader.arrays(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(kind).bytes(body);
        writer.into_vec()
    }

    #[test]
    fn a_record_that_does_not_fit_waits_whole_and_order_is_kept() {
        let mut records = Records::default();
        for value in 0..3u8 {
            records.push(InputKind::Link, |body| {
                body.u8(value).u8(1);
            });
        }
        let mut output = [0; 15];
        assert_eq!(records.drain_into(&mut output), 14);
        assert_eq!((output[5], output[12]), (0, 1));
        records.push(InputKind::Link, |body| {
            body.u8(3).u8(1);
        });
        assert_eq!(records.drain_into(&mut output), 14);
        assert_eq!((output[5], output[12]), (2, 3));
        assert_eq!(records.waiting(), 0);
    }

    #[test]
    fn every_malformed_action_is_an_error_that_names_the_record() {
        let room = record(11, &[1, 0, 0, 0, 2, 0, 0, 0]);
        for (bad, error) in [
            (record(0, &[]), DecodeError::UnknownType),
            (record(18, &[]), DecodeError::UnknownType),
            (record(12, &[0; 43]), DecodeError::Truncated),
            (record(12, &[0; 45]), DecodeError::Trailing),
            (record(14, &[1, 0, 0, 0, 0]), DecodeError::OutOfRange),
            (record(16, &[0xff; 52]), DecodeError::OutOfRange),
            (
                record(16, &[1, 0, 0, 0, 0, 0, 0, 0]),
                DecodeError::Truncated,
            ),
            (record(16, &[0; 9]), DecodeError::UnknownType),
            (record(17, &[0; 9]), DecodeError::Trailing),
            (record(8, &[1, 0, 0, 0]), DecodeError::Truncated),
            (record(4, &[0, 0, 0, 0, 9]), DecodeError::OutOfRange),
            (record(1, &[0, 0, 0, 0x80, 0x21]), DecodeError::NotCanonical),
            (vec![11, 200, 0, 0, 0], DecodeError::Truncated),
            (vec![11], DecodeError::Truncated),
        ] {
            let bytes = [room.clone(), bad.clone()].concat();
            let actions: Vec<_> = Actions::new(&bytes).collect();
            assert_eq!(actions.len(), 2, "{bad:?}");
            assert!(matches!(
                actions[0],
                Ok(Action::Room {
                    bundles: 1,
                    bytes: 2
                })
            ));
            let expected = MalformedAction {
                kind: bad[0],
                offset: room.len(),
                error,
            };
            assert_eq!(actions[1].as_ref().err(), Some(&expected));
        }
    }

    #[test]
    fn a_pending_view_is_one_less_than_what_crosses() {
        let mut body = Writer::default();
        body.u53(1).u53(9).u53(3).u53(5);
        let bytes = record(10, body.as_slice());
        let action = Actions::new(&bytes).next().expect("one").expect("valid");
        assert!(matches!(
            action,
            Action::Window {
                low: 1,
                high: 9,
                view: 3,
                pending: Some(4)
            }
        ));
    }
}
