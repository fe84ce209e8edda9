//! Records as bytes: their columns, their damage, what is left out of them.

use super::*;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_record_is_a_row() {
    let mut decoder = kinesis(BYTES);
    let escaped = delivery(3, b"x").replace("key 3", r"k\u00e9y \ud83d\udc0b").replace("\"KMS\"", "null");
    let all = [delivery(1, b"\x00\xff"), delivery(2, b""), escaped].join(",");
    let pushed = push(&mut *decoder, &page(&all));
    assert_eq!((pushed.rows, pushed.rest, pushed.last), (3, None, Some(number("3"))));
    assert_eq!(pushed.newest, Some(3500));
    let batch = decoder.flush().unwrap();
    check(&batch);
    let expected = ["_op", "_time", "_shard", "_sequence", "_partition_key", "_explicit_hash_key", "data"]
        .map(str::to_owned);
    assert_eq!(names(&batch), expected);
    assert_eq!(column(&batch, "_op"), ["put", "put", "put"]);
    assert_eq!(
        column(&batch, "_time"),
        ["1970-01-01T00:00:01.500", "1970-01-01T00:00:02.500", "1970-01-01T00:00:03.500"]
    );
    assert_eq!(column(&batch, "_shard"), ["shard-1"; 3]);
    assert_eq!(column(&batch, "_sequence"), ["1", "2", "3"]);
    assert_eq!(column(&batch, "_partition_key"), ["key 1", "key 2", "kéy 🐋"]);
    assert_eq!(column(&batch, "_explicit_hash_key"), ["-"; 3]);
    assert_eq!(column(&batch, "data"), ["00ff", "", "78"]);
    assert_eq!(words(&*decoder), ["data: data"]);
    assert_eq!(decoder.counts(), Counts::default());
}

#[test]
fn another_prefix_names_every_column_but_the_data() {
    let mut decoder = kinesis(r#"{"format":"bytes","metadata_prefix":"k_"}"#);
    push(&mut *decoder, &deliveries(&[b"x"]));
    let batch = decoder.flush().unwrap();
    let expected =
        ["k_op", "k_time", "k_shard", "k_sequence", "k_partition_key", "k_explicit_hash_key", "data"];
    assert_eq!(names(&batch), expected.map(str::to_owned));
}

#[test]
fn members_come_in_any_order_and_case_with_any_space() {
    let text = r#" { "partitionKey" : "k" , "extra" : [ { } , 1 ] , "data" : "eA\u003d\u003d" , "approximateArrivalTimestamp" :
        1.7E9 , "sequenceNumber" : "49628566489653659107048838082246518393102916603510521906" } "#;
    let without_time = r#"{"Data":"","PartitionKey":"","SequenceNumber":"49628566489653659107048838082246518393102916603510521907",
        "ApproximateArrivalTimestamp":null}"#;
    let mut decoder = kinesis(BYTES);
    let pushed = push(&mut *decoder, &page(&format!("{text},{without_time}")));
    assert_eq!(pushed.newest, Some(1_700_000_000_000));
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch, "_sequence")[0], "49628566489653659107048838082246518393102916603510521906");
    assert_eq!(column(&batch, "_time"), ["2023-11-14T22:13:20", "-"]);
    assert_eq!(column(&batch, "_partition_key"), ["k", ""]);
    assert_eq!(column(&batch, "data"), ["78", ""]);
}

