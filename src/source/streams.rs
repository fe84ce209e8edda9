//! DynamoDB Streams: a table's changes of the last 24 hours, and the table itself to begin with.

mod cautions;
mod describe;
mod destinations;
mod enable;
#[cfg(test)]
mod tests;

use aws_sdk_dynamodbstreams::types::{
    Shard as SdkShard, ShardFilter, ShardFilterType, ShardIteratorType, StreamDescription,
    StreamStatus as SdkStatus,
};
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::aws::Connection;
use crate::aws::arn::Target;
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{
    Cursor, Description, ItemsPage, Listing, Millis, OpenAt, Opened, Page, ScanRequest, Scope, Shard,
    StreamStatus, TableDescription, Terms,
};
use crate::position::{SequenceNumber, ShardId};
use crate::source::budget::SharedBudget;
use crate::source::envelope::{Envelope, OfRecords};
use crate::source::scan::Scanned;
use crate::source::{Answer, Source};

/// "You can call `DescribeStream` at a maximum rate of 10 times per second" (API reference).
const DESCRIBE_STREAM_RATE: f64 = 10.0;

/// The most records GetRecords gives (API reference).
const PAGE_RECORDS: i32 = 1000;

/// GetRecords gives at most 1 MB of data. As text that is more: base64 adds a third to binary
/// values, names and type tags come with every attribute, and the piecewise body is put
/// together beside its last piece. Only text made of control characters would pass 4 MiB,
/// and such a page is still read.
const PAGE_BYTES: usize = 4 << 20;

/// Scan reads at most 1 MB of items, counted without the JSON around them. The smallest
/// attributes grow most: a digit under a name of one letter counts 3 bytes and is 14 as text
/// (`"a":{"N":"1"},`). Only long lists of booleans and nulls, or text made of control
/// characters, would pass five times their size, and such a page is still read.
pub(super) const SCAN_PAGE_BYTES: usize = 5 << 20;

/// The stream keeps records this long (Developer Guide, "Change data capture for DynamoDB Streams").
pub const RETENTION: Millis = 24 * 60 * 60 * 1000;

/// What the SDK parses in place of a page; it has no required members.
const STUB: &[u8] = br#"{"Records":[]}"#;

/// One table and its stream, found and read through the service's API.
#[derive(Debug)]
pub struct Streams {
    target: Target,
    connection: Connection,
    /// Made at the first call: a source is a description until then.
    room: OnceCell<Room>,
}

/// What is needed to call: the clients, and how often they may.
#[derive(Debug)]
struct Room {
    clients: Clients,
    describe_budget: SharedBudget,
    /// For a scan that reads some columns: the service gives keys only when they are asked for.
    key_names: OnceCell<Vec<String>>,
}

/// One page of a stream's description.
struct Described {
    stream: StreamDescription,
    server_time: Option<Millis>,
}

impl Streams {
    /// `target` is a table's name, its ARN, or the ARN of one of its streams. Nothing is contacted.
    ///
    /// # Errors
    /// `Usage`, naming the value or the option.
    pub fn new(target: &str, connection: Connection) -> Result<Self> {
        let target = Target::parse(target)?;
        connection.check()?;
        connection.region_for(target.region())?;
        Ok(Self { target, connection, room: OnceCell::new() })
    }

    async fn room(&self) -> Result<&Room> {
        self.room.get_or_try_init(|| self.enter()).await
    }

    async fn enter(&self) -> Result<Room> {
        let clients = Clients::connect(&self.connection, self.target.region()).await?;
        let endpoint = self.connection.endpoint_url.as_deref().unwrap_or_default();
        let describe_budget =
            SharedBudget::of("DescribeStream", &clients.region, endpoint, DESCRIBE_STREAM_RATE);
        Ok(Room { clients, describe_budget, key_names: OnceCell::new() })
    }

