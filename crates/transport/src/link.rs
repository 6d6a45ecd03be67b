//! The life of one connection: HELLO both ways, admission, lanes until the end.

use std::collections::HashSet;
use std::sync::Arc;

use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;

use crate::config::Role;
use crate::frame::{self, FrameCutter, READ_BYTES_MAX};
use crate::hello::{HELLO_KIND, HELLO_LENGTH_MAX, Hello};
use crate::hub::Admitted;
use crate::lane::Lane;
use crate::lanes::{LaneReader, LaneWriter};
use crate::reason::{CloseCode, DownReason, RefuseReason, printable};
use crate::session::{Origin, Session};
use crate::shared::{Shared, close_replaced};

/// Whom a connection leads to, as its key and ALPN say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// A member, on either side of a dial.
    Member(u8),
    /// A client that dialled this replica.
    Client,
}

/// A connection after its TLS handshake.
pub(crate) struct Link {
    pub(crate) connection: quinn::Connection,
    pub(crate) key: [u8; 32],
    pub(crate) party: Party,
    pub(crate) dialled: bool,
    /// Whether both sides are replicas: only they have all lanes.
    pub(crate) between_members: bool,
}

/// Why a link did not become a session, for the dialler's statistics.
pub(crate) type LinkFailure = String;

/// The lanes of a connection that the other side has opened so far.
struct Opened {
    lanes: HashSet<Lane>,
    waiting: Vec<(Lane, RecvStream)>,
}

impl Link {
    /// Exchanges HELLO and asks for admission. Everything before the session exists is bounded
    /// by the caller's deadline.
    pub(crate) async fn establish(self, shared: &Arc<Shared>) -> Result<Established, LinkFailure> {
        let connection = self.connection.clone();
        match self.exchange(shared).await {
            Ok((hello, established)) => self.admit(shared, &hello, established),
            Err(Failure::Refuse(reason)) => {
                shared.refuse(&connection, self.key, reason.clone(), &reason.text());
                Err(reason.text())
            }
            Err(Failure::Lost(error)) => Err(self.lost(shared, &error)),
        }
    }

    async fn exchange(&self, shared: &Arc<Shared>) -> Result<(Hello, Streams), Failure> {
        if matches!(self.party, Party::Member(_)) {
            // The windows of the accepting side were a client's until now.
            self.connection
                .set_receive_window(VarInt::from_u32(shared.limits.connection_window));
            self.connection
                .set_send_window(u64::from(shared.limits.send_window));
        }
        let mut control_out = self.connection.open_uni().await?;
        control_out
            .set_priority(Lane::Control.priority())
            .map_err(|_| self.failure(None))?;
        let mut greeting = bytes::BytesMut::new();
        greeting.extend_from_slice(&[Lane::Control as u8]);
        let payload = &shared.hello_payload;
        frame::append(&mut greeting, HELLO_KIND, &[payload], payload.len());
        control_out
            .write_chunk(greeting.freeze())
            .await
            .map_err(|_| self.failure(None))?;

        let mut opened = Opened {
            lanes: HashSet::new(),
            waiting: Vec::new(),
        };
        let mut control_in = loop {
            let (lane, stream) = self.next_lane(&mut opened).await?;
            if lane == Lane::Control {
                break stream;
            }
            opened.waiting.push((lane, stream));
        };
        let mut cutter = FrameCutter::default();
        let hello = loop {
            if let Some(frame) = cutter.next(HELLO_LENGTH_MAX).map_err(Failure::Refuse)? {
                if frame.kind != HELLO_KIND {
                    return Err(Failure::Refuse(RefuseReason::BadHello));
                }
                break Hello::decode(&frame.payload).map_err(Failure::Refuse)?;
            }
            match control_in.read_chunk(READ_BYTES_MAX, true).await {
                Ok(Some(chunk)) => cutter.push(&chunk.bytes),
                Ok(None) => return Err(Failure::Refuse(RefuseReason::BadHello)),
                Err(_) => return Err(self.failure(None)),
            }
        };
        Ok((
            hello,
            Streams {
                control_out,
                control_in,
                cutter,
                opened,
            },
        ))
    }

    /// The next stream of the other side, by its first byte.
    async fn next_lane(&self, opened: &mut Opened) -> Result<(Lane, RecvStream), Failure> {
        let mut stream = self.connection.accept_uni().await?;
        let mut first = [0];
        stream
            .read_exact(&mut first)
            .await
            .map_err(|_| self.failure(None))?;
        let lane = Lane::from_byte(first[0])
            .filter(|lane| self.between_members || lane.serves_clients())
            .ok_or(Failure::Refuse(RefuseReason::UnknownLane))?;
        if !opened.lanes.insert(lane) {
            return Err(Failure::Refuse(RefuseReason::DuplicateLane));
        }
        Ok((lane, stream))
    }

    /// The failure behind the end of a lane: the connection's end, or the lane's alone, which is
    /// a violation of the given kind.
    fn failure(&self, reason: Option<RefuseReason>) -> Failure {
        match self.connection.close_reason() {
            Some(error) => Failure::Lost(error),
            None => Failure::Refuse(reason.unwrap_or(RefuseReason::LaneEnded)),
        }
    }

