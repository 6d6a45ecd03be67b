//! One simulated file: what programs see of it, what is on the platter, and the writes between the two.

use rand::{Rng, RngExt};

/// A disk writes a sector as a whole or not at all.
const SECTOR: usize = 512;

/// What survives of writes that were not synced when the machine crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Lost,
    /// All of them.
    Kept,
    /// The first ones, and the beginning of the next.
    Prefix,
    /// Any sectors of any of them.
    Sectors,
    /// Any bytes of any of them.
    Bytes,
    /// The process was killed, not the machine: the memory of the operating system is as it was.
    Process,
}

pub const TEARS: [Tear; 6] = [
    Tear::Lost,
    Tear::Kept,
    Tear::Prefix,
    Tear::Sectors,
    Tear::Bytes,
    Tear::Process,
];

#[derive(Clone, Debug, Default)]
pub struct Inode {
    pub cached: Vec<u8>,
    pub durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl Inode {
    pub fn write(&mut self, offset: usize, written: &[u8]) {
        put(&mut self.cached, offset, written);
        self.pending.push((offset, written.to_vec()));
    }

    /// The program sees it, and the disk said that it took it; it did not.
    pub fn write_that_gets_lost(&mut self, offset: usize, written: &[u8]) {
        put(&mut self.cached, offset, written);
    }

    pub fn truncate(&mut self) {
        // The old blocks are freed at once in this model: the harder case, for nothing of the old file can come back.
        *self = Self::default();
    }

    pub fn sync(&mut self) {
        for (offset, written) in std::mem::take(&mut self.pending) {
            put(&mut self.durable, offset, &written);
        }
    }

    /// A failed sync: some writes reached the disk, and none is tried again, for the pages count as clean now.
    pub fn fail_sync(&mut self, random: &mut impl Rng) {
        self.tear(Tear::Sectors, random);
    }

    pub fn crash(&mut self, tear: Tear, random: &mut impl Rng) {
        if tear == Tear::Process {
            return;
        }
        self.tear(tear, random);
        self.cached.clone_from(&self.durable);
    }

    fn tear(&mut self, tear: Tear, random: &mut impl Rng) {
        let pending = std::mem::take(&mut self.pending);
        let cut = random.random_range(0..=pending.len());
        for (index, (offset, written)) in pending.iter().enumerate() {
            let durable = &mut self.durable;
            match tear {
                Tear::Lost | Tear::Process => {}
                Tear::Kept => put(durable, *offset, written),
                Tear::Prefix if index < cut => put(durable, *offset, written),
                Tear::Prefix if index == cut => {
                    let length = random.random_range(0..=written.len());
                    put(durable, *offset, &written[..length]);
                }
                Tear::Prefix => {}
                Tear::Sectors => put_pieces(durable, *offset, written, random, |_| SECTOR),
                Tear::Bytes => {
                    put_pieces(durable, *offset, written, random, |random| {
                        random.random_range(1..64)
                    });
                }
            }
        }
    }
}

/// Writes each piece or not; a piece ends at a multiple of its length in the file.
fn put_pieces<R: Rng>(
    durable: &mut Vec<u8>,
    offset: usize,
    written: &[u8],
    random: &mut R,
    length: impl Fn(&mut R) -> usize,
) {
    let mut at = 0;
    while at < written.len() {
        let length = length(random);
        let end = ((offset + at) / length * length + length - offset).min(written.len());
        if random.random_bool(0.5) {
            put(durable, offset + at, &written[at..end]);
        }
        at = end;
    }
}
