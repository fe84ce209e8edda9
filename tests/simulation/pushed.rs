//! Joins the twin's enhanced fan-out and the core: a fetch gives the next event of a shard's subscription.

use std::collections::BTreeMap;

use serde_json::Value;
use shardarrow::error::Result;
use shardarrow::page::{Cursor, OpenAt, Opened, Page, Terms};
use shardarrow::position::ShardId;
use shardarrow::source::kinesis::{TERMS as POLLED, page};
use twin::Aws;
use twin::kinesis::{ConsumerNamed, IteratorType, Named, Pushed, SubscribeToShard, Subscription};

use crate::kinesis_service::{STREAM, date};
use crate::service::failure;

const CONSUMER: &str = "simulation";

pub const TERMS: Terms = Terms {
    page_bytes: 4 << 20,
    pause: std::time::Duration::ZERO,
    shard_bytes_per_second: None,
    pushes: true,
    ..POLLED
};

/// The subscriptions of one process, and where each of them is.
pub type Subscriptions = BTreeMap<ShardId, (Cursor, Subscription)>;

/// No call: a place is all that a subscription needs.
pub fn open(at: &OpenAt) -> Opened {
    let text = match at {
        OpenAt::Beginning => "TRIM_HORIZON".to_owned(),
        OpenAt::Latest => "LATEST".to_owned(),
        OpenAt::Time(moment) => format!("AT_TIMESTAMP {moment}"),
        OpenAt::At(number) => format!("AT_SEQUENCE_NUMBER {}", number.record()),
        OpenAt::After(number) => format!("AFTER_SEQUENCE_NUMBER {}", number.record()),
    };
    Opened { cursor: Cursor(text.into()), server_time: None }
}

pub fn fetch(aws: &mut Aws, known: &mut Subscriptions, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
    let current = known.remove(shard).filter(|(place, _)| place == cursor);
    let subscription = match current {
        Some((_, subscription)) => subscription,
        None => {
            let request = request(aws, shard, cursor);
            aws.kinesis().subscribe_to_shard(&request).map_err(failure)?
        }
    };
    match aws.kinesis().next_event(&subscription) {
        Pushed::Event(event) => {
            let mut body: Value = serde_json::from_slice(&event.json()).unwrap();
            body.as_object_mut().unwrap().remove("ContinuationSequenceNumber");
            // Where it goes on is the cursor of the page.
            let next = event.continuation.map(|number| format!("AFTER_SEQUENCE_NUMBER {number}"));
            body["NextShardIterator"] = next.clone().into();
            let page = page(shard, serde_json::to_vec(&body).unwrap().into(), date(aws))?;
            if let Some(next) = next {
                known.insert(shard.clone(), (Cursor(next.into()), subscription));
            }
            Ok(Page { weight: 0, ..page })
        }
        Pushed::Nothing { .. } => {
            known.insert(shard.clone(), (cursor.clone(), subscription));
            Ok(Page::nothing_yet(shard, cursor))
        }
        Pushed::Ended => Ok(Page::nothing_yet(shard, cursor)),
        Pushed::Failed(error) => Err(failure(error)),
    }
}

fn request(aws: &mut Aws, shard: &ShardId, cursor: &Cursor) -> SubscribeToShard {
    let summary = aws.kinesis().describe_stream_summary(&Named::of(STREAM));
    let stream_arn = summary.map(|summary| summary.stream_arn).unwrap_or_default();
    let found = aws.kinesis().describe_consumer(&ConsumerNamed::of(&stream_arn, CONSUMER));
    let found = found.or_else(|_| aws.kinesis().register_consumer(&stream_arn, CONSUMER));
    let arn = found.map(|consumer| consumer.consumer_arn).unwrap_or_default();
    let (kind, value) = cursor.0.split_once(' ').unwrap_or((&cursor.0, ""));
    let kind = match kind {
        "TRIM_HORIZON" => IteratorType::TrimHorizon,
        "LATEST" => IteratorType::Latest,
        "AT_TIMESTAMP" => IteratorType::AtTimestamp,
        "AT_SEQUENCE_NUMBER" => IteratorType::AtSequenceNumber,
        _ => IteratorType::AfterSequenceNumber,
    };
    let mut request = SubscribeToShard::at(&arn, shard.as_str(), kind);
    match kind {
        IteratorType::AtTimestamp => {
            request.starting_position.timestamp = value.parse().ok().map(|moment: f64| moment / 1000.0);
        }
        _ if !value.is_empty() => request.starting_position.sequence_number = Some(value.to_owned()),
        _ => {}
    }
    request
}
