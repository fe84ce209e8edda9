//! A record of a Kinesis stream: what tests compare with, and the bytes that travel.

use std::ops::Range;
use std::sync::Arc;

use base64_simd::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};

use crate::clock::Millis;
use crate::sequence::Sequence;

/// One record of one shard; `json` is exactly what GetRecords and SubscribeToShard send for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisRecord {
    /// The stream's ARN, which a recreated stream has too.
    pub stream: Arc<str>,
    /// When the stream was created: with the ARN, its identity.
    pub stream_created_ms: Millis,
    pub shard: Arc<str>,
    pub sequence: Sequence,
    /// What `ApproximateArrivalTimestamp` says.
    pub arrived_ms: Millis,
    /// When it was written; trimming goes by this.
    pub written_ms: Millis,
    pub partition_key: String,
    pub hash_key: u128,
    /// Bytes of data and partition key, as throughput counts them.
    pub size_bytes: usize,
    pub json: Bytes,
    data: Range<usize>,
}

/// What a request puts: the data as the base64 text it came in.
pub(crate) struct Entry<'a> {
    pub(crate) partition_key: &'a str,
    pub(crate) hash_key: u128,
    pub(crate) data: &'a str,
    pub(crate) size_bytes: usize,
}

pub(crate) struct Place {
    pub(crate) stream: Arc<str>,
    pub(crate) stream_created_ms: Millis,
    pub(crate) shard: Arc<str>,
    pub(crate) sequence: Sequence,
    pub(crate) arrived_ms: Millis,
    pub(crate) written_ms: Millis,
}

impl KinesisRecord {
    pub(crate) fn new(entry: &Entry<'_>, place: Place) -> Self {
        let Place { stream, stream_created_ms, shard, sequence, arrived_ms, written_ms } = place;
        let head = format!("{{\"ApproximateArrivalTimestamp\":{},\"Data\":\"", seconds(arrived_ms));
        let key = serde_json::Value::from(entry.partition_key);
        let tail = format!("\",\"PartitionKey\":{key},\"SequenceNumber\":\"{sequence}\"}}");
        let data = head.len()..head.len() + entry.data.len();
        Self {
            stream,
            stream_created_ms,
            shard,
            sequence,
            arrived_ms,
            written_ms,
            partition_key: entry.partition_key.to_owned(),
            hash_key: entry.hash_key,
            size_bytes: entry.size_bytes,
            json: Bytes::from([&head, entry.data, &tail].concat()),
            data,
        }
    }

    /// The data as base64 text.
    pub fn data_base64(&self) -> &str {
        self.json.get(self.data.clone()).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    pub fn data(&self) -> Vec<u8> {
        STANDARD.decode_to_vec(self.data_base64()).unwrap_or_default()
    }
}

/// Seconds since 1970 with three decimals, as JSON 1.1 writes a time.
pub(crate) fn seconds(ms: Millis) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

/// 32 hexadecimal digits, the form of the partition keys that DynamoDB writes (recorded).
pub(crate) fn hash_text(text: &str) -> String {
    format!("{:032X}", hash_key(text))
}

/// Documented: the MD5 of the partition key, read as a number.
pub(crate) fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}
