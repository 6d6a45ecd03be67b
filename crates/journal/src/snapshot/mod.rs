//! Snapshot files: the replicated state at a sequence, in chunks.
//!
//! A snapshot is written under a temporary name, synced, renamed and its directory synced, so that a crash leaves the
//! old ones or the new one and never a mix. The last [`SNAPSHOTS_KEPT`] are kept.
//!
//! ```text
//! file   = header | chunk frame … | footer frame
//! header = magic (8) | version u32 | 0 u32 | identity (72) | sequence u64 | digest (32) | checksum u64
//! frame  = length u32 | kind u32 (1 chunk, 2 footer) | payload | chain u64
//! ```
//! `chain` is the checksum of the chain value before (of the header: its checksum), length, kind and payload. The
//! footer's payload is the number of chunks and the sum of their bytes, both u64. Nothing follows the footer.

mod format;
mod list;
mod reader;
mod writer;

pub use format::{CHUNK_BYTES_MAX, SnapshotHeader};
pub use list::{Listed, SNAPSHOTS_KEPT, Snapshot, list, remove, verify};
pub use reader::SnapshotReader;
pub use writer::{SnapshotError, SnapshotWriter};
