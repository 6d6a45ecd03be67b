//! Makes a data directory, and takes the lock of one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Attempted, InitError};
use crate::identity::{Identity, LIFE_BYTES};
use crate::layout::{CLEAN_STOP, LOCK, MARKER, segment_name, segment_number, snapshot_sequence};
use crate::marker::{Marker, Origin};
use crate::storage::{Access, Storage, StorageLock};

/// Makes `dir` a data directory of `identity`, durably: the genesis marker is written last.
///
/// Run once per replica, by the operator ([`Origin::Genesis`]), or for a disk that was wiped ([`Origin::Wiped`]: its
/// journal never passes for a first start).
///
/// # Errors
/// [`InitError`]; where a marker or other files of a journal are there already, nothing is changed.
pub fn init(
    storage: &dyn Storage,
    dir: &Path,
    identity: &Identity,
    origin: Origin,
) -> Result<(), InitError> {
    storage.create_dir(dir).writing("data directory")?;
    let _lock = lock(storage, dir).writing(LOCK)?.ok_or(InitError::InUse)?;
    let names = storage.list(dir).reading("data directory")?;
    if names.iter().any(|name| name == MARKER) {
        return Err(InitError::AlreadyInitialized);
    }
    let first = segment_name(1);
    for name in names {
        // An `init` that did not end leaves the first segment empty.
        let unfinished = name == first && is_empty(storage, &dir.join(&name)).reading(&name)?;
        let ours = segment_number(&name).is_some()
            || snapshot_sequence(&name).is_some()
            || name == CLEAN_STOP;
        if ours && !unfinished {
            return Err(InitError::NotEmpty(name));
        }
    }
    let file = storage
        .open(&dir.join(&first), Access::Create)
        .writing(&first)?;
    file.sync().syncing(&first)?;
    storage.sync_dir(dir).syncing("data directory")?;
    let mut life = [0; LIFE_BYTES];
    storage.entropy(&mut life).reading("entropy")?;
    let marker = Marker {
        identity: *identity,
        origin,
        life,
    };
    marker.write(storage, dir)?;
    Ok(())
}

fn is_empty(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    Ok(storage.open(path, Access::Read)?.length()? == 0)
}

/// Takes the lock of a data directory; none where another owner has it.
pub(crate) fn lock(storage: &dyn Storage, dir: &Path) -> io::Result<Option<Arc<dyn StorageLock>>> {
    match storage.lock(&dir.join(LOCK)) {
        Ok(lock) => Ok(Some(Arc::from(lock))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
