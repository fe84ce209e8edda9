//! One shard: records in order, trimmed from the front, closed at the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::clock::Millis;
use crate::record::Record;
use crate::sequence::Sequence;

#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) ending: Sequence,
    pub(crate) at: Millis,
}

#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) id: Arc<str>,
    pub(crate) parent: Option<Arc<str>>,
    pub(crate) starting: Sequence,
    pub(crate) opened: Millis,
    pub(crate) closed: Option<Closed>,
    records: VecDeque<Arc<Record>>,
    /// How many records were trimmed: the index of the first one that is left.
    trimmed: u64,
    trimmed_to: Option<Sequence>,
    /// When each reader was last here.
    readers: BTreeMap<u64, Millis>,
}

impl Shard {
    pub(crate) fn open(id: Arc<str>, parent: Option<Arc<str>>, starting: Sequence, now: Millis) -> Self {
        Self {
            id,
            parent,
            starting,
            opened: now,
            closed: None,
            records: VecDeque::new(),
            trimmed: 0,
            trimmed_to: None,
            readers: BTreeMap::new(),
        }
    }

    pub(crate) fn push(&mut self, record: Arc<Record>) {
        self.records.push_back(record);
    }

    /// The index behind the last record, counted from the shard's birth.
    pub(crate) fn end(&self) -> u64 {
        self.trimmed + self.records.len() as u64
    }

    /// The index of the oldest record that is left.
    pub(crate) fn start(&self) -> u64 {
        self.trimmed
    }

    pub(crate) fn last_sequence(&self) -> &Sequence {
        let last = self.records.back().map(|record| &record.sequence);
        last.or(self.trimmed_to.as_ref()).unwrap_or(&self.starting)
    }

    /// Whether this reader may read beside those that read a moment ago: so many, so long ago.
    pub(crate) fn admits(&mut self, reader: u64, now: Millis, (most, ago): (Option<usize>, Millis)) -> bool {
        let Some(most) = most else { return true };
        self.readers.retain(|_, last| now.saturating_sub(*last) < ago);
        let admitted = self.readers.contains_key(&reader) || self.readers.len() < most;
        if admitted {
            self.readers.insert(reader, now);
        }
        admitted
    }

    /// Documented: a record lives 24 hours.
    pub(crate) fn trim(&mut self, older_than: Millis) {
        while let Some(old) = self.records.pop_front_if(|record| record.created_ms < older_than) {
            self.trimmed += 1;
            self.trimmed_to = Some(old.sequence.clone());
        }
    }

    /// Whether the record with this number, or one behind it, was trimmed.
    pub(crate) fn has_lost(&self, sequence: &Sequence) -> bool {
        self.trimmed_to.as_ref().is_some_and(|trimmed| sequence <= trimmed)
    }

    /// Whether a record behind this number was trimmed.
    pub(crate) fn has_lost_behind(&self, sequence: &Sequence) -> bool {
        self.trimmed_to.as_ref().is_some_and(|trimmed| sequence < trimmed)
    }

    pub(crate) fn index_at(&self, sequence: &Sequence) -> u64 {
        self.trimmed + self.records.partition_point(|record| record.sequence < *sequence) as u64
    }

    pub(crate) fn index_after(&self, sequence: &Sequence) -> u64 {
        self.trimmed + self.records.partition_point(|record| record.sequence <= *sequence) as u64
    }

    /// The records from `index` on.
    pub(crate) fn from(&self, index: u64) -> impl Iterator<Item = &Arc<Record>> {
        let skip = usize::try_from(index.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.records.range(skip.min(self.records.len())..)
    }

    /// Whether the shard is still in the service at this moment.
    pub(crate) fn exists(&self, at: Millis, retention: Millis) -> bool {
        self.opened <= at
            && self.closed.as_ref().is_none_or(|closed| closed.at.saturating_add(retention) > at)
    }
}
