//! Who is connected, and what waits to be polled. One lock; QUIC is never called under it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::config::Member;
use crate::event::{ClientId, Event, Source};
use crate::frame::Frame;
use crate::lane::{LANES, Lane};
use crate::limits::Limits;
use crate::reason::{DownReason, RefuseReason};
use crate::session::{Budget, ClientTotals, Origin, Session};
use crate::statistics::Traffic;

/// Connection changes that may wait to be polled, counting the end that each live connection
/// will report. Beyond it new connections are refused: a peer that reconnects in a loop cannot
/// grow the queue of an endpoint that is not polled.
const CHANGES_MAX: usize = 4096;
/// Cost taken from one source before the next has its turn.
const TURN_BYTES: usize = 64 * 1024;

/// A member as this endpoint sees it.
pub(crate) struct PeerSlot {
    pub(crate) key: [u8; 32],
    pub(crate) address: String,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) traffic: Arc<Mutex<Traffic>>,
    /// Rung when the session ended.
    pub(crate) down: Arc<Notify>,
    /// Rung when the address changed.
    pub(crate) moved: Arc<Notify>,
    pub(crate) connects: u64,
    pub(crate) dial_failures: u64,
    pub(crate) last_error: Option<String>,
}

enum Change {
    Up(Arc<Session>),
    Replaced(Arc<Session>, Arc<Session>),
    Down(Arc<Session>, DownReason),
}

/// The outcome of [`Hub::admit_peer`].
pub(crate) enum Admitted {
    /// It is the connection of this pair now; the one that it replaced is to be closed.
    Stays(Arc<Session>, Option<Arc<Session>>),
    /// The connection that was there stays.
    Replaced,
    /// Too many changes wait to be polled, or the member is unknown.
    Busy,
}

/// The table of connections.
pub(crate) struct Hub {
    pub(crate) peers: BTreeMap<u8, PeerSlot>,
    pub(crate) clients: HashMap<ClientId, Arc<Session>>,
    pub(crate) client_totals: Arc<ClientTotals>,
    pub(crate) client_traffic: Arc<Mutex<Traffic>>,
    pub(crate) client_connects: u64,
    next_client: ClientId,
    changes: VecDeque<Change>,
    ready: [VecDeque<Arc<Session>>; LANES],
    dirty: Vec<(Arc<Session>, Lane)>,
}

