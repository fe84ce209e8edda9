//! What Kinesis delivers: pages, aggregates, the formats of their data.

mod aggregates;
mod bytes;
mod changes;
mod hashes;
mod json;
mod samples;

use super::*;
use crate::page::HashKeys;
use crate::position::Position;
use ::md5::{Digest, Md5};

pub(super) fn base64(data: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(data)
}

pub(super) fn number(text: &str) -> SequenceNumber {
    SequenceNumber::parse(text).unwrap()
}

/// A record as the service writes it, arrived at `sequence` seconds and a half.
pub(super) fn delivery(sequence: u64, data: &[u8]) -> String {
    format!(
        "{{\"SequenceNumber\":\"{sequence}\",\"ApproximateArrivalTimestamp\":{sequence}.5,\"Data\":\"{}\",\
         \"PartitionKey\":\"key {sequence}\",\"EncryptionType\":\"KMS\"}}",
        base64(data)
    )
}

/// A page of records with this data, and the sequence numbers 1, 2, 3, …
pub(super) fn deliveries(data: &[&[u8]]) -> Page {
    let records: Vec<String> = data.iter().zip(1..).map(|(data, number)| delivery(number, data)).collect();
    page(&records.join(","))
}

pub(super) fn kinesis(json: &str) -> Box<dyn Decoder> {
    decoder(&options(json), &[], None).unwrap()
}

pub(super) const BYTES: &str = r#"{"format":"bytes"}"#;
pub(super) const CHANGES: &str = r#"{"format":"dynamodb"}"#;
pub(super) const QUARANTINE: &str = r#","on_bad_record":"quarantine"}"#;

/// These options, and bad records kept aside.
pub(super) fn keeping(json: &str) -> String {
    json.replace('}', QUARANTINE)
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of a protobuf message: a number, or bytes.
pub(super) fn field(number: u64, value: Result<u64, &[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Ok(value) => {
            varint(number << 3, &mut out);
            varint(value, &mut out);
        }
        Err(bytes) => {
            varint(number << 3 | 2, &mut out);
            varint(bytes.len() as u64, &mut out);
            out.extend_from_slice(bytes);
        }
    }
    out
}

/// The data of a record that holds this message, with its magic bytes and its checksum.
pub(super) fn sealed(message: &[u8]) -> Vec<u8> {
    [&[0xF3, 0x89, 0x9A, 0xC2], message, &Md5::digest(message)[..]].concat()
}

/// A record of a user in an aggregate: the places of its keys in the tables, and its data.
pub(super) fn part(partition: u64, explicit: Option<u64>, data: &[u8]) -> Vec<u8> {
    let explicit = explicit.map(|place| field(2, Ok(place))).unwrap_or_default();
    field(3, Err(&[field(1, Ok(partition)), explicit, field(3, Err(data))].concat()))
}

/// An aggregate of records with this data, all of the partition key `a`.
pub(super) fn aggregate(data: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<u8> = data.iter().flat_map(|data| part(0, None, data)).collect();
    sealed(&[field(1, Err(b"a")), parts].concat())
}
