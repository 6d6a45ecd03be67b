//! Data directories: made, and looked at without changing them or taking their lock.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use byzantine_journal::inspect::{self, Inspection, ItemReport, SegmentReport};
use byzantine_journal::snapshot::{self, Snapshot};
use byzantine_journal::{
    Disk, HeaderFault, Identity, InitError, ItemKind, OpenError, Origin, SegmentHeader, Storage,
    Torn, init,
};
use napi::bindgen_prelude::{Either, Error, Result};
use napi_derive::napi;

use super::{counter, exact, failure};

/// The data of a replica is for its owner alone.
const DIRECTORY_MODE: u32 = 0o700;

/// Why a directory, segment or snapshot cannot be used.
#[napi(object)]
pub struct NativeDataDirProblem {
    /// `wiped`, `foreign`, `unsupportedVersion`, `corrupt` or `disk`.
    pub name: String,
    /// What is wrong, for people.
    pub text: String,
    /// The file's name in the directory, where it is one's.
    pub file: Option<String>,
    /// Where in that file, in bytes.
    pub offset: Option<f64>,
}

/// What recovery would cut off.
#[napi(object)]
pub struct NativeTornTail {
    /// The segment's name in the directory.
    pub file: String,
    /// Where the sound records end, in bytes.
    pub offset: f64,
    /// How many bytes.
    pub bytes: f64,
}

/// What recovery would find.
#[napi(object)]
pub struct NativeDataDir {
    /// Cluster id, 64 lower-case hexadecimal digits.
    pub cluster: String,
    /// Configuration epoch.
    pub epoch: f64,
    /// The replica's key, 64 lower-case hexadecimal digits.
    pub replica: String,
    /// `genesis`: a journal without records is a first start. `wiped`: it never is.
    #[napi(ts_type = "'genesis' | 'wiped'")]
    pub origin: String,
    /// Segments with records.
    pub segments: f64,
    /// Of the oldest record kept; `lastLsn` + 1 where none is.
    pub first_lsn: f64,
    /// Of the last record, 0 before the first one.
    pub last_lsn: f64,
    /// Bytes that the marker of a clean stop carries, where there is one.
    pub clean_stop: Option<f64>,
    /// What recovery would cut off.
    pub torn: Option<NativeTornTail>,
}

/// What recovery would refuse, and why.
#[napi(object)]
pub struct NativeDataDirRefusal {
    /// Why.
    pub problem: NativeDataDirProblem,
}

/// The header of a segment.
#[napi(object)]
pub struct NativeSegmentHeader {
    /// Cluster id, 64 lower-case hexadecimal digits.
    pub cluster: String,
    /// Configuration epoch.
    pub epoch: f64,
    /// The replica's key, 64 lower-case hexadecimal digits.
    pub replica: String,
    /// The segment's number.
    pub number: f64,
    /// Of the first record in it.
    pub first_lsn: f64,
    /// Length of the file in bytes.
    pub capacity: f64,
}

/// An item of a segment.
#[napi(object)]
pub struct NativeSegmentItem {
    /// Where it begins, in bytes.
    pub offset: f64,
    /// A record's number; that of the last record before a release or a mark.
    pub lsn: f64,
    /// What it is.
    #[napi(ts_type = "'record' | 'release' | 'mark'")]
    pub kind: String,
    /// Bytes of its payload.
    pub length: u32,
    /// What is wrong with it.
    pub damage: Option<String>,
}

/// A segment file with all that is in it.
#[napi(object)]
pub struct NativeSegment {
    /// Its number.
    pub number: f64,
    /// Its name in the directory.
    pub file: String,
    /// Its length in bytes.
    pub bytes: f64,
    /// Its header, or why it has none.
    pub header: Either<NativeSegmentHeader, String>,
    /// Also those behind a damaged one.
    pub items: Vec<NativeSegmentItem>,
}

