//! What the tests of Kinesis share: a stream, a write, a reader that drains shards.

use twin::Aws;
use twin::kinesis::{
    CreateStream, GetShardIterator, IteratorType, ListShards, Named, RecordPage, ShardDescription,
};

pub fn orders() -> Named {
    Named::of("orders")
}

/// A twin with the stream `orders`.
pub fn stream(shards: u32) -> Aws {
    let mut aws = Aws::new(7);
    aws.kinesis().create_stream(&CreateStream::with_shards("orders", shards)).unwrap();
    aws
}

pub fn id(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// The whole listing, over all pages.
pub fn shards(aws: &mut Aws, request: ListShards) -> Vec<ShardDescription> {
    let (mut request, mut all) = (request, Vec::new());
    for _ in 0..10_000 {
        let page = aws.kinesis().list_shards(&request).unwrap();
        all.extend(page.shards);
        match page.next_token {
            Some(token) => {
                request = ListShards { max_results: request.max_results, ..ListShards::next(&token) }
            }
            None => return all,
        }
    }
    panic!("the listing does not end");
}

pub fn ids(aws: &mut Aws, request: ListShards) -> Vec<String> {
    shards(aws, request).into_iter().map(|shard| shard.shard_id).collect()
}

pub fn horizon(aws: &mut Aws, shard: &str) -> String {
    let request = GetShardIterator::at("orders", shard, IteratorType::TrimHorizon);
    aws.kinesis().get_shard_iterator(&request).unwrap()
}

/// The pages of a shard from an iterator on: until its end, or the first empty page of an open one.
pub fn pages(aws: &mut Aws, iterator: String, limit: usize) -> Vec<RecordPage> {
    let (mut iterator, mut pages) = (iterator, Vec::new());
    for _ in 0..10_000 {
        let page = aws.kinesis().get_records(&iterator, Some(limit)).unwrap();
        let next = page.next.clone();
        let idle = page.records.is_empty() && aws.knobs().kinesis.empty_pages == 0;
        pages.push(page);
        match next {
            Some(next) if !idle => iterator = next,
            _ => return pages,
        }
    }
    panic!("the shard does not end");
}

/// The data of everything in a shard, as text.
pub fn texts(aws: &mut Aws, shard: &str) -> Vec<String> {
    let at = horizon(aws, shard);
    let pages = pages(aws, at, 10_000);
    let records = pages.iter().flat_map(|page| &page.records);
    records.map(|record| String::from_utf8(record.data()).unwrap()).collect()
}
