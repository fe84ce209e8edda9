//! The columns about the change, or about the delivery, itself.

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, TimeUnit};

use super::column::{BitsColumn, BytesColumn, Validity, disagree};
use super::hash::{HASH_BYTES, HashColumn, ImageHashes};
use super::json::{Fallible, Text, bad_record};
use super::{DecodeOptions, Format};
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
    /// There is no item: a record was put into a stream.
    Put,
}

/// The values of the dictionary of `_op`, in the order of the variants of `Op`.
const OPS: [&str; 5] = ["insert", "modify", "remove", "snapshot", "put"];

/// Which columns there are besides `_op`, `_time`, `_shard` and `_sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Of a change of an item; with hashes of its images or without.
    Change { hashes: bool },
    /// Of a record that somebody put into a stream.
    Delivery,
}

const HASHES: [&str; 2] = ["new_hash", "old_hash"];
const HASH_TYPE: DataType = DataType::FixedSizeBinary(HASH_BYTES as i32);
const FIRST: [&str; 4] = ["op", "time", "shard", "sequence"];

impl Layout {
    fn of(options: &DecodeOptions) -> Self {
        match options.format {
            Format::Streams | Format::Dynamodb => Self::Change { hashes: options.image_hashes },
            Format::Bytes | Format::Json => Self::Delivery,
        }
    }

    /// Names, types, and whether there may be a null.
    fn own(self) -> Vec<(&'static str, DataType, bool)> {
        let mut own = match self {
            Self::Change { .. } => {
                vec![("event_id", DataType::Utf8, true), ("ttl", DataType::Boolean, false)]
            }
            Self::Delivery => {
                vec![("partition_key", DataType::Utf8, false), ("explicit_hash_key", DataType::Utf8, true)]
            }
        };
        if let Self::Change { hashes: true } = self {
            own.extend(HASHES.map(|name| (name, HASH_TYPE, true)));
        }
        own
    }
}

/// Names that attributes cannot have as columns; `_old` is reserved whether it is asked for or not.
pub(super) fn names(options: &DecodeOptions) -> impl Iterator<Item = String> + '_ {
    let own = Layout::of(options).own().into_iter().map(|(name, ..)| name);
    let names = FIRST.into_iter().chain(own).chain(["old", "rest"]);
    names.map(|name| format!("{}{name}", options.metadata_prefix))
}

/// What a record says besides its images or its data.
pub(super) struct Row<'a> {
    pub(super) op: Op,
    pub(super) micros: Option<i64>,
    pub(super) sequence: Option<&'a [u8]>,
    /// Which part of the record with this sequence number it is.
    pub(super) part: Option<u32>,
    pub(super) about: About<'a>,
}

pub(super) enum About<'a> {
    Change { event_id: Option<Text<'a>>, ttl: bool, hashes: ImageHashes },
    Delivery { partition_key: &'a [u8], explicit_hash_key: Option<&'a [u8]> },
}

#[derive(Debug)]
enum OwnColumns {
    Change { event_ids: BytesColumn, ttls: BitsColumn, hashes: Option<[HashColumn; 2]> },
    Delivery { partition_keys: BytesColumn, explicit_hash_keys: BytesColumn },
}

#[derive(Debug)]
pub(super) struct Metadata {
    prefix: String,
    layout: Layout,
    ops: Vec<i8>,
    times: Vec<i64>,
    timed: Validity,
    shards: Vec<i32>,
    sequences: BytesColumn,
    own: OwnColumns,
    dictionary: Shards,
    op_values: ArrayRef,
    zone: Arc<str>,
}

impl OwnColumns {
    fn new(layout: Layout) -> Self {
        match layout {
            Layout::Change { hashes } => Self::Change {
                event_ids: BytesColumn::default(),
                ttls: BitsColumn::default(),
                hashes: hashes.then(Default::default),
            },
            Layout::Delivery => Self::Delivery {
                partition_keys: BytesColumn::default(),
                explicit_hash_keys: BytesColumn::default(),
            },
        }
    }