/// A snapshot of which every byte was checked.
#[napi(object)]
pub struct NativeSnapshot {
    /// The sequence whose execution led to the state.
    pub sequence: f64,
    /// The state's digest, 64 lower-case hexadecimal digits.
    pub digest: String,
    /// Cluster id, 64 lower-case hexadecimal digits.
    pub cluster: String,
    /// Configuration epoch.
    pub epoch: f64,
    /// The replica's key, 64 lower-case hexadecimal digits.
    pub replica: String,
    /// How many chunks.
    pub chunks: f64,
    /// Bytes of them.
    pub bytes: f64,
}

/// A snapshot that cannot be used.
#[napi(object)]
pub struct NativeSnapshotRefusal {
    /// The sequence in its name.
    pub sequence: f64,
    /// Why.
    pub problem: NativeDataDirProblem,
}

/// Makes `dir` a data directory, with mode 0700 if it is new; `wiped` for a disk that was lost.
#[napi(catch_unwind)]
pub fn init_data_dir(
    dir: String,
    cluster_id: &[u8],
    epoch: f64,
    replica_key: &[u8],
    wiped: bool,
) -> Result<()> {
    let (dir, identity) = (Path::new(&dir), identity(cluster_id, epoch, replica_key)?);
    let origin = if wiped {
        Origin::Wiped
    } else {
        Origin::Genesis
    };
    create_private(dir).map_err(|error| disk_failure(format!("data directory: {error}")))?;
    init(&Disk, dir, &identity, origin)
        .map_err(|error| data_dir_failure(init_error_name(&error), error))
}

/// What recovery would find in `dir`, or why it would refuse.
#[napi(catch_unwind)]
pub fn inspect_data_dir(dir: String) -> Either<NativeDataDir, NativeDataDirRefusal> {
    match inspect::inspect(&Disk, Path::new(&dir)) {
        Ok(inspection) => Either::A(inspection.into()),
        Err(error) => Either::B(NativeDataDirRefusal {
            problem: error.into(),
        }),
    }
}

/// Numbers of the segment files in `dir`, ascending.
#[napi(catch_unwind)]
pub fn segment_numbers(dir: String) -> Result<Vec<f64>> {
    let numbers = inspect::segments(&Disk, Path::new(&dir)).map_err(disk_failure)?;
    Ok(numbers.into_iter().map(|number| number as f64).collect())
}

/// One segment with its damage. Memory: the file and an object per item.
#[napi(catch_unwind)]
pub fn inspect_segment(dir: String, number: f64) -> Result<NativeSegment> {
    inspect::segment(&Disk, Path::new(&dir), counter("number", number)?)
        .map(NativeSegment::from)
        .map_err(open_failure)
}

/// Reads every snapshot in `dir` whole, whoever they belong to, the newest first.
#[napi(catch_unwind)]
pub fn verify_snapshots(dir: String) -> Result<Vec<Either<NativeSnapshot, NativeSnapshotRefusal>>> {
    let dir = Path::new(&dir);
    let listed = snapshot::list(&Disk, dir).map_err(disk_failure)?;
    let verdict = |sequence| match snapshot::verify(&Disk, dir, sequence) {
        Ok(snapshot) => Either::A(snapshot.into()),
        Err(error) => Either::B(NativeSnapshotRefusal {
            sequence: sequence as f64,
            problem: error.into(),
        }),
    };
    Ok(listed
        .into_iter()
        .map(|listed| verdict(listed.sequence))
        .collect())
}

/// Whose directory it is.
pub(super) fn identity(cluster_id: &[u8], epoch: f64, replica_key: &[u8]) -> Result<Identity> {
    Ok(Identity {
        cluster: exact("clusterId", cluster_id)?,
        epoch: counter("epoch", epoch)?,
        replica: exact("replicaKey", replica_key)?,
    })
}

/// Why a directory or a file in it cannot be used.
pub(super) fn open_failure(error: OpenError) -> Error {
    data_dir_failure(error.name(), error)
}

/// What the disk refused.
pub(super) fn disk_failure(text: impl std::fmt::Display) -> Error {
    data_dir_failure("disk", text)
}

fn data_dir_failure(name: &str, text: impl std::fmt::Display) -> Error {
    failure("DATA_DIR", format!("{name}: {text}"))
}

