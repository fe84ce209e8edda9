//! Changes as they were seen in Kinesis streams, and as other projects wrote them down.

use super::*;
use serde_json::value::RawValue;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Around {
    partition_key: String,
    sequence_number: String,
    approximate_arrival_timestamp: Box<RawValue>,
}

#[derive(serde::Deserialize)]
struct Wrapped {
    kinesis_envelope: Around,
    data: Box<RawValue>,
}

/// The sample as one record of a page, in its own envelope where it has one.
fn sample(name: &str) -> Page {
    let path = format!("{}/tests/data/kinesis/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let Ok(Wrapped { kinesis_envelope: around, data }) = serde_json::from_str(&text) else {
        return deliveries(&[text.as_bytes()]);
    };
    page(&format!(
        r#"{{"PartitionKey":"{}","SequenceNumber":"{}","ApproximateArrivalTimestamp":{},"Data":"{}"}}"#,
        around.partition_key,
        around.sequence_number,
        around.approximate_arrival_timestamp,
        base64(data.get().as_bytes())
    ))
}

fn decode_sample(name: &str, json: &str) -> RecordBatch {
    let mut decoder = kinesis(&json.replacen('{', r#"{"format":"dynamodb","#, 1).replace(",}", "}"));
    let pushed = push(&mut *decoder, &sample(name));
    assert_eq!(pushed.rows, 1);
    let batch = decoder.flush().unwrap();
    check(&batch);
    batch
}

/// The only row: each column that is not null, with its name; `_shard` aside.
fn row(name: &str, json: &str) -> Vec<String> {
    let batch = decode_sample(name, json);
    let cells = names(&batch).into_iter().map(|name| (column(&batch, &name).remove(0), name));
    let cells = cells.filter(|(value, name)| value != "-" && name != "_shard");
    cells.map(|(value, name)| format!("{name}: {value}")).collect()
}

fn assert_row(name: &str, json: &str, expected: &[&str]) {
    assert_eq!(row(name, json), expected, "{name}");
}

const ID: &str = "id: 5F9E-Fsadd41C-4C92-A8C1-70BF3FFB9266";

#[test]
fn milliseconds_where_nothing_is_said_of_precision() {
    assert_row(
        "businfo_ms_no_precision",
        "{}",
        &[
            "_op: insert",
            "_time: 2022-04-14T09:54:08.474",
            "_sequence: 49628566489653659107048838082246518393102916603510521906",
            "_event_id: 6f773704-d244-414f-9590-5e9e9045409d",
            "_ttl: false",
            "Timestamp: 1649930048",
            "RouteId: 222000076",
            "RemainSeatCnt: 44",
            "PlateNo: 경기74아3844",
            "PredictTime: 19",
        ],
    );
    let pushed = push(&mut *kinesis(CHANGES), &sample("businfo_ms_no_precision"));
    assert_eq!(pushed.newest, Some(1_649_930_049_016));
    assert_row(
        "powertools_ms_no_precision",
        "{}",
        &[
            "_op: insert",
            "_time: 2024-11-18T10:09:15.370",
            "_sequence: 49657828409187701520019995242508390119953358325192589314",
            "_event_id: d9428029-0f63-4056-86da-ce10d545b1b9",
            "_ttl: false",
            "id: record-1qit2y819gi",
            "data: data-x6aq7ckdpgk",
        ],
    );
    assert_row(
        "modify_ms",
        r#"{"old_image":true}"#,
        &[
            "_op: modify",
            "_time: 2022-08-15T21:31:31.658",
            "_sequence: 1",
            "_event_id: fd3993fb-b46d-43f6-a817-e2270e727ef9",
            "_ttl: false",
            "entity: question",
            "id: question#1",
            "content: Napoleon? 2",
            "_old: {entity: question, id: question#1, content: Napoleon?, _rest: -}",
        ],
    );
}

#[test]
fn every_type_with_microseconds() {
    assert_row(
        "clickhouse_docs_all_types",
        "{}",
        &[
            "_op: insert",
            "_time: 2024-06-25T20:38:10.250647",
            "_sequence: 1",
            "_event_id: 5a88419c-468a-4ac4-8bad-7f832caf7345",
            "_ttl: false",
            "id: some-partition-key",
            "number set: [0, 1]",
            "number: 10",
            "binary set: [31333231, 31343331]",
            "string: some-string",
            r#"map: {"a":"some-string","b":0}"#,
            "boolean: false",
            "string set: [some-string-1, some-string-2]",
            "binary: 31333231",
            r#"list: ["some-string-1",13]"#,
            "_rest: {\"null\":{\n    \"NULL\": true\n   }}",
        ],
    );
}

#[test]
fn inserts_with_bare_numbers() {
    assert_row(
        "codec_msg_insert_basic",
        "{}",
        &[
            "_op: insert",
            "_time: 2024-07-11T23:23:53.012995",
            "_sequence: 1",
            "_event_id: b015b5f0-c095-4b50-8ad0-4279aa3d88c6",
            "_ttl: false",
            ID,
            "humidity: 84.840000000",
            "temperature: 42.420000000",
            "device: foo",
            "timestamp: 2024-07-12T01:17:42",
            "string_set: [location_1]",
            "number_set: [1, 2, 3, 4]",
            "binary_set: [53756e6e79]",
        ],
    );
    let nested = [
        "_op: insert",
        "_time: 2024-07-12T16:03:19.717446",
        "_sequence: 1",
        "_event_id: b581c2dc-9d97-44ed-94f7-cb77e4fdb740",
        "_ttl: false",
        ID,
        r#"data: {"temperature":42.42,"humidity":84.84}"#,
        r#"meta: {"timestamp":"2024-07-12T01:17:42","device":"foo"}"#,
        "string_set: [location_1]",
        "number_set: [1.000000000, 2.000000000, 3.000000000, 0.340000000]",
        "binary_set: [53756e6e79]",
        r#"somemap: {"test":1,"test2":2}"#,
    ];
    assert_row("codec_msg_insert_nested", "{}", &nested);
    assert_row("ctk_insert_nested", "{}", &[&nested[..], &["tombstone: foo"]].concat());
    let found = row("codec_msg_insert_nested", r#"{"nested":"struct"}"#);
    assert_eq!(found[6], "data: {temperature: 42.420000000, humidity: 84.840000000}");
}

/// Written by hand: a string that is null, and numbers without quotes.
#[test]
fn a_modification_with_a_null_for_a_string() {
    assert_row(
        "codec_msg_modify_basic",
        r#"{"old_image":true,"columns":["temperature","empty_string","null_string","location"]}"#,
        &[
            "_op: modify",
            "_time: 2024-07-11T23:58:22.233719",
            "_sequence: 1",
            "_event_id: 24757579-ebfd-480a-956d-a1287d2ef707",
            "_ttl: false",
            ID,
            "temperature: 55.660000000",
            "location: Sydney",
            "empty_string: ",
            "_old: {id: -, temperature: 42.420000000, location: Sydney, empty_string: -, _rest: -}",
            "_rest: {\"null_string\":{\n    \"S\": null\n   }}",
        ],
    );
}

#[test]
fn modifications_of_maps_and_lists() {
    let nested = [
        "_op: modify",
        "_time: 2024-07-11T23:58:22.233719",
        "_sequence: 1",
        "_event_id: 24757579-ebfd-480a-956d-a1287d2ef707",
        "_ttl: false",
        ID,
        "device: foo",
        r#"tags: ["foo","bar"]"#,
        "empty_map: {}",
        "empty_list: []",
        "timestamp: 2024-07-12T01:17:42",
        "string_set: [location_1]",
        "number_set: [1.000000000, 2.000000000, 3.000000000, 0.340000000]",
        "binary_set: [53756e6e79]",
        r#"somemap: {"test":1,"test2":2}"#,
        r#"list_of_objects: [{"foo":"bar"},{"baz":"qux"}]"#,
    ];
    assert_row("codec_msg_modify_nested", "{}", &nested);
    let mut other = nested;
    other[6] = r#"device: {"id":"bar","serial":12345}"#;
    assert_row("ctk_modify_nested", "{}", &other);

    // Of a kind that the column has not: the old device was a map.
    let batch = decode_sample("codec_msg_modify_nested", r#"{"old_image":true}"#);
    let old = batch.column_by_name("_old").unwrap().as_struct();
    let rest = old.column_by_name("_rest").unwrap().as_string::<i32>().value(0).to_owned();
    assert_eq!(
        rest.split_whitespace().collect::<String>(),
        r#"{"device":{"M":{"id":{"S":"bar"},"serial":{"N":12345}}}}"#
    );
}

/// Its old image has a remark in the place of an attribute: no record of DynamoDB.
#[test]
fn a_remark_in_an_old_image_is_noticed_where_the_image_is_asked_for() {
    let mut decoder = kinesis(r#"{"format":"dynamodb","old_image":true}"#);
    let error = push_error(&mut *decoder, &sample("ctk_modify_nested"));
    assert!(error.message().contains("\"NOTE\"") && error.message().contains("does not match"), "{error}");
    assert_eq!(*decoder.schema_state(), SchemaState::default());
}

#[test]
fn a_removal_has_its_keys_and_its_old_image() {
    let expected = [
        "_op: remove",
        "_time: 2024-07-11T23:58:41.848352",
        "_sequence: 1",
        "_event_id: ff4e68ab-0820-4a0c-80b2-38753e8e00e5",
        "_ttl: false",
        ID,
    ];
    assert_row("codec_msg_remove", "{}", &expected);
    let old = row("codec_msg_remove", r#"{"old_image":true}"#).pop().unwrap();
    assert_eq!(
        old,
        "_old: {id: 5F9E-Fsadd41C-4C92-A8C1-70BF3FFB9266, humidity: 84.840000000, temperature: 55.660000000, device: bar, \
         timestamp: 2024-07-12T01:17:42, string_set: [location_1], number_set: [1.000000000, 2.000000000, 3.000000000, \
         0.340000000], binary_set: [53756e6e79], somemap: {\"test\":1,\"test2\":2}, _rest: -}"
    );
}

#[test]
fn images_as_they_came() {
    let batch = decode_sample("codec_msg_modify_basic", r#"{"images":"json"}"#);
    let image = column(&batch, "new_image").remove(0);
    let image: serde_json::Value = serde_json::from_str(&image).unwrap();
    assert_eq!(image["number_set"]["NS"][3].to_string(), "0.34");
    assert_eq!(image["null_string"]["S"], serde_json::Value::Null);
    assert!(column(&batch, "keys")[0].contains("5F9E-Fsadd41C"));
    assert!(column(&batch, "old_image")[0].contains("42.42"));
}
