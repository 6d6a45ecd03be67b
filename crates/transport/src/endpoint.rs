//! The endpoint: the one thing that users of this crate hold.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::acceptor;
use crate::barred::Barred;
use crate::config::{Config, Member, Role, TransportError};
use crate::dialler::Dialler;
use crate::event::{Event, Source};
use crate::frame::HEADER_BYTES;
use crate::hello::{HELLO_KIND, Hello};
use crate::hub::Hub;
use crate::lane::Lane;
use crate::ledger::{Ledger, lock};
use crate::quic;
use crate::reason::{CloseCode, RefuseReason};
use crate::session::{SendError, Session};
use crate::shared::Shared;
use crate::statistics::{ClientStatistics, PeerStatistics, Statistics};
use crate::tls::{ALPN_CLIENT, ALPN_REPLICA, Admission, TlsIdentity};

/// A QUIC endpoint with its connections. Its tasks run on the runtime in which it was bound and
/// end with it: dropping it aborts them, [`Endpoint::shutdown`] ends them in good order.
pub struct Endpoint {
    shared: Arc<Shared>,
    quic: Mutex<Option<quinn::Endpoint>>,
    local: SocketAddr,
}

impl Endpoint {
    /// Binds the socket, listens (replicas) and begins to dial the other members.
    ///
    /// # Errors
    /// [`TransportError::Config`] names the field that is out of its range; nothing was started.
    pub fn bind(config: Config) -> Result<Endpoint, TransportError> {
        config.check()?;
        let runtime = Handle::try_current().map_err(|_| TransportError::NoRuntime)?;
        let identity = TlsIdentity::new(&config.identity)?;
        let ledger = Arc::new(Ledger::default());
        let admission = Admission {
            members: config.members.iter().map(|member| member.key).collect(),
            clients: config.clients.clone(),
        };
        let barred = Arc::new(Barred::default());
        let others: Vec<&Member> = config
            .members
            .iter()
            .filter(|m| !is_self(&config, m))
            .collect();
        let is_replica = config.role != Role::Client;
        let alpn = if is_replica {
            ALPN_REPLICA
        } else {
            ALPN_CLIENT
        };
        let mut dial_configs = std::collections::HashMap::new();
        for member in &others {
            let crypto = identity.client(member.key, alpn, ledger.clone())?;
            dial_configs.insert(member.id, quic::client(Arc::new(crypto), &config.limits));
        }
        let server = is_replica
            .then(|| identity.server(admission.clone(), barred.clone(), ledger.clone()))
            .transpose()?
            .map(|crypto| quic::server(Arc::new(crypto), &config.limits));
        let mut address = config.listen.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        if !is_replica {
            address.set_port(0);
        }
        let socket = quic::bind_socket(address, config.limits.socket_buffer_bytes)?;
        let quic = quic::endpoint(&config.identity, server, socket, &config.limits)?;
        let local = quic.local_addr().map_err(TransportError::Socket)?;
        let hello = Hello::new(config.role, &config.hello);
        let shared = Arc::new(Shared {
            role: config.role,
            own_key: *config.identity.public().as_bytes(),
            hello_payload: Bytes::from(hello.encode()),
            hello,
            admission,
            barred,
            ledger,
            hub: Mutex::new(Hub::new(others.iter().copied())),
            limits: config.limits.clone(),
            dial_configs,
            handshakes: AtomicUsize::new(0),
            tasks: Mutex::new(Some(JoinSet::new())),
        });
        let _inside = runtime.enter();
        if is_replica {
            shared.spawn(acceptor::accept(quic.clone(), shared.clone()));
        }
        for member in others {
            if let Some(dialler) = Dialler::new(quic.clone(), shared.clone(), member.id) {
                shared.spawn(dialler.run());
            }
        }
        Ok(Endpoint {
            shared,
            quic: Mutex::new(Some(quic)),
            local,
        })
    }

    /// The address of the socket.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Changes the `host:port` under which a member is dialled. A connection that is up stays.
    /// An unknown id is ignored.
    pub fn set_member_address(&self, id: u8, address: String) {
        if let Some(slot) = self.shared.hub().peers.get_mut(&id) {
            slot.address = address;
            slot.moved.notify_one();
        }
    }

