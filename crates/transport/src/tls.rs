//! TLS 1.3 with raw public keys both ways (RFC 7250): an endpoint *is* its Ed25519 key.
//!
//! No certificates, names or authorities; no tickets, resumption or early data. A key counts only
//! after its handshake signature was verified: presenting a member's public key proves nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use byzantine_crypto::{PublicKey, SecretKey};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, version,
};

use crate::barred::Barred;
use crate::config::{ClientPolicy, TransportError};
use crate::ledger::Ledger;
use crate::reason::RefuseReason;

/// ALPN of connections between replicas.
pub const ALPN_REPLICA: &[u8] = b"byzantine-quic-replica/1";
/// ALPN of connections of clients.
pub const ALPN_CLIENT: &[u8] = b"byzantine-quic-client/1";
/// rustls wants a name; it is not sent (no SNI) and not looked at.
pub(crate) const SERVER_NAME: &str = "replica";

/// This endpoint's key in the form that rustls takes.
#[derive(Clone)]
pub(crate) struct TlsIdentity {
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl TlsIdentity {
    pub(crate) fn new(identity: &SecretKey) -> Result<Self, TransportError> {
        let der = identity.to_pkcs8_der();
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))
            .map_err(|error| TransportError::Tls(error.to_string()))?;
        let spki = identity.public().to_spki_der().to_vec();
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer)),
            provider: Arc::new(ring::default_provider()),
        })
    }

    /// The server side of a replica: admits the keys of `admission` in either role; which role a
    /// key may take is decided after the handshake, when ALPN is known.
    pub(crate) fn server(
        &self,
        admission: Admission,
        barred: Arc<Barred>,
        ledger: Arc<Ledger>,
    ) -> Result<QuicServerConfig, TransportError> {
        let tls = |error: &dyn std::fmt::Display| TransportError::Tls(error.to_string());
        let verifier = AdmittedKeys {
            admission,
            barred,
            ledger,
            algorithms: self.provider.signature_verification_algorithms,
        };
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| tls(&error))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = vec![ALPN_REPLICA.to_vec(), ALPN_CLIENT.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|error| tls(&error))
    }

    /// The client side of a dial that insists on exactly `expected`.
    pub(crate) fn client(
        &self,
        expected: [u8; 32],
        alpn: &[u8],
        ledger: Arc<Ledger>,
    ) -> Result<QuicClientConfig, TransportError> {
        let tls = |error: &dyn std::fmt::Display| TransportError::Tls(error.to_string());
        let verifier = PinnedKey {
            expected,
            ledger,
            algorithms: self.provider.signature_verification_algorithms,
        };
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| tls(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        QuicClientConfig::try_from(config).map_err(|error| tls(&error))
    }
}

/// Which keys may finish a handshake with a replica.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) members: HashSet<[u8; 32]>,
    pub(crate) clients: ClientPolicy,
}

impl Admission {
    /// Whether a client's connection may have this key.
    pub(crate) fn admits_client(&self, key: &[u8; 32]) -> bool {
        let listed = match &self.clients {
            ClientPolicy::Any => true,
            ClientPolicy::Listed(keys) => keys.contains(key),
        };
        listed || self.members.contains(key)
    }
}

/// The key in a raw public key certificate, if it is the whole of it and strong.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let key = PublicKey::from_spki_der(certificate.as_ref()).ok()?;
    Some(*key.as_bytes())
}

fn refused() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    ledger: &Ledger,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(certificate.as_ref());
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, signature, algorithms)
        .inspect_err(|_| ledger.refuse(key_of(certificate), RefuseReason::KeyNotProven))
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(
        rustls::PeerIncompatible::Tls12NotOffered,
    ))
}

#[derive(Debug)]
struct AdmittedKeys {
    admission: Admission,
    barred: Arc<Barred>,
    ledger: Arc<Ledger>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AdmittedKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(key) = key_of(end_entity) else {
            self.ledger.refuse(None, RefuseReason::WeakKey);
            return Err(refused());
        };
        if !self.admission.admits_client(&key) {
            self.ledger.refuse(Some(key), RefuseReason::UnknownKey);
            return Err(refused());
        }
        // Before anything is computed for it: who dials again and again pays for most of it. A
        // member may still speak as a replica, so its role is looked at first, after the handshake.
        let is_member = self.admission.members.contains(&key);
        if !is_member && self.barred.is_barred(&key, Instant::now()) {
            self.ledger.refuse(Some(key), RefuseReason::Barred);
            return Err(refused());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(
            message,
            certificate,
            signature,
            &self.algorithms,
            &self.ledger,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct PinnedKey {
    expected: [u8; 32],
    ledger: Arc<Ledger>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = key_of(end_entity);
        if key != Some(self.expected) {
            self.ledger.refuse(key, RefuseReason::WrongKey);
            return Err(refused());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(
            message,
            certificate,
            signature,
            &self.algorithms,
            &self.ledger,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