    async fn list(&self, stream: &str, scope: &Scope) -> Result<Listing> {
        let room = self.room().await?;
        let (mut listing, mut after) = room.list_page(stream, None, scope).await?;
        while let Some(last) = after {
            match room.list_page(stream, Some(&last), scope).await {
                Ok((page, next)) => {
                    listing.shards.extend(page.shards);
                    after = next;
                }
                // What was had is true, but what is missing from it proves nothing.
                Err(error) if error.retryable() => {
                    listing.complete = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if let Scope::ChildrenOf(parent) = scope {
            // Some servers ignore the filter and list everything.
            listing.shards.retain(|shard| shard.parents.contains(parent));
        }
        Ok(listing)
    }

    async fn open(&self, stream: &str, shard: &ShardId, at: &OpenAt) -> Result<Opened> {
        let room = self.room().await?;
        let keep = Keep::headers();
        let (kind, sequence) = match at {
            OpenAt::Beginning => (ShardIteratorType::TrimHorizon, None),
            OpenAt::Latest => (ShardIteratorType::Latest, None),
            OpenAt::At(number) => (ShardIteratorType::AtSequenceNumber, Some(number)),
            OpenAt::After(number) => (ShardIteratorType::AfterSequenceNumber, Some(number)),
            OpenAt::Time(_) => return Err(Error::internal("DynamoDB Streams open no shard at a moment")),
        };
        let request = room.clients.streams.get_shard_iterator();
        let request = request.stream_arn(stream).shard_id(shard.as_str()).shard_iterator_type(kind);
        let request = request.set_sequence_number(sequence.map(|number| number.record().to_owned()));
        let output = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("shard {shard}");
        let output = output.map_err(|error| {
            room.clients.failed("GetShardIterator", &subject, &keep, &error).with_shard(shard)
        })?;
        Opened::at(output.shard_iterator(), shard, keep.kept().server_time)
    }

    async fn fetch(&self, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
        let room = self.room().await?;
        let (body, server_time) = room.get_records(shard, cursor).await?;
        let envelope = Envelope::<OfRecords>::read(&body)
            .map_err(|error| Error::new(error.kind(), format!("shard {shard}: {error}")).with_shard(shard))?;
        let next = envelope.about.next.map(|next| Cursor(next.into()));
        Ok(Page {
            shard: shard.clone(),
            body,
            records: envelope.elements,
            next,
            behind: None,
            children: Vec::new(),
            hash_keys: None,
            weight: 0,
            server_time,
        })
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ItemsPage> {
        let room = self.room().await?;
        let keys = match request.columns {
            Some(_) => room.key_names.get_or_try_init(|| self.key_names(room)).await?.as_slice(),
            None => &[],
        };
        let table = Scanned { clients: &room.clients, name: self.target.table(), asked: self.asked_table() };
        table.page(request, keys).await
    }
}

impl Source for Streams {
    fn describe(&self) -> Answer<'_, Description> {
        Box::pin(self.describe_target())
    }

    fn describe_table(&self) -> Answer<'_, TableDescription> {
        Box::pin(self.describe_table_alone())
    }

    fn cautions(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.cautions_of_table())
    }

    fn enable_stream(&self) -> Answer<'_, Description> {
        Box::pin(self.enable(enable::pauses()))
    }

    fn list<'a>(&'a self, stream: &'a str, scope: &'a Scope) -> Answer<'a, Listing> {
        Box::pin(Streams::list(self, stream, scope))
    }

    fn open<'a>(&'a self, stream: &'a str, shard: &'a ShardId, at: &'a OpenAt) -> Answer<'a, Opened> {
        Box::pin(Streams::open(self, stream, shard, at))
    }

    fn fetch<'a>(&'a self, shard: &'a ShardId, cursor: &'a Cursor) -> Answer<'a, Page> {
        Box::pin(Streams::fetch(self, shard, cursor))
    }

    fn scan<'a>(&'a self, request: &'a ScanRequest) -> Answer<'a, ItemsPage> {
        Box::pin(Streams::scan(self, request))
    }

    fn terms(&self) -> Terms {
        Terms::of_pages(PAGE_BYTES, SCAN_PAGE_BYTES)
    }
}

