//! What a run is told before it begins.

use std::time::Duration;

use super::SnapshotOptions;
use crate::page::{Millis, Terms};
use crate::position::{Position, ShardId};

/// When this stream begins, where the checkpoint knows nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A scan of the table, then its changes.
    Snapshot,
    Earliest,
    Latest,
    /// At the records that arrived at this moment or later, by the service's clock.
    Time(Millis),
    /// `(None, position)` is allowed once: the one listed shard that can hold it.
    Positions {
        positions: Vec<(Option<ShardId>, Position)>,
        others: Others,
    },
}

/// Where lineages start that `Start::Positions` does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    Fail,
    Continue,
    /// Scan the table again, under a new epoch.
    Resnapshot,
}

/// Who keeps the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A `CheckpointStore`: the run asks for `Action::Save`.
    Store,
    /// A loader, in the transaction of its data: it asks for `Run::state` and says `Event::Saved`.
    Loader,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub start: Start,
    pub follow: bool,
    pub settle: Duration,
    pub keeper: Keeper,
    pub commit_interval: Duration,
    pub batch_rows: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub memory_limit: usize,
    pub terms: Terms,
    pub snapshot: SnapshotOptions,
    pub on_gap: OnGap,
    pub poll_interval: Duration,
    pub discovery_interval: Duration,
    pub stall_timeout: Duration,
    /// Seeds the jitter of back-off.
    pub seed: u64,
}
