//! Engines of four replicas with real keys and recorded links; no socket, no clock.

use std::cell::RefCell;

use bytes::Bytes;
use byzantine_transport::Lane;

use super::*;
use crate::records::{Action, Actions};
use crate::wire::types::*;
use crate::wire::{Batch, Name, Signature, Writer, lane_of};

const CLIENT: u32 = 5;
const STRANGER: u8 = 99;

#[derive(Default)]
struct Recorded {
    sent: RefCell<Vec<(Source, u8, Vec<u8>)>>,
    disconnected: u32,
}

impl Links for Recorded {
    fn send(&self, to: Source, message_type: u8, parts: &[&[u8]]) -> bool {
        self.sent
            .borrow_mut()
            .push((to, message_type, parts.concat()));
        true
    }

    fn is_connected(&self, to: Source) -> bool {
        !matches!(to, Source::Peer(peer) if self.disconnected >> peer & 1 == 1)
    }

    fn room(&self, _: Source, _: Lane) -> usize {
        1 << 20
    }
}

impl Recorded {
    fn take(&self) -> Vec<(Source, u8, Vec<u8>)> {
        self.sent.take()
    }
}

fn key(replica: u8) -> SecretKey {
    SecretKey::from_raw([replica + 1; 32])
}

fn client_key() -> SecretKey {
    SecretKey::from_raw([200; 32])
}

fn domain() -> Domain {
    Domain::new([9; 32], 1)
}

/// Replica `me` of four, its window open, the client connected, room for requests.
fn engine(me: u8) -> Engine {
    let client = client_key().public();
    let mut engine = Engine::new(EngineConfig {
        quorums: Quorums { n: 4, f: 1, me },
        domain: domain(),
        secret: key(me),
        members: (0..4).map(|replica| key(replica).public()).collect(),
        clients: Some(HashSet::from([*client.as_bytes()])),
        limits: EngineLimits {
            operation_bytes_max: 1000,
            batch_bundles_max: 3,
        },
    });
    let links = Recorded::default();
    engine.on_event(
        Event::ClientUp {
            client: CLIENT,
            key: *client.as_bytes(),
        },
        &links,
    );
    apply(
        &mut engine,
        &links,
        Action::Window {
            low: 0,
            high: 100,
            view: 0,
            pending: None,
        },
    );
    apply(
        &mut engine,
        &links,
        Action::Room {
            bundles: 100,
            bytes: 100_000,
        },
    );
    engine
}

fn apply(engine: &mut Engine, links: &Recorded, action: Action<'_>) {
    engine.apply(action, links).expect("carried out");
}

fn bundle(secret: &SecretKey, first: u64, operation: &[u8]) -> Bytes {
    let mut writer = Writer::default();
    writer
        .raw(secret.public().as_bytes())
        .u53(1)
        .u53(first)
        .u53(0)
        .u16(1)
        .bytes(operation);
    sign(writer, secret, BUNDLE)
}

fn sign(mut writer: Writer, secret: &SecretKey, message_type: u8) -> Bytes {
    let signature = secret.sign(&[&domain().prefix(message_type), writer.as_slice()]);
    writer.raw(&signature);
    Bytes::from(writer.into_vec())
}

fn signature(by: u8, message_type: u8, name: &Name) -> Signature {
    key(by).sign(&[&domain().prefix(message_type), &name.signed_bytes()])
}

fn pre_prepare(by: u8, view: u64, sequence: u64, bundles: &[Digest]) -> (Name, Bytes) {
    let batch = Batch {
        time_ms: 7,
        bundles,
    };
    let name = Name {
        view,
        sequence,
        digest: batch.digest(),
    };
    let mut writer = Writer::default();
    writer.u53(view).u53(sequence);
    batch.write(&mut writer);
    writer.raw(&signature(by, PRE_PREPARE, &name));
    (name, Bytes::from(writer.into_vec()))
}

fn prepare(by: u8, name: &Name) -> Bytes {
    Bytes::from(
        [
            name.signed_bytes().as_slice(),
            &signature(by, PREPARE, name),
        ]
        .concat(),
    )
}

fn peer(
    engine: &mut Engine,
    links: &Recorded,
    from: u8,
    message_type: u8,
    payload: impl Into<Bytes>,
) {
    let lane = lane_of(message_type).unwrap_or(Lane::Control);
    engine.on_frame(
        Source::Peer(from),
        lane,
        message_type,
        payload.into(),
        links,
    );
}