    /// Appends one frame (`parts` concatenated are its payload) to the queue of a lane. It leaves
    /// after the next [`Endpoint::flush`].
    ///
    /// # Errors
    /// See [`SendError`]; a full queue is dropped whole and never blocks.
    pub fn send(&self, to: Source, lane: Lane, kind: u8, parts: &[&[u8]]) -> Result<(), SendError> {
        let payload_bytes = self.check_frame(lane, kind, parts)?;
        let mut hub = self.shared.hub();
        let session = hub.session(to).ok_or(SendError::NotConnected)?.clone();
        if !session.has_lane(lane) {
            return Err(SendError::WrongLane);
        }
        if session.enqueue(&self.shared.limits, lane, kind, parts, payload_bytes)? {
            hub.mark_dirty(&session, lane);
        }
        Ok(())
    }

    /// Appends one frame to the queues of all members that are connected. What cannot be queued
    /// is counted and otherwise ignored: a slow member never holds the others.
    pub fn broadcast(&self, lane: Lane, kind: u8, parts: &[&[u8]]) {
        let Ok(payload_bytes) = self.check_frame(lane, kind, parts) else {
            return;
        };
        let mut hub = self.shared.hub();
        let sessions: Vec<Arc<Session>> = hub
            .peers
            .values()
            .filter_map(|slot| slot.session.clone())
            .collect();
        for session in sessions
            .into_iter()
            .filter(|session| session.has_lane(lane))
        {
            let queued = session.enqueue(&self.shared.limits, lane, kind, parts, payload_bytes);
            if queued == Ok(true) {
                hub.mark_dirty(&session, lane);
            }
        }
    }

    fn check_frame(&self, lane: Lane, kind: u8, parts: &[&[u8]]) -> Result<usize, SendError> {
        if kind == HELLO_KIND {
            return Err(SendError::WrongLane);
        }
        let length_max = self.shared.limits.frame_bytes_max[lane.index()];
        let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
        if payload_bytes >= length_max as usize {
            return Err(SendError::TooLarge { length_max });
        }
        Ok(payload_bytes)
    }

    /// Bytes (frame headers of 5 included) that the queue of a lane still takes; 0 when not
    /// connected. Long transfers pace themselves by it.
    pub fn outbound_room(&self, to: Source, lane: Lane) -> usize {
        let hub = self.shared.hub();
        hub.session(to).map_or(0, |session| {
            session
                .outbound_room(&self.shared.limits, lane)
                .saturating_sub(HEADER_BYTES)
        })
    }

    /// Wakes the writers of all queues that got frames since the last flush: one packed write per
    /// (peer, lane). The runtime must be polled for them to run.
    pub fn flush(&self) {
        self.shared.hub().flush();
    }

    /// Moves out what happened: refusals, connection changes, then frames by lane in turn over
    /// the sources, until `max_bytes` of payload and 64 bytes per frame are reached. At least one
    /// frame of every lane that has any is delivered, so that no lane starves another.
    pub fn poll_events(&self, out: &mut Vec<Event>, max_bytes: usize) {
        self.shared.ledger.drain(out);
        self.shared.hub().poll(out, max_bytes);
    }

    /// Whether [`Endpoint::poll_events`] would bring anything.
    pub fn has_events(&self) -> bool {
        self.shared.ledger.is_waiting() || self.shared.hub().is_waiting()
    }

    /// Completes when events wait. One caller at a time; may be dropped and called again.
    pub async fn notified(&self) {
        while !self.has_events() {
            self.shared.ledger.bell.notified().await;
        }
    }

    /// Stops or resumes reading the client lanes of clients' connections. While paused, QUIC flow
    /// control holds the clients.
    pub fn pause_clients(&self, paused: bool) {
        let totals = self.shared.hub().client_totals.clone();
        totals.paused.store(paused, Relaxed);
        if !paused {
            totals.room.notify_waiters();
        }
    }

