//! Checkpoints in a SQLite file: several consumers by name, each write durable or not at all.

mod file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use crate::checkpoint::forward::refuse_backwards;
use crate::checkpoint::lock::ConsumerLock;
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::decode::Quarantined;
use crate::error::{Error, Result};
use crate::page::Millis;
use crate::position::{SequenceNumber, ShardId};

use file::{corrupt, reading, writing};

/// The checkpoint of one consumer in a file that several may share.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    name: String,
    /// What is saved, so that every write can be checked without reading.
    saved: Option<Checkpoint>,
    _lock: ConsumerLock,
}

/// What `SqliteStore::inspect` says about one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub name: String,
    pub checkpoint: Checkpoint,
    /// When it was saved, by the clock of the machine that did: for people to read.
    pub saved: Millis,
    pub gaps: Vec<Gap>,
    pub quarantined: u64,
}

impl SqliteStore {
    /// Opens or creates the file and holds `name` in it until dropped.
    ///
    /// # Errors
    /// * `Usage`: the name is empty.
    /// * `CheckpointBusy`: another process, or this one, holds the name.
    /// * `CheckpointCorrupt`: the file is damaged, or is not a checkpoint file of this version.
    /// * `CheckpointStore`: the file cannot be made, opened or written.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::usage("name is empty; a consumer needs a name such as \"default\""));
        }
        let path = file::resolve(path)?;
        let connection = file::open_or_create(&path)?;
        // After the file is known to be ours: nothing is left beside a file that is not.
        let lock = ConsumerLock::acquire(&path, name)?;
        let mut store = Self { connection, path, name: name.to_owned(), saved: None, _lock: lock };
        store.saved = store.load()?;
        Ok(store)
    }

    /// Every consumer in the file, without holding or changing anything.
    ///
    /// # Errors
    /// `CheckpointStore` when the file cannot be opened, `CheckpointCorrupt` as for `open`.
    pub fn inspect(path: &Path) -> Result<Vec<Saved>> {
        let path = file::resolve(path)?;
        let mut connection = file::open_to_read(&path)?;
        // One transaction: counts and checkpoints of the same moment.
        let snapshot = connection.transaction().map_err(|cause| reading(&path, cause))?;
        let rows = checkpoint_rows(&snapshot, &path)?;
        rows.into_iter().map(|row| inspect_one(&snapshot, &path, row)).collect()
    }

    /// Moves the first checkpoint from the log into the file itself, so that a log that is damaged
    /// or lost takes the consumer back a little, but never to a first start. It is durable already:
    /// when another consumer is in the way, the next automatic move does it.
    fn settle_first(&self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn write(&mut self, save: &Save) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write_checkpoint(&transaction, &self.name, &save.checkpoint)?;
        write_gaps(&transaction, &self.name, &save.gaps)?;
        write_quarantined(&transaction, &self.name, &save.quarantined)?;
        transaction.commit()
    }
}

impl CheckpointStore for SqliteStore {
    fn load(&mut self) -> Result<Option<Checkpoint>> {
        // Every row is checked: a damaged name must not read as "never saved".
        let rows = checkpoint_rows(&self.connection, &self.path)?;
        let own = rows.iter().find(|row| row.name == self.name);
        own.map(|row| parse(&self.path, row)).transpose()
    }

    fn save(&mut self, save: &Save) -> Result<()> {
        if let Some(saved) = &self.saved {
            refuse_backwards(saved, &save.checkpoint)?;
        }
        self.write(save).map_err(|cause| writing(&self.path, cause))?;
        if self.saved.replace(save.checkpoint.clone()).is_none() {
            self.settle_first();
        }
        Ok(())
    }

