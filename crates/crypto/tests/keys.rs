//! Keys: formats, refusals, and what must not leak.

use byzantine_crypto::{KeyError, PublicKey, SecretKey};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

/// RFC 8410 §10.3, its private key without and with attributes and public half, and §10.1.
const RFC8410_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const RFC8410_PEM_V2: &str = "-----BEGIN PRIVATE KEY-----\n\
    MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
    Z9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PRIVATE KEY-----\n";
const RFC8410_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/// A P-256 key in PKCS#8: well-formed, another algorithm.
const P256_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgb/8RZ6d8frn5t4sK\n\
    Uyvr8QSQfj6DSsipg17v3GF4ciuhRANCAAS/gOvzUK65D5tFfaDyVpmskHel7Yiw\n\
    fXhjoGdzG3kU+c4rIKrg8l9sK46YTu88giVkG02fkF1f7t7pXpPCzcuA\n\
    -----END PRIVATE KEY-----\n";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_keys_of_rfc_8410_are_read_with_and_without_public_half() {
    for pem in [RFC8410_PEM, RFC8410_PEM_V2] {
        let secret = SecretKey::from_pkcs8_pem(pem).expect("a key of the RFC");
        assert_eq!(hex(secret.public().as_bytes()), RFC8410_PUBLIC);
        assert_eq!(secret.to_pkcs8_pem().as_str(), RFC8410_PEM);
    }
}

#[test]
fn a_generated_key_survives_pem_der_and_raw() {
    let secret = SecretKey::generate().expect("entropy");
    let again = [
        SecretKey::from_pkcs8_pem(&secret.to_pkcs8_pem()).expect("own PEM"),
        SecretKey::from_pkcs8_der(&secret.to_pkcs8_der()).expect("own DER"),
        SecretKey::from_raw(*secret.raw()),
    ];
    for copy in again {
        assert_eq!(copy.public(), secret.public());
        assert_eq!(copy.sign(&[b"m"]), secret.sign(&[b"m"]));
    }
    assert_eq!(secret.to_pkcs8_der().len(), 48);
    assert_ne!(
        SecretKey::generate().expect("entropy").public(),
        secret.public()
    );
}

#[test]
fn wrong_documents_are_refused_with_the_reason() {
    let refused = |pem: &str| SecretKey::from_pkcs8_pem(pem).expect_err("not a key of ours");
    assert_eq!(refused(""), KeyError::Pem);
    assert_eq!(refused("not a key"), KeyError::Pem);
    assert_eq!(refused(&RFC8410_PEM.replace("MC4", "M!4")), KeyError::Pem);
    assert_eq!(
        refused(&RFC8410_PEM.replace("PRIVATE", "PUBLIC")),
        KeyError::Pem
    );
    assert_eq!(
        refused(&RFC8410_PEM.replace("MC4C", "MC5C")),
        KeyError::Pkcs8
    );
    assert_eq!(refused(P256_PEM), KeyError::Algorithm);
    // The public half of another key: its last bit changed.
    assert_eq!(
        refused(&RFC8410_PEM_V2.replace("ZuE=", "ZmE=")),
        KeyError::Pkcs8
    );
}

#[test]
fn der_that_is_cut_short_or_has_more_behind_it_is_refused() {
    let der = SecretKey::from_raw([5; 32]).to_pkcs8_der();
    for length in 0..der.len() {
        let error = SecretKey::from_pkcs8_der(&der[..length]).expect_err("cut short");
        assert_eq!(error, KeyError::Pkcs8, "{length}");
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert_eq!(
        SecretKey::from_pkcs8_der(&longer).expect_err("longer"),
        KeyError::Pkcs8
    );
}

#[test]
fn a_public_key_survives_spki() {
    let public = SecretKey::from_pkcs8_pem(RFC8410_PEM)
        .expect("a key of the RFC")
        .public();
    let der = public.to_spki_der();
    assert_eq!(
        hex(&der),
        format!("302a300506032b6570032100{RFC8410_PUBLIC}")
    );
    assert_eq!(PublicKey::from_spki_der(&der), Ok(public));
    for length in 0..der.len() {
        assert_eq!(
            PublicKey::from_spki_der(&der[..length]),
            Err(KeyError::Spki)
        );
    }
    assert_eq!(
        PublicKey::from_spki_der(&[der.as_slice(), &[0]].concat()),
        Err(KeyError::Spki)
    );
    let mut x25519 = der;
    x25519[8] = 0x6e;
    assert_eq!(PublicKey::from_spki_der(&x25519), Err(KeyError::Spki));
}

#[test]
fn public_keys_of_another_length_or_off_the_curve_are_refused() {
    assert_eq!(PublicKey::from_bytes(&[]), Err(KeyError::Length(0)));
    assert_eq!(PublicKey::from_bytes(&[1; 31]), Err(KeyError::Length(31)));
    assert_eq!(PublicKey::from_bytes(&[1; 33]), Err(KeyError::Length(33)));
    assert_eq!(PublicKey::from_bytes(&[2; 32]), Err(KeyError::NotOnCurve));
}

#[test]
fn public_keys_of_small_or_mixed_order_are_refused() {
    for (index, torsion) in EIGHT_TORSION.into_iter().enumerate() {
        let small = torsion.compress().to_bytes();
        assert_eq!(
            PublicKey::from_bytes(&small),
            Err(KeyError::SmallOrder),
            "{index}"
        );
        let sum = (ED25519_BASEPOINT_POINT + torsion).compress().to_bytes();
        let loaded = PublicKey::from_bytes(&sum).map(|key| *key.as_bytes());
        let expected = if index == 0 {
            Ok(sum)
        } else {
            Err(KeyError::MixedOrder)
        };
        assert_eq!(loaded, expected, "{index}");
    }
}

#[test]
fn non_canonical_public_keys_are_refused() {
    let mut one_with_sign = [0; 32];
    (one_with_sign[0], one_with_sign[31]) = (1, 0x80);
    let mut minus_one_with_sign = [0xff; 32];
    minus_one_with_sign[0] = 0xec;
    let mut refused = vec![one_with_sign, minus_one_with_sign];
    for low in 0xed..=0xff {
        let mut y_beyond_p = [0xff; 32];
        (y_beyond_p[0], y_beyond_p[31]) = (low, 0x7f);
        refused.push(y_beyond_p);
    }
    let errors: Vec<KeyError> = refused
        .iter()
        .map(|bytes| PublicKey::from_bytes(bytes).expect_err("not canonical"))
        .collect();
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, KeyError::NonCanonical | KeyError::NotOnCurve))
    );
    assert_eq!(errors[..4], [KeyError::NonCanonical; 4]);
}

#[test]
fn debug_output_shows_the_public_key_and_never_the_secret() {
    let secret = SecretKey::from_pkcs8_pem(RFC8410_PEM).expect("a key of the RFC");
    assert_eq!(
        format!("{secret:?}"),
        format!("SecretKey(PublicKey({RFC8410_PUBLIC}))")
    );
}

#[test]
fn every_refusal_says_why() {
    let errors = [
        (
            KeyError::Length(31),
            "an Ed25519 public key is 32 bytes, not 31",
        ),
        (KeyError::SmallOrder, "the public key is of small order"),
        (
            KeyError::MixedOrder,
            "the public key has a torsion component",
        ),
        (
            KeyError::NonCanonical,
            "the public key is not canonically encoded",
        ),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
    }
}
