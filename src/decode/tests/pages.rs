//! Pages: their shapes, their damage, their end, and what is left out of them.

use super::*;
use crate::position::Position;

const KEYS: &str = r#""Keys":{"id":{"S":"k"}}"#;

fn number(text: &str) -> SequenceNumber {
    SequenceNumber::parse(text).unwrap()
}

#[test]
fn an_empty_page_has_nothing() {
    for space in ["", " \n\t\r "] {
        let mut decoder = decoder_with("{}");
        let pushed = push(&mut *decoder, &page(space));
        assert_eq!((pushed.rows, pushed.rest, pushed.last, pushed.newest), (0, None, None, None));
        assert_eq!(decoder.flush().unwrap().num_rows(), 0);
    }
}

#[test]
fn members_come_in_any_order_with_any_space() {
    let text = r#" { "dynamodb" : { "SequenceNumber" : "9" , "OldImage" : null , "Extra" : [ { } , [ ] , "x" ] ,
        "NewImage" : { "n" : { "N" : "1" } , "id" : { "S" : "k" } } , "Keys" : { "id" : { "S" : "k" } } } ,
        "eventName" : "MODIFY" , "userIdentity" : { "Type" : "Service" , "PrincipalId" : "dynamodb.amazonaws.com" , "x" : 1 },
        "eventID" : null } "#;
    let mut decoder = decoder_with("{}");
    push(&mut *decoder, &page(text));
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch, "n"), ["1"]);
    assert_eq!(column(&batch, "_ttl"), ["true"]);
    assert_eq!(column(&batch, "_event_id"), ["-"]);
    assert_eq!(column(&batch, "_time"), ["-"]);
}

