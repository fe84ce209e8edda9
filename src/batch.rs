//! A record batch and the spans it covers.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

use crate::position::{ShardId, Span};

/// Rows in the order of the stream, and what they cover of which shards.
#[derive(Clone, Debug)]
pub struct Batch {
    /// 1, 2, 3, … in the order of the stream.
    pub number: u64,
    pub records: RecordBatch,
    pub spans: BTreeMap<ShardId, Span>,
    pub epoch: u64,
    /// Bytes of memory held by `records`.
    pub bytes: usize,
}
