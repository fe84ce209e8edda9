//! Shards that split and merge.

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::kinesis::shard::Shard;
use crate::kinesis::stream::{Stream, even_ranges};
use crate::kinesis::{Kinesis, KinesisOp, Named, invalid_argument};
use crate::table::ACCOUNT;

impl Kinesis<'_> {
    /// Splits an open shard at a hash key, or in the middle. Gives the two children.
    pub fn split_shard(&mut self, stream: &Named, shard: &str, at: Option<u128>) -> Result<(String, String)> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_split(stream, shard, at);
        self.call(KinesisOp::SplitShard, stream.stream(), act)
    }

    /// Merges two adjacent open shards. Gives the child.
    pub fn merge_shards(&mut self, stream: &Named, shard: &str, adjacent: &str) -> Result<String> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_merge(stream, shard, adjacent);
        self.call(KinesisOp::MergeShards, stream.stream(), act)
    }

    /// As UpdateShardCount, within its documented bounds: at most twice as many, at least half.
    pub fn update_shard_count(&mut self, stream: &Named, target: u32) -> Result<()> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_update_shard_count(stream, target);
        self.call(KinesisOp::UpdateShardCount, stream.stream(), act).map(drop)
    }

    /// Gives the stream `target` shards of equal size, as the service does by itself for an
    /// on-demand stream: no call, no bounds.
    pub fn scale(&mut self, stream: &Named, target: u32) -> Result<()> {
        self.aws.settle();
        let now = self.now();
        let stream = self.stream_mut(stream)?;
        stream.scale(target.clamp(1, 100_000), now);
        Ok(())
    }

    pub(crate) fn do_split(
        &mut self,
        named: &Named,
        shard: &str,
        at: Option<u128>,
    ) -> Result<(String, String)> {
        let (now, until) = (self.now(), self.until());
        let stream = self.provisioned(named)?;
        let (index, found) = open_shard(stream, shard)?;
        let at = at.unwrap_or(found.low + (found.high - found.low) / 2 + 1);
        // Recorded, with its message.
        if at <= found.low.saturating_add(1) || at >= found.high {
            return Err(invalid_argument(format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {} under account \
                 {ACCOUNT} is not both greater than one plus the shard's StartingHashKey {} and less than \
                 the shard's EndingHashKey {}.",
                stream.name, found.low, found.high
            )));
        }
        let (lower, upper) = stream.split(index, at, now);
        stream.updating_until = until;
        Ok((super::shard::shard_id(lower).to_string(), super::shard::shard_id(upper).to_string()))
    }

    pub(crate) fn do_merge(&mut self, named: &Named, shard: &str, adjacent: &str) -> Result<String> {
        let (now, until) = (self.now(), self.until());
        let stream = self.provisioned(named)?;
        let (first, one) = open_shard(stream, shard)?;
        let (second, other) = open_shard(stream, adjacent)?;
        let follows = |low: &Shard, high: &Shard| low.high.checked_add(1) == Some(high.low);
        if !follows(one, other) && !follows(other, one) {
            return Err(invalid_argument(format!(
                "Shards {shard} and {adjacent} in stream {} under account {ACCOUNT} are not an adjacent pair \
                 of shards eligible for merging",
                stream.name
            )));
        }
        let child = stream.merge(first, second, now);
        stream.updating_until = until;
        Ok(super::shard::shard_id(child).to_string())
    }

    /// How many shards were open before.
    pub(crate) fn do_update_shard_count(&mut self, named: &Named, target: u32) -> Result<usize> {
        let (now, until) = (self.now(), self.until());
        let stream = self.provisioned(named)?;
        let current = stream.open_shards().len();
        let wanted = target as usize;
        if wanted == 0 || wanted > current * 2 || wanted * 2 < current {
            let how = if wanted > current { "up over double" } else { "down below half" };
            return Err(invalid_argument(format!(
                "UpdateShardCount cannot scale {how} your current open shard count. Current open shard \
                 count: {current} Target shard count: {target}"
            )));
        }
        stream.scale(target, now);
        stream.updating_until = until;
        Ok(current)
    }

    fn until(&self) -> Millis {
        self.now().saturating_add(self.knobs().updating_ms)
    }

    /// Documented: the shards of an on-demand stream are the service's own affair.
    fn provisioned(&mut self, named: &Named) -> Result<&mut Stream> {
        let stream = self.active_mut(named)?;
        if stream.on_demand {
            return Err(AwsError::validation(format!(
                "Stream {} is on demand: its shards cannot be changed by a call",
                stream.name
            )));
        }
        Ok(stream)
    }
}

fn open_shard<'a>(stream: &'a Stream, id: &str) -> Result<(u32, &'a Shard)> {
    let found = stream.shards.iter().find(|(_, shard)| &*shard.id == id);
    let (index, shard) = found.ok_or_else(|| {
        AwsError::not_found(format!(
            "Could not find shard {id} in stream {} under account {ACCOUNT}.",
            stream.name
        ))
    })?;
    if shard.is_open() {
        return Ok((*index, shard));
    }
    Err(invalid_argument(format!("Shard {id} in stream {} under account {ACCOUNT} is closed", stream.name)))
}

impl Stream {
    /// Closes a shard and opens two, the upper of which starts at `at`.
    fn split(&mut self, index: u32, at: u128, now: Millis) -> (u32, u32) {
        let Some((low, high)) = self.shards.get(&index).map(|shard| (shard.low, shard.high)) else {
            return (index, index);
        };
        self.close(index, now);
        (self.open(&[index], (low, at - 1), now), self.open(&[index], (at, high), now))
    }

    /// Closes two adjacent shards and opens their child.
    fn merge(&mut self, first: u32, second: u32, now: Millis) -> u32 {
        let of = |index| self.shards.get(index);
        let parents = [first, second];
        let low = parents.iter().filter_map(of).map(|shard| shard.low).min().unwrap_or(0);
        let high = parents.iter().filter_map(of).map(|shard| shard.high).max().unwrap_or(u128::MAX);
        self.close(first, now);
        self.close(second, now);
        self.open(&parents, (low, high), now)
    }

    /// Splits at every new boundary, then merges what lies between two of them. The shards in
    /// between live for no time, as with the service (documented: it splits and merges).
    fn scale(&mut self, target: u32, now: Millis) {
        let ranges = even_ranges(target);
        for (low, _) in ranges.iter().skip(1) {
            let holding = self.open_shards().into_iter().find(|(_, shard)| shard.holds(*low));
            if let Some((index, _)) = holding.filter(|(_, shard)| shard.low < *low) {
                self.split(index, *low, now);
            }
        }
        for (low, high) in ranges {
            let within =
                self.open_shards().into_iter().filter(|(_, shard)| (low..=high).contains(&shard.low));
            let pieces: Vec<u32> = within.map(|(index, _)| index).collect();
            let mut pieces = pieces.into_iter();
            let Some(first) = pieces.next() else { continue };
            pieces.fold(first, |merged, piece| self.merge(merged, piece, now));
        }
    }
}
