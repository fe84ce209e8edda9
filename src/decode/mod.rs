//! From the bytes of a page to Arrow columns. Knows no I/O and no AWS client.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::page::{Millis, Page};
use crate::position::SequenceNumber;

/// How much a decoder may still take before its batch is full.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub rows: usize,
    /// Bytes of decoded columns. Reached by the record that crosses it; one record is always taken.
    pub bytes: usize,
}

/// What one `push` took from a page.
#[derive(Clone, Debug, Default)]
pub struct Pushed {
    /// Rows added to the batch.
    pub rows: usize,
    /// Where in the page to go on with the next batch (an offset into `body`); `None` when the page is used up.
    pub rest: Option<usize>,
    /// The last record used, whether it became a row, was left out or was quarantined.
    pub last: Option<SequenceNumber>,
    /// The newest creation time among the records used.
    pub newest: Option<Millis>,
    /// Records left out because they are older than the start or not behind the position.
    pub skipped: usize,
    pub quarantined: Vec<Quarantined>,
}

/// Which records of a page are not wanted although the service gave them.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// Leave out records created before this moment (`latest`).
    pub created_before: Option<Millis>,
    /// Leave out records up to and with this one (a shard read again from its beginning).
    pub through: Option<SequenceNumber>,
}

/// A record that could not be decoded, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub sequence: Option<SequenceNumber>,
    pub raw: Bytes,
    pub reason: String,
}

/// Turns pages of one format into rows of one growing schema.
///
/// A record is added whole or not at all. Errors name shard and sequence number;
/// after an error the decoder still holds every row before the bad record.
pub trait Decoder: Send {
    /// Adds records of `page` from byte offset `from` on (`page.records.start` at first).
    ///
    /// # Errors
    /// `BadPage` when the bytes are not the JSON the protocol promises: fetch it again.
    /// `BadRecord` when a record cannot be decoded and the policy is to fail.
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed>;

    /// Rows waiting in the batch.
    fn rows(&self) -> usize;

    /// Bytes held by the rows waiting.
    fn bytes(&self) -> usize;

    /// Takes the rows waiting as one record batch with the schema reached so far.
    fn flush(&mut self) -> Result<RecordBatch>;

    /// The schema reached, to be saved with the checkpoint; the same `Arc` while nothing changed.
    fn schema_state(&self) -> Arc<SchemaState>;

    /// Sentences for the log, each said once (a value that does not fit its column, too many columns).
    fn take_notices(&mut self) -> Vec<String>;
}

/// The columns inferred so far, in order, as kept in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaState {
    pub columns: Vec<ColumnState>,
}

/// One attribute's column: its name in the table and its type, in the decoder's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnState {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}
