//! A source examined once, for people to look at.

use std::sync::Arc;

use pyo3::prelude::*;
use tokio::sync::oneshot;

use super::config::SourceConfig;
use super::errors::OrRaise;
use super::signal::{Signal, wait_for};
use crate::error::Error;
use crate::stream::{Answer, examine as tried, spawn};

/// Tries the source's calls one by one; the answer is JSON.
#[pyfunction]
pub(super) fn examine(py: Python<'_>, config: &str, asks_table: bool, scans: bool) -> PyResult<String> {
    let source = SourceConfig::parse(config).and_then(SourceConfig::into_source).or_raise(py)?;
    let signal = Arc::new(Signal::default());
    let (sender, receiver) = oneshot::channel();
    let (answer, wake) = (Answer::new(receiver), signal.clone());
    spawn(|root| async move {
        tokio::select! {
            found = tried(source.as_ref(), asks_table, scans) => drop(sender.send(Ok(found))),
            () = root.cancelled() => drop(sender),
        }
        wake.notify();
    })
    .or_raise(py)?;
    let found = wait_for(py, &signal, None, || answer.take())?.transpose().or_raise(py)?;
    let text = serde_json::to_string(&found);
    text.map_err(|cause| Error::internal("an examination has no JSON form").with_cause(cause)).or_raise(py)
}