fn client(engine: &mut Engine, links: &Recorded, payload: Bytes) {
    engine.on_frame(Source::Client(CLIENT), Lane::Client, BUNDLE, payload, links);
}

/// The records of the turn: kind and body.
fn records(engine: &mut Engine, links: &Recorded) -> Vec<(u8, Vec<u8>)> {
    engine.settle(links);
    let mut output = vec![0; 1 << 20];
    let length = engine.fill(&mut output);
    let mut reader = crate::wire::Reader::new(&output[..length]);
    let mut records = Vec::new();
    while reader.remaining() > 0 {
        records.push((
            reader.u8().expect("kind"),
            reader.bytes().expect("body").to_vec(),
        ));
    }
    records
}

fn rejected(reason: Reason, from: u8) -> (u8, Vec<u8>) {
    (
        InputKind::Rejected as u8,
        vec![reason as u8, from, 1, 0, 0, 0],
    )
}

#[test]
fn a_clients_bundle_is_verified_once_delivered_again_when_it_comes_again_and_forwarded_whole() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = bundle(&client_key(), 4, b"add 1");
    client(&mut engine, &links, payload.clone());
    let turn = records(&mut engine, &links);
    let [(kind, request)] = turn.as_slice() else {
        panic!("{turn:?}")
    };
    let digest = byzantine_crypto::bundle_digest(&payload);
    assert_eq!((*kind, request[0]), (InputKind::Request as u8, 255));
    assert_eq!(request[1..33], digest);
    assert_eq!(request[33..65], *client_key().public().as_bytes());
    assert_eq!(
        request[65..],
        [1u64.to_le_bytes(), 4u64.to_le_bytes(), 0u64.to_le_bytes()].concat()[..]
            .iter()
            .copied()
            .chain([1, 0])
            .chain((payload.len() as u32).to_le_bytes())
            .collect::<Vec<u8>>()
    );
    client(&mut engine, &links, payload.clone());
    assert_eq!(
        records(&mut engine, &links),
        [(InputKind::Request as u8, request.clone())]
    );
    assert_eq!(engine.work().verified, 1);
    apply(&mut engine, &links, Action::Forward { to: 0b1111, digest });
    let to = |replica| (Source::Peer(replica), BUNDLE, payload.to_vec());
    assert_eq!(links.take(), [to(0), to(2), to(3)]);
}

#[test]
fn bundles_that_are_not_their_senders_are_refused_with_the_reason() {
    let stranger = SecretKey::from_raw([STRANGER; 32]);
    let mut forged = bundle(&client_key(), 1, b"x").to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    let mut replayed = Writer::default();
    replayed
        .raw(client_key().public().as_bytes())
        .u53(1)
        .u53(1)
        .u53(0)
        .u16(1)
        .bytes(b"x");
    let other_cluster = Domain::new([8; 32], 1);
    let foreign = client_key().sign(&[&other_cluster.prefix(BUNDLE), replayed.as_slice()]);
    replayed.raw(&foreign);
    let from_client = |payload: Bytes| (Source::Client(CLIENT), payload);
    let from_peer = |payload: Bytes| (Source::Peer(2), payload);
    for (case, (source, payload), reason) in [
        (
            "forged",
            from_client(forged.clone().into()),
            Reason::BadSignature,
        ),
        (
            "forged, forwarded",
            from_peer(forged.into()),
            Reason::BadSignature,
        ),
        (
            "of another cluster",
            from_client(replayed.into_vec().into()),
            Reason::BadSignature,
        ),
        (
            "another client's connection",
            from_client(bundle(&key(2), 1, b"x")),
            Reason::WrongClient,
        ),
        (
            "a key that is not admitted",
            from_peer(bundle(&stranger, 1, b"x")),
            Reason::UnknownClient,
        ),
        (
            "too long an operation",
            from_client(bundle(&client_key(), 1, &[0; 1001])),
            Reason::BundleTooLarge,
        ),
        (
            "cut short",
            from_client(bundle(&client_key(), 1, b"x").slice(1..)),
            Reason::Malformed,
        ),
    ] {
        let (mut engine, links) = (engine(1), Recorded::default());
        engine.on_frame(source, Lane::Client, BUNDLE, payload, &links);
        assert_eq!(
            records(&mut engine, &links),
            [rejected(reason, peer_of(source))],
            "{case}"
        );
    }
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(
        &mut engine,
        &links,
        2,
        BUNDLE,
        bundle(&client_key(), 1, b"x"),
    );
    assert_eq!(
        records(&mut engine, &links).len(),
        1,
        "any replica may forward a bundle"
    );
}

