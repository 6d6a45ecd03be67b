//! The durable log of a replica, and its snapshot files.
//!
//! Whatever binds a replica is durable before it leaves: its votes, its view changes, its checkpoints. The journal makes
//! records durable as fast as the disk allows, and after a crash gives back every record that it ever reported, in
//! order, or refuses by name. It never gives back less in silence: a replica that forgot a vote could contradict it.
//!
//! - [`Journal`]: append, group commit, release, clean stop; [`Recovery`] is what a replica restarts from.
//! - [`init`]: the genesis marker. A directory without it was wiped ([`OpenError::Wiped`]), never a first start.
//! - [`snapshot`]: the replicated state in files that are replaced atomically.
//! - [`inspect`]: looks at a directory without changing it or taking its lock.
//! - [`Storage`]: what all of it asks of a file system; [`Disk`] is the real one.
//!
//! The crate knows neither Node.js nor an asynchronous runtime. A journal has two threads: one writes and syncs, the
//! other prepares segments ahead of need and removes released ones. `DECISION.md` says why it is written here and not
//! taken from elsewhere, with the figures; `README.md` shows a replica's life with it, call by call.
//!
//! # The data directory
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked by the owner for as long as one of its threads could write |
//! | `identity` | the genesis marker: cluster, epoch, replica, life |
//! | `clean-stop` | only between a clean stop and the next start |
//! | `journal-<number>.segment` | records; the number in 16 hexadecimal digits, from 1, dense |
//! | `snapshot-<sequence>.state` | see [`snapshot`] |
//! | `….unfinished` | not yet renamed; means nothing |
//!
//! The *life* is 16 random bytes that `init` draws. They are part of every checksum, so that neither a file of an
//! earlier life of the directory nor bytes that a client chose pass for a record.
//!
//! # Segments
//!
//! All integers are little-endian, all checksums CRC-64/NVME.
//!
//! ```text
//! segment = header (136) | item … | zeros
//! header  = magic (8) | version u32 | file length u32 | cluster (32) | epoch u64 | replica (32) | life (16)
//!         | number u64 | first lsn u64 | chain value of the segment before u64 | checksum u64
//! item    = length u32 | synced u32 | lsn u64 | kind u8 | zeros (7) | previous chain value u64
//!         | checksum of the payload u64 | chain value u64 | payload | zeros up to a multiple of 8
//! ```
//! The chain value of an item is the checksum of life, segment number, offset, and its header before this field; through
//! `previous` and the payload's checksum it binds all that came before. `synced` is the offset in the segment up to
//! which everything was durable when the item was written. Kinds: 1 a record, with the next log sequence number; 2 a
//! release, with the number below which records are not needed (u64), durable before a segment is removed; 3 a mark,
//! which says that all before it is durable and which the next item overwrites.
//!
//! Behind every record a segment has room for one release: a release must not need a new segment, for on a full disk it
//! is what makes room for one.
//!
//! A segment is filled with zeros, synced and named durably before it is used, so that writing into it changes data
//! alone. The next one is prepared when the first group of a segment is synced. Records of a group are written at once
//! and synced once; a segment's header is written with its first group.
//!
//! # What recovery can tell
//!
//! A group is written only after the one before it is synced, a segment only after the one before it is. So a place
//! that fails its check is *damage* if any sound item, by its `synced` or by standing in a later segment, says that the
//! place was durable; recovery then refuses with [`OpenError::Corrupt`] and the place. If none says so it is the *torn
//! tail* of a group whose sync never returned: nobody was told, it is cut off and reported in [`Recovery::torn`].
//!
//! What recovery hands out it has made durable again: the bytes that no item proves durable are rewritten and synced,
//! for after a failed sync memory shows what the disk does not have.
//!
//! Assumed of the disk: bytes that are written over with the same bytes stay what they are, whatever else a torn write
//! does. Not found without the other replicas: damage to the very last group together with the loss of the mark behind
//! it (which is not synced by itself), and a directory that is as a whole of an earlier time.

mod checksum;
mod chores;
mod clean_stop;
mod disk;
mod entry;
mod error;
mod identity;
mod init;
pub mod inspect;
mod item;
mod journal;
mod layout;
mod log;
mod marker;
mod preparation;
mod reason;
mod records;
mod recovery;
mod scan;
mod sealed;
mod segment;
mod settle;
mod shared;
pub mod snapshot;
mod status;
mod storage;
mod survey;
mod writer;

/// The example of the README is run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use clean_stop::CLEAN_STOP_BYTES_MAX;
pub use disk::Disk;
pub use entry::{Entry, Wrote};
pub use error::{Damage, DiskFailure, DiskReason, InitError, OpenError, Place};
pub use identity::{Identity, IdentityField};
pub use init::init;
pub use item::{ItemHeader, ItemKind, RECORD_BYTES_MAX};
pub use journal::{AppendError, Journal, Options, QUEUE_BYTES_MAX, SEGMENT_BYTES_MIN, StopError};
pub use log::{GROUP_BYTES_MAX, Log};
pub use marker::{Marker, Origin};
pub use preparation::{Pace, SEGMENT_BYTES, SEGMENT_BYTES_MAX, Spare, prepare, unlink};
pub use reason::Reason;
pub use records::{Record, Records};
pub use recovery::{Recovery, Torn};
pub use segment::{HeaderFault, SegmentHeader};
pub use shared::Waker;
pub use status::{STALL_AFTER, SYNC_BUCKETS, Statistics, Status};
pub use storage::{Access, Storage, StorageFile, StorageLock};
