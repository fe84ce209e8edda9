//! The writer in Python: rows are taken where they are given, waiting is done by Python itself.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Schema};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};
use serde::Deserialize;

use super::config::{parse, seconds, seed};
use super::errors::OrRaise;
use super::signal::{Bell, Signal, wait_for};
use crate::aws::Connection;
use crate::aws::arn::KinesisTarget;
use crate::error::{Error, ErrorKind, Result};
use crate::writer::{self, KeyOf, Payload, Place, Rows, Settings, Shape, Taken};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    stream: String,
    connection: Connection,
    create_shards: Option<i32>,
    partition_key: KeyConfig,
    explicit_hash_key: Option<String>,
    payload: PayloadConfig,
    ordered: bool,
    requests: usize,
    memory_limit: usize,
    patience: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeyConfig {
    Data,
    Columns(Vec<String>),
    Template(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PayloadConfig {
    Json,
    Column(String),
    Change { table: Option<String> },
}

impl Config {
    fn into_settings(self) -> Result<Settings> {
        let target = KinesisTarget::parse(&self.stream)?;
        self.connection.check()?;
        self.connection.region_for(target.region())?;
        Ok(Settings {
            place: Place { target, connection: self.connection, create_shards: self.create_shards },
            shape: Shape {
                partition_key: match self.partition_key {
                    KeyConfig::Data => KeyOf::Data,
                    KeyConfig::Columns(names) => KeyOf::Columns(names),
                    KeyConfig::Template(text) => KeyOf::Template(text),
                },
                explicit_hash_key: self.explicit_hash_key,
                payload: match self.payload {
                    PayloadConfig::Json => Payload::Json,
                    PayloadConfig::Column(name) => Payload::Column(name),
                    PayloadConfig::Change { table } => Payload::Change { table },
                },
            },
            ordered: self.ordered,
            requests: self.requests,
            memory: self.memory_limit,
            patience: seconds("stall_timeout", self.patience)?,
            seed: seed(),
        })
    }
}

#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Writer {
    inner: Option<Arc<writer::Writer>>,
    signal: Arc<Signal>,
    process: u32,
}

/// `(rows, written, bytes, requests, retried, throttled, unanswered)`.
type Counts = (u64, u64, u64, u64, u64, u64, u64);

#[pymethods]
impl Writer {
    /// Starts opening in the background.
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let signal = Arc::new(Signal::default());
        let settings = parse::<Config>(config).and_then(Config::into_settings).or_raise(py)?;
        let wake = signal.clone();
        let inner = writer::Writer::open(settings, Arc::new(move || wake.notify())).or_raise(py)?;
        Ok(Self { inner: Some(Arc::new(inner)), signal, process: std::process::id() })
    }

    fn opened(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.opened().transpose().or_raise(py).map(|opened| opened.is_some())
    }

    fn wait_opened(&self, py: Python<'_>) -> PyResult<()> {
        let writer = self.here(py)?;
        wait_for(py, &self.signal, None, || writer.opened())?.unwrap_or(Ok(())).or_raise(py)
    }

    /// Begins to take the rows of anything that exports `__arrow_c_stream__` or `__arrow_c_array__`.
    fn begin(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Write> {
        let writer = self.here(py)?.clone();
        Ok(Write { writer, signal: self.signal.clone(), rows: Mutex::new(import(data)?) })
    }

    /// Whether everything accepted is acknowledged.
    fn flushed(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.flushed().transpose().or_raise(py).map(|flushed| flushed.is_some())
    }

    fn wait_flushed(&self, py: Python<'_>) -> PyResult<()> {
        let writer = self.here(py)?;
        wait_for(py, &self.signal, None, || writer.flushed())?.unwrap_or(Ok(())).or_raise(py)
    }

    /// Starts closing: after everything accepted, or, with `abandon`, without what waits.
    fn close(&self, py: Python<'_>, abandon: bool) -> PyResult<()> {
        let writer = self.here(py)?;
        if abandon {
            writer.abandon()
        } else {
            writer.close()
        }
        Ok(())
    }

    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.closed().transpose().or_raise(py).map(|closed| closed.is_some())
    }

    fn wait_closed(&self, py: Python<'_>) -> PyResult<()> {
        let writer = self.here(py)?;
        wait_for(py, &self.signal, None, || writer.closed())?.unwrap_or(Ok(())).or_raise(py)
    }

    fn counts(&self, py: Python<'_>) -> PyResult<Counts> {
        let counts = self.here(py)?.counts();
        Ok((
            counts.rows,
            counts.written,
            counts.bytes,
            counts.requests,
            counts.retried,
            counts.throttled,
            counts.unanswered,
        ))
    }

    /// A bell for this writer's changes. It takes over the socket `fd`.
    fn bell(&self, py: Python<'_>, fd: i32) -> PyResult<Bell> {
        self.here(py)?;
        Ok(self.signal.bell(fd))
    }
}