    /// Whether a connection to it is up.
    pub fn is_connected(&self, to: Source) -> bool {
        self.shared.hub().session(to).is_some()
    }

    /// Closes a connection for a fault seen above the transport. A member is dialled again.
    pub fn disconnect(&self, to: Source, text: &str) {
        let session = self.shared.hub().session(to).cloned();
        if let Some(session) = session {
            session
                .origin
                .connection
                .close(CloseCode::Refused.into(), text.as_bytes());
        }
    }

    /// Closes all connections of a client's key for a fault seen above the transport, and refuses new
    /// ones for a while, at the cheapest place there is. Each is counted as `barred`. A member's key is
    /// kept out as a client's only; the connections between replicas go on.
    pub fn bar_client(&self, key: [u8; 32], during: Duration) {
        self.shared.barred.bar(key, Instant::now(), during);
        let sessions: Vec<Arc<Session>> = self.shared.hub().clients_of(&key).cloned().collect();
        for session in sessions {
            let connection = &session.origin.connection;
            self.shared
                .refuse(connection, key, RefuseReason::Barred, "barred");
        }
    }

    /// A snapshot of all counters.
    pub fn statistics(&self) -> Statistics {
        let mut rtts = Vec::new();
        let mut statistics = self.count(&mut rtts);
        // Asked without the hub's lock: quinn has locks of its own.
        statistics.connections = lock(&self.quic)
            .as_ref()
            .map_or(0, |quic| quic.open_connections());
        for (peer, connection) in statistics.peers.iter_mut().zip(rtts) {
            peer.rtt = connection.map(|connection: quinn::Connection| connection.rtt());
        }
        statistics
    }

    fn count(&self, connections: &mut Vec<Option<quinn::Connection>>) -> Statistics {
        let hub = self.shared.hub();
        let mut waiting_bytes = hub.client_totals.held.load(Relaxed);
        let mut peers = Vec::new();
        for (id, slot) in &hub.peers {
            waiting_bytes += slot.budget.total();
            let session = slot.session.as_ref();
            connections.push(session.map(|session| session.origin.connection.clone()));
            peers.push(PeerStatistics {
                peer: *id,
                connected: session.is_some(),
                dialled_here: session.map(|session| session.origin.dialled_here),
                rtt: None,
                traffic: *lock(&slot.traffic),
                queued_bytes: Lane::ALL
                    .map(|lane| session.map_or(0, |session| session.queued(lane))),
                connects: slot.connects,
                dial_failures: slot.dial_failures,
                last_error: slot.last_error.clone(),
            });
        }
        Statistics {
            peers,
            clients: ClientStatistics {
                connected: hub.clients.len(),
                connects: hub.client_connects,
                traffic: *lock(&hub.client_traffic),
                queued_bytes: hub.client_totals.queued.load(Relaxed),
            },
            refused: self.shared.ledger.counts(),
            connections: 0,
            waiting_bytes,
        }
    }

    /// Closes all connections, tells the other sides, and ends all tasks; waits at most `within`
    /// for the farewells. Frames that were not handed to QUIC are dropped. Idempotent; afterwards
    /// nothing is sent and what had arrived can still be polled.
    pub async fn shutdown(&self, within: Duration) {
        let tasks = lock(&self.shared.tasks).take();
        let quic = lock(&self.quic).take();
        if let Some(quic) = quic {
            quic.close(CloseCode::ShutDown.into(), b"shutdown");
            if let Some(mut tasks) = tasks {
                tasks.shutdown().await;
            }
            self.shared.hub().close();
            // The driver of the endpoint ends when the last handle is dropped and idle.
            let _ = tokio::time::timeout(within, quic.wait_idle()).await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Tasks hold what they share with this handle, so they must be ended explicitly.
        if let Some(mut tasks) = lock(&self.shared.tasks).take() {
            tasks.abort_all();
        }
        if let Some(quic) = lock(&self.quic).take() {
            quic.close(CloseCode::ShutDown.into(), b"shutdown");
        }
    }
}

fn is_self(config: &Config, member: &Member) -> bool {
    config.role == Role::Replica { id: member.id }
}
