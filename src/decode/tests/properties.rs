//! Random items, random damage, random places to stop: nothing is lost, added or out of step.

use std::collections::BTreeMap;

use super::*;
use proptest::prelude::*;

/// An attribute value, apart from how it is written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    S(String),
    N(String),
    B(Vec<u8>),
    Bool(bool),
    Null,
    M(BTreeMap<String, Value>),
    L(Vec<Value>),
    SS(Vec<String>),
    NS(Vec<String>),
    BS(Vec<Vec<u8>>),
}

pub(super) type Item = BTreeMap<String, Value>;

pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

pub(super) fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

impl Value {
    /// As DynamoDB JSON.
    pub(super) fn written(&self) -> String {
        match self {
            Self::S(text) => format!("{{\"S\":{}}}", quoted(text)),
            Self::N(text) => format!("{{\"N\":\"{text}\"}}"),
            Self::B(bytes) => format!("{{\"B\":\"{}\"}}", base64(bytes)),
            Self::Bool(value) => format!("{{\"BOOL\":{value}}}"),
            Self::Null => "{\"NULL\":true}".to_owned(),
            Self::M(map) => format!("{{\"M\":{}}}", written(map)),
            Self::L(list) => format!("{{\"L\":[{}]}}", joined(list.iter().map(Self::written))),
            Self::SS(set) => format!("{{\"SS\":[{}]}}", joined(set.iter().map(|text| quoted(text)))),
            Self::NS(set) => format!("{{\"NS\":[{}]}}", joined(set.iter().map(|text| quoted(text)))),
            Self::BS(set) => {
                format!("{{\"BS\":[{}]}}", joined(set.iter().map(|bytes| quoted(&base64(bytes)))))
            }
        }
    }

    /// As plain JSON, the way the documentation says.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::S(text) => quoted(text),
            Self::N(text) => text.clone(),
            Self::B(bytes) => quoted(&base64(bytes)),
            Self::Bool(value) => value.to_string(),
            Self::Null => "null".to_owned(),
            Self::M(map) => {
                format!(
                    "{{{}}}",
                    joined(map.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.plain())))
                )
            }
            Self::L(list) => format!("[{}]", joined(list.iter().map(Self::plain))),
            Self::SS(set) => format!("[{}]", joined(set.iter().map(|text| quoted(text)))),
            Self::NS(set) => format!("[{}]", joined(set.iter().cloned())),
            Self::BS(set) => format!("[{}]", joined(set.iter().map(|bytes| quoted(&base64(bytes))))),
        }
    }
}

pub(super) fn written(item: &Item) -> String {
    format!(
        "{{{}}}",
        joined(item.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.written())))
    )
}

pub(super) fn attributes(item: &Item) -> String {
    let text = written(item);
    text[1..text.len() - 1].to_owned()
}

/// Canonical numbers of all three widths.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-1_000_000i64..1_000_000).prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (0i64..1000, 1u32..10).prop_map(|(whole, digit)| format!("{whole}.{digit}")),
        "[1-9][0-9]{36}[1-9]",
        "-0\\.0{20}[1-9]",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", any::<String>()]
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        text().prop_map(Value::S),
        number().prop_map(Value::N),
        bytes().prop_map(Value::B),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        prop::collection::vec(text(), 1..4).prop_map(Value::SS),
        prop::collection::vec(number(), 1..4).prop_map(Value::NS),
        prop::collection::vec(bytes(), 1..4).prop_map(Value::BS),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map(name(), inner.clone(), 0..4).prop_map(Value::M),
            prop::collection::vec(inner, 0..4).prop_map(Value::L),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => "[a-b]\"?\\\\?é?"]
}

pub(super) fn items(most: usize) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(prop::collection::btree_map(name(), value(), 0..5), 1..most)
}

