//! A table whose changes come through a Kinesis stream: the table is scanned, the stream is followed.

use std::sync::{Arc, OnceLock};

use super::streams::Streams;
use super::{Answer, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{
    Cursor, Description, ItemsPage, Listing, OpenAt, Opened, Page, ScanRequest, Scope, TableDescription,
    Terms, ViewType,
};
use crate::position::ShardId;

/// The table by its own service, its changes by that of the stream.
pub struct Through {
    table: Streams,
    channel: Arc<dyn Source>,
    /// Which stream it is, once it was described.
    identity: OnceLock<String>,
}

impl Through {
    pub fn new(table: Streams, channel: Arc<dyn Source>) -> Self {
        Self { table, channel, identity: OnceLock::new() }
    }

    /// # Errors
    /// `NotFound` when the table does not send its changes to this stream: a mirror would stay as the
    /// scan was, and nobody would notice.
    async fn describe(&self) -> Result<Description> {
        let table = self.table.describe_table().await?;
        let stream = self.channel.describe().await?;
        self.require_destination(&table, &stream).await?;
        let _ = self.identity.set(stream.stream_arn.clone());
        Ok(Description {
            table: table.table,
            table_arn: table.table_arn,
            stream_arn: stream.stream_arn,
            keys: table.keys,
            // Documented: both images, always.
            view: ViewType::NewAndOldImages,
            status: stream.status,
            retention: stream.retention,
            items: table.items,
            bytes: table.bytes,
        })
    }

    async fn require_destination(&self, table: &TableDescription, stream: &Description) -> Result<()> {
        let destinations = match self.table.destinations().await {
            Ok(destinations) => destinations,
            // Reading needs no leave to look at it, and some servers do not know the question.
            Err(error) if error.kind() == ErrorKind::AccessDenied => return Ok(()),
            Err(error) if error.code() == Some("UnknownOperationException") => return Ok(()),
            Err(error) => return Err(error),
        };
        let arn = &stream.table_arn;
        let found = destinations.iter().find(|destination| destination.stream_arn == *arn);
        match found.map(|destination| destination.status.as_str()) {
            Some("ACTIVE" | "UPDATING") => Ok(()),
            Some(status) => {
                Err(not_sent(&table.table, arn, &format!("its streaming destination is {status}")))
            }
            None => Err(not_sent(&table.table, arn, "it is not one of the table's streaming destinations")),
        }
    }
}

fn not_sent(table: &str, stream: &str, why: &str) -> Error {
    let message = format!(
        "table {table} does not send its changes to the Kinesis stream {stream}: {why}; turn it on: aws dynamodb \
         enable-kinesis-streaming-destination --table-name {table} --stream-arn {stream}"
    );
    Error::new(ErrorKind::NotFound, message)
}

impl Source for Through {
    fn describe(&self) -> Answer<'_, Description> {
        Box::pin(Through::describe(self))
    }

    /// Its stream is the one that is followed.
    fn describe_table(&self) -> Answer<'_, TableDescription> {
        Box::pin(async {
            let table = self.table.describe_table().await?;
            Ok(TableDescription { stream_arn: self.identity.get().cloned(), ..table })
        })
    }

    fn cautions(&self) -> Answer<'_, Vec<String>> {
        self.table.cautions()
    }

    fn enable_stream(&self) -> Answer<'_, Description> {
        Box::pin(async {
            Err(Error::usage(
                "enable_stream is about DynamoDB Streams, but these changes come through Kinesis",
            ))
        })
    }

    fn list<'a>(&'a self, stream: &'a str, scope: &'a Scope) -> Answer<'a, Listing> {
        self.channel.list(stream, scope)
    }

    fn open<'a>(&'a self, stream: &'a str, shard: &'a ShardId, at: &'a OpenAt) -> Answer<'a, Opened> {
        self.channel.open(stream, shard, at)
    }

    fn fetch<'a>(&'a self, shard: &'a ShardId, cursor: &'a Cursor) -> Answer<'a, Page> {
        self.channel.fetch(shard, cursor)
    }

    fn scan<'a>(&'a self, request: &'a ScanRequest) -> Answer<'a, ItemsPage> {
        self.table.scan(request)
    }

    fn terms(&self) -> Terms {
        Terms { scan_page_bytes: self.table.terms().scan_page_bytes, ..self.channel.terms() }
    }
}

#[cfg(test)]
mod tests;
