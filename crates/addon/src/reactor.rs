//! The reactor: one call per turn drives the QUIC endpoint on the thread that calls.
//!
//! A turn queues what the actions send, hands their records to the journal, gives the endpoint's
//! tasks the time to put frames on the wire, and returns as soon as an input is ready, a waker is
//! called, or the time is over. The journal's threads write and sync; they wake the turn when records
//! are durable. There is no other thread and no hand-off on the ordering path.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use byzantine_journal::StopError;
use byzantine_transport::{Config, Endpoint, Event, Statistics, TransportError};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::engine::{Engine, EngineConfig, Fault};
use crate::journal::{DataDirectory, DirectoryError, ReplicaJournal};
use crate::records::Actions;
use crate::wakers::Waker;

/// Longest sleep inside one call: between calls the worker's own event loop runs, and a worker
/// that is asked to end does so at once.
pub const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Bytes that an output must hold: the largest frame (4 MiB on the bulk lane) or batch, and its
/// record around it.
pub const OUTPUT_BYTES_MIN: usize = 5 << 20;
/// Bytes of events that one poll takes: what a turn works on before it looks at its output.
const POLL_BYTES: usize = 1 << 20;
/// Passes over the runtime's tasks after sending: the writer of a lane hands its buffer to QUIC in
/// the first, the connection's driver makes packets of it in the second, and the third takes what
/// arrived meanwhile. It matters for turns that do not sleep; where they do, 1 to 10 measured alike.
const YIELDS: usize = 3;

/// Longest wait for a journal to let go of its directory after a start that failed: a healthy disk
/// prepares a segment in less.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// How turns went, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// Calls.
    pub calls: u64,
    /// Sleeps.
    pub slept: u64,
    /// Sleeps that a waker ended.
    pub woken: u64,
    /// Calls that returned something.
    pub with_input: u64,
}

/// See the module documentation.
pub struct Reactor {
    // Before the runtime: its tasks end while the runtime is there.
    endpoint: Endpoint,
    engine: Engine,
    /// None without one, and once it was stopped.
    journal: Option<ReplicaJournal>,
    /// What TypeScript restarts from, until it takes it.
    recovery: Vec<u8>,
    waker: Waker,
    events: Vec<Event>,
    clients_paused: bool,
    turns: Turns,
    started: Instant,
    runtime: Runtime,
}

/// A reactor could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The data directory is not used; nothing was on the network.
    Directory(DirectoryError),
    /// No runtime.
    Runtime(io::Error),
    /// The endpoint could not be bound.
    Transport(TransportError),
}

