//! Lanes: one unidirectional stream per lane and direction, so that no lane waits behind another.

/// How many lanes there are.
pub const LANES: usize = 4;

/// A lane of a connection. The discriminant is the first byte of the lane's stream and the index
/// of every per-lane array of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Lane {
    /// PREPARE and COMMIT: small, urgent.
    Votes = 0,
    /// HELLO and everything else of the protocol between replicas.
    Control = 1,
    /// Requests, replies and reads; the only lane of a client besides control.
    Client = 2,
    /// Bodies and state: large, never urgent.
    Bulk = 3,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Lane; LANES] = [Lane::Votes, Lane::Control, Lane::Client, Lane::Bulk];

    /// The lane of a stream's first byte; `None` if there is no such lane.
    pub fn from_byte(byte: u8) -> Option<Lane> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// The index of this lane in per-lane arrays.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name in lower case, for statistics and messages.
    pub fn name(self) -> &'static str {
        ["votes", "control", "client", "bulk"][self.index()]
    }

    /// The priority of the stream: quinn sends the highest first.
    pub(crate) fn priority(self) -> i32 {
        LANES as i32 - self as i32
    }

    /// Whether a connection with a client has this lane. Clients take no part in ordering, so a
    /// vote or a bulk stream of theirs is a violation before its first frame.
    pub(crate) fn serves_clients(self) -> bool {
        matches!(self, Lane::Control | Lane::Client)
    }
}