    /// What a connection says that ended before its HELLO was accepted. The side that compared
    /// first closed it; its text tells this side, too, which field differs.
    fn lost(&self, shared: &Shared, error: &ConnectionError) -> LinkFailure {
        if let ConnectionError::ApplicationClosed(close) = error {
            let text = printable(&close.reason);
            if close.error_code == CloseCode::Hello.into()
                && let Some(field) = Hello::named_difference(&text)
            {
                shared
                    .ledger
                    .refuse(Some(self.key), RefuseReason::HelloMismatch(field));
            }
            return text;
        }
        printable(error.to_string().as_bytes())
    }

    fn admit(
        self,
        shared: &Arc<Shared>,
        hello: &Hello,
        streams: Streams,
    ) -> Result<Established, LinkFailure> {
        if let Err(reason) = shared.hello.compare(hello, self.party == Party::Client) {
            let text = match &reason {
                RefuseReason::HelloMismatch(field) => shared.hello.difference(field, hello),
                other => other.text(),
            };
            shared.refuse(&self.connection, self.key, reason, &text);
            return Err(text);
        }
        let origin = Origin {
            connection: self.connection.clone(),
            address: self.connection.remote_address(),
            key: self.key,
            dialled_here: self.dialled,
            dialled_by_lower: self.is_dialled_by_lower(shared),
            between_members: self.between_members,
        };
        let admitted = match self.party {
            Party::Client => shared.hub().admit_client(&shared.limits, origin),
            Party::Member(peer) => {
                let admitted = shared.hub().admit_peer(peer, origin);
                match admitted {
                    Admitted::Stays(session, old) => {
                        if let Some(old) = old {
                            close_replaced(&old.origin.connection);
                        }
                        Ok(session)
                    }
                    Admitted::Replaced => {
                        close_replaced(&self.connection);
                        return Err("replaced".to_owned());
                    }
                    Admitted::Busy => Err(RefuseReason::Busy),
                }
            }
        };
        match admitted {
            Ok(session) => {
                shared.ledger.bell.notify_one();
                Ok(Established {
                    link: self,
                    session,
                    streams,
                })
            }
            Err(reason) => {
                let text = reason.text();
                shared.refuse(&self.connection, self.key, reason, &text);
                Err(text)
            }
        }
    }

    fn is_dialled_by_lower(&self, shared: &Shared) -> bool {
        match (shared.role, self.party) {
            (Role::Replica { id }, Party::Member(peer)) => (id < peer) == self.dialled,
            _ => true,
        }
    }
}

/// The streams of a connection after HELLO.
struct Streams {
    control_out: SendStream,
    control_in: RecvStream,
    cutter: FrameCutter,
    opened: Opened,
}

/// A session with its streams, to be run.
pub(crate) struct Established {
    link: Link,
    session: Arc<Session>,
    streams: Streams,
}

/// Why a connection ends from inside.
enum Failure {
    Refuse(RefuseReason),
    Lost(ConnectionError),
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error)
    }
}

impl Established {
    /// Runs the lanes until the connection ends.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let Established {
            link,
            session,
            streams,
        } = self;
        let Streams {
            control_out,
            control_in,
            cutter,
            mut opened,
        } = streams;
        let mut writers = JoinSet::new();
        let mut control_out = Some(control_out);
        for lane in Lane::ALL.into_iter().filter(|&lane| session.has_lane(lane)) {
            let stream = if lane == Lane::Control {
                control_out.take()
            } else {
                None
            };
            writers.spawn(LaneWriter::new(&session, lane, stream).run());
        }
        let mut readers = JoinSet::new();
        let read = |lane, stream, cutter| LaneReader::new(&shared, &session, lane, stream, cutter);
        readers.spawn(read(Lane::Control, control_in, cutter).run());
        for (lane, stream) in std::mem::take(&mut opened.waiting) {
            readers.spawn(read(lane, stream, FrameCutter::default()).run());
        }
        // Every other branch leaves the loop, so a stream that was accepted is never lost with
        // the future that reads its first byte.
        let failure = loop {
            tokio::select! {
                error = link.connection.closed() => break Failure::Lost(error),
                Some(ended) = readers.join_next() => break link.failure(ended.ok()),
                Some(ended) = writers.join_next() => break link.failure(ended.ok()),
                next = link.next_lane(&mut opened) => match next {
                    Ok((lane, stream)) => {
                        readers.spawn(read(lane, stream, FrameCutter::default()).run());
                    }
                    Err(failure) => break failure,
                },
            }
        };
        let reason = match failure {
            Failure::Lost(error) => DownReason::from(&error),
            Failure::Refuse(reason) => {
                shared.refuse(&link.connection, link.key, reason.clone(), &reason.text());
                DownReason::Violation(reason)
            }
        };
        // A vote that arrived before the end counts: readers take what QUIC holds, within the
        // inbound bounds, and stop by themselves on a connection that is over.
        session.end();
        writers.abort_all();
        while readers.join_next().await.is_some() {}
        shared.retire(&session, reason);
    }
}

/// Notes a failed dial for the statistics; one that lost against a connection of the same pair
/// did not fail.
pub(crate) fn note_dial_failure(shared: &Shared, peer: u8, failure: LinkFailure) {
    if let Some(slot) = shared.hub().peers.get_mut(&peer)
        && slot.session.is_none()
    {
        slot.dial_failures += 1;
        slot.last_error = Some(failure);
    }
}
