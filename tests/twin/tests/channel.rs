//! Changes of a table in a Kinesis stream.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::kinesis::{id, texts};
use common::{HOUR, attributes, key};
use serde_json::{Value, json};
use twin::channel::{PartitionBy, Precision, StreamingDestination};
use twin::kinesis::CreateStream;
use twin::{Aws, AwsError, CreateTable};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

fn code<T: std::fmt::Debug>(result: Result<T, AwsError>) -> String {
    result.unwrap_err().code
}

/// The table `orders`, whose changes go to the stream `orders`.
fn channel(shards: u32, precision: Precision) -> Aws {
    let mut aws = Aws::new(7);
    aws.create_table(&CreateTable::with_key("orders", "id", None)).unwrap();
    aws.kinesis().create_stream(&CreateStream::with_shards("orders", shards)).unwrap();
    aws.enable_kinesis_streaming(&StreamingDestination::new("orders", ARN, precision)).unwrap();
    aws
}

fn put(aws: &mut Aws, id: &str, n: i64) {
    common::put(aws, id, n);
}

/// Everything in the stream, shard by shard.
fn arrived(aws: &mut Aws, shards: u32) -> Vec<Value> {
    let all = (0..shards).flat_map(|shard| texts(aws, &id(shard))).collect::<Vec<_>>();
    all.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn numbers(changes: &[Value]) -> Vec<&str> {
    changes.iter().map(|change| change["dynamodb"]["NewImage"]["n"]["N"].as_str().unwrap()).collect()
}

#[test]
fn a_change_has_the_recorded_shape() {
    let mut aws = channel(1, Precision::Millisecond);
    put(&mut aws, "a", 1);
    put(&mut aws, "a", 1);
    put(&mut aws, "a", 2);
    aws.expire("orders", &key("a")).unwrap();
    let changes = arrived(&mut aws, 1);
    assert_eq!(changes.len(), 3, "a write that changes nothing leaves nothing");
    let item = |n: &str| json!({"id": {"S": "a"}, "n": {"N": n}});
    assert_eq!(
        changes[1],
        json!({
            "awsRegion": "us-east-1", "eventID": aws.channel_history()[1].event_id, "eventName": "MODIFY",
            "userIdentity": null, "recordFormat": "application/json", "tableName": "orders",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_767_225_600_000_i64, "Keys": {"id": {"S": "a"}},
                "NewImage": item("2"), "OldImage": item("1"), "SizeBytes": 15,
            },
            "eventSource": "aws:dynamodb",
        })
    );
    assert_eq!(
        changes[2]["userIdentity"],
        json!({"principalId": "dynamodb.amazonaws.com", "type": "Service"})
    );
    assert!(changes[2]["dynamodb"].get("NewImage").is_none());
    let record = &aws.kinesis_history()[0];
    assert_eq!(record.partition_key.len(), 32);
    assert!(record.partition_key.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte)));
}

#[test]
fn the_precision_may_change_in_mid_stream() {
    let mut aws = channel(1, Precision::Millisecond);
    put(&mut aws, "a", 1);
    aws.update_kinesis_streaming(&StreamingDestination::new("orders", ARN, Precision::Microsecond)).unwrap();
    put(&mut aws, "a", 2);
    put(&mut aws, "a", 3);
    let changes = arrived(&mut aws, 1);
    let times: Vec<_> = changes
        .iter()
        .map(|change| change["dynamodb"]["ApproximateCreationDateTime"].as_i64().unwrap())
        .collect();
    assert_eq!(times[0], 1_767_225_600_000);
    assert!(times[1] >= 1_767_225_600_000_000 && times[1] < times[2]);
    assert!(changes[0]["dynamodb"].get("ApproximateCreationDateTimePrecision").is_none());
    assert_eq!(changes[1]["dynamodb"]["ApproximateCreationDateTimePrecision"], "MICROSECOND");
    aws.knobs_mut().channel.distinct_us = false;
    (4..6).for_each(|n| put(&mut aws, "a", n));
    let [.., one, other] = aws.channel_history() else { panic!("too few") };
    assert_eq!(one.created_us, other.created_us, "ties");
}

