//! Secret keys: held and used for signing by ed25519-dalek, cleared when dropped.

use std::fmt;

use ed25519_dalek::SigningKey;
use ed25519_dalek::ed25519::pkcs8::SecretDocument;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use ed25519_dalek::pkcs8::spki::{self, der::pem::LineEnding};
use ed25519_dalek::pkcs8::{self, DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use zeroize::Zeroizing;

use super::{KeyError, PublicKey};

/// PEM label of an unencrypted PKCS#8 key (RFC 7468 §10).
const PEM_LABEL: &str = "PRIVATE KEY";

/// An Ed25519 secret key. Its memory is cleared on drop and `Debug` shows only the public key.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// A new key from the entropy of the operating system.
    ///
    /// # Errors
    /// [`KeyError::Entropy`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::Entropy)?;
        Ok(Self::from_raw(*seed))
    }

    /// The key of a 32-byte seed (the private key of RFC 8032 §5.1.5); any 32 bytes are one.
    pub fn from_raw(seed: [u8; 32]) -> Self {
        Self::from(SigningKey::from_bytes(&seed))
    }

    /// Reads an unencrypted PKCS#8 key in PEM (`-----BEGIN PRIVATE KEY-----`), with or without
    /// its public half (RFC 8410 §7, RFC 5958).
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::Algorithm`], [`KeyError::Pkcs8`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyError::Pem)?;
        if label != PEM_LABEL {
            return Err(KeyError::Pem);
        }
        Self::from_pkcs8_der(document.as_bytes())
    }

    /// Reads an unencrypted PKCS#8 key in DER.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`], [`KeyError::Pkcs8`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        match SigningKey::from_pkcs8_der(der) {
            Ok(signing) => Ok(Self::from(signing)),
            Err(pkcs8::Error::PublicKey(spki::Error::OidUnknown { .. })) => {
                Err(KeyError::Algorithm)
            }
            Err(_) => Err(KeyError::Pkcs8),
        }
    }

    /// The key as PKCS#8 in PEM, which [`SecretKey::from_pkcs8_pem`], OpenSSL and Node.js read.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        self.document()
            .to_pem(PEM_LABEL, LineEnding::LF)
            .expect("48 bytes of DER fit a PEM document")
    }

    /// The key as PKCS#8 in DER (48 bytes, what rustls takes).
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.document().to_bytes()
    }

    /// The 32-byte seed.
    pub fn raw(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs the concatenation of `parts` (RFC 8032 §5.1.6, deterministic). The first part is the
    /// tag of [`crate::Domain::prefix`]; the boundaries between parts are not signed.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 64] {
        self.signing.multipart_sign(parts).to_bytes()
    }

    /// PKCS#8 version 1, without the public half: OpenSSL 3.0 refuses the version that has it.
    fn document(&self) -> SecretDocument {
        KeypairBytes {
            secret_key: self.signing.to_bytes(),
            public_key: None,
        }
        .to_pkcs8_der()
        .expect("an Ed25519 seed has one fixed DER form")
    }
}

impl From<SigningKey> for SecretKey {
    fn from(signing: SigningKey) -> Self {
        let public = PublicKey::from_bytes(signing.verifying_key().as_bytes())
            .expect("a clamped multiple of the base point is canonical and of prime order");
        Self { signing, public }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey({:?})", self.public)
    }
}
