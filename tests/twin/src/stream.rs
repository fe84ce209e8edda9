//! A stream: its shards by id, and how they open, roll over, split and close.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Millis;
use crate::item::KeyElement;
use crate::knobs::Knobs;
use crate::random::Random;
use crate::record::ViewType;
use crate::sequence::{Numbering, Sequence};
use crate::shard::{Closed, Shard};

/// One lineage of shards: a range of key places with at most one open shard.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) low: u64,
    /// Inclusive.
    pub(crate) high: u64,
    pub(crate) numbering: Numbering,
    pub(crate) open: Option<Arc<str>>,
}

impl Partition {
    /// Cuts all places into `count` ranges of equal size.
    pub(crate) fn cut(count: usize) -> Vec<Self> {
        let count = count.max(1) as u128;
        let edge = |i: u128| (i << 64) / count;
        (0..count)
            .map(|i| Self {
                low: u64::try_from(edge(i)).unwrap_or(u64::MAX),
                high: u64::try_from(edge(i + 1) - 1).unwrap_or(u64::MAX),
                numbering: Numbering::new(),
                open: None,
            })
            .collect()
    }
}

/// What numbers things across the whole twin.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) random: Random,
    ordinal: u64,
}

impl Counter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), ordinal: 0 }
    }

    pub(crate) fn sequence(&mut self, numbering: &mut Numbering) -> Sequence {
        self.ordinal += 1;
        numbering.next(self.ordinal, &mut self.random)
    }

    pub(crate) fn event_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.random.next(), self.random.next())
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) arn: Arc<str>,
    pub(crate) label: String,
    pub(crate) table: String,
    pub(crate) view: ViewType,
    pub(crate) keys: Vec<KeyElement>,
    pub(crate) created: Millis,
    pub(crate) disabled: Option<Millis>,
    pub(crate) shards: BTreeMap<Arc<str>, Shard>,
}

impl Stream {
    pub(crate) fn status(&self, now: Millis, knobs: &Knobs) -> &'static str {
        match self.disabled {
            Some(at) if now < at.saturating_add(knobs.disabling_ms) => "DISABLING",
            Some(_) => "DISABLED",
            None if now < self.created.saturating_add(knobs.enabling_ms) => "ENABLING",
            None => "ENABLED",
        }
    }

    /// Opens a shard on `partition`, whose numbers have leapt ahead of its parent's.
    pub(crate) fn open(
        &mut self,
        partition: &mut Partition,
        parent: Option<Arc<str>>,
        now: Millis,
        counter: &mut Counter,
    ) {
        partition.numbering.leap(&mut counter.random);
        let starting = counter.sequence(&mut partition.numbering);
        // Recorded: 20 digits of the creation's time, a suffix that says nothing.
        let id: Arc<str> = format!("shardId-{now:020}-{:08x}", counter.random.next() >> 32).into();
        self.shards.insert(id.clone(), Shard::open(id.clone(), parent, starting, now));
        partition.open = Some(id);
    }

    /// Closes the partition's open shard and says which it was.
    pub(crate) fn close(
        &mut self,
        partition: &mut Partition,
        now: Millis,
        counter: &mut Counter,
        beyond: bool,
    ) -> Option<Arc<str>> {
        let id = partition.open.take()?;
        let shard = self.shards.get_mut(&id)?;
        let later = counter.sequence(&mut partition.numbering);
        let ending = if beyond { later } else { shard.last_sequence().clone() };
        shard.closed = Some(Closed { ending, at: now });
        Some(id)
    }

    /// Forgets what no call can reach any more.
    pub(crate) fn forget(&mut self, now: Millis, knobs: &Knobs) {
        let kept = knobs.retention_ms.saturating_add(knobs.stale_ms);
        self.shards.retain(|_, shard| shard.exists(shard.opened.max(now), kept));
    }
}
