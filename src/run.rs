//! The whole run as one state machine: `Run::step(event, now) → actions`.
//!
//! No clock, no randomness of its own, no I/O: the driver in `stream` and the simulation
//! in the tests feed it events and carry out its actions.

use std::time::Duration;

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Gap, QuarantinedRecord, Save};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::page::{Cursor, Description, Listing, Millis, OpenAt, Opened, Page, Scope};
use crate::position::{Position, ShardId};

/// When this stream begins, where the checkpoint knows nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
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
    /// The largest page the source may give; set aside before each request.
    pub page_bytes: usize,
    pub on_gap: OnGap,
    pub poll_interval: Duration,
    pub discovery_interval: Duration,
    pub stall_timeout: Duration,
    /// Seeds the jitter of back-off.
    pub seed: u64,
}

/// Time as the driver sees it: since the run began. The service's own time comes with its answers.
pub use crate::reader::Now;

#[derive(Debug)]
pub enum Event {
    Listed {
        scope: Scope,
        result: Result<Listing>,
    },
    Opened {
        shard: ShardId,
        result: Result<Opened>,
    },
    Fetched {
        shard: ShardId,
        result: Result<Page>,
    },
    Described(Result<Description>),
    /// The consumer took this batch.
    Taken {
        batch: u64,
    },
    /// The consumer is done with this batch (`alone`), or with it and all before it.
    Done {
        batch: u64,
        alone: bool,
    },
    /// Save what is done now, without waiting for the interval.
    Flush,
    /// Everything up to this frontier entry is durable, or could not be saved.
    Saved {
        through: u64,
        result: Result<()>,
    },
    /// The moment of `deadline` has come.
    Tick,
}

#[derive(Debug)]
pub enum Action {
    List {
        stream: String,
        scope: Scope,
    },
    Open {
        stream: String,
        shard: ShardId,
        at: OpenAt,
    },
    Fetch {
        shard: ShardId,
        cursor: Cursor,
    },
    Describe,
    /// Put this batch behind those the consumer may take.
    Emit(Batch),
    Save(Box<Save>),
    /// One line for the log.
    Warn(String),
    /// Batches already emitted may still be taken; then this error. Nothing follows.
    Fail(Error),
    /// Batches already emitted may still be taken; then the stream ends. Nothing follows.
    End,
}