#[test]
fn some_changes_arrive_twice() {
    for own_ids in [false, true] {
        let mut aws = channel(1, Precision::Millisecond);
        (aws.knobs_mut().channel.duplicate_share, aws.knobs_mut().channel.duplicate_ids) = (0.5, own_ids);
        (0..100).for_each(|n| put(&mut aws, "a", n));
        let changes = arrived(&mut aws, 1);
        assert!((120..180).contains(&changes.len()), "{}", changes.len());
        let ids: BTreeSet<_> = changes.iter().map(|change| change["eventID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), if own_ids { changes.len() } else { 100 });
        assert_eq!(numbers(&changes).into_iter().collect::<BTreeSet<_>>().len(), 100);
    }
}

#[test]
fn changes_overtake_each_other_within_the_window() {
    let mut aws = channel(1, Precision::Microsecond);
    aws.knobs_mut().channel.delay_ms = 3_000;
    for n in 0..100 {
        put(&mut aws, "a", n);
        aws.advance(100);
    }
    let early = arrived(&mut aws, 1).len();
    assert!(early < 100, "some are on their way");
    aws.advance(3_000);
    let changes = arrived(&mut aws, 1);
    let order: Vec<u32> = numbers(&changes).iter().map(|n| n.parse().unwrap()).collect();
    assert_eq!((order.len(), order.is_sorted()), (100, false));
    assert!(order.iter().zip(0_u32..).all(|(n, place)| n.abs_diff(place) <= 30), "{order:?}");
    let records = aws.kinesis_history();
    assert!(records.is_sorted_by_key(|record| record.written_ms));
    assert!(records.iter().any(|record| record.written_ms % 100 != 0), "each at its own moment");
}

#[test]
fn an_item_stays_in_its_shard_or_does_not() {
    for (by, most) in [(PartitionBy::Item, 1), (PartitionBy::Change, 4)] {
        let mut aws = channel(4, Precision::Millisecond);
        aws.knobs_mut().channel.partition_by = by;
        (0..100).for_each(|n| put(&mut aws, "a", n));
        let shards: BTreeSet<_> = aws.kinesis_history().iter().map(|record| record.shard.clone()).collect();
        assert_eq!(shards.len(), most, "{by:?}");
    }
}

#[test]
fn what_is_too_large_never_arrives() {
    let mut aws = channel(1, Precision::Millisecond);
    put(&mut aws, "a", 1);
    // Many members that cost one byte in DynamoDB and a dozen in JSON (documented).
    let many: BTreeMap<String, Value> =
        (0..40_000).map(|n| (format!("{n:x}"), json!({"BOOL": true}))).collect();
    let item = attributes(json!({"id": {"S": "big"}, "m": {"M": many}}));
    aws.put_item("orders", &item).unwrap();
    assert_eq!(arrived(&mut aws, 1).len(), 2);
    aws.knobs_mut().channel.record_bytes = Some(10_000);
    aws.delete_item("orders", &key("big")).unwrap();
    put(&mut aws, "b", 1);
    assert_eq!(arrived(&mut aws, 1).len(), 3);
    let skipped: Vec<_> = aws.channel_history().iter().map(|change| change.skipped).collect();
    assert_eq!(skipped, [false, false, true, false]);
}

#[test]
fn what_the_stream_throttles_comes_later() {
    let mut aws = channel(1, Precision::Millisecond);
    aws.knobs_mut().kinesis.written_records_per_second = Some(10.0);
    (0..30).for_each(|n| put(&mut aws, "a", n));
    assert_eq!(arrived(&mut aws, 1).len(), 10);
    aws.advance(2_000);
    assert_eq!(arrived(&mut aws, 1).len(), 30);
}

#[test]
fn a_destination_is_enabled_and_disabled() {
    let mut aws = channel(1, Precision::Millisecond);
    let request = StreamingDestination::new("orders", ARN, Precision::Millisecond);
    assert_eq!(code(aws.enable_kinesis_streaming(&request)), "ValidationException");
    aws.knobs_mut().channel.disabling_ms = 1000;
    assert_eq!(aws.disable_kinesis_streaming(&request).unwrap().destination_status, "DISABLING");
    put(&mut aws, "a", 1);
    aws.advance(1000);
    assert_eq!(aws.describe_kinesis_streaming("orders").unwrap()[0].destination_status, "DISABLED");
    assert_eq!(code(aws.disable_kinesis_streaming(&request)), "ResourceNotFoundException");
    aws.knobs_mut().channel.enabling_ms = 1000;
    assert_eq!(aws.enable_kinesis_streaming(&request).unwrap().destination_status, "ENABLING");
    put(&mut aws, "a", 2);
    aws.advance(1000);
    put(&mut aws, "a", 3);
    assert_eq!(numbers(&arrived(&mut aws, 1)), ["3"]);
    assert_eq!(aws.describe_kinesis_streaming("orders").unwrap().len(), 1);

    let absent = StreamingDestination::new("orders", &ARN.replace("orders", "none"), Precision::Millisecond);
    assert_eq!(code(aws.enable_kinesis_streaming(&absent)), "ResourceNotFoundException");
    aws.delete_table("orders").unwrap();
    aws.create_table(&CreateTable::with_key("orders", "id", None)).unwrap();
    put(&mut aws, "a", 4);
    aws.advance(HOUR);
    assert_eq!(arrived(&mut aws, 1).len(), 1, "a new table has no destination");
}
