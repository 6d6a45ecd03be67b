//! A token bucket per source address, in front of every handshake.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Addresses that are remembered. Source addresses can be forged, so the table is bounded; while
/// it is full of busy addresses, all others share one bucket.
const ADDRESSES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Limits connection attempts per source IP.
#[derive(Debug)]
pub(crate) struct Throttle {
    burst: f64,
    per_second: f64,
    buckets: HashMap<IpAddr, Bucket>,
    others: Option<Bucket>,
}

impl Throttle {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self {
            burst: burst.into(),
            per_second: per_second.into(),
            buckets: HashMap::new(),
            others: None,
        }
    }

    /// Whether an attempt from `address` at `now` is within its allowance; takes a token if so.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        let (burst, per_second) = (self.burst, self.per_second);
        let full = Bucket {
            tokens: burst,
            at: now,
        };
        if !self.buckets.contains_key(&address) && self.buckets.len() >= ADDRESSES_MAX {
            self.buckets
                .retain(|_, bucket| refilled(bucket, burst, per_second, now) < burst);
        }
        let bucket = if self.buckets.contains_key(&address) || self.buckets.len() < ADDRESSES_MAX {
            self.buckets.entry(address).or_insert(full)
        } else {
            self.others.get_or_insert(full)
        };
        let tokens = refilled(bucket, burst, per_second, now);
        let admitted = tokens >= 1.0;
        *bucket = Bucket {
            tokens: if admitted { tokens - 1.0 } else { tokens },
            at: now,
        };
        admitted
    }
}

fn refilled(bucket: &Bucket, burst: f64, per_second: f64, now: Instant) -> f64 {
    let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
    (bucket.tokens + elapsed * per_second).min(burst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn a_burst_is_admitted_then_the_rate_and_other_addresses_are_not_touched() {
        let start = Instant::now();
        let mut throttle = Throttle::new(3, 10);
        let admitted = (0..10)
            .filter(|_| throttle.admit(address(1), start))
            .count();
        assert_eq!(admitted, 3);
        assert!(throttle.admit(address(2), start));
        assert!(throttle.admit(address(1), start + Duration::from_millis(101)));
        assert!(!throttle.admit(address(1), start + Duration::from_millis(101)));
    }

    #[test]
    fn forged_addresses_cannot_grow_the_table() {
        let start = Instant::now();
        let mut throttle = Throttle::new(2, 1);
        for number in 0..10 * ADDRESSES_MAX as u32 {
            throttle.admit(address(number), start);
        }
        assert_eq!(throttle.buckets.len(), ADDRESSES_MAX);
        assert!(
            !throttle.admit(address(u32::MAX), start),
            "the shared bucket is empty"
        );
        let later = start + Duration::from_secs(10);
        assert!(
            throttle.admit(address(u32::MAX), later),
            "idle addresses are forgotten"
        );
    }
}
