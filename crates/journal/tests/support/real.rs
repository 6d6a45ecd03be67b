//! The real file system.

use std::path::PathBuf;

/// A directory of the real file system that is gone afterwards.
pub struct RealDir(pub PathBuf);

impl RealDir {
    pub fn new(name: &str) -> Self {
        let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let dir = base.join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Self(dir.join("data"))
    }
}

impl Drop for RealDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().expect("a base"));
    }
}
