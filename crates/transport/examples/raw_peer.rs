//! A QUIC peer that need not keep the rules, for tests of a whole cluster: it shows one public key,
//! signs the handshake with another, and writes what bytes it is told to.
//!
//! `raw_peer ADDRESS ALPN SHOWN SECRET LANE:BYTES…`: SHOWN is 64 hexadecimal digits, SECRET a PKCS#8
//! PEM file, BYTES what follows the lane byte of the stream, in hexadecimal. Prints how the
//! connection ended.

use std::env::args;
use std::error::Error;
use std::fs::read_to_string;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use byzantine_crypto::{PublicKey, SecretKey};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, SignatureScheme};

/// Longer than a replica lets an idle connection live.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Plan {
    address: SocketAddr,
    alpn: String,
    shown: PublicKey,
    secret: SecretKey,
    streams: Vec<Vec<u8>>,
}

fn main() -> Outcome<()> {
    let plan = plan()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!(
        "{}",
        runtime.block_on(async { tokio::time::timeout(PATIENCE, run(plan)).await })??
    );
    Ok(())
}

fn plan() -> Outcome<Plan> {
    let arguments: Vec<String> = args().skip(1).collect();
    let [address, alpn, shown, secret, streams @ ..] = arguments.as_slice() else {
        return Err("usage: raw_peer ADDRESS ALPN SHOWN SECRET LANE:BYTES…".into());
    };
    let shown: [u8; 32] = from_hex(shown)?
        .try_into()
        .map_err(|_| "SHOWN has 32 bytes")?;
    Ok(Plan {
        address: address.parse()?,
        alpn: alpn.clone(),
        shown: PublicKey::from_bytes(&shown).map_err(|error| format!("SHOWN: {error}"))?,
        secret: SecretKey::from_pkcs8_pem(&read_to_string(secret)?)
            .map_err(|error| format!("SECRET: {error}"))?,
        streams: streams
            .iter()
            .map(|stream| stream_of(stream))
            .collect::<Outcome<_>>()?,
    })
}

/// The lane byte and the bytes behind it.
fn stream_of(text: &str) -> Outcome<Vec<u8>> {
    let (lane, bytes) = text.split_once(':').ok_or("a stream is LANE:BYTES")?;
    Ok([vec![lane.parse()?], from_hex(bytes)?].concat())
}

fn from_hex(text: &str) -> Outcome<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

/// Connects, writes, and waits for the end.
async fn run(plan: Plan) -> Outcome<String> {
    let config = client_config(&plan)?;
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let connection = match endpoint
        .connect_with(config, plan.address, "replica")?
        .await
    {
        Ok(connection) => connection,
        Err(error) => return Ok(error.to_string()),
    };
    let mut open = Vec::new();
    for bytes in &plan.streams {
        let Ok(mut stream) = connection.open_uni().await else {
            break;
        };
        // The other side may have closed already, which is what is reported.
        let _ = stream.write_all(bytes).await;
        open.push(stream);
    }
    Ok(connection.closed().await.to_string())
}

fn client_config(plan: &Plan) -> Outcome<quinn::ClientConfig> {
    let der = plan.secret.to_pkcs8_der();
    let signer =
        rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
    let spki = CertificateDer::from(plan.shown.to_spki_der().to_vec());
    let key = Arc::new(CertifiedKey::new(vec![spki], signer));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_cert_resolver(Arc::new(
            rustls::client::AlwaysResolvesClientRawPublicKeys::new(key),
        ));
    config.alpn_protocols = vec![plan.alpn.clone().into_bytes()];
    Ok(quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(config)?,
    )))
}

/// Believes every server.
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
