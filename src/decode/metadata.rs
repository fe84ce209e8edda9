//! The columns about the change itself.

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, TimeUnit};

use super::column::{BitsColumn, BytesColumn, Validity, disagree};
use super::json::{Fallible, Text};
use crate::error::Result;
use crate::position::ShardId;

/// What happened to the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    Modify,
    Remove,
    /// None: it was scanned as it stood.
    Snapshot,
}

/// The values of the dictionary of `_op`, in the order of the variants of `Op`.
const OPS: [&str; 4] = ["insert", "modify", "remove", "snapshot"];
const NAMES: [&str; 8] = ["op", "time", "shard", "sequence", "event_id", "ttl", "old", "rest"];

/// Names that attributes cannot have as columns; `_old` is reserved whether it is asked for or not.
pub(super) fn names(prefix: &str) -> impl Iterator<Item = String> {
    NAMES.iter().map(move |name| format!("{prefix}{name}"))
}

pub(super) fn fields(prefix: &str) -> Vec<Field> {
    let dictionary = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
    vec![
        Field::new(format!("{prefix}op"), dictionary(DataType::Int8), false),
        Field::new(
            format!("{prefix}time"),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new(format!("{prefix}shard"), dictionary(DataType::Int32), false),
        Field::new(format!("{prefix}sequence"), DataType::Utf8, true),
        Field::new(format!("{prefix}event_id"), DataType::Utf8, true),
        Field::new(format!("{prefix}ttl"), DataType::Boolean, false),
    ]
}

/// What a record says besides its images.
pub(super) struct Row<'a> {
    pub(super) op: Op,
    pub(super) micros: Option<i64>,
    pub(super) sequence: Option<&'a [u8]>,
    pub(super) event_id: Option<Text<'a>>,
    pub(super) ttl: bool,
}

#[derive(Debug)]
pub(super) struct Metadata {
    ops: Vec<i8>,
    times: Vec<i64>,
    timed: Validity,
    shards: Vec<i32>,
    sequences: BytesColumn,
    event_ids: BytesColumn,
    ttls: BitsColumn,
    dictionary: Shards,
    op_values: ArrayRef,
    zone: Arc<str>,
}

impl Metadata {
    pub(super) fn new() -> Self {
        Self {
            ops: Vec::new(),
            times: Vec::new(),
            timed: Validity::default(),
            shards: Vec::new(),
            sequences: BytesColumn::default(),
            event_ids: BytesColumn::default(),
            ttls: BitsColumn::default(),
            dictionary: Shards::default(),
            op_values: Arc::new(StringArray::from_iter_values(OPS)),
            zone: "UTC".into(),
        }
    }

    /// The number of a shard in the dictionary of this batch.
    pub(super) fn shard(&mut self, shard: &ShardId) -> i32 {
        self.dictionary.number(shard)
    }

    pub(super) fn push(&mut self, index: usize, shard: i32, row: &Row<'_>) -> Fallible<()> {
        if let Some(sequence) = row.sequence {
            self.sequences.push(index, |out| {
                out.extend_from_slice(sequence);
                Ok(())
            })?;
        }
        if let Some(id) = row.event_id {
            self.event_ids.push(index, |out| id.append_to(out))?;
        }
        self.ops.push(row.op as i8);
        self.shards.push(shard);
        self.times.push(row.micros.unwrap_or(0));
        match row.micros {
            Some(_) => self.timed.push_valid(),
            None => self.timed.pad(index + 1),
        }
        self.ttls.push(row.ttl);
        Ok(())
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.ops.truncate(rows);
        self.times.truncate(rows);
        self.timed.truncate(rows);
        self.shards.truncate(rows);
        self.sequences.truncate(rows);
        self.event_ids.truncate(rows);
        self.ttls.truncate(rows);
    }

    pub(super) fn bytes(&self) -> usize {
        13 * self.ops.len() + self.sequences.bytes() + self.event_ids.bytes() + self.ttls.bytes()
    }

    pub(super) fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let ops = take_presized(&mut self.ops);
        let times = take_presized(&mut self.times);
        let shards = take_presized(&mut self.shards);
        let ops = PrimitiveArray::<Int8Type>::new(ScalarBuffer::from(ops), None);
        let times = TimestampMicrosecondArray::new(ScalarBuffer::from(times), self.timed.finish());
        let shards = PrimitiveArray::<Int32Type>::new(ScalarBuffer::from(shards), None);
        let dictionary = self.dictionary.finish();
        Ok(vec![
            Arc::new(DictionaryArray::try_new(ops, Arc::clone(&self.op_values)).map_err(disagree)?),
            Arc::new(times.with_timezone(Arc::clone(&self.zone))),
            Arc::new(DictionaryArray::try_new(shards, dictionary).map_err(disagree)?),
            self.sequences.finish_text(rows)?,
            self.event_ids.finish_text(rows)?,
            Arc::new(BooleanArray::new(self.ttls.finish(), None)),
        ])
    }
}

/// Takes the values and leaves room for as many again.
fn take_presized<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    let mut taken = std::mem::replace(values, room);
    super::column::trim(&mut taken);
    taken
}

/// The shards of one batch. A stream that stays with one shard uses the same array again and again.
#[derive(Debug, Default)]
struct Shards {
    ids: Vec<ShardId>,
    values: Option<ArrayRef>,
}

impl Shards {
    fn number(&mut self, shard: &ShardId) -> i32 {
        let known = self.ids.iter().rposition(|id| id == shard);
        let number = known.unwrap_or_else(|| {
            self.ids.push(shard.clone());
            self.values = None;
            self.ids.len() - 1
        });
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    fn finish(&mut self) -> ArrayRef {
        let ids = &self.ids;
        let made =
            || -> ArrayRef { Arc::new(StringArray::from_iter_values(ids.iter().map(ShardId::as_str))) };
        let values = Arc::clone(self.values.get_or_insert_with(made));
        if self.ids.len() > 1 {
            *self = Self::default();
        }
        values
    }
}
