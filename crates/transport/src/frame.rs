//! Frames of a lane: `u32 length | u8 type | payload`, little-endian; the length counts the type.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::reason::RefuseReason;

/// Bytes of a frame before its payload.
pub(crate) const HEADER_BYTES: usize = 5;
/// Most bytes taken from a stream at once: between two reads the inbound bound is looked at.
pub(crate) const READ_BYTES_MAX: usize = 16 * 1024;
/// What a waiting frame costs besides its payload, rounded up: an entry of the queue and of the
/// vector that it is polled into. Without it, empty frames would be free.
pub const FRAME_OVERHEAD: usize = 64;

/// A frame that arrived.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) payload: Bytes,
}

impl Frame {
    /// What it counts against inbound bounds.
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }

    /// Its bytes on the stream.
    pub(crate) fn wire_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload.len()) as u64
    }
}

/// Appends one frame. The caller has checked that the length fits the lane.
pub(crate) fn append(buffer: &mut BytesMut, kind: u8, parts: &[&[u8]], payload_bytes: usize) {
    buffer.reserve(HEADER_BYTES + payload_bytes);
    buffer.put_u32_le(payload_bytes as u32 + 1);
    buffer.put_u8(kind);
    for part in parts {
        buffer.put_slice(part);
    }
}

/// Cuts a lane's bytes into frames. Memory follows what arrived, never what a length claims.
#[derive(Debug, Default)]
pub(crate) struct FrameCutter {
    buffer: BytesMut,
}

impl FrameCutter {
    /// Adds bytes of the stream. They are copied, so that no small frame keeps the datagrams of
    /// its neighbours alive.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    /// Makes room for a large frame in doubling steps that end exactly at its size: the vector's
    /// own doubling could keep twice the frame alive for as long as its payload lives.
    fn grow(&mut self, more: usize) {
        let held = self.buffer.len();
        if held < READ_BYTES_MAX || held + more <= self.buffer.capacity() {
            return;
        }
        let frame = match self.buffer.first_chunk::<4>() {
            Some(header) => 4 + u32::from_le_bytes(*header) as usize,
            None => 0,
        };
        let mut larger = BytesMut::with_capacity((2 * held).min(frame).max(held + more));
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`RefuseReason::LyingLength`] as soon as a length of zero or above `length_max` is seen.
    pub(crate) fn next(&mut self, length_max: u32) -> Result<Option<Frame>, RefuseReason> {
        let Some(header) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*header);
        if length == 0 || length > length_max {
            return Err(RefuseReason::LyingLength);
        }
        if self.buffer.len() - 4 < length as usize {
            return Ok(None);
        }
        self.buffer.advance(4);
        let kind = self.buffer.get_u8();
        let payload = self.buffer.split_to(length as usize - 1).freeze();
        Ok(Some(Frame { kind, payload }))
    }

    /// Whether bytes of an unfinished frame are held.
    pub(crate) fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_split() {
        let mut wire = BytesMut::new();
        append(&mut wire, 7, &[b"ab", b"c"], 3);
        append(&mut wire, 8, &[], 0);
        for step in 1..=wire.len() {
            let mut cutter = FrameCutter::default();
            let mut frames = Vec::new();
            for piece in wire.chunks(step) {
                cutter.push(piece);
                while let Some(frame) = cutter.next(4).unwrap() {
                    frames.push((frame.kind, frame.payload.to_vec()));
                }
            }
            assert_eq!(frames, vec![(7, b"abc".to_vec()), (8, Vec::new())]);
            assert!(!cutter.is_partial());
        }
    }

    #[test]
    fn a_lying_length_is_seen_with_its_fourth_byte_and_nothing_is_reserved_for_it() {
        for length in [0u32, 5, u32::MAX] {
            let mut cutter = FrameCutter::default();
            cutter.push(&length.to_le_bytes());
            assert_eq!(cutter.next(4).unwrap_err(), RefuseReason::LyingLength);
            assert!(cutter.buffer.capacity() < 1024);
        }
    }

    #[test]
    fn a_large_frame_ends_in_an_allocation_of_its_own_size() {
        let length = 3 << 20;
        let mut cutter = FrameCutter::default();
        cutter.push(&(length as u32).to_le_bytes());
        for _ in 0..length / READ_BYTES_MAX {
            assert!(cutter.next(4 << 20).unwrap().is_none());
            cutter.push(&[1; READ_BYTES_MAX]);
            assert!(cutter.buffer.capacity() <= (2 * cutter.buffer.len()).max(2 * READ_BYTES_MAX));
        }
        assert!(cutter.buffer.capacity() <= length + 2 * READ_BYTES_MAX);
        assert_eq!(
            cutter.next(4 << 20).unwrap().unwrap().payload.len(),
            length - 1
        );
    }

    #[test]
    fn a_frame_in_parts_holds_only_what_arrived() {
        let mut cutter = FrameCutter::default();
        cutter.push(&(4u32 << 20).to_le_bytes());
        cutter.push(&[0; 100]);
        assert!(cutter.next(4 << 20).unwrap().is_none());
        assert!(cutter.is_partial());
        assert!(cutter.buffer.capacity() < 1024);
    }
}
