//! Why a journal does not open, or goes on no longer.

use std::fmt;
use std::io;

use crate::identity::IdentityField;

/// Where in the data directory something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file in the data directory.
    pub file: String,
    /// Offset in bytes.
    pub offset: u64,
}

/// What is wrong with bytes that must be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A file's header is missing or fails its checksum.
    Header,
    /// Nothing but zeros where a record was synced: a write that was lost or went elsewhere.
    Missing,
    /// A record's header fails its checksum, or lies outside of the file.
    RecordHeader,
    /// A record's payload fails its checksum.
    Payload,
    /// A sound record that does not follow the one before it: a stale or misdirected write.
    OutOfChain,
    /// The file is shorter or longer than its header says.
    Length,
    /// A file between two others, or below the first one, is not there.
    FileMissing,
    /// The file is of an earlier life of the directory, or of another state of it: restored from a backup.
    Stale,
}

/// Why the disk is of no use. Final wherever it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskReason {
    /// A sync failed: what was written may or may not be there, and asking again would not tell.
    SyncFailed,
    /// A write, or a change of names, failed.
    WriteFailed,
    /// A read failed.
    ReadFailed,
    /// No space or no quota is left.
    Full,
    /// The file system is read-only.
    ReadOnly,
    /// A thread of the journal or its waker panicked: nothing more becomes durable, or nobody is told.
    Panicked,
}

/// What the disk refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFailure {
    /// Why, for decisions and metrics.
    pub reason: DiskReason,
    /// What was tried and what the operating system answered, for the log.
    pub detail: String,
}

/// Why a data directory was not opened. Nothing in it was changed, except by [`OpenError::Disk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another owner, in this process or another, has the directory open.
    InUse,
    /// There is no genesis marker: the disk was wiped, or nobody ran `init`. Never a first start.
    Wiped,
    /// The file belongs to another replica, cluster or epoch.
    Foreign {
        /// Its name.
        file: String,
        /// The first field that differs.
        field: IdentityField,
    },
    /// The file was written by another version of this crate.
    UnsupportedVersion {
        /// Its name.
        file: String,
        /// The version in it.
        found: u32,
    },
    /// Something that was synced is damaged. It is never cut off: a replica that forgot a vote could contradict it.
    Corrupt {
        /// Where.
        place: Place,
        /// What is wrong there.
        damage: Damage,
    },
    /// The disk failed.
    Disk(DiskFailure),
}

/// Why `init` wrote no marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitError {
    /// Another owner has the directory open.
    InUse,
    /// The directory has a marker already.
    AlreadyInitialized,
    /// There is no marker but the named file of a journal or snapshot: whose, nobody can tell.
    NotEmpty(String),
    /// The disk failed.
    Disk(DiskFailure),
}

/// What was being done when the disk failed; it decides what an error means.
#[derive(Clone, Copy)]
pub(crate) enum Attempt {
    Read,
    Write,
    Sync,
}

impl DiskFailure {
    pub(crate) fn new(attempt: Attempt, what: &str, error: &io::Error) -> Self {
        let reason = match (error.kind(), attempt) {
            // Whatever the kind, after a failed sync nobody knows what is durable.
            (_, Attempt::Sync) => DiskReason::SyncFailed,
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => DiskReason::Full,
            (io::ErrorKind::ReadOnlyFilesystem, _) => DiskReason::ReadOnly,
            (_, Attempt::Write) => DiskReason::WriteFailed,
            (_, Attempt::Read) => DiskReason::ReadFailed,
        };
        Self {
            reason,
            detail: format!("{what}: {error}"),
        }
    }

    pub(crate) fn panicked(who: &str) -> Self {
        Self {
            reason: DiskReason::Panicked,
            detail: who.to_owned(),
        }
    }
}

/// Names what was tried when an input or output call failed.
pub(crate) trait Attempted<T> {
    fn reading(self, what: &str) -> Result<T, DiskFailure>;
    fn writing(self, what: &str) -> Result<T, DiskFailure>;
    fn syncing(self, what: &str) -> Result<T, DiskFailure>;
}

impl<T> Attempted<T> for io::Result<T> {
    fn reading(self, what: &str) -> Result<T, DiskFailure> {
        self.map_err(|error| DiskFailure::new(Attempt::Read, what, &error))
    }

    fn writing(self, what: &str) -> Result<T, DiskFailure> {
        self.map_err(|error| DiskFailure::new(Attempt::Write, what, &error))
    }

    fn syncing(self, what: &str) -> Result<T, DiskFailure> {
        self.map_err(|error| DiskFailure::new(Attempt::Sync, what, &error))
    }
}

impl OpenError {
    pub(crate) fn corrupt(file: impl Into<String>, offset: u64, damage: Damage) -> Self {
        Self::Corrupt {
            place: Place {
                file: file.into(),
                offset,
            },
            damage,
        }
    }
}

impl From<DiskFailure> for OpenError {
    fn from(failure: DiskFailure) -> Self {
        Self::Disk(failure)
    }
}

impl From<DiskFailure> for InitError {
    fn from(failure: DiskFailure) -> Self {
        Self::Disk(failure)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.file, self.offset)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "the header is missing or fails its checksum",
            Self::Missing => "nothing is where a record was synced",
            Self::RecordHeader => "a record's header fails its checksum",
            Self::Payload => "a record's payload fails its checksum",
            Self::OutOfChain => "a record does not follow the one before it",
            Self::Length => "the file does not have the length that its header says",
            Self::FileMissing => "the file is not there",
            Self::Stale => "the file is of an earlier state of the directory",
        })
    }
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            DiskReason::SyncFailed => "a sync failed",
            DiskReason::WriteFailed => "a write failed",
            DiskReason::ReadFailed => "a read failed",
            DiskReason::Full => "the disk is full",
            DiskReason::ReadOnly => "the file system is read-only",
            DiskReason::Panicked => "the program panicked",
        };
        write!(formatter, "{reason} ({})", self.detail)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => formatter.write_str("another owner has the data directory open"),
            Self::Wiped => formatter.write_str("the data directory has no genesis marker"),
            Self::Foreign { file, field } => write!(formatter, "{file} has another {field}"),
            Self::UnsupportedVersion { file, found } => {
                write!(formatter, "{file} has the unsupported version {found}")
            }
            Self::Corrupt { place, damage } => write!(formatter, "corrupt: {place}: {damage}"),
            Self::Disk(failure) => failure.fmt(formatter),
        }
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => formatter.write_str("another owner has the data directory open"),
            Self::AlreadyInitialized => {
                formatter.write_str("the data directory has a genesis marker already")
            }
            Self::NotEmpty(file) => {
                write!(
                    formatter,
                    "the data directory has no genesis marker, but {file}"
                )
            }
            Self::Disk(failure) => failure.fmt(formatter),
        }
    }
}

impl std::error::Error for DiskFailure {}
impl std::error::Error for OpenError {}
impl std::error::Error for InitError {}
