//! A record batch and the spans it covers; gathering rows until a batch is due.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;

use crate::decode::{Decoder, Pushed, Room, Skip};
use crate::error::{Error, Result};
use crate::page::{ItemsPage, Page};
use crate::position::{Position, ShardId, Span};
use crate::reader::Now;

/// Rows in the order of the stream, and what they cover of which shards.
#[derive(Clone, Debug)]
pub struct Batch {
    /// 1, 2, 3, … in the order of the stream.
    pub number: u64,
    pub records: RecordBatch,
    pub spans: BTreeMap<ShardId, Span>,
    pub epoch: u64,
    /// Bytes of memory held by `records`.
    pub bytes: usize,
}

/// When a batch is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub rows: usize,
    pub bytes: usize,
    /// The most its first row waits.
    pub wait: Duration,
}

/// Gathers the rows of pages, of any shard, into one batch after the other.
pub struct Batcher {
    decoder: Box<dyn Decoder>,
    due: Due,
    spans: BTreeMap<ShardId, Span>,
    since: Option<Now>,
    number: u64,
}

impl Batcher {
    pub fn new(decoder: Box<dyn Decoder>, due: Due) -> Self {
        Self { decoder, due, spans: BTreeMap::new(), since: None, number: 0 }
    }

    /// Adds records of `page` from offset `from` on, as many as the batch has room for.
    ///
    /// # Errors
    /// Those of the decoder. Rows gathered before the error are kept.
    pub fn push(&mut self, page: &Page, from: usize, skip: &Skip, now: Now) -> Result<Pushed> {
        let pushed = self.decoder.push(page, from, self.room(), skip);
        if self.decoder.rows() > 0 {
            self.since.get_or_insert(now);
        }
        pushed
    }

    /// Adds items of a scan's `page` from offset `from` on, at most `most` of them: a page is not cut
    /// by what the batch has room for.
    ///
    /// # Errors
    /// Those of the decoder.
    pub fn push_items(&mut self, page: &ItemsPage, from: usize, most: usize, now: Now) -> Result<Pushed> {
        let pushed = self.decoder.push_items(page, from, Room { rows: most, bytes: usize::MAX });
        if self.decoder.rows() > 0 {
            self.since.get_or_insert(now);
        }
        pushed
    }

    /// Widens the span of the shard in the batch being gathered.
    pub fn cover(&mut self, shard: &ShardId, from: &Position, to: &Position) {
        self.spans
            .entry(shard.clone())
            .and_modify(|span| span.to = to.clone())
            .or_insert_with(|| Span { from: from.clone(), to: to.clone() });
    }

    fn room(&self) -> Room {
        Room {
            rows: self.due.rows.saturating_sub(self.decoder.rows()).max(1),
            bytes: self.due.bytes.saturating_sub(self.decoder.bytes()).max(1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.decoder.rows() == 0
    }

    pub fn bytes(&self) -> usize {
        self.decoder.bytes()
    }

    pub fn is_full(&self) -> bool {
        self.decoder.rows() >= self.due.rows || self.decoder.bytes() >= self.due.bytes
    }

    /// When the rows gathered have waited long enough.
    pub fn due_at(&self) -> Option<Now> {
        self.since.map(|since| since + self.due.wait)
    }

    /// Takes the rows gathered; `None` when there are none.
    pub fn flush(&mut self, epoch: u64) -> Result<Option<Batch>> {
        if self.is_empty() {
            return Ok(None);
        }
        let bytes = self.decoder.bytes();
        let records = self.decoder.flush()?;
        self.since = None;
        self.number += 1;
        Ok(Some(Batch { number: self.number, records, spans: std::mem::take(&mut self.spans), epoch, bytes }))
    }

    pub fn decoder(&self) -> &dyn Decoder {
        self.decoder.as_ref()
    }

    pub fn take_notices(&mut self) -> Vec<String> {
        self.decoder.take_notices()
    }
}

/// Keeps of each key its last row, in the order the rows stand in.
///
/// # Errors
/// `Internal` when a key is not a column of `records`.
pub fn last_per_key(records: &RecordBatch, keys: &[String]) -> Result<RecordBatch> {
    let columns = keys.iter().map(|key| key_column(records, key)).collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(&columns))
        .map_err(incomparable)?;
    let mut seen = HashSet::with_capacity(rows.num_rows());
    let mut last: Vec<u64> =
        (0..rows.num_rows()).rev().filter(|&row| seen.insert(rows.row(row))).map(|row| row as u64).collect();
    if last.len() == records.num_rows() {
        return Ok(records.clone());
    }
    last.reverse();
    take_record_batch(records, &UInt64Array::from(last)).map_err(incomparable)
}

fn key_column(records: &RecordBatch, key: &str) -> Result<ArrayRef> {
    let column = records.column_by_name(key).cloned();
    column.ok_or_else(|| Error::internal(format!("the batch has no column for the key {key:?}")))
}

fn incomparable(cause: ArrowError) -> Error {
    Error::internal("the keys of a batch cannot be compared").with_cause(cause)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow_array::{BinaryArray, Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn records(pk: &[&str], sk: &[i64], value: &[i64]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("pk", DataType::Utf8, false),
            Field::new("sk", DataType::Int64, false),
            Field::new("value", DataType::Int64, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(pk.to_vec())),
            Arc::new(Int64Array::from(sk.to_vec())),
            Arc::new(Int64Array::from(value.to_vec())),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_last_row_of_each_key_stays_in_its_place() {
        let all = records(&["a", "b", "a", "c", "b"], &[1, 1, 1, 1, 2], &[1, 2, 3, 4, 5]);
        let last = last_per_key(&all, &keys(&["pk", "sk"])).unwrap();
        assert_eq!(last, records(&["b", "a", "c", "b"], &[1, 1, 1, 2], &[2, 3, 4, 5]));
    }

    #[test]
    fn without_repeated_keys_nothing_is_copied() {
        let all = records(&["a", "b"], &[1, 1], &[1, 2]);
        let last = last_per_key(&all, &keys(&["pk"])).unwrap();
        assert!(Arc::ptr_eq(all.column(0), last.column(0)));
    }

    #[test]
    fn an_empty_batch_stays_empty() {
        let none = records(&[], &[], &[]);
        assert_eq!(last_per_key(&none, &keys(&["pk"])).unwrap().num_rows(), 0);
    }

    #[test]
    fn binary_keys_compare_as_bytes() {
        let schema = Schema::new(vec![Field::new("pk", DataType::Binary, false)]);
        let column: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x00"[..], b"\x00\x00", b"\x00"]));
        let all = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
        assert_eq!(last_per_key(&all, &keys(&["pk"])).unwrap(), all.slice(1, 2));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = last_per_key(&records(&["a"], &[1], &[1]), &keys(&["id"])).unwrap_err();
        assert!(error.message().contains("\"id\""), "{error}");
    }
}