impl Reactor {
    /// Opens the data directory, where there is one, then binds the endpoint; nothing moves before the
    /// first turn.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        transport: Config,
        engine: EngineConfig,
        directory: Option<DataDirectory>,
    ) -> Result<Self, StartError> {
        let mut engine = Engine::new(engine);
        let waker = Waker::register();
        let handle = waker.handle();
        let opened = directory.map(|directory| {
            let wake = Arc::new(move || crate::wakers::wake(handle));
            ReplicaJournal::open(directory, &mut engine, wake)
        });
        let (journal, recovery) = opened.transpose().map_err(StartError::Directory)?.unzip();
        let (runtime, endpoint) = match bind(transport) {
            Ok(bound) => bound,
            Err(error) => {
                // Whoever tries again finds the directory free.
                if let Some(journal) = journal {
                    let _ = journal.close().recv_timeout(CLOSE_MAX);
                }
                return Err(error);
            }
        };
        Ok(Self {
            endpoint,
            engine,
            journal,
            recovery: recovery.unwrap_or_default(),
            waker,
            events: Vec::new(),
            clients_paused: false,
            turns: Turns::default(),
            started: Instant::now(),
            runtime,
        })
    }

    /// One turn: carries out `actions`, waits at most `wait` (and [`SLEEP_MAX`]) for an input,
    /// fills `output` and returns how many bytes.
    ///
    /// # Errors
    /// [`Fault`]: the actions before the one at fault were carried out.
    pub fn turn(
        &mut self,
        actions: &[u8],
        output: &mut [u8],
        wait: Duration,
    ) -> Result<usize, Fault> {
        self.turns.calls += 1;
        for action in Actions::new(actions) {
            self.engine
                .apply(action.map_err(Fault::Record)?, &self.endpoint)?;
        }
        self.engine.actions_are_done();
        self.store()?;
        let deadline = Instant::now() + wait.min(SLEEP_MAX);
        let started = self.started;
        let Self {
            runtime,
            endpoint,
            engine,
            journal,
            waker,
            events,
            clients_paused,
            turns,
            ..
        } = self;
        runtime.block_on(async {
            loop {
                endpoint.flush();
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
                engine.set_time(started.elapsed());
                take_events(endpoint, engine, events);
                pause_clients(endpoint, engine, clients_paused);
                report_disk(journal, engine);
                if engine.has_input() || Instant::now() >= deadline {
                    break;
                }
                turns.slept += 1;
                tokio::select! {
                    () = endpoint.notified() => {}
                    () = waker.woken() => {
                        turns.woken += 1;
                        break;
                    }
                    () = tokio::time::sleep_until(deadline) => {}
                }
            }
            // Answers that were found natively must not wait for the next turn.
            endpoint.flush();
        });
        report_disk(&mut self.journal, &mut self.engine);
        let length = self.engine.fill(output);
        self.turns.with_input += u64::from(length > 0);
        Ok(length)
    }

    /// The records that the actions made go to the journal together.
    fn store(&mut self) -> Result<(), Fault> {
        match &mut self.journal {
            Some(journal) => journal.store(&mut self.engine),
            None if self.engine.take_records().is_empty() => Ok(()),
            None => Err(Fault::JournalStopped),
        }
    }

    /// What TypeScript restarts from (WIRE.md §7); empty without a data directory, and once it was
    /// taken.
    pub fn take_recovery(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.recovery)
    }

    /// Makes all records durable and marks the end as one in order. No record may follow. Nothing to do
    /// without a journal.
    ///
    /// # Errors
    /// [`StopError`]: the next start counts as one after a crash.
    pub fn clean_stop(&mut self, within: Duration) -> Result<(), StopError> {
        let stopped = self.journal.take();
        stopped.map_or(Ok(()), |journal| journal.clean_stop(within))
    }

    /// Flushes, closes all connections and waits for that at most `within`; and as long for the data
    /// directory to be free, which ends as after a crash unless it was stopped before.
    pub fn shutdown(mut self, within: Duration) {
        let deadline = Instant::now() + within;
        let closed = self.journal.take().map(ReplicaJournal::close);
        self.runtime.block_on(async {
            self.endpoint.flush();
            tokio::task::yield_now().await;
            self.endpoint.shutdown(within).await;
        });
        if let Some(closed) = closed {
            // Whoever opens it too early is told so.
            let _ = closed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The number for [`crate::wakers::wake`].
    pub fn wake_handle(&self) -> u32 {
        self.waker.handle()
    }

    /// The journal; none without one, and once it was stopped.
    pub fn journal(&self) -> Option<&ReplicaJournal> {
        self.journal.as_ref()
    }

    /// How turns went.
    pub fn turns(&self) -> Turns {
        self.turns
    }

    /// What the endpoint counts.
    pub fn statistics(&self) -> Statistics {
        self.endpoint.statistics()
    }
}

fn bind(transport: Config) -> Result<(Runtime, Endpoint), StartError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let endpoint = runtime
        .block_on(async { Endpoint::bind(transport) })
        .map_err(StartError::Transport)?;
    Ok((runtime, endpoint))
}

/// Moves what arrived into the engine. While more records wait than one output holds, nothing is
/// taken, and flow control holds the senders.
fn take_events(endpoint: &Endpoint, engine: &mut Engine, events: &mut Vec<Event>) {
    let is_idle = !endpoint.has_events() && !engine.is_unsettled();
    if engine.backlog() >= OUTPUT_BYTES_MIN || is_idle {
        return;
    }
    endpoint.poll_events(events, POLL_BYTES);
    for event in events.drain(..) {
        engine.on_event(event, endpoint);
    }
    engine.settle(endpoint);
}

fn report_disk(journal: &mut Option<ReplicaJournal>, engine: &mut Engine) {
    if let Some(journal) = journal {
        journal.report(engine);
    }
}

fn pause_clients(endpoint: &Endpoint, engine: &Engine, paused: &mut bool) {
    let pause = engine.pauses_clients(*paused);
    if pause != *paused {
        *paused = pause;
        endpoint.pause_clients(pause);
    }
}

#[cfg(test)]
mod tests;
