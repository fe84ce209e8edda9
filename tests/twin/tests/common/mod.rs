//! What the twin's own tests share: a table, a write, a reader that drains shards.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod kinesis;

use serde_json::{Value, json};
use twin::{Attributes, Aws, CreateTable, DescribeStream, IteratorType, ShardDescription, ViewType};

pub const HOUR: u64 = 3_600_000;
pub const MINUTE: u64 = 60_000;

pub fn attributes(value: Value) -> Attributes {
    serde_json::from_value(value).unwrap()
}

/// A twin with the table `orders` (key `id`) in `partitions` lineages.
pub fn orders(partitions: usize) -> (Aws, String) {
    let mut aws = Aws::new(7);
    aws.set_partitions("orders", partitions);
    let request = CreateTable::with_key("orders", "id", Some(ViewType::NewAndOldImages));
    let stream = aws.create_table(&request).unwrap().latest_stream_arn.unwrap();
    (aws, stream)
}

pub fn put(aws: &mut Aws, id: &str, n: i64) {
    let item = attributes(json!({"id": {"S": id}, "n": {"N": n.to_string()}}));
    aws.put_item("orders", &item).unwrap();
}

pub fn key(id: &str) -> Attributes {
    attributes(json!({"id": {"S": id}}))
}

/// The whole listing, over all pages.
pub fn shards(aws: &mut Aws, stream: &str) -> Vec<ShardDescription> {
    let mut request = DescribeStream::all(stream);
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let page = aws.describe_stream(&request).unwrap();
        all.extend(page.shards);
        match page.last_evaluated_shard_id {
            Some(last) => request = request.after(&last),
            None => return all,
        }
    }
    panic!("the listing does not end");
}

pub fn horizon(aws: &mut Aws, stream: &str, shard: &str) -> String {
    aws.get_shard_iterator(stream, shard, IteratorType::TrimHorizon, None).unwrap()
}

/// The pages of a shard from its horizon: until its end, or the first empty page of an open one.
pub fn pages(aws: &mut Aws, stream: &str, shard: &str, limit: usize) -> Vec<twin::RecordPage> {
    let mut iterator = horizon(aws, stream, shard);
    let mut pages = Vec::new();
    for _ in 0..10_000 {
        let page = aws.get_records(&iterator, Some(limit)).unwrap();
        let next = page.next.clone();
        let idle = page.records.is_empty() && aws.knobs().empty_pages == 0;
        pages.push(page);
        match next {
            Some(next) if !idle => iterator = next,
            _ => return pages,
        }
    }
    panic!("the shard does not end");
}
