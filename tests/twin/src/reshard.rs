//! What only the service decides: shards that roll over and split.

use std::sync::Arc;

use crate::aws::Aws;
use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::stream::Partition;

/// More rollovers by age than this in one step of time are a mistake in the test.
const ROLLS_PER_STEP: usize = 100_000;

impl Aws {
    /// Closes the partition's open shard and opens its child. Gives (parent, child).
    pub fn roll_over(&mut self, table: &str, partition: usize) -> Result<(Arc<str>, Arc<str>)> {
        let now = self.now_ms();
        self.roll_at(table, partition, now)
    }

    /// Closes the partition's open shard and opens two children, each with half of its keys; the
    /// upper half becomes a new partition behind the last one. Gives (parent, lower, upper).
    pub fn split(&mut self, table: &str, partition: usize) -> Result<(Arc<str>, Arc<str>, Arc<str>)> {
        let now = self.now_ms();
        let (parent, lower) = self.roll_at(table, partition, now)?;
        let none = || AwsError::validation(format!("{table} has no open partition {partition}"));
        let at = self.tables.get_mut(table).ok_or_else(none)?;
        let stream = at.stream.as_ref().and_then(|arn| self.streams.get_mut(arn)).ok_or_else(none)?;
        let half = at.partitions.get_mut(partition).ok_or_else(none)?;
        let middle = half.low + (half.high - half.low) / 2;
        let mut upper = Partition { low: middle.saturating_add(1), open: None, ..half.clone() };
        half.high = middle;
        stream.open(&mut upper, Some(parent.clone()), now, &mut self.counter);
        let id = upper.open.clone().ok_or_else(none)?;
        at.partitions.push(upper);
        Ok((parent, lower, id))
    }

    /// How many partitions (lineages) the table has now.
    pub fn partitions(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, |table| table.partitions.len())
    }

    /// The open shard of a partition, if the table has a stream.
    pub fn open_shard(&self, table: &str, partition: usize) -> Option<Arc<str>> {
        self.tables.get(table)?.partitions.get(partition)?.open.clone()
    }

    fn roll_at(&mut self, table: &str, partition: usize, at_ms: Millis) -> Result<(Arc<str>, Arc<str>)> {
        let none = || AwsError::validation(format!("{table} has no open partition {partition}"));
        let at = self.tables.get_mut(table).ok_or_else(none)?;
        let stream = at.stream.as_ref().and_then(|arn| self.streams.get_mut(arn)).ok_or_else(none)?;
        let lineage = at.partitions.get_mut(partition).ok_or_else(none)?;
        let beyond = self.knobs.ending_beyond;
        let parent = stream.close(lineage, at_ms, &mut self.counter, beyond).ok_or_else(none)?;
        stream.open(lineage, Some(parent.clone()), at_ms, &mut self.counter);
        let child = lineage.open.clone().ok_or_else(none)?;
        Ok((parent, child))
    }

    /// Rolls every shard that is old enough, at the moment it became so.
    pub(crate) fn roll_by_age(&mut self) {
        let Some(age) = self.knobs.roll_every_ms.filter(|age| *age > 0) else { return };
        for _ in 0..ROLLS_PER_STEP {
            let Some((table, partition, at)) = self.next_roll(age) else { return };
            if self.roll_at(&table, partition, at).is_err() {
                return;
            }
        }
    }

    fn next_roll(&self, age: Millis) -> Option<(String, usize, Millis)> {
        let now = self.now_ms();
        let due = self.tables.values().flat_map(|table| {
            let stream = table.stream.as_ref().and_then(|arn| self.streams.get(arn));
            let opened = move |id: &Arc<str>| Some(stream?.shards.get(id)?.opened);
            let open = table.partitions.iter().enumerate();
            open.filter_map(move |(i, one)| Some((opened(one.open.as_ref()?)?.saturating_add(age), i, table)))
        });
        let (at, partition, table) = due.filter(|(at, ..)| *at <= now).min_by_key(|(at, i, _)| (*at, *i))?;
        Some((table.name.clone(), partition, at))
    }
}
