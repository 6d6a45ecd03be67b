//! Reactors over loopback sockets in one thread, driven in turns; and a client beside them.

mod journal;

use std::collections::HashSet;
use std::sync::mpsc;

use byzantine_crypto::{Domain, SecretKey};
use byzantine_transport::{ClientPolicy, HelloField, Limits, Member, Role};

use super::*;
use crate::engine::EngineLimits;
use crate::transport_thread::{Sink, TransportThread};
use crate::vote_table::Quorums;
use crate::wire::types::{BUNDLE, COMMIT, PREPARE};
use crate::wire::{Lane, Reader, Writer};

const N: u8 = 4;
/// Turns after which something that should happen counts as not happening: two seconds or more.
const TURNS_MAX: usize = 2000;

fn key(replica: u8) -> SecretKey {
    SecretKey::from_raw([replica + 1; 32])
}

fn config(role: Role, identity: SecretKey, addresses: &[String]) -> Config {
    let address = |id: u8| addresses.get(usize::from(id)).cloned().unwrap_or_default();
    Config {
        listen: matches!(role, Role::Replica { .. })
            .then(|| "127.0.0.1:0".parse().expect("an address")),
        role,
        identity,
        members: (0..N)
            .map(|id| Member {
                id,
                key: *key(id).public().as_bytes(),
                address: address(id),
            })
            .collect(),
        clients: ClientPolicy::Any,
        hello: vec![HelloField {
            name: "cluster".to_owned(),
            digest: [9; 32],
        }],
        limits: Limits::default(),
    }
}

fn engine_config(me: u8) -> EngineConfig {
    EngineConfig {
        quorums: Quorums { n: N, f: 1, me },
        domain: Domain::new([9; 32], 1),
        secret: key(me),
        members: (0..N).map(|id| key(id).public()).collect(),
        clients: None::<HashSet<_>>,
        limits: EngineLimits {
            operation_bytes_max: 1 << 18,
            batch_bundles_max: 256,
        },
    }
}

struct Cluster {
    reactors: Vec<Reactor>,
    output: Vec<u8>,
}

impl Cluster {
    fn start() -> Self {
        let reactors: Vec<_> = (0..N)
            .map(|me| {
                Reactor::start(
                    config(Role::Replica { id: me }, key(me), &[]),
                    engine_config(me),
                    None,
                )
                .expect("bound")
            })
            .collect();
        let cluster = Self {
            reactors,
            output: vec![0; OUTPUT_BYTES_MIN],
        };
        for reactor in &cluster.reactors {
            for (id, address) in (0..N).zip(cluster.addresses()) {
                reactor.endpoint().set_member_address(id, address);
            }
        }
        cluster
    }

    fn addresses(&self) -> Vec<String> {
        self.reactors
            .iter()
            .map(|reactor| reactor.endpoint().local_address().to_string())
            .collect()
    }

    fn turn(&mut self, me: usize, actions: &[u8], wait: Duration) -> Vec<(u8, Vec<u8>)> {
        turn(&mut self.reactors[me], &mut self.output, actions, wait).expect("well-formed actions")
    }

    /// Turns of all until each of `until` has been met by a record of its reactor.
    fn run(&mut self, mut until: Vec<(usize, u8, Vec<u8>)>) {
        for _ in 0..TURNS_MAX {
            for me in 0..self.reactors.len() {
                for (kind, body) in self.turn(me, &[], Duration::from_millis(1)) {
                    until.retain(|(reactor, of, prefix)| {
                        !(*reactor == me && *of == kind && body.starts_with(prefix))
                    });
                }
            }
            if until.is_empty() {
                return;
            }
        }
        panic!("never came: {until:?}");
    }

    fn connect(&mut self) {
        let pairs = (0..N).flat_map(|me| {
            (0..N)
                .filter(move |peer| *peer != me)
                .map(move |peer| (me, peer))
        });
        self.run(
            pairs
                .map(|(me, peer)| (usize::from(me), 8, vec![peer, 1]))
                .collect(),
        );
    }
}

/// The records that one turn brings.
fn turn(
    reactor: &mut Reactor,
    output: &mut [u8],
    actions: &[u8],
    wait: Duration,
) -> Result<Vec<(u8, Vec<u8>)>, Fault> {
    let length = reactor.turn(actions, output, wait)?;
    let mut reader = Reader::new(&output[..length]);
    let mut records = Vec::new();
    while reader.remaining() > 0 {
        records.push((
            reader.u8().expect("kind"),
            reader.bytes().expect("body").to_vec(),
        ));
    }
    Ok(records)
}

fn window(view: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.record(10, |body| {
        body.u53(0).u53(100).u53(view).u53(0);
    });
    writer.record(11, |body| {
        body.u32(1000).u32(1 << 20);
    });
    writer.into_vec()
}

