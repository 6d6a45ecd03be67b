//! The accepting side of a replica: throttle, handshake, role.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use crate::link::{Link, Party};
use crate::reason::{CloseCode, RefuseReason};
use crate::shared::Shared;
use crate::throttle::Throttle;
use crate::tls::{ALPN_REPLICA, key_of};

/// TLS alerts that answer a verifier's refusal (access_denied, decrypt_error): the verifier has
/// counted it with its exact reason.
const COUNTED_ALERTS: [u64; 2] = [0x100 + 49, 0x100 + 51];

/// Accepts connections until the endpoint closes.
pub(crate) async fn accept(endpoint: quinn::Endpoint, shared: Arc<Shared>) {
    let limits = &shared.limits;
    // A forged source empties only the first of its victim's two buckets; the second is for
    // addresses that answered a Retry.
    let mut claimed = Throttle::new(limits.accept_burst, limits.accept_per_second);
    let mut proven = Throttle::new(limits.accept_burst, limits.accept_per_second);
    while let Some(incoming) = endpoint.accept().await {
        let address: IpAddr = incoming.remote_address().ip().to_canonical();
        let (busy, now) = (shared.handshakes.load(Relaxed), Instant::now());
        let verdict = if busy >= limits.handshakes_max {
            Verdict::Ignore
        } else if incoming.remote_address_validated() {
            if proven.admit(address, now) {
                Verdict::Accept
            } else {
                Verdict::Ignore
            }
        } else if busy < limits.retry_threshold && claimed.admit(address, now) {
            Verdict::Accept
        } else {
            Verdict::Retry
        };
        match verdict {
            Verdict::Accept => {
                let handshake = Handshake::begin(&shared);
                shared.spawn(serve(incoming, handshake));
            }
            // A Retry is smaller than what asked for it, and holds no state.
            Verdict::Retry => {
                let _ = incoming.retry();
            }
            Verdict::Ignore => {
                incoming.ignore();
                shared.ledger.refuse(None, RefuseReason::Throttled);
            }
        }
    }
}

/// What becomes of a connection attempt.
enum Verdict {
    Accept,
    Retry,
    Ignore,
}

/// One of the handshakes in progress, counted as long as it lives.
struct Handshake(Arc<Shared>);

impl Handshake {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.handshakes.fetch_add(1, Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Relaxed);
    }
}

async fn serve(incoming: Incoming, handshake: Handshake) {
    let shared = handshake.0.clone();
    let deadline = shared.limits.handshake_deadline;
    let mut connection = None;
    let establish = async {
        let ready = connection.insert(connect(incoming, &shared).await?);
        let link = identify(ready.clone(), &shared)?;
        link.establish(&shared).await.ok()
    };
    let established = timeout(deadline, establish).await;
    drop(handshake);
    match established {
        Ok(Some(established)) => established.run(shared).await,
        Ok(None) => {}
        Err(_) => {
            let from = connection.as_ref().and_then(proven_key);
            shared.ledger.refuse(from, RefuseReason::HandshakeTimeout);
            if let Some(connection) = connection {
                connection.close(CloseCode::Violation.into(), b"handshakeTimeout");
            }
        }
    }
}

async fn connect(incoming: Incoming, shared: &Shared) -> Option<Connection> {
    let failed = |error: &ConnectionError| {
        if !is_counted(error) {
            shared.ledger.refuse(None, RefuseReason::HandshakeFailed);
        }
    };
    let connecting = incoming.accept().inspect_err(failed).ok()?;
    connecting.await.inspect_err(failed).ok()
}

fn is_counted(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::TransportError(error)
        if COUNTED_ALERTS.contains(&u64::from(error.code)))
}

/// The key that the handshake proved.
pub(crate) fn proven_key(connection: &Connection) -> Option<[u8; 32]> {
    let identity = connection.peer_identity()?;
    key_of(
        identity
            .downcast_ref::<Vec<CertificateDer<'static>>>()?
            .first()?,
    )
}

/// Decides the role: ALPN says what the other side wants to be, its key what it may be.
fn identify(connection: Connection, shared: &Shared) -> Option<Link> {
    let key = proven_key(&connection)?;
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    let as_replica = protocol.as_deref() == Some(ALPN_REPLICA);
    let member = shared
        .hub()
        .peers
        .iter()
        .find(|(_, slot)| slot.key == key)
        .map(|(id, _)| *id);
    let party = match (as_replica, member) {
        (true, Some(id)) => Some(Party::Member(id)),
        (true, None) => None,
        (false, _) => shared
            .admission
            .admits_client(&key)
            .then_some(Party::Client),
    };
    let Some(party) = party else {
        shared.refuse(&connection, key, RefuseReason::WrongRole, "wrongRole");
        return None;
    };
    if party == Party::Client && shared.barred.is_barred(&key, Instant::now()) {
        shared.refuse(&connection, key, RefuseReason::Barred, "barred");
        return None;
    }
    Some(Link {
        connection,
        key,
        party,
        dialled: false,
        between_members: as_replica,
    })
}
