//! Changes of a table that DynamoDB sent to a Kinesis stream.

use super::super::change::{self, Change, without_keys};
use super::super::envelope::{Envelope, Origin};
use super::super::json::{Cursor, Fallible, Text, bad_record};
use super::super::metadata::About;
use super::super::rows::{Items, RowDecoder};
use super::{Deliveries, Payload, Taken};

const ONE_CHANGE: &str = "format=\"dynamodb\" takes changes that DynamoDB sent to the stream, one a record";

impl Deliveries<'_> {
    pub(super) fn change<I: Items>(
        &self,
        rows: &mut RowDecoder<I>,
        payload: &Payload<'_>,
        shard: i32,
    ) -> Fallible<Taken> {
        let mut cursor = Cursor::enter_data(payload.data, false, ONE_CHANGE)?;
        if self.is_of_other_table(&cursor)? {
            return Ok(Taken::OfOtherTable);
        }
        if !rows.items.knows_keys() {
            learn_keys(rows, &cursor)?;
        }
        let Change { envelope, op, hashes } = change::read(Origin::Kinesis, rows, &mut cursor)?;
        cursor.leave_data(ONE_CHANGE)?;
        let Envelope { micros, event_id, ttl, table, .. } = envelope;
        let about = About::Change { event_id, ttl, hashes };
        let learned = self.same_table(table)?;
        rows.end_row(payload.data.len(), shard, &payload.row(op, micros, about))?;
        if learned.is_some() {
            self.table.replace(learned);
        }
        Ok(Taken::Row)
    }

    /// Whether one table was asked for, and the change at the cursor is of another one.
    fn is_of_other_table(&self, cursor: &Cursor<'_>) -> Fallible<bool> {
        if !self.only {
            return Ok(false);
        }
        let mut table = None;
        cursor.clone().members(|cursor, name| {
            if cursor.byte() == Some(b'"') && name.raw().eq_ignore_ascii_case(b"tableName") {
                table = Some(cursor.string()?.lossy());
                return Ok(());
            }
            cursor.skip_value()
        })?;
        Ok(table.is_some() && table != *self.table.borrow())
    }

    /// Makes sure that a change is of the same table as those before; a table that is not known yet is
    /// returned. Two tables in one stream would become one in silence.
    fn same_table(&self, table: Option<Text<'_>>) -> Fallible<Option<String>> {
        let (known, Some(table)) = (self.table.borrow(), table) else { return Ok(None) };
        // Nearly always, and without making a text of it.
        if !table.escaped && known.as_ref().is_some_and(|known| known.as_bytes() == table.raw()) {
            return Ok(None);
        }
        match (&*known, table.lossy()) {
            (Some(known), other) if *known != other => bad_record(format!(
                "it is of table {other:?}, but the changes before are of table {known:?}; changes_of= chooses one of them"
            )),
            (Some(_), _) => Ok(None),
            (None, first) => Ok(Some(first)),
        }
    }
}

/// Learns the keys from the change at the cursor, before anything of it is taken.
fn learn_keys<I: Items>(rows: &mut RowDecoder<I>, cursor: &Cursor<'_>) -> Fallible<()> {
    let mut ahead = cursor.clone();
    let envelope =
        Envelope::read(Origin::Kinesis, &mut rows.order, &mut ahead, |_, cursor| cursor.skip_value())?;
    let Some(keys) = envelope.keys else { return without_keys(&envelope) };
    ahead.back_to(keys);
    rows.items.learn_keys(rows.rows, &mut ahead)
}