impl Writer {
    /// The writer, if this is the process that opened it.
    fn here(&self, py: Python<'_>) -> PyResult<&Arc<writer::Writer>> {
        let writer = self.inner.as_ref().filter(|_| self.process == std::process::id());
        writer.ok_or_else(forked).or_raise(py)
    }
}

impl Drop for Writer {
    /// After a fork the locks inside may be held by threads that are not here.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.inner.take());
        }
    }
}

fn forked() -> Error {
    let message = "this writer was opened before the process forked, and its threads are not here; \
                   open a writer in the process that uses it";
    Error::new(ErrorKind::Closed, message)
}

/// Rows on their way into a writer.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Write {
    writer: Arc<writer::Writer>,
    signal: Arc<Signal>,
    rows: Mutex<Rows>,
}

#[pymethods]
impl Write {
    /// Takes a piece: true when it was the last, false when there are more, `None` when there is no room.
    fn step(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        let taken = py.detach(|| {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            self.writer.take(&mut rows)
        });
        Ok(match taken.or_raise(py)? {
            Taken::All => Some(true),
            Taken::Some => Some(false),
            Taken::Nothing => None,
        })
    }

    /// Takes all, waiting for room.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let step = wait_for(py, &self.signal, None, || self.step(py).transpose())?;
            if step.transpose()? != Some(false) {
                return Ok(());
            }
            py.check_signals()?;
        }
    }
}

fn import(data: &Bound<'_, PyAny>) -> PyResult<Rows> {
    if data.hasattr("__arrow_c_stream__")? {
        return import_stream(data);
    }
    if data.hasattr("__arrow_c_array__")? {
        let batch = import_array(data)?;
        return Ok(Rows::new(std::iter::once(Ok(batch))));
    }
    let kind = data.get_type().qualname()?;
    Err(PyTypeError::new_err(format!(
        "a {kind} is no Arrow data: give something that exports __arrow_c_stream__ or __arrow_c_array__, \
         such as a table of pyarrow, a frame of polars or a batch of a stream"
    )))
}

fn import_stream(data: &Bound<'_, PyAny>) -> PyResult<Rows> {
    let capsule = data.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| not_arrow("__arrow_c_stream__"))?;
    let pointer =
        capsule.pointer_checked(Some(c"arrow_array_stream")).map_err(|_| not_arrow("__arrow_c_stream__"))?;
    // SAFETY: the name of the capsule promises an `ArrowArrayStream`; it is moved out, which leaves a
    // released one behind for the capsule.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.cast().as_ptr()) };
    let reader =
        RecordBatchStreamReader::try_new(stream).map_err(|cause| PyValueError::new_err(cause.to_string()))?;
    Ok(Rows::new(reader))
}

fn import_array(data: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let wrong = || not_arrow("__arrow_c_array__");
    let pair = data.call_method0("__arrow_c_array__")?;
    let pair = pair.cast::<PyTuple>().map_err(|_| wrong())?;
    let (schema, array) = (pair.get_item(0)?, pair.get_item(1)?);
    let schema = schema.cast::<PyCapsule>().map_err(|_| wrong())?;
    let array = array.cast::<PyCapsule>().map_err(|_| wrong())?;
    let schema = schema.pointer_checked(Some(c"arrow_schema")).map_err(|_| wrong())?;
    let array = array.pointer_checked(Some(c"arrow_array")).map_err(|_| wrong())?;
    // SAFETY: the names of the capsules promise what they hold; the schema is borrowed while its capsule
    // lives, the array is moved out, which leaves a released one behind.
    let (data, schema) = unsafe {
        let schema = schema.cast::<FFI_ArrowSchema>().as_ref();
        (from_ffi(FFI_ArrowArray::from_raw(array.cast().as_ptr()), schema), Schema::try_from(schema))
    };
    let refused = |cause: arrow_schema::ArrowError| PyValueError::new_err(cause.to_string());
    let data = data.map_err(refused)?;
    if !matches!(data.data_type(), DataType::Struct(_)) {
        return Err(PyTypeError::new_err("the Arrow data is one column; give a record batch or a table"));
    }
    let rows = StructArray::from(data);
    if rows.null_count() > 0 {
        return Err(PyValueError::new_err("the Arrow data has rows that are null as a whole"));
    }
    RecordBatch::try_new(Arc::new(schema.map_err(refused)?), rows.columns().to_vec()).map_err(refused)
}

fn not_arrow(method: &str) -> PyErr {
    PyTypeError::new_err(format!("{method}() did not give Arrow data"))
}
