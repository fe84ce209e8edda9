//! A Kinesis stream: its shards by index, and how they open and close.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Millis;
use crate::kinesis::consumer::Consumer;
use crate::kinesis::fan_out::Session;
use crate::kinesis::knobs::KinesisKnobs;
use crate::kinesis::rate::Bucket;
use crate::kinesis::record::KinesisRecord;
use crate::kinesis::shard::Shard;
use crate::record::REGION;
use crate::table::ACCOUNT;

/// All streams of the account by name, and everything ever written to them.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) by_name: BTreeMap<String, Stream>,
    pub(crate) history: Vec<Arc<KinesisRecord>>,
    /// The creation seconds that names have used: a new stream always has another.
    pub(crate) last_created_s: BTreeMap<String, i64>,
    /// Subscriptions that have not ended.
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) next_session: u64,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: Arc<str>,
    pub(crate) created: Millis,
    /// What `StreamCreationTimestamp` says: whole seconds (recorded).
    pub(crate) created_s: i64,
    pub(crate) active_from: Millis,
    pub(crate) updating_until: Millis,
    pub(crate) deleted: Option<Millis>,
    pub(crate) on_demand: bool,
    pub(crate) retention_hours: u32,
    pub(crate) max_record_kib: u32,
    pub(crate) shards: BTreeMap<u32, Shard>,
    pub(crate) next_index: u32,
    pub(crate) listings: Bucket,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    /// The creation seconds that names of consumers have used.
    pub(crate) last_registered_s: BTreeMap<String, i64>,
}

pub(crate) fn arn_of(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
}

impl Streams {
    /// Lets deletions end and shards expire.
    pub(crate) fn settle(&mut self, now: Millis, stale: Millis, knobs: &KinesisKnobs) {
        self.by_name
            .retain(|_, stream| stream.deleted.is_none_or(|at| at.saturating_add(knobs.deleting_ms) > now));
        for stream in self.by_name.values_mut() {
            let kept = stream.retention_ms().saturating_add(stale);
            stream.shards.retain(|_, shard| shard.exists(shard.opened.max(now), kept));
            let gone = |at: Millis| at.saturating_add(knobs.consumer_deleting_ms) <= now;
            stream.consumers.retain(|_, consumer| !consumer.deleted.is_some_and(gone));
        }
    }
}

impl Stream {
    pub(crate) fn status(&self, now: Millis) -> &'static str {
        match self.deleted {
            Some(_) => "DELETING",
            None if now < self.active_from => "CREATING",
            None if now < self.updating_until => "UPDATING",
            None => "ACTIVE",
        }
    }

    pub(crate) fn retention_ms(&self) -> Millis {
        Millis::from(self.retention_hours) * 3_600_000
    }

    /// Drops what is older than the retention period.
    pub(crate) fn trim(&mut self, now: Millis) {
        let horizon = now.saturating_sub(self.retention_ms());
        for shard in self.shards.values_mut() {
            shard.trim(horizon);
        }
    }

    /// Opens a shard. It is created in a later second than its parents, so its numbers are above theirs.
    pub(crate) fn open(&mut self, parents: &[u32], range: (u128, u128), now: Millis) -> u32 {
        let index = self.next_index;
        let of = |parent: &u32| self.shards.get(parent);
        let youngest = parents.iter().filter_map(of).map(|parent| parent.numbering.created_s).max();
        let own = now.div_euclid(1000);
        let created_s = youngest.map_or(own, |youngest| youngest.max(own) + 1);
        let ids = parents.iter().filter_map(of).map(|parent| parent.id.clone()).collect();
        self.shards.insert(index, Shard::open(index, ids, range, created_s, now));
        self.next_index += 1;
        index
    }

    pub(crate) fn close(&mut self, index: u32, now: Millis) {
        if let Some(shard) = self.shards.get_mut(&index) {
            shard.close(now);
        }
    }

    /// The open shards by hash key range, which together hold every key.
    pub(crate) fn open_shards(&self) -> Vec<(u32, &Shard)> {
        let mut open: Vec<_> = self
            .shards
            .iter()
            .filter(|(_, shard)| shard.is_open())
            .map(|(index, shard)| (*index, shard))
            .collect();
        open.sort_by_key(|(_, shard)| shard.low);
        open
    }

    pub(crate) fn index_of(&self, shard_id: &str) -> Option<u32> {
        self.shards.iter().find(|(_, shard)| &*shard.id == shard_id).map(|(index, _)| *index)
    }

    pub(crate) fn children_of(&self, shard_id: &str) -> Vec<&Shard> {
        let has = |shard: &&Shard| shard.parents.iter().any(|parent| **parent == *shard_id);
        self.shards.values().filter(has).collect()
    }
}

/// `count` ranges of equal size that together hold every hash key.
pub(crate) fn even_ranges(count: u32) -> Vec<(u128, u128)> {
    let count = u128::from(count.max(1));
    let width = u128::MAX / count;
    let low = |i: u128| i * width;
    (0..count).map(|i| (low(i), if i + 1 == count { u128::MAX } else { low(i + 1) - 1 })).collect()
}
