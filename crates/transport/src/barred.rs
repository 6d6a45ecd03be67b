//! Keys of clients that are kept out for a while, for a fault seen above the transport.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ledger::lock;

/// Keys that are remembered: four times the connections that all clients may have at once. Where any
/// key is admitted an attacker makes new ones, so the table is bounded; the one that would be let in
/// first makes room.
const KEYS_MAX: usize = 1024;

type Key = [u8; 32];

/// Until when each key is kept out.
#[derive(Debug, Default)]
pub(crate) struct Barred {
    until: Mutex<HashMap<Key, Instant>>,
}

impl Barred {
    /// Keeps a key out until `now + during`; never shortens what it has.
    pub(crate) fn bar(&self, key: Key, now: Instant, during: Duration) {
        let mut table = lock(&self.until);
        if !table.contains_key(&key) && table.len() >= KEYS_MAX {
            table.retain(|_, until| *until > now);
            let first = table.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(key, _)| *key)
                && table.len() >= KEYS_MAX
            {
                table.remove(&first);
            }
        }
        let until = table.entry(key).or_insert(now);
        *until = (now + during).max(*until);
    }

    /// Whether a key is kept out at `now`.
    pub(crate) fn is_barred(&self, key: &Key, now: Instant) -> bool {
        lock(&self.until).get(key).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn a_key_is_kept_out_for_its_time_and_no_other_is() {
        let (barred, start) = (Barred::default(), Instant::now());
        barred.bar(key(1), start, Duration::from_secs(10));
        barred.bar(key(1), start, Duration::from_secs(1));
        assert!(barred.is_barred(&key(1), start + Duration::from_secs(9)));
        assert!(!barred.is_barred(&key(1), start + Duration::from_secs(10)));
        assert!(!barred.is_barred(&key(2), start));
    }

    #[test]
    fn many_keys_cannot_grow_the_table_and_push_out_the_one_that_is_let_in_first() {
        let (barred, start) = (Barred::default(), Instant::now());
        barred.bar(key(0), start, Duration::from_secs(1000));
        for number in 1..10 * KEYS_MAX as u32 {
            barred.bar(key(number), start, Duration::from_secs(10));
        }
        assert_eq!(lock(&barred.until).len(), KEYS_MAX);
        assert!(barred.is_barred(&key(0), start));
    }
}
