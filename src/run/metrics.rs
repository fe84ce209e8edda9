//! What the run can say of itself at any moment.

use serde::Serialize;

use super::*;
use crate::decode::Counts;
use crate::snapshot::SegmentProgress;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    pub records: u64,
    /// Bytes of pages as they came.
    pub bytes: u64,
    pub pages: u64,
    pub throttles: u64,
    pub retries: u64,
    /// Cursors that had expired and were renewed.
    pub expired: u64,
    /// Batches handed out or waiting that are not committed.
    pub held: usize,
    /// Changes that were read and are not committed, whether anybody has taken them or not.
    pub changes_waiting: u64,
    /// Changes of the last so many seconds may be in the stream and not read yet: how long ago the
    /// shard that waits longest was known to be read to its end. How many they are nobody says. None
    /// while no shard is known that is not finished.
    pub unread_seconds: Option<f64>,
    /// The largest `lag_seconds` of the shards being read.
    pub lag_seconds: Option<f64>,
    /// The largest `retention_used` of the shards that are not finished.
    pub retention_used: Option<f64>,
    /// Bytes set aside and held now, and the most there ever were.
    pub memory: usize,
    pub memory_peak: usize,
    /// What the decoder met.
    pub decoded: Counts,
    pub shards: BTreeMap<String, ShardMetrics>,
    /// How far the scan of the table is; none when the stream did not start with one.
    pub snapshot: Option<SnapshotMetrics>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SnapshotMetrics {
    /// Items looked at, of about so many by the table's own count.
    pub scanned: u64,
    pub items: Option<u64>,
    pub segments: usize,
    pub segments_done: usize,
    /// Each segment by its number.
    pub by_segment: Vec<SegmentProgress>,
    /// `scanning`, `draining` or `done`.
    pub slice: &'static str,
    pub ready: bool,
    pub retries: u64,
    /// Until the scan is over, at the pace of this run; none where the table's own count of its items
    /// says nothing of what is left.
    pub seconds_left: Option<f64>,
    /// Until the stream trims changes that have not been read.
    pub hours_to_loss: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardMetrics {
    pub state: &'static str,
    pub position: String,
    pub records: u64,
    pub bytes: u64,
    pub throttles: u64,
    pub retries: u64,
    /// What the service says, where it does. Else the seconds between the newest record read and the
    /// service's time; zero when only empty pages have come of late. While the table is scanned and no
    /// shard is read: since it was last known to be read to its end. None before the first record.
    pub lag_seconds: Option<f64>,
    /// The share of the stream's retention that has passed since nothing of the shard was missing.
    pub retention_used: Option<f64>,
    pub last_error: Option<String>,
}

impl Run {
    pub fn metrics(&self, now: Now) -> Metrics {
        let shards: BTreeMap<_, _> =
            self.starts.keys().map(|id| (id.to_string(), self.shard(id, now))).collect();
        let sum = |count: fn(&Reader) -> u64| self.readers.values().map(count).sum();
        Metrics {
            records: sum(|reader| reader.counts.records),
            bytes: sum(|reader| reader.counts.bytes),
            pages: sum(|reader| reader.counts.pages),
            throttles: sum(|reader| reader.counts.throttles),
            retries: sum(|reader| reader.counts.retries),
            expired: sum(|reader| reader.counts.expired),
            held: self.frontier.held(),
            changes_waiting: self.changes_waiting(),
            unread_seconds: self.unread(now).map(in_seconds),
            lag_seconds: shards.values().filter_map(|shard| shard.lag_seconds).reduce(f64::max),
            retention_used: shards.values().filter_map(|shard| shard.retention_used).reduce(f64::max),
            memory: self.memory.used(),
            memory_peak: self.memory.peak(),
            decoded: self.batcher.decoder().counts(),
            shards,
            snapshot: self.snapshot.as_ref().map(|snapshot| self.snapshot_metrics(snapshot, now)),
        }
    }

    fn shard(&self, id: &ShardId, now: Now) -> ShardMetrics {
        let Some(reader) = self.readers.get(id) else { return self.unread_shard(id, now) };
        ShardMetrics {
            state: match reader.phase {
                Phase::Closed | Phase::Opening => "opening",
                Phase::Open(_) | Phase::Fetching(_) => "reading",
                Phase::Ending => "ending",
                Phase::Doubtful(_) => "in doubt",
                Phase::Finished => "finished",
            },
            position: reader.position.to_string(),
            records: reader.counts.records,
            bytes: reader.counts.bytes,
            throttles: reader.counts.throttles,
            retries: reader.counts.retries,
            lag_seconds: self.lag(reader, now),
            retention_used: self.retention_used(id, now),
            last_error: reader.last_failure().map(ToString::to_string),
        }
    }

    fn snapshot_metrics(&self, snapshot: &Snapshot, now: Now) -> SnapshotMetrics {
        let progress = snapshot.progress(now);
        let left = self.unread(now).map(|unread| self.description.retention - unread);
        SnapshotMetrics {
            scanned: progress.scanned,
            items: progress.items,
            segments: progress.segments.len(),
            segments_done: progress.segments.iter().filter(|segment| segment.done).count(),
            by_segment: progress.segments,
            slice: snapshot.slice().name(),
            ready: snapshot.is_ready(),
            retries: self.scan_retries,
            seconds_left: progress.seconds_left,
            hours_to_loss: left.map(|left| in_seconds(left) / 3600.0),
        }
    }

    fn changes_waiting(&self) -> u64 {
        let held = self.frontier.oldest_held();
        let held =
            held.map_or(0, |oldest| self.changes_held.range(oldest..).map(|(_, changes)| changes).sum());
        self.changes_gathered + held
    }

    /// How long ago every shard was known to be read to its end. The children of a shard that ended
    /// begin where it did, so while they are awaited it stands for them.
    fn unread(&self, now: Now) -> Option<Millis> {
        let awaited = |id: &&ShardId| self.graph.is_finished(id) && self.discovery.is_expecting(id);
        let unread = self.graph.unfinished().chain(self.readers.keys().filter(awaited));
        let oldest = unread.filter_map(|id| self.verified(id)).min()?;
        Some((self.server_now(now)? - oldest).max(0))
    }

    fn unread_shard(&self, id: &ShardId, now: Now) -> ShardMetrics {
        let start = self.starts.get(id);
        ShardMetrics {
            state: if self.graph.is_finished(id) { "finished" } else { "waiting for its parent" },
            position: start.map(|state| state.position.to_string()).unwrap_or_default(),
            records: 0,
            bytes: 0,
            throttles: 0,
            retries: 0,
            lag_seconds: None,
            retention_used: self.retention_used(id, now),
            last_error: None,
        }
    }

    fn lag(&self, reader: &Reader, now: Now) -> Option<f64> {
        if reader.phase == Phase::Finished {
            return None;
        }
        let resting = self.stage == Stage::Running && !self.may_read_shards();
        if let Some(behind) = reader.behind.filter(|_| !resting) {
            return Some(behind as f64 / 1000.0);
        }
        if reader.is_caught_up() && !resting {
            return Some(0.0);
        }
        let newest = if resting { reader.newest.max(reader.verified) } else { reader.newest }?;
        Some(in_seconds((self.server_now(now)? - newest).max(0)))
    }
}

fn in_seconds(time: Millis) -> f64 {
    time as f64 / 1000.0
}
