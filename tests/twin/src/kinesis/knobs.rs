//! Standing settings of Kinesis. What listings do (`permute`, `stale_ms`, `omit`, …) and which
//! page ends a shard (`end_page`) are the settings of DynamoDB Streams, and count here too.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::knobs::EndIterator;

/// Every setting with its provenance; the defaults are the plain documented service, with rates off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KinesisKnobs {
    /// How long an iterator lives from its issue. Documented: 5 minutes.
    pub iterator_ms: Millis,
    /// How long a listing's NextToken lives. Documented: 300 seconds.
    pub token_ms: Millis,
    /// Shards per page of a listing at most. Documented: 10,000.
    pub listing_page: usize,
    /// Records per GetRecords page at most. Documented: 10,000.
    pub page_records: usize,
    /// Data and partition keys per GetRecords page. Documented: 10 MiB; one record always fits (assumed).
    pub page_bytes: usize,
    /// Empty pages or events before each with records, and before a shard's end. Documented that
    /// there are some, with `MillisBehindLatest` above zero; the number is assumed.
    pub empty_pages: u32,
    /// Documented: "set to null"; that it may be absent instead is assumed.
    pub end_iterator: EndIterator,
    /// The end of a shard names no ChildShards until so long after it closed: an answer that
    /// KCL refuses and asks for again (recorded: its rule; the moment is assumed).
    pub hide_children_ms: Millis,
    /// `ApproximateArrivalTimestamp` is up to so long before the write, drawn per record.
    /// Documented: neither exact nor monotonic; the length is assumed.
    pub arrival_jitter_ms: u64,
    /// The share of entries of a PutRecords that fail, drawn per entry. Documented that they may.
    pub put_fail_share: f64,
    /// A new stream is CREATING for so long. Documented, length assumed.
    pub creating_ms: Millis,
    /// A stream is UPDATING for so long behind a change of its shards or its retention.
    /// Documented, length assumed; the shards have changed from the start (assumed).
    pub updating_ms: Millis,
    /// A deleted stream is DELETING for so long, and works on meanwhile. Documented, length assumed.
    pub deleting_ms: Millis,
    /// GetRecords calls per second and shard. Documented: 5; off by default.
    pub read_calls_per_second: Option<f64>,
    /// Bytes that GetRecords gives per second and shard. Documented: 2 MB, and that 10 MiB at
    /// once refuse the calls of the next 5 seconds; off by default.
    pub read_bytes_per_second: Option<f64>,
    /// Documented: 1,000 per shard; off by default.
    pub written_records_per_second: Option<f64>,
    /// Documented: 1 MB per shard; off by default.
    pub written_bytes_per_second: Option<f64>,
    /// ListShards calls per second and stream. Documented: 1,000; off by default.
    pub list_shards_per_second: Option<f64>,
    /// GetShardIterator calls per second and shard. Documented: 5; off by default.
    pub iterators_per_second: Option<f64>,
    /// Consumers per stream. Documented: 20.
    pub consumers: usize,
    /// A new consumer is CREATING for so long. Documented, length assumed.
    pub consumer_creating_ms: Millis,
    /// A deregistered consumer is DELETING for so long. Documented, length assumed.
    pub consumer_deleting_ms: Millis,
    /// How long a subscription pushes. Documented: up to 5 minutes.
    pub fan_out_session_ms: Millis,
    /// A second subscription is refused for so long, and takes over afterwards. Documented: 5 seconds.
    pub takeover_ms: Millis,
    /// SubscribeToShard calls per second, consumer and shard. Documented: 1; off by default.
    pub subscribe_per_second: Option<f64>,
    /// An event comes at least this often, empty if need be. Recorded: about every 5 seconds.
    pub idle_event_ms: Millis,
    /// Records per event at most. Assumed.
    pub event_records: usize,
    /// Data and partition keys per event; one record always fits. Assumed.
    pub event_bytes: usize,
    /// Streams that one HTTP/2 connection may have open; of connections accepted from now on.
    /// Recorded once: 5; none by default.
    pub http2_streams: Option<u32>,
}

impl Default for KinesisKnobs {
    fn default() -> Self {
        Self {
            iterator_ms: 5 * 60_000,
            token_ms: 300_000,
            listing_page: 10_000,
            page_records: 10_000,
            page_bytes: 10 << 20,
            empty_pages: 0,
            end_iterator: EndIterator::Null,
            hide_children_ms: 0,
            arrival_jitter_ms: 0,
            put_fail_share: 0.0,
            creating_ms: 0,
            updating_ms: 0,
            deleting_ms: 0,
            read_calls_per_second: None,
            read_bytes_per_second: None,
            written_records_per_second: None,
            written_bytes_per_second: None,
            list_shards_per_second: None,
            iterators_per_second: None,
            consumers: 20,
            consumer_creating_ms: 0,
            consumer_deleting_ms: 0,
            fan_out_session_ms: 300_000,
            takeover_ms: 5_000,
            subscribe_per_second: None,
            idle_event_ms: 5_000,
            event_records: 10_000,
            event_bytes: 1 << 20,
            http2_streams: None,
        }
    }
}

impl KinesisKnobs {
    /// Turns on every rate at its documented value.
    pub fn with_documented_rates(self) -> Self {
        Self {
            read_calls_per_second: Some(5.0),
            read_bytes_per_second: Some(f64::from(2 << 20)),
            written_records_per_second: Some(1_000.0),
            written_bytes_per_second: Some(f64::from(1 << 20)),
            list_shards_per_second: Some(1_000.0),
            iterators_per_second: Some(5.0),
            subscribe_per_second: Some(1.0),
            ..self
        }
    }
}
