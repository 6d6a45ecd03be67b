//! Signing and verification against RFC 8032 §7.1, and over parts and domains.

use byzantine_crypto::verify::{Item, verify, verify_batch};
use byzantine_crypto::{Domain, PublicKey, SecretKey};

/// Secret key, public key, message, signature.
const VECTORS: [(&str, &str, &str, &str); 4] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
         5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    // The message of "TEST SHA(abc)" is the SHA-512 of "abc".
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589\
         09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ASCII"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
        .collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().expect("the length of the field")
}

#[test]
fn keys_and_signatures_are_those_of_the_rfc() {
    for (secret, public, message, signature) in VECTORS {
        let secret = SecretKey::from_raw(array(secret));
        let (message, signature) = (bytes(message), array(signature));
        assert_eq!(secret.public().as_bytes(), &array(public));
        assert_eq!(secret.sign(&[&message]), signature);
        let (head, tail) = message.split_at(message.len() / 2);
        assert_eq!(secret.sign(&[head, tail]), signature);
        let item = Item {
            key: &secret.public(),
            context: head,
            message: tail,
            signature: &signature,
        };
        assert!(verify(&item));
    }
}

#[test]
fn the_vectors_hold_as_a_batch_and_fail_with_messages_exchanged() {
    let keys = VECTORS.map(|vector| PublicKey::from_bytes(&bytes(vector.1)).expect("a key"));
    let messages = VECTORS.map(|vector| bytes(vector.2));
    let signatures = VECTORS.map(|vector| array(vector.3));
    let batch = |shift: usize| -> Vec<bool> {
        let items: Vec<Item<'_>> = (0..VECTORS.len())
            .map(|index| Item {
                key: &keys[index],
                context: &[],
                message: &messages[(index + shift) % VECTORS.len()],
                signature: &signatures[index],
            })
            .collect();
        verify_batch(&items)
    };
    assert_eq!(batch(0), [true; 4]);
    assert_eq!(batch(1), [false; 4]);
}

#[test]
fn a_signature_counts_only_in_its_own_cluster_epoch_and_type() {
    let secret = SecretKey::from_raw([8; 32]);
    let signature = secret.sign(&[&Domain::new([1; 32], 4).prefix(2), b"payload"]);
    let counts = |context: &[u8], message: &[u8]| {
        let key = secret.public();
        verify(&Item {
            key: &key,
            context,
            message,
            signature: &signature,
        })
    };
    assert!(counts(&Domain::new([1; 32], 4).prefix(2), b"payload"));
    assert!(!counts(&Domain::new([2; 32], 4).prefix(2), b"payload"));
    assert!(!counts(&Domain::new([1; 32], 5).prefix(2), b"payload"));
    assert!(!counts(&Domain::new([1; 32], 4).prefix(3), b"payload"));
    assert!(!counts(&Domain::new([1; 32], 4).prefix(2), b"Payload"));
    assert!(!counts(&[], b"payload"));
}
