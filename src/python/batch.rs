//! A batch in Python, through the Arrow C data interface.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::errors::OrRaise;
use crate::batch::BatchRef;
use crate::decode::type_words;
use crate::position::Position;

type Capsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);
/// `("beginning" | "at" | "after", sequence number)`.
type Place = (&'static str, Option<String>);

fn arrow_error(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub(super) fn schema_capsule<'py>(py: Python<'py>, schema: &SchemaRef) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(arrow_error)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

fn array_capsule<'py>(py: Python<'py>, records: &RecordBatch) -> PyResult<Bound<'py, PyCapsule>> {
    let array = FFI_ArrowArray::new(&StructArray::from(records.clone()).to_data());
    PyCapsule::new_with_value(py, array, c"arrow_array")
}

pub(super) fn stream_capsule(
    py: Python<'_>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'_, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
}

/// Column names and types, exported through `__arrow_c_schema__`.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Schema(pub(super) SchemaRef);

#[pymethods]
impl Schema {
    #[getter]
    fn names(&self) -> Vec<String> {
        self.0.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The Arrow type of each column, in words.
    #[getter]
    fn types(&self) -> Vec<String> {
        self.0.fields().iter().map(|field| field.data_type().to_string()).collect()
    }

    #[getter]
    fn metadata(&self) -> HashMap<String, String> {
        self.0.metadata().clone().into()
    }

    fn __len__(&self) -> usize {
        self.0.fields().len()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.0)
    }
}

/// One batch; its buffers live as long as anything refers to them.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Batch(pub(super) BatchRef);

#[pymethods]
impl Batch {
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.0.records.num_rows()
    }

    #[getter]
    fn num_columns(&self) -> usize {
        self.0.records.num_columns()
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.0.records.schema())
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.0.epoch
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes
    }

    #[getter]
    fn spans(&self) -> Vec<(String, Place, Place)> {
        let spans = self.0.spans.iter();
        spans.map(|(shard, span)| (shard.to_string(), place(&span.from), place(&span.to))).collect()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.0.records.schema())
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Capsules<'py>> {
        // The interface lets a producer answer with its own schema when it cannot convert.
        drop(requested_schema);
        Ok((self.__arrow_c_schema__(py)?, array_capsule(py, &self.0.records)?))
    }
}

fn place(position: &Position) -> Place {
    let kind = match position {
        Position::Beginning => "beginning",
        Position::At(_) => "at",
        Position::After(_) => "after",
    };
    (kind, position.sequence().map(ToString::to_string))
}

/// Names and types in words of anything that exports `__arrow_c_schema__`.
#[pyfunction]
pub(super) fn schema_words(py: Python<'_>, exporter: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let schema = import_schema(exporter)?;
    let fields = schema.0.fields().iter();
    fields.map(|field| Ok((field.name().clone(), type_words(field).or_raise(py)?))).collect()
}

fn import_schema(object: &Bound<'_, PyAny>) -> PyResult<Schema> {
    let capsule = object.call_method0("__arrow_c_schema__")?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| not_a_schema())?;
    let pointer = capsule.pointer_checked(Some(c"arrow_schema")).map_err(|_| not_a_schema())?;
    // SAFETY: the name of the capsule promises an `ArrowSchema`, and the capsule outlives this borrow.
    let exported = unsafe { pointer.cast::<FFI_ArrowSchema>().as_ref() };
    arrow_schema::Schema::try_from(exported).map(|schema| Schema(Arc::new(schema))).map_err(arrow_error)
}

fn not_a_schema() -> PyErr {
    PyTypeError::new_err("__arrow_c_schema__() did not give an Arrow schema")
}
