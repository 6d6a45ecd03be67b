//! What a simulated disk does wrong, and when.

use std::io;

/// A call of the storage interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    CreateDir,
    Open,
    List,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Entropy,
    Length,
    Read,
    Write,
    Sync,
}

/// What happens instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The machine crashes during the call.
    Crash,
    /// The call fails.
    Fail(io::ErrorKind),
    /// A write is acknowledged and lost.
    LoseWrite,
    /// A write goes to another place of the same file: this many bytes further.
    Misdirect(usize),
    /// The call waits until it is let go.
    Hold,
}

/// When it happens: once, at the first call that matches.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Any call, where none is named.
    pub call: Option<Call>,
    /// Part of the file's name; empty for any.
    pub file: &'static str,
    /// Calls that match before the one that is harmed.
    pub after: u64,
    pub harm: Harm,
}

impl Fault {
    /// Harms the next call of this kind on a file of this name.
    pub fn next(call: Call, file: &'static str, harm: Harm) -> Self {
        Self {
            call: Some(call),
            file,
            after: 0,
            harm,
        }
    }

    /// Harms the call number `after`, counted from 0 from now on, whatever it is.
    pub fn any(after: u64, harm: Harm) -> Self {
        Self {
            call: None,
            file: "",
            after,
            harm,
        }
    }
}
