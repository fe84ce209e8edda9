//! From page to rows, record by record, whatever a record is: a change, or an item of a scan.

mod progress;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use bytes::Bytes;

use self::progress::Gauge;
pub(super) use self::progress::Progress;
use super::change::Changes;
use super::column::disagree;
use super::envelope::{Glance, Order};
use super::item::Scanned;
use super::json::{Cursor, Fallible, Reason, bad_record};
use super::metadata::{Metadata, Row};
use super::table::KEYS_MARK;
use super::{Counts, DecodeOptions, Decoder, OnBadRecord, Pushed, Quarantined, Room, SchemaState, Skip};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ItemsPage, Page};
use crate::position::ShardId;

/// What is made of keys and images.
///
/// Each part is called with its object at the cursor and leaves the cursor behind it. A row is
/// complete with `end_row`; `undo` takes back everything from a row on, growth of the schema included,
/// as far back as the last `settle`.
pub(super) trait Items: Send {
    fn keys(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    fn new_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    fn old_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    /// Takes an item by itself: its keys, and all of it as a new image.
    fn item(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    /// Takes the keys from an image, of a record without `Keys`.
    fn keys_from_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.keys(row, cursor)
    }
    /// Whether it is known which attributes are keys. Until then `learn_keys` comes first of all.
    fn knows_keys(&self) -> bool {
        true
    }
    /// Learns the keys from the `Keys` of a change, at the cursor; `undo` forgets them again.
    fn learn_keys(&mut self, _row: usize, _cursor: &mut Cursor<'_>) -> Fallible<()> {
        Ok(())
    }
    fn end_row(&mut self, row: usize) -> Fallible<()>;
    fn settle(&mut self);
    fn undo(&mut self, rows: usize);
    fn bytes(&self) -> usize;
    /// Another number whenever the schema may be another one.
    fn version(&self) -> u64;
    fn fields(&self) -> Vec<Field>;
    fn key_names(&self) -> Vec<String>;
    /// Appends `rows` rows as arrays of `fields`, which were made by `fields()` since the last growth.
    fn finish(&mut self, rows: usize, fields: &[Arc<Field>], arrays: &mut Vec<ArrayRef>) -> Result<()>;
    fn state(&self) -> SchemaState;
    fn take_notices(&mut self) -> Vec<String>;
    fn unfit(&self) -> u64;
}

/// Where the records of a page stand.
#[derive(Clone, Copy)]
pub(super) struct Sheet<'p> {
    pub(super) body: &'p Bytes,
    /// Where in the body.
    pub(super) range: &'p Range<usize>,
    /// What stands in `_shard`.
    pub(super) shard: &'p ShardId,
}

impl<'p> From<&'p Page> for Sheet<'p> {
    fn from(page: &'p Page) -> Self {
        Self { body: &page.body, range: &page.records, shard: &page.shard }
    }
}

/// A page, and what a record is in it.
pub(super) trait Records {
    fn sheet(&self) -> Sheet<'_>;
    /// What sentences call the place the page is from.
    fn place(&self) -> String {
        format!("shard {}", self.sheet().shard)
    }
    /// Leaves out the record at the cursor, or adds it as a row; after an error parts of it may be in.
    fn record<'a, I: Items>(
        &self,
        rows: &mut RowDecoder<I>,
        cursor: &mut Cursor<'a>,
        shard: i32,
        progress: &mut Progress<'a>,
    ) -> Fallible<()>;
    /// Passes the record at the cursor; fails only where the page is damaged.
    fn glance(&self, cursor: &mut Cursor<'_>) -> Fallible<Glance>;
    /// The error of the bad record that begins at `start`.
    fn error(&self, start: usize, glance: Glance, reason: &str) -> Error;
}

/// An item has at most 400 KB; the largest record there can be is far below this, also when every byte is escaped.
const MOST_RECORD_BYTES: usize = 64 << 20;