#[test]
fn a_proposal_counts_only_from_its_primary_signed_within_the_window() {
    let (name, valid) = pre_prepare(0, 0, 2, &[[1; 32]]);
    let altered = |place: usize| {
        let mut bytes = valid.to_vec();
        bytes[place] ^= 1;
        Bytes::from(bytes)
    };
    for (case, from, payload, reason) in [
        (
            "from a backup",
            2,
            pre_prepare(2, 0, 1, &[]).1,
            Reason::NotPrimary,
        ),
        (
            "the primary's, relayed by a backup",
            2,
            valid.clone(),
            Reason::NotPrimary,
        ),
        (
            "signed by another member",
            0,
            pre_prepare(2, 0, 1, &[]).1,
            Reason::WrongSigner,
        ),
        (
            "another sequence than signed",
            0,
            altered(8),
            Reason::BadSignature,
        ),
        (
            "another time than signed",
            0,
            altered(16),
            Reason::BadSignature,
        ),
        (
            "another bundle than signed",
            0,
            altered(30),
            Reason::BadSignature,
        ),
        (
            "above the window",
            0,
            pre_prepare(0, 0, 101, &[]).1,
            Reason::AboveWindow,
        ),
        (
            "at sequence 0",
            0,
            pre_prepare(0, 0, 0, &[]).1,
            Reason::BelowWindow,
        ),
        (
            "of a view that is not held",
            0,
            pre_prepare(0, 4, 1, &[]).1,
            Reason::WrongView,
        ),
        (
            "with too many bundles",
            0,
            pre_prepare(0, 0, 1, &[[1; 32]; 4]).1,
            Reason::BatchTooLarge,
        ),
        (
            "cut short",
            0,
            valid.slice(..valid.len() - 1),
            Reason::Malformed,
        ),
    ] {
        let (mut engine, links) = (engine(1), Recorded::default());
        peer(&mut engine, &links, from, PRE_PREPARE, payload);
        assert_eq!(
            records(&mut engine, &links),
            [rejected(reason, from)],
            "{case}"
        );
    }
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(&mut engine, &links, 0, PRE_PREPARE, valid.clone());
    let expected = [
        &[0, PRE_PREPARE],
        name.digest.as_slice(),
        &valid[..valid.len() - 64],
    ]
    .concat();
    assert_eq!(
        records(&mut engine, &links),
        [(InputKind::Control as u8, expected)]
    );
}

#[test]
fn an_equivocating_primary_is_heard_once_and_convicted() {
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(
        &mut engine,
        &links,
        0,
        PRE_PREPARE,
        pre_prepare(0, 0, 1, &[[1; 32]]).1,
    );
    peer(
        &mut engine,
        &links,
        0,
        PRE_PREPARE,
        pre_prepare(0, 0, 1, &[[2; 32]]).1,
    );
    let turn = records(&mut engine, &links);
    let kinds: Vec<u8> = turn.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            InputKind::Control as u8,
            InputKind::Conflict as u8,
            InputKind::Rejected as u8
        ]
    );
    assert_eq!(turn[1].1[..2], [0, PRE_PREPARE]);
    assert!(
        engine
            .votes()
            .evidence(turn[1].1[2..].try_into().expect("a digest"))
            .is_some()
    );
}

#[test]
fn votes_are_verified_at_the_threshold_and_handed_up_as_sets() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, proposal) = pre_prepare(0, 0, 1, &[]);
    peer(&mut engine, &links, 0, PRE_PREPARE, proposal);
    peer(&mut engine, &links, 2, PREPARE, prepare(2, &name));
    peer(&mut engine, &links, 3, PREPARE, prepare(3, &name));
    for from in [0, 2] {
        peer(
            &mut engine,
            &links,
            from,
            COMMIT,
            name.signed_bytes().to_vec(),
        );
    }
    let votes = |phase: u8, set: u32| {
        let body = [&[phase], name.signed_bytes().as_slice(), &set.to_le_bytes()].concat();
        (InputKind::Votes as u8, body)
    };
    assert_eq!(
        records(&mut engine, &links)[1..],
        [votes(0, 0b1100), votes(1, 0b101)]
    );
    assert_eq!(engine.work().verify_batches, 1);
    assert_eq!(engine.votes().certificate(&name).len(), 3);
}

