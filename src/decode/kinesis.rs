//! Pages of a Kinesis stream: deliveries, the parts of aggregates among them, and what their data is.

mod changes;
mod parts;
mod quarantine;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;

use super::aggregate::Form;
use super::change::record_error;
use super::delivery::{self, Delivery, Desk};
use super::envelope::Glance;
use super::json::{Cursor, Fallible, Reason, bad_record};
use super::metadata::{About, Op, Row};
use super::rows::{Items, Progress, Records, RowDecoder, Sheet};
use super::{Counts, DecodeOptions, Decoder, Format, Pushed, Room, SchemaState, Skip};
use crate::error::{Error, Result};
use crate::page::{ItemsPage, Page};
use crate::position::SequenceNumber;

/// Rows of what Kinesis delivers.
///
/// The parts of an aggregate come into one batch. Only a bad part that is not kept aside cuts it: the
/// parts before it count, and the next push goes on right there.
pub(super) struct KinesisDecoder<I> {
    rows: RowDecoder<I>,
    format: Format,
    counts: Counts,
    /// Whose changes they are: of the only table asked for, or of the first that came.
    table: Option<String>,
    only: bool,
    /// Where the last push ended inside an aggregate.
    stopped: Option<Stopped>,
    desk: Desk,
}

/// A place between two parts of an aggregate.
#[derive(Clone)]
struct Stopped {
    body: Bytes,
    /// Where its record begins. What was told as the rest is the byte behind, which begins no record.
    start: usize,
    through: SequenceNumber,
}

impl<I: Items> KinesisDecoder<I> {
    pub(super) fn new(options: &DecodeOptions, items: I) -> Self {
        Self {
            rows: RowDecoder::new(options, items),
            format: options.format,
            counts: Counts::default(),
            table: options.changes_of.clone(),
            only: options.changes_of.is_some(),
            stopped: None,
            desk: Desk::default(),
        }
    }

    /// Where a push that begins at `from` really begins, and what it leaves out.
    fn go_on(&mut self, page: &Page, from: usize, skip: &Skip) -> (usize, Skip) {
        let mut skip = skip.clone();
        let same = |body: &Bytes| body.as_ptr() == page.body.as_ptr() && body.len() == page.body.len();
        match self.stopped.take().filter(|stopped| stopped.start + 1 == from && same(&stopped.body)) {
            Some(stopped) => {
                skip.through = skip.through.max(Some(stopped.through));
                (stopped.start, skip)
            }
            None => (from, skip),
        }
    }
}

impl<I: Items> Decoder for KinesisDecoder<I> {
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        let (from, skip) = self.go_on(page, from, skip);
        let deliveries = Deliveries {
            page,
            skip: &skip,
            format: self.format,
            counts: Cell::default(),
            cut: Cell::default(),
            table: RefCell::new(self.table.clone()),
            only: self.only,
            desk: RefCell::new(&mut self.desk),
        };
        let pushed = self.rows.push_page(&deliveries, from, room);
        let Deliveries { counts, cut, table, .. } = deliveries;
        let mut pushed = pushed?;
        self.table = table.into_inner();
        self.counts.add(counts.get());
        if let (Some(start), Some(1..), Some(through)) = (pushed.rest, cut.get(), &pushed.last) {
            self.stopped = Some(Stopped { body: page.body.clone(), start, through: through.clone() });
            pushed.rest = Some(start + 1);
        }
        Ok(pushed)
    }

    fn push_items(&mut self, page: &ItemsPage, from: usize, room: Room) -> Result<Pushed> {
        match self.format {
            Format::Dynamodb if !self.rows.items.knows_keys() => {
                Err(Error::internal("items of a table were scanned, but nobody said what its keys are"))
            }
            Format::Streams | Format::Dynamodb => self.rows.push_items(page, from, room),
            Format::Bytes | Format::Json => {
                Err(Error::internal("items of a table were scanned for a stream that has none"))
            }
        }
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        self.rows.flush()
    }

    fn schema_state(&self) -> Arc<SchemaState> {
        self.rows.schema_state()
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.rows.take_notices()
    }

    fn counts(&self) -> Counts {
        Counts { unfit: self.rows.counts().unfit, ..self.counts }
    }
}

/// A page of a shard.
struct Deliveries<'p> {
    page: &'p Page,
    skip: &'p Skip,
    format: Format,
    counts: Cell<Counts>,
    /// The part at which the aggregate at hand was given up.
    cut: Cell<Option<u32>>,
    table: RefCell<Option<String>>,
    only: bool,
    desk: RefCell<&'p mut Desk>,
}