pub(super) fn page_of_items(items: &[Item]) -> Page {
    let texts: Vec<String> = items.iter().map(attributes).collect();
    inserts(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// The value of one cell as plain JSON, read from Arrow by its own means.
fn cell(array: &dyn Array, row: usize, json: bool) -> Option<String> {
    use arrow_schema::DataType::*;
    if array.is_null(row) {
        return None;
    }
    let text = || array.as_string::<i32>().value(row).to_owned();
    Some(match array.data_type() {
        Utf8 if json => text(),
        Utf8 => quoted(&text()),
        Binary => quoted(&base64(array.as_binary::<i32>().value(row))),
        Boolean => array.as_boolean().value(row).to_string(),
        Int64 => array.as_primitive::<arrow_array::types::Int64Type>().value(row).to_string(),
        Decimal128(..) => {
            trimmed(&array.as_primitive::<arrow_array::types::Decimal128Type>().value_as_string(row))
        }
        List(field) => {
            let list = array.as_list::<i32>().value(row);
            let raw = raw_text(field);
            format!(
                "[{}]",
                joined((0..list.len()).map(|at| cell(&list, at, raw).unwrap_or("null".to_owned())))
            )
        }
        Struct(fields) => {
            let columns = array.as_struct().columns();
            let mut members: Vec<(String, String)> = fields
                .iter()
                .zip(columns)
                .filter_map(|(field, column)| {
                    Some((field.name().clone(), cell(column, row, raw_text(field))?))
                })
                .collect();
            members.sort();
            format!("{{{}}}", joined(members.iter().map(|(name, value)| format!("{}:{value}", quoted(name)))))
        }
        other => panic!("{other} in a batch"),
    })
}

/// Whether the text of a field is JSON as it stands.
fn raw_text(field: &arrow_schema::Field) -> bool {
    field.metadata().contains_key(JSON_MARK) || field.metadata().contains_key(NUMBER_MARK)
}

/// Every attribute stands exactly once: in its column, or in the rest.
pub(super) fn compare(batch: &RecordBatch, items: &[Item]) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(batch.num_rows(), items.len());
    let schema = batch.schema();
    let rest = batch.column_by_name("_rest").unwrap().as_string::<i32>();
    for (row, item) in items.iter().enumerate() {
        let mut left: BTreeMap<String, serde_json::Value> = match rest.is_valid(row) {
            true => serde_json::from_str(rest.value(row)).unwrap(),
            false => BTreeMap::new(),
        };
        for (field, column) in schema.fields().iter().zip(batch.columns()).skip(7) {
            if field.name() == "_rest" {
                continue;
            }
            let found = cell(column, row, raw_text(field));
            match (found, item.get(field.name())) {
                (Some(found), Some(value)) => {
                    prop_assert_eq!(found, value.plain());
                    prop_assert!(!left.contains_key(field.name()));
                }
                (None, Some(value)) => {
                    let kept = left.remove(field.name());
                    prop_assert_eq!(kept, Some(serde_json::from_str(&value.written()).unwrap()));
                }
                (found, None) => prop_assert_eq!(found, None),
            }
        }
        for (name, kept) in left {
            prop_assert!(schema.field_with_name(&name).is_err());
            prop_assert_eq!(kept, serde_json::from_str::<serde_json::Value>(&item[&name].written()).unwrap());
        }
    }
    Ok(())
}

pub(super) fn mode() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{}",
        r#"{"nested":"struct"}"#,
        r#"{"max_columns":2}"#,
        r#"{"nested":"struct","max_columns":3}"#,
    ])
}