pub(super) struct RowDecoder<I> {
    pub(super) items: I,
    pub(super) order: Order,
    metadata: Metadata,
    pub(super) rows: usize,
    pub(super) on_bad_record: OnBadRecord,
    pub(super) hashes_images: bool,
    /// Of the version of the items it stands with.
    schema: Option<(u64, SchemaRef)>,
    state: OnceCell<Arc<SchemaState>>,
    state_version: u64,
    /// The page of which is known that it is UTF-8, while it is read piece by piece.
    checked: Option<Bytes>,
}

impl<I: Items> RowDecoder<I> {
    pub(super) fn new(options: &DecodeOptions, items: I) -> Self {
        Self {
            items,
            order: Order::default(),
            metadata: Metadata::new(options),
            rows: 0,
            on_bad_record: options.on_bad_record,
            hashes_images: options.image_hashes,
            schema: None,
            state: OnceCell::new(),
            state_version: 0,
            checked: None,
        }
    }

    /// A cursor at `from`, over nothing but the records.
    fn open<'p>(&mut self, page: &'p impl Records, from: usize) -> Result<Cursor<'p>> {
        let (body, records) = (page.sheet().body, page.sheet().range);
        let inside = records.start <= from && from <= records.end && body.get(records.end) == Some(&b']');
        if !inside {
            return Err(bad_page(page, "its array of records does not end where it should", records.end));
        }
        let same = |known: &Bytes| known.as_ptr() == body.as_ptr() && known.len() == body.len();
        if !self.checked.as_ref().is_some_and(same) {
            if simdutf8::basic::from_utf8(body).is_err() {
                return Err(bad_page(page, "it is not UTF-8", 0));
            }
            self.checked = Some(body.clone());
        }
        Ok(Cursor::new(body.get(..records.end).unwrap_or_default(), from))
    }

    /// Completes the row whose keys and images are in, of a record of `length` bytes.
    pub(super) fn end_row(&mut self, length: usize, shard: i32, row: &Row<'_>) -> Fallible<()> {
        if length > MOST_RECORD_BYTES {
            return bad_record("it is larger than any item can be");
        }
        self.items.end_row(self.rows)?;
        self.metadata.push(self.rows, shard, row)?;
        self.rows += 1;
        Ok(())
    }

    /// Takes back every row from `rows` on, and what of a row was added behind it.
    pub(super) fn undo(&mut self, rows: usize) {
        self.rows = rows;
        self.items.undo(rows);
        self.metadata.truncate(rows);
    }

    /// What becomes of a bad record that starts at `start`: kept aside, or left for the next call to fail on.
    fn bad(
        &mut self,
        page: &impl Records,
        cursor: &mut Cursor<'_>,
        start: usize,
        reason: String,
        progress: &mut Progress<'_>,
    ) -> Result<Next> {
        self.undo(self.rows);
        cursor.back_to(start);
        let glance = page.glance(cursor).map_err(|fault| self.damaged(page, &fault, progress))?;
        if self.on_bad_record == OnBadRecord::Quarantine {
            let raw = Bytes::copy_from_slice(cursor.since(start));
            let sequence = glance.sequence;
            progress.bad(sequence.clone(), glance.micros);
            progress.pushed.quarantined.push(Quarantined { sequence, raw, reason });
            return Ok(Next::GoOn);
        }
        if progress.pushed.rows > 0 {
            return Ok(Next::StopAt(start));
        }
        Err(page.error(start, glance, &reason))
    }

    /// Takes back the whole call.
    fn damaged(&mut self, page: &impl Records, reason: &Reason, progress: &Progress<'_>) -> Error {
        self.undo(progress.rows_before);
        match reason {
            Reason::Page { at, expected } => bad_page(page, &format!("{expected} was expected"), *at),
            Reason::Record(reason) => bad_page(page, reason, 0),
        }
    }

    fn schema(&mut self) -> SchemaRef {
        let version = self.items.version();
        if let Some((_, schema)) = self.schema.as_ref().filter(|(known, _)| *known == version) {
            return Arc::clone(schema);
        }
        let mut fields = self.metadata.fields();
        fields.extend(self.items.fields());
        let keys = serde_json::Value::from(self.items.key_names()).to_string();
        let marks = HashMap::from([(KEYS_MARK.to_owned(), keys)]);
        let schema = Arc::new(Schema::new_with_metadata(fields, marks));
        self.schema = Some((version, Arc::clone(&schema)));
        schema
    }
}

