//! The addon: the only crate that knows Node-API.
//!
//! - [`wire`]: the formats of `ts/codec/WIRE.md`; [`records`]: those between TypeScript and here.
//! - [`vote_table`], [`bodies`], [`manifests`], [`messages`], [`fetches`], [`clients`]: what is stored.
//! - [`checks`]: signatures, verified in batches; [`verified`]: votes that need not be again;
//!   [`budget`]: what a peer may ask for; [`claims`], [`offenders`]: clients at fault; [`rejections`],
//!   [`traffic`]: counters.
//! - [`durable`]: what a replica stores of itself, and in which form.
//! - [`engine`]: a replica's side of a turn, without network and disk; [`journal`]: the disk;
//!   [`reactor`]: the turn with both.
//! - [`snapshots`]: snapshot files, written on a thread of their own.
//! - [`transport_thread`]: an endpoint for programs that are no replica.
//! - `binding`: what crosses Node-API, over all of these.
//!
//! It moves, checks and stores bytes. Whatever decides what is proposed, voted, executed or
//! acknowledged is TypeScript's.

// Tests are built without Node-API, which is what calls these functions.
#[cfg_attr(test, allow(dead_code))]
mod binding;
pub mod bodies;
pub mod budget;
pub mod checks;
pub mod claims;
pub mod clients;
pub mod durable;
pub mod engine;
pub mod fetches;
pub mod journal;
pub mod links;
pub mod manifests;
pub mod messages;
pub mod offenders;
pub mod reactor;
pub mod records;
pub mod rejections;
pub mod snapshots;
#[cfg(test)]
mod testing;
pub mod traffic;
pub mod transport_thread;
pub mod verified;
pub mod vote_table;
pub mod wakers;
pub mod wire;