impl Room {
    /// One page of a stream's description, when the budget allows it.
    async fn describe_stream(
        &self,
        stream: &str,
        after: Option<&str>,
        scope: &Scope,
        limit: Option<i32>,
    ) -> Result<Described> {
        self.describe_budget.wait().await;
        let keep = Keep::headers();
        let request = self.clients.streams.describe_stream().stream_arn(stream);
        let request = request.set_exclusive_start_shard_id(after.map(str::to_owned));
        let request = request.set_shard_filter(filter(scope)).set_limit(limit);
        let output = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("stream {stream}");
        let output = output.map_err(|error| {
            let error = self.clients.failed("DescribeStream", &subject, &keep, &error);
            if error.kind() == ErrorKind::Throttled {
                self.describe_budget.throttled();
            }
            error
        })?;
        self.describe_budget.succeeded();
        let stream = output.stream_description.ok_or_else(|| {
            Error::new(ErrorKind::BadPage, format!("DescribeStream of {subject} gave no description"))
        })?;
        Ok(Described { stream, server_time: keep.kept().server_time })
    }

    /// One page of a listing, and where it goes on.
    async fn list_page(
        &self,
        stream: &str,
        after: Option<&str>,
        scope: &Scope,
    ) -> Result<(Listing, Option<String>)> {
        let page = self.describe_stream(stream, after, scope, None).await?;
        let next = next_page(&page.stream, after)?;
        let shards = page.stream.shards().iter().map(shard).collect::<Result<_>>()?;
        let (status, server_time) = (status(&page.stream), page.server_time);
        Ok((Listing { shards, status, complete: true, retention: None, server_time }, next))
    }

    async fn get_records(&self, shard: &ShardId, cursor: &Cursor) -> Result<(Bytes, Option<Millis>)> {
        let keep = Keep::body(STUB);
        let request =
            self.clients.streams.get_records().shard_iterator(cursor.0.as_ref()).limit(PAGE_RECORDS);
        let sent = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("shard {shard}");
        sent.map_err(|error| self.clients.failed("GetRecords", &subject, &keep, &error).with_shard(shard))?;
        let body = keep.take_body();
        let body =
            body.ok_or_else(|| Error::internal("GetRecords succeeded without a body").with_shard(shard))?;
        Ok((body, keep.kept().server_time))
    }
}

fn filter(scope: &Scope) -> Option<ShardFilter> {
    let Scope::ChildrenOf(parent) = scope else { return None };
    Some(ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(parent.as_str()).build())
}

/// Where the listing goes on. An empty page may still have more behind it: only the absence of
/// `LastEvaluatedShardId` ends a listing.
fn next_page(stream: &StreamDescription, after: Option<&str>) -> Result<Option<String>> {
    let last = stream.last_evaluated_shard_id().filter(|last| !last.is_empty());
    if last.is_some() && last == after {
        let message = format!("DescribeStream goes round in circles at shard {}", last.unwrap_or_default());
        return Err(Error::new(ErrorKind::BadPage, message));
    }
    Ok(last.map(str::to_owned))
}

fn shard(listed: &SdkShard) -> Result<Shard> {
    let id = listed.shard_id().filter(|id| !id.is_empty());
    let id =
        id.ok_or_else(|| Error::new(ErrorKind::BadPage, "DescribeStream listed a shard without an id"))?;
    let range = listed.sequence_number_range();
    let number = |text: Option<&str>| {
        text.filter(|text| !text.is_empty()).map(SequenceNumber::parse).transpose().map_err(|error| {
            Error::new(ErrorKind::BadPage, format!("DescribeStream listed shard {id}: {error}"))
                .with_shard(&id.into())
        })
    };
    Ok(Shard {
        id: id.into(),
        parents: listed
            .parent_shard_id()
            .filter(|parent| !parent.is_empty())
            .map(ShardId::from)
            .into_iter()
            .collect(),
        starting: number(range.and_then(|range| range.starting_sequence_number()))?,
        ending: number(range.and_then(|range| range.ending_sequence_number()))?,
        hash_keys: None,
    })
}

/// A status of the future counts as enabled: the shards say what there is to read.
fn status(stream: &StreamDescription) -> StreamStatus {
    match stream.stream_status() {
        Some(SdkStatus::Enabling) => StreamStatus::Enabling,
        Some(SdkStatus::Disabling) => StreamStatus::Disabling,
        Some(SdkStatus::Disabled) => StreamStatus::Disabled,
        _ => StreamStatus::Enabled,
    }
}
