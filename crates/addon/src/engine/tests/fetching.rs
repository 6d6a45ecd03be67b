//! Batches and bundles that one replica has and another lacks.

use super::*;

#[test]
fn a_batch_is_assembled_read_back_and_fetched_by_others() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let payload = bundle(&client_key(), 1, b"op");
    client(&mut engine, &links, payload.clone());
    records(&mut engine, &links);
    let bundles = [byzantine_crypto::bundle_digest(&payload)];
    let batch = Batch {
        time_ms: 7,
        bundles: &bundles,
    };
    apply(
        &mut engine,
        &links,
        Action::Assemble {
            view: 0,
            sequence: 1,
            batch,
        },
    );
    apply(
        &mut engine,
        &links,
        Action::ReadBatch { sequence: 1, batch },
    );
    let turn = records(&mut engine, &links);
    let digest = batch.digest();
    assert_eq!(
        turn[0],
        (
            InputKind::Assembled as u8,
            [&0u64.to_le_bytes(), &1u64.to_le_bytes(), digest.as_slice()].concat()
        )
    );
    let body = &payload[..payload.len() - 64];
    assert_eq!(turn[1].1[20..52], bundles[0]);
    assert_eq!(turn[1].1[56..], *body);
    let missing = Batch {
        time_ms: 7,
        bundles: &[[3; 32]],
    };
    let action = Action::ReadBatch {
        sequence: 2,
        batch: missing,
    };
    assert_eq!(engine.apply(action, &links), Err(Fault::MissingBody));

    let ask = |kind: FetchKind, digest: &Digest| [&[kind as u8], digest.as_slice()].concat();
    peer(
        &mut engine,
        &links,
        2,
        FETCH,
        ask(FetchKind::Bundle, &bundles[0]),
    );
    peer(
        &mut engine,
        &links,
        2,
        FETCH,
        ask(FetchKind::Batch, &digest),
    );
    peer(
        &mut engine,
        &links,
        2,
        FETCH,
        ask(FetchKind::Batch, &bundles[0]),
    );
    let sent = links.take();
    assert_eq!(sent[0], (Source::Peer(2), FETCHED_BUNDLE, payload.to_vec()));
    assert_eq!((sent[1].1, sent[1].2.len()), (FETCHED_BATCH, 12 + 32));
    assert_eq!(
        sent[2],
        (
            Source::Peer(2),
            UNAVAILABLE,
            ask(FetchKind::Batch, &bundles[0])
        )
    );
    let stable = Action::Stable {
        sequence: 1,
        digest: [1; 32],
        signers: 0,
    };
    apply(&mut engine, &links, stable);
    peer(
        &mut engine,
        &links,
        2,
        FETCH,
        ask(FetchKind::Batch, &digest),
    );
    assert_eq!(links.take()[0].1, UNAVAILABLE);
}

#[test]
fn a_fetched_bundle_is_delivered_and_what_was_not_asked_for_is_refused() {
    let (mut engine, links) = (engine(1), Recorded::default());
    apply(
        &mut engine,
        &links,
        Action::Room {
            bundles: 0,
            bytes: 0,
        },
    );
    let payload = bundle(&client_key(), 1, b"op");
    let digest = byzantine_crypto::bundle_digest(&payload);
    peer(&mut engine, &links, 2, FETCHED_BUNDLE, payload.clone());
    assert_eq!(records(&mut engine, &links), [rejected(Reason::Unasked, 2)]);
    apply(
        &mut engine,
        &links,
        Action::Fetch {
            from: 0b1101,
            kind: FetchKind::Bundle,
            digest,
        },
    );
    assert_eq!(
        links.take().iter().map(|(to, ..)| *to).collect::<Vec<_>>(),
        [0, 2, 3].map(Source::Peer)
    );
    peer(&mut engine, &links, 2, FETCHED_BUNDLE, payload);
    let turn = records(&mut engine, &links);
    assert_eq!(
        (turn.len(), turn[0].0, turn[0].1[0]),
        (1, InputKind::Request as u8, 2)
    );
}

#[test]
fn a_fetch_ends_with_invalid_or_unavailable() {
    let (mut engine, links) = (
        engine(1),
        Recorded {
            disconnected: 0b1000,
            ..Recorded::default()
        },
    );
    let mut forged = bundle(&client_key(), 1, b"op").to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    let digest = byzantine_crypto::bundle_digest(&forged);
    let body = |digest: &Digest, status: u8| {
        (
            InputKind::Body as u8,
            [digest.as_slice(), &[status]].concat(),
        )
    };
    apply(
        &mut engine,
        &links,
        Action::Fetch {
            from: 0b0001,
            kind: FetchKind::Bundle,
            digest,
        },
    );
    peer(&mut engine, &links, 0, FETCHED_BUNDLE, forged);
    assert_eq!(
        records(&mut engine, &links),
        [body(&digest, 0), rejected(Reason::BadSignature, 0)]
    );

    apply(
        &mut engine,
        &links,
        Action::Fetch {
            from: 0b1000,
            kind: FetchKind::Bundle,
            digest: [1; 32],
        },
    );
    assert_eq!(
        records(&mut engine, &links),
        [body(&[1; 32], 1)],
        "nobody of the set is connected"
    );

    apply(
        &mut engine,
        &links,
        Action::Fetch {
            from: 0b0101,
            kind: FetchKind::Bundle,
            digest: [2; 32],
        },
    );
    let unavailable = [&[0], [2; 32].as_slice()].concat();
    peer(&mut engine, &links, 2, UNAVAILABLE, unavailable.clone());
    assert_eq!(records(&mut engine, &links), []);
    peer(&mut engine, &links, 2, UNAVAILABLE, unavailable);
    assert_eq!(records(&mut engine, &links), [rejected(Reason::Unasked, 2)]);
    engine.on_event(
        Event::PeerDown {
            peer: 0,
            reason: byzantine_transport::DownReason::TimedOut,
        },
        &links,
    );
    assert_eq!(
        records(&mut engine, &links),
        [body(&[2; 32], 1), (InputKind::Link as u8, vec![0, 0])]
    );
}
