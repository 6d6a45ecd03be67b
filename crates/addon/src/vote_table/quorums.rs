//! Phases and sizes.

/// The two phases whose votes are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// PREPARE.
    Prepare = 0,
    /// COMMIT.
    Commit = 1,
}

/// How many replicas there are and how many of them may lie.
#[derive(Clone, Copy, Debug)]
pub struct Quorums {
    /// Replicas.
    pub n: u8,
    /// Faulty ones among them at most.
    pub f: u8,
    /// This replica.
    pub me: u8,
}

impl Quorums {
    /// Q = ⌈(n+f+1)/2⌉.
    pub fn quorum(&self) -> u32 {
        (u32::from(self.n) + u32::from(self.f) + 1).div_ceil(2)
    }

    /// Claims of others at which the core wants to hear of them: with the PRE-PREPARE they are
    /// f+1 replicas that vouch for a proposal.
    pub(super) fn hand_up_from(&self) -> u32 {
        u32::from(self.f).max(1)
    }

    /// The primary of `view`.
    pub fn primary(&self, view: u64) -> u8 {
        (view % u64::from(self.n)) as u8
    }
}
