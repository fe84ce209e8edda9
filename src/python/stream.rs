//! The stream in Python: ready things are taken at once, waiting is done by Python itself.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use super::allocator::expect_pages;
use super::batch::{Batch, stream_capsule};
use super::config::Config;
use super::errors::{OrRaise, raise};
use super::export::Export;
use super::memory::Memory;
use super::signal::{Bell, Signal, wait_for};
use super::table::Table;
use crate::checkpoint::{QuarantinedRecord, Save};
use crate::error::{Error, ErrorKind, Result};
use crate::page::KeyKind;
use crate::stream::{self, Answer, Level, Next};

/// `(shard, sequence number, raw record, reason)`.
type Quarantined = (String, Option<String>, Py<PyBytes>, String);

#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Stream {
    inner: Option<Arc<stream::Stream>>,
    signal: Arc<Signal>,
    process: u32,
}

#[pymethods]
impl Stream {
    /// Starts opening in the background.
    #[new]
    #[pyo3(signature = (config, memory=None))]
    fn new(py: Python<'_>, config: &str, memory: Option<&Memory>) -> PyResult<Self> {
        let signal = Arc::new(Signal::default());
        let plan = Config::parse(config)
            .and_then(|config| config.into_plan(memory.map(Memory::share).unwrap_or_default()))
            .or_raise(py)?;
        expect_pages(plan.source.terms().page_bytes);
        let wake = signal.clone();
        let inner = stream::Stream::open(plan, Arc::new(move || wake.notify())).or_raise(py)?;
        Ok(Self { inner: Some(Arc::new(inner)), signal, process: std::process::id() })
    }

    /// Whether opening is complete.
    fn opened(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.opened().transpose().or_raise(py).map(|opened| opened.is_some())
    }

    fn wait_opened(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.here(py)?;
        wait_for(py, &self.signal, None, || stream.opened())?.unwrap_or(Ok(())).or_raise(py)
    }

    /// The next batch, or `None`: either nothing is ready, or `ended` is true. Before that the consumer
    /// is done with the batch `done` and all before it.
    #[pyo3(signature = (done=None))]
    fn poll(&self, py: Python<'_>, done: Option<u64>) -> PyResult<Option<Batch>> {
        let stream = self.here(py)?;
        if let Some(batch) = done {
            stream.done(batch, false);
        }
        match stream.try_next() {
            Next::Batch(batch) => Ok(Some(Batch(batch))),
            Next::Pending | Next::Ended => Ok(None),
            Next::Failed(error) => Err(raise(py, &error)),
        }
    }

