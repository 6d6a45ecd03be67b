//! Why a key was refused.

use std::fmt;

/// Why a key was refused. No variant carries key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyError {
    /// A public key is 32 bytes; this many were given.
    Length(usize),
    /// The bytes encode no point of the curve.
    NotOnCurve,
    /// The bytes encode a point, but are not its canonical encoding (RFC 8032 §5.1.3).
    NonCanonical,
    /// The point is in the torsion subgroup (order 1, 2, 4 or 8): anyone can sign for it.
    SmallOrder,
    /// The point has a torsion component beside its prime-order one; no honest key has.
    MixedOrder,
    /// The text is no PEM document, or one with another label than `PRIVATE KEY`.
    Pem,
    /// The document is a key of another algorithm than Ed25519.
    Algorithm,
    /// The document is no well-formed PKCS#8 Ed25519 key, or its public half is another key's.
    Pkcs8,
    /// The document is no well-formed Ed25519 SubjectPublicKeyInfo (RFC 8410 §4).
    Spki,
    /// The operating system gave no entropy.
    Entropy,
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Length(length) => {
                return write!(formatter, "an Ed25519 public key is 32 bytes, not {length}");
            }
            Self::NotOnCurve => "the public key is no point of the curve",
            Self::NonCanonical => "the public key is not canonically encoded",
            Self::SmallOrder => "the public key is of small order",
            Self::MixedOrder => "the public key has a torsion component",
            Self::Pem => "the text is no PEM document with the label PRIVATE KEY",
            Self::Algorithm => "the key is not an Ed25519 key",
            Self::Pkcs8 => "the document is no well-formed PKCS#8 Ed25519 key",
            Self::Spki => "the document is no well-formed Ed25519 SubjectPublicKeyInfo",
            Self::Entropy => "the operating system gave no entropy",
        };
        formatter.write_str(reason)
    }
}

impl std::error::Error for KeyError {}
