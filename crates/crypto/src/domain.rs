//! The domain tag: what every signed byte string opens with.
//!
//! A signature made for one cluster, configuration epoch or message type must never count as
//! another. So the tag (protocol version, cluster id, epoch, type) is part of the signed bytes,
//! and the canonical payload that follows names view and sequence. TLS 1.3 signs a string that
//! opens with 64 spaces (RFC 8446 §4.4.3) and the tag opens with `b`, so that no handshake
//! signature is a protocol signature even where one key served both.

/// Protocol name and version; the first 16 bytes of all signed bytes.
pub const PROTOCOL_TAG: [u8; 16] = *b"byzantine-quic/1";

/// Length of a domain tag: protocol 16, cluster id 32, epoch 8 (little-endian), type 1.
pub const PREFIX_LENGTH: usize = 57;

/// A cluster in one configuration epoch: where a signature is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain {
    cluster_id: [u8; 32],
    epoch: u64,
}

impl Domain {
    /// The domain of `cluster_id` in configuration epoch `epoch`.
    pub const fn new(cluster_id: [u8; 32], epoch: u64) -> Self {
        Self { cluster_id, epoch }
    }

    /// The tag for messages of type `message_type`; the signed bytes are this tag followed by
    /// the canonical payload.
    pub fn prefix(&self, message_type: u8) -> [u8; PREFIX_LENGTH] {
        let mut prefix = [0; PREFIX_LENGTH];
        prefix[..16].copy_from_slice(&PROTOCOL_TAG);
        prefix[16..48].copy_from_slice(&self.cluster_id);
        prefix[48..56].copy_from_slice(&self.epoch.to_le_bytes());
        prefix[56] = message_type;
        prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_protocol_cluster_epoch_and_type_in_this_order() {
        let prefix = Domain::new([0xc1; 32], 0x0102_0304_0506_0708).prefix(0x2a);
        let mut expected = b"byzantine-quic/1".to_vec();
        expected.extend_from_slice(&[0xc1; 32]);
        expected.extend_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1, 0x2a]);
        assert_eq!(prefix.as_slice(), expected);
    }

    #[test]
    fn cluster_epoch_and_type_each_change_the_tag() {
        let tag = Domain::new([0; 32], 0).prefix(0);
        assert_ne!(tag, Domain::new([1; 32], 0).prefix(0));
        assert_ne!(tag, Domain::new([0; 32], 1).prefix(0));
        assert_ne!(tag, Domain::new([0; 32], 0).prefix(1));
    }

    #[test]
    fn no_tag_opens_like_the_bytes_that_tls_signs() {
        assert_ne!(Domain::new([0x20; 32], 0).prefix(0x20)[0], 0x20);
    }
}