#[test]
fn only_the_service_itself_deletes_by_time_to_live() {
    for (identity, ttl) in [
        (r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#, "true"),
        (r#"{"Type":"Service","PrincipalId":"user123"}"#, "false"),
        (r#"{"type":"User","principalId":"dynamodb.amazonaws.com"}"#, "false"),
        ("null", "false"),
    ] {
        let text = record("REMOVE", 1, KEYS).replacen('{', &format!("{{\"userIdentity\":{identity},"), 1);
        let mut decoder = decoder_with("{}");
        push(&mut *decoder, &page(&text));
        assert_eq!(column(&decoder.flush().unwrap(), "_ttl"), [ttl], "{identity}");
    }
}

#[test]
fn bad_records_are_named_and_rows_before_them_are_kept() {
    let cases = [
        (record("UPSERT", 2, KEYS), "eventName"),
        (record("INSERT", 2, KEYS).replace(r#""SequenceNumber":"2","#, ""), "SequenceNumber"),
        (
            record("INSERT", 2, KEYS).replace(r#""SequenceNumber":"2""#, r#""SequenceNumber":"x2""#),
            "decimal number",
        ),
        (record("INSERT", 2, KEYS).replace(r#""eventName":"INSERT","#, ""), "eventName"),
        (record("INSERT", 2, r#""Keys":{}"#), "\"id\""),
        (record("INSERT", 2, r#""Keys":{"id":{"N":"1"}}"#), "\"id\""),
        (record("INSERT", 2, r#""Keys":{"id":{"NULL":true}}"#), "\"id\""),
        (record("INSERT", 2, r#""Keys":{"id":{"S":"a"},"id":{"S":"b"}}"#), "twice"),
        (record("INSERT", 2, r#""SizeBytes":0"#), "Keys"),
        (record("REMOVE", 2, &format!(r#"{KEYS},"NewImage":{{}}"#)), "new image"),
        (record("INSERT", 2, &format!(r#"{KEYS},{KEYS}"#)), "twice"),
        (record("INSERT", 2, &format!(r#"{KEYS},"ApproximateCreationDateTime":"x""#)), "RFC 3339"),
        (insert(2, r#""a":{"S":"1"},"a":{"S":"2"}"#), "twice"),
        (insert(2, r#""a":{"NULL":true},"a":{"S":"2"}"#), "twice"),
        (insert(2, r#""_op":{"S":"1"},"_op":{"S":"2"}"#), "twice"),
        (insert(2, r#""a":{"N":"NaN"}"#), "attribute \"a\": \"NaN\""),
        (insert(2, r#""m":{"M":{"a":{"N":"x"}}}"#), "attribute \"m\": \"x\""),
        (insert(2, r#""a":{"N":"Infinity"}"#), "Infinity"),
        (insert(2, r#""a":{"X":1}"#), "\"X\""),
        (insert(2, r#""a":{"S":5}"#), "a string"),
        (insert(2, r#""a":5"#), "an object"),
        (insert(2, r#""a":{"B":"*"}"#), "base64"),
        (insert(2, r#""a":{"S":"\ud800"}"#), "surrogate"),
        (
            insert(2, &format!(r#""a":{}{{"S":"x"}}{}"#, "{\"L\":[".repeat(10_000), "]}".repeat(10_000))),
            "32 levels",
        ),
        ("17".to_owned(), "an object"),
    ];
    for (bad, reason) in cases {
        let text = format!("{},{bad},{}", insert(1, ""), insert(3, r#""late":{"N":"1"}"#));
        let page = page(&text);
        let mut decoder = decoder_with("{}");
        let pushed = push(&mut *decoder, &page);
        assert_eq!((pushed.rows, pushed.last), (1, Some(number("1"))), "{bad}");
        let rest = pushed.rest.unwrap();
        assert!(page.body[rest..].starts_with(bad.as_bytes()));
        let error = decoder.push(&page, rest, ALL, &Skip::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord, "{bad}: {error}");
        assert!(error.message().contains(reason) && error.message().contains("shard-1"), "{error}");
        let position = bad.contains(r#""SequenceNumber":"2""#).then(|| Position::At(number("2")));
        assert_eq!(error.position(), position.as_ref());
        assert_eq!((decoder.rows(), words(&*decoder)), (1, vec!["id: utf8".to_owned()]), "{bad}");

        let mut keeping = decoder_with(r#"{"on_bad_record":"quarantine"}"#);
        let pushed = push(&mut *keeping, &page);
        assert_eq!((pushed.rows, pushed.rest, pushed.last), (2, None, Some(number("3"))));
        assert_eq!(pushed.quarantined.len(), 1);
        assert_eq!(pushed.quarantined[0].raw, bad.as_bytes());
        let batch = keeping.flush().unwrap();
        check(&batch);
        assert_eq!(column(&batch, "_sequence"), ["1", "3"]);
        assert_eq!(column(&batch, "late"), ["-", "1"]);
    }
}

#[test]
fn a_damaged_page_leaves_no_trace() {
    let good = inserts(&[r#""n":{"N":"1"},"m":{"M":{"a":{"N":"1"}}}"#]);
    let text = [
        insert(2, r#""n":{"N":"1.5"},"m":{"M":{"b":{"S":"x"}}}"#),
        insert(3, r#""new":{"S":"x"},"bad":{"X":1}"#),
    ]
    .join(",");
    let damages = [
        format!("{text},"),
        format!("{text} {text}"),
        format!("{text},{{\"dynamodb\":"),
        format!("{text},\"open"),
        format!("{text},{{\"a\":\"\\q\"}}"),
        format!("{text},tru"),
        format!(",{text}"),
    ];
    for damage in damages {
        let mut decoder = decoder_with(r#"{"nested":"struct","on_bad_record":"quarantine"}"#);
        push(&mut *decoder, &good);
        let (state, bytes) = (decoder.schema_state(), decoder.bytes());
        let error = push_error(&mut *decoder, &page(&damage));
        assert_eq!(error.kind(), ErrorKind::BadPage, "{damage}");
        assert!(error.retryable() && error.message().contains("shard-1"));
        assert_eq!((decoder.rows(), decoder.schema_state(), decoder.bytes()), (1, state, bytes), "{damage}");
        let pushed = push(&mut *decoder, &page(&text));
        assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 1));
        let batch = decoder.flush().unwrap();
        check(&batch);
        assert_eq!(column(&batch, "_sequence"), ["1", "2"]);
    }
}

#[test]
fn a_page_that_is_not_utf8_or_does_not_end_is_damaged() {
    let mut body = Vec::from(&inserts(&[r#""a":{"S":"xyz"}"#]).body[..]);
    let at = body.windows(3).position(|part| part == b"xyz").unwrap();
    body[at] = 0xff;
    assert_eq!(push_error(&mut *decoder_with("{}"), &page_of(body.into())).kind(), ErrorKind::BadPage);

    let whole = inserts(&["", ""]);
    for end in whole.records.start..whole.body.len() {
        let cut = Page { records: whole.records.start..end, ..whole.clone() };
        let mut decoder = decoder_with("{}");
        let result = decoder.push(&cut, cut.records.start, ALL, &Skip::default());
        if end == whole.records.end {
            assert_eq!(result.unwrap().rows, 2);
        } else {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::BadPage, "{end}");
            assert_eq!(decoder.rows(), 0);
        }
    }
    #[allow(clippy::reversed_empty_ranges)]
    let odd = Page { records: 40..30, ..whole.clone() };
    assert!(decoder_with("{}").push(&odd, 35, ALL, &Skip::default()).is_err());
    let far = Page { records: 10..10_000, ..whole.clone() };
    assert!(decoder_with("{}").push(&far, 20_000, ALL, &Skip::default()).is_err());
}

#[test]
fn room_ends_a_batch_at_the_record_that_crosses_it() {
    let long = format!(r#""a":{{"S":"{}"}}"#, "x".repeat(1000));
    let items: Vec<&str> = std::iter::repeat_n(long.as_str(), 100).collect();
    let page = inserts(&items);
    for (bytes, expected) in [(0, 1), (1, 1), (1500, 2), (10_000, 10), (50_000, 48)] {
        let mut decoder = decoder_with("{}");
        let room = Room { rows: usize::MAX, bytes };
        let pushed = decoder.push(&page, page.records.start, room, &Skip::default()).unwrap();
        assert!(pushed.rows.abs_diff(expected) <= 1, "{bytes}: {}", pushed.rows);
        assert!(decoder.bytes() >= bytes && decoder.bytes() < bytes + 1200);
        // What is still free counts from here, not from an empty batch.
        let again = decoder.push(&page, pushed.rest.unwrap(), room, &Skip::default()).unwrap();
        assert!(again.rows.abs_diff(expected) <= 1);
    }
}

#[test]
fn what_is_older_than_the_start_or_read_already_is_left_out() {
    let timed =
        |sequence: u64, seconds: &str| insert(sequence, r#""a":{"S":"x"}"#).replace("1700000000", seconds);
    let text = [
        timed(98, "100"),
        timed(99, "101.5"),
        timed(100, "102"),
        insert(101, r#""bad":{"X":1}"#).replace("1700000000", "99"),
        timed(102, "103"),
    ];
    let page = page(&text.join(","));
    let run = |skip: Skip, from: &str| {
        let mut decoder = decoder_with(&format!(r#"{{"on_bad_record":"{from}"}}"#));
        let pushed = decoder.push(&page, page.records.start, ALL, &skip).unwrap();
        (column(&decoder.flush().unwrap(), "_sequence"), pushed)
    };
    let before = Skip { created_before: Some(102_000), through: None };
    let (rows, pushed) = run(before, "fail");
    assert_eq!((rows, pushed.skipped), (vec!["100".to_owned(), "102".to_owned()], 3));
    assert_eq!((pushed.last, pushed.newest), (Some(number("102")), Some(103_000)));

    let through = Skip { created_before: None, through: Some(number("099")) };
    let (rows, pushed) = run(through, "quarantine");
    assert_eq!(
        (rows, pushed.skipped, pushed.quarantined.len()),
        (vec!["100".to_owned(), "102".to_owned()], 2, 1)
    );

    let all = Skip { created_before: None, through: Some(number("1000")) };
    let (rows, pushed) = run(all, "fail");
    assert!(rows.is_empty());
    assert_eq!((pushed.rows, pushed.skipped, pushed.last), (0, 5, Some(number("102"))));
}

#[test]
fn several_shards_share_a_batch() {
    let mut decoder = decoder_with("{}");
    for shard in ["a", "b", "a", "c"] {
        push(&mut *decoder, &Page { shard: shard.into(), ..inserts(&[""]) });
    }
    assert_eq!(column(&decoder.flush().unwrap(), "_shard"), ["a", "b", "a", "c"]);
    push(&mut *decoder, &Page { shard: "c".into(), ..inserts(&["", ""]) });
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch, "_shard"), ["c", "c"]);
    assert_eq!(batch.column_by_name("_shard").unwrap().as_any_dictionary().values().len(), 1);
}

#[test]
fn the_schema_is_one_and_the_same_while_nothing_changes() {
    let mut decoder = decoder_with("{}");
    push(&mut *decoder, &inserts(&[r#""a":{"N":"1"}"#]));
    let (state, schema) = (decoder.schema_state(), decoder.flush().unwrap().schema());
    push(&mut *decoder, &inserts(&[r#""a":{"N":"2"}"#]));
    assert!(Arc::ptr_eq(&state, &decoder.schema_state()));
    assert!(Arc::ptr_eq(&schema, &decoder.flush().unwrap().schema()));
    push(&mut *decoder, &inserts(&[r#""a":{"N":"2.5"}"#]));
    assert!(!Arc::ptr_eq(&state, &decoder.schema_state()));
}
