//! SHA-256 (FIPS 180-4), the only digest of the protocol.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest: 32 bytes.
pub type Digest = [u8; 32];

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// SHA-256 of the concatenation of `parts`, without building it.
///
/// The boundaries between parts are *not* hashed: callers fix them by constant lengths or by
/// length prefixes of their own.
pub fn sha256_parts(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
