//! One snapshot at a time in a directory.
//!
//! A writer that was given up removes its file when its thread comes to it; were the next one of the same sequence
//! writing by then, that would be its file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Of directories that are in use; a process has as many as it has replicas.
static TURNS: Mutex<BTreeMap<PathBuf, Weak<Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// The turn in this directory; who has locked it writes.
pub(super) fn turn_in(dir: &Path) -> Arc<Mutex<()>> {
    // A directory that cannot be resolved cannot be written to either.
    let key = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| turn.strong_count() > 0);
    if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
        return turn;
    }
    let turn = Arc::default();
    turns.insert(key, Arc::downgrade(&turn));
    turn
}
