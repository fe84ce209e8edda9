//! What a run hears, and what it asks for.

use crate::batch::Batch;
use crate::checkpoint::Save;
use crate::error::{Error, Result};
use crate::page::{
    Cursor, Description, ItemsPage, Listing, OpenAt, Opened, Page, ScanRequest, Scope, Segment,
};
use crate::position::ShardId;

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
    /// The answer to the request for the page at `cursor`.
    Fetched {
        shard: ShardId,
        cursor: Cursor,
        result: Result<Page>,
    },
    Scanned {
        segment: Segment,
        result: Result<ItemsPage>,
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
    Scan(ScanRequest),
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