#[test]
fn a_vote_signed_by_another_member_than_its_connections_is_named_so() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, _) = pre_prepare(0, 0, 1, &[]);
    peer(&mut engine, &links, 2, PREPARE, prepare(3, &name));
    peer(
        &mut engine,
        &links,
        3,
        PREPARE,
        Bytes::from([name.signed_bytes().as_slice(), &[1; 64]].concat()),
    );
    let expected = [
        rejected(Reason::WrongSigner, 2),
        rejected(Reason::BadSignature, 3),
    ];
    assert_eq!(records(&mut engine, &links), expected);
}

#[test]
fn types_on_wrong_lanes_or_of_wrong_senders_and_noise_are_refused() {
    let (mut engine, links) = (engine(1), Recorded::default());
    for (from, lane, message_type) in [
        (Source::Peer(2), Lane::Bulk, PREPARE),
        (Source::Peer(2), Lane::Client, REPLY),
        (Source::Peer(2), Lane::Control, HELLO),
        (Source::Peer(2), Lane::Control, 0xee),
        (Source::Client(CLIENT), Lane::Control, PRE_PREPARE),
        (Source::Client(CLIENT), Lane::Client, REPLY),
    ] {
        engine.on_frame(from, lane, message_type, Bytes::new(), &links);
        assert_eq!(
            records(&mut engine, &links),
            [rejected(Reason::UnexpectedType, peer_of(from))]
        );
    }
    let mut seed = 1u64;
    for message_type in 0..=255u8 {
        let noise: Vec<u8> = (0..200)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (seed >> 56) as u8
            })
            .collect();
        for length in [0, 1, 8, 47, 48, 112, 200] {
            peer(
                &mut engine,
                &links,
                2,
                message_type,
                noise[..length].to_vec(),
            );
        }
    }
    records(&mut engine, &links);
    assert!(
        engine
            .rejections()
            .totals()
            .map(|(_, _, count)| count)
            .sum::<u64>()
            > 1000
    );
}

#[test]
fn our_messages_leave_signed_on_their_lanes_and_a_resend_is_the_same_bytes() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let (name, proposal) = pre_prepare(0, 0, 1, &[[1; 32]]);
    let unsigned = &proposal[..proposal.len() - 64];
    for _ in 0..2 {
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 0b0010,
                message_type: PRE_PREPARE,
                payload: unsigned,
            },
        );
    }
    assert_eq!(engine.work().signed, 1);
    let expected = (Source::Peer(1), PRE_PREPARE, proposal.to_vec());
    assert_eq!(links.take(), [expected.clone(), expected]);
    apply(
        &mut engine,
        &links,
        Action::Send {
            to: 0b1111,
            message_type: COMMIT,
            payload: &name.signed_bytes(),
        },
    );
    assert_eq!(links.take().len(), 3, "never to ourselves");
    let contradiction = pre_prepare(0, 0, 1, &[[2; 32]]).1;
    let action = Action::Send {
        to: 1,
        message_type: PRE_PREPARE,
        payload: &contradiction[..contradiction.len() - 64],
    };
    let expected = Fault::Contradiction {
        message_type: PRE_PREPARE,
        sequence: 1,
    };
    assert_eq!(engine.apply(action, &links), Err(expected));
}

#[test]
fn our_prepare_and_checkpoint_contradict_nothing_that_we_signed() {
    let (mut engine, links) = (engine(1), Recorded::default());
    for (message_type, first, second) in [
        (
            PREPARE,
            pre_prepare(0, 0, 1, &[]).0.signed_bytes().to_vec(),
            pre_prepare(0, 0, 1, &[[1; 32]]).0.signed_bytes().to_vec(),
        ),
        (
            CHECKPOINT,
            [&1u64.to_le_bytes()[..], &[1; 32]].concat(),
            [&1u64.to_le_bytes()[..], &[2; 32]].concat(),
        ),
    ] {
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 1,
                message_type,
                payload: &first,
            },
        );
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 1,
                message_type,
                payload: &first,
            },
        );
        let action = Action::Send {
            to: 1,
            message_type,
            payload: &second,
        };
        assert_eq!(
            engine.apply(action, &links),
            Err(Fault::Contradiction {
                message_type,
                sequence: 1
            })
        );
        let sent = links.take();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
    }
}

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
    apply(&mut engine, &links, Action::Stable { sequence: 1 });
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

