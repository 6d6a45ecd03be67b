//! The dialling side: one task per member keeps a connection to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::Role;
use crate::link::{Established, Link, LinkFailure, Party, note_dial_failure};
use crate::reason::CloseCode;
use crate::shared::Shared;
use crate::tls::SERVER_NAME;

/// A dial may take so many times the current backoff, at least [`DIAL_TIME_MIN`] and at most the
/// handshake deadline: early in a cluster's life a packet to a process that does not listen yet
/// should not hold the dialler for the whole deadline.
const DIAL_BACKOFFS: u32 = 20;
/// Least time of a dial: several round trips of any real network.
const DIAL_TIME_MIN: Duration = Duration::from_secs(1);

/// Keeps dialling one member as long as no connection to it is up.
pub(crate) struct Dialler {
    endpoint: quinn::Endpoint,
    shared: Arc<Shared>,
    peer: u8,
    key: [u8; 32],
    down: Arc<Notify>,
    moved: Arc<Notify>,
    backoff: Duration,
    jitter: Jitter,
}

impl Dialler {
    /// A dialler of `peer`, to be run as a task.
    pub(crate) fn new(endpoint: quinn::Endpoint, shared: Arc<Shared>, peer: u8) -> Option<Self> {
        let (key, down, moved) = {
            let hub = shared.hub();
            let slot = hub.peers.get(&peer)?;
            (slot.key, slot.down.clone(), slot.moved.clone())
        };
        let jitter = Jitter::new(&shared.own_key, peer);
        Some(Self {
            endpoint,
            peer,
            key,
            down,
            moved,
            backoff: shared.limits.backoff_min,
            jitter,
            shared,
        })
    }

    /// Runs until the endpoint shuts down.
    pub(crate) async fn run(mut self) {
        // The higher id lets the lower id's dial win, so that most pairs connect once.
        self.give_way().await;
        loop {
            let Some(address) = self.wanted() else {
                let since = Instant::now();
                tokio::select! {
                    () = self.down.notified() => {}
                    () = self.moved.notified() => {}
                }
                self.calm(since);
                self.give_way().await;
                continue;
            };
            let limit = (self.backoff * DIAL_BACKOFFS)
                .clamp(DIAL_TIME_MIN.min(self.deadline()), self.deadline());
            let outcome = timeout(limit, self.dial(&address)).await;
            match outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(established) => {
                    let since = Instant::now();
                    established.run(self.shared.clone()).await;
                    self.calm(since);
                }
                Err(failure) => note_dial_failure(&self.shared, self.peer, failure),
            }
            self.back_off().await;
        }
    }

    /// A long quiet time is a fresh start; a connection that flaps is not.
    fn calm(&mut self, since: Instant) {
        if since.elapsed() >= self.shared.limits.backoff_max {
            self.backoff = self.shared.limits.backoff_min;
        }
    }

    /// Waits one first step if the other side's dial should win.
    async fn give_way(&mut self) {
        if matches!(self.shared.role, Role::Replica { id } if id > self.peer) {
            tokio::time::sleep(self.jitter.spread(self.shared.limits.backoff_min)).await;
        }
    }

    /// Waits the backoff with jitter and doubles it. A new address cuts it short.
    async fn back_off(&mut self) {
        let wait = self.jitter.spread(self.backoff);
        self.backoff = (self.backoff * 2).min(self.shared.limits.backoff_max);
        let _ = timeout(wait, self.moved.notified()).await;
    }

    fn deadline(&self) -> Duration {
        self.shared.limits.handshake_deadline
    }

    /// The address to dial, if a connection is wanted now.
    fn wanted(&self) -> Option<String> {
        let hub = self.shared.hub();
        let slot = hub.peers.get(&self.peer)?;
        (slot.session.is_none() && !slot.address.is_empty()).then(|| slot.address.clone())
    }

    async fn dial(&self, address: &str) -> Result<Established, LinkFailure> {
        let mut failure = "the name has no address".to_owned();
        let addresses = lookup_host(address)
            .await
            .map_err(|error| format!("{address}: {error}"))?;
        for target in addresses {
            let config = self.shared.dial_configs.get(&self.peer).cloned();
            let config = config.ok_or("the member is unknown")?;
            match self.endpoint.connect_with(config, target, SERVER_NAME) {
                Ok(connecting) => match connecting.await {
                    Ok(connection) => {
                        let mut guard = CloseUnless(Some(connection.clone()));
                        let established = self.link(connection).establish(&self.shared).await;
                        guard.0 = None;
                        return established;
                    }
                    Err(error) => failure = format!("{target}: {error}"),
                },
                Err(error) => failure = format!("{target}: {error}"),
            }
        }
        Err(failure)
    }

    fn link(&self, connection: quinn::Connection) -> Link {
        Link {
            connection,
            key: self.key,
            party: Party::Member(self.peer),
            dialled: true,
            between_members: self.shared.role != Role::Client,
        }
    }
}

/// Closes a connection whose dial is given up, so that the other side need not wait for silence.
struct CloseUnless(Option<quinn::Connection>);

impl Drop for CloseUnless {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(CloseCode::Violation.into(), b"handshakeTimeout");
        }
    }
}

/// Spreads waiting times so that peers that lost each other at once do not dial in step. It needs
/// no secrecy, only that two endpoints differ.
struct Jitter(u64);

impl Jitter {
    fn new(own_key: &[u8; 32], peer: u8) -> Self {
        let seed = own_key.iter().fold(u64::from(peer), |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(seed | 1)
    }

    /// A time between the whole and half as much again.
    fn spread(&mut self, time: Duration) -> Duration {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        time + time.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64 / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_one_and_one_and_a_half_times_and_differs_between_endpoints() {
        let step = Duration::from_millis(50);
        let mut one = Jitter::new(&[1; 32], 0);
        let mut two = Jitter::new(&[2; 32], 0);
        let spread: Vec<_> = (0..100)
            .map(|_| (one.spread(step), two.spread(step)))
            .collect();
        assert!(spread.iter().all(|(a, b)| {
            (step..=step * 3 / 2).contains(a) && (step..=step * 3 / 2).contains(b)
        }));
        assert!(spread.iter().any(|(a, b)| a != b));
    }
}
