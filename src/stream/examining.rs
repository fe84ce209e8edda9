//! A source's calls tried one by one, so that somebody can be told which of them fails.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::describing::twice;
use crate::error::{Error, Result};
use crate::page::{Description, Listing, Millis, OpenAt, ScanRequest, Scope, Segment, Shard};
use crate::source::Source;

/// What the calls gave. A call that needs the answer of one that failed is not made.
#[derive(Debug, Default, Serialize)]
pub struct Examination {
    pub calls: Vec<Tried>,
    pub stream: Option<StreamFacts>,
    /// Open and closed ones.
    pub shards: Option<(usize, usize)>,
    pub clock: Option<Clock>,
    pub cautions: Vec<String>,
}

/// One call of the `Source`, by its name there.
#[derive(Debug, Serialize)]
pub struct Tried {
    pub call: &'static str,
    pub failure: Option<Failure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub kind: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct StreamFacts {
    pub arn: String,
    pub table_arn: String,
    pub view: &'static str,
    pub status: &'static str,
    pub retention: Millis,
}

/// The service's time and ours at the same moment. The service's is in whole seconds.
#[derive(Debug, Serialize)]
pub struct Clock {
    pub service: Millis,
    pub local: Millis,
}

/// Tries every call that reading needs: nothing is changed, one item and one page at most are read.
///
/// With `asks_table` the table is described by itself, and with `scans` its first item is read.
pub async fn examine(source: &dyn Source, asks_table: bool, scans: bool) -> Examination {
    let mut found = Examination::default();
    if asks_table && found.note("describe_table", twice(|| source.describe_table()).await).is_some() {
        found.cautions = twice(|| source.cautions()).await.unwrap_or_default();
    }
    if let Some(description) = found.note("describe", twice(|| source.describe()).await) {
        found.describe(&description);
        examine_stream(&mut found, source, &description.stream_arn).await;
    }
    if scans {
        let request = one_item();
        found.note("scan", twice(|| source.scan(&request)).await);
    }
    found
}

async fn examine_stream(found: &mut Examination, source: &dyn Source, stream: &str) {
    let listing = twice(|| source.list(stream, &Scope::Full)).await;
    let local = now();
    let Some(listing) = found.note("list", listing) else { return };
    found.list(&listing, local);
    let open = listing.shards.iter().find(|shard| !shard.is_closed());
    let Some(shard) = open.or(listing.shards.first()) else { return };
    let at = if shard.is_closed() { OpenAt::Beginning } else { OpenAt::Latest };
    if let Some(opened) = found.note("open", twice(|| source.open(stream, &shard.id, &at)).await) {
        found.note("fetch", twice(|| source.fetch(&shard.id, &opened.cursor)).await);
    }
}

impl Examination {
    /// A failure that another call met already is the same one: `describe` asks for the table too.
    fn note<T>(&mut self, call: &'static str, result: Result<T>) -> Option<T> {
        let (value, failure) = match result {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(Failure::of(&error))),
        };
        let known = failure.is_some() && self.calls.iter().any(|tried| tried.failure == failure);
        if !known {
            self.calls.push(Tried { call, failure });
        }
        value
    }

    fn describe(&mut self, description: &Description) {
        self.stream = Some(StreamFacts {
            arn: description.stream_arn.clone(),
            table_arn: description.table_arn.clone(),
            view: description.view.name(),
            status: description.status.name(),
            retention: description.retention,
        });
    }

    fn list(&mut self, listing: &Listing, local: Option<Millis>) {
        let closed = listing.shards.iter().filter(|shard| Shard::is_closed(shard)).count();
        self.shards = Some((listing.shards.len() - closed, closed));
        self.clock = listing.server_time.zip(local).map(|(service, local)| Clock { service, local });
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { kind: error.kind().name(), message: error.message().to_owned() }
    }
}

fn one_item() -> ScanRequest {
    let segment = Segment { index: 0, total: 1 };
    ScanRequest { segment, after: None, consistent: true, limit: Some(1), columns: None }
}

fn now() -> Option<Millis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}
