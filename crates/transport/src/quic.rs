//! The socket, and quinn's many knobs, all set here.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use byzantine_crypto::{SecretKey, sha256_parts};
use quinn::{
    ClientConfig, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use quinn_proto::crypto::{CryptoError, HmacKey};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::TransportError;
use crate::limits::{Limits, MTU_FLOOR};

/// Bytes buffered for one connection attempt before it is looked at.
const INCOMING_BYTES_EACH: u64 = 64 * 1024;
/// What HKDF would call the info: the reset key is a function of the identity and nothing else.
const RESET_LABEL: &[u8] = b"byzantine-quic/1 stateless reset";
const CID_LABEL: &[u8] = b"byzantine-quic/1 connection ids.";

/// Binds the UDP socket. Buffers are asked for, not insisted on: the system caps them.
pub(crate) fn bind_socket(
    address: SocketAddr,
    buffer_bytes: usize,
) -> Result<UdpSocket, TransportError> {
    let make = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            // Members may be reached over both families through one socket where that exists.
            let _ = socket.set_only_v6(false);
        }
        let _ = socket.set_recv_buffer_size(buffer_bytes);
        let _ = socket.set_send_buffer_size(buffer_bytes);
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    make().map_err(TransportError::Socket)
}

/// Makes the endpoint on a bound socket.
pub(crate) fn endpoint(
    identity: &SecretKey,
    server: Option<ServerConfig>,
    socket: UdpSocket,
    limits: &Limits,
) -> Result<quinn::Endpoint, TransportError> {
    let seed = identity.raw();
    // A restarted replica must be able to reset the connections of its former life, so the key
    // of its reset tokens and the form of its connection ids are derived from its identity. A
    // token says only "this connection is gone": two endpoints with one identity at once are
    // excluded by configuration.
    let reset = ResetKey(sha256_parts(&[RESET_LABEL, &*seed]));
    let cids = sha256_parts(&[CID_LABEL, &*seed]);
    let cid_key = u64::from_le_bytes(std::array::from_fn(|index| cids[index]));
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));
    config
        .max_udp_payload_size(limits.mtu_max)
        .map_err(|error| TransportError::config("limits.mtu_max", error.to_string()))?;
    quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
        .map_err(TransportError::Socket)
}

/// The accepting side. Windows are a client's until the key is proven to be a member's.
pub(crate) fn server(
    crypto: Arc<dyn quinn::crypto::ServerConfig>,
    limits: &Limits,
) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(crypto);
    let window = limits.client_connection_window;
    config
        .transport_config(Arc::new(transport(limits, window, u64::from(window))))
        .migration(false)
        .max_incoming(limits.incoming_max)
        .incoming_buffer_size(INCOMING_BYTES_EACH.min(limits.incoming_bytes))
        .incoming_buffer_size_total(limits.incoming_bytes);
    config
}

/// The dialling side.
pub(crate) fn client(
    crypto: Arc<dyn quinn::crypto::ClientConfig>,
    limits: &Limits,
) -> ClientConfig {
    let mut config = ClientConfig::new(crypto);
    let send_window = u64::from(limits.send_window);
    config.transport_config(Arc::new(transport(
        limits,
        limits.connection_window,
        send_window,
    )));
    config
}

fn transport(limits: &Limits, receive_window: u32, send_window: u64) -> TransportConfig {
    let mut config = TransportConfig::default();
    // Deadlines are checked to be at most an hour, which milliseconds of a u32 hold.
    let idle = VarInt::from_u32(limits.idle_timeout.as_millis() as u32);
    let discovery = (limits.mtu_max > MTU_FLOOR).then(|| {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(limits.mtu_max);
        discovery
    });
    config
        .max_concurrent_uni_streams(VarInt::from_u32(limits.streams))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits.stream_window))
        .receive_window(VarInt::from_u32(receive_window))
        .send_window(send_window)
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(None)
        .initial_rtt(limits.initial_rtt)
        .mtu_discovery_config(discovery)
        .keep_alive_interval(Some(limits.keep_alive))
        .max_idle_timeout(Some(idle.into()));
    config
}

/// HMAC-SHA256 with a 32-byte key (RFC 2104).
struct ResetKey([u8; 32]);

const HMAC_BLOCK: usize = 64;

impl ResetKey {
    fn mac(&self, data: &[u8]) -> [u8; 32] {
        let pad = |byte: u8| {
            let mut block = [byte; HMAC_BLOCK];
            block
                .iter_mut()
                .zip(&self.0)
                .for_each(|(pad, key)| *pad ^= key);
            block
        };
        sha256_parts(&[&pad(0x5c), &sha256_parts(&[&pad(0x36), data])])
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.mac(data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // The fold looks at every byte whatever the first difference is.
        let expected = self.mac(data);
        let difference = expected
            .iter()
            .zip(signature)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        if signature.len() == expected.len() && difference == 0 {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_key_is_hmac_sha256() {
        // RFC 4231 §4.3 has a 4-byte key, which HMAC pads with zeroes.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = ResetKey(key).mac(b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(mac[28..], [0x64, 0xec, 0x38, 0x43]);
        assert!(
            ResetKey(key)
                .verify(b"what do ya want for nothing?", &mac)
                .is_ok()
        );
        assert!(
            ResetKey(key)
                .verify(b"what do ya want for nothing!", &mac)
                .is_err()
        );
        assert!(
            ResetKey(key)
                .verify(b"what do ya want for nothing?", &mac[..31])
                .is_err()
        );
    }
}
