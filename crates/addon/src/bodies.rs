//! The body store: verified bundles by digest, from arrival until the core releases them.
//!
//! A bundle is delivered to the core once. Bundles of clients are delivered within the room that
//! the core grants and wait in a bounded queue until then; bundles pushed by replicas wait within
//! a quota of their sender; pinned ones (named by an accepted proposal, or fetched) are delivered
//! at once. What waits is bounded per sender and in all, what was delivered is bounded by the room
//! and by the pins, which are the core's own.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use crate::rejections::{NO_PEER, Reason};
use crate::wire::{Bundle, Digest};

/// In REQUEST: a client's connection has sent again what was delivered before.
pub const AGAIN: u8 = 254;
/// Bytes of undelivered bundles that one replica may push: 32 of the largest.
pub const PEER_WAITING_BYTES_MAX: usize = 16 << 20;
/// Number of undelivered bundles that one replica may push: 32 full batches.
pub const PEER_WAITING_MAX: usize = 8192;
/// Bytes of undelivered bundles of one client key: four of the largest.
pub const CLIENT_WAITING_BYTES_MAX: usize = 2 << 20;
/// Number of undelivered bundles of one client key.
pub const CLIENT_WAITING_MAX: usize = 1024;
/// Bytes of undelivered bundles of all clients' connections together.
pub const CLIENTS_WAITING_BYTES_MAX: usize = 32 << 20;
/// Number of undelivered bundles of all clients' connections together.
pub const CLIENTS_WAITING_MAX: usize = 16_384;
/// Pinned digests whose bodies are not here: a window of batches of 16, named by the core alone.
pub const PINS_MAX: usize = 65_536;
/// Bundles that clients sent again and that wait to be delivered again; more of them are dropped,
/// since their clients will repeat them.
pub const REPEATED_MAX: usize = 1024;
/// Bytes of all bodies held; a pinned body beyond it is dropped and fetched again later.
pub const HELD_BYTES_MAX: usize = 1 << 30;

/// A verified bundle.
#[derive(Debug)]
pub struct Body {
    /// The signed bundle.
    pub payload: Bytes,
    /// Who it came from: a replica, or [`NO_PEER`] for a client's connection.
    pub from: u8,
    /// The fields of REQUEST.
    pub head: Head,
    delivered: bool,
}

/// What REQUEST says of a bundle besides its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of BUNDLE")]
pub struct Head {
    pub client: [u8; 32],
    pub session: u64,
    pub first_sequence: u64,
    pub acknowledged_through: u64,
    pub count: u16,
}