fn init_error_name(error: &InitError) -> &'static str {
    match error {
        InitError::InUse => "inUse",
        InitError::AlreadyInitialized => "alreadyInitialized",
        InitError::NotEmpty(_) => "notEmpty",
        InitError::Disk(_) => "disk",
    }
}

/// A directory that was there keeps its mode: it is the operator's.
fn create_private(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    Disk.create_dir(parent)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
        // The name of a directory lives in its parent.
        Ok(()) => Disk.sync_dir(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<OpenError> for NativeDataDirProblem {
    fn from(error: OpenError) -> Self {
        let (file, offset) = match &error {
            OpenError::Corrupt { place, .. } => (Some(&place.file), Some(place.offset as f64)),
            OpenError::Foreign { file, .. } | OpenError::UnsupportedVersion { file, .. } => {
                (Some(file), None)
            }
            OpenError::InUse | OpenError::Wiped | OpenError::Disk(_) => (None, None),
        };
        Self {
            name: error.name().to_owned(),
            text: error.to_string(),
            file: file.cloned(),
            offset,
        }
    }
}

impl From<Inspection> for NativeDataDir {
    fn from(inspection: Inspection) -> Self {
        let Identity {
            cluster,
            epoch,
            replica,
        } = inspection.identity;
        let origin = match inspection.origin {
            Origin::Genesis => "genesis",
            Origin::Wiped => "wiped",
        };
        Self {
            cluster: hex(&cluster),
            epoch: epoch as f64,
            replica: hex(&replica),
            origin: origin.to_owned(),
            segments: inspection.segments as f64,
            first_lsn: inspection.first_lsn as f64,
            last_lsn: inspection.last_lsn as f64,
            clean_stop: inspection.clean_stop.map(|bytes| bytes as f64),
            torn: inspection.torn.map(NativeTornTail::from),
        }
    }
}

impl From<Torn> for NativeTornTail {
    fn from(torn: Torn) -> Self {
        Self {
            file: torn.place.file,
            offset: torn.place.offset as f64,
            bytes: torn.bytes as f64,
        }
    }
}

impl From<SegmentReport> for NativeSegment {
    fn from(report: SegmentReport) -> Self {
        Self {
            number: report.number as f64,
            file: report.file,
            bytes: report.bytes as f64,
            header: match report.header {
                Ok(header) => Either::A(header.into()),
                Err(fault) => Either::B(fault_text(fault)),
            },
            items: report
                .items
                .into_iter()
                .map(NativeSegmentItem::from)
                .collect(),
        }
    }
}

impl From<SegmentHeader> for NativeSegmentHeader {
    fn from(header: SegmentHeader) -> Self {
        Self {
            cluster: hex(&header.identity.cluster),
            epoch: header.identity.epoch as f64,
            replica: hex(&header.identity.replica),
            number: header.number as f64,
            first_lsn: header.first_lsn as f64,
            capacity: f64::from(header.capacity),
        }
    }
}

fn fault_text(fault: HeaderFault) -> String {
    match fault {
        HeaderFault::Blank => "prepared, nothing written yet".to_owned(),
        HeaderFault::Damaged => "the header fails its checksum".to_owned(),
        HeaderFault::Version(found) => format!("the unsupported version {found}"),
    }
}

impl From<ItemReport> for NativeSegmentItem {
    fn from(item: ItemReport) -> Self {
        let kind = match item.header.kind {
            ItemKind::Record => "record",
            ItemKind::Release => "release",
            ItemKind::Mark => "mark",
        };
        Self {
            offset: item.offset as f64,
            lsn: item.header.lsn as f64,
            kind: kind.to_owned(),
            length: item.header.length,
            damage: item.damage.map(|damage| damage.to_string()),
        }
    }
}

impl From<Snapshot> for NativeSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        let header = snapshot.header;
        Self {
            sequence: header.sequence as f64,
            digest: hex(&header.digest),
            cluster: hex(&header.identity.cluster),
            epoch: header.identity.epoch as f64,
            replica: hex(&header.identity.replica),
            chunks: snapshot.chunks as f64,
            bytes: snapshot.bytes as f64,
        }
    }
}
