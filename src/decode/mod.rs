//! From the bytes of a page to Arrow columns. Knows no I/O and no AWS client.

mod aggregate;
mod attribute;
mod change;
mod column;
mod conform;
mod delivery;
mod envelope;
mod hash;
mod image;
mod item;
mod json;
mod kind;
mod kinesis;
mod members;
mod metadata;
mod names;
mod number;
mod options;
mod payload;
mod plain;
mod raw;
mod rows;
mod scan;
mod schema;
mod short;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod words;

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::page::{ItemsPage, KeyAttribute, Millis, Page};
use crate::position::SequenceNumber;

pub use self::conform::conform;
pub use self::hash::item_hash;
pub use self::kind::{JSON_MARK, NUMBER_MARK};
pub use self::options::{
    DeclaredColumn, DecodeOptions, Format, Images, JsonFields, Nested, Numbers, OnBadRecord,
};
pub use self::table::KEYS_MARK;
pub use self::words::type_words;

use self::kinesis::KinesisDecoder;
use self::payload::Payloads;
use self::raw::RawImages;
use self::rows::RowDecoder;
use self::table::Table;

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
    /// `BadPage` when the bytes are not the JSON the protocol promises: fetch it again. The decoder is
    /// then exactly as it was before this call.
    ///
    /// `BadRecord` when a record cannot be decoded and the policy is to fail, with its place as the
    /// error's position. It is returned only by a call that added no row: behind rows, the call ends
    /// with `rest` pointing at the bad record, so that `Pushed` tells where the rows end, and the next
    /// call returns the error.
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed>;

    /// Adds items of a table's scan, as rows with `_op` `snapshot`, from byte offset `from` on.
    /// `Pushed::last`, `newest` and `skipped` stay empty; everything else is as with `push`.
    ///
    /// # Errors
    /// As `push`; a `BadRecord` names the segment, and its item by its place in the page.
    fn push_items(&mut self, page: &ItemsPage, from: usize, room: Room) -> Result<Pushed>;

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

    /// What it met so far.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// What a decoder met since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Values that stand in `_rest` because their column is of another kind.
    pub unfit: u64,
    /// Records that were aggregates of the Kinesis Producer Library.
    pub aggregates: u64,
    /// Records that begin like an aggregate, but whose checksum is another: rows as they are.
    pub broken_aggregates: u64,
    /// Parts of aggregates whose hash key is not one of their shard's; rows like all others.
    pub out_of_range: u64,
    /// Changes left out because they are of another table.
    pub other_tables: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.unfit += other.unfit;
        self.aggregates += other.aggregates;
        self.broken_aggregates += other.broken_aggregates;
        self.out_of_range += other.out_of_range;
        self.other_tables += other.other_tables;
    }
}

/// The decoder for these options: of a new stream, or going on with the columns of a checkpoint.
///
/// # Errors
/// `Usage` when an option cannot work, or disagrees with the columns of the checkpoint.
pub fn decoder(
    options: &DecodeOptions,
    keys: &[KeyAttribute],
    resumed: Option<&SchemaState>,
) -> Result<Box<dyn Decoder>> {
    let rows = |table| RowDecoder::new(options, table);
    Ok(match (options.format, options.images) {
        (Format::Streams, Images::Columns) => Box::new(rows(Table::new(options, keys, resumed)?)),
        (Format::Streams, Images::Json) => {
            Box::new(RowDecoder::new(options, RawImages::new(options, keys, resumed)?))
        }
        (Format::Bytes, _) => Box::new(KinesisDecoder::new(options, Payloads::new(options, keys, resumed)?)),
        (Format::Json, _) => {
            payload::refuse(
                "json",
                &[
                    ("images", options.images == Images::Json),
                    ("old_image", options.old_image),
                    ("image_hashes", options.image_hashes),
                    ("changes_of", options.changes_of.is_some()),
                    ("keys", !keys.is_empty()),
                ],
            )?;
            if resumed.is_some_and(|state| !state.keys.is_empty()) {
                return Err(other_format());
            }
            Box::new(KinesisDecoder::new(options, Table::new(options, &[], resumed)?))
        }
        (Format::Dynamodb, Images::Columns) => {
            Box::new(KinesisDecoder::new(options, Table::new(options, &known_keys(keys, resumed)?, resumed)?))
        }
        (Format::Dynamodb, Images::Json) => {
            Box::new(KinesisDecoder::new(options, RawImages::new(options, keys, resumed)?))
        }
    })
}

/// The keys given, or those of the checkpoint, whose order holds.
fn known_keys(given: &[KeyAttribute], resumed: Option<&SchemaState>) -> Result<Vec<KeyAttribute>> {
    let Some(state) = resumed.filter(|state| !state.columns.is_empty()) else { return Ok(given.to_vec()) };
    let agree = given.is_empty()
        || given.len() == state.keys.len() && given.iter().all(|key| state.keys.contains(key));
    match (state.keys.is_empty(), agree) {
        (false, true) => Ok(state.keys.clone()),
        (true, _) => Err(other_format()),
        (false, false) => {
            let names: Vec<&str> = state.keys.iter().map(|key| key.name.as_str()).collect();
            Err(Error::usage(format!(
                "the keys of the table are not those of the checkpoint, {names:?}; start with a new checkpoint"
            )))
        }
    }
}

fn other_format() -> Error {
    Error::usage(
        "the checkpoint was written with another format=, or with images=\"json\"; use the options it was written \
         with, or start with a new checkpoint",
    )
}

/// The columns inferred so far, in order, as kept in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaState {
    pub columns: Vec<ColumnState>,
    /// `dynamodb`: which of them are the keys, as far as it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyAttribute>,
}

/// One attribute's column: its name in the table and its type, in the decoder's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnState {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}
