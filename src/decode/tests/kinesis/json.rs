//! Records as JSON objects: columns as of items, exact digits, and what is no object.

use super::super::properties::{Item, Value, in_pieces, items, joined, mode, page_of_items, quoted};
use super::*;
use proptest::prelude::*;

const JSON: &str = r#"{"format":"json"}"#;

fn with(json: &str, format: &str) -> String {
    json.replace('{', &format!(r#"{{"format":"{format}","#)).replace(",}", "}")
}

fn objects(objects: &[&str]) -> Page {
    deliveries(&objects.iter().map(|object| object.as_bytes()).collect::<Vec<_>>())
}

fn decode_objects(json: &str, data: &[&str]) -> RecordBatch {
    let mut decoder = kinesis(json);
    push(&mut *decoder, &objects(data));
    let batch = decoder.flush().unwrap();
    check(&batch);
    batch
}

fn reason(data: &[u8]) -> String {
    let error = push_error(&mut *kinesis(JSON), &deliveries(&[data]));
    assert_eq!(error.kind(), ErrorKind::BadRecord, "{error}");
    assert_eq!(error.position(), Some(&Position::At(number("1"))));
    error.message().to_owned()
}

#[test]
fn members_are_columns() {
    let batch = decode_objects(
        JSON,
        &[
            " { \"s\" : \"a\\n\\u00e9\" , \"n\" : 1 , \"t\" : true , \"x\" : null , \"m\" : { \"k\" : 1.50 , \"l\" : [ ] } , \"l\" : [ 1 , \"x\" , null ] }\n",
            "\u{feff}{\"n\":-2,\"t\":false,\"S\":\"S\"}",
            "{}",
        ],
    );
    let expected = [
        "_op",
        "_time",
        "_shard",
        "_sequence",
        "_partition_key",
        "_explicit_hash_key",
        "s",
        "n",
        "t",
        "m",
        "l",
        "S",
        "_rest",
    ];
    assert_eq!(names(&batch), expected);
    assert_eq!(batch.schema().metadata()["shardarrow.keys"], "[]");
    assert_eq!(column(&batch, "_op"), ["put"; 3]);
    assert_eq!(column(&batch, "_partition_key"), ["key 1", "key 2", "key 3"]);
    assert_eq!(column(&batch, "s"), ["a\né", "-", "-"]);
    assert_eq!(column(&batch, "n"), ["1", "-2", "-"]);
    assert_eq!(column(&batch, "t"), ["true", "false", "-"]);
    assert_eq!(column(&batch, "m"), [r#"{"k":1.50,"l":[]}"#, "-", "-"]);
    assert_eq!(column(&batch, "l"), [r#"[1,"x",null]"#, "-", "-"]);
    assert_eq!(column(&batch, "_rest"), [r#"{"x":null}"#, "-", "-"]);
    let schema = batch.schema();
    assert_eq!(schema.field_with_name("m").unwrap().metadata()[JSON_MARK], "true");
}

#[test]
fn an_object_that_looks_like_an_attribute_value_is_an_object() {
    let batch = decode_objects(JSON, &[r#"{"a":{"S":"x"},"S":{"N":"1"}}"#]);
    assert_eq!(column(&batch, "a"), [r#"{"S":"x"}"#]);
    assert_eq!(column(&batch, "S"), [r#"{"N":"1"}"#]);
    // Also where the column is what such an attribute value would be, and where nothing is looked at.
    for (first, like) in [
        ("\"x\"", r#"{"S":"y"}"#),
        ("1", r#"{"N":"2"}"#),
        ("true", r#"{"BOOL":true}"#),
        ("[{}]", r#"{"L":[]}"#),
    ] {
        let data =
            [format!("{{\"a\":{first}}}"), format!("{{\"a\":{like}, \"m\":{{\"b\":[{like},{like}]}}}}")];
        let data = data.each_ref().map(String::as_str);
        let batch = decode_objects(JSON, &data);
        let expected = if first == "[{}]" { like } else { "-" };
        assert_eq!(column(&batch, "a")[1], expected);
        assert_eq!(column(&batch, "m")[1], format!("{{\"b\":[{like},{like}]}}"));
        let batch = decode_objects(r#"{"format":"json","columns":["m"]}"#, &data);
        assert_eq!(column(&batch, "m")[1], format!("{{\"b\":[{like},{like}]}}"));
    }
    let batch =
        decode_objects(r#"{"format":"json","nested":"struct"}"#, &[r#"{"a":{"S":"x","M":[{"L":1}]}}"#]);
    assert_eq!(column(&batch, "a"), ["{S: x, M: [{L: 1}]}"]);
}

#[test]
fn numbers_widen_and_keep_their_digits() {
    let long = "12345678901234567890123456789012345678";
    for (next, kind, expected) in [
        ("2", "int64", ["1", "2"]),
        ("2.0", "int64", ["1", "2"]),
        ("2e3", "int64", ["1", "2000"]),
        ("2.25", "decimal128(38,9)", ["1.000000000", "2.250000000"]),
        ("9223372036854775808", "decimal128(38,9)", ["1.000000000", "9223372036854775808.000000000"]),
        (long, "number", ["1", long]),
        ("1.5e-20", "number", ["1", "0.000000000000000000015"]),
    ] {
        let mut decoder = kinesis(JSON);
        push(&mut *decoder, &objects(&[r#"{"n":1}"#, &format!("{{\"n\":{next}}}")]));
        assert_eq!(words(&*decoder), [format!("n: {kind}")]);
        assert_eq!(column(&decoder.flush().unwrap(), "n"), expected, "{next}");
    }
    let batch = decode_objects(r#"{"format":"json","numbers":"float64"}"#, &[r#"{"n":0.1}"#]);
    assert_eq!(column(&batch, "n"), ["0.1"]);
}

#[test]
fn numbers_that_no_column_holds_stand_as_they_came_in_the_rest() {
    let huge = ["1e-200", "1E400", "-0.1234567890123456789012345678901234567890123", &"9".repeat(60)];
    for number in huge {
        let data = format!(r#"{{"n":{number},"m":{{"a":[{number}]}}}}"#);
        let mut decoder = kinesis(JSON);
        push(&mut *decoder, &objects(&[r#"{"n":1}"#, &data]));
        assert_eq!(decoder.counts().unfit, 1);
        assert!(decoder.take_notices()[0].contains("type number"));
        let batch = decoder.flush().unwrap();
        assert_eq!(column(&batch, "n"), ["1", "-"]);
        assert_eq!(column(&batch, "m"), ["-".to_owned(), format!(r#"{{"a":[{number}]}}"#)]);
        assert_eq!(column(&batch, "_rest"), ["-".to_owned(), format!(r#"{{"n":{number}}}"#)]);
        let batch = decode_objects(r#"{"format":"json","nested":"struct"}"#, &[&data]);
        assert_eq!(column(&batch, "_rest"), [data]);
    }
}

#[test]
fn other_kinds_stand_as_they_came_in_the_rest() {
    let mut decoder = kinesis(JSON);
    push(
        &mut *decoder,
        &objects(&[
            r#"{"a":1}"#,
            r#"{"a":"x", "b":"y"}"#,
            r#"{"a":{ "z" : 1.50 }}"#,
            r#"{"a":null}"#,
            r#"{"":7}"#,
        ]),
    );
    assert_eq!(
        (words(&*decoder), decoder.counts().unfit),
        (vec!["a: int64".to_owned(), "b: utf8".to_owned()], 3)
    );
    let notices = decoder.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("type string"), "{notices:?}");
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "a"), ["1", "-", "-", "-", "-"]);
    assert_eq!(
        column(&batch, "_rest"),
        ["-", r#"{"a":"x"}"#, r#"{"a":{ "z" : 1.50 }}"#, r#"{"a":null}"#, r#"{"":7}"#]
    );
}

#[test]
fn names_of_metadata_columns_and_names_too_many_stand_in_the_rest() {
    let mut decoder = kinesis(r#"{"format":"json","max_columns":1}"#);
    let object = r#"{"_partition_key":"x","_event_id":"e","_op":1,"data":"d"}"#;
    push(&mut *decoder, &objects(&[object]));
    let batch = decoder.flush().unwrap();
    // A name that means nothing here is free.
    assert_eq!(column(&batch, "_event_id"), ["e"]);
    assert_eq!(column(&batch, "_rest"), [r#"{"_partition_key":"x","_op":1,"data":"d"}"#]);
    assert_eq!(decoder.take_notices().len(), 3);
}

#[test]
fn data_that_is_not_one_object_is_a_bad_record_that_says_what_to_do() {
    for (data, parts) in [
        (&b""[..], ["empty", "bytes"]),
        (b" \r\n", ["empty", "bytes"]),
        (b"[{}]", ["an array", "one object a record"]),
        (b"5", ["not a JSON object", "bytes"]),
        (b"\"{}\"", ["not a JSON object", "bytes"]),
        (b"null", ["not a JSON object", "bytes"]),
        (b"hello", ["not a JSON object", "bytes"]),
        (b"{}{}", ["at byte 2", "one object a record"]),
        (b"{\"a\":1}\n{\"a\":2}\n", ["at byte 8", "one object a record"]),
        (b"{} null", ["at byte 3", "one object a record"]),
        (b"{\"a\":1", ["not JSON", "at byte 6"]),
        (b"{\"a\" 1}", ["not JSON", "a colon"]),
        (b"{\"a\":01}", ["not JSON", "byte 6"]),
        (b"{\"a\":nan}", ["not JSON", "byte 5"]),
        (b"{\"a\":\"\t\"}", ["not JSON", "control character"]),
        (b"{'a':1}", ["not JSON", "a name in quotes"]),
        (b"{\"a\":1,\"a\":2}", ["\"a\"", "twice"]),
        (b"{\"m\":{\"a\":1,\"\\u0061\":2}}", ["\"a\"", "twice"]),
        (b"{\"a\":\"\\ud800\"}", ["surrogate", "\"a\""]),
        (b"{\"a\":\"\xff\"}", ["not UTF-8", "bytes"]),
        (b"\x1f\x8b\x08\0\0\0\0\0", ["gzip", "bytes"]),
        (&sealed(b"\x0a"), ["aggregate", "middle of a field"]),
    ] {
        let reason = reason(data);
        for part in parts {
            assert!(reason.contains(part), "{}: {reason}", String::from_utf8_lossy(data));
        }
    }
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(reason(deep(33).as_bytes()).contains("32 levels"));
    assert!(reason(deep(100_000).as_bytes()).contains("32 levels"));
    decode_objects(JSON, &[&deep(32)]);
}

#[test]
fn a_broken_aggregate_is_no_object_and_is_counted() {
    let mut data = aggregate(&[b"{}"]);
    *data.last_mut().unwrap() ^= 1;
    let mut decoder = kinesis(&keeping(JSON));
    let pushed = push(&mut *decoder, &deliveries(&[&data, b"{}"]));
    assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 1));
    assert_eq!(pushed.quarantined[0].raw, delivery(1, &data).as_bytes());
    assert_eq!(decoder.counts().broken_aggregates, 1);
}

#[test]
fn declared_columns_convert_or_refuse() {
    let json = r#"{"format":"json","schema":[{"name":"at","type":"timestamp(ms)"},{"name":"n","type":"decimal128(5,2)"},
        {"name":"l","type":"list<int64>"},{"name":"s","type":"struct<a:utf8>"},{"name":"j","type":"json"}]}"#;
    let batch = decode_objects(
        json,
        &[
            r#"{"at":"2023-03-30T12:00:00.5Z","n":1.25,"l":[1,2],"s":{"a":"x"},"j":{"a":1},"other":[1]}"#,
            r#"{"at":1680177600500,"n":"x","l":["x"],"s":{"b":1},"j":5}"#,
        ],
    );
    assert_eq!(column(&batch, "at"), ["2023-03-30T12:00:00.500"; 2]);
    assert_eq!(column(&batch, "n"), ["1.25", "-"]);
    assert_eq!(column(&batch, "l"), ["[1, 2]", "-"]);
    assert_eq!(column(&batch, "s"), ["{a: x}", "-"]);
    assert_eq!(column(&batch, "j"), [r#"{"a":1}"#, "-"]);
    assert_eq!(column(&batch, "_rest"), [r#"{"other":[1]}"#, r#"{"n":"x","l":["x"],"s":{"b":1},"j":5}"#]);
    let error = push_error(&mut *kinesis(json), &objects(&[r#"{"n":1.234}"#]));
    assert!(error.message().contains("1.234") && error.message().contains("decimal128(5,2)"), "{error}");
    for kind in ["binary", "set<utf8>", "list<binary>", "struct<a:set<int64>>"] {
        let json = format!(r#"{{"format":"json","schema":[{{"name":"x","type":"{kind}"}}]}}"#);
        let error = decoder(&options(&json), &[], None).err().unwrap();
        assert!(error.message().contains("\"x\"") && error.message().contains("list<"), "{error}");
    }
}

#[test]
fn only_the_columns_asked_for() {
    let batch =
        decode_objects(r#"{"format":"json","columns":["b"]}"#, &[r#"{"a":{"x":[1,{}]},"b":1,"c":null}"#]);
    assert_eq!(names(&batch)[6..], ["b", "_rest"]);
    assert_eq!((column(&batch, "b"), column(&batch, "_rest")), (vec!["1".to_owned()], vec!["-".to_owned()]));
    assert!(reason(br#"{"a":{"x":}}"#).contains("not JSON"));
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (json, part) in [
        (r#"{"format":"json","images":"json"}"#, "images="),
        (r#"{"format":"json","old_image":true}"#, "old_image="),
    ] {
        let error = decoder(&options(json), &[], None).err().unwrap();
        assert!(error.message().contains(part) && error.message().contains("format=\"json\""), "{error}");
    }
    let error = decoder(&options(JSON), &[key("id", KeyKind::Text)], None).err().unwrap();
    assert!(error.message().contains("keys="), "{error}");
    let bytes = kinesis(BYTES).schema_state();
    assert!(decoder(&options(JSON), &[], Some(&bytes)).is_err());
}

/// A bad part stops the stream right before it, and the parts before it count.
#[test]
fn a_bad_part_stops_right_before_it() {
    let parts: Vec<&[u8]> = vec![b"{\"a\":0}", b"{\"a\":1}", b"{\"b\":", b"{\"a\":3}", b"", b"{\"a\":5}"];
    for (before, bad) in [(vec![], 2u32), (vec![&b"{}"[..]], 2), (vec![], 0), (vec![&b"{}"[..]], 0)] {
        let aggregate = aggregate(&parts[if bad == 0 { 2 } else { 0 }..]);
        let record = before.len() + 1;
        let data: Vec<&[u8]> = before.iter().copied().chain([&aggregate[..], b"{}"]).collect();
        let page = deliveries(&data);
        let mut decoder = kinesis(JSON);
        let mut from = page.records.start;
        let good = before.len() + bad as usize;
        if good > 0 {
            let pushed = push(&mut *decoder, &page);
            let last = if bad > 0 { format!("{record}:{}", bad - 1) } else { before.len().to_string() };
            assert_eq!((pushed.rows, pushed.last), (good, Some(number(&last))));
            from = pushed.rest.unwrap();
            assert!(from > page.records.start, "a caller that only goes forward comes back");
        }
        let error = decoder.push(&page, from, ALL, &Skip::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert_eq!(error.position(), Some(&Position::At(number(&format!("{record}:{bad}")))));
        assert!(error.message().contains(&format!("{record}:{bad} of shard shard-1")), "{error}");
        assert_eq!((decoder.rows(), words(&*decoder).contains(&"b: utf8".to_owned())), (good, false));
        let batch = decoder.flush().unwrap();
        check(&batch);
        assert_eq!(batch.num_rows(), good);

        // Started again behind the parts that counted: the error at once.
        let through = match bad.checked_sub(1) {
            Some(part) => number(&format!("{record}:{part}")),
            None => number(&before.len().to_string()),
        };
        let skip = Skip { created_before: None, through: Some(through) };
        let error = kinesis(JSON).push(&page, page.records.start, ALL, &skip).unwrap_err();
        assert_eq!(error.position(), Some(&Position::At(number(&format!("{record}:{bad}")))));
    }
}

#[test]
fn the_place_inside_an_aggregate_is_good_for_its_own_page_only() {
    let page = deliveries(&[&aggregate(&[b"{}", b"x"])]);
    let mut decoder = kinesis(JSON);
    let rest = push(&mut *decoder, &page).rest.unwrap();
    let other = deliveries(&[&aggregate(&[b"{}", b"y"])]);
    assert!(decoder.push(&other, rest, ALL, &Skip::default()).is_err());
    assert_eq!(decoder.rows(), 1);
    // Fetched again, read from the position: the part before is left out, the bad one is found.
    let skip = Skip { created_before: None, through: Some(number("1:0")) };
    let error = decoder.push(&other, other.records.start, ALL, &skip).unwrap_err();
    assert_eq!(error.position(), Some(&Position::At(number("1:1"))));
}

#[test]
fn bad_parts_are_kept_aside_one_by_one() {
    let keys = [field(1, Err("grüß".as_bytes())), field(2, Err(b"77"))].concat();
    let parts = [
        part(0, None, b"{\"a\":1}"),
        part(0, Some(0), b"\xff\x00"),
        part(0, None, b"{\"a\":2}"),
        part(0, None, b""),
    ];
    let page = deliveries(&[b"{}", &sealed(&[keys, parts.concat()].concat()), b"{\"a\":3}"]);
    let mut decoder = kinesis(&keeping(JSON));
    let pushed = push(&mut *decoder, &page);
    assert_eq!((pushed.rows, pushed.rest, pushed.last), (4, None, Some(number("3"))));
    let kept: Vec<_> =
        pushed.quarantined.iter().map(|kept| kept.sequence.clone().unwrap().to_string()).collect();
    assert_eq!(kept, ["2:1", "2:3"]);
    assert!(pushed.quarantined[0].reason.contains("UTF-8") && pushed.quarantined[1].reason.contains("empty"));
    let raw: serde_json::Value = serde_json::from_slice(&pushed.quarantined[0].raw).unwrap();
    let expected = serde_json::json!({
        "SequenceNumber": "2:1", "PartitionKey": "grüß", "ExplicitHashKey": "77", "Data": base64(b"\xff\x00"),
        "ApproximateArrivalTimestamp": 2.5,
    });
    assert_eq!(raw, expected);
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "_sequence"), ["1", "2:0", "2:2", "3"]);
    assert_eq!(column(&batch, "a"), ["-", "1", "2", "3"]);
}

/// Only what plain JSON knows.
fn plain(value: Value) -> Value {
    let texts = |texts: Vec<String>| Value::L(texts.into_iter().map(Value::S).collect());
    match value {
        Value::B(bytes) => Value::S(base64(&bytes)),
        Value::SS(set) => texts(set),
        Value::BS(set) => texts(set.iter().map(|bytes| base64(bytes)).collect()),
        Value::NS(set) => Value::L(set.into_iter().map(Value::N).collect()),
        Value::M(map) => Value::M(map.into_iter().map(|(name, value)| (name, plain(value))).collect()),
        Value::L(list) => Value::L(list.into_iter().map(plain).collect()),
        value => value,
    }
}

fn plain_items(most: usize) -> impl Strategy<Value = Vec<Item>> {
    let plain_item =
        |item: Item| item.into_iter().map(|(name, value)| (name, plain(value))).collect::<Item>();
    items(most).prop_map(move |items| items.into_iter().map(plain_item).collect())
}

fn object(item: &Item) -> String {
    format!("{{{}}}", joined(item.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.plain()))))
}

/// What stands in the rest of an item, as plain JSON.
fn plain_rest(rest: Option<&str>, item: &Item) -> Option<serde_json::Value> {
    let rest: serde_json::Map<String, serde_json::Value> = serde_json::from_str(rest?).unwrap();
    let plain = rest.keys().map(|name| (name.clone(), serde_json::from_str(&item[name].plain()).unwrap()));
    Some(plain.collect::<serde_json::Map<_, _>>().into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Plain JSON becomes exactly the columns that items of DynamoDB with the same values become, wherever
    /// records are aggregates and batches end.
    #[test]
    fn objects_and_items_are_one(items in plain_items(8), json in mode(), cuts in prop::collection::vec(any::<bool>(), 8), pieces in prop::collection::vec(1usize..4, 1..4)) {
        let mut reference = decoder_with(json);
        push(&mut *reference, &page_of_items(&items));
        let expected = reference.flush().unwrap();

        let texts: Vec<String> = items.iter().map(object).collect();
        let mut records: Vec<Vec<&[u8]>> = vec![];
        for (text, cut) in texts.iter().zip(cuts) {
            match records.last_mut().filter(|_| !cut) {
                Some(record) => record.push(text.as_bytes()),
                None => records.push(vec![text.as_bytes()]),
            }
        }
        let data: Vec<Vec<u8>> = records.iter().map(|record| match record[..] {
            [one] => one.to_vec(),
            _ => aggregate(record),
        }).collect();
        let page = deliveries(&data.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut decoder = kinesis(&with(json, "json"));
        let (mut from, mut batches, mut sizes) = (Some(page.records.start), vec![], pieces.iter().copied().cycle());
        while let Some(at) = from {
            let room = Room { rows: sizes.next().unwrap_or(1), bytes: usize::MAX };
            let pushed = decoder.push(&page, at, room, &Skip::default()).unwrap();
            from = pushed.rest;
            batches.push(decoder.flush().unwrap());
        }
        let schema = batches.last().unwrap().schema();
        let batches: Vec<_> = batches.iter().map(|batch| conform(batch, &schema).unwrap()).collect();
        let batch = arrow_select::concat::concat_batches(&schema, &batches).unwrap();
        check(&batch);
        prop_assert_eq!(&decoder.schema_state().columns[..], &reference.schema_state().columns[1..]);
        let schemas = (batch.schema(), expected.schema());
        prop_assert_eq!(&schemas.0.fields()[6..], &schemas.1.fields()[7..]);
        let attributes = 7..expected.num_columns() - 1;
        for (found, expected) in batch.columns()[6..].iter().zip(&expected.columns()[attributes]) {
            prop_assert_eq!(found, expected);
        }
        let rests = batch.column_by_name("_rest").unwrap().as_string::<i32>().iter();
        let expected = expected.column_by_name("_rest").unwrap().as_string::<i32>().iter();
        for ((found, expected), item) in rests.zip(expected).zip(&items) {
            let found: Option<serde_json::Value> = found.map(|rest| serde_json::from_str(rest).unwrap());
            prop_assert_eq!(found, plain_rest(expected, item));
        }
    }

    #[test]
    fn a_resumed_schema_goes_on(first in plain_items(5), second in plain_items(5), json in mode()) {
        let json = with(json, "json");
        let page = |items: &[Item]| {
            let texts: Vec<String> = items.iter().map(object).collect();
            deliveries(&texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>())
        };
        let mut going_on = kinesis(&json);
        in_pieces(&mut *going_on, &page(&first), &[1]);
        let saved = serde_json::to_string(&*going_on.schema_state()).unwrap();
        let mut resumed = decoder(&options(&json), &[], Some(&serde_json::from_str(&saved).unwrap())).unwrap();
        push(&mut *going_on, &page(&second));
        push(&mut *resumed, &page(&second));
        prop_assert_eq!(going_on.schema_state(), resumed.schema_state());
        prop_assert_eq!(going_on.flush().unwrap(), resumed.flush().unwrap());
    }

    /// Data that is not what it should be never touches the page around it, and leaves no trace.
    #[test]
    fn noise_is_a_row_or_kept_aside(noise in prop::collection::vec(prop::sample::select(br#"{}[]":,\SNa01-.e tfn"#.to_vec()), 0..40), json in mode()) {
        let mut decoder = kinesis(&keeping(&with(json, "json")));
        let pushed = push(&mut *decoder, &deliveries(&[b"{}", &noise, &aggregate(&[&noise, b"{}"])]));
        prop_assert_eq!(pushed.rows + pushed.quarantined.len(), 4);
        let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&noise).is_ok();
        prop_assert!(is_object || pushed.quarantined.len() == 2);
        let batch = decoder.flush().unwrap();
        check(&batch);
        prop_assert!(is_object || batch.num_columns() == 7);
    }
}