#[test]
fn bad_records_are_named_and_rows_before_them_are_kept() {
    let whole = delivery(2, b"xy");
    let cases = [
        (whole.replace("\"Data\"", "\"Other\""), "no Data"),
        (whole.replace("PartitionKey", "Partition"), "no PartitionKey"),
        (whole.replace("SequenceNumber", "Sequence"), "no SequenceNumber"),
        (whole.replace("\"2\"", "\"2:1\""), "not a decimal number"),
        (whole.replace("\"2\"", "2"), "a string"),
        (whole.replace("2.5", "\"soon\""), "RFC 3339"),
        (whole.replace("eHk=", "eHk"), "not base64"),
        (whole.replace("eHk=", "*"), "not base64"),
        (whole.replace("\"eHk=\"", "null"), "a string"),
        (whole.replace("key 2", r"\ud800"), "surrogate"),
        (whole.replace("\"EncryptionType\":\"KMS\"", "\"data\":\"\""), "twice"),
        (delivery(2, &sealed(b"\x0a")), "aggregate"),
        ("17".to_owned(), "an object"),
    ];
    for (bad, reason) in cases {
        let page = page(&[delivery(1, b"a"), bad.clone(), delivery(3, b"c")].join(","));
        let mut decoder = kinesis(BYTES);
        let pushed = push(&mut *decoder, &page);
        assert_eq!((pushed.rows, pushed.last), (1, Some(number("1"))), "{bad}");
        let rest = pushed.rest.unwrap();
        assert!(page.body[rest..].starts_with(bad.as_bytes()));
        let error = decoder.push(&page, rest, ALL, &Skip::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord, "{bad}: {error}");
        assert!(error.message().contains(reason) && error.message().contains("shard-1"), "{error}");
        let position = bad.contains(r#""SequenceNumber":"2""#).then(|| Position::At(number("2")));
        assert_eq!(error.position(), position.as_ref(), "{bad}");
        assert_eq!(decoder.rows(), 1);

        let mut keeper = kinesis(&keeping(BYTES));
        let pushed = push(&mut *keeper, &page);
        assert_eq!((pushed.rows, pushed.rest, pushed.last), (2, None, Some(number("3"))));
        assert_eq!(pushed.quarantined.len(), 1);
        assert_eq!(pushed.quarantined[0].raw, bad.as_bytes());
        let batch = keeper.flush().unwrap();
        check(&batch);
        assert_eq!(column(&batch, "_sequence"), ["1", "3"]);
        assert_eq!(column(&batch, "data"), [hex(b"a"), hex(b"c")]);
    }
}

#[test]
fn a_page_cut_or_damaged_anywhere_leaves_nothing() {
    let parts: &[&[u8]] = &[b"one", b"two"];
    let whole = deliveries(&[b"first", &aggregate(parts), b"last"]);
    let mut decoder = kinesis(BYTES);
    push(&mut *decoder, &deliveries(&[b"before"]));
    let bytes = decoder.bytes();
    for end in 0..whole.body.len() {
        let cut = Page { records: whole.records.start..end, ..whole.clone() };
        let result = decoder.push(&cut, cut.records.start, ALL, &Skip::default());
        if end == whole.records.end {
            assert_eq!(result.unwrap().rows, 4);
            decoder.flush().unwrap();
            push(&mut *decoder, &deliveries(&[b"before"]));
            continue;
        }
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BadPage, "{end}");
        assert_eq!((decoder.rows(), decoder.bytes()), (1, bytes), "{end}");
    }
    let text = std::str::from_utf8(&whole.body[whole.records.clone()]).unwrap().to_owned();
    for damage in [
        format!("{text},"),
        format!(",{text}"),
        text.replacen("},{", "}{", 1),
        text.replacen("},{", "},,{", 1),
        text.replacen("\"Data\":", "\"Data\"", 1),
        text.replacen(".5,", ".,", 1),
        text.replacen("\"EncryptionType\"", "EncryptionType", 1),
        format!("{text}]"),
        format!("{text} null null"),
        format!("{}\u{0}", text),
    ] {
        let counts = decoder.counts();
        let error = push_error(&mut *decoder, &page(&damage));
        assert_eq!(error.kind(), ErrorKind::BadPage, "{damage}");
        assert!(error.retryable() && error.message().contains("shard-1"));
        assert_eq!((decoder.rows(), decoder.bytes(), decoder.counts()), (1, bytes, counts), "{damage}");
    }
    assert_eq!(push(&mut *decoder, &whole).rows, 4);
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "_sequence"), ["1", "1", "2:0", "2:1", "3"]);
}

