//! Removing a fan-out consumer on request.

use std::sync::Arc;

use pyo3::prelude::*;
use tokio::sync::oneshot;

use super::config::SourceConfig;
use super::errors::OrRaise;
use super::signal::{Signal, wait_for};
use crate::stream::{Answer, spawn};

/// Removes the source's consumer from its stream.
#[pyfunction]
pub(super) fn deregister(py: Python<'_>, config: &str) -> PyResult<()> {
    let source = SourceConfig::parse(config).and_then(SourceConfig::into_fan_out).or_raise(py)?;
    let signal = Arc::new(Signal::default());
    let (sender, receiver) = oneshot::channel();
    let (answer, wake) = (Answer::new(receiver), signal.clone());
    spawn(|root| async move {
        tokio::select! {
            done = source.deregister() => drop(sender.send(done)),
            () = root.cancelled() => drop(sender),
        }
        wake.notify();
    })
    .or_raise(py)?;
    wait_for(py, &signal, None, || answer.take())?.unwrap_or(Ok(())).or_raise(py)
}
