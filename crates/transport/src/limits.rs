//! Bounds and times of an endpoint. QUIC libraries leave most of these open; here each has a
//! value and a reason.

use std::time::Duration;

use crate::config::TransportError;
use crate::frame::{FRAME_OVERHEAD, HEADER_BYTES};
use crate::lane::{LANES, Lane};

/// Largest UDP payload that ten segments of one offloaded send (quinn's maximum) fit into the
/// 65,535 bytes of a datagram; above it the kernel refuses the send and quinn drops it silently.
pub const MTU_CEILING: u16 = 6_500;
/// Smallest UDP payload that QUIC allows (RFC 9000 §14).
pub const MTU_FLOOR: u16 = 1_200;
/// Ceiling of any byte bound, so that sums of them cannot overflow.
const BYTES_CEILING: usize = 1 << 30;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bounds and times. Arrays are indexed by [`crate::Lane::index`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest length field of a frame per lane (type byte and payload). Default: votes 256 B (a
    /// vote is below 200), control 2 MiB (a VIEW-CHANGE of a full window at n = 31 is 1.1 MB),
    /// client 1 MiB, bulk 4 MiB.
    pub frame_bytes_max: [u32; LANES],
    /// Bytes queued per (peer, lane) and not yet handed to QUIC. A full queue is dropped whole:
    /// the protocol rebuilds it from STATUS. Default: 0.5, 4, 8, 8 MiB: what some turns of a
    /// full window send, and two of the largest frames.
    pub outbound_bytes: [usize; LANES],
    /// The same per client and lane. Default 1 MiB and a frame header: one largest reply.
    pub outbound_bytes_per_client: usize,
    /// The same for all clients together. Default 64 MiB.
    pub outbound_bytes_all_clients: usize,
    /// Bytes per (peer, lane) that arrived and were not polled, each frame counting 64 bytes more
    /// than its payload. At the bound that lane of that peer is no longer read and its flow
    /// control holds the sender; one read of 16 KiB or one frame may exceed it. Default: 0.5, 2,
    /// 4, 4 MiB: what arrives while one long turn runs.
    pub inbound_bytes: [usize; LANES],
    /// The same per client. Default 256 KiB: many clients, each with little at once.
    pub inbound_bytes_per_client: usize,
    /// The same for all clients together. Default 32 MiB.
    pub inbound_bytes_all_clients: usize,
    /// Unidirectional streams that the other side may open: one per lane.
    pub streams: u32,
    /// Receive window of one stream. It also bounds what one lane has in flight, so bulk cannot
    /// fill the path before a vote. Default 1 MiB (10 MB/s over 100 ms).
    pub stream_window: u32,
    /// Receive window of a connection between replicas; at least `streams × stream_window`, so
    /// that an unread lane never eats the credit of another. Default 4 MiB.
    pub connection_window: u32,
    /// Receive window of a connection with a client, and of any connection before its key is
    /// proven. Default 1 MiB.
    pub client_connection_window: u32,
    /// Bytes handed to QUIC and not acknowledged, per connection between replicas; at least
    /// `streams × stream_window`, because this budget is shared by the lanes and bulk must not
    /// take the votes' part. Default 4 MiB.
    pub send_window: u32,
    /// Connection attempts that wait to be looked at. Default 64 (quinn: 65,536).
    pub incoming_max: usize,
    /// Bytes buffered for all of them. Default 4 MiB (quinn: 100 MiB).
    pub incoming_bytes: u64,
    /// Handshakes in progress that others started. Default 64.
    pub handshakes_max: usize,
    /// Above so many handshakes in progress a source address must first prove itself by a Retry
    /// (RFC 9000 §8.1.2). Default 16.
    pub retry_threshold: usize,
    /// Connection attempts that one source IP may make in a burst. Default 200: a cluster and
    /// its clients may share one address.
    pub accept_burst: u32,
    /// Connection attempts per second of one source IP after the burst. Default 100, at about
    /// 0.5 ms each 5 % of a core.
    pub accept_per_second: u32,
    /// Connections of clients in all. Default 256.
    pub clients_max: usize,
    /// Connections of clients with the same key. Default 8.
    pub clients_per_key: usize,
    /// Silence after which a connection is lost. Default 10 s.
    pub idle_timeout: Duration,
    /// Silence after which a keep-alive is sent. Default 3 s: three chances before the timeout.
    pub keep_alive: Duration,
    /// Time for the handshake and HELLO together. Default 5 s.
    pub handshake_deadline: Duration,
    /// First pause between dials. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest pause between dials. Default 5 s.
    pub backoff_max: Duration,
    /// Round trip time assumed before the first sample. Default 5 ms; quinn's 333 ms makes the
    /// loss of a first packet cost a second.
    pub initial_rtt: Duration,
    /// Largest UDP payload that path MTU discovery may find, 1,200 to 6,500. Default 1,452
    /// (Ethernet); raise it on loopback and jumbo networks.
    pub mtu_max: u16,
    /// Kernel buffers asked for, each way (best effort, the system caps it). Default 4 MiB.
    pub socket_buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: [256, 2 << 20, 1 << 20, 4 << 20],
            outbound_bytes: [MIB / 2, 4 * MIB, 8 * MIB, 8 * MIB],
            outbound_bytes_per_client: MIB + HEADER_BYTES,
            outbound_bytes_all_clients: 64 * MIB,
            inbound_bytes: [MIB / 2, 2 * MIB, 4 * MIB, 4 * MIB],
            inbound_bytes_per_client: 256 * KIB,
            inbound_bytes_all_clients: 32 * MIB,
            streams: LANES as u32,
            stream_window: MIB as u32,
            connection_window: 4 * MIB as u32,
            client_connection_window: MIB as u32,
            send_window: 4 * MIB as u32,
            incoming_max: 64,
            incoming_bytes: 4 * MIB as u64,
            handshakes_max: 64,
            retry_threshold: 16,
            accept_burst: 200,
            accept_per_second: 100,
            clients_max: 256,
            clients_per_key: 8,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            handshake_deadline: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            initial_rtt: Duration::from_millis(5),
            mtu_max: 1_452,
            socket_buffer_bytes: 4 * MIB,
        }
    }
}

