//! A QUIC peer made of quinn and rustls alone, which shows what key it likes and writes what
//! bytes it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use byzantine_crypto::SecretKey;
use byzantine_transport::{HelloField, Lane};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{hello, in_time};

/// A certified key that shows one public key and signs with another secret.
pub fn certified(shown: &SecretKey, signer: &SecretKey) -> Arc<CertifiedKey> {
    let der = signer.to_pkcs8_der();
    let signer =
        rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))
            .unwrap();
    let spki = CertificateDer::from(shown.public().to_spki_der().to_vec());
    Arc::new(CertifiedKey::new(vec![spki], signer))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client configuration that believes every server. `None` shows no key at all.
pub fn client_config(key: Option<Arc<CertifiedKey>>, alpn: &[u8]) -> quinn::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match key {
        None => builder.with_no_client_auth(),
        Some(key) => builder.with_client_cert_resolver(Arc::new(
            rustls::client::AlwaysResolvesClientRawPublicKeys::new(key),
        )),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// An endpoint that only dials.
pub fn dialling() -> quinn::Endpoint {
    quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// An endpoint that listens on loopback, shows `key` and believes every client.
pub fn listening(key: Arc<CertifiedKey>, alpn: &[u8]) -> quinn::Endpoint {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Gullible))
        .with_cert_resolver(Arc::new(
            rustls::server::AlwaysResolvesServerRawPublicKeys::new(key),
        ));
    config.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// Dials with a key of one's own.
pub async fn dial(
    from: &quinn::Endpoint,
    to: SocketAddr,
    key: &SecretKey,
    alpn: &[u8],
) -> Result<Connection, ConnectionError> {
    let config = client_config(Some(certified(key, key)), alpn);
    in_time(
        "raw dial",
        from.connect_with(config, to, "replica").unwrap(),
    )
    .await
}

/// The payload of a HELLO.
pub fn hello_payload(role: u8, version: u16, fields: &[HelloField]) -> Vec<u8> {
    let mut fields = fields.to_vec();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let mut bytes = vec![role];
    bytes.extend(version.to_le_bytes());
    bytes.push(fields.len() as u8);
    for field in fields {
        bytes.push(field.name.len() as u8);
        bytes.extend(field.name.as_bytes());
        bytes.extend(field.digest);
    }
    bytes
}

/// A frame as it stands on a lane.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(payload);
    bytes
}

/// Opens a lane's stream and writes these bytes behind the lane byte.
pub async fn open(connection: &Connection, lane: u8, bytes: &[u8]) -> SendStream {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&[lane]).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A connection that has said HELLO as a replica (0) or client (1) and was admitted.
pub struct Admitted {
    pub connection: Connection,
    pub control: SendStream,
    pub peer_control: RecvStream,
}

/// Dials, says HELLO, and waits for the other side's control lane.
pub async fn admitted(
    from: &quinn::Endpoint,
    to: SocketAddr,
    key: &SecretKey,
    alpn: &[u8],
) -> Admitted {
    let connection = dial(from, to, key, alpn).await.unwrap();
    let role = u8::from(alpn == byzantine_transport::ALPN_CLIENT);
    let greeting = frame(1, &hello_payload(role, 1, &hello()));
    let control = open(&connection, Lane::Control as u8, &greeting).await;
    let peer_control = in_time("peer's control lane", connection.accept_uni())
        .await
        .unwrap();
    Admitted {
        connection,
        control,
        peer_control,
    }
}

/// The text with which the other side closes.
pub async fn close_text(connection: &Connection) -> String {
    match in_time("close", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            String::from_utf8_lossy(&close.reason).into_owned()
        }
        other => panic!("closed by {other}"),
    }
}

/// Verifies nothing: whatever is shown is believed.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
