//! Rows of Arrow data as records of a stream: the partition key, the hash key and the payload of each.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, SchemaRef};

use super::plan::Entry;
use super::template::{self, Part};
use super::{change, json};
use crate::decode::KEYS_MARK;
use crate::error::{Error, ErrorKind, Result};

/// The longest partition key, in Unicode characters (API reference, `PutRecordsRequestEntry`).
const LONGEST_KEY: usize = 256;
/// Between the values of several key columns.
const BETWEEN: &str = "|";

/// How a row becomes a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub partition_key: KeyOf,
    /// The column of the explicit hash key; a null leaves it out.
    pub explicit_hash_key: Option<String>,
    pub payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// The columns the data itself names as its key, else `_partition_key`.
    Data,
    Columns(Vec<String>),
    Template(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The row as a JSON object.
    Json,
    /// The bytes of this column.
    Column(String),
    /// The row as the change of a table, in the form in which DynamoDB writes it into a stream.
    Change {
        /// The table's name.
        table: Option<String>,
    },
}

/// A shape applied to the columns of one schema.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    key: Vec<KeyPart>,
    hash_key: Option<usize>,
    data: Data,
}

/// What of a row is its data.
#[derive(Clone, Debug)]
enum Data {
    /// All columns, as JSON.
    Row,
    Column(usize),
    Change(change::Columns, Option<String>),
}

#[derive(Clone, Debug)]
enum KeyPart {
    Text(String),
    Column(usize),
    /// The short form of an item's keys, which stand in this column as DynamoDB JSON.
    Item(usize),
}

impl Layout {
    /// # Errors
    /// `Usage`: a column is not there, or of a type that cannot be written.
    pub(super) fn new(shape: &Shape, schema: &SchemaRef) -> Result<Self> {
        let (key, hash_key) = match &shape.partition_key {
            KeyOf::Data => of_data(schema)?,
            KeyOf::Columns(names) => (placed(schema, joined(names.clone()))?, None),
            KeyOf::Template(text) => (placed(schema, template::parse(text)?)?, None),
        };
        for part in &key {
            if let KeyPart::Column(column) = part {
                check_key(schema, "partition_key", *column)?;
            }
        }
        let hash_key = match &shape.explicit_hash_key {
            Some(name) => Some(column(schema, "explicit_hash_key", name)?),
            None => hash_key,
        };
        hash_key.map_or(Ok(()), |column| check_key(schema, "explicit_hash_key", column))?;
        let data = match &shape.payload {
            Payload::Column(name) => Data::Column(data_column(schema, name)?),
            Payload::Change { table } => Data::Change(change::Columns::require(schema)?, table.clone()),
            Payload::Json => {
                check_json(schema)?;
                Data::Row
            }
        };
        Ok(Self { schema: schema.clone(), key, hash_key, data })
    }

    /// The record of one row.
    ///
    /// # Errors
    /// `BadRecord`, naming the row by `number`.
    pub(super) fn entry(&self, batch: &RecordBatch, row: usize, number: u64, most: usize) -> Result<Entry> {
        let bad = |reason: String| {
            let place = self.place(batch, row).unwrap_or_default();
            Error::new(ErrorKind::BadRecord, format!("row {number}{place}: {reason}"))
        };
        let partition_key = self.partition_key(batch, row).map_err(bad)?;
        let explicit_hash_key = self.explicit_hash_key(batch, row).map_err(bad)?;
        let data = self.data(batch, row).map_err(bad)?.into();
        let entry = Entry { partition_key, explicit_hash_key, data, row: number };
        match entry.size() <= most {
            true => Ok(entry),
            false => Err(bad(format!(
                "its record has {} bytes with its partition key, but the stream takes at most {most}",
                entry.size()
            ))),
        }
    }

    /// Which record of a source the row is: in a load nobody knows where a batch began.
    fn place(&self, batch: &RecordBatch, row: usize) -> Option<String> {
        let text = |name| {
            let array = batch.column(self.schema.column_with_name(name)?.0).as_ref();
            if json::is_null(array, row) { None } else { json::text(array, row) }
        };
        Some(format!(" (the record {} of shard {})", text("_sequence")?, text("_shard")?))
    }

    fn partition_key(&self, batch: &RecordBatch, row: usize) -> Result<Arc<str>, String> {
        let mut text = String::new();
        for part in &self.key {
            match part {
                KeyPart::Text(between) => text.push_str(between),
                KeyPart::Item(column) => text.push_str(&change::partition_key(batch, *column, row)?),
                KeyPart::Column(column) => {
                    let value = self.key_text(batch, *column, row)?;
                    text.push_str(&value.ok_or_else(|| {
                        json::within(
                            self.schema.field(*column).name(),
                            "is null and part of the partition key",
                        )
                    })?);
                }
            }
        }
        let end = text.char_indices().nth(LONGEST_KEY).map_or(text.len(), |(end, _)| end);
        match text.get(..end).filter(|key| !key.is_empty()) {
            Some(key) => Ok(key.into()),
            None => Err("its partition key is empty".to_owned()),
        }
    }