fn vote(message_type: u8, view: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.record(1, |body| {
        body.u32(0b1111).u8(message_type);
        body.u53(view).u53(1).raw(&[7; 32]);
    });
    writer.into_vec()
}

/// The body of a VOTES record for what [`vote`] sends.
fn votes(phase: u8, view: u64, set: u32) -> Vec<u8> {
    let (view, sequence) = (view.to_le_bytes(), 1u64.to_le_bytes());
    [&[phase], &view[..], &sequence, &[7; 32], &set.to_le_bytes()].concat()
}

#[test]
fn four_reactors_connect_and_hand_up_each_others_votes() {
    let mut cluster = Cluster::start();
    cluster.connect();
    for me in 0..usize::from(N) {
        cluster.turn(me, &window(0), Duration::ZERO);
    }
    for me in 1..usize::from(N) {
        cluster.turn(me, &vote(PREPARE, 0), Duration::ZERO);
        cluster.turn(me, &vote(COMMIT, 0), Duration::ZERO);
    }
    cluster.run(vec![
        (0, 2, votes(1, 0, 0b1110)),
        (1, 2, votes(1, 0, 0b1100)),
        (2, 2, votes(1, 0, 0b1010)),
    ]);
    for reactor in cluster.reactors {
        assert!(reactor.engine().work().verified >= 1);
        reactor.shutdown(Duration::from_millis(500));
    }
}

#[test]
fn votes_that_wait_for_a_view_come_when_it_is_installed_though_nothing_arrives() {
    let mut cluster = Cluster::start();
    cluster.connect();
    for me in 0..usize::from(N) {
        cluster.turn(me, &window(0), Duration::ZERO);
    }
    for me in [2, 3] {
        cluster.turn(me, &vote(PREPARE, 1), Duration::ZERO);
    }
    let expected = votes(0, 1, 0b1100);
    cluster.run(vec![(0, 2, expected.clone())]);
    assert_eq!(cluster.turn(0, &[], Duration::ZERO), []);
    assert_eq!(cluster.turn(0, &window(1), Duration::ZERO), [(2, expected)]);
}

struct Channel(mpsc::Sender<Vec<u8>>);

impl Sink for Channel {
    async fn deliver(&mut self, events: Vec<u8>) -> Option<()> {
        self.0.send(events).ok()
    }
}

#[test]
fn a_clients_bundle_arrives_as_a_request_and_its_thread_ends_when_it_is_closed() {
    let mut cluster = Cluster::start();
    let secret = SecretKey::from_raw([77; 32]);
    let (events, _received) = mpsc::channel();
    let client = TransportThread::start(
        config(Role::Client, secret.clone(), &cluster.addresses()),
        Channel(events),
    )
    .expect("started");
    let mut payload = Writer::default();
    payload
        .raw(secret.public().as_bytes())
        .u53(0)
        .u53(4)
        .u53(0)
        .u16(1)
        .bytes(b"op");
    let signature = secret.sign(&[&Domain::new([9; 32], 1).prefix(BUNDLE), payload.as_slice()]);
    payload.raw(&signature);
    let mut record = Writer::default();
    record
        .u32(0b0001)
        .u8(Lane::Client as u8)
        .u8(BUNDLE)
        .bytes(payload.as_slice());

    cluster.turn(0, &window(0), Duration::ZERO);
    for _ in 0..TURNS_MAX {
        cluster.turn(0, &[], Duration::from_millis(1));
        if client
            .endpoint()
            .is_connected(byzantine_transport::Source::Peer(0))
        {
            break;
        }
    }
    client.send(record.as_slice()).expect("well-formed");
    let digest = byzantine_crypto::bundle_digest(payload.as_slice());
    cluster.run(vec![(0, 4, [&[255], digest.as_slice()].concat())]);
    assert!(client.send(&[0; 3]).is_err());
    client.stop();
    client.joiner().join();
}

#[test]
fn a_turn_sleeps_no_longer_than_the_slice_and_is_woken_by_another_thread() {
    let mut cluster = Cluster::start();
    let handle = cluster.reactors[0].wake_handle();
    let started = std::time::Instant::now();
    assert_eq!(cluster.turn(0, &[], Duration::MAX), []);
    assert!(started.elapsed() >= SLEEP_MAX);
    assert_eq!(cluster.reactors[0].turns().woken, 0);
    let waker = std::thread::spawn(move || crate::wakers::wake(handle));
    waker.join().expect("no panic");
    assert_eq!(cluster.turn(0, &[], SLEEP_MAX), []);
    assert_eq!(cluster.reactors[0].turns().woken, 1);
}

#[test]
fn a_faulty_action_ends_the_turn_and_the_reactor_lives() {
    let mut cluster = Cluster::start();
    let mut output = vec![0; OUTPUT_BYTES_MIN];
    assert!(
        cluster.reactors[0]
            .turn(&[99, 0, 0, 0, 0], &mut output, Duration::ZERO)
            .is_err()
    );
    cluster.connect();
}
