use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What serde_json makes of the same body.
fn agrees(body: &str) {
    let envelope = Envelope::read(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let value: Value = serde_json::from_str(body).unwrap();
    let records = format!("[{}]", &body[envelope.records.clone()]);
    assert_eq!(serde_json::from_str::<Value>(&records).unwrap(), value["Records"], "{body}");
    let next = value["NextShardIterator"].as_str().filter(|next| !next.is_empty());
    assert_eq!(envelope.next.as_deref(), next, "{body}");
}

fn is_cheap(body: &str) -> bool {
    read_ends(body.as_bytes()).is_some_and(|envelope| envelope.next.is_some())
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
        let error = Envelope::read(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadPage, "{body}");
    }
    assert!(Envelope::read(b"{\"Records\":[],\"NextShardIterator\":\"\xff\"}").is_err());
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

/// A body with its members in any order and any space between its tokens.
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
        if let Ok(envelope) = Envelope::read(cut) {
            prop_assert!(envelope.next.is_some(), "the end of the shard is never read from half a page");
            let records = [b"[", &cut[envelope.records], b"]"].concat();
            prop_assert!(serde_json::from_slice::<Value>(&records).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), body in body()) {
        let _ = Envelope::read(&bytes);
        let mut mixed = body.into_bytes();
        let at = mixed.len() / 2;
        mixed.splice(at..at, bytes);
        if let Ok(envelope) = Envelope::read(&mixed) {
            prop_assert!(envelope.records.end <= mixed.len() && envelope.records.start <= envelope.records.end);
        }
    }
}
