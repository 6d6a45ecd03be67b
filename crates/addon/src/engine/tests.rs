//! Engines of four replicas with real keys and recorded links; no socket, no clock.

mod builders;
mod clients;
mod fetching;
mod kept_messages;
mod new_views;
mod outgoing;
mod restoring;
mod scenes;
mod stored;
mod storing;
mod view_changes;
mod votes;

use std::cell::RefCell;

use bytes::Bytes;
use byzantine_transport::Lane;

use super::*;
use crate::bodies::AGAIN;
use crate::records::{Action, Actions};
use crate::wire::types::*;
use crate::wire::{Batch, FetchKind, Name, Signature, Writer, lane_of};

const CLIENT: u32 = 5;
const STRANGER: u8 = 99;

#[derive(Default)]
struct Recorded {
    sent: RefCell<Vec<(Source, u8, Vec<u8>)>>,
    disconnected: u32,
    barred: RefCell<Vec<([u8; 32], Duration)>>,
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

    fn bar_client(&self, key: [u8; 32], during: Duration) {
        self.barred.borrow_mut().push((key, during));
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
    let mut engine = closed(me);
    open(&mut engine);
    engine
}

/// Replica `me` of four before its first turn.
fn closed(me: u8) -> Engine {
    let client = client_key().public();
    Engine::new(EngineConfig {
        quorums: Quorums { n: 4, f: 1, me },
        domain: domain(),
        secret: key(me),
        members: (0..4).map(|replica| key(replica).public()).collect(),
        clients: Some(HashSet::from([*client.as_bytes()])),
        limits: EngineLimits {
            operation_bytes_max: 1000,
            batch_bundles_max: 3,
        },
    })
}

fn open(engine: &mut Engine) {
    let client = client_key().public();
    let links = Recorded::default();
    engine.on_event(
        Event::ClientUp {
            client: CLIENT,
            key: *client.as_bytes(),
        },
        &links,
    );
    apply(
        engine,
        &links,
        Action::Window {
            low: 0,
            high: 100,
            view: 0,
            pending: None,
        },
    );
    apply(
        engine,
        &links,
        Action::Room {
            bundles: 100,
            bytes: 100_000,
        },
    );
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
        [(InputKind::Request as u8, [&[AGAIN], &request[1..]].concat())]
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
