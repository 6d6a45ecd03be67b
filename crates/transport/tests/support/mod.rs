//! What the tests share: nodes that remember their events, clusters of them on loopback, and raw
//! QUIC peers that need not keep the rules.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use byzantine_crypto::SecretKey;
use byzantine_transport::{
    ClientPolicy, Config, Endpoint, Event, HelloField, Lane, Limits, Member, RefuseReason, Role,
    Source,
};

pub mod raw;

/// Longer than any step takes; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A frame type that means nothing to the transport.
pub const KIND: u8 = 0x42;

/// The secret key number `seed`.
pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_raw([seed; 32])
}

/// The public key number `seed`.
pub fn public(seed: u8) -> [u8; 32] {
    *key(seed).public().as_bytes()
}

/// The key number of a member.
pub fn member_seed(id: u8) -> u8 {
    id + 1
}

/// Fails the test if `work` does not end in time.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

pub fn hello() -> Vec<HelloField> {
    ["cluster", "checkpointInterval"]
        .map(|name| HelloField {
            name: name.to_owned(),
            digest: [7; 32],
        })
        .to_vec()
}

/// The configuration of a replica of `n` on a loopback port, addresses unknown.
pub fn replica(id: u8, n: u8) -> Config {
    Config {
        identity: key(member_seed(id)),
        role: Role::Replica { id },
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        members: (0..n)
            .map(|id| Member {
                id,
                key: public(member_seed(id)),
                address: String::new(),
            })
            .collect(),
        clients: ClientPolicy::Listed(Default::default()),
        hello: hello(),
        limits: Limits::default(),
    }
}

/// The configuration of a client with the key number `seed`, addresses unknown.
pub fn client(seed: u8, n: u8) -> Config {
    Config {
        identity: key(seed),
        role: Role::Client,
        ..replica(0, n)
    }
}

/// An endpoint and everything that it has reported.
pub struct Node {
    pub endpoint: Endpoint,
    pub events: Vec<Event>,
}

impl Node {
    pub fn bind(config: Config) -> Node {
        Node {
            endpoint: Endpoint::bind(config).expect("the configuration is right"),
            events: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_address()
    }

    /// Waits until the events so far satisfy `found`.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&[Event]) -> Option<T>,
    ) -> T {
        let work = async {
            loop {
                if let Some(result) = found(&self.events) {
                    return result;
                }
                self.endpoint.notified().await;
                self.endpoint.poll_events(&mut self.events, usize::MAX);
            }
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(result) => result,
            Err(_) => panic!(
                "{what}: not within {PATIENCE:?}; events {:?}; {:?}",
                self.events.iter().rev().take(8).collect::<Vec<_>>(),
                self.endpoint.statistics()
            ),
        }
    }

    /// Waits for the `count`-th PeerUp of a member.
    pub async fn up(&mut self, peer: u8, count: usize) {
        let is_up = |event: &&Event| matches!(event, Event::PeerUp { peer: p, .. } if *p == peer);
        self.until("peer up", |events| {
            (events.iter().filter(is_up).count() >= count).then_some(())
        })
        .await;
    }

    /// Waits for a PeerUp of a member after a PeerDown.
    pub async fn up_again(&mut self, peer: u8) {
        self.until("peer up again", |events| {
            let down = events
                .iter()
                .position(|event| matches!(event, Event::PeerDown { peer: p, .. } if *p == peer))?;
            events[down..]
                .iter()
                .any(|event| matches!(event, Event::PeerUp { peer: p, .. } if *p == peer))
                .then_some(())
        })
        .await;
    }

    /// Waits for a frame with this payload.
    pub async fn frame(&mut self, from: Source, lane: Lane, payload: &[u8]) {
        self.until("frame", |events| {
            events.iter().find_map(|event| match event {
                Event::Frame {
                    from: f,
                    lane: l,
                    kind: KIND,
                    payload: p,
                } => (*f == from && *l == lane && p == payload).then_some(()),
                _ => None,
            })
        })
        .await;
    }

