//! Joins the twin and the core: what the network and the source do, in virtual time.

use shardarrow::decode::{DecodeOptions, Format, OnBadRecord};
use shardarrow::error::{Error, ErrorKind, Result};
use shardarrow::page::{
    Cursor, Description, ItemsPage, KeyAttribute, KeyKind, Listing, OpenAt, Opened, Page, ScanRequest, Scope,
    Shard, StreamStatus, ViewType,
};
use shardarrow::position::{SequenceNumber, ShardId};
use shardarrow::source::envelope::{Envelope, OfItems, OfRecords};
use shardarrow::source::streams::RETENTION;
use twin::{Aws, AwsError, DescribeStream, IteratorType};

use crate::kinesis_service as kinesis;
use crate::pushed::{self, Subscriptions};
use crate::world::TABLE;

/// Which of the twin's services is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Table,
    Kinesis,
    /// Kinesis with objects as data; what is none is set aside.
    Objects,
    /// Kinesis by enhanced fan-out.
    Pushed,
}

impl Service {
    pub fn describe(self, aws: &mut Aws) -> Result<Description> {
        match self {
            Self::Table => describe(aws, TABLE),
            Self::Kinesis | Self::Objects | Self::Pushed => kinesis::describe(aws),
        }
    }

    pub fn list(self, aws: &mut Aws, stream: &str, scope: &Scope) -> Result<Listing> {
        match self {
            Self::Table => list(aws, stream, scope),
            Self::Kinesis | Self::Objects | Self::Pushed => kinesis::list(aws, stream, scope),
        }
    }

    pub fn open(self, aws: &mut Aws, stream: &str, shard: &ShardId, at: &OpenAt) -> Result<Opened> {
        match self {
            Self::Table => open(aws, stream, shard, at),
            Self::Kinesis | Self::Objects => kinesis::open(aws, shard, at),
            Self::Pushed => Ok(pushed::open(at)),
        }
    }

    pub fn fetch(
        self,
        aws: &mut Aws,
        subscriptions: &mut Subscriptions,
        shard: &ShardId,
        cursor: &Cursor,
    ) -> Result<Page> {
        match self {
            Self::Table => fetch(aws, shard, cursor),
            Self::Kinesis | Self::Objects => kinesis::fetch(aws, shard, cursor),
            Self::Pushed => pushed::fetch(aws, subscriptions, shard, cursor),
        }
    }

    pub fn decode(self) -> DecodeOptions {
        let (format, on_bad_record) = match self {
            Self::Table => (Format::Streams, OnBadRecord::Fail),
            Self::Kinesis | Self::Pushed => (Format::Bytes, OnBadRecord::Fail),
            Self::Objects => (Format::Json, OnBadRecord::Quarantine),
        };
        DecodeOptions { format, on_bad_record, ..DecodeOptions::default() }
    }
}

pub fn describe(aws: &mut Aws, table: &str) -> Result<Description> {
    let answer = aws.describe_table(table).map_err(failure)?;
    let stream_arn = answer
        .latest_stream_arn
        .ok_or_else(|| Error::new(ErrorKind::StreamUnusable, "the table has no stream"))?;
    let status = aws.describe_stream(&DescribeStream::all(&stream_arn)).map_err(failure)?.stream_status;
    Ok(Description {
        table: table.into(),
        table_arn: answer.table_arn,
        stream_arn,
        keys: vec![KeyAttribute { name: "k".into(), kind: KeyKind::Text }],
        view: ViewType::NewAndOldImages,
        status: parse_status(status),
        retention: RETENTION,
        items: Some(answer.item_count as u64),
        bytes: Some(answer.table_size_bytes as u64),
    })
}

pub fn list(aws: &mut Aws, stream: &str, scope: &Scope) -> Result<Listing> {
    let mut request = DescribeStream::all(stream);
    if let Scope::ChildrenOf(parent) = scope {
        request = request.children_of(parent.as_str());
    }
    let mut shards = Vec::new();
    loop {
        let page = match aws.describe_stream(&request) {
            Ok(page) => page,
            Err(error) if shards.is_empty() => return Err(failure(error)),
            Err(_) => {
                let server_time = Some(aws.now_ms());
                return Ok(Listing {
                    shards,
                    status: StreamStatus::Enabled,
                    complete: false,
                    retention: None,
                    server_time,
                });
            }
        };
        shards.extend(page.shards.iter().map(shard));
        match page.last_evaluated_shard_id {
            Some(last) => request = request.after(&last),
            None => {
                let status = parse_status(page.stream_status);
                return Ok(Listing {
                    shards,
                    status,
                    complete: true,
                    retention: None,
                    server_time: Some(aws.now_ms()),
                });
            }
        }
    }
}

