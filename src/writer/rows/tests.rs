//! What each type becomes, where keys come from, and what is refused.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::*;
use arrow_schema::{Field, Schema};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn shape(partition_key: KeyOf) -> Shape {
    Shape { partition_key, explicit_hash_key: None, payload: Payload::Json }
}

fn by(column: &str) -> Shape {
    shape(KeyOf::Columns(vec![column.into()]))
}

fn entries(shape: &Shape, batch: &RecordBatch) -> Result<Vec<Entry>> {
    let layout = Layout::new(shape, &batch.schema())?;
    (0..batch.num_rows()).map(|row| layout.entry(batch, row, row as u64, 1 << 20)).collect()
}

/// The only row as JSON.
fn json(mut columns: Vec<(&str, ArrayRef)>) -> String {
    columns.insert(0, ("k", Arc::new(StringArray::from(vec!["k"]))));
    let entry = entries(&by("k"), &batch(columns)).unwrap().remove(0);
    String::from_utf8(entry.data.to_vec()).unwrap().replacen(r#"{"k":"k","#, "{", 1)
}

fn keys(shape: &Shape, batch: &RecordBatch) -> Vec<String> {
    entries(shape, batch).unwrap().iter().map(|entry| entry.partition_key.to_string()).collect()
}

fn refusal(shape: &Shape, batch: &RecordBatch) -> Error {
    entries(shape, batch).unwrap_err()
}

fn marked(name: &str, mark: &str, text: &str) -> RecordBatch {
    let metadata =
        HashMap::from([(mark.to_owned(), if mark.contains(':') { "arrow.json" } else { "true" }.to_owned())]);
    let field = Field::new(name, DataType::Utf8, true).with_metadata(metadata);
    let schema = Schema::new(vec![field, Field::new("k", DataType::Utf8, false)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![text])), Arc::new(StringArray::from(vec!["k"]))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[test]
fn numbers_keep_every_digit() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int64Array::from(vec![9_007_199_254_740_993]))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("b", Arc::new(Int8Array::from(vec![-128]))),
        ("f", Arc::new(Float64Array::from(vec![0.1]))),
        ("g", Arc::new(Float32Array::from(vec![0.1]))),
        ("d", Arc::new(Decimal128Array::from(vec![1_500_000_000]).with_precision_and_scale(38, 9).unwrap())),
        ("e", Arc::new(Decimal128Array::from(vec![-100]).with_precision_and_scale(5, 2).unwrap())),
        ("w", Arc::new(Decimal128Array::from(vec![12]).with_precision_and_scale(5, -2).unwrap())),
        ("t", Arc::new(BooleanArray::from(vec![true]))),
    ];
    assert_eq!(
        json(columns),
        r#"{"i":9007199254740993,"u":18446744073709551615,"b":-128,"f":0.1,"g":0.1,"d":1.5,"e":-1,"w":1200,"t":true}"#
    );
}

#[test]
fn texts_bytes_and_times() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("s", Arc::new(StringArray::from(vec!["a\"\n\u{1}ä"]))),
        ("v", Arc::new(StringViewArray::from(vec!["a view longer than twelve bytes"]))),
        ("l", Arc::new(LargeStringArray::from(vec!["large"]))),
        ("b", Arc::new(BinaryArray::from(vec![&[0u8, 255, 16][..]]))),
        ("n", Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8, 2]].iter()).unwrap())),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"))),
        ("o", Arc::new(TimestampSecondArray::from(vec![0]).with_timezone("+02:00"))),
        ("w", Arc::new(TimestampMillisecondArray::from(vec![1]))),
        ("d", Arc::new(Date32Array::from(vec![1]))),
        ("c", Arc::new(Time64MicrosecondArray::from(vec![3_600_000_001]))),
        ("x", Arc::new(DictionaryArray::<Int8Type>::from_iter(["insert"]))),
    ];
    assert_eq!(
        json(columns),
        r#"{"s":"a\"\n\u0001ä","v":"a view longer than twelve bytes","l":"large","b":"AP8Q","n":"AQI=","t":"1970-01-01T00:00:01.500000Z","o":"1970-01-01T00:00:00Z","w":"1970-01-01T00:00:00.001","d":"1970-01-02","c":"01:00:00.000001","x":"insert"}"#
    );
}