impl Limits {
    /// The most memory that one member can make this endpoint hold, in bytes: what QUIC holds of
    /// both directions, and per lane what waits inbound (the bound, one read beyond it, one frame
    /// in assembly and one delivered beyond it) and outbound (a queue, and the one before it that
    /// is being handed to QUIC).
    pub fn memory_per_peer(&self) -> usize {
        let quic = self.connection_window as usize + self.send_window as usize;
        (0..LANES).fold(quic, |sum, lane| {
            let frames = 2 * (self.frame_bytes_max[lane] as usize + HEADER_BYTES);
            let inbound = self.inbound_bytes[lane] + READ_EXCESS + frames;
            sum + inbound + 2 * self.outbound_bytes[lane]
        })
    }

    /// The most memory that all clients together can make this endpoint hold, in bytes.
    pub fn memory_all_clients(&self) -> usize {
        let windows = 2 * self.client_connection_window as usize;
        let lanes = [Lane::Control, Lane::Client].map(|lane| {
            READ_EXCESS + 2 * (self.frame_bytes_max[lane.index()] as usize + HEADER_BYTES)
        });
        let each = windows + lanes.iter().sum::<usize>() + 2 * self.outbound_bytes_per_client;
        self.clients_max * each + self.inbound_bytes_all_clients
    }

