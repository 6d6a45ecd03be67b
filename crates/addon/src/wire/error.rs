//! Why bytes are no message.

/// Why bytes are no message. The names are shared with the TypeScript codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A field or a counted list reaches past the end.
    Truncated,
    /// Bytes follow the last field.
    Trailing,
    /// A number lies outside of what its field allows.
    OutOfRange,
    /// Another byte string stands for the same message: padding bits, order, booleans.
    NotCanonical,
    /// A message or a field is longer than its bound.
    TooLong,
    /// No message has this type.
    UnknownType,
}

impl DecodeError {
    /// The name under which both codecs report it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Trailing => "trailing",
            Self::OutOfRange => "outOfRange",
            Self::NotCanonical => "notCanonical",
            Self::TooLong => "tooLong",
            Self::UnknownType => "unknownType",
        }
    }
}
