//! What the run can say of itself at any moment.

use serde::Serialize;

use super::*;
use crate::decode::Counts;

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
    /// The largest `lag_seconds` of the shards being read.
    pub lag_seconds: Option<f64>,
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
    /// `scanning`, `draining` or `done`.
    pub slice: &'static str,
    pub ready: bool,
    pub retries: u64,
    /// Until the scan is over, at the pace so far.
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
    /// service's time; zero when only empty pages have come of late, none before the first record.
    pub lag_seconds: Option<f64>,
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
            lag_seconds: shards.values().filter_map(|shard| shard.lag_seconds).reduce(f64::max),
            memory: self.memory.used(),
            memory_peak: self.memory.peak(),
            decoded: self.batcher.decoder().counts(),
            shards,
            snapshot: self.snapshot.as_ref().map(|snapshot| self.snapshot_metrics(snapshot, now)),
        }
    }

    fn shard(&self, id: &ShardId, now: Now) -> ShardMetrics {
        let Some(reader) = self.readers.get(id) else { return self.unread_shard(id) };
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
            last_error: reader.last_failure().map(ToString::to_string),
        }
    }

    fn snapshot_metrics(&self, snapshot: &Snapshot, now: Now) -> SnapshotMetrics {
        let progress = snapshot.progress(now);
        let oldest = self.graph.unfinished().filter_map(|id| self.verified(id)).min();
        let left = oldest
            .zip(self.server_now(now))
            .map(|(oldest, time)| (oldest + self.description.retention - time) as f64);
        SnapshotMetrics {
            scanned: progress.scanned,
            items: progress.items,
            segments: progress.segments,
            segments_done: progress.segments_done,
            slice: snapshot.slice().name(),
            ready: snapshot.is_ready(),
            retries: self.scan_retries,
            seconds_left: progress.seconds_left,
            hours_to_loss: left.map(|left| left / 3_600_000.0),
        }
    }

    fn unread_shard(&self, id: &ShardId) -> ShardMetrics {
        let start = self.starts.get(id);
        ShardMetrics {
            state: if self.graph.is_finished(id) { "finished" } else { "waiting for its parent" },
            position: start.map(|state| state.position.to_string()).unwrap_or_default(),
            records: 0,
            bytes: 0,
            throttles: 0,
            retries: 0,
            lag_seconds: None,
            last_error: None,
        }
    }

    fn lag(&self, reader: &Reader, now: Now) -> Option<f64> {
        if reader.phase == Phase::Finished {
            return None;
        }
        if let Some(behind) = reader.behind {
            return Some(behind as f64 / 1000.0);
        }
        if reader.is_caught_up() {
            return Some(0.0);
        }
        let newest = reader.newest?;
        Some(((self.server_now(now)? - newest).max(0)) as f64 / 1000.0)
    }
}
