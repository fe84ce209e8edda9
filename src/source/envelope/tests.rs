use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read<T: About>(body: &str) -> (Envelope<T>, Value) {
    let envelope = Envelope::<T>::read(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let value: Value = serde_json::from_str(body).unwrap();
    let elements = format!("[{}]", &body[envelope.elements.clone()]);
    assert_eq!(serde_json::from_str::<Value>(&elements).unwrap(), value[T::ARRAY], "{body}");
    (envelope, value)
}

/// What serde_json makes of the same body.
fn agrees(body: &str) {
    let (envelope, value) = read::<OfRecords>(body);
    let next = value["NextShardIterator"].as_str().filter(|next| !next.is_empty());
    assert_eq!(envelope.about.next.as_deref(), next, "{body}");
}

fn agrees_on_items(body: &str) {
    let (Envelope { about, .. }, value) = read::<OfItems>(body);
    let next = about.next.map_or(Value::Null, |key| serde_json::from_str(&key.0).unwrap());
    let expected = &value["LastEvaluatedKey"];
    let expected = if *expected == json!({}) { &Value::Null } else { expected };
    assert_eq!(&next, expected, "{body}");
    let scanned = value["ScannedCount"].as_u64().or(value["Count"].as_u64());
    assert_eq!(Some(about.scanned), scanned, "{body}");
    assert_eq!(about.units, value["ConsumedCapacity"]["CapacityUnits"].as_f64(), "{body}");
}

fn cheap<T: About>(body: &str) -> bool {
    let envelope = ends::read(body.as_bytes(), T::ARRAY).and_then(|around| Envelope::<T>::of(around).ok());
    envelope.is_some_and(|envelope| envelope.about.goes_on())
}

fn is_cheap(body: &str) -> bool {
    cheap::<OfRecords>(body)
}

#[test]
fn the_shapes_services_write_are_read_from_their_ends() {
    let bodies = [
        r#"{"Records":[],"NextShardIterator":"abc"}"#,
        r#"{"NextShardIterator":"abc","Records":[]}"#,
        r#"{"Records": [{"a": {"S": "]}"}}, {"b": 1}], "NextShardIterator": "arn:aws:x|1|AA=="}"#,
        " {\n\"Records\" : [ {} ] ,\r\n\"NextShardIterator\"\t: \"x\" } \n",
        r#"{"MillisBehindLatest":0,"Records":[{}],"NextShardIterator":"x","Other":null,"Flag":true}"#,
    ];
    for body in bodies {
        agrees(body);
        assert!(is_cheap(body), "{body}");
    }
}

#[test]
fn odd_shapes_are_read_whole() {
    let bodies = [
        r#"{"Records":[]}"#,
        r#"{"Records":[{}],"NextShardIterator":null}"#,
        r#"{"Records":[{}],"NextShardIterator":""}"#,
        r#"{"Records":[{}],"NextShardIterator":"a\/b\"c"}"#,
        r#"{"Records":[{}],"NextShardIterator":"a\\"}"#,
        r#"{"Records":[{}],"NextShardIterator":"a","More":{"x":[1]}}"#,
        r#"{"More":{"Records":[1]},"Records":[{}],"NextShardIterator":"a"}"#,
        r#"{"Records":[{}],"NextShardIterator":"a","More":["x"]}"#,
        r#"{"Re\u0063ords":[{}],"NextShardIterator":"a"}"#,
        r#"{"More":"\"Records\":[","Records":[{}],"NextShardIterator":"a"}"#,
        r#"{"Records":[1,2,[3]],"NextShardIterator":"a"}"#,
    ];
    for body in bodies {
        agrees(body);
        assert!(!is_cheap(body), "{body}");
    }
}

#[test]
fn pages_of_items_are_read_from_their_ends() {
    let bodies = [
        r#"{"Count":1,"Items":[{"id":{"S":"a"}}],"LastEvaluatedKey":{"id":{"S":"a"}},"ScannedCount":1}"#,
        r#"{"Items":[],"Count":0,"ScannedCount":7,"LastEvaluatedKey":{"id":{"B":"AP8="},"at":{"N":"-1.5"}}}"#,
        r#"{"LastEvaluatedKey":{"a\"}":{"S":"\\\"{}"}},"ScannedCount":1,"Items":[{}]}"#,
        r#"{"Items":[{}],"ScannedCount":1,"LastEvaluatedKey" : { "id" : { "S" : "\\" } } }"#,
        r#"{"ConsumedCapacity":{"CapacityUnits":128.5,"Table":{"CapacityUnits":1}},"Items":[{}],"ScannedCount":1,"LastEvaluatedKey":{"id":{"S":""}}}"#,
    ];
    for body in bodies {
        agrees_on_items(body);
        assert!(cheap::<OfItems>(body), "{body}");
    }
}

#[test]
fn the_key_is_kept_as_it_was_written() {
    let body = r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{ "id": {"S":"\u00e9\/"} }}"#;
    let envelope = Envelope::<OfItems>::read(body.as_bytes()).unwrap();
    assert_eq!(&*envelope.about.next.unwrap().0, r#"{ "id": {"S":"\u00e9\/"} }"#);
}

#[test]
fn what_is_no_page_of_items_is_a_bad_page() {
    let bodies = [
        r#"{"Items":[]}"#,
        r#"{"Count":0,"ScannedCount":0}"#,
        r#"{"Items":{},"ScannedCount":0}"#,
        r#"{"Items":[],"ScannedCount":-1}"#,
        r#"{"Items":[],"ScannedCount":"1"}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":"a"}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":[]}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":"a"}}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"L":[]}}}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"B":"?"}}}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"S":"a"}},"LastEvaluatedKey":{"id":{"S":"b"}}}"#,
        r#"{"Items":[],"ScannedCount":0,"ScannedCount":1,"LastEvaluatedKey":{"id":{"S":"a"}}}"#,
        r#"{"Items":[],"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"S":"a"}}}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"S":"a"}}"#,
        r#"{"Items":[{}],"ScannedCount":1"#,
        r#"{"Items":[],"ScannedCount":0,"ConsumedCapacity":[]}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"S":"a"}},"Items":5}"#,
        r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":{"id":{"S":"a"}},"More":{"x":"a\"}}"#,
    ];
    for body in bodies {
        let error = Envelope::<OfItems>::read(body.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true), "{body}");
    }
}

