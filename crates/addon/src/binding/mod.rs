//! What crosses Node-API. `ts/native/native.ts` is the only file that sees it; public names are
//! there. Every entry turns a panic into a JavaScript error; what it reports as an error is
//! `CODE: text`, which `native.ts` turns into a `ByzantineError`.

mod config;
mod contract;
mod crypto;
mod data_dir;
mod reactor;
mod snapshots;
mod statistics;
mod transport;

use napi::bindgen_prelude::{Error, Result, Status, Uint8ArraySlice};

/// An error with one of the codes of `ts/errors.ts`.
fn failure(code: &str, text: impl std::fmt::Display) -> Error {
    Error::new(Status::GenericFailure, format!("{code}: {text}"))
}

/// Exactly N bytes.
fn exact<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| {
        failure(
            "INVALID_ARGUMENT",
            format!("{what} is {N} bytes, not {}", bytes.len()),
        )
    })
}

/// A counter of the protocol: an integer of at most 2^53−1.
fn counter(what: &str, value: f64) -> Result<u64> {
    if value >= 0.0 && value <= crate::wire::U53_MAX as f64 && value.fract() == 0.0 {
        Ok(value as u64)
    } else {
        Err(failure(
            "INVALID_ARGUMENT",
            format!("{what} is an integer from 0 to 2^53-1, not {value}"),
        ))
    }
}

/// The memory of `output`, which must not be that of `input`.
fn exclusive<'a>(output: &'a mut Uint8ArraySlice<'_>, input: &[u8]) -> Result<&'a mut [u8]> {
    let (from, to) = (output.as_ptr_range(), input.as_ptr_range());
    if !output.is_empty() && from.start < to.end && to.start < from.end {
        return Err(failure("INVALID_ARGUMENT", "input and output share memory"));
    }
    // SAFETY: JavaScript does not run on this thread until the call returns, `native.ts` refuses
    // shared buffers, and the input lies elsewhere. So nobody else reads or writes these bytes.
    Ok(unsafe { output.as_mut() })
}