#[test]
fn nested_values_and_nulls() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![None]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let fields = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
    let group = StructArray::from(vec![
        (fields("absent", DataType::Int32), inner),
        (fields("there", DataType::Utf8), text),
    ]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a \"b\"");
    map.values().append_value(7);
    map.append(true).unwrap();
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append(true);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("l", Arc::new(list)),
        ("g", Arc::new(group)),
        ("m", Arc::new(map.finish())),
        ("e", Arc::new(lists.finish())),
        ("n", Arc::new(Int32Array::from(vec![None]))),
        ("z", Arc::new(NullArray::new(1))),
    ];
    assert_eq!(json(columns), r#"{"l":[1,null],"g":{"there":"x"},"m":{"a \"b\"":7},"e":[]}"#);
}

#[test]
fn marked_text_stands_as_what_it_says() {
    for mark in ["shardarrow.json", "ARROW:extension:name"] {
        let entry = entries(&by("k"), &marked("m", mark, r#"{"a":1.50,"b":[]}"#)).unwrap().remove(0);
        assert_eq!(entry.data, &br#"{"m":{"a":1.50,"b":[]},"k":"k"}"#[..]);
    }
    let number = "12345678901234567890123456789012345678";
    let entry = entries(&by("k"), &marked("m", "shardarrow.number", number)).unwrap().remove(0);
    assert_eq!(entry.data, format!(r#"{{"m":{number},"k":"k"}}"#).as_bytes());
    let plain = entries(&by("k"), &marked("m", "other", "{}")).unwrap().remove(0);
    assert_eq!(plain.data, &br#"{"m":"{}","k":"k"}"#[..]);
    for (mark, text) in
        [("shardarrow.json", "{"), ("shardarrow.number", "\"1\""), ("shardarrow.number", "1x")]
    {
        let error = refusal(&by("k"), &marked("m", mark, text));
        assert!(error.message().starts_with("row 0: \"m\" is marked as"), "{error}");
    }
}

#[test]
fn keys_from_columns_templates_and_the_data_itself() {
    let rows = batch(vec![
        ("customer", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![1, -2]))),
        ("at", Arc::new(Date32Array::from(vec![0, 1]))),
    ]);
    assert_eq!(keys(&by("customer"), &rows), ["a", "b"]);
    assert_eq!(keys(&by("at"), &rows), ["1970-01-01", "1970-01-02"]);
    assert_eq!(keys(&shape(KeyOf::Columns(vec!["customer".into(), "id".into()])), &rows), ["a|1", "b|-2"]);
    assert_eq!(keys(&shape(KeyOf::Template("{{{customer}}}-{id}".into())), &rows), ["{a}-1", "{b}--2"]);
    let schema = rows.schema().as_ref().clone();
    let named = HashMap::from([("shardarrow.keys".to_owned(), r#"["customer","id"]"#.to_owned())]);
    let named = rows.clone().with_schema(Arc::new(schema.with_metadata(named))).unwrap();
    assert_eq!(keys(&shape(KeyOf::Data), &named), ["a|1", "b|-2"]);
    let error = refusal(&shape(KeyOf::Data), &rows);
    assert!(error.message().contains("partition_key="), "{error}");
}

#[test]
fn a_record_of_a_stream_goes_back_as_it_was() {
    let rows = batch(vec![
        ("_partition_key", Arc::new(StringArray::from(vec!["p", "q"])) as ArrayRef),
        (
            "_explicit_hash_key",
            Arc::new(StringArray::from(vec![Some("340282366920938463463374607431768211455"), None])),
        ),
        ("data", Arc::new(BinaryArray::from(vec![&b"x"[..], &[0xff]]))),
    ]);
    let shape = Shape { payload: Payload::Column("data".into()), ..shape(KeyOf::Data) };
    let entries = entries(&shape, &rows).unwrap();
    assert_eq!((&*entries[0].partition_key, &entries[0].data[..]), ("p", &b"x"[..]));
    assert_eq!(entries[0].explicit_hash_key.as_deref(), Some("340282366920938463463374607431768211455"));
    assert_eq!(
        (&*entries[1].partition_key, &entries[1].data[..], &entries[1].explicit_hash_key),
        ("q", &[0xff][..], &None)
    );
}

#[test]
fn a_long_key_is_cut_at_a_character() {
    let long = "ä€😀".repeat(100);
    let rows = batch(vec![("k", Arc::new(StringArray::from(vec![long.as_str()])) as ArrayRef)]);
    let key = keys(&by("k"), &rows).remove(0);
    assert_eq!(key.chars().count(), 256);
    assert!(long.starts_with(&key));
}

#[test]
fn a_row_that_cannot_be_written_is_named() {
    let of = |array: ArrayRef| {
        batch(vec![("k", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef), ("x", array)])
    };
    let hash = |text: &str| {
        let shape = Shape { explicit_hash_key: Some("x".into()), ..by("k") };
        refusal(&shape, &of(Arc::new(StringArray::from(vec!["1", text]))))
    };
    let data = Shape { payload: Payload::Column("x".into()), ..by("k") };
    let texts = |second: Option<&str>| of(Arc::new(StringArray::from(vec![Some("a"), second])));
    let large = "x".repeat(1 << 20);
    let cases = [
        (refusal(&by("x"), &texts(None)), "is null and part of the partition key"),
        (refusal(&by("x"), &texts(Some(""))), "partition key is empty"),
        (refusal(&data, &texts(None)), "is null, and it is the data"),
        (
            refusal(&by("k"), &of(Arc::new(Float64Array::from(vec![1.0, f64::NAN])))),
            "\"x\" is not a finite number",
        ),
        (refusal(&by("k"), &of(Arc::new(Date32Array::from(vec![0, i32::MAX])))), "RFC 3339"),
        (refusal(&by("k"), &texts(Some(&large))), "but the stream takes at most 1048576"),
        (hash("-1"), "0 to 2**128 - 1"),
        (hash("+1"), "0 to 2**128 - 1"),
        (hash("340282366920938463463374607431768211456"), "0 to 2**128 - 1"),
        (hash("x"), "0 to 2**128 - 1"),
    ];
    for (error, reason) in cases {
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert!(error.message().starts_with("row 1: ") && error.message().contains(reason), "{error}");
    }
}

#[test]
fn columns_that_cannot_be_written_are_refused_before_any_row() {
    let durations: ArrayRef = Arc::new(DurationSecondArray::from(vec![1]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]));
    let k: ArrayRef = Arc::new(StringArray::from(vec!["k"]));
    let rows = batch(vec![("k", k.clone()), ("d", durations), ("l", lists)]);
    let of = |payload: &str| Shape { payload: Payload::Column(payload.into()), ..by("k") };
    let cases = [
        (by("k"), "column \"d\" has the type Duration"),
        (by("l"), "partition_key names the column \"l\""),
        (by("none"), "partition_key names the column \"none\", but the data has k, d, l"),
        (
            Shape { explicit_hash_key: Some("no".into()), ..by("k") },
            "explicit_hash_key names the column \"no\"",
        ),
        (of("l"), "must be binary or text"),
    ];
    for (shape, reason) in cases {
        let error = refusal(&shape, &rows);
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains(reason), "{error}");
    }
    let schema =
        Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("k", DataType::Utf8, true)]);
    let twice = RecordBatch::try_new(Arc::new(schema), vec![k.clone(), k]).unwrap();
    assert!(refusal(&by("k"), &twice).message().contains("two columns \"k\""));
}

#[test]
fn a_bad_row_of_a_source_is_named_by_its_record() {
    let shard: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::from_iter(["shardId-7", "shardId-7"]));
    let sequence: ArrayRef = Arc::new(StringArray::from(vec![Some("12:3"), None]));
    let user: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>, None]));
    let batch = batch(vec![("_shard", shard), ("_sequence", sequence), ("user", user)]);
    let error = refusal(&by("user"), &batch);
    assert!(error.message().starts_with("row 0 (the record 12:3 of shard shardId-7): \"user\""), "{error}");
    let error = refusal(&by("user"), &batch.slice(1, 1));
    assert!(error.message().starts_with("row 0: \"user\""), "{error}");
}