    fn gaps(&mut self) -> Result<Vec<Gap>> {
        read_gaps(&self.connection, &self.path, &self.name)
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedRecord>> {
        read_quarantined(&self.connection, &self.path, &self.name)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

fn inspect_one(connection: &Connection, path: &Path, row: CheckpointRow) -> Result<Saved> {
    let count = "SELECT count(*) FROM quarantine WHERE name = ?1";
    let quarantined = connection.query_row(count, [&row.name], |row| row.get::<_, i64>(0));
    Ok(Saved {
        checkpoint: parse(path, &row)?,
        saved: row.saved,
        gaps: read_gaps(connection, path, &row.name)?,
        quarantined: quarantined.map_err(|cause| reading(path, cause))?.unsigned_abs(),
        name: row.name,
    })
}

struct CheckpointRow {
    name: String,
    state: String,
    crc: i64,
    saved: Millis,
}

/// SQLite does not check the bytes it stores, so a row carries the CRC of its name and state.
fn checksum(name: &str, state: &str) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update(state.as_bytes());
    i64::from(hasher.finalize())
}

fn checkpoint_rows(connection: &Connection, path: &Path) -> Result<Vec<CheckpointRow>> {
    let columns = |row: &Row<'_>| {
        Ok(CheckpointRow { name: row.get(0)?, state: row.get(1)?, crc: row.get(2)?, saved: row.get(3)? })
    };
    let select = "SELECT name, state, crc, saved FROM checkpoint ORDER BY name";
    let rows = collect(connection, select, [], columns).map_err(|cause| reading(path, cause))?;
    match rows.iter().find(|row| checksum(&row.name, &row.state) != row.crc) {
        Some(row) => Err(corrupt(path, format!("the checkpoint of {:?} is damaged", row.name))),
        None => Ok(rows),
    }
}

fn parse(path: &Path, row: &CheckpointRow) -> Result<Checkpoint> {
    Checkpoint::parse(&row.state).map_err(|error| {
        let message = format!("{}, consumer {:?}: {error}", path.display(), row.name);
        Error::new(error.kind(), message).with_cause(error)
    })
}

fn read_gaps(connection: &Connection, path: &Path, name: &str) -> Result<Vec<Gap>> {
    let select = "SELECT gap FROM gap WHERE name = ?1 ORDER BY id";
    let rows = collect(connection, select, [name], |row| row.get::<_, String>(0));
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|cause| corrupt(path, format!("a gap cannot be read ({cause})")))
    };
    rows.map_err(|cause| reading(path, cause))?.into_iter().map(parse).collect()
}

fn read_quarantined(connection: &Connection, path: &Path, name: &str) -> Result<Vec<QuarantinedRecord>> {
    type Columns = (String, Option<String>, String, Vec<u8>);
    let select = "SELECT shard, sequence, reason, raw FROM quarantine WHERE name = ?1 ORDER BY id";
    let columns = |row: &Row<'_>| Columns::try_from(row);
    let rows = collect(connection, select, [name], columns).map_err(|cause| reading(path, cause))?;
    let record = |(shard, sequence, reason, raw): Columns| {
        let sequence = sequence.as_deref().map(SequenceNumber::parse).transpose();
        let sequence = sequence.map_err(|cause| corrupt(path, format!("a quarantined record: {cause}")))?;
        let record = Quarantined { sequence, raw: Bytes::from(raw), reason };
        Ok(QuarantinedRecord { shard: ShardId::new(shard), record })
    };
    rows.into_iter().map(record).collect()
}

fn collect<T>(
    connection: &Connection,
    select: &str,
    parameters: impl rusqlite::Params,
    columns: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(select)?.query_map(parameters, columns)?.collect()
}

fn write_checkpoint(
    transaction: &Transaction<'_>,
    name: &str,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let state = checkpoint.to_json();
    let crc = checksum(name, &state);
    let upsert = "INSERT INTO checkpoint (name, state, crc, saved)
                  VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER))
                  ON CONFLICT (name) DO UPDATE
                  SET state = excluded.state, crc = excluded.crc, saved = excluded.saved";
    transaction.prepare_cached(upsert)?.execute(params![name, state, crc])?;
    Ok(())
}

fn write_gaps(transaction: &Transaction<'_>, name: &str, gaps: &[Gap]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached("INSERT INTO gap (name, gap) VALUES (?1, ?2)")?;
    for gap in gaps {
        let text = serde_json::to_string(gap)
            .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))?;
        insert.execute(params![name, text])?;
    }
    Ok(())
}

fn write_quarantined(
    transaction: &Transaction<'_>,
    name: &str,
    records: &[QuarantinedRecord],
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO quarantine (name, shard, sequence, reason, raw) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(insert)?;
    for QuarantinedRecord { shard, record } in records {
        let sequence = record.sequence.as_ref().map(SequenceNumber::as_str);
        insert.execute(params![name, shard.as_str(), sequence, record.reason, record.raw.as_ref()])?;
    }
    Ok(())
}
