//! Changes of a table: the columns of DynamoDB Streams, keys that are learned, one table only.

use super::super::properties::{in_pieces, items, joined, mode, page_of_items, written};
use super::*;
use proptest::prelude::*;

/// A change as DynamoDB sends it to Kinesis; `change` are further members of `dynamodb`.
pub(super) fn change(op: &str, time: &str, change: &str) -> String {
    format!(
        r#"{{"awsRegion":"eu-west-1","eventID":"e {op}","eventName":"{op}","userIdentity":null,"recordFormat":"application/json","tableName":"orders","dynamodb":{{"ApproximateCreationDateTime":{time},{change},"SizeBytes":1}},"eventSource":"aws:dynamodb"}}"#
    )
}

pub(super) fn inserted(attributes: &str) -> String {
    let comma = if attributes.is_empty() { "" } else { "," };
    let change_ =
        format!(r#""Keys":{{"id":{{"S":"k"}}}},"NewImage":{{"id":{{"S":"k"}}{comma}{attributes}}}"#);
    change("INSERT", "1700000000000", &change_)
}

pub(super) fn changes(all: &[String]) -> Page {
    deliveries(&all.iter().map(|change| change.as_bytes()).collect::<Vec<_>>())
}

fn reason(data: &str) -> String {
    let mut decoder = kinesis(CHANGES);
    let error = push_error(&mut *decoder, &deliveries(&[data.as_bytes()]));
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::BadRecord, Some(&Position::At(number("1")))),
        "{error}"
    );
    assert_eq!((decoder.rows(), (*decoder.schema_state()).clone()), (0, SchemaState::default()), "{data}");
    error.message().to_owned()
}

