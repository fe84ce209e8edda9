//! What a subscription pushes.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Millis;
use crate::kinesis::list_shards::ChildShard;
use crate::kinesis::read::{push_records, records_len};
use crate::kinesis::record::KinesisRecord;
use crate::knobs::EndIterator;

/// A SubscribeToShardEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEvent {
    pub records: Vec<Arc<KinesisRecord>>,
    /// Where to go on; `None` at the end of a closed shard.
    pub continuation: Option<String>,
    pub millis_behind_latest: Millis,
    /// In the last event of a closed shard, and only there.
    pub child_shards: Vec<ChildShard>,
    pub(crate) end: EndIterator,
}

impl ShardEvent {
    /// The payload as it travels.
    pub fn json(&self) -> Bytes {
        let mut body = Vec::with_capacity(records_len(&self.records) + 256);
        body.push(b'{');
        if !self.child_shards.is_empty() {
            let children = serde_json::to_string(&self.child_shards).unwrap_or_default();
            body.extend_from_slice(format!("\"ChildShards\":{children},").as_bytes());
        }
        let continuation = match (&self.continuation, self.end) {
            (Some(number), _) => format!("\"ContinuationSequenceNumber\":\"{number}\","),
            (None, EndIterator::Null) => "\"ContinuationSequenceNumber\":null,".to_owned(),
            (None, EndIterator::Absent) => String::new(),
        };
        body.extend_from_slice(continuation.as_bytes());
        body.extend_from_slice(format!("\"MillisBehindLatest\":{},", self.millis_behind_latest).as_bytes());
        push_records(&mut body, &self.records);
        body.push(b'}');
        body.into()
    }
}
