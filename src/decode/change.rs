//! Change records: one row for each, its images in the columns that `Items` makes of them.

mod progress;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use bytes::Bytes;

use self::progress::{Gauge, Progress};
use super::column::disagree;
use super::envelope::{Envelope, Glance, Part};
use super::json::{Cursor, Fallible, Reason, bad_record};
use super::metadata::{self, Metadata, Op, Row};
use super::table::KEYS_MARK;
use super::{DecodeOptions, Decoder, OnBadRecord, Pushed, Quarantined, Room, SchemaState, Skip};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::position::{Position, SequenceNumber, ShardId};

/// What is made of keys and images.
///
/// Each part is called with its object at the cursor and leaves the cursor behind it. A row is
/// complete with `end_row`; `undo` takes back everything from a row on, growth of the schema included,
/// as far back as the last `settle`.
pub(super) trait Items: Send {
    fn keys(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    fn new_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    fn old_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()>;
    /// Takes the keys from an image, of a record without `Keys`.
    fn keys_from_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.keys(row, cursor)
    }
    fn end_row(&mut self, row: usize) -> Fallible<()>;
    fn settle(&mut self);
    fn undo(&mut self, rows: usize);
    fn bytes(&self) -> usize;
    /// Another number whenever the schema may be another one.
    fn version(&self) -> u64;
    fn fields(&self) -> Vec<Field>;
    fn key_names(&self) -> Vec<String>;
    /// Takes `rows` rows as arrays of `fields`, which were made by `fields()` since the last growth.
    fn finish(&mut self, rows: usize, fields: &[Arc<Field>]) -> Result<Vec<ArrayRef>>;
    fn state(&self) -> SchemaState;
    fn take_notices(&mut self) -> Vec<String>;
    fn unfit(&self) -> u64;
}

/// An item has at most 400 KB; the largest record there can be is far below this, also when every byte is escaped.
const MOST_RECORD_BYTES: usize = 64 << 20;

pub(super) struct ChangeDecoder<I> {
    items: I,
    metadata: Metadata,
    rows: usize,
    prefix: String,
    on_bad_record: OnBadRecord,
    /// Of the version of the items it stands with.
    schema: Option<(u64, SchemaRef)>,
    state: OnceCell<Arc<SchemaState>>,
    state_version: u64,
    /// The page of which is known that it is UTF-8, while it is read piece by piece.
    checked: Option<Bytes>,
}

impl<I: Items> ChangeDecoder<I> {
    pub(super) fn new(options: &DecodeOptions, items: I) -> Self {
        Self {
            items,
            metadata: Metadata::new(),
            rows: 0,
            prefix: options.metadata_prefix.clone(),
            on_bad_record: options.on_bad_record,
            schema: None,
            state: OnceCell::new(),
            state_version: 0,
            checked: None,
        }
    }