    /// As `poll`, but waits up to `timeout` seconds (`None`: for ever) for a batch or the end.
    #[pyo3(signature = (timeout=None))]
    fn take(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Batch>> {
        let stream = self.here(py)?;
        let timeout = timeout.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO));
        let next = wait_for(py, &self.signal, timeout, || match stream.try_next() {
            Next::Pending => None,
            next => Some(next),
        })?;
        match next {
            Some(Next::Batch(batch)) => Ok(Some(Batch(batch))),
            Some(Next::Failed(error)) => Err(raise(py, &error)),
            Some(Next::Ended | Next::Pending) | None => Ok(None),
        }
    }

    /// Whether every batch was taken and no more will come.
    #[getter]
    fn ended(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.is_ended())
    }

    /// Whether the snapshot is complete and every change made up to its end was taken.
    #[getter]
    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.is_ready())
    }

    /// As `ready`, but raises what ended the stream when that came first.
    fn poll_ready(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.ready().transpose().or_raise(py).map(|ready| ready.is_some())
    }

    /// Waits up to `timeout` seconds for `poll_ready`.
    fn wait_ready(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let stream = self.here(py)?;
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::ZERO);
        let ready = wait_for(py, &self.signal, Some(timeout), || stream.ready())?;
        ready.transpose().or_raise(py).map(|ready| ready.is_some())
    }

    fn done(&self, py: Python<'_>, batch: u64, alone: bool) -> PyResult<()> {
        self.here(py)?.done(batch, alone);
        Ok(())
    }

    /// Makes durable what is done.
    fn flush(&self, py: Python<'_>) -> PyResult<Ticket> {
        let stream = self.here(py)?;
        Ok(Ticket { answer: stream.flush(), signal: self.signal.clone() })
    }

    /// `(through, checkpoint, gaps, quarantined)` of everything through the batches taken so far.
    fn state(&self, py: Python<'_>) -> PyResult<(u64, String, Vec<String>, Vec<Quarantined>)> {
        let stream = self.here(py)?;
        let answer = stream.state();
        let Save { through, checkpoint, gaps, quarantined } = self.answer(py, &answer)?;
        let gaps = gaps.iter().map(to_json).collect::<Result<_>>().or_raise(py)?;
        Ok((through, checkpoint.to_json(), gaps, records(py, &quarantined)))
    }

    /// The loader made everything up to `through` durable.
    fn saved(&self, py: Python<'_>, through: u64) -> PyResult<()> {
        self.here(py)?.saved(through);
        Ok(())
    }

    /// Starts closing: what is done becomes durable, then every task ends.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.here(py)?.close();
        Ok(())
    }

    /// Whether closing is complete.
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.here(py)?.closed().transpose().or_raise(py).map(|closed| closed.is_some())
    }

    fn wait_closed(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.here(py)?;
        wait_for(py, &self.signal, None, || stream.closed())?.unwrap_or(Ok(())).or_raise(py)
    }

    #[getter]
    fn state_word(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.here(py)?.state_word())
    }

    /// JSON, or `None` before the table was described.
    fn metrics(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let stream = self.here(py)?;
        let metrics = py.detach(|| stream.metrics());
        metrics.as_ref().map(to_json).transpose().or_raise(py)
    }

    /// One JSON text per gap.
    fn gaps(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let answer = self.here(py)?.gaps();
        let gaps = self.answer(py, &answer)?;
        gaps.iter().map(to_json).collect::<Result<_>>().or_raise(py)
    }

    fn quarantined(&self, py: Python<'_>) -> PyResult<Vec<Quarantined>> {
        let answer = self.here(py)?.quarantined();
        let quarantined = self.answer(py, &answer)?;
        Ok(records(py, &quarantined))
    }

    /// Whether there may be lines for the log. It costs next to nothing.
    #[getter]
    fn has_log(&self) -> bool {
        self.inner.as_ref().is_some_and(|stream| stream.has_log())
    }

    /// `(whether it is a warning, text)` of each line for the log since the last call.
    fn drain_log(&self, py: Python<'_>) -> PyResult<Vec<(bool, String)>> {
        let lines = self.here(py)?.drain_log().into_iter();
        Ok(lines.map(|line| (line.level == Level::Warning, line.text)).collect())
    }

    /// `(table, table_arn, stream_arn, [(key, "S" | "N" | "B")], whether records carry new images)`.
    fn description(&self, py: Python<'_>) -> PyResult<Option<Described>> {
        let Some(known) = self.here(py)?.description() else { return Ok(None) };
        let keys = known.keys.iter().map(|key| (key.name.clone(), letter(key.kind))).collect();
        let (table, table_arn) = (known.table.clone(), known.table_arn.clone());
        Ok(Some((table, table_arn, known.stream_arn.clone(), keys, known.view.has_new_image())))
    }

    /// How long the stream keeps a record, in milliseconds; 0 before it is described.
    fn retention(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.here(py)?.description().map_or(0, |known| known.retention))
    }

    /// Gives a table without rows the columns known before the first record.
    fn fit(&self, py: Python<'_>, table: &Table) -> PyResult<()> {
        if let Some(schema) = self.here(py)?.first_schema() {
            table.fit(schema);
        }
        Ok(())
    }

    /// The batches to come as one Arrow stream. With `finishing`, asking for one finishes the one before.
    fn export<'py>(&self, py: Python<'py>, finishing: bool) -> PyResult<Bound<'py, PyCapsule>> {
        let stream = self.here(py)?.clone();
        let schema = stream.first_schema().ok_or_else(|| Error::internal("the stream is not open yet"));
        let schema = schema.or_raise(py)?;
        stream_capsule(py, Box::new(Export::new(stream, self.signal.clone(), schema, finishing)))
    }

    /// A bell for this stream's changes. It takes over the socket `fd`.
    fn bell(&self, py: Python<'_>, fd: i32) -> PyResult<Bell> {
        self.here(py)?;
        Ok(self.signal.bell(fd))
    }
}

type Described = (String, String, String, Vec<(String, &'static str)>, bool);

impl Stream {
    /// The stream, if this is the process that opened it.
    fn here(&self, py: Python<'_>) -> PyResult<&Arc<stream::Stream>> {
        let stream = self.inner.as_ref().filter(|_| self.process == std::process::id());
        stream.ok_or_else(forked).or_raise(py)
    }

    fn answer<T>(&self, py: Python<'_>, answer: &Answer<T>) -> PyResult<T> {
        wait_for(py, &self.signal, None, || answer.take())?.unwrap_or_else(|| Err(forked())).or_raise(py)
    }
}

fn forked() -> Error {
    Error::new(
        ErrorKind::Closed,
        "this stream was opened before the process forked, and its threads are not here; \
         open a stream in the process that uses it",
    )
}

impl Drop for Stream {
    /// After a fork the locks inside may be held by threads that are not here.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.inner.take());
        }
    }
}

/// Resolves when everything done before is durable.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Ticket {
    answer: stream::Ticket,
    signal: Arc<Signal>,
}

#[pymethods]
impl Ticket {
    /// Whether it has resolved. Ask no more once it has.
    fn resolved(&self, py: Python<'_>) -> PyResult<bool> {
        self.answer.take().transpose().or_raise(py).map(|resolved| resolved.is_some())
    }

    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        wait_for(py, &self.signal, None, || self.answer.take())?.unwrap_or(Ok(())).or_raise(py)
    }
}

fn letter(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Text => "S",
        KeyKind::Number => "N",
        KeyKind::Binary => "B",
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|cause| Error::internal("a value has no JSON form").with_cause(cause))
}

fn records(py: Python<'_>, quarantined: &[QuarantinedRecord]) -> Vec<Quarantined> {
    quarantined.iter().map(|one| quarantined_record(py, one)).collect()
}

fn quarantined_record(py: Python<'_>, one: &QuarantinedRecord) -> Quarantined {
    let sequence = one.record.sequence.as_ref().map(ToString::to_string);
    let raw = PyBytes::new(py, &one.record.raw).unbind();
    (one.shard.to_string(), sequence, raw, one.record.reason.clone())
}
