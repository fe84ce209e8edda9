//! What a checkpoint file holds, for people to look at.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::errors::OrRaise;
use crate::checkpoint::sqlite::{Saved, SqliteStore};
use crate::error::{Error, Result};

/// `(consumer, checkpoint, saved at, gaps, number of quarantined records)`; times are milliseconds.
type Row = (String, String, i64, Vec<String>, u64);

/// Every consumer in the file, without holding or changing anything.
#[pyfunction]
pub(super) fn inspect_checkpoints(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Row>> {
    let saved = py.detach(|| SqliteStore::inspect(&path)).or_raise(py)?;
    saved.into_iter().map(row).collect::<Result<_>>().or_raise(py)
}

fn row(saved: Saved) -> Result<Row> {
    let gaps = saved.gaps.iter().map(serde_json::to_string).collect::<Result<_, _>>();
    let gaps = gaps.map_err(|cause| Error::internal("a gap has no JSON form").with_cause(cause))?;
    Ok((saved.name, saved.checkpoint.to_json(), saved.saved, gaps, saved.quarantined))
}