    /// A cursor at `from`, over nothing but the records.
    fn open<'p>(&mut self, page: &'p Page, from: usize) -> Result<Cursor<'p>> {
        let (body, records) = (&page.body, &page.records);
        let inside = records.start <= from && from <= records.end && body.get(records.end) == Some(&b']');
        if !inside {
            return Err(bad_page(page, "its record array does not end where it should", records.end));
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

    /// Adds the record at the cursor as a row; after an error parts of it may be in.
    fn take<'a>(&mut self, cursor: &mut Cursor<'a>, shard: i32) -> Fallible<Envelope<'a>> {
        let (row, start, items) = (self.rows, cursor.at, &mut self.items);
        let envelope = Envelope::read(cursor, |part, cursor| match part {
            Part::Keys => items.keys(row, cursor),
            Part::NewImage => items.new_image(row, cursor),
            Part::OldImage => items.old_image(row, cursor),
        })?;
        if cursor.at - start > MOST_RECORD_BYTES {
            return bad_record("it is larger than any item can be");
        }
        if envelope.keys.is_none() {
            self.keys_elsewhere(cursor, &envelope)?;
        }
        let Some(op) = envelope.op else { return bad_record("it has no eventName") };
        if op == Op::Remove && envelope.new_image.is_some() {
            return bad_record("it removes the item, but has a new image");
        }
        let Some(sequence) = envelope.sequence else { return bad_record("it has no SequenceNumber") };
        self.items.end_row(row)?;
        let Envelope { micros, event_id, ttl, .. } = envelope;
        self.metadata.push(row, shard, &Row { op, micros, sequence, event_id, ttl })?;
        self.rows += 1;
        Ok(envelope)
    }

    #[cold]
    fn keys_elsewhere(&mut self, cursor: &Cursor<'_>, envelope: &Envelope<'_>) -> Fallible<()> {
        let Some(image) = envelope.new_image.or(envelope.old_image) else {
            return bad_record("it has no Keys");
        };
        let mut image_cursor = cursor.clone();
        image_cursor.back_to(image);
        self.items.keys_from_image(self.rows, &mut image_cursor)
    }

    fn undo(&mut self, rows: usize) {
        self.rows = rows;
        self.items.undo(rows);
        self.metadata.truncate(rows);
    }

    /// Leaves out or adds the record at the cursor.
    fn record<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        shard: i32,
        skip: &Skip,
        progress: &mut Progress<'a>,
    ) -> Fallible<()> {
        if (skip.created_before.is_some() || skip.through.is_some()) && skipped(cursor, skip, progress)? {
            return Ok(());
        }
        let envelope = self.take(cursor, shard)?;
        progress.pushed.rows += 1;
        progress.used(envelope.sequence, envelope.micros);
        Ok(())
    }

    /// What becomes of a bad record that starts at `start`: kept aside, or left for the next call to fail on.
    fn bad(
        &mut self,
        page: &Page,
        cursor: &mut Cursor<'_>,
        start: usize,
        reason: String,
        progress: &mut Progress<'_>,
    ) -> Result<Next> {
        self.undo(self.rows);
        cursor.back_to(start);
        let glance = Glance::read(cursor).map_err(|fault| self.damaged(page, &fault, progress))?;
        if self.on_bad_record == OnBadRecord::Quarantine {
            let raw = Bytes::copy_from_slice(cursor.since(start));
            progress.bad(glance.sequence.clone(), glance.micros);
            progress.pushed.quarantined.push(Quarantined { sequence: glance.sequence, raw, reason });
            return Ok(Next::GoOn);
        }
        if progress.pushed.rows > 0 {
            return Ok(Next::StopAt(start));
        }
        Err(record_error(&page.shard, glance.sequence, &reason))
    }

    /// Takes back the whole call.
    fn damaged(&mut self, page: &Page, reason: &Reason, progress: &Progress<'_>) -> Error {
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
        let mut fields = metadata::fields(&self.prefix);
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

fn skipped(cursor: &mut Cursor<'_>, skip: &Skip, progress: &mut Progress<'_>) -> Fallible<bool> {
    let start = cursor.at;
    let Glance { sequence, micros } = Glance::read(cursor)?;
    let old =
        micros.zip(skip.created_before).is_some_and(|(micros, before)| micros < before.saturating_mul(1000));
    let behind =
        sequence.as_ref().zip(skip.through.as_ref()).is_some_and(|(sequence, last)| sequence <= last);
    if !old && !behind {
        cursor.back_to(start);
        return Ok(false);
    }
    progress.bad(sequence, micros);
    progress.pushed.skipped += 1;
    Ok(true)
}

impl<I: Items> ChangeDecoder<I> {
    fn push_records(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        let mut cursor = self.open(page, from)?;
        self.items.settle();
        let shard = self.metadata.shard(&page.shard);
        let mut gauge = Gauge::new(room.bytes, self.bytes(), from);
        let mut progress =
            Progress { pushed: Pushed::default(), rows_before: self.rows, last: None, newest_micros: None };
        cursor.space();
        let mut more = !(cursor.is_at_end() && from == page.records.start);
        while more {
            let start = cursor.at;
            if let Err(fault) = self.record(&mut cursor, shard, skip, &mut progress) {
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

impl<I: Items> Decoder for ChangeDecoder<I> {
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        let pushed = self.push_records(page, from, room, skip);
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

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.items.bytes() + self.metadata.bytes()
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        let schema = self.schema();
        let mut arrays = self.metadata.finish(self.rows)?;
        let fields = schema.fields().get(arrays.len()..).unwrap_or_default();
        arrays.extend(self.items.finish(self.rows, fields)?);
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

    fn unfit(&self) -> u64 {
        self.items.unfit()
    }
}

/// Behind a record: true when another one follows.
fn another(cursor: &mut Cursor<'_>) -> Fallible<bool> {
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
fn bad_page(page: &Page, what: &str, at: usize) -> Error {
    let message = format!(
        "a page of shard {} is damaged at byte {at} of {}: {what}; it is fetched again",
        page.shard,
        page.body.len()
    );
    Error::new(ErrorKind::BadPage, message).with_shard(&page.shard)
}

#[cold]
fn record_error(shard: &ShardId, sequence: Option<SequenceNumber>, reason: &str) -> Error {
    let number = sequence.as_ref().map_or("(none)", SequenceNumber::as_str);
    let error = Error::new(
        ErrorKind::BadRecord,
        format!(
            "the record {number} of shard {shard} cannot be decoded: {reason}; on_bad_record=\"quarantine\" keeps such \
             records aside and goes on"
        ),
    );
    let error = error.with_shard(shard);
    match sequence {
        Some(sequence) => error.with_position(Position::At(sequence)),
        None => error,
    }
}
