//! Items of a table's scan: each is a row by itself, with nothing around it.

use super::envelope::{Glance, Part};
use super::hash::ImageHashes;
use super::json::{Cursor, Fallible};
use super::metadata::{About, Op, Row};
use super::rows::{Items, Progress, Records, RowDecoder, Sheet, another};
use crate::error::{Error, ErrorKind};
use crate::page::ItemsPage;
use crate::position::ShardId;

/// A page of a segment.
pub(super) struct Scanned<'p> {
    page: &'p ItemsPage,
    segment: ShardId,
    /// When the page was read, by the service's clock.
    micros: Option<i64>,
}

impl<'p> Scanned<'p> {
    pub(super) fn new(page: &'p ItemsPage) -> Self {
        let micros = page.server_time.and_then(|millis| millis.checked_mul(1000));
        Self { page, segment: page.segment.shard(), micros }
    }

    /// Which item of the page begins at `start`; the first is 1.
    fn number(&self, start: usize) -> usize {
        let mut cursor = Cursor::new(&self.page.body, self.page.items.start);
        let mut number = 1;
        cursor.space();
        while cursor.at < start && cursor.skip_value().is_ok() && another(&mut cursor).is_ok() {
            number += 1;
        }
        number
    }
}

impl Records for Scanned<'_> {
    fn sheet(&self) -> Sheet<'_> {
        Sheet { body: &self.page.body, range: &self.page.items, shard: &self.segment }
    }

    fn place(&self) -> String {
        self.segment.to_string()
    }

    fn record<'a, I: Items>(
        &self,
        rows: &mut RowDecoder<I>,
        cursor: &mut Cursor<'a>,
        shard: i32,
        progress: &mut Progress<'a>,
    ) -> Fallible<()> {
        let start = cursor.at;
        let mut hashes = ImageHashes::default();
        if rows.hashes_images {
            hashes.take(Part::NewImage, cursor)?;
        }
        rows.items.item(rows.rows, cursor)?;
        let about = About::Change { event_id: None, ttl: false, hashes };
        let row = Row { op: Op::Snapshot, micros: self.micros, sequence: None, part: None, about };
        rows.end_row(cursor.at - start, shard, &row)?;
        progress.pushed.rows += 1;
        Ok(())
    }

    fn glance(&self, cursor: &mut Cursor<'_>) -> Fallible<Glance> {
        cursor.skip_value()?;
        Ok(Glance::default())
    }

    #[cold]
    fn error(&self, start: usize, _: Glance, reason: &str) -> Error {
        let message = format!(
            "item {} of a page of {} cannot be decoded: {reason}; on_bad_record=\"quarantine\" keeps such items aside \
             and goes on",
            self.number(start),
            self.segment
        );
        Error::new(ErrorKind::BadRecord, message).with_shard(&self.segment)
    }
}
