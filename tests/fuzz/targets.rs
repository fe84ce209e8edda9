//! What is fuzzed: each target takes any bytes and panics where the library breaks its word.
//!
//! `fuzz/` gives these functions to libFuzzer; `main.rs` beside this file runs them on stable with every
//! input in the corpus.

use std::fmt::Write as _;

use arrow_array::Array as _;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use shardarrow::aws::arn::Target as ArnTarget;
use shardarrow::checkpoint::sqlite::SqliteStore;
use shardarrow::checkpoint::{Checkpoint, CheckpointStore as _};
use shardarrow::decode::{
    DeclaredColumn, DecodeOptions, Decoder, Format, Images, JsonFields, Nested, Numbers, OnBadRecord, Pushed,
    Room, SchemaState, Skip, decoder,
};
use shardarrow::error::{ErrorKind, Result};
use shardarrow::page::{ItemsPage, KeyAttribute, KeyKind, Page, Segment};
use shardarrow::position::{Position, SequenceNumber};
use shardarrow::source::envelope::{Envelope, OfItems, OfRecords};

pub(crate) type Target = fn(&[u8]);

pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("aggregate", aggregate),
    ("attribute", attribute),
    ("change_page", change_page),
    ("checkpoint_file", checkpoint_file),
    ("checkpoint_state", checkpoint_state),
    ("envelope", envelope),
    ("kinesis_page", kinesis_page),
    ("names", names),
    ("scan_page", scan_page),
    ("schema", schema),
    ("sequence_number", sequence_number),
];

/// A page of changes. The first byte says how it is decoded.
pub(crate) fn change_page(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    decode_records(body, &options(*first, Format::Streams), &keys());
}

/// A page of Kinesis records. The first byte says how it is decoded.
pub(crate) fn kinesis_page(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    decode_records(body, &kinesis_options(*first), &[]);
}

/// The message of an aggregate of the Kinesis Producer Library, with the checksum it should have.
pub(crate) fn aggregate(data: &[u8]) {
    let Some((first, message)) = data.split_first() else { return };
    let mut record = vec![0xF3, 0x89, 0x9A, 0xC2];
    record.extend_from_slice(message);
    record.extend_from_slice(&Md5::digest(message));
    let record = base64_simd::STANDARD.encode_to_string(record);
    let body = format!(
        r#"{{"Records":[{{"SequenceNumber":"7","ApproximateArrivalTimestamp":1.5,"PartitionKey":"p","Data":"{record}"}}],"NextShardIterator":"n"}}"#
    );
    decode_records(body.as_bytes(), &kinesis_options(*first), &[]);
}

