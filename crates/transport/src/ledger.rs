//! Refusals: counted by reason for ever, and queued for the next poll within a bound.
//!
//! The ledger has a lock of its own, which is taken last: TLS verifiers write to it while quinn
//! holds a connection's lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::Event;
use crate::reason::RefuseReason;

/// Refusals that wait to be polled. Strangers cause them, so more are only counted.
const WAITING_MAX: usize = 256;

/// Locks a mutex whose data stays consistent at every point where its holder could panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The book of refusals, and the bell that tells the poller of any event.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    pub(crate) bell: Notify,
}

#[derive(Debug, Default)]
struct Book {
    counts: BTreeMap<&'static str, u64>,
    waiting: VecDeque<Event>,
}

impl Ledger {
    /// Counts a refusal and queues its event.
    pub(crate) fn refuse(&self, from: Option<[u8; 32]>, reason: RefuseReason) {
        let mut book = lock(&self.book);
        *book.counts.entry(reason.name()).or_default() += 1;
        if book.waiting.len() < WAITING_MAX {
            book.waiting.push_back(Event::Refused { from, reason });
        }
        drop(book);
        self.bell.notify_one();
    }

    /// Moves the queued events out.
    pub(crate) fn drain(&self, out: &mut Vec<Event>) {
        out.extend(lock(&self.book).waiting.drain(..));
    }

    /// Whether events are queued.
    pub(crate) fn is_waiting(&self) -> bool {
        !lock(&self.book).waiting.is_empty()
    }

    /// All counts, ascending by name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        lock(&self.book)
            .counts
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_beyond_the_bound_are_counted_and_not_queued() {
        let ledger = Ledger::default();
        for _ in 0..WAITING_MAX + 10 {
            ledger.refuse(None, RefuseReason::UnknownKey);
        }
        let mut out = Vec::new();
        ledger.drain(&mut out);
        assert_eq!(out.len(), WAITING_MAX);
        assert_eq!(
            ledger.counts(),
            vec![("unknownKey", WAITING_MAX as u64 + 10)]
        );
        assert!(!ledger.is_waiting());
    }
}
