//! What the tasks of an endpoint share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::barred::Barred;
use crate::config::Role;
use crate::frame::Frame;
use crate::hello::Hello;
use crate::hub::Hub;
use crate::lane::Lane;
use crate::ledger::{Ledger, lock};
use crate::limits::Limits;
use crate::reason::{CloseCode, DownReason, RefuseReason};
use crate::session::Session;
use crate::tls::Admission;

/// The state behind an endpoint. The hub's lock is taken before a session's, the ledger's last,
/// and none of them while quinn is called.
pub(crate) struct Shared {
    pub(crate) role: Role,
    pub(crate) own_key: [u8; 32],
    pub(crate) hello: Hello,
    pub(crate) hello_payload: Bytes,
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    pub(crate) barred: Arc<Barred>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) hub: Mutex<Hub>,
    pub(crate) dial_configs: HashMap<u8, quinn::ClientConfig>,
    /// Handshakes in progress that others started.
    pub(crate) handshakes: AtomicUsize,
    /// `None` once the endpoint is shut down: nothing is spawned any more.
    pub(crate) tasks: Mutex<Option<JoinSet<()>>>,
}

impl Shared {
    /// The table of connections.
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        lock(&self.hub)
    }

    /// Runs a task until it ends or the endpoint shuts down.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.tasks).as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Hands frames to the poller.
    pub(crate) fn deposit(&self, session: &Arc<Session>, lane: Lane, frames: &mut Vec<Frame>) {
        if !frames.is_empty() {
            self.hub().deposit(session, lane, frames);
            self.ledger.bell.notify_one();
        }
    }

    /// Ends a session and tells the poller.
    pub(crate) fn retire(&self, session: &Arc<Session>, reason: DownReason) {
        self.hub().retire(session, reason);
        self.ledger.bell.notify_one();
    }

    /// Counts a refusal and closes the connection with its reason.
    pub(crate) fn refuse(
        &self,
        connection: &quinn::Connection,
        key: [u8; 32],
        reason: RefuseReason,
        text: &str,
    ) {
        connection.close(reason.code().into(), text.as_bytes());
        self.ledger.refuse(Some(key), reason);
    }
}

/// Closes a connection whose place another one took.
pub(crate) fn close_replaced(connection: &quinn::Connection) {
    connection.close(CloseCode::Replaced.into(), b"replaced");
}
