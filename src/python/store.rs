//! A checkpoint file for a loader whose destination cannot keep the checkpoint with the data.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::prelude::*;

use super::errors::OrRaise;
use crate::checkpoint::sqlite::SqliteStore;
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::decode::Quarantined;
use crate::error::{Error, ErrorKind, Result};
use crate::position::SequenceNumber;

/// `(shard, sequence number, raw record, reason)`.
type Row = (String, Option<String>, Vec<u8>, String);

/// One consumer of a checkpoint file, held until `close`.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct CheckpointFile(Mutex<Option<SqliteStore>>);

#[pymethods]
impl CheckpointFile {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, name: &str) -> PyResult<Self> {
        let store = py.detach(|| SqliteStore::open(&path, name)).or_raise(py)?;
        Ok(Self(Mutex::new(Some(store))))
    }

    /// What was saved, as JSON.
    fn load(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let loaded = py.detach(|| self.with(|store| store.load()));
        Ok(loaded.or_raise(py)?.map(|checkpoint| checkpoint.to_json()))
    }

    /// Makes durable what `Stream.state` gave.
    fn save(
        &self,
        py: Python<'_>,
        through: u64,
        checkpoint: &str,
        gaps: Vec<String>,
        quarantined: Vec<Row>,
    ) -> PyResult<()> {
        let saved = py.detach(|| {
            let save = read(through, checkpoint, &gaps, quarantined)?;
            self.with(|store| store.save(&save))
        });
        saved.or_raise(py)
    }

    /// Lets the file go.
    fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl CheckpointFile {
    fn with<T>(&self, work: impl FnOnce(&mut SqliteStore) -> Result<T>) -> Result<T> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || Error::new(ErrorKind::Closed, "the checkpoint file is closed");
        work(store.as_mut().ok_or_else(closed)?)
    }
}

fn read(through: u64, checkpoint: &str, gaps: &[String], quarantined: Vec<Row>) -> Result<Save> {
    let bad = |cause: serde_json::Error| Error::internal("a gap is not what it was").with_cause(cause);
    let gaps = gaps.iter().map(|gap| serde_json::from_str::<Gap>(gap)).collect::<Result<_, _>>();
    Ok(Save {
        through,
        checkpoint: Checkpoint::parse(checkpoint)?,
        gaps: gaps.map_err(bad)?,
        quarantined: quarantined.into_iter().map(record).collect::<Result<_>>()?,
    })
}

fn record((shard, sequence, raw, reason): Row) -> Result<QuarantinedRecord> {
    let sequence = sequence.map(SequenceNumber::try_from).transpose()?;
    let record = Quarantined { sequence, raw: Bytes::from(raw), reason };
    Ok(QuarantinedRecord { shard: shard.as_str().into(), record })
}
