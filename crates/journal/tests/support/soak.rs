//! How long the tests that search run.

/// Multiplies the rounds of the tests that search: 1 in the test tier, as much as there is time for in a soak.
pub const FACTOR: &str = "BYZANTINE_SOAK_FACTOR";

/// Rounds of a test that has this many in the test tier.
pub fn rounds(rounds: u64) -> u64 {
    match std::env::var(FACTOR) {
        Ok(factor) => {
            rounds
                * factor
                    .parse::<u64>()
                    .expect("BYZANTINE_SOAK_FACTOR is a number from 1")
        }
        Err(_) => rounds,
    }
}
