//! A transport for programs that are not a replica's reactor.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Env, Function, Result, Status, Task, Uint8Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use tokio::sync::Notify;

use super::config::{NativeConfig, start_failure};
use super::failure;
use super::statistics::{NativeStatistics, of_endpoint};
use crate::transport_thread::{Joiner, Sink, TransportThread};

/// Weak: it does not keep the process alive. One place in its queue: at most one call is
/// outstanding.
type Callback = ThreadsafeFunction<Uint8Array, (), Uint8Array, Status, false, true, 1>;

struct JavaScriptSink {
    callback: Callback,
    delivered: Arc<Notify>,
}

impl Sink for JavaScriptSink {
    async fn deliver(&mut self, events: Vec<u8>) -> Option<()> {
        let delivered = Arc::clone(&self.delivered);
        let status = self.callback.call_with_return_value(
            events.into(),
            ThreadsafeFunctionCallMode::NonBlocking,
            move |outcome, _| {
                delivered.notify_one();
                // What the listener throws is its own: it reaches the uncaught handler.
                outcome
            },
        );
        if status != Status::Ok {
            return None;
        }
        self.delivered.notified().await;
        Some(())
    }
}

/// An endpoint on a native thread of its own.
#[napi]
pub struct NativeTransport {
    thread: Option<TransportThread>,
    joiner: Arc<Joiner>,
    local_port: u16,
}

#[napi]
impl NativeTransport {
    /// Binds the endpoint and begins to dial. `on_events` gets everything that arrived since its
    /// last call in one buffer and does not keep the process alive.
    #[napi(constructor, catch_unwind)]
    pub fn new(config: NativeConfig, on_events: Function<'_, Uint8Array, ()>) -> Result<Self> {
        let callback = on_events
            .build_threadsafe_function::<Uint8Array>()
            .weak::<true>()
            .callee_handled::<false>()
            .max_queue_size::<1>()
            .build()?;
        let sink = JavaScriptSink {
            callback,
            delivered: Arc::new(Notify::new()),
        };
        let listens = config.listen_host.is_some();
        let thread = TransportThread::start(config.transport()?, sink)
            .map_err(|error| start_failure(&error))?;
        let local_port = if listens {
            thread.endpoint().local_address().port()
        } else {
            0
        };
        Ok(Self {
            joiner: Arc::new(thread.joiner()),
            thread: Some(thread),
            local_port,
        })
    }

    /// Sends records `u32 to | u8 lane | u8 type | u32 length | payload`; nothing is signed.
    #[napi(catch_unwind)]
    pub fn send(&self, records: &[u8]) -> Result<()> {
        self.open()?.send(records).map_err(|error| {
            failure(
                "INVALID_ARGUMENT",
                format!("a record is malformed: {}", error.name()),
            )
        })
    }

    /// The UDP port; 0 when not listening.
    #[napi(getter)]
    pub fn local_port(&self) -> u16 {
        self.local_port
    }

    /// Where a replica is reached from now on.
    #[napi(catch_unwind)]
    pub fn set_member_address(&self, replica: u32, address: String) -> Result<()> {
        let replica =
            u8::try_from(replica).map_err(|_| failure("INVALID_ARGUMENT", "no such replica"))?;
        self.open()?.endpoint().set_member_address(replica, address);
        Ok(())
    }

    /// All counters.
    #[napi(catch_unwind)]
    pub fn statistics(&self) -> Result<NativeStatistics> {
        Ok(of_endpoint(self.open()?.endpoint().statistics()))
    }

    /// Closes all connections; resolves when the thread has ended.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close(&mut self) -> AsyncTask<Close> {
        if let Some(thread) = self.thread.take() {
            thread.stop();
        }
        AsyncTask::new(Close {
            joiner: Arc::clone(&self.joiner),
        })
    }
}

impl NativeTransport {
    fn open(&self) -> Result<&TransportThread> {
        self.thread
            .as_ref()
            .ok_or_else(|| failure("CLOSED", "the transport was closed"))
    }
}

/// Waits for the end of a transport's thread beside the event loop.
pub struct Close {
    joiner: Arc<Joiner>,
}

impl Task for Close {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        self.joiner.join();
        Ok(())
    }

    fn resolve(&mut self, _env: Env, (): ()) -> Result<()> {
        Ok(())
    }
}