/// One record of a user: a delivery, or a part of one.
struct Payload<'a> {
    sequence: &'a [u8],
    part: Option<u32>,
    arrived: Option<i64>,
    partition_key: &'a [u8],
    explicit_hash_key: Option<&'a [u8]>,
    data: &'a [u8],
}

impl Records for Deliveries<'_> {
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
        self.cut.set(None);
        if self.is_left_out(cursor, progress)? {
            return Ok(());
        }
        let mut desk = self.desk.borrow_mut();
        let delivery = Delivery::read(cursor, &mut desk)?;
        let data = &desk.data;
        match Form::of(data) {
            Ok(Form::Aggregate(aggregate)) => {
                return self.parts(rows, &delivery, &aggregate, shard, progress);
            }
            Ok(Form::Plain) => {}
            Ok(Form::Broken) => self.count(|counts| counts.broken_aggregates += 1),
            Err(reason) => return bad_record(format!("it is an aggregate, but {reason}")),
        }
        let mut scratch = Vec::new();
        let payload = Payload {
            sequence: delivery.sequence,
            part: None,
            arrived: delivery.arrived,
            partition_key: delivery.partition_key.plain(&mut scratch)?,
            explicit_hash_key: None,
            data,
        };
        let taken = self.row(rows, &payload, shard).or_else(|fault| bad_record(reason_of(*fault)))?;
        self.took(taken, progress);
        progress.used(Some(delivery.sequence), delivery.arrived);
        Ok(())
    }

    fn glance(&self, cursor: &mut Cursor<'_>) -> Fallible<Glance> {
        let mut glance = delivery::glance(cursor)?;
        if let Some(part) = self.cut.get() {
            glance.sequence = glance.sequence.map(|record| record.part(part));
        }
        Ok(glance)
    }

    fn error(&self, _: usize, glance: Glance, reason: &str) -> Error {
        record_error(&self.page.shard, glance.sequence, reason)
    }
}

impl Deliveries<'_> {
    fn count(&self, count: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        count(&mut counts);
        self.counts.set(counts);
    }

    /// Passes the record at the cursor when nothing of it is wanted.
    fn is_left_out(&self, cursor: &mut Cursor<'_>, progress: &mut Progress<'_>) -> Fallible<bool> {
        if self.skip.created_before.is_none() && self.skip.through.is_none() {
            return Ok(false);
        }
        let start = cursor.at;
        let glance = delivery::glance(cursor)?;
        let left_out = self.skip.leaves_out(&glance);
        if left_out {
            progress.bad(glance.sequence, glance.micros);
            progress.pushed.skipped += 1;
        } else {
            cursor.back_to(start);
        }
        Ok(left_out)
    }

    fn took(&self, taken: Taken, progress: &mut Progress<'_>) {
        match taken {
            Taken::Row => progress.pushed.rows += 1,
            Taken::OfOtherTable => {
                progress.pushed.skipped += 1;
                self.count(|counts| counts.other_tables += 1);
            }
        }
    }

    /// Adds one row, if it is wanted; after an error parts of it may be in.
    fn row<I: Items>(&self, rows: &mut RowDecoder<I>, payload: &Payload<'_>, shard: i32) -> Fallible<Taken> {
        let (number, data) = (rows.rows, payload.data);
        match self.format {
            Format::Dynamodb | Format::Streams => return self.change(rows, payload, shard),
            Format::Json => {
                let mut cursor = Cursor::enter_data(data, true, ONE_OBJECT)?;
                rows.items.item(number, &mut cursor)?;
                cursor.leave_data(ONE_OBJECT)?;
            }
            Format::Bytes => rows.items.item(number, &mut Cursor::new(data, 0))?,
        }
        let Payload { partition_key, explicit_hash_key, .. } = *payload;
        let about = About::Delivery { partition_key, explicit_hash_key };
        rows.end_row(data.len(), shard, &payload.row(Op::Put, payload.arrived, about))?;
        Ok(Taken::Row)
    }
}

/// What became of a record of a user.
#[derive(Clone, Copy)]
enum Taken {
    Row,
    OfOtherTable,
}

const ONE_OBJECT: &str = "format=\"json\" takes one object a record; format=\"bytes\" takes any data";

impl<'a> Payload<'a> {
    fn row(&self, op: Op, micros: Option<i64>, about: About<'a>) -> Row<'a> {
        Row { op, micros, sequence: Some(self.sequence), part: self.part, about }
    }
}

/// Data that is not JSON makes a bad record: the page around it is sound.
fn reason_of(fault: Reason) -> String {
    match fault {
        Reason::Record(reason) => reason,
        Reason::Page { at, expected } => {
            format!("its data is not JSON: {expected} was expected at byte {at}")
        }
    }
}
