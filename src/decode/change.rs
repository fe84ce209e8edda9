//! Change records: what happened to an item, with its keys and images.

use super::Skip;
use super::envelope::{Envelope, Glance, Origin, Part};
use super::hash::ImageHashes;
use super::json::{Cursor, Fallible, bad_record};
use super::metadata::{About, Op, Row};
use super::rows::{Items, Progress, Records, RowDecoder, Sheet};
use crate::error::{Error, ErrorKind};
use crate::page::{Millis, Page};
use crate::position::{Position, SequenceNumber, ShardId};

/// A page of a shard.
pub(super) struct Changes<'p> {
    pub(super) page: &'p Page,
    pub(super) skip: &'p Skip,
}

impl Records for Changes<'_> {
    fn sheet(&self) -> Sheet<'_> {
        self.page.into()
    }

    fn record<'a, I: Items>(
        &self,
        rows: &mut RowDecoder<I>,
        cursor: &mut Cursor<'a>,
        shard: i32,
        progress: &mut Progress<'a>,
    ) -> Fallible<()> {
        let skip = self.skip;
        if (skip.created_before.is_some() || skip.through.is_some()) && skipped(cursor, skip, progress)? {
            return Ok(());
        }
        let envelope = take(rows, cursor, shard)?;
        progress.pushed.rows += 1;
        progress.used(envelope.sequence, envelope.micros);
        Ok(())
    }

    fn glance(&self, cursor: &mut Cursor<'_>) -> Fallible<Glance> {
        Glance::read(cursor)
    }

    fn error(&self, _: usize, glance: Glance, reason: &str) -> Error {
        record_error(&self.page.shard, glance.sequence, reason)
    }
}

/// Adds the record at the cursor as a row; after an error parts of it may be in.
fn take<'a, I: Items>(
    rows: &mut RowDecoder<I>,
    cursor: &mut Cursor<'a>,
    shard: i32,
) -> Fallible<Envelope<'a>> {
    let start = cursor.at;
    let Change { envelope, op, hashes } = read(Origin::Streams, rows, cursor)?;
    if envelope.sequence.is_none() {
        return bad_record("it has no SequenceNumber");
    }
    let Envelope { micros, sequence, event_id, ttl, .. } = envelope;
    let about = About::Change { event_id, ttl, hashes };
    rows.end_row(cursor.at - start, shard, &Row { op, micros, sequence, part: None, about })?;
    Ok(envelope)
}

/// A change whose keys and images are in the row at hand.
pub(super) struct Change<'a> {
    pub(super) envelope: Envelope<'a>,
    pub(super) op: Op,
    pub(super) hashes: ImageHashes,
}

/// Takes keys and images of the change at the cursor into the row at hand.
pub(super) fn read<'a, I: Items>(
    origin: Origin,
    rows: &mut RowDecoder<I>,
    cursor: &mut Cursor<'a>,
) -> Fallible<Change<'a>> {
    let (row, hashing) = (rows.rows, rows.hashes_images);
    let RowDecoder { items, order, .. } = rows;
    let mut hashes = ImageHashes::default();
    let envelope = Envelope::read(origin, order, cursor, |part, cursor| {
        if hashing {
            hashes.take(part, cursor)?;
        }
        match part {
            Part::Keys => items.keys(row, cursor),
            Part::NewImage => items.new_image(row, cursor),
            Part::OldImage => items.old_image(row, cursor),
        }
    })?;
    if envelope.keys.is_none() {
        keys_elsewhere(rows, cursor, &envelope)?;
    }
    let Some(op) = envelope.op else { return bad_record("it has no eventName") };
    if op == Op::Remove && envelope.new_image.is_some() {
        return bad_record("it removes the item, but has a new image");
    }
    Ok(Change { envelope, op, hashes })
}

/// What says neither which item changed nor how is something else.
#[cold]
pub(super) fn without_keys<T>(envelope: &Envelope<'_>) -> Fallible<T> {
    bad_record(match envelope.op {
        Some(_) => "it has no Keys",
        None => "it is no change of a table: it has neither Keys nor an eventName",
    })
}

#[cold]
fn keys_elsewhere<I: Items>(
    rows: &mut RowDecoder<I>,
    cursor: &Cursor<'_>,
    envelope: &Envelope<'_>,
) -> Fallible<()> {
    let Some(image) = envelope.new_image.or(envelope.old_image) else {
        return without_keys(envelope);
    };
    let mut image_cursor = cursor.clone();
    image_cursor.back_to(image);
    rows.items.keys_from_image(rows.rows, &mut image_cursor)
}

fn skipped(cursor: &mut Cursor<'_>, skip: &Skip, progress: &mut Progress<'_>) -> Fallible<bool> {
    let start = cursor.at;
    let glance = Glance::read(cursor)?;
    if !skip.leaves_out(&glance) {
        cursor.back_to(start);
        return Ok(false);
    }
    progress.bad(glance.sequence, glance.micros);
    progress.pushed.skipped += 1;
    Ok(true)
}

impl Skip {
    pub(super) fn leaves_out(&self, record: &Glance) -> bool {
        let old = |(micros, before): (i64, Millis)| micros < before.saturating_mul(1000);
        record.micros.zip(self.created_before).is_some_and(old)
            || record
                .sequence
                .as_ref()
                .zip(self.through.as_ref())
                .is_some_and(|(record, last)| record <= last)
    }
}

#[cold]
pub(super) fn record_error(shard: &ShardId, sequence: Option<SequenceNumber>, reason: &str) -> Error {
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