/// All rows of a page, read in pieces of these many rows and stitched together again.
pub(super) fn in_pieces(decoder: &mut dyn Decoder, page: &Page, pieces: &[usize]) -> RecordBatch {
    let (mut from, mut batches) = (Some(page.records.start), Vec::new());
    let mut sizes = pieces.iter().copied().cycle();
    while let Some(at) = from {
        let rows = sizes.next().unwrap_or(1);
        let pushed = decoder.push(page, at, Room { rows, bytes: usize::MAX }, &Skip::default()).unwrap();
        assert!(pushed.rows <= rows);
        from = pushed.rest;
        batches.push(decoder.flush().unwrap());
    }
    let schema = batches.last().unwrap().schema();
    let batches: Vec<RecordBatch> = batches.iter().map(|batch| conform(batch, &schema).unwrap()).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_attribute_comes_back(items in items(8), json in mode()) {
        let mut decoder = decoder_with(json);
        push(&mut *decoder, &page_of_items(&items));
        let batch = decoder.flush().unwrap();
        check(&batch);
        compare(&batch, &items)?;
    }

    /// Scanned, or as the new images of changes: the same columns, wherever pages and batches end.
    #[test]
    fn scanned_items_and_new_images_are_one(items in items(8), json in mode(), pieces in prop::collection::vec(1usize..4, 1..4)) {
        let texts = items.iter().map(|item| super::items::item("k", &attributes(item)));
        let page = super::items::scanned(&joined(texts));
        let (mut scan, mut changes) = (decoder_with(json), decoder_with(json));
        let (mut from, mut sizes, mut rows) = (Some(page.items.start), pieces.iter().copied().cycle(), 0);
        while let Some(at) = from {
            let room = Room { rows: sizes.next().unwrap_or(1), bytes: usize::MAX };
            let pushed = scan.push_items(&page, at, room).unwrap();
            (from, rows) = (pushed.rest, rows + pushed.rows);
        }
        push(&mut *changes, &page_of_items(&items));
        prop_assert_eq!((rows, scan.schema_state()), (items.len(), changes.schema_state()));
        let (scan, changes) = (scan.flush().unwrap(), changes.flush().unwrap());
        check(&scan);
        prop_assert_eq!(scan.schema(), changes.schema());
        prop_assert_eq!(&scan.columns()[6..], &changes.columns()[6..]);
    }

    /// Records that turn out bad at their end leave the batch as if they had never been there.
    #[test]
    fn bad_records_leave_no_trace(items in prop::collection::vec((items(2), any::<bool>()), 1..8), json in mode()) {
        let json = json.replace('{', r#"{"on_bad_record":"quarantine","#).replace(",}", "}");
        let record = |number: u64, item: &Item, bad: bool| {
            let mut text = attributes(item);
            if bad {
                text = [text, r#""z":{"M":{"a":{"NS":["1","x"]}}}"#.to_owned()].join(if item.is_empty() { "" } else { "," });
            }
            insert(number, &text)
        };
        let items: Vec<(u64, &Item, bool)> = (1..).zip(&items).map(|(n, (items, bad))| (n, &items[0], *bad)).collect();
        let all = joined(items.iter().map(|(number, item, bad)| record(*number, item, *bad)));
        let good = joined(items.iter().filter(|item| !item.2).map(|(number, item, _)| record(*number, item, false)));
        let (mut with, mut without) = (decoder_with(&json), decoder_with(&json));
        let pushed = push(&mut *with, &page(&all));
        push(&mut *without, &page(&good));
        prop_assert_eq!(pushed.quarantined.len(), items.iter().filter(|item| item.2).count());
        prop_assert_eq!(with.schema_state(), without.schema_state());
        let (with, without) = (with.flush().unwrap(), without.flush().unwrap());
        check(&with);
        prop_assert_eq!(with, without);
    }

    #[test]
    fn old_images_come_back(items in items(5), json in mode()) {
        let json = json.replace('{', r#"{"old_image":true,"#).replace(",}", "}");
        let records = items.iter().zip(1..).map(|(item, number)| {
            record("REMOVE", number, &format!(r#""Keys":{{"id":{{"S":"k"}}}},"OldImage":{}"#, written(item)))
        });
        let mut decoder = decoder_with(&json);
        push(&mut *decoder, &page(&joined(records)));
        let batch = decoder.flush().unwrap();
        check(&batch);
        let old = RecordBatch::from(batch.column_by_name("_old").unwrap().as_struct().clone());
        // The same columns as a batch has: six of metadata come before.
        let schema = batch.schema();
        let fields: Vec<_> = schema.fields().iter().take(6).chain(old.schema().fields()).cloned().collect();
        let columns = batch.columns().iter().take(6).chain(old.columns()).cloned().collect();
        let old = RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns).unwrap();
        compare(&old, &items)?;
    }

    #[test]
    fn where_batches_end_makes_no_difference(items in items(8), json in mode(), pieces in prop::collection::vec(1usize..4, 1..4)) {
        let page = page_of_items(&items);
        let mut whole = decoder_with(json);
        push(&mut *whole, &page);
        let mut split = decoder_with(json);
        let stitched = in_pieces(&mut *split, &page, &pieces);
        prop_assert_eq!(split.schema_state(), whole.schema_state());
        let expected = whole.flush().unwrap();
        prop_assert_eq!(stitched.schema(), expected.schema());
        for (field, (found, expected)) in expected.schema().fields().iter().zip(stitched.columns().iter().zip(expected.columns())) {
            prop_assert_eq!(found, expected, "{}", field.name());
        }
    }

    #[test]
    fn a_resumed_schema_goes_on(first in items(5), second in items(5), json in mode()) {
        let mut going_on = decoder_with(json);
        push(&mut *going_on, &page_of_items(&first));
        going_on.flush().unwrap();
        let saved = going_on.schema_state();
        let mut resumed = decoder(&options(json), &[key("id", KeyKind::Text)], Some(&saved)).unwrap();
        push(&mut *going_on, &page_of_items(&second));
        push(&mut *resumed, &page_of_items(&second));
        prop_assert_eq!(going_on.schema_state(), resumed.schema_state());
        prop_assert_eq!(going_on.flush().unwrap(), resumed.flush().unwrap());
    }

    /// A page cut anywhere is damaged as a whole; a byte changed anywhere gives an error or as many
    /// records as before, and columns that Arrow finds sound.
    #[test]
    fn damage_is_noticed_or_harmless(items in items(5), json in mode(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let page = page_of_items(&items);
        let json = json.replace('{', r#"{"on_bad_record":"quarantine","#).replace(",}", "}");
        let at = cut.index(page.records.len()) + page.records.start;
        let mut decoder = decoder_with(&json);
        let mut body = page.body[..at].to_vec();
        body.extend_from_slice(b"]}");
        let short = page_of(body.into());
        if let Ok(pushed) = decoder.push(&short, short.records.start, ALL, &Skip::default()) {
            // Sound only where the cut falls exactly on the end of a record.
            let records = serde_json::from_slice::<serde_json::Value>(&short.body).unwrap();
            prop_assert_eq!(pushed.rows, records["Records"].as_array().unwrap().len());
        } else {
            prop_assert_eq!(decoder.rows(), 0);
        }
        decoder.flush().unwrap();

        let mut body = page.body.to_vec();
        body[at] = byte;
        let changed = page_of(body.into());
        match decoder.push(&changed, changed.records.start, ALL, &Skip::default()) {
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::BadPage);
                prop_assert_eq!(decoder.rows(), 0);
            }
            Ok(pushed) => {
                let oracle: std::result::Result<serde_json::Value, _> = serde_json::from_slice(&changed.body);
                // An escape of half a surrogate pair is sound JSON to us (and a bad record), but not to the oracle.
                let records = oracle.map(|page| page["Records"].as_array().unwrap().len()).unwrap_or(items.len());
                prop_assert_eq!(pushed.rows + pushed.quarantined.len(), records);
            }
        }
        let batch = decoder.flush().unwrap();
        check(&batch);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(prop::sample::select(br#"{}[]":,\SNBMLX0e1-. tfn"#.to_vec()), 0..80), json in mode()) {
        let mut decoder = decoder_with(json);
        let page = page_of([b"{\"Records\":[", &noise[..], b"]}"].concat().into());
        let _ = decoder.push(&page, page.records.start, ALL, &Skip::default());
        check(&decoder.flush().unwrap());
    }
}
