//! A row of changes as the record that DynamoDB itself writes into a Kinesis stream.
//!
//! What is known of that form: a sample that LocalStack took from AWS, and the developer guide's page on
//! Kinesis Data Streams for DynamoDB. Keys and images go in as they are, so every digit comes out again.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_schema::{DataType, Schema, TimeUnit};
use serde_json::value::RawValue;

use super::json::{self, Cell, quoted, within};
use crate::decode::item_hash;
use crate::error::{Error, Result};

/// What every change has, in the columns of `images="json"`.
const NEEDED: [&str; 4] = ["_op", "keys", "new_image", "old_image"];

/// Where the parts of a change stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    op: usize,
    pub(super) keys: usize,
    new_image: usize,
    old_image: usize,
    time: Option<usize>,
    event_id: Option<usize>,
    ttl: Option<usize>,
}

impl Columns {
    /// `None` for data that is no changes with their images as JSON.
    pub(super) fn of(schema: &Schema) -> Option<Self> {
        let place = |name: &str| schema.column_with_name(name).map(|(place, _)| place);
        let [op, keys, new_image, old_image] = NEEDED.map(place);
        let texts = [op?, keys?, new_image?, old_image?];
        let is_text = |place: &usize| json::is_text(schema.field(*place).data_type());
        texts.iter().all(is_text).then_some(Self {
            op: op?,
            keys: keys?,
            new_image: new_image?,
            old_image: old_image?,
            time: place("_time"),
            event_id: place("_event_id"),
            ttl: place("_ttl"),
        })
    }

    /// # Errors
    /// `Usage`: the data is no changes, or says their times otherwise.
    pub(super) fn require(schema: &Schema) -> Result<Self> {
        let columns = Self::of(schema).ok_or_else(|| {
            let known: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::usage(format!(
                "format=\"dynamodb\" writes changes with the columns {}, which a source with images=\"json\" gives, but \
                 the data has {}",
                NEEDED.join(", "),
                known.join(", ")
            ))
        })?;
        let kind = |place: Option<usize>| place.map(|place| schema.field(place).data_type());
        let sound = [
            ("_time", "timestamp(us)", kind(columns.time).is_none_or(is_micros)),
            ("_event_id", "utf8", kind(columns.event_id).is_none_or(json::is_text)),
            ("_ttl", "bool", kind(columns.ttl).is_none_or(|kind| *kind == DataType::Boolean)),
        ];
        match sound.iter().find(|(.., sound)| !sound) {
            None => Ok(columns),
            Some((name, kind, _)) => Err(Error::usage(format!(
                "column {name:?} must be {kind} for format=\"dynamodb\"; cast it, or leave it out"
            ))),
        }
    }

    /// Appends the record of one row; `table` is the table's name.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        batch: &RecordBatch,
        row: usize,
        table: Option<&str>,
    ) -> Cell {
        let name = self.event_name(batch, row)?;
        let image = |column| image(batch, column, row);
        let (keys, new_image, old_image) =
            (image(self.keys)?, image(self.new_image)?, image(self.old_image)?);
        let keys = keys.ok_or_else(|| within("keys", "is null, and every change has keys"))?;
        if name == "REMOVE" && new_image.is_some() {
            return Err("it removes the item, but has a new image".to_owned());
        }
        out.push(b'{');
        if let Some(id) = self.event_id.and_then(|column| text(batch, column, row)) {
            out.extend_from_slice(b"\"eventID\":");
            quoted(out, id);
            out.push(b',');
        }
        let by_ttl = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;
        let identity = if self.is_by_ttl(batch, row) { by_ttl } else { "null" };
        let head =
            format!(r#""eventName":"{name}","userIdentity":{identity},"recordFormat":"application/json","#);
        out.extend_from_slice(head.as_bytes());
        if let Some(table) = table {
            out.extend_from_slice(b"\"tableName\":");
            quoted(out, table);
            out.push(b',');
        }
        out.extend_from_slice(b"\"dynamodb\":{");
        if let Some(micros) = self.micros(batch, row) {
            let time = format!(
                r#""ApproximateCreationDateTime":{micros},"ApproximateCreationDateTimePrecision":"MICROSECOND","#
            );
            out.extend_from_slice(time.as_bytes());
        }
        out.extend_from_slice(format!(r#""Keys":{keys}"#).as_bytes());
        for (name, image) in [("NewImage", new_image), ("OldImage", old_image)] {
            if let Some(image) = image {
                out.extend_from_slice(format!(r#","{name}":{image}"#).as_bytes());
            }
        }
        out.extend_from_slice(br#"},"eventSource":"aws:dynamodb"}"#);
        Ok(())
    }

    fn event_name(&self, batch: &RecordBatch, row: usize) -> Result<&'static str, String> {
        match text(batch, self.op, row) {
            Some("insert") => Ok("INSERT"),
            Some("modify") => Ok("MODIFY"),
            Some("remove") => Ok("REMOVE"),
            Some("snapshot") => Err("it is an item of a snapshot, which is no change: begin the source at \
                                     \"earliest\" or \"latest\", or write format=\"json\""
                .to_owned()),
            Some(other) => {
                Err(within("_op", &format!("is {other:?}, which is none of insert, modify, remove")))
            }
            None => Err(within("_op", "is null")),
        }
    }

    fn micros(&self, batch: &RecordBatch, row: usize) -> Option<i64> {
        let times = batch.column(self.time?).as_primitive::<TimestampMicrosecondType>();
        (!json::is_null(times, row)).then(|| times.value(row))
    }

    fn is_by_ttl(&self, batch: &RecordBatch, row: usize) -> bool {
        self.ttl.is_some_and(|column| {
            let column = batch.column(column);
            !json::is_null(column.as_ref(), row) && column.as_boolean().value(row)
        })
    }
}

/// The item's key in one short form, however its attributes are ordered and written: 32 digits, as the
/// partition keys that DynamoDB gives.
pub(super) fn partition_key(batch: &RecordBatch, column: usize, row: usize) -> Result<String, String> {
    let name = batch.schema_ref().field(column).name().as_str();
    let keys = text(batch, column, row).ok_or_else(|| within(name, "is null, and every change has keys"))?;
    let hash = item_hash(keys).map_err(|reason| within(name, &format!("is no key of an item: {reason}")))?;
    Ok(hash.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn is_micros(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(TimeUnit::Microsecond, _))
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let column = batch.column(column).as_ref();
    if json::is_null(column, row) { None } else { json::text(column, row) }
}

/// Keys or an image, once it is an object.
fn image(batch: &RecordBatch, column: usize, row: usize) -> Result<Option<&RawValue>, String> {
    let Some(text) = text(batch, column, row) else { return Ok(None) };
    let sound = serde_json::from_str::<&RawValue>(text).ok().filter(|sound| sound.get().starts_with('{'));
    let name = batch.schema_ref().field(column).name();
    sound.map(Some).ok_or_else(|| within(name, "is not a JSON object"))
}

#[cfg(test)]
mod tests;
