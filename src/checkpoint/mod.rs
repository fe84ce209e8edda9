//! What a stream remembers between runs, and where that is kept.

mod forward;
pub mod lock;
pub mod memory;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decode::{Quarantined, SchemaState};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Millis, ScanKey};
use crate::position::{Position, ShardId};

mod ledger;

pub use ledger::{Delta, Ledger};

pub const FORMAT: u32 = 1;

/// Everything needed to go on exactly where the committed batches end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub format: u32,
    pub table: String,
    pub table_arn: String,
    /// ARN with label: a recreated stream has another one.
    pub stream_arn: String,
    pub epoch: u64,
    /// The newest epoch whose rows may have been handed out; 0 before the table is scanned again. One
    /// that a kill cut off before it could be saved is never begun again: its rows may be with the consumer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch_begun: u64,
    /// How the stream was started, in words for `status` (`earliest`, `latest`, …).
    pub start: String,
    /// Every known shard: unfinished ones with their position, finished ones until they have aged out.
    pub shards: BTreeMap<ShardId, ShardState>,
    pub schema: Arc<SchemaState>,
    /// The scan of the table in this epoch; absent when the stream did not start with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotState>,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How far the scan of a table is. The number of segments never changes within an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotState {
    pub segments: Vec<SegmentState>,
    /// Turns of scanning begun.
    pub slices: u64,
    /// Items the service has looked at, and the table's own count of them when the scan began.
    pub scanned: u64,
    pub items: Option<u64>,
    /// When the whole table had been scanned.
    pub ended: Option<Millis>,
    /// Every change made up to `ended` has its place before this.
    pub ready: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentState {
    /// Everything up to this key is committed.
    pub after: Option<ScanKey>,
    pub done: bool,
    /// Items looked at so far.
    #[serde(default)]
    pub scanned: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardState {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ShardId>,
    /// Everything up to here is committed.
    pub position: Position,
    /// Records created before this moment are left out (`latest`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Millis>,
    /// Everything the shard held at this moment is committed: nothing older can be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Millis>,
    /// Those of its parents that the checkpoint does not know were proved to be gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parents_gone: bool,
    /// When the end of the shard was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Millis>,
}

/// Records known to be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    pub shard: Option<ShardId>,
    pub from: Option<Position>,
    pub to: Option<Position>,
    pub cause: String,
    /// The stream it happened in.
    pub stream_arn: String,
    /// The service's time when it was found.
    pub found: Option<Millis>,
}

/// A quarantined record and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRecord {
    pub shard: ShardId,
    pub record: Quarantined,
}

/// One write: the checkpoint and what became known with it, durable together or not at all.
#[derive(Clone, Debug)]
pub struct Save {
    /// The frontier entry up to which this covers everything.
    pub through: u64,
    pub checkpoint: Checkpoint,
    pub gaps: Vec<Gap>,
    pub quarantined: Vec<QuarantinedRecord>,
}

impl Checkpoint {
    /// # Errors
    /// `CheckpointCorrupt` when the text is not a checkpoint of this format: never a silent fresh start.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let corrupt = |cause: serde_json::Error| {
            Error::new(
                ErrorKind::CheckpointCorrupt,
                format!(
                    "the checkpoint cannot be read ({cause}); restore it from a copy, or delete it to start again"
                ),
            )
        };
        let head: Head = serde_json::from_str(text).map_err(corrupt)?;
        if head.format != FORMAT {
            return Err(Error::new(
                ErrorKind::CheckpointCorrupt,
                format!(
                    "the checkpoint has format {} but this version reads format {FORMAT}; use the version that wrote it",
                    head.format
                ),
            ));
        }
        serde_json::from_str(text).map_err(corrupt)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a checkpoint has only text keys")
    }
}

/// Where checkpoints are kept. Calls block; the driver runs them off the network threads.
///
/// A store is opened for one consumer name and holds it exclusively until dropped.
pub trait CheckpointStore: Send + 'static {
    fn load(&mut self) -> Result<Option<Checkpoint>>;

    /// Returns when the write would survive a power cut.
    fn save(&mut self, save: &Save) -> Result<()>;

    fn gaps(&mut self) -> Result<Vec<Gap>>;

    fn quarantined(&mut self) -> Result<Vec<QuarantinedRecord>>;

    /// Whether what is saved outlives the process.
    fn is_durable(&self) -> bool;
}