impl Hub {
    /// A table of `others`: the members without this endpoint itself.
    pub(crate) fn new<'a>(others: impl Iterator<Item = &'a Member>) -> Self {
        let slot = |member: &Member| PeerSlot {
            key: member.key,
            address: member.address.clone(),
            session: None,
            budget: Arc::default(),
            traffic: Arc::default(),
            down: Arc::default(),
            moved: Arc::default(),
            connects: 0,
            dial_failures: 0,
            last_error: None,
        };
        Self {
            peers: others.map(|member| (member.id, slot(member))).collect(),
            clients: HashMap::new(),
            client_totals: Arc::default(),
            client_traffic: Arc::default(),
            client_connects: 0,
            next_client: 1,
            changes: VecDeque::new(),
            ready: Default::default(),
            dirty: Vec::new(),
        }
    }

    fn live(&self) -> usize {
        self.clients.len()
            + self
                .peers
                .values()
                .filter(|slot| slot.session.is_some())
                .count()
    }

    fn is_full(&self) -> bool {
        self.changes.len() + self.live() >= CHANGES_MAX
    }

    /// Admits a member's connection, or not. Of two connections of a pair the one that the lower
    /// id dialled stays; of two that the same side dialled the newer stays, because a side dials
    /// again only when it lost the first. Both sides decide so from the same two facts.
    pub(crate) fn admit_peer(&mut self, peer: u8, origin: Origin) -> Admitted {
        if self.is_full() {
            return Admitted::Busy;
        }
        let Some(slot) = self.peers.get_mut(&peer) else {
            return Admitted::Busy;
        };
        if let Some(old) = &slot.session
            && old.origin.dialled_by_lower
            && !origin.dialled_by_lower
        {
            return Admitted::Replaced;
        }
        let session = Arc::new(Session::new(
            Source::Peer(peer),
            origin,
            slot.budget.clone(),
            slot.traffic.clone(),
            None,
        ));
        slot.connects += 1;
        slot.last_error = None;
        let old = slot.session.replace(session.clone());
        self.changes.push_back(match &old {
            Some(old) => {
                old.retired.store(true, Relaxed);
                Change::Replaced(old.clone(), session.clone())
            }
            None => Change::Up(session.clone()),
        });
        Admitted::Stays(session, old)
    }

    /// Admits a client's connection within the quotas.
    pub(crate) fn admit_client(
        &mut self,
        limits: &Limits,
        origin: Origin,
    ) -> Result<Arc<Session>, RefuseReason> {
        if self.clients.len() >= limits.clients_max
            || self.clients_of(&origin.key).count() >= limits.clients_per_key
        {
            return Err(RefuseReason::ClientQuota);
        }
        let next = self.next_client.checked_add(1);
        let (Some(next), false) = (next, self.is_full()) else {
            return Err(RefuseReason::Busy);
        };
        let client = std::mem::replace(&mut self.next_client, next);
        let session = Arc::new(Session::new(
            Source::Client(client),
            origin,
            Arc::default(),
            self.client_traffic.clone(),
            Some(self.client_totals.clone()),
        ));
        self.client_connects += 1;
        self.clients.insert(client, session.clone());
        self.changes.push_back(Change::Up(session.clone()));
        Ok(session)
    }

    /// The sessions of a client's key.
    pub(crate) fn clients_of<'a>(
        &'a self,
        key: &'a [u8; 32],
    ) -> impl Iterator<Item = &'a Arc<Session>> {
        self.clients
            .values()
            .filter(move |session| session.origin.key == *key)
    }

    /// Ends a session; one that was replaced has ended already.
    pub(crate) fn retire(&mut self, session: &Arc<Session>, reason: DownReason) {
        session.discard_outbound();
        if session.retired.swap(true, Relaxed) {
            return;
        }
        match session.source {
            Source::Client(client) => {
                self.clients.remove(&client);
            }
            Source::Peer(peer) => {
                if let Some(slot) = self.peers.get_mut(&peer) {
                    slot.session = None;
                    slot.down.notify_one();
                }
            }
        }
        self.changes
            .push_back(Change::Down(session.clone(), reason));
    }

    /// Forgets all connections: the endpoint shuts down and reports no more changes. Frames that
    /// arrived can still be polled.
    pub(crate) fn close(&mut self) {
        let peers = self
            .peers
            .values_mut()
            .filter_map(|slot| slot.session.take());
        for session in peers.chain(self.clients.drain().map(|(_, session)| session)) {
            session.retired.store(true, Relaxed);
            session.discard_outbound();
        }
        self.dirty.clear();
    }

    /// The live session of a source.
    pub(crate) fn session(&self, of: Source) -> Option<&Arc<Session>> {
        match of {
            Source::Peer(peer) => self.peers.get(&peer)?.session.as_ref(),
            Source::Client(client) => self.clients.get(&client),
        }
    }

    /// Puts frames that arrived into the session's inbox.
    pub(crate) fn deposit(&mut self, session: &Arc<Session>, lane: Lane, frames: &mut Vec<Frame>) {
        if session.retired.load(Relaxed) {
            frames.clear();
        } else if session.deposit(lane, frames) {
            self.ready[lane.index()].push_back(session.clone());
        }
    }

    /// Notes that the next flush must wake a writer.
    pub(crate) fn mark_dirty(&mut self, session: &Arc<Session>, lane: Lane) {
        self.dirty.push((session.clone(), lane));
    }

    /// Wakes all writers that have something to write.
    pub(crate) fn flush(&mut self) {
        for (session, lane) in self.dirty.drain(..) {
            session.flush(lane);
        }
    }

    /// Whether anything waits to be polled.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.changes.is_empty() || self.ready.iter().any(|lane| !lane.is_empty())
    }

    /// Moves out changes, then frames by lane, in turn over the sources.
    pub(crate) fn poll(&mut self, out: &mut Vec<Event>, bytes_max: usize) {
        for change in std::mem::take(&mut self.changes) {
            report(change, out);
        }
        let mut taken = 0;
        for lane in Lane::ALL {
            let mut first = true;
            while first || taken < bytes_max {
                let Some(session) = self.ready[lane.index()].pop_front() else {
                    break;
                };
                let turn = TURN_BYTES.min(bytes_max.saturating_sub(taken));
                let (cost, more) = withdraw(&session, lane, turn, out);
                taken += cost;
                first &= cost == 0;
                if more {
                    self.ready[lane.index()].push_back(session);
                }
            }
        }
    }
}

fn withdraw(
    session: &Session,
    lane: Lane,
    bytes_max: usize,
    out: &mut Vec<Event>,
) -> (usize, bool) {
    session.withdraw(lane, bytes_max, |frame| {
        out.push(Event::Frame {
            from: session.source,
            lane,
            kind: frame.kind,
            payload: frame.payload,
        });
    })
}

/// Frames of a connection that ended come before its end.
fn report(change: Change, out: &mut Vec<Event>) {
    if let Change::Replaced(ended, _) | Change::Down(ended, _) = &change {
        for lane in Lane::ALL {
            withdraw(ended, lane, usize::MAX, out);
        }
    }
    out.push(match change {
        Change::Up(session) | Change::Replaced(_, session) => match session.source {
            Source::Peer(peer) => Event::PeerUp {
                peer,
                address: session.origin.address,
            },
            Source::Client(client) => Event::ClientUp {
                client,
                key: session.origin.key,
            },
        },
        Change::Down(session, reason) => match session.source {
            Source::Peer(peer) => Event::PeerDown { peer, reason },
            Source::Client(client) => Event::ClientDown { client },
        },
    });
}