#[test]
fn what_arrived_before_the_start_or_was_read_already_is_left_out() {
    let parts: &[&[u8]] = &[b"0", b"1", b"2"];
    let bad = delivery(3, b"x").replace("\"Data\"", "\"Dat\"");
    let text = [
        delivery(1, b"x"),
        delivery(2, &aggregate(parts)),
        bad,
        delivery(4, &aggregate(parts)),
        delivery(5, b"x"),
    ];
    let page = page(&text.join(","));
    let run = |skip: Skip| {
        let mut decoder = kinesis(&keeping(BYTES));
        let pushed = decoder.push(&page, page.records.start, ALL, &skip).unwrap();
        (column(&decoder.flush().unwrap(), "_sequence"), pushed)
    };
    let (rows, pushed) = run(Skip { created_before: Some(4500), through: None });
    assert_eq!(rows, ["4:0", "4:1", "4:2", "5"]);
    assert_eq!((pushed.skipped, pushed.quarantined.len(), pushed.newest), (3, 0, Some(5500)));

    for (through, left, skipped) in [
        ("0", 8, 0),
        ("1", 7, 1),
        ("1:7", 8, 0),
        ("2:0", 6, 2),
        ("002:1", 5, 3),
        ("2:2", 4, 4),
        ("2:4294967295", 4, 4),
        ("2", 4, 2),
        ("3", 4, 3),
        ("4:1", 2, 5),
        ("4", 1, 4),
        ("9", 0, 5),
    ] {
        let (rows, pushed) = run(Skip { created_before: None, through: Some(number(through)) });
        assert_eq!((rows.len(), pushed.skipped), (left, skipped), "{through}");
        assert_eq!((pushed.last, pushed.rest), (Some(number("5")), None), "{through}");
        assert!(rows.iter().all(|row| number(row) > number(through)), "{through}: {rows:?}");
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let cases = [
        (r#"{"format":"bytes","schema":[]}"#, "schema="),
        (r#"{"format":"bytes","columns":["x"]}"#, "columns="),
        (r#"{"format":"bytes","images":"json"}"#, "images="),
        (r#"{"format":"bytes","old_image":true}"#, "old_image="),
    ];
    for (json, part) in cases {
        let error = decoder(&options(json), &[], None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains(part) && error.message().contains("bytes"), "{json}: {error}");
    }
    let error = decoder(&options(BYTES), &[key("id", KeyKind::Text)], None).err().unwrap();
    assert!(error.message().contains("keys="), "{error}");
    assert!(serde_json::from_str::<DecodeOptions>(r#"{"format":"csv"}"#).is_err());
}

#[test]
fn a_checkpoint_of_another_format_is_refused() {
    let state = |name: &str, kind: &str| SchemaState {
        columns: vec![ColumnState { name: name.to_owned(), kind: kind.to_owned() }],
        keys: vec![],
    };
    let own = kinesis(BYTES).schema_state();
    assert!(decoder(&options(BYTES), &[], Some(&own)).is_ok());
    assert!(decoder(&options(BYTES), &[], Some(&SchemaState::default())).is_ok());
    for other in [state("data", "utf8"), state("id", "int64")] {
        let error = decoder(&options(BYTES), &[], Some(&other)).err().unwrap();
        assert!(error.message().contains("another format="), "{error}");
    }
    let error = decoder(&options("{}"), &[], Some(&own)).err().unwrap();
    assert!(error.message().contains("\"data\""), "{error}");
}

#[test]
fn a_stream_has_no_items_to_scan() {
    let body = ::bytes::Bytes::from_static(b"{\"Items\":[]}");
    let page = ItemsPage {
        segment: crate::page::Segment { index: 0, total: 1 },
        items: 10..10,
        body,
        next: None,
        scanned: 0,
        units: None,
        server_time: None,
    };
    let error = kinesis(BYTES).push_items(&page, 10, ALL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

proptest! {
    /// Whatever a reader has up to a position and what it gets behind it are everything, once.
    #[test]
    fn a_position_divides_the_rows(
        records in prop::collection::vec(prop::option::of(0usize..4), 1..8),
        (record, sub) in (0u64..9, prop::option::of(0u32..5)),
        pieces in prop::collection::vec(1usize..4, 1..4),
    ) {
        let data: Vec<Vec<u8>> = records.iter().map(|parts| match parts {
            None => b"plain".to_vec(),
            Some(parts) => aggregate(&vec![&b"part"[..]; *parts]),
        }).collect();
        let page = deliveries(&data.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let sequences = |skip: &Skip| {
            let mut decoder = kinesis(BYTES);
            let (mut from, mut found, mut sizes) = (Some(page.records.start), vec![], pieces.iter().copied().cycle());
            while let Some(at) = from {
                let room = Room { rows: sizes.next().unwrap_or(1), bytes: usize::MAX };
                let pushed = decoder.push(&page, at, room, skip).unwrap();
                from = pushed.rest;
                found.extend(column(&decoder.flush().unwrap(), "_sequence").iter().map(|text| number(text)));
            }
            found
        };
        let through = number(&record.to_string());
        let through = sub.map_or(through.clone(), |sub| through.part(sub));
        let all = sequences(&Skip::default());
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", all);
        let behind: Vec<_> = all.iter().filter(|number| **number > through).cloned().collect();
        prop_assert_eq!(sequences(&Skip { created_before: None, through: Some(through) }), behind);
    }
}
