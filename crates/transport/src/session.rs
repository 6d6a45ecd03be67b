//! One connection whose HELLO was accepted: its bounded queues, both ways.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::event::Source;
use crate::frame::{self, Frame, HEADER_BYTES};
use crate::lane::{LANES, Lane};
use crate::ledger::lock;
use crate::limits::Limits;
use crate::statistics::Traffic;

/// Why a frame was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no connection to it now.
    NotConnected,
    /// The frame is longer than its lane allows.
    TooLarge {
        /// The largest length (type byte and payload) of the lane.
        length_max: u32,
    },
    /// The connection has no such lane (clients have control and client), or the type is HELLO's.
    WrongLane,
    /// The queue was full: all that waited in it was dropped, this frame included. The next frame
    /// begins an empty queue.
    QueueFull {
        /// Frames dropped.
        frames: u64,
        /// Bytes dropped.
        bytes: u64,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::TooLarge { length_max } => write!(f, "frame above {length_max} bytes"),
            Self::WrongLane => f.write_str("the connection has no such lane, or HELLO was sent"),
            Self::QueueFull { frames, bytes } => {
                write!(f, "queue full: {frames} frames of {bytes} bytes dropped")
            }
        }
    }
}

impl std::error::Error for SendError {}

/// First allocation of a queue: the frames of an ordinary turn fit.
const QUEUE_BYTES_MIN: usize = 4096;

/// Bytes that arrived and wait to be polled, per lane. A member's budget outlives its connections,
/// so that reconnecting does not renew it.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    held: [AtomicUsize; LANES],
    /// Rung when a lane's bytes were polled.
    pub(crate) room: [Notify; LANES],
}

impl Budget {
    /// Bytes held on all lanes.
    pub(crate) fn total(&self) -> usize {
        self.held.iter().map(|held| held.load(Relaxed)).sum()
    }
}

/// What all clients share.
#[derive(Debug, Default)]
pub(crate) struct ClientTotals {
    /// Inbound bytes that wait to be polled.
    pub(crate) held: AtomicUsize,
    /// Outbound bytes that are queued.
    pub(crate) queued: AtomicUsize,
    /// Whether client lanes are not read now.
    pub(crate) paused: AtomicBool,
    /// Rung when clients' bytes were polled or the pause ends.
    pub(crate) room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    buffer: BytesMut,
    frames: u64,
    /// Whether the next flush must wake the writer: set by the first frame after a flush.
    dirty: bool,
}

impl Queue {
    /// Makes room for a frame in doubling steps that end at the bound: the buffer's own doubling
    /// could allocate twice as much.
    fn grow(&mut self, bytes: usize, bound: usize) {
        let needed = self.buffer.len() + bytes;
        if needed > self.buffer.capacity() && !self.buffer.try_reclaim(bytes) {
            let capacity = (2 * needed).max(QUEUE_BYTES_MIN).min(bound).max(needed);
            let mut larger = BytesMut::with_capacity(capacity);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
    }
}

/// A batch of whole frames for one stream.
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    pub(crate) frames: u64,
}

/// What a new session is made of.
pub(crate) struct Origin {
    pub(crate) connection: quinn::Connection,
    pub(crate) address: SocketAddr,
    pub(crate) key: [u8; 32],
    /// Whether this endpoint dialled.
    pub(crate) dialled_here: bool,
    /// Whether the member with the lower id dialled; true for all connections of clients.
    pub(crate) dialled_by_lower: bool,
    /// Whether both sides are replicas: only they have all lanes.
    pub(crate) between_members: bool,
}

/// A live connection.
pub(crate) struct Session {
    pub(crate) source: Source,
    pub(crate) origin: Origin,
    pub(crate) budget: Arc<Budget>,
    pub(crate) traffic: Arc<Mutex<Traffic>>,
    /// Rings a lane's writer.
    pub(crate) wake: [Notify; LANES],
    /// Set when the hub no longer knows it: frames that still arrive are dropped.
    pub(crate) retired: AtomicBool,
    ended: AtomicBool,
    clients: Option<Arc<ClientTotals>>,
    outbound: Mutex<[Queue; LANES]>,
    inbox: Mutex<[VecDeque<Frame>; LANES]>,
}

impl Session {
    pub(crate) fn new(
        source: Source,
        origin: Origin,
        budget: Arc<Budget>,
        traffic: Arc<Mutex<Traffic>>,
        clients: Option<Arc<ClientTotals>>,
    ) -> Self {
        Self {
            source,
            origin,
            budget,
            traffic,
            wake: Default::default(),
            retired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            clients,
            outbound: Default::default(),
            inbox: Default::default(),
        }
    }

    /// Appends one frame to a lane's queue. `Ok(true)`: the first since the lane was flushed.
    pub(crate) fn enqueue(
        &self,
        limits: &Limits,
        lane: Lane,
        kind: u8,
        parts: &[&[u8]],
        payload_bytes: usize,
    ) -> Result<bool, SendError> {
        let bytes = HEADER_BYTES + payload_bytes;
        let mut queues = lock(&self.outbound);
        let queue = &mut queues[lane.index()];
        if bytes > self.room(limits, lane, queue.buffer.len()) {
            let dropped = (queue.frames + 1, (queue.buffer.len() + bytes) as u64);
            self.unqueue(queue.buffer.len());
            queue.buffer = BytesMut::new();
            queue.frames = 0;
            drop(queues);
            self.count_dropped(lane, dropped.0, dropped.1);
            return Err(SendError::QueueFull {
                frames: dropped.0,
                bytes: dropped.1,
            });
        }
        queue.grow(bytes, self.bound(limits, lane));
        frame::append(&mut queue.buffer, kind, parts, payload_bytes);
        queue.frames += 1;
        if let Some(clients) = &self.clients {
            clients.queued.fetch_add(bytes, Relaxed);
        }
        Ok(!std::mem::replace(&mut queue.dirty, true))
    }

