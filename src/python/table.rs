//! What a whole read gave, in Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::batch::{Batch, Schema, stream_capsule};
use super::errors::OrRaise;
use crate::decode::conform;
use crate::stream;

#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Table(Mutex<stream::Table>);

impl Table {
    fn inner(&self) -> MutexGuard<'_, stream::Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty table has the columns that are known before the first record.
    pub(super) fn fit(&self, schema: SchemaRef) {
        let mut table = self.inner();
        if table.rows() == 0 {
            table.set_schema(schema);
        }
    }
}

#[pymethods]
impl Table {
    /// `limit`: bytes held in memory; more goes to a temporary file. `most`: the rows it takes.
    #[new]
    #[pyo3(signature = (limit, most=None))]
    fn new(limit: usize, most: Option<usize>) -> Self {
        Self(Mutex::new(stream::Table::new(limit, conform).with_most(most)))
    }

    fn push(&self, py: Python<'_>, batch: &Batch) -> PyResult<()> {
        let batch = batch.0.clone();
        py.detach(|| self.inner().push(&batch.records, batch.bytes)).or_raise(py)
    }

    /// Whether it takes no more rows.
    #[getter]
    fn is_full(&self) -> bool {
        self.inner().is_full()
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.inner().rows()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.inner().bytes()
    }

    /// Whether part of it is in the temporary file.
    #[getter]
    fn is_resting(&self) -> bool {
        self.inner().is_resting()
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.inner().schema().clone())
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        stream_capsule(py, Box::new(self.inner().reader()))
    }
}