fn shard(description: &twin::ShardDescription) -> Shard {
    let number = |text: &str| SequenceNumber::parse(text).unwrap();
    Shard {
        id: ShardId::new(description.shard_id.as_str()),
        parents: description.parent_shard_id.iter().map(|parent| ShardId::new(parent.as_str())).collect(),
        starting: Some(number(&description.sequence_number_range.starting_sequence_number)),
        ending: description.sequence_number_range.ending_sequence_number.as_deref().map(number),
        hash_keys: None,
    }
}

pub fn open(aws: &mut Aws, stream: &str, shard: &ShardId, at: &OpenAt) -> Result<Opened> {
    let (kind, sequence) = match at {
        OpenAt::Beginning => (IteratorType::TrimHorizon, None),
        OpenAt::Latest => (IteratorType::Latest, None),
        OpenAt::At(number) => (IteratorType::AtSequenceNumber, Some(number.as_str())),
        OpenAt::After(number) => (IteratorType::AfterSequenceNumber, Some(number.as_str())),
        OpenAt::Time(_) => unreachable!("DynamoDB Streams open no shard at a moment"),
    };
    let cursor = aws.get_shard_iterator(stream, shard.as_str(), kind, sequence).map_err(failure)?;
    Ok(Opened { cursor: Cursor(cursor.into()), server_time: Some(aws.now_ms()) })
}

pub fn fetch(aws: &mut Aws, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
    let body = aws.get_records_body(&cursor.0, Some(1000)).map_err(failure)?;
    let envelope = Envelope::<OfRecords>::read(&body)?;
    let next = envelope.about.next.map(|next| Cursor(next.into()));
    Ok(Page {
        shard: shard.clone(),
        records: envelope.elements,
        next,
        behind: None,
        children: Vec::new(),
        hash_keys: None,
        weight: 0,
        server_time: Some(aws.now_ms()),
        body,
    })
}

/// One page of a scan, as the real source makes it of the body.
pub fn scan(aws: &mut Aws, table: &str, request: &ScanRequest) -> Result<ItemsPage> {
    let segment = request.segment;
    let mut asked = twin::ScanRequest::of(table).segment(segment.index.into(), segment.total.into());
    asked.consistent_read = Some(request.consistent);
    if let Some(after) = &request.after {
        let key: twin::Attributes = serde_json::from_str(&after.0).unwrap();
        asked = asked.after(&key);
    }
    if let Some(limit) = request.limit {
        asked = asked.limit(limit as usize);
    }
    let body = aws.scan_body(&asked).map_err(failure)?;
    let envelope = Envelope::<OfItems>::read(&body)?;
    let OfItems { next, scanned, units } = envelope.about;
    Ok(ItemsPage {
        segment,
        items: envelope.elements,
        next,
        scanned,
        units,
        server_time: Some(aws.now_ms()),
        body,
    })
}

fn parse_status(status: &str) -> StreamStatus {
    match status {
        "ENABLING" => StreamStatus::Enabling,
        "ENABLED" => StreamStatus::Enabled,
        "DISABLING" => StreamStatus::Disabling,
        _ => StreamStatus::Disabled,
    }
}

pub fn failure(error: AwsError) -> Error {
    let kind = match error.code.rsplit(['#', '.']).next().unwrap_or_default() {
        "ExpiredIteratorException" => ErrorKind::IteratorExpired,
        "TrimmedDataAccessException" => ErrorKind::Trimmed,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ThrottlingException" | "LimitExceededException" | "ProvisionedThroughputExceededException" => {
            ErrorKind::Throttled
        }
        "AccessDeniedException" => ErrorKind::AccessDenied,
        "ValidationException" | "InvalidArgumentException" => ErrorKind::InvalidRequest,
        code if code == AwsError::BAD_BODY => ErrorKind::BadPage,
        _ => ErrorKind::Service,
    };
    Error::new(kind, error.message).with_code(error.code)
}