impl Head {
    /// The head of a decoded bundle.
    pub fn of(bundle: &Bundle<'_>) -> Self {
        Self {
            client: *bundle.client,
            session: bundle.session,
            first_sequence: bundle.first_sequence,
            acknowledged_through: bundle.acknowledged_through,
            count: bundle.count,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    bundles: usize,
    bytes: usize,
}

impl Usage {
    fn add(&mut self, bytes: usize) {
        self.bundles += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.bundles -= 1;
        self.bytes -= bytes;
    }

    fn has_room(&self, bytes: usize, bundles_max: usize, bytes_max: usize) -> bool {
        self.bundles < bundles_max && self.bytes + bytes <= bytes_max
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Wanted,
    Pushed,
    Clients,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct BodyStore {
    bodies: HashMap<Digest, Body>,
    bytes: usize,
    pins: HashSet<Digest>,
    /// Undelivered, in order of arrival. Entries whose body is gone or delivered are skipped.
    wanted: VecDeque<Digest>,
    pushed: VecDeque<Digest>,
    from_clients: VecDeque<Digest>,
    /// Delivered before, and sent again by their clients.
    repeated: VecDeque<Digest>,
    waiting_of_peers: HashMap<u8, Usage>,
    waiting_of_client: HashMap<[u8; 32], Usage>,
    waiting_of_clients: Usage,
    room: Usage,
    /// Which of the two queues within the room is looked at first.
    clients_turn: bool,
}

impl BodyStore {
    /// Whether this body is held.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.bodies.contains_key(digest)
    }

    /// Whether a bundle of this length may come in, asked before its signature is verified.
    /// `wanted` says that it was fetched.
    ///
    /// # Errors
    /// [`Reason::Duplicate`]; [`Reason::OverQuota`] for a replica's; [`Reason::Busy`] for a
    /// client's connection.
    pub fn admit(
        &self,
        digest: &Digest,
        from: u8,
        client: &[u8; 32],
        length: usize,
        wanted: bool,
    ) -> Result<(), Reason> {
        if self.holds(digest) {
            return Err(Reason::Duplicate);
        }
        let full = if from == NO_PEER {
            Reason::Busy
        } else {
            Reason::OverQuota
        };
        if self.bytes + length > HELD_BYTES_MAX {
            return Err(full);
        }
        if wanted || self.pins.contains(digest) {
            return Ok(());
        }
        let fits = if from == NO_PEER {
            let own = self
                .waiting_of_client
                .get(client)
                .copied()
                .unwrap_or_default();
            own.has_room(length, CLIENT_WAITING_MAX, CLIENT_WAITING_BYTES_MAX)
                && self.waiting_of_clients.has_room(
                    length,
                    CLIENTS_WAITING_MAX,
                    CLIENTS_WAITING_BYTES_MAX,
                )
        } else {
            let own = self
                .waiting_of_peers
                .get(&from)
                .copied()
                .unwrap_or_default();
            own.has_room(length, PEER_WAITING_MAX, PEER_WAITING_BYTES_MAX)
        };
        if fits { Ok(()) } else { Err(full) }
    }

    /// Stores a verified bundle. The bytes are copied, since what arrived may share memory with
    /// other frames.
    ///
    /// # Errors
    /// Those of [`BodyStore::admit`]: others may have come in while this one was verified.
    pub fn put(
        &mut self,
        digest: Digest,
        from: u8,
        head: Head,
        payload: &[u8],
        wanted: bool,
    ) -> Result<(), Reason> {
        self.admit(&digest, from, &head.client, payload.len(), wanted)?;
        let body = Body {
            payload: Bytes::copy_from_slice(payload),
            from,
            head,
            delivered: false,
        };
        self.bytes += payload.len();
        self.count_waiting(&body, Usage::add);
        if wanted || self.pins.remove(&digest) {
            self.wanted.push_back(digest);
        } else if from == NO_PEER {
            self.from_clients.push_back(digest);
        } else {
            self.pushed.push_back(digest);
        }
        self.bodies.insert(digest, body);
        Ok(())
    }

    /// Takes back a body that the core knows from before a restart: it counts as delivered. Whatever is
    /// durable is held, since the core may name it.
    pub fn restore(&mut self, digest: Digest, head: Head, payload: &[u8]) {
        if self.holds(&digest) {
            return;
        }
        let body = Body {
            payload: Bytes::copy_from_slice(payload),
            from: NO_PEER,
            head,
            delivered: true,
        };
        self.bytes += payload.len();
        self.bodies.insert(digest, body);
    }

    /// A client has sent a bundle again whose body is held: it is delivered once more, as its replies
    /// may be lost. False where it was never delivered yet, or too many wait.
    pub fn repeat(&mut self, digest: &Digest) -> bool {
        let delivered = self.bodies.get(digest).is_some_and(|body| body.delivered);
        if delivered && self.repeated.len() < REPEATED_MAX && !self.repeated.contains(digest) {
            self.repeated.push_back(*digest);
        }
        delivered
    }

    /// Marks bodies as wanted: those that wait are delivered at once, those that come later are
    /// accepted although their sender's quota is used up. False where there are too many.
    #[must_use]
    pub fn pin(&mut self, digests: &[Digest]) -> bool {
        for digest in digests {
            match self.bodies.get(digest) {
                Some(body) if body.delivered => {}
                Some(_) => self.wanted.push_back(*digest),
                None if self.pins.len() < PINS_MAX => {
                    self.pins.insert(*digest);
                }
                None => return false,
            }
        }
        true
    }

    /// Frees a body, and the pin of one that never came.
    pub fn release(&mut self, digest: &Digest) -> Option<Body> {
        self.pins.remove(digest);
        let body = self.bodies.remove(digest)?;
        self.bytes -= body.payload.len();
        if !body.delivered {
            self.count_waiting(&body, Usage::remove);
        }
        Some(body)
    }

    /// What the core accepts beyond what it was given.
    pub fn set_room(&mut self, bundles: u32, bytes: u32) {
        self.room = Usage {
            bundles: bundles as usize,
            bytes: bytes as usize,
        };
    }

    /// The next bundle to deliver, who it came from now, and its body; it counts as delivered.
    pub fn next_request(&mut self) -> Option<(Digest, u8, &Body)> {
        while let Some(digest) = self.repeated.pop_front() {
            if self.holds(&digest) {
                return self.bodies.get(&digest).map(|body| (digest, AGAIN, body));
            }
        }
        let (queue, digest) = self.peek()?;
        self.queue(queue).pop_front();
        let body = self.bodies.remove(&digest)?;
        self.count_waiting(&body, Usage::remove);
        if queue != Queue::Wanted {
            self.room.remove(body.payload.len());
            self.clients_turn = queue == Queue::Pushed;
        }
        let body = self
            .bodies
            .entry(digest)
            .insert_entry(Body {
                delivered: true,
                ..body
            })
            .into_mut();
        Some((digest, body.from, body))
    }

    /// Whether [`BodyStore::next_request`] has one.
    pub fn has_request(&mut self) -> bool {
        self.repeated
            .iter()
            .any(|digest| self.bodies.contains_key(digest))
            || self.peek().is_some()
    }

    /// The next digest to deliver: what is wanted, then pushed and clients' bundles in turns as far
    /// as the room reaches.
    fn peek(&mut self) -> Option<(Queue, Digest)> {
        if let Some(digest) = skim(&mut self.wanted, &self.bodies) {
            return Some((Queue::Wanted, digest));
        }
        let (first, second) = match self.clients_turn {
            true => (Queue::Clients, Queue::Pushed),
            false => (Queue::Pushed, Queue::Clients),
        };
        for queue in [first, second] {
            let digests = match queue {
                Queue::Clients => &mut self.from_clients,
                _ => &mut self.pushed,
            };
            let Some(digest) = skim(digests, &self.bodies) else {
                continue;
            };
            let bytes = self.bodies[&digest].payload.len();
            return (self.room.bundles > 0 && self.room.bytes >= bytes).then_some((queue, digest));
        }
        None
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<Digest> {
        match queue {
            Queue::Wanted => &mut self.wanted,
            Queue::Pushed => &mut self.pushed,
            Queue::Clients => &mut self.from_clients,
        }
    }

    /// The signed bundle behind a digest.
    pub fn payload(&self, digest: &Digest) -> Option<&Bytes> {
        self.bodies.get(digest).map(|body| &body.payload)
    }

    /// Whether clients should be held back, given whether they are now: from half of the queue
    /// on, until it is down to an eighth.
    pub fn pauses_clients(&self, paused: bool) -> bool {
        let share = if paused { 8 } else { 2 };
        let waiting = self.waiting_of_clients;
        waiting.bundles > CLIENTS_WAITING_MAX / share
            || waiting.bytes > CLIENTS_WAITING_BYTES_MAX / share
    }

    /// Bodies held, their bytes, and bundles that wait for room.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let pushed: usize = self
            .waiting_of_peers
            .values()
            .map(|usage| usage.bundles)
            .sum();
        (
            self.bodies.len(),
            self.bytes,
            pushed + self.waiting_of_clients.bundles,
        )
    }

    fn count_waiting(&mut self, body: &Body, change: fn(&mut Usage, usize)) {
        let bytes = body.payload.len();
        if body.from != NO_PEER {
            change(self.waiting_of_peers.entry(body.from).or_default(), bytes);
            return;
        }
        change(&mut self.waiting_of_clients, bytes);
        let own = self.waiting_of_client.entry(body.head.client).or_default();
        change(own, bytes);
        if own.bundles == 0 {
            self.waiting_of_client.remove(&body.head.client);
        }
    }
}

/// The first digest of the queue whose body still waits; drops those before it.
fn skim(queue: &mut VecDeque<Digest>, bodies: &HashMap<Digest, Body>) -> Option<Digest> {
    loop {
        let digest = queue.front()?;
        match bodies.get(digest) {
            Some(body) if !body.delivered => return Some(*digest),
            _ => queue.pop_front(),
        };
    }
}

#[cfg(test)]
mod tests;