#[test]
fn long_results_travel_in_full_from_one_replica_only() {
    let client = *client_key().public().as_bytes();
    let mut writer = Writer::default();
    writer.u53(1).u53(2).u53(0).u8(0).u16(2);
    writer.u53(6).u8(0).u8(0).bytes(&[1; 64]);
    writer.u53(7).u8(0).u8(0).bytes(&[2; 65]);
    for me in 0..4 {
        let (mut engine, links) = (engine(me), Recorded::default());
        apply(
            &mut engine,
            &links,
            Action::Reply {
                client,
                in_full: false,
                payload: writer.as_slice(),
            },
        );
        apply(
            &mut engine,
            &links,
            Action::Reply {
                client: [0; 32],
                in_full: false,
                payload: writer.as_slice(),
            },
        );
        let sent = links.take();
        assert_eq!(
            (sent.len(), sent[0].0, sent[0].1),
            (1, Source::Client(CLIENT), REPLY)
        );
        let full = sent[0].2 == writer.as_slice();
        assert_eq!(full, me == 3, "client sequence 7 mod 4");
        let digest = byzantine_crypto::result_digest(0, &[2; 65]);
        assert_eq!(sent[0].2.ends_with(&digest), me != 3);
    }
}

#[test]
fn a_busy_answer_names_the_bundle_and_frees_it() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = bundle(&client_key(), 9, b"op");
    client(&mut engine, &links, payload.clone());
    records(&mut engine, &links);
    let digest = byzantine_crypto::bundle_digest(&payload);
    apply(&mut engine, &links, Action::Busy { digest });
    let expected = [1u64.to_le_bytes(), 9u64.to_le_bytes()].concat();
    assert_eq!(links.take(), [(Source::Client(CLIENT), BUSY, expected)]);
    assert!(!engine.bodies().holds(&digest));
}

#[test]
fn a_view_change_is_handed_up_only_with_every_signature_in_it_valid_and_verified_once() {
    let (name, _) = pre_prepare(0, 0, 5, &[]);
    let write = |good: bool| {
        let mut writer = Writer::default();
        writer
            .u53(1)
            .u53(0)
            .u16(1)
            .u53(0)
            .u53(5)
            .raw(&name.digest)
            .u32(0b0111);
        writer
            .raw(&signature(0, PRE_PREPARE, &name))
            .raw(&signature(1, PREPARE, &name));
        writer.raw(&signature(if good { 2 } else { 3 }, PREPARE, &name));
        sign(writer, &key(2), VIEW_CHANGE)
    };
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(&mut engine, &links, 2, VIEW_CHANGE, write(false));
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 2)]
    );
    for _ in 0..2 {
        peer(&mut engine, &links, 2, VIEW_CHANGE, write(true));
        let turn = records(&mut engine, &links);
        assert_eq!(
            (turn.len(), turn[0].0, turn[0].1[..2].to_vec()),
            (1, InputKind::Control as u8, vec![2, VIEW_CHANGE])
        );
    }
    assert_eq!(
        engine.work().verified,
        8,
        "the repeated one passes by its digest"
    );
    peer(&mut engine, &links, 3, VIEW_CHANGE, write(true));
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 3)],
        "another's is not its own"
    );
}

#[test]
fn every_action_record_is_carried_out_or_is_a_fault() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let mut seed = 7u64;
    for round in 0..2000u32 {
        let mut record = vec![(round % 14) as u8];
        let body: Vec<u8> = (0..round % 90)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                if seed >> 63 == 0 {
                    0
                } else {
                    (seed >> 40) as u8
                }
            })
            .collect();
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&body);
        for action in Actions::new(&record).flatten() {
            let _ = engine.apply(action, &links);
        }
    }
    records(&mut engine, &links);
}
