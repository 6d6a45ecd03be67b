//! The verifier against forged, weak and malleable signatures, alone and in batches.

mod batches;
mod forge;
mod published;
