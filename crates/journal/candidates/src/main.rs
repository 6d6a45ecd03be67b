//! The candidates that were not chosen, beside the journal and the raw disk.

#[allow(dead_code, reason = "its main function measures the journal alone")]
#[path = "../../../../benches/journal.rs"]
mod journal;

use std::io;
use std::path::Path;

use journal::{Candidate, Named, OURS, compare};
use raft_engine::{Config, Engine, LogBatch};

/// One record per key; the log sequence number is the key.
struct Redb {
    database: redb::Database,
    lsn: u64,
}

const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("journal");

impl Candidate for Redb {
    fn append(&mut self, record: &[u8], count: usize) {
        let transaction = self.database.begin_write().expect("a transaction");
        {
            let mut table = transaction.open_table(TABLE).expect("a table");
            for _ in 0..count {
                self.lsn += 1;
                table.insert(self.lsn, record).expect("room");
            }
        }
        transaction.commit().expect("a sound disk");
    }
}

struct RaftEngine {
    engine: Engine,
    lsn: u64,
}

impl Candidate for RaftEngine {
    fn append(&mut self, record: &[u8], count: usize) {
        let mut batch = LogBatch::with_capacity(count);
        for _ in 0..count {
            self.lsn += 1;
            batch
                .put(1, self.lsn.to_be_bytes().to_vec(), record.to_vec())
                .expect("a batch");
        }
        self.engine.write(&mut batch, true).expect("a sound disk");
    }
}

struct WalDb(wal_db::Wal<wal_db::SegmentedStore>);

impl Candidate for WalDb {
    fn append(&mut self, record: &[u8], count: usize) {
        for _ in 0..count {
            let _ = self.0.append(record).expect("room");
        }
        self.0.sync().expect("a sound disk");
    }
}

struct OkayWal(okaywal::WriteAheadLog);

/// Forgets what was checkpointed.
#[derive(Debug)]
struct Forget;

impl okaywal::LogManager for Forget {
    fn recover(&mut self, _: &mut okaywal::Entry<'_>) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut okaywal::SegmentReader,
        _: &okaywal::WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Candidate for OkayWal {
    fn append(&mut self, record: &[u8], count: usize) {
        let mut entry = self.0.begin_entry().expect("an entry");
        for _ in 0..count {
            entry.write_chunk(record).expect("room");
        }
        entry.commit().expect("a sound disk");
    }
}

fn redb(dir: &Path) -> Box<dyn Candidate> {
    let database = redb::Database::create(dir.join("redb")).expect("an empty directory");
    Box::new(Redb { database, lsn: 0 })
}

fn raft_engine(dir: &Path) -> Box<dyn Candidate> {
    let config = Config {
        dir: dir.display().to_string(),
        ..Config::default()
    };
    let engine = Engine::open(config).expect("an empty directory");
    Box::new(RaftEngine { engine, lsn: 0 })
}

fn wal_db(dir: &Path) -> Box<dyn Candidate> {
    Box::new(WalDb(
        wal_db::Wal::open_segmented(dir, 8 << 20).expect("an empty directory"),
    ))
}

fn okaywal(dir: &Path) -> Box<dyn Candidate> {
    Box::new(OkayWal(
        okaywal::WriteAheadLog::recover(dir, Forget).expect("an empty directory"),
    ))
}

fn main() {
    let others: [Named; 4] = [
        ("redb", redb),
        ("raft-engine", raft_engine),
        ("wal-db", wal_db),
        ("okaywal", okaywal),
    ];
    compare(&[OURS.as_slice(), &others].concat());
}
