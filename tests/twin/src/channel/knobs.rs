//! Standing settings of the channel from DynamoDB to Kinesis.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// What decides a change's shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// The item's key: all changes of an item are in one lineage of shards (assumed; the
    /// partition key's form, 32 hexadecimal digits, is recorded).
    Item,
    /// Nothing: changes of one item are spread over all shards (assumed).
    Change,
}

/// Every setting with its provenance; by default each change arrives once, at once, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelKnobs {
    /// The share of changes that arrive twice. Documented that some do; the share is assumed.
    pub duplicate_share: f64,
    /// A duplicate has an eventID of its own. Not documented either way.
    pub duplicate_ids: bool,
    /// A change is up to so long on its way, drawn per record, so that later ones overtake it.
    /// Documented that the order may differ; the length is assumed.
    pub delay_ms: u64,
    /// Larger records are skipped for good. Documented that what Kinesis would refuse is skipped;
    /// by default the stream's own limit decides.
    pub record_bytes: Option<usize>,
    /// A record that the stream throttles is put again so long afterwards. Assumed.
    pub retry_ms: Millis,
    pub partition_by: PartitionBy,
    /// Changes within a millisecond have different microseconds. Assumed; false gives ties.
    pub distinct_us: bool,
    /// A destination is ENABLING for so long; what changes meanwhile does not arrive (assumed).
    pub enabling_ms: Millis,
    /// A destination is DISABLING for so long. Documented, length assumed.
    pub disabling_ms: Millis,
}

impl Default for ChannelKnobs {
    fn default() -> Self {
        Self {
            duplicate_share: 0.0,
            duplicate_ids: false,
            delay_ms: 0,
            record_bytes: None,
            retry_ms: 100,
            partition_by: PartitionBy::Item,
            distinct_us: true,
            enabling_ms: 0,
            disabling_ms: 0,
        }
    }
}
