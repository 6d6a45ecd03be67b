//! Messages and bytes by type.

/// Counters of one direction by type: messages, payload bytes.
type ByType = Box<[(u64, u64); 256]>;

/// What was sent and received, by message type.
#[derive(Debug)]
pub struct Traffic {
    received: ByType,
    sent: ByType,
    dropped: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            received: Box::new([(0, 0); 256]),
            sent: Box::new([(0, 0); 256]),
            dropped: 0,
        }
    }
}

impl Traffic {
    /// A frame arrived.
    pub fn received(&mut self, message_type: u8, bytes: usize) {
        add(&mut self.received, message_type, bytes);
    }

    /// A frame was queued, or dropped because its receiver is not connected or its queue is full.
    pub fn sent(&mut self, message_type: u8, bytes: usize, queued: bool) {
        if queued {
            add(&mut self.sent, message_type, bytes);
        } else {
            self.dropped += 1;
        }
    }

    /// (type, messages, bytes) received, without zeros.
    pub fn all_received(&self) -> impl Iterator<Item = (u8, u64, u64)> {
        without_zeros(&self.received)
    }

    /// (type, messages, bytes) sent, without zeros.
    pub fn all_sent(&self) -> impl Iterator<Item = (u8, u64, u64)> {
        without_zeros(&self.sent)
    }

    /// Messages that could not be queued.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn add(counters: &mut ByType, message_type: u8, bytes: usize) {
    let (messages, total) = &mut counters[usize::from(message_type)];
    *messages += 1;
    *total += bytes as u64;
}

fn without_zeros(counters: &ByType) -> impl Iterator<Item = (u8, u64, u64)> {
    let counted = counters
        .iter()
        .enumerate()
        .filter(|(_, (messages, _))| *messages > 0);
    counted.map(|(message_type, (messages, bytes))| (message_type as u8, *messages, *bytes))
}
