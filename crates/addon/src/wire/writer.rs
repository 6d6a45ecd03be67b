//! Appending fields to a byte string.

/// Appends fields to a buffer that is reused from message to message.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes; the value is at most 2^53−1 wherever it came from a decoder.
    pub fn u53(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Bytes after their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).expect("a message is far below 4 GiB"))
            .raw(bytes)
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, as an owned byte string.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// A record `kind | u32 length | body` whose length is known only after its body was written.
    pub fn record(&mut self, kind: u8, body: impl FnOnce(&mut Self)) {
        self.u8(kind).u32(0);
        let start = self.bytes.len();
        body(self);
        let length = u32::try_from(self.bytes.len() - start).expect("a record is far below 4 GiB");
        self.bytes[start - 4..start].copy_from_slice(&length.to_le_bytes());
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets the first `length` bytes.
    pub fn discard_front(&mut self, length: usize) {
        self.bytes.drain(..length);
    }
}
