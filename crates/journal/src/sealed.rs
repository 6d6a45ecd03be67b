//! Small files that are replaced as a whole: the genesis marker and the marker of a clean stop.
//!
//! `magic (8) | version u32 | body length u32 | body | checksum of all before u64`. A crash leaves the old file or the
//! new one.

use std::io;
use std::path::Path;

use crate::checksum::checksum;
use crate::error::{Attempted, Damage, DiskFailure, OpenError};
use crate::layout::{UNFINISHED, u32_at, u64_at};
use crate::storage::{Access, Storage, read_file};

const HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;

/// The longest body, in bytes: a clean stop carries the votes of a window, a few hundred KiB.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// What a file is: its name in the directory, its magic and its version.
pub(crate) struct Seal {
    pub(crate) name: &'static str,
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
}

impl Seal {
    /// Replaces the file durably and atomically.
    pub(crate) fn write(
        &self,
        storage: &dyn Storage,
        dir: &Path,
        body: &[u8],
    ) -> Result<(), DiskFailure> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&checksum(&[&bytes]).to_le_bytes());
        let unfinished = dir.join(format!("{}{UNFINISHED}", self.name));
        let file = storage
            .open(&unfinished, Access::Replace)
            .writing(self.name)?;
        file.write_at(&bytes, 0).writing(self.name)?;
        file.sync().syncing(self.name)?;
        storage
            .rename(&unfinished, &dir.join(self.name))
            .writing(self.name)?;
        storage.sync_dir(dir).syncing("data directory")
    }

    /// The body of the file; none where there is no such file.
    pub(crate) fn read(
        &self,
        storage: &dyn Storage,
        dir: &Path,
    ) -> Result<Option<Vec<u8>>, OpenError> {
        let bytes_max = (HEADER_BYTES + BODY_BYTES_MAX + CHECKSUM_BYTES) as u64;
        let bytes = match read_file(storage, &dir.join(self.name), bytes_max) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(OpenError::corrupt(self.name, 0, Damage::Length));
            }
            Err(error) => return Err(Err::<(), _>(error).reading(self.name).unwrap_err().into()),
        };
        self.open(&bytes).map(Some)
    }

    fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, OpenError> {
        let damaged = OpenError::corrupt(self.name, 0, Damage::Header);
        let Some(end) = bytes.len().checked_sub(CHECKSUM_BYTES) else {
            return Err(damaged);
        };
        let sound = end >= HEADER_BYTES
            && u64_at(bytes, end) == checksum(&[&bytes[..end]])
            && bytes.starts_with(&self.magic);
        if !sound {
            return Err(damaged);
        }
        let version = u32_at(bytes, 8);
        if version != self.version {
            return Err(OpenError::UnsupportedVersion {
                file: self.name.to_owned(),
                found: version,
            });
        }
        if u32_at(bytes, 12) as usize != end - HEADER_BYTES {
            return Err(damaged);
        }
        Ok(bytes[HEADER_BYTES..end].to_vec())
    }
}