#[test]
fn what_is_no_page_is_a_bad_page() {
    let bodies = [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "\"Records\"",
        "<html>502</html>",
        r#"{"Records":null}"#,
        r#"{"Records":{}}"#,
        r#"{"Records":[}"#,
        r#"{"Records":[]"#,
        r#"{"Records":[]} x"#,
        r#"{"Records":[],"NextShardIterator":1}"#,
        r#"{"Records":[],"Records":[],"NextShardIterator":"a","NextShardIterator":"b"}"#,
        r#"{"Records":[],"NextShardIterator":"a","NextShardIterator":"b"}"#,
    ];
    for body in bodies {
        let error = Envelope::<OfRecords>::read(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadPage, "{body}");
    }
    assert!(Envelope::<OfRecords>::read(b"{\"Records\":[],\"NextShardIterator\":\"\xff\"}").is_err());
}

/// Its ends look like those of a last page, so only the whole body shows that it is none.
#[test]
fn an_end_is_not_believed_of_a_body_that_is_no_json() {
    for elements in [r#"{"a":[{}],"b":1"#, r#"{"a":}]"#, r#"{"a":1}{"b":2}]"#, r#"{"a":"}]"#] {
        let records = format!(r#"{{"Records":[{elements}}}"#);
        assert!(Envelope::<OfRecords>::read(records.as_bytes()).is_err(), "{records}");
        let items = format!(r#"{{"ScannedCount":1,"Items":[{elements}}}"#);
        assert!(Envelope::<OfItems>::read(items.as_bytes()).is_err(), "{items}");
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[a-z\[\]{}",:\\/ é]{0,12}"#,
        Just("\"],\"NextShardIterator\":\"no\"}".to_owned()),
        Just("\"Records\":[".to_owned()),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![text().prop_map(Value::from), any::<i32>().prop_map(Value::from), Just(Value::Null)];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    value.prop_map(|value| json!({ "dynamodb": value }))
}

fn body() -> impl Strategy<Value = String> {
    let records =
        prop::collection::vec(record(), 0..4).prop_map(|records| ("Records".to_owned(), json!(records)));
    let next =
        prop_oneof![text().prop_map(|text| json!(text)), Just(Value::Null), Just(json!("plain|1|AA=="))];
    let next = prop::option::of(next.prop_map(|next| ("NextShardIterator".to_owned(), next)));
    let other = prop_oneof![
        any::<f64>().prop_map(|x| json!(x)),
        text().prop_map(|x| json!(x)),
        Just(json!({"a": [1]}))
    ];
    let others = prop::collection::btree_map("[A-Z]{1,3}", other, 0..3);
    let members = (records, next, others).prop_map(|(records, next, others)| {
        let mut members = vec![records];
        members.extend(next);
        members.extend(others);
        members
    });
    written(members)
}

/// Members in any order and any space between their tokens.
fn written(members: impl Strategy<Value = Vec<(String, Value)>>) -> impl Strategy<Value = String> {
    (members.prop_shuffle(), prop::collection::vec("[ \n\r\t]{0,2}", 6)).prop_map(|(members, space)| {
        let [a, b, c, d, e, f] = &space[..] else { unreachable!() };
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| {
                let value =
                    if *a == *b { value.to_string() } else { serde_json::to_string_pretty(value).unwrap() };
                format!("{b}\"{key}\"{c}:{d}{value}{e}")
            })
            .collect();
        format!("{a}{{{}}}{f}", members.join(","))
    })
}

fn key_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\"\\\\{}\\[\\]:,a é\u{0}]{0,12}",
        Just("\"}},\"LastEvaluatedKey\":{\"id\":{\"S\":\"no".to_owned()),
        Just("}]".to_owned()),
        Just("\\".to_owned()),
    ]
}

fn item_key() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        key_text().prop_map(|text| json!({ "S": text })),
        any::<i64>().prop_map(|number| json!({ "N": number.to_string() })),
        prop::collection::vec(any::<u8>(), 0..6)
            .prop_map(|bytes| json!({ "B": base64_simd::STANDARD.encode_to_string(bytes) })),
    ];
    // Names of keys may hold anything, too.
    prop::collection::btree_map(key_text(), value, 1..3).prop_map(|key| json!(key))
}

