//! The decoder from page to batch.
#![allow(clippy::unwrap_used)]

mod columns;
mod growth;
mod items;
mod kinesis;
mod order;
mod pages;
mod properties;
mod resumed;
mod samples;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::page::{KeyAttribute, KeyKind, Page};

pub(super) const ALL: Room = Room { rows: usize::MAX, bytes: usize::MAX };

pub(super) fn page(records: &str) -> Page {
    page_of(Bytes::from(format!("{{\"Records\":[{records}]}}")))
}

pub(super) fn page_of(body: Bytes) -> Page {
    let end = body.len().saturating_sub(2);
    Page {
        shard: "shard-1".into(),
        records: 12.min(end)..end,
        body,
        next: None,
        behind: None,
        children: vec![],
        hash_keys: None,
        weight: 0,
        server_time: None,
    }
}

/// A record as the service writes it; `change` are further members of `dynamodb`.
pub(super) fn record(op: &str, sequence: u64, change: &str) -> String {
    format!(
        "{{\"eventID\":\"e{sequence}\",\"eventName\":\"{op}\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\
         \"awsRegion\":\"eu-west-1\",\"dynamodb\":{{\"ApproximateCreationDateTime\":1700000000,{change},\
         \"SequenceNumber\":\"{sequence}\",\"SizeBytes\":1,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}}}"
    )
}

/// An insert of an item with the key `id` = "k" and these other attributes.
pub(super) fn insert(sequence: u64, attributes: &str) -> String {
    let comma = if attributes.is_empty() { "" } else { "," };
    let change = format!(
        "\"Keys\":{{\"id\":{{\"S\":\"k\"}}}},\"NewImage\":{{\"id\":{{\"S\":\"k\"}}{comma}{attributes}}}"
    );
    record("INSERT", sequence, &change)
}

/// A page of inserts with these attributes.
pub(super) fn inserts(items: &[&str]) -> Page {
    let records: Vec<String> = items.iter().zip(1..).map(|(item, number)| insert(number, item)).collect();
    page(&records.join(","))
}

pub(super) fn key(name: &str, kind: KeyKind) -> KeyAttribute {
    KeyAttribute { name: name.to_owned(), kind }
}

pub(super) fn options(json: &str) -> DecodeOptions {
    serde_json::from_str(json).unwrap()
}

pub(super) fn decoder_with(json: &str) -> Box<dyn Decoder> {
    decoder(&options(json), &[key("id", KeyKind::Text)], None).unwrap()
}

pub(super) fn push(decoder: &mut dyn Decoder, page: &Page) -> Pushed {
    decoder.push(page, page.records.start, ALL, &Skip::default()).unwrap()
}

pub(super) fn push_error(decoder: &mut dyn Decoder, page: &Page) -> Error {
    decoder.push(page, page.records.start, ALL, &Skip::default()).unwrap_err()
}

/// Decodes one page of inserts with these options.
pub(super) fn decode(options: &str, items: &[&str]) -> RecordBatch {
    let mut decoder = decoder_with(options);
    push(&mut *decoder, &inserts(items));
    let batch = decoder.flush().unwrap();
    check(&batch);
    batch
}

/// Arrow's own full validation of every column.
pub(super) fn check(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().unwrap();
    }
}

/// The values of a column as text; null is `-`.
pub(super) fn column(batch: &RecordBatch, name: &str) -> Vec<String> {
    let Some(array) = batch.column_by_name(name) else {
        panic!(
            "no column {name} in {:?}",
            batch.schema().fields().iter().map(|f| f.name()).collect::<Vec<_>>()
        );
    };
    let mut array = array.clone();
    if let arrow_schema::DataType::Timestamp(unit, zone) = array.data_type().clone() {
        assert_eq!(zone.as_deref(), Some("UTC"));
        array = arrow_cast::cast(&array, &arrow_schema::DataType::Timestamp(unit, None)).unwrap();
    }
    let options = FormatOptions::new().with_null("-");
    let format = ArrayFormatter::try_new(&array, &options).unwrap();
    (0..array.len()).map(|row| format.value(row).to_string()).collect()
}

pub(super) fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

pub(super) fn words(decoder: &dyn Decoder) -> Vec<String> {
    decoder.schema_state().columns.iter().map(|column| format!("{}: {}", column.name, column.kind)).collect()
}
