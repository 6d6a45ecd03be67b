//! The two ends of a lane's streams.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};

use crate::frame::{Frame, FrameCutter, READ_BYTES_MAX};
use crate::hello::HELLO_KIND;
use crate::lane::Lane;
use crate::ledger::lock;
use crate::reason::RefuseReason;
use crate::session::Session;
use crate::shared::Shared;

/// Bytes handed to QUIC at once. A piece is released when all of it is acknowledged, so small
/// pieces keep a long transfer's share of the send window close to what is really in flight.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Writes a lane's queue to its stream, one packed batch per wake.
pub(crate) struct LaneWriter {
    session: Arc<Session>,
    lane: Lane,
    stream: Option<SendStream>,
}

impl LaneWriter {
    /// A writer; the stream is opened with the first frame unless it is given.
    pub(crate) fn new(session: &Arc<Session>, lane: Lane, stream: Option<SendStream>) -> Self {
        Self {
            session: session.clone(),
            lane,
            stream,
        }
    }

    /// Runs until the stream fails.
    pub(crate) async fn run(mut self) -> RefuseReason {
        loop {
            self.session.wake[self.lane.index()].notified().await;
            while let Some(batch) = self.session.take(self.lane) {
                let length = batch.bytes.len() as u64;
                if !self.write(batch.bytes).await {
                    return RefuseReason::LaneEnded;
                }
                let mut traffic = lock(&self.session.traffic);
                traffic.frames_out[self.lane.index()] += batch.frames;
                traffic.bytes_out[self.lane.index()] += length;
            }
        }
    }

    async fn write(&mut self, mut bytes: Bytes) -> bool {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            closed => {
                let Ok(mut stream) = self.session.origin.connection.open_uni().await else {
                    return false;
                };
                let lane = Bytes::copy_from_slice(&[self.lane as u8]);
                if stream.set_priority(self.lane.priority()).is_err()
                    || stream.write_chunk(lane).await.is_err()
                {
                    return false;
                }
                closed.insert(stream)
            }
        };
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(WRITE_BYTES_MAX));
            if stream.write_chunk(piece).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Reads a lane's stream into the inbox, as far as the inbound bounds allow.
pub(crate) struct LaneReader {
    shared: Arc<Shared>,
    session: Arc<Session>,
    lane: Lane,
    stream: RecvStream,
    cutter: FrameCutter,
    frames: Vec<Frame>,
}

impl LaneReader {
    /// A reader; `cutter` may hold bytes that arrived behind HELLO.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        lane: Lane,
        stream: RecvStream,
        cutter: FrameCutter,
    ) -> Self {
        Self {
            shared: shared.clone(),
            session: session.clone(),
            lane,
            stream,
            cutter,
            frames: Vec::new(),
        }
    }

    /// Runs until the stream ends, which is a violation while the connection lives.
    pub(crate) async fn run(mut self) -> RefuseReason {
        loop {
            if let Err(reason) = self.cut() {
                return reason;
            }
            if !self.room().await {
                return RefuseReason::LaneEnded;
            }
            match self.stream.read_chunk(READ_BYTES_MAX, true).await {
                Ok(Some(chunk)) => self.cutter.push(&chunk.bytes),
                Ok(None) | Err(_) if self.cutter.is_partial() => {
                    return RefuseReason::PartialFrame;
                }
                Ok(None) | Err(_) => return RefuseReason::LaneEnded,
            }
        }
    }

    /// Hands up all whole frames, those before a violation too.
    fn cut(&mut self) -> Result<(), RefuseReason> {
        let length_max = self.shared.limits.frame_bytes_max[self.lane.index()];
        let mut bytes = 0;
        let end = loop {
            match self.cutter.next(length_max) {
                Ok(Some(frame)) if frame.kind == HELLO_KIND => break Err(RefuseReason::BadHello),
                Ok(Some(frame)) => {
                    bytes += frame.wire_bytes();
                    self.frames.push(frame);
                }
                Ok(None) => break Ok(()),
                Err(reason) => break Err(reason),
            }
        };
        if !self.frames.is_empty() {
            let mut traffic = lock(&self.session.traffic);
            traffic.frames_in[self.lane.index()] += self.frames.len() as u64;
            traffic.bytes_in[self.lane.index()] += bytes;
            drop(traffic);
            self.shared
                .deposit(&self.session, self.lane, &mut self.frames);
        }
        end
    }

    /// Waits until the lane may be read; `false` if it has no room and the connection is over.
    /// The wait is registered before the bounds are looked at, so that no poll is missed.
    async fn room(&self) -> bool {
        loop {
            let mut rung = std::pin::pin!(self.session.readable(self.lane).notified());
            rung.as_mut().enable();
            if self.session.may_read(&self.shared.limits, self.lane) {
                return true;
            }
            if self.session.has_ended() {
                return false;
            }
            rung.await;
        }
    }
}