fn units() -> impl Strategy<Value = Value> {
    (0u32..5000).prop_map(|halves| json!({"CapacityUnits": f64::from(halves) / 2.0, "TableName": "orders"}))
}

/// As the service writes a page: members by name, the key behind the items.
fn service_body(key: impl Strategy<Value = Value>) -> impl Strategy<Value = String> {
    (prop::collection::vec(record(), 0..4), key, units(), any::<bool>()).prop_map(|(items, key, units, plain)| {
        let (count, scanned) = (items.len(), items.len() + 1);
        let body = json!({
            "ConsumedCapacity": units, "Count": count, "Items": items, "LastEvaluatedKey": key, "ScannedCount": scanned,
        });
        if plain { body.to_string() } else { serde_json::to_string_pretty(&body).unwrap() }
    })
}

fn items_body(key: impl Strategy<Value = Value>) -> impl Strategy<Value = String> {
    let key = prop_oneof![4 => key, 1 => Just(Value::Null), 1 => Just(json!({}))];
    let counts =
        prop_oneof![Just(vec!["Count"]), Just(vec!["ScannedCount"]), Just(vec!["Count", "ScannedCount"])];
    let parts = (
        prop::collection::vec(record(), 0..4),
        prop::option::of(key),
        counts,
        prop::option::of(units()),
        prop::option::of(text()),
    );
    let members = parts.prop_map(|(items, key, counts, units, other)| {
        let mut members = vec![("Items".to_owned(), json!(items))];
        members.extend(counts.into_iter().zip(3..).map(|(name, count)| (name.to_owned(), json!(count))));
        members.extend(key.map(|key| ("LastEvaluatedKey".to_owned(), key)));
        members.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
        members.extend(other.map(|other| ("Other".to_owned(), json!(other))));
        members
    });
    written(members)
}

/// Refused, or left to the decoder, which finds its array without an end.
fn cut_is_found_out<T: About>(cut: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(envelope) = Envelope::<T>::read(cut) {
        prop_assert!(envelope.about.goes_on(), "an end is never read from half a page");
        let elements = [b"[", &cut[envelope.elements], b"]"].concat();
        prop_assert!(serde_json::from_slice::<Value>(&elements).is_err());
    }
    Ok(())
}

fn is_within<T: About>(body: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(Envelope { elements, .. }) = Envelope::<T>::read(body) {
        prop_assert!(elements.start <= elements.end && elements.end <= body.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_body_reads_as_a_full_parser_reads_it(body in body()) {
        agrees(&body);
    }

    /// Refused at once, or left to the decoder, which finds its array without an end.
    #[test]
    fn a_body_cut_anywhere_is_never_taken_for_a_whole_one(body in body(), cut in any::<prop::sample::Index>()) {
        let whole = body.trim_end();
        let cut = &whole.as_bytes()[..cut.index(whole.len())];
        cut_is_found_out::<OfRecords>(cut)?;
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), body in body()) {
        let _ = Envelope::<OfRecords>::read(&bytes);
        let mut mixed = body.into_bytes();
        let at = mixed.len() / 2;
        mixed.splice(at..at, bytes);
        is_within::<OfRecords>(&mixed)?;
    }

    #[test]
    fn any_page_of_items_reads_as_a_full_parser_reads_it(body in items_body(item_key())) {
        agrees_on_items(&body);
    }

    /// Strings full of quotes, brackets and backslashes in the key do not send it the long way.
    #[test]
    fn a_key_of_any_text_is_read_from_the_tail(body in service_body(item_key())) {
        agrees_on_items(&body);
        prop_assert!(cheap::<OfItems>(&body), "{}", body);
    }

    #[test]
    fn an_end_is_believed_only_after_the_whole_body(body in service_body(Just(json!({})))) {
        agrees_on_items(&body);
        prop_assert!(!cheap::<OfItems>(&body), "{}", body);
    }

    #[test]
    fn a_page_of_items_cut_anywhere_is_never_taken_for_a_whole_one(
        body in prop_oneof![items_body(item_key()), service_body(item_key())],
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = body.trim_end();
        cut_is_found_out::<OfItems>(&whole.as_bytes()[..cut.index(whole.len())])?;
    }

    #[test]
    fn any_bytes_among_items_are_read_without_panic(
        bytes in prop::collection::vec(prop::sample::select(b"{}[]\":,\\a1 \xff".to_vec()), 0..64),
        body in service_body(item_key()),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = Envelope::<OfItems>::read(&bytes);
        let mut mixed = body.into_bytes();
        let at = at.index(mixed.len());
        mixed.splice(at..at, bytes);
        is_within::<OfItems>(&mixed)?;
    }
}