/// One attribute value in a change, decoded as a column, as a field of a map and as a member of a list.
pub(crate) fn attribute(data: &[u8]) {
    let Some((first, value)) = data.split_first() else { return };
    let Ok(value) = std::str::from_utf8(value) else { return };
    for image in
        [value.to_owned(), format!(r#"{{"M":{{"m":{value}}}}}"#), format!(r#"{{"L":[{value},{value}]}}"#)]
    {
        let body = format!(
            r#"{{"Records":[{},{}],"NextShardIterator":"n"}}"#,
            record(1, r#"{"N":"1"}"#),
            record(2, &image)
        );
        decode_records(body.as_bytes(), &options(*first, Format::Streams), &keys());
    }
}

fn record(number: u32, value: &str) -> String {
    format!(
        r#"{{"eventID":"{number}","eventName":"MODIFY","dynamodb":{{"ApproximateCreationDateTime":1,"Keys":{{"id":{{"S":"k"}}}},"NewImage":{{"id":{{"S":"k"}},"a":{value}}},"SequenceNumber":"{number}"}}}}"#
    )
}

/// A page of a scan. The first byte says how it is decoded.
pub(crate) fn scan_page(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let Ok(envelope) = Envelope::<OfItems>::read(&body) else { return };
    let page = ItemsPage {
        segment: Segment { index: 0, total: 1 },
        items: envelope.elements,
        body,
        next: envelope.about.next,
        scanned: envelope.about.scanned,
        units: envelope.about.units,
        server_time: None,
    };
    for room in rooms() {
        let Ok(mut decoder) = decoder(&options(*first, Format::Streams), &keys(), None) else { return };
        take_all(decoder.as_mut(), page.items.start, |decoder, from| decoder.push_items(&page, from, room));
    }
}

/// Head and tail of a page, which the short way and the long way must read alike.
pub(crate) fn envelope(data: &[u8]) {
    if let Ok(read) = Envelope::<OfRecords>::read(data) {
        assert!(data.get(read.elements).is_some(), "the elements are outside of the body");
    }
    if let Ok(read) = Envelope::<OfItems>::read(data) {
        assert!(data.get(read.elements).is_some(), "the elements are outside of the body");
    }
}

/// A checkpoint as text: refused, or kept as it is.
pub(crate) fn checkpoint_state(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Checkpoint::parse(text) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::CheckpointCorrupt),
        Ok(checkpoint) => {
            assert_eq!(Checkpoint::parse(&checkpoint.to_json()).ok().as_ref(), Some(&checkpoint));
            resume(&checkpoint.schema);
        }
    }
}

/// The columns of a checkpoint may be any text: refused, or gone on with.
fn resume(state: &SchemaState) {
    for first in [0, 1, 16] {
        if let Ok(mut decoder) = decoder(&options(first, Format::Streams), &keys(), Some(state)) {
            sound(decoder.as_mut(), 0);
        }
    }
}

/// A checkpoint file: refused, or read; and what is not ours stays as it is.
pub(crate) fn checkpoint_file(data: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("c.ckpt");
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let inspected = SqliteStore::inspect(&path);
    match SqliteStore::open(&path, "default") {
        Ok(mut store) => {
            let whole = store.gaps().is_ok() && store.quarantined().is_ok();
            assert!(inspected.is_ok() || !whole, "what can be read cannot be inspected: {inspected:?}");
        }
        Err(error) => {
            let kinds = [ErrorKind::CheckpointCorrupt, ErrorKind::CheckpointStore];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert!(std::fs::read(&path).is_ok_and(|now| now == data), "a file that is refused was changed");
        }
    }
}

/// Two sequence numbers: compared as the numbers they are, whatever their length.
pub(crate) fn sequence_number(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (one, other) = text.split_once(' ').unwrap_or((text, "0"));
    let (Ok(one), Ok(other)) = (SequenceNumber::parse(one), SequenceNumber::parse(other)) else { return };
    assert_eq!(padded(&one).cmp(&padded(&other)), one.cmp(&other), "{one} and {other}");
    assert_eq!(SequenceNumber::parse(one.as_str()).ok(), Some(one.clone()));
    let (at, after) = (Position::At(one.clone()), Position::After(one.clone()));
    assert!(Position::Beginning < at && at < after);
    for position in [at, after] {
        let text = serde_json::to_string(&position).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Position>(&text).ok(), Some(position));
    }
}

/// What sorts as text the way the number sorts: a whole record comes behind its parts.
fn padded(number: &SequenceNumber) -> String {
    let sub = number.sub().map_or_else(|| "x".to_owned(), |sub| format!("{sub:010}"));
    format!("{:0>129}:{sub}", number.record())
}

/// What a user names: a table, an ARN.
pub(crate) fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match ArnTarget::parse(text) {
        Ok(target) => assert_eq!(target.text(), text),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Usage),
    }
}

