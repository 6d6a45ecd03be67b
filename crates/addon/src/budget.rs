//! How much verification a replica may ask for with VIEW-CHANGEs and NEW-VIEWs.
//!
//! One VIEW-CHANGE of a full default window at n = 31 holds 4,200 signatures, an eighth of a second
//! of one core, and its sender makes as many as it likes. So it is paid for before any of its
//! signatures is looked at. One that was asked for is free: a NEW-VIEW named it, and a liar's that
//! an honest primary took must not be kept out. What bounds those is the number of NEW-VIEWs.

use std::time::Duration;

/// What is paid for.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Messages at once.
    burst: u32,
    /// Time that earns one more.
    refill: Duration,
}

/// VIEW-CHANGEs that nobody asked for. A replica sends one per timeout, which is 5 s by default and
/// doubles; where it is shorter, the burst lasts until doubling has made it longer. Complaints double
/// nothing, but bring down f+1 primaries in a row at most, 11 at n = 31. Ten liars at n = 31 cost an
/// eighth of a core with it.
pub const VIEW_CHANGES: Allowance = Allowance {
    burst: 16,
    refill: Duration::from_secs(10),
};
/// NEW-VIEWs: each replica leads every n-th view. Each may name Q VIEW-CHANGEs to be asked for, of
/// which those of liars can be made up, so it is dearer.
pub const NEW_VIEWS: Allowance = Allowance {
    burst: 8,
    refill: Duration::from_secs(30),
};
/// Time for which no VIEW-CHANGE is taken unasked from a peer that sent a message with a bad
/// signature in it, which no correct replica signs or passes on.
const PENALTY: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, Debug)]
struct Account {
    /// Earned and not spent.
    credit: Duration,
    /// Until then nothing is earned.
    at: Duration,
}

/// Accounts by replica. Times are those since the start that the turn tells.
#[derive(Debug)]
pub struct Budget {
    allowance: Allowance,
    accounts: Vec<Account>,
}

impl Budget {
    /// Full accounts of n replicas.
    pub fn new(n: u8, allowance: Allowance) -> Self {
        let full = Account {
            credit: allowance.refill * allowance.burst,
            at: Duration::ZERO,
        };
        Self {
            allowance,
            accounts: vec![full; usize::from(n)],
        }
    }

    /// Pays for one message of `replica`; false where it cannot.
    #[must_use]
    pub fn pay(&mut self, replica: u8, now: Duration) -> bool {
        let Allowance { burst, refill } = self.allowance;
        let account = &mut self.accounts[usize::from(replica)];
        let earned = now.saturating_sub(account.at);
        account.credit = (account.credit + earned).min(refill * burst);
        account.at = account.at.max(now);
        match account.credit.checked_sub(refill) {
            Some(left) => {
                account.credit = left;
                true
            }
            None => false,
        }
    }

    /// `replica` sent what no correct replica sends.
    pub fn penalize(&mut self, replica: u8, now: Duration) {
        self.accounts[usize::from(replica)] = Account {
            credit: Duration::ZERO,
            at: now + PENALTY,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_paid_and_then_one_message_per_refill() {
        let mut budget = Budget::new(4, VIEW_CHANGES);
        let pay_all =
            |budget: &mut Budget, now| (0..100).filter(|_| budget.pay(1, seconds(now))).count();
        assert_eq!(pay_all(&mut budget, 1), 16);
        assert!(budget.pay(2, seconds(1)), "each has its own account");
        assert!(!budget.pay(1, seconds(10)));
        assert_eq!(pay_all(&mut budget, 11), 1);
        assert_eq!(pay_all(&mut budget, 9000), 16, "no more is saved up");
    }

    #[test]
    fn a_penalty_ends() {
        let mut budget = Budget::new(4, VIEW_CHANGES);
        budget.penalize(1, seconds(10));
        assert!(!budget.pay(1, seconds(10)));
        assert!(!budget.pay(1, seconds(259)));
        assert!(budget.pay(1, seconds(260)));
        assert!(!budget.pay(1, seconds(260)));
    }
}