#[test]
fn the_unit_of_time_is_read_from_each_record() {
    let keys = r#""Keys":{"id":{"S":"k"}}"#;
    let micros = r#""ApproximateCreationDateTimePrecision":"MICROSECOND","Keys":{"id":{"S":"k"}}"#;
    let behind = r#""Keys":{"id":{"S":"k"}},"approximateCreationDateTimePrecision":"MICROSECOND""#;
    let millis = r#""Keys":{"id":{"S":"k"}},"ApproximateCreationDateTimePrecision":"MILLISECOND""#;
    let nothing = r#""Keys":{"id":{"S":"k"}},"ApproximateCreationDateTimePrecision":null"#;
    let all = [
        change("REMOVE", "1700000000001", keys),
        change("REMOVE", "1700000000000002", micros),
        change("REMOVE", "1700000000000003", behind),
        change("REMOVE", "1700000000004", millis),
        change("REMOVE", "1.700000000005E12", nothing),
        change("REMOVE", "null", micros),
        change("REMOVE", "\"2023-11-14T22:13:20.000007Z\"", keys),
    ];
    let mut decoder = kinesis(CHANGES);
    let pushed = push(&mut *decoder, &changes(&all));
    // Retention is counted from the arrival.
    assert_eq!(pushed.newest, Some(7500));
    let batch = decoder.flush().unwrap();
    let times = ["20.001", "20.000002", "20.000003", "20.004", "20.005", "", "20.000007"];
    let times =
        times.map(|time| if time.is_empty() { "-".to_owned() } else { format!("2023-11-14T22:13:{time}") });
    assert_eq!(column(&batch, "_time"), times);
    assert_eq!(column(&batch, "_sequence"), ["1", "2", "3", "4", "5", "6", "7"]);
    for (time, member, part) in [
        ("1", r#""ApproximateCreationDateTimePrecision":"NANOSECOND""#, "NANOSECOND"),
        ("1", r#""ApproximateCreationDateTimePrecision":6"#, "a string"),
        ("true", r#""SizeBytes":1"#, "a time"),
        ("99999999999999999999", r#""SizeBytes":1"#, "is not a time"),
        ("1,\"ApproximateCreationDateTime\":2", r#""SizeBytes":1"#, "twice"),
    ] {
        let reason = reason(&change("REMOVE", time, &format!("{keys},{member}")));
        assert!(reason.contains(part), "{reason}");
    }
}

/// What reads DynamoDB Streams and puts the records into Kinesis keeps their form and their seconds.
#[test]
fn records_of_dynamodb_streams_have_seconds() {
    let streams = record("REMOVE", 77, r#""Keys":{"id":{"S":"k"}}"#);
    let micros = streams.replace("SizeBytes\":1", r#"ApproximateCreationDateTimePrecision":"MICROSECOND""#);
    let mut decoder = kinesis(CHANGES);
    push(
        &mut *decoder,
        &changes(&[streams.clone(), streams.replace("1700000000", "1.7000000005E9"), micros]),
    );
    let batch = decoder.flush().unwrap();
    let times = ["2023-11-14T22:13:20", "2023-11-14T22:13:20.500", "1970-01-01T00:28:20"];
    assert_eq!(column(&batch, "_time"), times);
    assert_eq!(column(&batch, "_sequence"), ["1", "2", "3"]);
}

#[test]
fn what_arrived_before_the_start_is_left_out_whenever_it_was_made() {
    let page = changes(&[inserted(""), inserted(""), inserted("")]);
    let skip = Skip { created_before: Some(2000), through: None };
    let mut decoder = kinesis(CHANGES);
    let pushed = decoder.push(&page, page.records.start, ALL, &skip).unwrap();
    assert_eq!(
        (pushed.skipped, column(&decoder.flush().unwrap(), "_sequence")),
        (1, vec!["2".to_owned(), "3".to_owned()])
    );
}

#[test]
fn deletes_by_time_to_live_are_told() {
    let service = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;
    let text = change("REMOVE", "1", r#""Keys":{"id":{"S":"k"}}"#);
    let mut decoder = kinesis(CHANGES);
    push(
        &mut *decoder,
        &changes(&[text.replace("\"userIdentity\":null", &format!("\"userIdentity\":{service}")), text]),
    );
    assert_eq!(column(&decoder.flush().unwrap(), "_ttl"), ["true", "false"]);
}

#[test]
fn keys_are_learned_from_the_first_change_and_kept() {
    let first = r#""NewImage":{"b":{"N":"1.5"},"x":{"S":"y"},"a":{"B":"AAE="}},"Keys":{"b":{"N":"1.5"},"a":{"B":"AAE="}}"#;
    let next = r#""Keys":{"a":{"B":"AAE="},"b":{"N":"2"}}"#;
    let mut decoder = kinesis(CHANGES);
    push(&mut *decoder, &changes(&[change("INSERT", "1", first)]));
    assert_eq!(words(&*decoder), ["b: decimal128(38,9)", "a: binary", "x: utf8"]);
    let state = decoder.schema_state();
    assert_eq!(state.keys, [key("b", KeyKind::Number), key("a", KeyKind::Binary)]);
    let batch = decoder.flush().unwrap();
    assert_eq!(batch.schema().metadata()[KEYS_MARK], r#"["b","a"]"#);
    assert!(!batch.schema().field_with_name("a").unwrap().is_nullable());

    let saved: SchemaState = serde_json::from_str(&serde_json::to_string(&*state).unwrap()).unwrap();
    let same = [key("a", KeyKind::Binary), key("b", KeyKind::Number)];
    for keys in [&[][..], &same[..]] {
        let mut resumed = super::super::decoder(&options(CHANGES), keys, Some(&saved)).unwrap();
        assert_eq!(resumed.schema_state(), state);
        push(&mut *resumed, &changes(&[change("REMOVE", "1", next)]));
        let batch = resumed.flush().unwrap();
        assert_eq!(batch.schema().metadata()[KEYS_MARK], r#"["b","a"]"#);
        assert_eq!(
            (column(&batch, "b"), column(&batch, "a")),
            (vec!["2.000000000".to_owned()], vec!["0001".to_owned()])
        );
    }
    for keys in [vec![key("a", KeyKind::Binary)], vec![key("a", KeyKind::Text), key("b", KeyKind::Number)]] {
        let error = super::super::decoder(&options(CHANGES), &keys, Some(&saved)).err().unwrap();
        assert!(error.kind() == ErrorKind::Usage && error.message().contains("[\"b\", \"a\"]"), "{error}");
    }
}

#[test]
fn keys_that_are_given_are_not_learned() {
    let keys = [key("b", KeyKind::Number), key("a", KeyKind::Text)];
    let mut decoder = super::super::decoder(&options(CHANGES), &keys, None).unwrap();
    assert_eq!(decoder.schema_state().keys, keys);
    let both = r#""Keys":{"a":{"S":"x"},"b":{"N":"1"}}"#;
    let other = r#""Keys":{"a":{"S":"x"}}"#;
    push(&mut *decoder, &changes(&[change("REMOVE", "1", both)]));
    assert_eq!(names(&decoder.flush().unwrap())[6..8], ["b", "a"]);
    let error = push_error(&mut *decoder, &changes(&[change("REMOVE", "1", other)]));
    assert!(error.message().contains("\"b\" is missing"), "{error}");
}

#[test]
fn a_bad_change_teaches_nothing() {
    let wrong = r#""Keys":{"wrong":{"S":"k"}}"#;
    let bad = [
        change("UPSERT", "1", wrong),
        change("INSERT", "1", &format!(r#"{wrong},"NewImage":{{"x":{{"X":1}}}}"#)),
        change("INSERT", "1", &format!(r#"{wrong},"NewImage":{{"x":{{"S":"1"}},"x":{{"S":"2"}}}}"#)),
        format!("{}1", change("REMOVE", "1", wrong)),
        change("INSERT", "1", r#""NewImage":{"x":{"S":"1"}}"#),
    ];
    let all: Vec<String> = bad.into_iter().chain([inserted(r#""x":{"N":"1"}"#)]).collect();
    let mut decoder = kinesis(&keeping(CHANGES));
    let pushed = push(&mut *decoder, &changes(&all));
    assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 5));
    assert_eq!(words(&*decoder), ["id: utf8", "x: int64"]);
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "x"), ["1"]);
    // Nor does a page that is damaged behind it.
    let mut decoder = kinesis(CHANGES);
    let page = page(&format!("{},", delivery(1, inserted("").as_bytes())));
    assert_eq!(push_error(&mut *decoder, &page).kind(), ErrorKind::BadPage);
    assert_eq!(*decoder.schema_state(), SchemaState::default());
    let other = inserted("").replace("orders", "others").replace("\"id\"", "\"key\"");
    push(&mut *decoder, &changes(&[other]));
    assert_eq!(words(&*decoder), ["key: utf8"]);
}

#[test]
fn what_is_no_change_is_a_bad_record() {
    let keys = r#""Keys":{"id":{"S":"k"}}"#;
    for (data, part) in [
        (String::new(), "empty"),
        ("[]".to_owned(), "an array"),
        ("{}".to_owned(), "no change of a table"),
        (r#"{"id":1}"#.to_owned(), "no change of a table"),
        ("{\"dynamodb\":{}}".to_owned(), "no change of a table"),
        (change("REMOVE", "1", r#""x":1"#), "it has no Keys"),
        (change("REMOVE", "1", r#""Keys":{}"#), "0 keys"),
        (change("REMOVE", "1", r#""Keys":{"a":{"S":""},"b":{"S":""},"c":{"S":""}}"#), "3 keys"),
        (change("REMOVE", "1", r#""Keys":{"a":{"BOOL":true}}"#), "\"a\""),
        (change("REMOVE", "1", r#""Keys":{"a":{"N":"x"}}"#), "\"a\""),
        (change("REMOVE", "1", r#""Keys":{"a":{"S":"x"},"a":{"S":"y"}}"#), "twice"),
        (change("REMOVE", "1", r#""Keys":{"_op":{"S":"x"}}"#), "metadata_prefix"),
        (change("REMOVE", "1", &format!(r#"{keys},"NewImage":{{}}"#)), "new image"),
        (change("INSERT", "1", keys).replace(r#""eventName":"INSERT","#, ""), "eventName"),
        (change("INSERT", "1", keys).replace(r#""orders""#, "1"), "a string"),
        (change("REMOVE", "1", keys) + "{}", "more"),
        (change("REMOVE", "1", keys).replace("{\"S\"", "{\"S"), "not JSON"),
        (change("REMOVE", "1", keys).replace(':', ""), "not JSON"),
    ] {
        let reason = reason(&data);
        assert!(reason.contains(part), "{data}: {reason}");
    }
}

#[test]
fn the_changes_of_two_tables_do_not_become_one_in_silence() {
    let other = inserted("").replace("orders", "others");
    let mut decoder = kinesis(CHANGES);
    let page = changes(&[inserted(""), inserted(""), other.clone(), inserted("")]);
    let pushed = push(&mut *decoder, &page);
    assert_eq!((pushed.rows, pushed.last), (2, Some(number("2"))));
    let error = decoder.push(&page, pushed.rest.unwrap(), ALL, &Skip::default()).unwrap_err();
    for part in ["\"others\"", "\"orders\"", "changes_of="] {
        assert!(error.message().contains(part), "{error}");
    }
    // Nothing can be said where nothing is said.
    let mut decoder = kinesis(CHANGES);
    push(&mut *decoder, &changes(&[inserted(""), inserted("").replace("tableName", "name"), inserted("")]));
    assert_eq!(decoder.rows(), 3);

    let mut decoder = kinesis(r#"{"format":"dynamodb","changes_of":"orders"}"#);
    let bad = other.replace("INSERT", "UPSERT").replace("\"id\"", "\"key\"");
    let parts = [other.as_bytes(), inserted("").as_bytes()].map(<[u8]>::to_vec);
    let parts = aggregate(&[&parts[0], &parts[1]]);
    let data: Vec<&[u8]> = vec![bad.as_bytes(), other.as_bytes(), &parts];
    let pushed = push(&mut *decoder, &deliveries(&data));
    assert_eq!((pushed.rows, pushed.skipped, pushed.last), (1, 3, Some(number("3"))));
    assert_eq!(decoder.counts(), Counts { aggregates: 1, other_tables: 3, ..Counts::default() });
    assert_eq!(column(&decoder.flush().unwrap(), "_sequence"), ["3:1"]);
}

#[test]
fn a_checkpoint_of_another_format_is_refused() {
    let mut json = kinesis(r#"{"format":"json"}"#);
    push(&mut *json, &deliveries(&[br#"{"id":"x"}"#]));
    for state in [json.schema_state(), kinesis(BYTES).schema_state()] {
        let error = decoder(&options(CHANGES), &[], Some(&state)).err().unwrap();
        assert!(error.kind() == ErrorKind::Usage && error.message().contains("format="), "{error}");
    }
    let mut learned = kinesis(CHANGES);
    push(&mut *learned, &changes(&[inserted("")]));
    for other in [r#"{"format":"json"}"#, BYTES] {
        let error = decoder(&options(other), &[], Some(&learned.schema_state())).err().unwrap();
        assert!(error.message().contains("another format="), "{error}");
    }
    let images = kinesis(r#"{"format":"dynamodb","images":"json"}"#).schema_state();
    assert!(decoder(&options(CHANGES), &[], Some(&images)).is_err());
}

#[test]
fn a_declared_schema_stands_behind_the_keys_that_are_learned() {
    let json = r#"{"format":"dynamodb","schema":[{"name":"n","type":"int32"},{"name":"id","type":"utf8"}]}"#;
    let mut decoder = kinesis(json);
    push(&mut *decoder, &changes(&[inserted(r#""n":{"N":"7"},"o":{"S":"x"}"#)]));
    assert_eq!(words(&*decoder), ["id: utf8", "n: int32"]);
    let state = decoder.schema_state();
    assert_eq!(*super::super::decoder(&options(json), &[], Some(&state)).unwrap().schema_state(), *state);
    assert_eq!(column(&decoder.flush().unwrap(), "_rest"), [r#"{"o":{"S":"x"}}"#]);
}

#[test]
fn scanned_items_stand_beside_changes() {
    let page = super::super::items::scanned(&super::super::items::item("k", r#""a":{"N":"1"}"#));
    let mut decoder = super::super::decoder(&options(CHANGES), &[key("id", KeyKind::Text)], None).unwrap();
    decoder.push_items(&page, page.items.start, ALL).unwrap();
    push(&mut *decoder, &changes(&[inserted(r#""a":{"N":"2"}"#)]));
    let batch = decoder.flush().unwrap();
    assert_eq!(
        (column(&batch, "_op"), column(&batch, "a")),
        (vec!["snapshot".to_owned(), "insert".to_owned()], vec!["1".to_owned(), "2".to_owned()])
    );
    let error = kinesis(CHANGES).push_items(&page, page.items.start, ALL).unwrap_err();
    assert!(error.message().contains("keys"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The same items through Kinesis as through DynamoDB Streams: the same columns.
    #[test]
    fn both_channels_give_the_same_columns(items in items(8), json in mode(), pieces in prop::collection::vec(1usize..4, 1..4)) {
        let mut streams = decoder_with(json);
        push(&mut *streams, &page_of_items(&items));
        let images = items.iter().map(|item| {
            let attributes = written(item);
            inserted(&attributes[1..attributes.len() - 1])
        });
        let page = changes(&images.collect::<Vec<_>>());
        let mut decoder = kinesis(&json.replace('{', r#"{"format":"dynamodb","#).replace(",}", "}"));
        let found = in_pieces(&mut *decoder, &page, &pieces);
        prop_assert_eq!(&decoder.schema_state().columns, &streams.schema_state().columns);
        let expected = streams.flush().unwrap();
        prop_assert_eq!(found.schema(), expected.schema());
        for place in [0].into_iter().chain(6..expected.num_columns()) {
            prop_assert_eq!(found.column(place), expected.column(place));
        }
    }

    /// A byte changed anywhere in the data never touches the page, and leaves sound columns.
    #[test]
    fn damage_of_a_change_is_noticed_or_harmless(items in items(4), json in mode(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let all = joined(items.iter().map(written)).replace('\n', " ");
        let mut data = inserted(&format!(r#""all":{{"L":[{}]}}"#, joined(items.iter().map(|item| format!(r#"{{"M":{}}}"#, written(item)))))).into_bytes();
        let at = at.index(data.len());
        data[at] = byte;
        let mut decoder = kinesis(&keeping(&json.replace('{', r#"{"format":"dynamodb","#).replace(",}", "}")));
        let pushed = push(&mut *decoder, &deliveries(&[inserted("").as_bytes(), &data, inserted("").as_bytes()]));
        prop_assert_eq!(pushed.rows + pushed.quarantined.len(), 3, "{}", all);
        check(&decoder.flush().unwrap());
    }
}
