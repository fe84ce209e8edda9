//! How near the stream is to losing what it has not read: a share of the retention for each shard.

use super::*;

/// Shares of the retention at which somebody should hear of it, once each until the shard recovers.
const WARN_AT: [f64; 2] = [0.25, 0.5];

const HOUR: f64 = 3_600_000.0;

impl Run {
    /// The share of the retention that has passed since nothing of the shard was missing. At 1 the
    /// service forgets what was not read.
    pub(super) fn retention_used(&self, id: &ShardId, now: Now) -> Option<f64> {
        if self.graph.is_finished(id) {
            return None;
        }
        let late = (self.server_now(now)? - self.verified(id)?).max(0);
        Some(late as f64 / self.description.retention.max(1) as f64)
    }

    /// To be called with every whole listing: shards age slowly.
    pub(super) fn warn_of_age(&mut self, now: Now) {
        for (id, used) in self.ages(now) {
            let before = self.late.get(&id).copied().unwrap_or(0);
            let level = level(used);
            if level > before {
                self.warn(self.age_in_words(&id, used));
            }
            // Between two marks nothing is said again: only recovering starts anew.
            let level = if level == 0 { 0 } else { level.max(before) };
            self.late.insert(id, level);
        }
        self.late.retain(|id, _| self.graph.contains(id));
    }

    /// A first start chooses where it begins: it is no news that what it begins with is old.
    pub(super) fn accept_age(&mut self, now: Now) {
        self.late = self.ages(now).map(|(id, used)| (id, level(used))).collect();
    }

    /// A shard goes on where its parent ended, and what was said of that holds for it. Of parents that
    /// nobody has seen it is as old as the shard that waits longest, of which it was said as well.
    pub(super) fn inherit_age(&mut self, id: &ShardId) {
        let parents = self.graph.parents(id).iter().filter_map(|parent| self.late.get(parent)).max();
        if let Some(level) = parents.or_else(|| self.late.values().max()).copied() {
            self.late.insert(id.clone(), level);
        }
    }

    fn ages(&self, now: Now) -> impl Iterator<Item = (ShardId, f64)> + use<> {
        let used = |id: &ShardId| Some((id.clone(), self.retention_used(id, now)?));
        let ages: Vec<_> = self.graph.unfinished().filter_map(used).collect();
        ages.into_iter()
    }

    fn age_in_words(&self, id: &ShardId, used: f64) -> String {
        let retention = self.description.retention as f64 / HOUR;
        let left = retention * (1.0 - used);
        let danger = if left > 0.0 {
            format!("changes are lost in {left:.1} hours unless the consumer catches up")
        } else {
            "what was not read of it may be lost already".to_owned()
        };
        let used = used * 100.0;
        format!(
            "shard {id} has used {used:.0} % of the {retention:.0} hours that the stream keeps its records: {danger}"
        )
    }
}

fn level(used: f64) -> usize {
    WARN_AT.iter().filter(|mark| used >= **mark).count()
}