/// Types in words, as a declared schema has them: one on each line.
pub(crate) fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let column =
        |(number, kind): (usize, &str)| DeclaredColumn { name: format!("a{number}"), kind: kind.to_owned() };
    let schema: Vec<_> = text.lines().take(20).enumerate().map(column).collect();
    let options = DecodeOptions { schema: Some(schema), ..DecodeOptions::default() };
    match decoder(&options, &keys(), None) {
        Ok(mut decoder) => {
            sound(decoder.as_mut(), 0);
            // What was accepted once goes into a checkpoint and must be accepted from there.
            let state = decoder.schema_state();
            assert!(self::decoder(&options, &keys(), Some(&state)).is_ok(), "{state:?}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Usage),
    }
}

fn keys() -> Vec<KeyAttribute> {
    vec![KeyAttribute { name: "id".to_owned(), kind: KeyKind::Text }]
}

/// Each bit is an option.
fn options(bits: u8, format: Format) -> DecodeOptions {
    let is = |bit: u8| bits & (1 << bit) != 0;
    DecodeOptions {
        format,
        nested: if is(0) { Nested::Struct } else { Nested::Json },
        numbers: if is(1) { Numbers::Float64 } else { Numbers::Exact },
        images: if is(2) { Images::Json } else { Images::Columns },
        old_image: is(3),
        on_bad_record: if is(4) { OnBadRecord::Quarantine } else { OnBadRecord::Fail },
        json: if is(5) { JsonFields::ArrowJson } else { JsonFields::Text },
        max_columns: if is(6) { 2 } else { 1000 },
        ..DecodeOptions::default()
    }
}

fn kinesis_options(bits: u8) -> DecodeOptions {
    let format = match bits >> 6 {
        0b11 => Format::Dynamodb,
        0b10 => Format::Json,
        _ => Format::Bytes,
    };
    let mut options = options(bits, format);
    (options.images, options.old_image) = (Images::Columns, false);
    options
}

/// Everything at once, and row by row.
fn rooms() -> [Room; 2] {
    [Room { rows: usize::MAX, bytes: usize::MAX }, Room { rows: 1, bytes: 1 }]
}

fn decode_records(body: &[u8], options: &DecodeOptions, keys: &[KeyAttribute]) {
    let body = Bytes::copy_from_slice(body);
    let Ok(envelope) = Envelope::<OfRecords>::read(&body) else { return };
    let page = Page {
        shard: "shard-1".into(),
        records: envelope.elements,
        body,
        next: None,
        behind: None,
        children: Vec::new(),
        hash_keys: None,
        weight: 0,
        server_time: None,
    };
    let mut totals = Vec::new();
    for room in rooms() {
        let Ok(mut decoder) = decoder(options, keys, None) else { return };
        let skip = Skip::default();
        totals.push(take_all(decoder.as_mut(), page.records.start, |decoder, from| {
            decoder.push(&page, from, room, &skip)
        }));
    }
    assert!(totals.windows(2).all(|pair| pair[0] == pair[1]), "in pieces it is another page: {totals:?}");
}

/// What a page came to: its rows, what was quarantined, the kind of the error that ended it, the columns.
type Total = (usize, usize, Option<ErrorKind>, String);

fn take_all(
    decoder: &mut dyn Decoder,
    start: usize,
    push: impl Fn(&mut dyn Decoder, usize) -> Result<Pushed>,
) -> Total {
    let (mut from, mut rows, mut quarantined) = (start, 0, 0);
    let end = loop {
        let waiting = decoder.rows();
        match push(decoder, from) {
            Err(error) => {
                let kinds = [ErrorKind::BadPage, ErrorKind::BadRecord];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                assert_eq!(decoder.rows(), waiting, "a call that failed left rows");
                break Some(error.kind());
            }
            Ok(pushed) => {
                rows += pushed.rows;
                quarantined += pushed.quarantined.len();
                assert_eq!(decoder.rows(), waiting + pushed.rows);
                sound(decoder, waiting + pushed.rows);
                match pushed.rest {
                    Some(rest) if rest > from => from = rest,
                    Some(rest) => {
                        assert_eq!(rest, from, "it goes backwards");
                        assert_eq!(pushed.rows, 0, "it takes the same rows again");
                    }
                    None => break None,
                }
            }
        }
    };
    // A page that is damaged is fetched again, and how much of it counted until then is of no matter.
    let counted = if end == Some(ErrorKind::BadPage) { 0 } else { rows };
    (counted, if counted == 0 { 0 } else { quarantined }, end, columns(decoder, end))
}

fn columns(decoder: &dyn Decoder, end: Option<ErrorKind>) -> String {
    let mut text = String::new();
    if end.is_none() {
        for column in &decoder.schema_state().columns {
            let _ = writeln!(text, "{} {}", column.name, column.kind);
        }
    }
    text
}

/// The batch has the rows it should have, and its buffers are what their types promise.
fn sound(decoder: &mut dyn Decoder, rows: usize) {
    let batch = match decoder.flush() {
        Ok(batch) => batch,
        Err(error) => panic!("the batch cannot be built: {error}"),
    };
    assert_eq!(batch.num_rows(), rows);
    for column in batch.columns() {
        if let Err(error) = column.to_data().validate_full() {
            panic!("a column is broken: {error}");
        }
    }
    decoder.take_notices();
}
