//! Joins the twin's Kinesis and the core: what the network and the source do, in virtual time.

use shardarrow::error::{Error, ErrorKind, Result};
use shardarrow::page::{
    Cursor, Description, HashKeys, Listing, Millis, OpenAt, Opened, Page, Scope, Shard, StreamStatus,
    ViewType,
};
use shardarrow::position::{SequenceNumber, ShardId};
use shardarrow::source::kinesis::page;
use twin::Aws;
use twin::kinesis::{GetShardIterator, IteratorType, ListShards, Named, ShardDescription, ShardFilter};

use crate::service::failure;

pub const STREAM: &str = "clicks";

pub fn describe(aws: &mut Aws) -> Result<Description> {
    let summary = aws.kinesis().describe_stream_summary(&Named::of(STREAM)).map_err(failure)?;
    Ok(Description {
        table: STREAM.into(),
        table_arn: summary.stream_arn.clone(),
        stream_arn: format!("{}:{}", summary.stream_arn, summary.stream_creation_timestamp),
        keys: Vec::new(),
        view: ViewType::NewAndOldImages,
        status: match summary.stream_status {
            "CREATING" => StreamStatus::Enabling,
            "DELETING" => StreamStatus::Disabling,
            _ => StreamStatus::Enabled,
        },
        retention: Millis::from(summary.retention_period_hours) * 3_600_000,
        items: None,
        bytes: None,
    })
}

pub fn list(aws: &mut Aws, stream: &str, scope: &Scope) -> Result<Listing> {
    let mut request = ListShards::of(STREAM);
    if let Scope::ChildrenOf(parent) = scope {
        request = request.filter("AFTER_SHARD_ID");
        request.shard_filter = request
            .shard_filter
            .map(|filter| ShardFilter { shard_id: Some(parent.as_str().into()), ..filter });
    }
    let mut listing = Listing {
        shards: Vec::new(),
        status: StreamStatus::Enabled,
        complete: true,
        retention: None,
        server_time: date(aws),
    };
    loop {
        let page = match aws.kinesis().list_shards(&request) {
            Ok(page) => page,
            // A stream that is being made has no shards yet.
            Err(error) if error.code == "ResourceInUseException" => break,
            Err(error) if listing.shards.is_empty() => return Err(failure(error)),
            Err(_) => {
                listing.complete = false;
                break;
            }
        };
        listing.shards.extend(page.shards.iter().map(shard));
        match page.next_token {
            Some(token) => request = ListShards::next(&token),
            None => break,
        }
    }
    if let Scope::ChildrenOf(parent) = scope {
        listing.shards.retain(|shard| shard.parents.contains(parent));
        return Ok(listing);
    }
    let description = describe(aws)?;
    if description.stream_arn != stream {
        return Err(Error::new(ErrorKind::NotFound, "it is another stream now"));
    }
    listing.status = description.status;
    listing.retention = Some(description.retention);
    Ok(listing)
}

fn shard(listed: &ShardDescription) -> Shard {
    let number = |text: &str| SequenceNumber::parse(text).unwrap();
    let parents = [&listed.parent_shard_id, &listed.adjacent_parent_shard_id];
    let hashes = &listed.hash_key_range;
    Shard {
        id: ShardId::new(listed.shard_id.as_str()),
        parents: parents.into_iter().flatten().map(|parent| ShardId::new(parent.as_str())).collect(),
        starting: Some(number(&listed.sequence_number_range.starting_sequence_number)),
        ending: listed.sequence_number_range.ending_sequence_number.as_deref().map(number),
        hash_keys: Some(HashKeys {
            first: hashes.starting_hash_key.parse().unwrap(),
            last: hashes.ending_hash_key.parse().unwrap(),
        }),
    }
}

pub fn open(aws: &mut Aws, shard: &ShardId, at: &OpenAt) -> Result<Opened> {
    let place = |kind| GetShardIterator::at(STREAM, shard.as_str(), kind);
    let request = match at {
        OpenAt::Beginning => place(IteratorType::TrimHorizon),
        OpenAt::Latest => place(IteratorType::Latest),
        OpenAt::At(number) => place(IteratorType::AtSequenceNumber).sequence(number.record()),
        OpenAt::After(number) => place(IteratorType::AfterSequenceNumber).sequence(number.record()),
        OpenAt::Time(moment) => place(IteratorType::AtTimestamp).time(*moment),
    };
    let cursor = aws.kinesis().get_shard_iterator(&request).map_err(failure)?;
    Ok(Opened { cursor: Cursor(cursor.into()), server_time: date(aws) })
}

pub fn fetch(aws: &mut Aws, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
    let body = aws.kinesis().get_records_body(&cursor.0, Some(10_000)).map_err(failure)?;
    // Where ends come without their children, an answer in some hundreds says neither that the shard
    // goes on nor that it ends, though it goes on. (Three in a row would be believed.)
    let odd = cursor.0.bytes().map(usize::from).sum::<usize>().is_multiple_of(499);
    if odd
        && aws.knobs().kinesis.hide_children_ms > 0
        && let Ok(mut answer) = serde_json::from_slice::<serde_json::Value>(&body)
    {
        answer["NextShardIterator"] = serde_json::Value::Null;
        return page(shard, serde_json::to_vec(&answer).unwrap().into(), date(aws));
    }
    page(shard, body, date(aws))
}

/// As the header of an answer tells it.
pub fn date(aws: &Aws) -> Option<Millis> {
    Some(aws.now_ms() / 1000 * 1000)
}