    /// Waits for a refusal with this reason and returns the key it names.
    pub async fn refusal(&mut self, reason: &RefuseReason) -> Option<[u8; 32]> {
        let from = self
            .until(reason.name(), |events| {
                events.iter().find_map(|event| match event {
                    Event::Refused { from, reason: r } if r == reason => Some(*from),
                    _ => None,
                })
            })
            .await;
        assert!(
            self.refused(reason.name()) > 0,
            "{} is counted",
            reason.name()
        );
        from
    }

    /// How often a member was reported up.
    pub fn ups(&self, peer: u8) -> u64 {
        let is_up = |event: &&Event| matches!(event, Event::PeerUp { peer: p, .. } if *p == peer);
        self.events.iter().filter(is_up).count() as u64
    }

    /// How often this reason was counted.
    pub fn refused(&self, name: &str) -> u64 {
        let statistics = self.endpoint.statistics();
        statistics
            .refused
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(0, |(_, count)| *count)
    }

    pub fn send(&self, to: Source, lane: Lane, payload: &[u8]) {
        self.endpoint
            .send(to, lane, KIND, &[payload])
            .expect("the frame is queued");
        self.endpoint.flush();
    }
}

/// Tells all nodes, which are members 0, 1, … in order, where the others are.
pub fn introduce(nodes: &[Node]) {
    for node in nodes {
        for (id, other) in nodes.iter().enumerate() {
            node.endpoint
                .set_member_address(id as u8, other.address().to_string());
        }
    }
}

/// A cluster of connected replicas.
pub async fn cluster(n: u8, adapt: impl Fn(&mut Config)) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..n)
        .map(|id| {
            let mut config = replica(id, n);
            adapt(&mut config);
            Node::bind(config)
        })
        .collect();
    introduce(&nodes);
    settle(&nodes).await;
    for id in 0..n {
        for peer in (0..n).filter(|peer| *peer != id) {
            nodes[usize::from(id)].up(peer, 1).await;
        }
    }
    nodes
}

/// Waits until every pair of members has one connection, the one that the lower id dialled.
pub async fn settle(nodes: &[Node]) {
    let settled = |id: usize| {
        let statistics = nodes[id].endpoint.statistics();
        statistics.connections == nodes.len() - 1
            && statistics
                .peers
                .iter()
                .all(|peer| peer.dialled_here == Some(id < usize::from(peer.peer)))
    };
    in_time("one connection per pair", async {
        while !(0..nodes.len()).all(settled) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Frames go both ways between two members.
pub async fn talk(nodes: &mut [Node], a: u8, b: u8, payload: &[u8]) {
    deliver(nodes, a, b, payload).await;
    deliver(nodes, b, a, payload).await;
}

/// Sends a frame, again on every new connection as the protocol does, until it arrives.
async fn deliver(nodes: &mut [Node], from: u8, to: u8, payload: &[u8]) {
    let mut sent = 0;
    in_time("delivery", async {
        loop {
            for node in nodes.iter_mut() {
                node.endpoint.poll_events(&mut node.events, usize::MAX);
            }
            let sender = &nodes[usize::from(from)];
            let connects = sender.endpoint.statistics().peers.iter().find(|p| p.peer == to).unwrap().connects;
            if connects > sent && sender.endpoint.is_connected(Source::Peer(to)) {
                sender.send(Source::Peer(to), Lane::Votes, payload);
                sent = connects;
            }
            let arrived = nodes[usize::from(to)].events.iter().any(|event| {
                matches!(event, Event::Frame { from: f, payload: p, .. } if *f == Source::Peer(from) && p == payload)
            });
            if arrived {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An endpoint on a runtime and a thread of its own, which can end as a power failure ends it:
/// no farewell is sent and the socket is closed.
pub struct Doomed {
    pub address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Doomed {
    /// Binds and dials one member.
    pub fn bind(config: Config, peer: u8, peer_address: SocketAddr) -> Doomed {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let endpoint = runtime.block_on(async {
                let endpoint = Endpoint::bind(config).unwrap();
                endpoint.set_member_address(peer, peer_address.to_string());
                told.send(endpoint.local_address()).unwrap();
                let _ = stopped.await;
                endpoint
            });
            // Without its runtime the endpoint cannot send a close any more.
            drop(runtime);
            drop(endpoint);
        });
        Doomed {
            address: address.recv().unwrap(),
            stop,
            thread,
        }
    }

    pub fn crash(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}