    /// "A UTF-8 … value used to explicitly determine the shard": 0 to 2^128 - 1 in decimal.
    fn explicit_hash_key(&self, batch: &RecordBatch, row: usize) -> Result<Option<Arc<str>>, String> {
        let Some(column) = self.hash_key else { return Ok(None) };
        let Some(text) = self.key_text(batch, column, row)? else { return Ok(None) };
        let canonical = text.parse::<u128>().is_ok_and(|number| number.to_string() == text);
        match canonical {
            true => Ok(Some(text.into())),
            false => Err(json::within(
                self.schema.field(column).name(),
                &format!("is {text:?}, but an explicit hash key is a whole number from 0 to 2**128 - 1"),
            )),
        }
    }

    /// A key's text: a text as it is, anything else as in JSON but without quotes.
    fn key_text(&self, batch: &RecordBatch, column: usize, row: usize) -> Result<Option<String>, String> {
        let (array, field) = (batch.column(column), self.schema.field(column));
        if json::is_null(array.as_ref(), row) {
            return Ok(None);
        }
        if let Some(text) = json::text(array.as_ref(), row) {
            return Ok(Some(text.to_owned()));
        }
        let mut out = Vec::new();
        json::write(&mut out, array.as_ref(), field, row)
            .map_err(|reason| json::within(field.name(), &reason))?;
        let text = match out.first() {
            Some(b'"') => serde_json::from_slice::<String>(&out).ok(),
            _ => String::from_utf8(out).ok(),
        };
        text.map(Some).ok_or_else(|| json::within(field.name(), "has no form as text"))
    }

    fn data(&self, batch: &RecordBatch, row: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match &self.data {
            Data::Row => {
                let fields = self.schema.fields().iter().map(AsRef::as_ref);
                json::object(&mut out, fields.zip(batch.columns().iter().map(AsRef::as_ref)), row)?;
            }
            Data::Change(columns, table) => columns.write(&mut out, batch, row, table.as_deref())?,
            Data::Column(column) => out.extend_from_slice(self.cell(batch, *column, row)?),
        }
        Ok(out)
    }

    /// The bytes of a binary or a text.
    fn cell<'b>(&self, batch: &'b RecordBatch, column: usize, row: usize) -> Result<&'b [u8], String> {
        let array: &ArrayRef = batch.column(column);
        let name = self.schema.field(column).name();
        if json::is_null(array.as_ref(), row) {
            return Err(json::within(name, "is null, and it is the data of the record"));
        }
        let bytes =
            json::bytes(array.as_ref(), row).or_else(|| json::text(array.as_ref(), row).map(str::as_bytes));
        bytes.ok_or_else(|| json::within(name, "is neither binary nor text"))
    }
}

/// The keys of a DynamoDB table, or the partition key of a Kinesis record.
fn of_data(schema: &SchemaRef) -> Result<(Vec<KeyPart>, Option<usize>)> {
    if let Some(columns) = change::Columns::of(schema) {
        return Ok((vec![KeyPart::Item(columns.keys)], None));
    }
    let marked = schema.metadata().get(KEYS_MARK);
    if let Some(keys) = marked.and_then(|keys| serde_json::from_str::<Vec<String>>(keys).ok())
        && !keys.is_empty()
    {
        return Ok((placed(schema, joined(keys))?, None));
    }
    let Some((key, _)) = schema.column_with_name("_partition_key") else {
        return Err(Error::usage(
            "the data does not name its key; give partition_key= a column, a list of columns, or a template \
             such as \"{customer}-{id}\"",
        ));
    };
    let hash_key = schema.column_with_name("_explicit_hash_key").map(|(place, _)| place);
    Ok((vec![KeyPart::Column(key)], hash_key))
}

fn placed(schema: &SchemaRef, parts: Vec<Part>) -> Result<Vec<KeyPart>> {
    let place = |part| match part {
        Part::Text(text) => Ok(KeyPart::Text(text)),
        Part::Column(name) => column(schema, "partition_key", &name).map(KeyPart::Column),
    };
    parts.into_iter().map(place).collect()
}

fn joined(names: Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for name in names {
        if !parts.is_empty() {
            parts.push(Part::Text(BETWEEN.to_owned()));
        }
        parts.push(Part::Column(name));
    }
    parts
}

fn column(schema: &SchemaRef, option: &str, name: &str) -> Result<usize> {
    schema.column_with_name(name).map(|(place, _)| place).ok_or_else(|| {
        let known: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::usage(format!("{option} names the column {name:?}, but the data has {}", known.join(", ")))
    })
}

fn check_key(schema: &SchemaRef, option: &str, column: usize) -> Result<()> {
    let field: &FieldRef = &schema.fields()[column];
    let kind = match field.data_type() {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    };
    match kind.is_nested() || json::check(kind).is_err() {
        false => Ok(()),
        true => Err(Error::usage(format!(
            "{option} names the column {:?}, whose type {kind} has no form as text",
            field.name()
        ))),
    }
}

fn data_column(schema: &SchemaRef, name: &str) -> Result<usize> {
    use DataType::*;
    let place = column(schema, "data", name)?;
    match schema.fields()[place].data_type() {
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) | Utf8 | LargeUtf8 | Utf8View => Ok(place),
        kind => Err(Error::usage(format!(
            "data names the column {name:?}, which must be binary or text but is {kind}"
        ))),
    }
}

fn check_json(schema: &SchemaRef) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        if !names.insert(name) {
            return Err(Error::usage(format!(
                "the data has two columns {name:?}, which JSON cannot tell apart"
            )));
        }
        json::check(field.data_type()).map_err(|kind| {
            Error::usage(format!(
                "column {name:?} has the type {kind}, which has no form in JSON; cast it first"
            ))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
