//! One shard of a Kinesis stream: a range of hash keys, records in order, parents.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::Millis;
use crate::kinesis::rate::Bucket;
use crate::kinesis::record::KinesisRecord;
use crate::kinesis::sequence::Numbering;
use crate::sequence::Sequence;

#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) ending: Sequence,
    pub(crate) at: Millis,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: Arc<str>,
    /// None, one (a split) or two (a merge: parent, then adjacent parent).
    pub(crate) parents: Vec<Arc<str>>,
    pub(crate) low: u128,
    /// Inclusive.
    pub(crate) high: u128,
    pub(crate) opened: Millis,
    pub(crate) closed: Option<Closed>,
    pub(crate) numbering: Numbering,
    records: VecDeque<Arc<KinesisRecord>>,
    /// How many records were trimmed: the index of the first one that is left.
    trimmed: u64,
    pub(crate) iterators: Bucket,
    pub(crate) read_calls: Bucket,
    pub(crate) read_bytes: Bucket,
    pub(crate) written_records: Bucket,
    pub(crate) written_bytes: Bucket,
}

/// Documented by examples: `shardId-` and the index in twelve digits.
pub(crate) fn shard_id(index: u32) -> Arc<str> {
    format!("shardId-{index:012}").into()
}

impl Shard {
    pub(crate) fn open(
        index: u32,
        parents: Vec<Arc<str>>,
        (low, high): (u128, u128),
        created_s: i64,
        now: Millis,
    ) -> Self {
        Self {
            id: shard_id(index),
            parents,
            low,
            high,
            opened: now,
            closed: None,
            numbering: Numbering::new(created_s, index),
            records: VecDeque::new(),
            trimmed: 0,
            iterators: Bucket::default(),
            read_calls: Bucket::default(),
            read_bytes: Bucket::default(),
            written_records: Bucket::default(),
            written_bytes: Bucket::default(),
        }
    }

    pub(crate) fn close(&mut self, now: Millis) {
        self.closed = Some(Closed { ending: self.numbering.ending(now), at: now });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub(crate) fn push(&mut self, record: Arc<KinesisRecord>) {
        self.records.push_back(record);
    }

    /// The index of the oldest record that is left.
    pub(crate) fn start(&self) -> u64 {
        self.trimmed
    }

    /// The index behind the last record, counted from the shard's birth.
    pub(crate) fn end(&self) -> u64 {
        self.trimmed + self.records.len() as u64
    }

    pub(crate) fn trim(&mut self, older_than: Millis) {
        while self.records.pop_front_if(|record| record.written_ms < older_than).is_some() {
            self.trimmed += 1;
        }
    }

    pub(crate) fn index_at(&self, sequence: &Sequence) -> u64 {
        self.trimmed + self.records.partition_point(|record| record.sequence < *sequence) as u64
    }

    pub(crate) fn index_after(&self, sequence: &Sequence) -> u64 {
        self.trimmed + self.records.partition_point(|record| record.sequence <= *sequence) as u64
    }

    /// The first record that arrived at or after a time; arrivals need not be in order.
    pub(crate) fn index_from(&self, time: Millis) -> u64 {
        let before = self.records.iter().position(|record| record.arrived_ms >= time);
        before.map_or(self.end(), |before| self.trimmed + before as u64)
    }

    /// The records from `index` on; trimmed ones are passed over in silence.
    pub(crate) fn from(&self, index: u64) -> impl Iterator<Item = &Arc<KinesisRecord>> {
        let skip = usize::try_from(index.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.records.range(skip.min(self.records.len())..)
    }

    /// Whether the shard is still in the service at this moment. Documented: a closed shard
    /// expires when its last record could.
    pub(crate) fn exists(&self, at: Millis, retention: Millis) -> bool {
        self.opened <= at
            && self.closed.as_ref().is_none_or(|closed| closed.at.saturating_add(retention) > at)
    }

    pub(crate) fn holds(&self, hash_key: u128) -> bool {
        (self.low..=self.high).contains(&hash_key)
    }
}