/// What `push` does behind a record.
enum Next {
    GoOn,
    StopAt(usize),
}

impl<I: Items> RowDecoder<I> {
    /// Adds records of a page, then forgets what only this call, or only the schema before it, needed.
    pub(super) fn push_page(&mut self, page: &impl Records, from: usize, room: Room) -> Result<Pushed> {
        let pushed = self.push_records(page, from, room);
        self.items.settle();
        if pushed.is_err() {
            self.checked = None;
        }
        if self.items.version() != self.state_version {
            self.state_version = self.items.version();
            self.state.take();
        }
        pushed
    }

    fn push_records(&mut self, page: &impl Records, from: usize, room: Room) -> Result<Pushed> {
        let mut cursor = self.open(page, from)?;
        self.items.settle();
        let shard = self.metadata.shard(page.sheet().shard);
        let mut gauge = Gauge::new(room.bytes, self.bytes(), from);
        let mut progress =
            Progress { pushed: Pushed::default(), rows_before: self.rows, last: None, newest_micros: None };
        cursor.space();
        let mut more = !(cursor.is_at_end() && from == page.sheet().range.start);
        while more {
            let start = cursor.at;
            if let Err(fault) = page.record(self, &mut cursor, shard, &mut progress) {
                let reason = match *fault {
                    Reason::Record(reason) => reason,
                    damage => return Err(self.damaged(page, &damage, &progress)),
                };
                if let Next::StopAt(rest) = self.bad(page, &mut cursor, start, reason, &mut progress)? {
                    return progress.finish(Some(rest));
                }
            }
            more = another(&mut cursor).map_err(|fault| self.damaged(page, &fault, &progress))?;
            let rows_full = progress.pushed.rows >= room.rows.max(1);
            if more && (rows_full || gauge.is_full(cursor.at, || self.bytes())) {
                return progress.finish(Some(cursor.at));
            }
        }
        self.checked = None;
        progress.finish(None)
    }
}

impl<I: Items> Decoder for RowDecoder<I> {
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        self.push_page(&Changes { page, skip }, from, room)
    }

    fn push_items(&mut self, page: &ItemsPage, from: usize, room: Room) -> Result<Pushed> {
        self.push_page(&Scanned::new(page), from, room)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.items.bytes() + self.metadata.bytes()
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        let schema = self.schema();
        let mut arrays = Vec::with_capacity(schema.fields().len());
        self.metadata.finish(self.rows, &mut arrays)?;
        let fields = schema.fields().get(arrays.len()..).unwrap_or_default();
        self.items.finish(self.rows, fields, &mut arrays)?;
        self.items.settle();
        self.rows = 0;
        RecordBatch::try_new(schema, arrays).map_err(disagree)
    }

    fn schema_state(&self) -> Arc<SchemaState> {
        Arc::clone(self.state.get_or_init(|| Arc::new(self.items.state())))
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.items.take_notices()
    }

    fn counts(&self) -> Counts {
        Counts { unfit: self.items.unfit(), ..Counts::default() }
    }
}

#[cold]
pub(super) fn missing_key(name: &str) -> Fallible<()> {
    bad_record(format!("the key attribute {name:?} is missing"))
}

/// Behind a record: true when another one follows.
pub(super) fn another(cursor: &mut Cursor<'_>) -> Fallible<bool> {
    cursor.space();
    if cursor.is_at_end() {
        return Ok(false);
    }
    if !cursor.take(b",") {
        return cursor.fault("a comma between records");
    }
    cursor.space();
    Ok(true)
}

#[cold]
fn bad_page(page: &impl Records, what: &str, at: usize) -> Error {
    let message = format!(
        "a page of {} is damaged at byte {at} of {}: {what}; it is fetched again",
        page.place(),
        page.sheet().body.len()
    );
    Error::new(ErrorKind::BadPage, message).with_shard(page.sheet().shard)
}
