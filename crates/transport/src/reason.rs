//! Why a connection was refused, closed or lost: typed, counted, and on the wire as a close code.

use quinn::{ConnectionError, VarInt};

/// Longest close reason that is kept of what a peer wrote, in characters.
const PEER_TEXT_MAX: usize = 120;

/// Why this endpoint refused a peer or a client. Each refusal is counted under [`RefuseReason::name`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefuseReason {
    /// The key is neither a member's nor an admitted client's.
    UnknownKey,
    /// The presented key is not a strong Ed25519 key in canonical form.
    WeakKey,
    /// The handshake signature does not prove possession of the presented key.
    KeyNotProven,
    /// The member that was dialled showed another key than its own.
    WrongKey,
    /// A known key in a role that it does not have, such as a client that speaks to replicas as one.
    WrongRole,
    /// Too many connections of clients, in all or of this key.
    ClientQuota,
    /// Too many connection attempts from one address, or too many handshakes at once.
    Throttled,
    /// The handshake or HELLO did not end before the deadline.
    HandshakeTimeout,
    /// The handshake failed in another way.
    HandshakeFailed,
    /// HELLO differs in the named field (`protocolVersion` or a name of `Config::hello`).
    HelloMismatch(String),
    /// The first frame is not a well-formed HELLO, or HELLO came twice.
    BadHello,
    /// A frame's length is zero or above the maximum of its lane.
    LyingLength,
    /// A lane's stream ended within a frame.
    PartialFrame,
    /// A lane's stream ended or was reset although the connection lives.
    LaneEnded,
    /// A second stream of one lane.
    DuplicateLane,
    /// A stream of no lane, or of a lane that this connection does not have.
    UnknownLane,
    /// Too many connection changes wait to be polled.
    Busy,
    /// A client that is kept out for a while ([`crate::Endpoint::bar_client`]).
    Barred,
}

impl RefuseReason {
    /// The name under which it is counted, in camel case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownKey => "unknownKey",
            Self::WeakKey => "weakKey",
            Self::KeyNotProven => "keyNotProven",
            Self::WrongKey => "wrongKey",
            Self::WrongRole => "wrongRole",
            Self::ClientQuota => "clientQuota",
            Self::Throttled => "throttled",
            Self::HandshakeTimeout => "handshakeTimeout",
            Self::HandshakeFailed => "handshakeFailed",
            Self::HelloMismatch(_) => "helloMismatch",
            Self::BadHello => "badHello",
            Self::LyingLength => "lyingLength",
            Self::PartialFrame => "partialFrame",
            Self::LaneEnded => "laneEnded",
            Self::DuplicateLane => "duplicateLane",
            Self::UnknownLane => "unknownLane",
            Self::Busy => "busy",
            Self::Barred => "barred",
        }
    }

    /// The close code that tells the other side.
    pub(crate) fn code(&self) -> CloseCode {
        match self {
            Self::HelloMismatch(_) => CloseCode::Hello,
            Self::ClientQuota | Self::Busy | Self::Throttled => CloseCode::Quota,
            Self::UnknownKey | Self::WeakKey | Self::WrongRole | Self::WrongKey | Self::Barred => {
                CloseCode::Refused
            }
            _ => CloseCode::Violation,
        }
    }

    /// The reason text of the close frame.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::HelloMismatch(field) => format!("hello: {field} differs"),
            other => other.name().to_owned(),
        }
    }
}

/// Why an established connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The other side shut down.
    PeerShutDown,
    /// The other side closed with another reason, which is its text (printable ASCII, ≤ 120).
    ClosedByPeer(String),
    /// This endpoint was told to close it ([`crate::Endpoint::disconnect`]).
    ClosedHere,
    /// Another connection of the same pair took its place on the other side.
    Replaced,
    /// Nothing was heard for the idle timeout.
    TimedOut,
    /// The other side lost the connection's state (stateless reset): it restarted.
    Reset,
    /// This endpoint closed it for the named violation.
    Violation(RefuseReason),
    /// QUIC itself failed.
    TransportError,
}

impl DownReason {
    /// The name of the reason in camel case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PeerShutDown => "peerShutDown",
            Self::ClosedByPeer(_) => "closedByPeer",
            Self::ClosedHere => "closedHere",
            Self::Replaced => "replaced",
            Self::TimedOut => "timedOut",
            Self::Reset => "reset",
            Self::Violation(reason) => reason.name(),
            Self::TransportError => "transportError",
        }
    }
}

impl From<&ConnectionError> for DownReason {
    fn from(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                if close.error_code == CloseCode::ShutDown.into() {
                    Self::PeerShutDown
                } else if close.error_code == CloseCode::Replaced.into() {
                    Self::Replaced
                } else {
                    Self::ClosedByPeer(printable(&close.reason))
                }
            }
            ConnectionError::LocallyClosed => Self::ClosedHere,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Reset,
            _ => Self::TransportError,
        }
    }
}

/// The application close codes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The endpoint shuts down.
    ShutDown = 0,
    /// Another connection of this pair stays.
    Replaced = 1,
    /// The key has no place here.
    Refused = 2,
    /// HELLO differs.
    Hello = 3,
    /// The peer broke the framing rules.
    Violation = 4,
    /// A quota is used up; try later.
    Quota = 5,
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        VarInt::from_u32(code as u32)
    }
}

/// What a peer wrote, cut to printable ASCII and bounded: it may end in a log.
pub(crate) fn printable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(PEER_TEXT_MAX)
        .map(|&byte| {
            if (0x20..0x7f).contains(&byte) {
                byte as char
            } else {
                '?'
            }
        })
        .collect()
}
