//! What a signature, a verdict and a digest cost.
//!
//! `cargo bench -p byzantine-crypto --bench crypto`; throughput is in signatures (or bytes) per
//! second, so 1 / throughput is the cost of one.

use std::hint::black_box;

use byzantine_crypto::verify::{Item, verify, verify_batch};
use byzantine_crypto::{Domain, PublicKey, SecretKey, merkle_root, sha256};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Batch sizes to measure.
const BATCHES: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// A typical vote: phase, view, sequence, digest.
const PAYLOAD_LENGTH: usize = 49;

struct Signed {
    key: PublicKey,
    payload: [u8; PAYLOAD_LENGTH],
    signature: [u8; 64],
}

fn domain_prefix() -> [u8; 57] {
    Domain::new([7; 32], 1).prefix(2)
}

fn secret_key(index: usize) -> SecretKey {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SecretKey::from_raw(seed)
}

/// `count` signatures, made in turn by `keys` signers.
fn signed(count: usize, keys: usize) -> Vec<Signed> {
    let signers: Vec<SecretKey> = (0..keys).map(secret_key).collect();
    (0..count)
        .map(|index| {
            let mut payload = [0; PAYLOAD_LENGTH];
            payload[..8].copy_from_slice(&(index as u64).to_le_bytes());
            let signer = &signers[index % keys];
            let signature = signer.sign(&[&domain_prefix(), &payload]);
            Signed {
                key: signer.public(),
                payload,
                signature,
            }
        })
        .collect()
}

fn items<'a>(signed: &'a [Signed], prefix: &'a [u8]) -> Vec<Item<'a>> {
    signed
        .iter()
        .map(|one| Item {
            key: &one.key,
            context: prefix,
            message: &one.payload,
            signature: &one.signature,
        })
        .collect()
}

fn keys(criterion: &mut Criterion) {
    let secret = secret_key(0);
    let prefix = domain_prefix();
    criterion.bench_function("sign", |bencher| {
        bencher.iter(|| secret.sign(&[&prefix, black_box(&[5; PAYLOAD_LENGTH])]));
    });
    let bytes = *secret.public().as_bytes();
    criterion.bench_function("load public key", |bencher| {
        bencher.iter(|| PublicKey::from_bytes(black_box(&bytes)));
    });
}

fn verification(criterion: &mut Criterion) {
    let prefix = domain_prefix();
    let signatures = signed(1, 1);
    let one = items(&signatures, &prefix);
    criterion.bench_function("verify single", |bencher| {
        bencher.iter(|| assert!(verify(black_box(&one[0]))));
    });
    for (name, keys_max) in [("verify distinct keys", usize::MAX), ("verify 8 keys", 8)] {
        let mut group = criterion.benchmark_group(name);
        for count in BATCHES {
            let signatures = signed(count, count.min(keys_max));
            let batch = items(&signatures, &prefix);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(
                BenchmarkId::from_parameter(count),
                &batch,
                |bencher, batch| {
                    bencher.iter(|| {
                        assert!(verify_batch(black_box(batch)).iter().all(|&valid| valid))
                    });
                },
            );
        }
        group.finish();
    }
}

/// What bad signatures among 128 cost: the price an attacker can set.
fn hostile_batches(criterion: &mut Criterion) {
    let prefix = domain_prefix();
    let mut group = criterion.benchmark_group("verify 128 with bad");
    group.throughput(Throughput::Elements(128));
    for bad in [0, 1, 2, 4, 16, 128] {
        let mut signatures = signed(128, 128);
        for index in 0..bad {
            signatures[index * 128 / bad].payload[0] ^= 0xff;
        }
        let batch = items(&signatures, &prefix);
        group.bench_with_input(
            BenchmarkId::from_parameter(bad),
            &batch,
            |bencher, batch| {
                bencher.iter(|| verify_batch(black_box(batch)));
            },
        );
    }
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sha256");
    for length in [32, 128, 1024, 16 * 1024, 64 * 1024] {
        let bytes = vec![3; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(length),
            &bytes,
            |bencher, bytes| {
                bencher.iter(|| sha256(black_box(bytes)));
            },
        );
    }
    group.finish();
    let leaves: Vec<[u8; 32]> = (0..=255).map(|byte| [byte; 32]).collect();
    criterion.bench_function("merkle root of 256", |bencher| {
        bencher.iter(|| merkle_root(black_box(&leaves)));
    });
}

criterion_group!(benches, keys, verification, hostile_batches, digests);
criterion_main!(benches);