    fn bound(&self, limits: &Limits, lane: Lane) -> usize {
        match &self.clients {
            None => limits.outbound_bytes[lane.index()],
            Some(_) => limits.outbound_bytes_per_client,
        }
    }

    fn room(&self, limits: &Limits, lane: Lane, queued: usize) -> usize {
        let own = self.bound(limits, lane).saturating_sub(queued);
        let all = self.clients.as_ref().map_or(usize::MAX, |clients| {
            limits
                .outbound_bytes_all_clients
                .saturating_sub(clients.queued.load(Relaxed))
        });
        own.min(all)
    }

    /// Bytes that a lane's queue still takes.
    pub(crate) fn outbound_room(&self, limits: &Limits, lane: Lane) -> usize {
        let queued = self.queued(lane);
        self.room(limits, lane, queued)
    }

    /// Bytes queued on a lane.
    pub(crate) fn queued(&self, lane: Lane) -> usize {
        lock(&self.outbound)[lane.index()].buffer.len()
    }

    /// Wakes a lane's writer.
    pub(crate) fn flush(&self, lane: Lane) {
        lock(&self.outbound)[lane.index()].dirty = false;
        self.wake[lane.index()].notify_one();
    }

    /// Takes all whole frames of a lane for its stream; from here on they are not dropped.
    pub(crate) fn take(&self, lane: Lane) -> Option<Batch> {
        let mut queues = lock(&self.outbound);
        let queue = &mut queues[lane.index()];
        if queue.buffer.is_empty() {
            return None;
        }
        let batch = Batch {
            bytes: queue.buffer.split().freeze(),
            frames: std::mem::take(&mut queue.frames),
        };
        self.unqueue(batch.bytes.len());
        Some(batch)
    }

    fn unqueue(&self, bytes: usize) {
        if let Some(clients) = &self.clients {
            clients.queued.fetch_sub(bytes, Relaxed);
        }
    }

    fn count_dropped(&self, lane: Lane, frames: u64, bytes: u64) {
        let mut traffic = lock(&self.traffic);
        traffic.frames_dropped[lane.index()] += frames;
        traffic.bytes_dropped[lane.index()] += bytes;
    }

    /// Drops and counts everything that was queued: the connection is over.
    pub(crate) fn discard_outbound(&self) {
        for lane in Lane::ALL {
            if let Some(batch) = self.take(lane) {
                self.count_dropped(lane, batch.frames, batch.bytes.len() as u64);
            }
        }
    }

    /// Whether a lane may be read now.
    pub(crate) fn may_read(&self, limits: &Limits, lane: Lane) -> bool {
        let held = self.budget.held[lane.index()].load(Relaxed);
        match &self.clients {
            None => held < limits.inbound_bytes[lane.index()],
            Some(clients) => {
                held < limits.inbound_bytes_per_client
                    && clients.held.load(Relaxed) < limits.inbound_bytes_all_clients
                    && !(lane == Lane::Client && clients.paused.load(Relaxed))
            }
        }
    }

    /// Tells the readers that the connection is over: they do not wait for room any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
        Lane::ALL
            .iter()
            .for_each(|&lane| self.readable(lane).notify_waiters());
    }

    /// Whether the connection is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The bell that rings when [`Session::may_read`] may have become true.
    pub(crate) fn readable(&self, lane: Lane) -> &Notify {
        match &self.clients {
            None => &self.budget.room[lane.index()],
            Some(clients) => &clients.room,
        }
    }

    /// Puts frames that arrived into the inbox. `true`: the lane's inbox was empty before.
    pub(crate) fn deposit(&self, lane: Lane, frames: &mut Vec<Frame>) -> bool {
        let cost: usize = frames.iter().map(Frame::cost).sum();
        self.budget.held[lane.index()].fetch_add(cost, Relaxed);
        if let Some(clients) = &self.clients {
            clients.held.fetch_add(cost, Relaxed);
        }
        let mut inbox = lock(&self.inbox);
        let was_empty = inbox[lane.index()].is_empty();
        inbox[lane.index()].extend(frames.drain(..));
        was_empty
    }

    /// Takes frames of a lane in order until `bytes_max` of cost is reached, at least one if any
    /// waits. Returns their cost and whether more wait.
    pub(crate) fn withdraw(
        &self,
        lane: Lane,
        bytes_max: usize,
        mut each: impl FnMut(Frame),
    ) -> (usize, bool) {
        let mut inbox = lock(&self.inbox);
        let mut taken = 0;
        while taken == 0 || taken < bytes_max {
            let Some(frame) = inbox[lane.index()].pop_front() else {
                break;
            };
            taken += frame.cost();
            each(frame);
        }
        let more = !inbox[lane.index()].is_empty();
        drop(inbox);
        if taken > 0 {
            self.budget.held[lane.index()].fetch_sub(taken, Relaxed);
            if let Some(clients) = &self.clients {
                clients.held.fetch_sub(taken, Relaxed);
            }
            self.readable(lane).notify_waiters();
        }
        (taken, more)
    }

    /// Whether this connection has the lane.
    pub(crate) fn has_lane(&self, lane: Lane) -> bool {
        self.origin.between_members || lane.serves_clients()
    }
}