    /// Checks every bound; the first that is out of its range is named.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        let require = |holds: bool, field: &str, problem: &str| {
            if holds {
                Ok(())
            } else {
                Err(TransportError::config(format!("limits.{field}"), problem))
            }
        };
        let lanes = u64::from(self.streams) * u64::from(self.stream_window);
        let fits = |bytes: usize| (1..=BYTES_CEILING).contains(&bytes);
        for lane in 0..LANES {
            let frame = self.frame_bytes_max[lane] as usize;
            require(fits(frame), "frame_bytes_max", "1 byte to 1 GiB")?;
            let queue = self.outbound_bytes[lane];
            require(
                fits(queue) && queue >= frame + HEADER_BYTES,
                "outbound_bytes",
                "at least the lane's largest frame and its header, at most 1 GiB",
            )?;
            require(
                fits(self.inbound_bytes[lane]),
                "inbound_bytes",
                "1 byte to 1 GiB",
            )?;
        }
        require(
            self.streams == LANES as u32,
            "streams",
            "exactly one per lane, 4",
        )?;
        require(
            self.stream_window >= 16 * KIB as u32,
            "stream_window",
            "at least 16 KiB",
        )?;
        require(
            u64::from(self.connection_window) >= lanes && fits(self.connection_window as usize),
            "connection_window",
            "at least streams × stream_window, at most 1 GiB",
        )?;
        require(
            u64::from(self.send_window) >= lanes && fits(self.send_window as usize),
            "send_window",
            "at least streams × stream_window, at most 1 GiB",
        )?;
        require(
            self.client_connection_window >= 16 * KIB as u32
                && self.client_connection_window <= self.connection_window,
            "client_connection_window",
            "16 KiB to connection_window",
        )?;
        require(
            self.incoming_max >= 1 && self.handshakes_max >= 1,
            "handshakes_max",
            "incoming_max and handshakes_max are at least 1",
        )?;
        require(
            self.accept_burst >= 1 && self.accept_per_second >= 1,
            "accept_burst",
            "accept_burst and accept_per_second are at least 1",
        )?;
        require(
            (MTU_FLOOR..=MTU_CEILING).contains(&self.mtu_max),
            "mtu_max",
            "1,200 to 6,500",
        )?;
        self.check_times()
    }

    fn check_times(&self) -> Result<(), TransportError> {
        let hour = Duration::from_secs(3600);
        let times = [
            ("idle_timeout", self.idle_timeout),
            ("keep_alive", self.keep_alive),
            ("handshake_deadline", self.handshake_deadline),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
            ("initial_rtt", self.initial_rtt),
        ];
        for (field, time) in times {
            if time < Duration::from_millis(1) || time > hour {
                return Err(TransportError::config(
                    format!("limits.{field}"),
                    "1 ms to 1 h",
                ));
            }
        }
        if self.keep_alive >= self.idle_timeout {
            return Err(TransportError::config(
                "limits.keep_alive",
                "below idle_timeout",
            ));
        }
        if self.backoff_min > self.backoff_max {
            return Err(TransportError::config(
                "limits.backoff_min",
                "at most backoff_max",
            ));
        }
        Ok(())
    }
}

/// One read is at most 16 KiB; made of empty frames of five bytes it counts most.
const READ_EXCESS: usize = crate::frame::READ_BYTES_MAX / HEADER_BYTES * FRAME_OVERHEAD;

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Limits);

    #[test]
    fn the_defaults_are_within_their_own_ranges_and_the_documented_budget() {
        let limits = Limits::default();
        limits.check().unwrap();
        assert!(
            limits.memory_per_peer() <= 80 * MIB,
            "{}",
            limits.memory_per_peer()
        );
    }

    #[test]
    fn each_bound_that_is_out_of_range_is_named() {
        let wrong: [(&str, Spoil); 9] = [
            ("frame_bytes_max", |limits| limits.frame_bytes_max[0] = 0),
            ("outbound_bytes", |limits| {
                limits.outbound_bytes[3] = 4 << 20
            }),
            ("inbound_bytes", |limits| limits.inbound_bytes[1] = 0),
            ("streams", |limits| limits.streams = 8),
            ("connection_window", |limits| {
                limits.connection_window = 3 << 20
            }),
            ("send_window", |limits| limits.send_window = 1 << 20),
            ("mtu_max", |limits| limits.mtu_max = 9_000),
            ("keep_alive", |limits| {
                limits.keep_alive = limits.idle_timeout
            }),
            ("backoff_min", |limits| {
                limits.backoff_min = Duration::from_secs(6)
            }),
        ];
        for (field, spoil) in wrong {
            let mut limits = Limits::default();
            spoil(&mut limits);
            let error = limits.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("limits.{field}: ")), "{error}");
        }
    }
}
