//! Kinesis Data Streams, read by polling.

pub(crate) mod create;
mod describe;
mod listing;
#[cfg(test)]
mod tests;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::Bytes;
use tokio::sync::OnceCell;

use std::time::Duration;

use crate::aws::Connection;
use crate::aws::arn::KinesisTarget;
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{
    Cursor, Description, HashKeys, ItemsPage, KeyAttribute, Listing, Millis, OpenAt, Opened, Page,
    ScanRequest, Scope, Shard, TableDescription, Terms,
};
use crate::position::{SequenceNumber, ShardId};
use crate::source::budget::SharedBudget;
use crate::source::envelope::{Child, Envelope, Hashes, OfKinesis};
use crate::source::{Answer, Source};

/// DescribeStreamSummary "has a limit of 20 transactions per second per account" (API reference).
const DESCRIBE_RATE: f64 = 20.0;

/// The most records GetRecords gives (API reference).
const PAGE_RECORDS: i32 = 10_000;

/// GetRecords gives at most 10 MiB of data, a third more as base64; each record adds its partition
/// key and some 200 bytes of members. Only keys of 256 wide characters on the smallest records pass
/// 16 MiB, and such a page is still read.
const PAGE_BYTES: usize = 16 << 20;

/// "Each shard can support up to five read transactions per second" and "2 MB per second" (API
/// reference, GetRecords).
const PAUSE: Duration = Duration::from_millis(200);
const SHARD_BYTES_PER_SECOND: u32 = 2_000_000;

/// What Kinesis asks of who reads it by polling.
pub const TERMS: Terms = Terms {
    page_bytes: PAGE_BYTES,
    scan_page_bytes: 0,
    pause: PAUSE,
    shard_bytes_per_second: Some(SHARD_BYTES_PER_SECOND),
    opens_at_time: true,
    tells_lag: true,
    pushes: false,
};

/// What the SDK parses in place of a page: the members its parser requires.
const STUB: &[u8] = br#"{"Records":[]}"#;

/// One Kinesis stream, found and read through the service's API.
#[derive(Debug)]
pub struct Kinesis {
    target: KinesisTarget,
    connection: Connection,
    /// Of the table whose changes are in the stream, where they are known.
    keys: Vec<KeyAttribute>,
    /// With how many shards the stream is made when it is not there.
    create_shards: Option<i32>,
    /// Made at the first call: a source is a description until then.
    room: OnceCell<Room>,
}

/// What is needed to call: the clients, and how often they may.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) clients: Clients,
    describe_budget: SharedBudget,
}

impl Kinesis {
    /// `target` is a stream's name or its ARN. Nothing is contacted.
    ///
    /// # Errors
    /// `Usage`, naming the value or the option.
    pub fn new(target: &str, connection: Connection) -> Result<Self> {
        let target = KinesisTarget::parse(target)?;
        connection.check()?;
        connection.region_for(target.region())?;
        Ok(Self { target, connection, keys: Vec::new(), create_shards: None, room: OnceCell::new() })
    }

    /// The keys of the table whose changes are in the stream, hash key first: the service does not
    /// tell them.
    #[must_use]
    pub fn with_keys(self, keys: Vec<KeyAttribute>) -> Self {
        Self { keys, ..self }
    }

    /// Makes the stream with so many shards when it is not there.
    #[must_use]
    pub fn with_creation(self, create_shards: Option<i32>) -> Self {
        Self { create_shards, ..self }
    }

    pub(super) fn target(&self) -> &KinesisTarget {
        &self.target
    }

    pub(super) async fn room(&self) -> Result<&Room> {
        self.room.get_or_try_init(|| self.enter()).await
    }

    async fn enter(&self) -> Result<Room> {
        let clients = Clients::connect(&self.connection, self.target.region()).await?;
        let endpoint = self.connection.endpoint_url.as_deref().unwrap_or_default();
        let describe_budget =
            SharedBudget::of("DescribeStreamSummary", &clients.region, endpoint, DESCRIBE_RATE);
        Ok(Room { clients, describe_budget })
    }

    /// What requests name the stream by: its name, unless it was given as an ARN. An ARN keeps its
    /// account: the same name may be another stream in the account of these credentials.
    pub(super) fn asked(&self) -> (Option<String>, Option<String>) {
        match self.target.arn() {
            Some(arn) => (None, Some(arn.to_owned())),
            None => (Some(self.target.name().to_owned()), None),
        }
    }

    async fn open(&self, shard: &ShardId, at: &OpenAt) -> Result<Opened> {
        let room = self.room().await?;
        let keep = Keep::headers();
        let (name, arn) = self.asked();
        let (kind, number, time) = iterator(at);
        let request = room.clients.kinesis.get_shard_iterator().set_stream_name(name).set_stream_arn(arn);
        let request = request.shard_id(shard.as_str()).shard_iterator_type(kind);
        let request = request.set_starting_sequence_number(number).set_timestamp(time);
        let output = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("shard {shard}");
        let output = output.map_err(|error| {
            room.clients.kinesis_failed("GetShardIterator", &subject, &keep, &error).with_shard(shard)
        })?;
        Opened::at(output.shard_iterator(), shard, keep.kept().server_time)
    }

    async fn fetch(&self, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
        let (body, server_time) = self.room().await?.get_records(shard, cursor).await?;
        page(shard, body, server_time)
            .map_err(|error| Error::new(error.kind(), format!("shard {shard}: {error}")).with_shard(shard))
    }
}

