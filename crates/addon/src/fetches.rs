//! What was asked of other replicas and has not come.

use std::collections::HashMap;

use crate::wire::{Digest, FetchKind};

/// Most fetches at once; the core asks for what its window names, and beyond this it is told
/// `unavailable` and asks again.
const FETCHES_MAX: usize = 65_536;

/// Replicas asked and not heard of, as a set.
#[derive(Debug, Default)]
pub struct Fetches {
    open: HashMap<(FetchKind, Digest), u32>,
}

impl Fetches {
    /// Notes that the replicas of a set were asked. False where nobody was, or too much is open.
    #[must_use]
    pub fn ask(&mut self, kind: FetchKind, digest: Digest, asked: u32) -> bool {
        let full = self.open.len() >= FETCHES_MAX;
        match self.open.get_mut(&(kind, digest)) {
            Some(open) => *open |= asked,
            None if asked == 0 || full => return false,
            None => {
                self.open.insert((kind, digest), asked);
            }
        }
        true
    }

    /// Whether this replica was asked for it.
    pub fn is_asked(&self, kind: FetchKind, digest: &Digest, from: u8) -> bool {
        self.open
            .get(&(kind, *digest))
            .is_some_and(|asked| asked >> from & 1 == 1)
    }

    /// It has come, from whomever.
    pub fn close(&mut self, kind: FetchKind, digest: &Digest) -> bool {
        self.open.remove(&(kind, *digest)).is_some()
    }

    /// A replica has not got it. True where it was the last one asked.
    pub fn unavailable(&mut self, kind: FetchKind, digest: &Digest, from: u8) -> bool {
        let Some(asked) = self.open.get_mut(&(kind, *digest)) else {
            return false;
        };
        *asked &= !(1 << from);
        let last = *asked == 0;
        if last {
            self.open.remove(&(kind, *digest));
        }
        last
    }

    /// A replica's connection ended: it answers nothing any more. Returns what nobody else was
    /// asked for.
    pub fn lost(&mut self, from: u8) -> Vec<(FetchKind, Digest)> {
        let affected: Vec<_> = self
            .open
            .iter()
            .filter(|(_, asked)| **asked >> from & 1 == 1)
            .map(|(what, _)| *what)
            .collect();
        affected
            .into_iter()
            .filter(|(kind, digest)| self.unavailable(*kind, digest, from))
            .collect()
    }

    /// Number of open fetches.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_fails_when_the_last_asked_replica_has_it_not() {
        let mut fetches = Fetches::default();
        assert!(!fetches.ask(FetchKind::Bundle, [1; 32], 0));
        assert!(fetches.ask(FetchKind::Bundle, [1; 32], 0b110));
        assert!(!fetches.unavailable(FetchKind::Batch, &[1; 32], 1));
        assert!(!fetches.unavailable(FetchKind::Bundle, &[1; 32], 1));
        assert!(!fetches.is_asked(FetchKind::Bundle, &[1; 32], 1));
        assert!(fetches.is_asked(FetchKind::Bundle, &[1; 32], 2));
        assert!(fetches.unavailable(FetchKind::Bundle, &[1; 32], 2));
        assert!(fetches.is_empty());
    }

    #[test]
    fn a_lost_connection_ends_what_only_it_was_asked_for() {
        let mut fetches = Fetches::default();
        assert!(fetches.ask(FetchKind::Bundle, [1; 32], 0b010));
        assert!(fetches.ask(FetchKind::Batch, [2; 32], 0b110));
        assert_eq!(fetches.lost(1), [(FetchKind::Bundle, [1; 32])]);
        assert_eq!(fetches.len(), 1);
        assert!(fetches.close(FetchKind::Batch, &[2; 32]));
    }
}
