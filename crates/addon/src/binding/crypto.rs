//! Keys, signatures and digests for TypeScript.

use byzantine_crypto::{
    Domain, Item, KeyError, PublicKey, SecretKey, bundle_digest, sha256, verify_batch,
};
use napi::bindgen_prelude::{Error, Result, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;

use super::{counter, exact, exclusive, failure};
use crate::wire::{Digest, Reader, Signature, check};

/// A signing key that stays on the native side.
#[napi]
pub struct NativeSigner {
    secret: SecretKey,
}

#[napi]
impl NativeSigner {
    /// Reads a PKCS#8 PEM.
    #[napi(constructor, catch_unwind)]
    pub fn new(secret_key_pem: String) -> Result<Self> {
        let secret = SecretKey::from_pkcs8_pem(&secret_key_pem).map_err(key_failure)?;
        Ok(Self { secret })
    }

    /// 32 bytes.
    #[napi(getter)]
    pub fn public_key(&self) -> Uint8Array {
        self.secret.public().as_bytes().to_vec().into()
    }

    /// Signs a payload within its domain; 64 bytes.
    #[napi(catch_unwind)]
    pub fn sign(
        &self,
        cluster_id: &[u8],
        epoch: f64,
        message_type: u8,
        payload: &[u8],
    ) -> Result<Uint8Array> {
        let domain = domain(cluster_id, epoch)?;
        Ok(self
            .secret
            .sign(&[&domain.prefix(message_type), payload])
            .to_vec()
            .into())
    }
}

/// A new key as PKCS#8 PEM.
#[napi(catch_unwind)]
pub fn generate_key() -> Result<String> {
    let secret = SecretKey::generate().map_err(key_failure)?;
    Ok(secret.to_pkcs8_pem().to_string())
}

/// The public key of a PKCS#8 PEM, 64 lower-case hexadecimal digits.
#[napi(catch_unwind)]
pub fn public_key_of(secret_key_pem: String) -> Result<String> {
    let secret = SecretKey::from_pkcs8_pem(&secret_key_pem).map_err(key_failure)?;
    Ok(secret
        .public()
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Empty, or why these bytes are no public key that is accepted.
#[napi(catch_unwind)]
pub fn check_public_key(key: &[u8]) -> String {
    PublicKey::from_bytes(key)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// Whether a signature is valid within its domain. A key that is not accepted has no valid one.
#[napi(catch_unwind)]
pub fn verify(
    key: &[u8],
    cluster_id: &[u8],
    epoch: f64,
    message_type: u8,
    payload: &[u8],
    signature: &[u8],
) -> Result<bool> {
    let context = domain(cluster_id, epoch)?.prefix(message_type);
    let (Ok(key), Ok(signature)) = (
        PublicKey::from_bytes(key),
        <&Signature>::try_from(signature),
    ) else {
        return Ok(false);
    };
    let item = Item {
        key: &key,
        context: &context,
        message: payload,
        signature,
    };
    Ok(byzantine_crypto::verify::verify(&item))
}

/// One verdict (0, 1) per record `key 32 | type u8 | u32 length | payload | signature 64`.
#[napi(catch_unwind)]
pub fn verify_records(cluster_id: &[u8], epoch: f64, items: &[u8]) -> Result<Uint8Array> {
    let domain = domain(cluster_id, epoch)?;
    let mut reader = Reader::new(items);
    let mut records = Vec::new();
    while reader.remaining() > 0 {
        records.push(read_item(&mut reader, &domain).map_err(|error| {
            failure(
                "INVALID_ARGUMENT",
                format!("item {} is malformed: {}", records.len(), error.name()),
            )
        })?);
    }
    let mut verdicts = vec![0u8; records.len()];
    let keyed = records
        .iter()
        .enumerate()
        .filter_map(|(place, record)| Some((place, record.key.as_ref()?, record)));
    let (places, checked): (Vec<usize>, Vec<Item<'_>>) = keyed
        .map(|(place, key, record)| {
            let (message, signature) = (record.payload, record.signature);
            (
                place,
                Item {
                    key,
                    context: &record.context,
                    message,
                    signature,
                },
            )
        })
        .unzip();
    for (place, verdict) in places.into_iter().zip(verify_batch(&checked)) {
        verdicts[place] = u8::from(verdict);
    }
    Ok(verdicts.into())
}

struct Record<'a> {
    key: Option<PublicKey>,
    context: [u8; byzantine_crypto::domain::PREFIX_LENGTH],
    payload: &'a [u8],
    signature: &'a Signature,
}

fn read_item<'a>(
    reader: &mut Reader<'a>,
    domain: &Domain,
) -> std::result::Result<Record<'a>, crate::wire::DecodeError> {
    let key = PublicKey::from_bytes(reader.array::<32>()?).ok();
    let context = domain.prefix(reader.u8()?);
    Ok(Record {
        key,
        context,
        payload: reader.bytes()?,
        signature: reader.array()?,
    })
}

/// SHA-256; 32 bytes.
#[napi(catch_unwind, js_name = "sha256")]
pub fn sha256_of(bytes: &[u8]) -> Uint8Array {
    sha256(bytes).to_vec().into()
}

/// Digest of a BUNDLE payload with its signature; 32 bytes.
#[napi(catch_unwind, js_name = "bundleDigest")]
pub fn bundle_digest_of(signed_bundle: &[u8]) -> Uint8Array {
    bundle_digest(signed_bundle).to_vec().into()
}

/// Digest of a batch; `digests` holds 32 bytes per bundle.
#[napi(catch_unwind)]
pub fn batch_digest(time_ms: f64, digests: &[u8]) -> Result<Uint8Array> {
    let (bundles, rest) = digests.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(failure("INVALID_ARGUMENT", "digests are 32 bytes each"));
    }
    Ok(
        byzantine_crypto::batch_digest(counter("timeMs", time_ms)?, bundles)
            .to_vec()
            .into(),
    )
}

/// Digest of an operation's result; 32 bytes.
#[napi(catch_unwind)]
pub fn result_digest(status: u8, result: &[u8]) -> Uint8Array {
    byzantine_crypto::result_digest(status, result)
        .to_vec()
        .into()
}

/// Writes the SHA-256 of `input[ends[i-1]..ends[i]]` to `output[32 * i..]` for the first `count`
/// ends. Input and output must not share memory.
#[napi(catch_unwind)]
pub fn hash_many(
    input: &[u8],
    ends: &[u32],
    count: u32,
    mut output: Uint8ArraySlice<'_>,
) -> Result<()> {
    let output = exclusive(&mut output, input)?;
    let count = count as usize;
    let bad = |text: &str| failure("INVALID_ARGUMENT", text);
    let ends = ends
        .get(..count)
        .ok_or_else(|| bad("count is more than there are ends"))?;
    let (digests, _) = output.as_chunks_mut::<32>();
    let digests: &mut [Digest] = digests
        .get_mut(..count)
        .ok_or_else(|| bad("output holds fewer digests than count"))?;
    let mut start = 0;
    for (end, digest) in ends.iter().zip(digests) {
        let end = *end as usize;
        *digest = sha256(
            input
                .get(start..end)
                .ok_or_else(|| bad("ends ascend within the input"))?,
        );
        start = end;
    }
    Ok(())
}

/// Empty, or the name of what is wrong first with a payload of this type.
#[napi(catch_unwind)]
pub fn decode_check(message_type: u8, payload: &[u8]) -> String {
    check::decode_check(message_type, payload)
        .err()
        .map_or("", |error| error.name())
        .to_owned()
}

/// The addon's version, which is the package's.
#[napi(catch_unwind)]
pub fn native_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn domain(cluster_id: &[u8], epoch: f64) -> Result<Domain> {
    Ok(Domain::new(
        exact("clusterId", cluster_id)?,
        counter("epoch", epoch)?,
    ))
}

fn key_failure(error: KeyError) -> Error {
    failure("INVALID_KEY", error)
}