impl Source for Kinesis {
    fn describe(&self) -> Answer<'_, Description> {
        Box::pin(self.describe_stream())
    }

    fn describe_table(&self) -> Answer<'_, TableDescription> {
        Box::pin(async { Err(self.no_table()) })
    }

    fn enable_stream(&self) -> Answer<'_, Description> {
        Box::pin(async { Err(self.no_table()) })
    }

    fn list<'a>(&'a self, stream: &'a str, scope: &'a Scope) -> Answer<'a, Listing> {
        Box::pin(Kinesis::list(self, stream, scope))
    }

    fn open<'a>(&'a self, _stream: &'a str, shard: &'a ShardId, at: &'a OpenAt) -> Answer<'a, Opened> {
        Box::pin(Kinesis::open(self, shard, at))
    }

    fn fetch<'a>(&'a self, shard: &'a ShardId, cursor: &'a Cursor) -> Answer<'a, Page> {
        Box::pin(Kinesis::fetch(self, shard, cursor))
    }

    fn scan<'a>(&'a self, _request: &'a ScanRequest) -> Answer<'a, ItemsPage> {
        Box::pin(async { Err(self.no_table()) })
    }

    fn terms(&self) -> Terms {
        TERMS
    }
}

impl Room {
    async fn get_records(&self, shard: &ShardId, cursor: &Cursor) -> Result<(Bytes, Option<Millis>)> {
        let keep = Keep::body(STUB);
        let request = self.clients.kinesis.get_records();
        let request = request.shard_iterator(cursor.0.as_ref()).limit(PAGE_RECORDS);
        let sent = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("shard {shard}");
        sent.map_err(|error| {
            self.clients.kinesis_failed("GetRecords", &subject, &keep, &error).with_shard(shard)
        })?;
        let body = keep.take_body();
        let body =
            body.ok_or_else(|| Error::internal("GetRecords succeeded without a body").with_shard(shard))?;
        Ok((body, keep.kept().server_time))
    }
}

/// The type of an iterator and what belongs to it. Of a record in an aggregate the service knows
/// only the whole.
fn iterator(at: &OpenAt) -> (ShardIteratorType, Option<String>, Option<DateTime>) {
    let record = |number: &SequenceNumber| Some(number.record().to_owned());
    match at {
        OpenAt::Beginning => (ShardIteratorType::TrimHorizon, None, None),
        OpenAt::Latest => (ShardIteratorType::Latest, None, None),
        OpenAt::At(number) => (ShardIteratorType::AtSequenceNumber, record(number), None),
        OpenAt::After(number) => (ShardIteratorType::AfterSequenceNumber, record(number), None),
        OpenAt::Time(time) => (ShardIteratorType::AtTimestamp, None, Some(DateTime::from_millis(*time))),
    }
}

/// Reads the body of an answer. A page that goes on names no children, and children name their
/// parents; anything else is no answer to go by. A page that does neither may be the end of its
/// shard: the run asks again.
///
/// # Errors
/// `BadPage`.
pub fn page(shard: &ShardId, body: Bytes, server_time: Option<Millis>) -> Result<Page> {
    let Envelope { elements, about } = Envelope::<OfKinesis>::read(&body)?;
    if about.next.is_some() && !about.children.is_empty() {
        return Err(Error::new(ErrorKind::BadPage, "the page has a next iterator and child shards"));
    }
    if about.children.iter().any(|child| child.parent_shards.is_empty()) {
        return Err(Error::new(ErrorKind::BadPage, "the page names a child shard without parents"));
    }
    let behind = about.behind.map(|behind| behind.max(0));
    let weight = weight(body.get(elements.clone()).unwrap_or_default());
    Ok(Page {
        shard: shard.clone(),
        body,
        records: elements,
        next: about.next.map(|next| Cursor(next.into())),
        behind,
        children: about.children.into_iter().map(child).collect::<Result<_>>()?,
        hash_keys: None,
        weight,
        server_time,
    })
}

/// How many bytes of data the records hold: base64 has four characters for three bytes. Within a
/// string every quote is escaped, so what looks like the member is the member. Of records that are
/// not written as the service writes them, the whole text counts.
fn weight(records: &[u8]) -> usize {
    const MEMBER: &[u8] = br#""Data":""#;
    let member = memchr::memmem::Finder::new(MEMBER);
    let (mut characters, mut rest) = (0, records);
    while let Some(at) = member.find(rest) {
        let data = rest.get(at + MEMBER.len()..).unwrap_or_default();
        let length = memchr::memchr(b'"', data).unwrap_or(data.len());
        characters += length;
        rest = data.get(length..).unwrap_or_default();
    }
    (if characters == 0 { records.len() } else { characters }) / 4 * 3
}

pub(super) fn child(child: Child) -> Result<Shard> {
    let hash_keys = child.hash_key_range.as_ref().map(|Hashes { starting_hash_key, ending_hash_key }| {
        hash_keys(&child.shard_id, starting_hash_key, ending_hash_key)
    });
    Ok(Shard {
        id: child.shard_id.as_str().into(),
        parents: child.parent_shards.iter().map(|parent| parent.as_str().into()).collect(),
        starting: None,
        ending: None,
        hash_keys: hash_keys.transpose()?,
    })
}

fn hash_keys(shard: &str, first: &str, last: &str) -> Result<HashKeys> {
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(HashKeys { first, last }),
        _ => Err(Error::new(
            ErrorKind::BadPage,
            format!("the hash keys of shard {shard}, {first:?} to {last:?}, are not numbers of 128 bits"),
        )),
    }
}