    fn push(&mut self, index: usize, about: &About<'_>) -> Fallible<()> {
        match (self, about) {
            (Self::Change { event_ids, ttls, hashes }, About::Change { event_id, ttl, hashes: images }) => {
                if let Some(id) = event_id {
                    event_ids.push(index, |out| id.append_to(out))?;
                }
                ttls.push(*ttl);
                for (column, hash) in hashes.iter_mut().flatten().zip(images.both()) {
                    column.push(hash);
                }
            }
            (
                Self::Delivery { partition_keys, explicit_hash_keys },
                About::Delivery { partition_key, explicit_hash_key },
            ) => {
                push_bytes(partition_keys, index, partition_key)?;
                if let Some(key) = explicit_hash_key {
                    push_bytes(explicit_hash_keys, index, key)?;
                }
            }
            // The rows of a format have one layout.
            (Self::Change { .. }, About::Delivery { .. }) | (Self::Delivery { .. }, About::Change { .. }) => {
                return bad_record("it is of another format than the columns");
            }
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Change { event_ids, ttls, hashes } => {
                event_ids.truncate(rows);
                ttls.truncate(rows);
                hashes.iter_mut().flatten().for_each(|column| column.truncate(rows));
            }
            Self::Delivery { partition_keys, explicit_hash_keys } => {
                partition_keys.truncate(rows);
                explicit_hash_keys.truncate(rows);
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Change { event_ids, ttls, hashes } => {
                let hashes: usize = hashes.iter().flatten().map(HashColumn::bytes).sum();
                event_ids.bytes() + ttls.bytes() + hashes
            }
            Self::Delivery { partition_keys, explicit_hash_keys } => {
                partition_keys.bytes() + explicit_hash_keys.bytes()
            }
        }
    }

    fn finish(&mut self, rows: usize, arrays: &mut Vec<ArrayRef>) -> Result<()> {
        match self {
            Self::Change { event_ids, ttls, hashes } => {
                arrays.push(event_ids.finish_text(rows)?);
                arrays.push(Arc::new(BooleanArray::new(ttls.finish(), None)));
                for column in hashes.iter_mut().flatten() {
                    arrays.push(column.finish()?);
                }
            }
            Self::Delivery { partition_keys, explicit_hash_keys } => {
                arrays.push(partition_keys.finish_text(rows)?);
                arrays.push(explicit_hash_keys.finish_text(rows)?);
            }
        }
        Ok(())
    }
}

fn push_bytes(column: &mut BytesColumn, index: usize, bytes: &[u8]) -> Fallible<()> {
    column.push(index, |out| {
        out.extend_from_slice(bytes);
        Ok(())
    })
}

impl Metadata {
    pub(super) fn new(options: &DecodeOptions) -> Self {
        let layout = Layout::of(options);
        Self {
            prefix: options.metadata_prefix.clone(),
            layout,
            ops: Vec::new(),
            times: Vec::new(),
            timed: Validity::default(),
            shards: Vec::new(),
            sequences: BytesColumn::default(),
            own: OwnColumns::new(layout),
            dictionary: Shards::default(),
            op_values: Arc::new(StringArray::from_iter_values(OPS)),
            zone: "UTC".into(),
        }
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        let dictionary = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let types = [dictionary(DataType::Int8), time, dictionary(DataType::Int32), DataType::Utf8];
        let nullable = [false, true, false, true];
        let first = FIRST.into_iter().zip(types).zip(nullable).map(|((name, kind), null)| (name, kind, null));
        let field = |(name, kind, null)| Field::new(format!("{}{name}", self.prefix), kind, null);
        first.chain(self.layout.own()).map(field).collect()
    }

    /// The number of a shard in the dictionary of this batch.
    pub(super) fn shard(&mut self, shard: &ShardId) -> i32 {
        self.dictionary.number(shard)
    }

    pub(super) fn push(&mut self, index: usize, shard: i32, row: &Row<'_>) -> Fallible<()> {
        if let Some(sequence) = row.sequence {
            self.sequences.push(index, |out| {
                out.extend_from_slice(sequence);
                if let Some(part) = row.part {
                    out.extend_from_slice(format!(":{part}").as_bytes());
                }
                Ok(())
            })?;
        }
        self.own.push(index, &row.about)?;
        self.ops.push(row.op as i8);
        self.shards.push(shard);
        self.times.push(row.micros.unwrap_or(0));
        match row.micros {
            Some(_) => self.timed.push_valid(),
            None => self.timed.pad(index + 1),
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.ops.truncate(rows);
        self.times.truncate(rows);
        self.timed.truncate(rows);
        self.shards.truncate(rows);
        self.sequences.truncate(rows);
        self.own.truncate(rows);
    }

    pub(super) fn bytes(&self) -> usize {
        13 * self.ops.len() + self.sequences.bytes() + self.own.bytes()
    }

    /// Appends the columns as arrays of `rows` rows.
    pub(super) fn finish(&mut self, rows: usize, arrays: &mut Vec<ArrayRef>) -> Result<()> {
        let ops = take_presized(&mut self.ops);
        let times = take_presized(&mut self.times);
        let shards = take_presized(&mut self.shards);
        let ops = PrimitiveArray::<Int8Type>::new(ScalarBuffer::from(ops), None);
        let times = TimestampMicrosecondArray::new(ScalarBuffer::from(times), self.timed.finish());
        let shards = PrimitiveArray::<Int32Type>::new(ScalarBuffer::from(shards), None);
        let dictionary = self.dictionary.finish();
        arrays.push(Arc::new(DictionaryArray::try_new(ops, Arc::clone(&self.op_values)).map_err(disagree)?));
        arrays.push(Arc::new(times.with_timezone(Arc::clone(&self.zone))));
        arrays.push(Arc::new(DictionaryArray::try_new(shards, dictionary).map_err(disagree)?));
        arrays.push(self.sequences.finish_text(rows)?);
        self.own.finish(rows, arrays)
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
