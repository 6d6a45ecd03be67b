//! An endpoint on a thread of its own, for programs that are not a replica's reactor.
//!
//! The thread drives a current-thread runtime and hands everything that arrived to a sink as one
//! packed buffer; it takes no more from the endpoint until the sink has finished with that, so
//! what waits is bounded by the endpoint's own queues and flow control.

use std::future::Future;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use byzantine_transport::{Config, Endpoint, Event, Lane, Source};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::reactor::StartError;
use crate::rejections::NO_PEER;
use crate::wire::{DecodeError, REPLICAS_MAX, Reader, Writer};

/// Bytes of events that one buffer takes; one frame may exceed it.
const POLL_BYTES: usize = 1 << 20;
/// How long connections may take to close.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(500);
/// The bit of a destination that says that the rest is the number of a client.
const CLIENT_BIT: u32 = 1 << 31;

/// Takes packed events; `None` where nobody listens any more, which ends the thread.
pub trait Sink: Send + 'static {
    /// Hands over one buffer and waits until it was dealt with.
    fn deliver(&mut self, events: Vec<u8>) -> impl Future<Output = Option<()>>;
}

/// See the module documentation.
pub struct TransportThread {
    endpoint: Arc<Endpoint>,
    stop: Arc<Notify>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// A destination or record that [`TransportThread::send`] refuses.
pub type Malformed = DecodeError;

impl TransportThread {
    /// Binds an endpoint on a new thread.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, sink: impl Sink) -> Result<Self, StartError> {
        let stop = Arc::new(Notify::new());
        let (bound, wait_bound) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("byzantine-transport".to_owned())
            .spawn(move || run(config, sink, &stopped, &bound))
            .map_err(StartError::Runtime)?;
        let ended = || {
            StartError::Runtime(std::io::Error::other(
                "the transport's thread ended at its start",
            ))
        };
        let endpoint = wait_bound.recv().map_err(|_| ended())??;
        Ok(Self {
            endpoint,
            stop,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends records `u32 to | u8 lane | u8 type | u32 length | payload`; `to` is a set of replicas,
    /// or a client's number with bit 31 set. What cannot be queued is dropped and counted.
    ///
    /// # Errors
    /// The records before the malformed one were sent.
    pub fn send(&self, records: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(records);
        while reader.remaining() > 0 {
            let to = reader.u32()?;
            let lane = Lane::from_byte(reader.u8()?).ok_or(DecodeError::OutOfRange)?;
            let message_type = reader.u8()?;
            let payload = reader.bytes()?;
            for source in destinations(to) {
                // The endpoint counts what it drops.
                let _ = self.endpoint.send(source, lane, message_type, &[payload]);
            }
        }
        self.endpoint.flush();
        Ok(())
    }

    /// What waits for the end of the thread after [`TransportThread::stop`]; it may block for as
    /// long as connections take to close.
    pub fn joiner(&self) -> Joiner {
        Joiner {
            thread: Arc::clone(&self.thread),
        }
    }

    /// Closes all connections and ends the thread.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

impl Drop for TransportThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the end of a transport's thread.
#[derive(Debug)]
pub struct Joiner {
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Joiner {
    /// Blocks until the thread has ended; the second of two calls waits for the first.
    pub fn join(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic in it was reported by its hook, and its endpoint is gone with it.
            let _ = thread.join();
        }
    }
}

type Bound = mpsc::Sender<Result<Arc<Endpoint>, StartError>>;

fn run(config: Config, mut sink: impl Sink, stop: &Notify, bound: &Bound) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(bound.send(Err(StartError::Runtime(error)))),
    };
    runtime.block_on(async {
        let endpoint = match Endpoint::bind(config) {
            Ok(endpoint) => Arc::new(endpoint),
            Err(error) => return drop(bound.send(Err(StartError::Transport(error)))),
        };
        if bound.send(Ok(Arc::clone(&endpoint))).is_err() {
            return;
        }
        tokio::select! {
            () = stop.notified() => {}
            () = pump(&endpoint, &mut sink) => {}
        }
        endpoint.flush();
        tokio::task::yield_now().await;
        endpoint.shutdown(SHUTDOWN_WITHIN).await;
    });
}

async fn pump(endpoint: &Endpoint, sink: &mut impl Sink) {
    let mut events = Vec::new();
    loop {
        endpoint.notified().await;
        endpoint.poll_events(&mut events, POLL_BYTES);
        let mut writer = Writer::default();
        for event in events.drain(..) {
            write_event(&mut writer, event);
        }
        if sink.deliver(writer.into_vec()).await.is_none() {
            return;
        }
    }
}

fn destinations(to: u32) -> impl Iterator<Item = Source> {
    let client = (to & CLIENT_BIT != 0).then_some(Source::Client(to & !CLIENT_BIT));
    let set = if client.is_some() { 0 } else { to };
    let peers = (0..REPLICAS_MAX as u8)
        .filter(move |peer| set >> peer & 1 == 1)
        .map(Source::Peer);
    client.into_iter().chain(peers)
}

/// Kinds of event records.
mod kinds {
    pub const FRAME: u8 = 1;
    pub const LINK: u8 = 2;
    pub const REFUSED: u8 = 3;
    pub const CLIENT: u8 = 4;
}

fn write_event(writer: &mut Writer, event: Event) {
    match event {
        Event::Frame {
            from,
            lane,
            kind,
            payload,
        } => {
            let (peer, client) = match from {
                Source::Peer(peer) => (peer, 0),
                Source::Client(client) => (NO_PEER, client),
            };
            writer.record(kinds::FRAME, |body| {
                body.u8(peer)
                    .u32(client)
                    .u8(lane as u8)
                    .u8(kind)
                    .raw(&payload);
            });
        }
        Event::PeerUp { peer, .. } => write_pair(writer, peer, 1),
        Event::PeerDown { peer, .. } => write_pair(writer, peer, 0),
        Event::Refused { reason, .. } => writer.record(kinds::REFUSED, |body| {
            body.u8(NO_PEER).raw(reason.name().as_bytes());
        }),
        Event::ClientUp { client, key } => writer.record(kinds::CLIENT, |body| {
            body.u32(client).u8(1).raw(&key);
        }),
        Event::ClientDown { client } => writer.record(kinds::CLIENT, |body| {
            body.u32(client).u8(0).raw(&[0; 32]);
        }),
    }
}

fn write_pair(writer: &mut Writer, peer: u8, up: u8) {
    writer.record(kinds::LINK, |body| {
        body.u8(peer).u8(up);
    });
}
