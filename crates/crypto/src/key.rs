//! Ed25519 keys (RFC 8032, RFC 8410).
//!
//! Keys are configured, never invented at start-up. A public key is checked once, when it is
//! loaded: canonical encoding, not of small order, no torsion component. Verification can then
//! rely on it, and one replica has one encoding.

mod error;
mod public;
mod secret;

pub use error::KeyError;
pub use public::PublicKey;
pub use secret::SecretKey;
