//! Clients that are proven at fault: their own connection brought a signature that is not theirs, or
//! they signed two bundles for one client sequence.
//!
//! The connection is authenticated by the client's key, so nobody else can have sent it. A bad
//! signature that a replica forwards proves nothing about the client. From the first forgery on a
//! client's bundles are verified apart from everybody's; after a few, and for a contradiction at once,
//! it is kept out for a while, longer each time.

use std::collections::HashMap;
use std::time::Duration;

/// Forgeries until a client is kept out. An honest one makes none; one proves the fault, and a few
/// leave room for a machine whose memory fails once in a while.
pub const FORGERIES_MAX: u32 = 4;
/// How long a client is kept out first: with [`FORGERIES_MAX`] verifications per time it costs nothing.
pub const BAR_MIN: Duration = Duration::from_secs(10);
/// And at most, doubling each time: a client that was repaired need not wait for an operator.
pub const BAR_MAX: Duration = Duration::from_secs(640);
/// Keys that are remembered. Where any key is admitted an attacker makes new ones, each with a
/// handshake; the one that offended longest ago makes room.
const KEYS_MAX: usize = 1024;

type Key = [u8; 32];

#[derive(Clone, Copy, Debug)]
struct Offence {
    /// Since it was kept out last.
    forgeries: u32,
    next_bar: Duration,
    barred_until: Duration,
    last: Duration,
}

impl Offence {
    fn bar(&mut self, now: Duration) -> Option<Duration> {
        if self.barred_until > now {
            return None;
        }
        let during = self.next_bar;
        self.forgeries = 0;
        self.next_bar = (2 * during).min(BAR_MAX);
        self.barred_until = now + during;
        Some(during)
    }
}

/// See the module documentation. Times are since the start.
#[derive(Debug, Default)]
pub struct Offenders {
    of_key: HashMap<Key, Offence>,
}

impl Offenders {
    /// Whether its bundles are verified apart from those of others.
    pub fn is_suspect(&self, key: &Key) -> bool {
        self.of_key.contains_key(key)
    }

    /// Whether it is kept out at `now`.
    pub fn is_barred(&self, key: &Key, now: Duration) -> bool {
        self.of_key
            .get(key)
            .is_some_and(|offence| offence.barred_until > now)
    }

    /// Counts a forgery; says for how long the client is to be kept out if it is one too many.
    pub fn forged(&mut self, key: &Key, now: Duration) -> Option<Duration> {
        let offence = self.offence(key, now);
        if offence.barred_until > now {
            return None;
        }
        offence.forgeries += 1;
        (offence.forgeries >= FORGERIES_MAX).then(|| offence.bar(now))?
    }

    /// The client signed two bundles for one sequence; says for how long it is to be kept out, unless it
    /// is already.
    pub fn contradicted(&mut self, key: &Key, now: Duration) -> Option<Duration> {
        self.offence(key, now).bar(now)
    }

    fn offence(&mut self, key: &Key, now: Duration) -> &mut Offence {
        if !self.of_key.contains_key(key) {
            self.make_room();
        }
        let offence = self.of_key.entry(*key).or_insert(Offence {
            forgeries: 0,
            next_bar: BAR_MIN,
            barred_until: Duration::ZERO,
            last: now,
        });
        offence.last = now;
        offence
    }

    fn make_room(&mut self) {
        if self.of_key.len() < KEYS_MAX {
            return;
        }
        let oldest = self.of_key.iter().min_by_key(|(_, offence)| offence.last);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            self.of_key.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; 32];

    fn forge(offenders: &mut Offenders, now: Duration) -> Vec<Option<Duration>> {
        (0..FORGERIES_MAX)
            .map(|_| offenders.forged(&KEY, now))
            .collect()
    }

    #[test]
    fn a_few_forgeries_bar_a_client_for_twice_as_long_each_time() {
        let mut offenders = Offenders::default();
        let mut now = Duration::ZERO;
        for expected in [BAR_MIN, 2 * BAR_MIN, 4 * BAR_MIN] {
            assert!(!offenders.is_barred(&KEY, now));
            assert_eq!(
                forge(&mut offenders, now),
                [None, None, None, Some(expected)]
            );
            assert!(offenders.is_barred(&KEY, now));
            assert_eq!(offenders.forged(&KEY, now), None, "what was on its way");
            now += expected;
        }
        for _ in 0..10 {
            let found = (0..FORGERIES_MAX).find_map(|_| offenders.forged(&KEY, now));
            now += found.expect("barred again");
        }
        assert!(offenders.is_barred(&KEY, now - Duration::from_millis(1)));
        assert_eq!(forge(&mut offenders, now)[2..], [None, Some(BAR_MAX)]);
        assert!(!offenders.is_suspect(&[8; 32]));
    }

    #[test]
    fn many_keys_cannot_grow_the_table() {
        let mut offenders = Offenders::default();
        for number in 0..2 * KEYS_MAX as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            offenders.forged(&key, Duration::from_millis(number));
        }
        assert_eq!(offenders.of_key.len(), KEYS_MAX);
        assert!(!offenders.is_suspect(&[0; 32]));
    }
}
