//! Keys, signing, the one signature verifier, and digests.
//!
//! Everything that replicas and clients must agree on about signatures and hashes is decided
//! here and nowhere else:
//!
//! - [`key`]: Ed25519 keys. A replica *is* its public key, so weak keys are refused at load.
//! - [`domain`]: the domain tag that opens all signed bytes.
//! - [`verify`]: one verdict for one signature, whatever batch it travels in (ZIP-215).
//! - [`hash`] and [`merkle`]: SHA-256, and the root that binds a batch to its bundles.
//!
//! The crate knows neither Node.js nor an asynchronous runtime; all calls are synchronous and
//! none panics on what a peer or a client sent.

pub mod domain;
pub mod hash;
pub mod key;
pub mod merkle;
pub mod verify;

pub use domain::Domain;
pub use hash::{Digest, sha256, sha256_parts};
pub use key::{KeyError, PublicKey, SecretKey};
pub use merkle::{batch_digest, bundle_digest, inner, merkle_root, result_digest};
pub use verify::{Item, verify_batch};
