//! The shard tree, asked for once.

use std::sync::Arc;

use pyo3::prelude::*;
use tokio::sync::oneshot;

use super::config::SourceConfig;
use super::errors::OrRaise;
use super::signal::{Bell, Signal, wait_for};
use crate::error::Result;
use crate::page::{Scope, Shard};
use crate::source::Source;
use crate::stream::{Answer, spawn};

/// `(id, parents, starting sequence number, ending sequence number)`.
type Row = (String, Vec<String>, Option<String>, Option<String>);

/// A listing under way.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Listing {
    answer: Answer<Vec<Shard>>,
    signal: Arc<Signal>,
}

#[pymethods]
impl Listing {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let source = SourceConfig::parse(config).and_then(SourceConfig::into_source).or_raise(py)?;
        let signal = Arc::new(Signal::default());
        let (sender, receiver) = oneshot::channel();
        let wake = signal.clone();
        spawn(|root| async move {
            let listed = tokio::select! {
                listed = list(source) => Some(listed),
                () = root.cancelled() => None,
            };
            // Without an answer the question resolves as closed.
            listed.map(|listed| sender.send(listed));
            wake.notify();
        })
        .or_raise(py)?;
        Ok(Self { answer: Answer::new(receiver), signal })
    }

    /// The shards, or `None` while they have not come. They can be taken once.
    fn poll(&self, py: Python<'_>) -> PyResult<Option<Vec<Row>>> {
        Ok(self.answer.take().transpose().or_raise(py)?.map(rows))
    }

    fn wait(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        let shards = wait_for(py, &self.signal, None, || self.answer.take())?;
        Ok(rows(shards.unwrap_or_else(|| Ok(Vec::new())).or_raise(py)?))
    }

    fn bell(&self, fd: i32) -> Bell {
        self.signal.bell(fd)
    }
}

async fn list(source: Arc<dyn Source>) -> Result<Vec<Shard>> {
    let description = source.describe().await?;
    Ok(source.list(&description.stream_arn, &Scope::Full).await?.shards)
}

fn rows(shards: Vec<Shard>) -> Vec<Row> {
    shards.into_iter().map(row).collect()
}

fn row(shard: Shard) -> Row {
    let parents = shard.parents.iter().map(ToString::to_string).collect();
    let (starting, ending) = (shard.starting, shard.ending);
    (shard.id.to_string(), parents, starting.map(Into::into), ending.map(Into::into))
}
