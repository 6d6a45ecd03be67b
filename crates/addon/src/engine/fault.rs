//! Actions that cannot be carried out.

use std::fmt;

use crate::records::MalformedAction;
use crate::wire::DecodeError;

/// An action that cannot be carried out: a bug of this release, which ends the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A record that does not parse.
    Record(MalformedAction),
    /// The payload of a SEND, REPLY or PERSIST that does not parse.
    Payload(u8, DecodeError),
    /// We already signed another digest there: the replica stops rather than lies.
    Contradiction {
        /// Type of the message.
        message_type: u8,
        /// Its sequence.
        sequence: u64,
    },
    /// READ_BATCH, FORWARD or PERSIST of a body that is not held.
    MissingBody,
    /// PIN of more than is kept.
    TooManyPins,
    /// PERSIST of a record of this type that names what is not held: it would promise what it cannot
    /// keep.
    Unresolved(u8),
    /// Log sequence numbers are dense.
    NotDense {
        /// The one that comes next.
        expected: u64,
        /// The one that was given.
        found: u64,
    },
    /// A record takes more bytes than the journal allows.
    RecordTooLarge(usize),
    /// PERSIST after the journal was stopped.
    JournalStopped,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(MalformedAction {
                kind,
                offset,
                error,
            }) => {
                let error = error.name();
                write!(
                    formatter,
                    "the action of kind {kind} at byte {offset} is malformed: {error}"
                )
            }
            Self::Payload(message_type, error) => {
                let error = error.name();
                write!(
                    formatter,
                    "a payload of type {message_type:#04x} is malformed: {error}"
                )
            }
            Self::Contradiction {
                message_type,
                sequence,
            } => write!(
                formatter,
                "type {message_type:#04x} at sequence {sequence} contradicts what this replica signed there before"
            ),
            Self::MissingBody => formatter.write_str("a batch names a body that is not held"),
            Self::TooManyPins => {
                formatter.write_str("more bodies are pinned than the store allows")
            }
            Self::Unresolved(record_type) => write!(
                formatter,
                "a record of type {record_type} names what is not held"
            ),
            Self::NotDense { expected, found } => {
                write!(formatter, "record {found} where {expected} comes next")
            }
            Self::RecordTooLarge(bytes) => write!(formatter, "a record of {bytes} bytes"),
            Self::JournalStopped => {
                formatter.write_str("a record comes after the journal was stopped")
            }
        }
    }
}
