//! Where records come from. The only code that calls AWS data-plane operations is below here.

pub mod budget;
pub mod envelope;
pub mod fan_out;
mod key;
pub mod kinesis;
mod scan;
pub mod streams;
pub mod through;

use std::future::Future;
use std::pin::Pin;

use crate::error::Result;
use crate::page::{
    Cursor, Description, ItemsPage, Listing, OpenAt, Opened, Page, ScanRequest, Scope, TableDescription,
    Terms,
};
use crate::position::ShardId;

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A service that keeps records in shards: the one seam between the core and the network.
///
/// Every call is one attempt with the source's own timeouts. Whether and when to try again is
/// decided by the reader, which is pure; errors say by their kind what they mean.
pub trait Source: Send + Sync + 'static {
    /// Finds the table and its newest stream, or the stream that stands alone.
    fn describe(&self) -> Answer<'_, Description>;

    /// Finds the table alone: enough for a scan of a table without a stream.
    fn describe_table(&self) -> Answer<'_, TableDescription>;

    /// What the service says of the source that its readers should know, in sentences.
    fn cautions(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Turns the table's stream on, with new and old images, and waits until it is there.
    /// A stream that is on already and has new images is left as it is.
    fn enable_stream(&self) -> Answer<'_, Description>;

    /// Lists the shards of `stream`.
    fn list<'a>(&'a self, stream: &'a str, scope: &'a Scope) -> Answer<'a, Listing>;

    /// Asks for a cursor into a shard of `stream`.
    fn open<'a>(&'a self, stream: &'a str, shard: &'a ShardId, at: &'a OpenAt) -> Answer<'a, Opened>;

    /// Reads one page.
    fn fetch<'a>(&'a self, shard: &'a ShardId, cursor: &'a Cursor) -> Answer<'a, Page>;

    /// Reads one page of the table itself. The table's keys are always among what is read.
    fn scan<'a>(&'a self, request: &'a ScanRequest) -> Answer<'a, ItemsPage>;

    /// What the service asks of its readers.
    fn terms(&self) -> Terms;
}
