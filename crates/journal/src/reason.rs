//! Names of what went wrong, for logs, metrics and decisions. They stay what they are.

use crate::error::{DiskFailure, DiskReason, OpenError};
use crate::status::Status;

/// Why a replica may not vote: what it last wrote, or once wrote, is not to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A write, a sync, or the program that makes them, failed: what was written may or may not be there. Final.
    FsyncFailed,
    /// No space is left. Final as a failure; passing as [`Status::Full`].
    Full,
    /// The file system is read-only. Final.
    ReadOnly,
    /// What was durable is damaged, or cannot be read. Final.
    Corrupt,
    /// The disk does not answer. Passing.
    Stalled,
}

impl Reason {
    /// Its name: `fsyncFailed`, `full`, `readOnly`, `corrupt` or `stalled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FsyncFailed => "fsyncFailed",
            Self::Full => "full",
            Self::ReadOnly => "readOnly",
            Self::Corrupt => "corrupt",
            Self::Stalled => "stalled",
        }
    }
}

impl DiskFailure {
    /// Why a replica may not vote any more.
    pub fn reason(&self) -> Reason {
        match self.reason {
            DiskReason::SyncFailed | DiskReason::WriteFailed | DiskReason::Panicked => {
                Reason::FsyncFailed
            }
            DiskReason::ReadFailed => Reason::Corrupt,
            DiskReason::Full => Reason::Full,
            DiskReason::ReadOnly => Reason::ReadOnly,
        }
    }
}

impl Status {
    /// Why a replica may not vote, now or any more; none while the journal runs and once it was stopped.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Running | Self::Stopped => None,
            Self::Stalled { .. } => Some(Reason::Stalled),
            Self::Full => Some(Reason::Full),
            Self::Failed(failure) => Some(failure.reason()),
        }
    }
}

impl OpenError {
    /// The disk's fault, where it is one; none where the directory is sound and not to be used: of another owner,
    /// replica, cluster, epoch or version, or wiped.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Corrupt { .. } => Some(Reason::Corrupt),
            Self::Disk(failure) => Some(failure.reason()),
            Self::InUse | Self::Wiped | Self::Foreign { .. } | Self::UnsupportedVersion { .. } => {
                None
            }
        }
    }

    /// Its name: `inUse`, `wiped`, `foreign`, `unsupportedVersion`, `corrupt` or `disk`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InUse => "inUse",
            Self::Wiped => "wiped",
            Self::Foreign { .. } => "foreign",
            Self::UnsupportedVersion { .. } => "unsupportedVersion",
            Self::Corrupt { .. } => "corrupt",
            Self::Disk(_) => "disk",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Damage;
    use std::time::Duration;

    fn failed(reason: DiskReason) -> Status {
        let detail = String::new();
        Status::Failed(DiskFailure { reason, detail })
    }

    #[test]
    fn every_state_in_which_a_replica_may_not_vote_has_a_reason() {
        let since = Duration::from_secs(11);
        let cases = [
            (Status::Running, None),
            (Status::Stopped, None),
            (Status::Full, Some("full")),
            (Status::Stalled { since }, Some("stalled")),
            (failed(DiskReason::SyncFailed), Some("fsyncFailed")),
            (failed(DiskReason::WriteFailed), Some("fsyncFailed")),
            (failed(DiskReason::Panicked), Some("fsyncFailed")),
            (failed(DiskReason::ReadFailed), Some("corrupt")),
            (failed(DiskReason::Full), Some("full")),
            (failed(DiskReason::ReadOnly), Some("readOnly")),
        ];
        for (status, name) in cases {
            assert_eq!(status.reason().map(Reason::name), name, "{status}");
        }
    }

    #[test]
    fn a_directory_that_is_not_to_be_used_is_no_fault_of_the_disk() {
        let corrupt = OpenError::corrupt("identity", 0, Damage::Header);
        assert_eq!(
            (corrupt.name(), corrupt.reason()),
            ("corrupt", Some(Reason::Corrupt))
        );
        assert_eq!(
            (OpenError::Wiped.name(), OpenError::Wiped.reason()),
            ("wiped", None)
        );
        assert_eq!(
            (OpenError::InUse.name(), OpenError::InUse.reason()),
            ("inUse", None)
        );
    }
}
