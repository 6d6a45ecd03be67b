//! The vote table and the body store by themselves, for the contract tests that their simulated
//! forms share. The product uses them inside the reactor.

mod bodies;
mod votes;

use napi::bindgen_prelude::Uint8Array;

use crate::records::Records;
use crate::rejections::Reason;

/// What an offer came to: -1 where it was taken, otherwise the place in `rejectReasons`.
fn offer(outcome: std::result::Result<(), Reason>) -> i32 {
    outcome.err().map_or(-1, |reason| reason as i32)
}

/// Bytes of hand-ups that one call returns.
const OUTPUT_BYTES: usize = 1 << 20;

fn drain(records: &mut Records) -> Uint8Array {
    let mut output = vec![0; records.waiting().min(OUTPUT_BYTES)];
    let length = records.drain_into(&mut output);
    output.truncate(length);
    output.into()
}
