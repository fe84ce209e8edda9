//! Pages of a table's scan, by themselves and in one batch with changes.

use super::*;
use crate::page::{ItemsPage, Segment};
use proptest::prelude::*;

const TIME: i64 = 1_700_000_000_123;

pub(super) fn scanned(items: &str) -> ItemsPage {
    scanned_of(Bytes::from(format!("{{\"Count\":1,\"Items\":[{items}]}}")))
}

fn scanned_of(body: Bytes) -> ItemsPage {
    let end = body.len().saturating_sub(2);
    ItemsPage {
        segment: Segment { index: 3, total: 8 },
        items: 20.min(end)..end,
        body,
        next: None,
        scanned: 1,
        units: None,
        server_time: Some(TIME),
    }
}

/// An item with the key `id` behind these attributes.
pub(super) fn item(id: &str, attributes: &str) -> String {
    let comma = if attributes.is_empty() { "" } else { "," };
    format!("{{{attributes}{comma}\"id\":{{\"S\":\"{id}\"}}}}")
}

fn take(decoder: &mut dyn Decoder, page: &ItemsPage) -> Pushed {
    decoder.push_items(page, page.items.start, ALL).unwrap()
}

fn take_error(decoder: &mut dyn Decoder, page: &ItemsPage) -> Error {
    decoder.push_items(page, page.items.start, ALL).unwrap_err()
}

const TEN_TYPES: &str = r#""s":{"S":"a\"b"},"n":{"N":"12.50"},"b":{"B":"AAEC"},"t":{"BOOL":true},"x":{"NULL":true},"m":{"M":{"a":{"N":"1.0"}}},"l":{"L":[{"S":"x"}]},"ss":{"SS":["p","q"]},"ns":{"NS":["1","2"]},"bs":{"BS":["AA=="]}"#;

#[test]
fn an_item_of_all_ten_types_is_a_row() {
    let mut decoder = decoder_with(r#"{"old_image":true}"#);
    let pushed = take(&mut *decoder, &scanned(&item("k1", TEN_TYPES)));
    assert_eq!((pushed.rows, pushed.rest, pushed.skipped), (1, None, 0));
    assert_eq!((pushed.last, pushed.newest), (None, None));
    let batch = decoder.flush().unwrap();
    check(&batch);
    let expected = [
        ("_op", "snapshot"),
        ("_time", "2023-11-14T22:13:20.123"),
        ("_shard", "segment-3-of-8"),
        ("_sequence", "-"),
        ("_event_id", "-"),
        ("_ttl", "false"),
        ("id", "k1"),
        ("s", "a\"b"),
        ("n", "12.500000000"),
        ("b", "000102"),
        ("t", "true"),
        ("m", r#"{"a":1}"#),
        ("l", r#"["x"]"#),
        ("ss", "[p, q]"),
        ("ns", "[1, 2]"),
        ("bs", "[00]"),
        ("_old", "-"),
        ("_rest", r#"{"x":{"NULL":true}}"#),
    ];
    assert_eq!(names(&batch), expected.map(|(name, _)| name));
    for (name, value) in expected {
        assert_eq!(column(&batch, name), [value], "{name}");
    }
}

/// An item becomes the very columns that a change with it as new image becomes.
#[test]
fn an_item_is_decoded_as_a_new_image_is() {
    for json in ["{}", r#"{"nested":"struct"}"#, r#"{"numbers":"float64"}"#, r#"{"columns":["n","l"]}"#] {
        let (mut items, mut changes) = (decoder_with(json), decoder_with(json));
        take(&mut *items, &scanned(&format!("{{\"id\":{{\"S\":\"k\"}},{TEN_TYPES}}}")));
        push(&mut *changes, &inserts(&[TEN_TYPES]));
        assert_eq!(items.schema_state(), changes.schema_state(), "{json}");
        let (items, changes) = (items.flush().unwrap(), changes.flush().unwrap());
        assert_eq!(items.schema(), changes.schema());
        assert_eq!(items.columns()[6..], changes.columns()[6..], "{json}");
    }
}

#[test]
fn keys_of_each_type_come_from_the_item_itself() {
    let keys = [key("h", KeyKind::Binary), key("r", KeyKind::Number)];
    let page = scanned(r#"{"r":{"N":"1.5"},"a":{"S":"x"},"\u0068":{"B":"\/w=="}}"#);
    let mut columns = decoder(&options("{}"), &keys, None).unwrap();
    take(&mut *columns, &page);
    let batch = columns.flush().unwrap();
    assert_eq!(names(&batch)[6..], ["h", "r", "a", "_rest"]);
    assert_eq!((column(&batch, "h"), column(&batch, "r")), (vec!["ff".into()], vec!["1.500000000".into()]));
    assert!(!batch.schema().field_with_name("h").unwrap().is_nullable());
    let mut images = decoder(&options(r#"{"images":"json"}"#), &keys, None).unwrap();
    take(&mut *images, &page);
    let batch = images.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "keys"), [r#"{"\u0068":{"B":"\/w=="},"r":{"N":"1.5"}}"#]);
    assert_eq!(column(&batch, "new_image"), [std::str::from_utf8(&page.body[page.items.clone()]).unwrap()]);
    assert_eq!(column(&batch, "old_image"), ["-"]);
}

#[test]
fn snapshot_and_change_rows_share_a_batch_and_its_widening_numbers() {
    let mut decoder = decoder_with(r#"{"old_image":true}"#);
    take(&mut *decoder, &scanned(&item("k", r#""n":{"N":"1"},"only":{"S":"scan"}"#)));
    let change = record(
        "MODIFY",
        7,
        r#""Keys":{"id":{"S":"k"}},"NewImage":{"id":{"S":"k"},"n":{"N":"1.5"}},"OldImage":{"n":{"N":"1"}}"#,
    );
    push(&mut *decoder, &page(&change));
    take(&mut *decoder, &scanned(&item("k", r#""n":{"N":"12345678901234567890123456789012345678"}"#)));
    push(&mut *decoder, &inserts(&[r#""n":{"N":"2"}"#]));
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "_op"), ["snapshot", "modify", "snapshot", "insert"]);
    assert_eq!(column(&batch, "_shard"), ["segment-3-of-8", "shard-1", "segment-3-of-8", "shard-1"]);
    assert_eq!(column(&batch, "_sequence"), ["-", "7", "-", "1"]);
    assert_eq!(column(&batch, "_event_id"), ["-", "e7", "-", "e1"]);
    assert_eq!(column(&batch, "n"), ["1", "1.5", "12345678901234567890123456789012345678", "2"]);
    assert_eq!(column(&batch, "only"), ["scan", "-", "-", "-"]);
    let old = column(&batch, "_old");
    assert!([0, 2, 3].iter().all(|&row| old[row] == "-") && old[1].contains("n: 1"), "{old:?}");
}

#[test]
fn the_schema_is_the_same_for_items_and_changes() {
    for json in ["{}", r#"{"images":"json"}"#] {
        let mut decoder = decoder_with(json);
        let none = decoder.flush().unwrap().schema();
        take(&mut *decoder, &scanned(&item("k", "")));
        let items = decoder.flush().unwrap().schema();
        push(&mut *decoder, &inserts(&[""]));
        let changes = decoder.flush().unwrap().schema();
        assert!(Arc::ptr_eq(&none, &items) && Arc::ptr_eq(&items, &changes));
        let nullable = ["_op", "_time", "_shard", "_sequence", "_event_id", "_ttl"]
            .map(|name| items.field_with_name(name).unwrap().is_nullable());
        assert_eq!(nullable, [false, true, false, true, true, false]);
    }
}

#[test]
fn a_page_without_items_and_one_without_a_time() {
    for space in ["", " \n\t\r "] {
        for json in ["{}", r#"{"images":"json"}"#] {
            let mut decoder = decoder_with(json);
            let pushed = take(&mut *decoder, &scanned(space));
            assert_eq!((pushed.rows, pushed.rest, pushed.last), (0, None, None));
            assert_eq!(decoder.flush().unwrap().num_rows(), 0);
        }
    }
    for unknown in [None, Some(i64::MAX)] {
        let mut decoder = decoder_with("{}");
        take(&mut *decoder, &scanned(&item("a", "")));
        take(&mut *decoder, &ItemsPage { server_time: unknown, ..scanned(&item("b", "")) });
        assert_eq!(column(&decoder.flush().unwrap(), "_time"), ["2023-11-14T22:13:20.123", "-"]);
    }
}

#[test]
fn bad_items_are_named_and_rows_before_them_are_kept() {
    let cases = [
        (r#"{"a":{"S":"x"}}"#.to_owned(), "\"id\" is missing"),
        (r#"{"id":{"N":"1"}}"#.to_owned(), "attribute \"id\""),
        (r#"{"id":{"NULL":true}}"#.to_owned(), "attribute \"id\""),
        (r#"{"id":{"SS":["x"]}}"#.to_owned(), "attribute \"id\""),
        (r#"{"id":{"S":"a"},"\u0069d":{"S":"b"}}"#.to_owned(), "twice"),
        (r#"{"id":{"S":5}}"#.to_owned(), "a string"),
        ("{}".to_owned(), "\"id\" is missing"),
        ("17".to_owned(), "an object"),
        ("null".to_owned(), "an object"),
    ];
    let with_columns = [
        (item("b", r#""late":{"S":"x"},"n":{"N":"NaN"}"#), "attribute \"n\": \"NaN\""),
        (item("b", r#""a":{"S":"1"},"a":{"S":"2"}"#), "twice"),
        (item("b", r#""a":{"X":1}"#), "\"X\""),
        (item("b", &format!(r#""a":{}1{}"#, "{\"L\":[".repeat(10_000), "]}".repeat(10_000))), "32 levels"),
    ];
    for (bad, reason) in cases.iter().chain(&with_columns) {
        bad_item(bad, reason, "{}");
    }
    for (bad, reason) in &cases {
        let reason = reason.replace("a string", "a string was");
        bad_item(bad, &reason, r#"{"images":"json"}"#);
    }
}

fn bad_item(bad: &str, reason: &str, json: &str) {
    let page = scanned(&format!(" {} , {bad}, {}", item("a", ""), item("c", r#""z":{"N":"1"}"#)));
    let mut decoder = decoder_with(json);
    let state = decoder.schema_state();
    let pushed = take(&mut *decoder, &page);
    assert_eq!(pushed.rows, 1, "{bad}");
    let rest = pushed.rest.unwrap();
    assert!(page.body[rest..].starts_with(bad.as_bytes()));
    let error = decoder.push_items(&page, rest, ALL).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::BadRecord, None), "{bad}: {error}");
    assert_eq!(error.shard().unwrap().as_str(), "segment-3-of-8");
    for part in [reason, "item 2 of a page of segment-3-of-8"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!((decoder.rows(), decoder.schema_state()), (1, state), "{bad}");

    let mut keeping =
        decoder_with(&json.replace('{', r#"{"on_bad_record":"quarantine","#).replace(",}", "}"));
    let pushed = take(&mut *keeping, &page);
    assert_eq!((pushed.rows, pushed.rest, pushed.last), (2, None, None));
    assert_eq!(pushed.quarantined.len(), 1);
    let Quarantined { sequence, raw, reason: why } = &pushed.quarantined[0];
    assert_eq!((sequence, &raw[..]), (&None, bad.as_bytes()));
    assert!(why.contains(reason), "{why}");
    let batch = keeping.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "_op"), ["snapshot", "snapshot"]);
}

#[test]
fn keys_stay_under_a_projection_and_declared_columns_hold() {
    let mut decoder = decoder_with(r#"{"columns":["a"]}"#);
    take(&mut *decoder, &scanned(&item("k", r#""b":{"S":"no"},"a":{"S":"yes"},"c":{"NULL":true}"#)));
    let batch = decoder.flush().unwrap();
    assert_eq!(names(&batch)[6..], ["id", "a", "_rest"]);
    assert_eq!(column(&batch, "_rest"), ["-"]);
    let mut decoder = decoder_with(r#"{"schema":[{"name":"a","type":"int16"}]}"#);
    take(&mut *decoder, &scanned(&item("k", r#""a":{"N":"5"},"b":{"S":"x"}"#)));
    let error = take_error(&mut *decoder, &scanned(&item("k", r#""a":{"N":"70000"}"#)));
    assert!(error.message().contains("item 1") && error.message().contains("int16"), "{error}");
    let batch = decoder.flush().unwrap();
    assert_eq!(
        (column(&batch, "a"), column(&batch, "_rest")),
        (vec!["5".into()], vec![r#"{"b":{"S":"x"}}"#.into()])
    );
}

#[test]
fn a_resumed_decoder_goes_on_with_items() {
    for json in ["{}", r#"{"nested":"struct"}"#, r#"{"images":"json"}"#] {
        let mut going_on = decoder_with(json);
        take(&mut *going_on, &scanned(&item("k", TEN_TYPES)));
        push(&mut *going_on, &inserts(&[r#""n":{"N":"1e60"},"new":{"BOOL":true}"#]));
        going_on.flush().unwrap();
        let keys = [key("id", KeyKind::Text)];
        let saved = going_on.schema_state();
        let mut resumed = decoder(&options(json), &keys, Some(&saved)).unwrap();
        let next = scanned(&item("k", r#""newer":{"S":"x"},"n":{"N":"1"}"#));
        for decoder in [&mut going_on, &mut resumed] {
            take(&mut **decoder, &next);
        }
        assert_eq!(resumed.schema_state(), going_on.schema_state(), "{json}");
        assert_eq!(resumed.flush().unwrap(), going_on.flush().unwrap(), "{json}");
    }
}

fn many() -> String {
    let items: Vec<String> = (0..7)
        .map(|n| {
            item(
                &format!("k{n}"),
                &format!(r#""n":{{"N":"{n}.{n}"}},"m{}":{{"M":{{"a":{{"S":"é"}}}}}}"#, n % 3),
            )
        })
        .collect();
    items.join(" , ")
}

#[test]
fn room_ends_a_batch_at_every_row() {
    let page = scanned(&many());
    for json in ["{}", r#"{"images":"json"}"#] {
        let mut whole = decoder_with(json);
        take(&mut *whole, &page);
        let whole = whole.flush().unwrap();
        for room in (1..=8).map(|rows| Room { rows, bytes: usize::MAX }).chain([Room { rows: 9, bytes: 0 }]) {
            let (mut decoder, mut from, mut batches) =
                (decoder_with(json), Some(page.items.start), Vec::new());
            while let Some(at) = from {
                let pushed = decoder.push_items(&page, at, room).unwrap();
                assert!(pushed.rows <= if room.bytes == 0 { 1 } else { room.rows });
                from = pushed.rest;
                batches.push(decoder.flush().unwrap());
            }
            let batches: Vec<_> =
                batches.iter().map(|batch| conform(batch, &whole.schema()).unwrap()).collect();
            let stitched = arrow_select::concat::concat_batches(&whole.schema(), &batches).unwrap();
            for (found, expected) in stitched.columns().iter().zip(whole.columns()).skip(6) {
                assert_eq!(found, expected, "{json} {room:?}");
            }
            assert_eq!(column(&stitched, "_op"), ["snapshot"; 7]);
        }
    }
}

#[test]
fn a_damaged_page_leaves_no_trace() {
    let good = item("b", r#""n":{"N":"1.5"},"new":{"S":"x"}"#);
    let bad = r#"{"id":5}"#;
    let damages = [
        format!("{good},"),
        format!(",{good}"),
        format!("{good} {good}"),
        format!("{good},{bad},{{\"id\":"),
        format!("{good},{bad},\"open"),
        format!("{good},{bad},tru"),
        format!("{good},{bad},{{\"id\":{{\"S\":\"\\q\"}}}}"),
        format!("{good},{bad}]"),
    ];
    for json in [r#"{"on_bad_record":"quarantine"}"#, r#"{"on_bad_record":"quarantine","images":"json"}"#] {
        for damage in &damages {
            let mut decoder = decoder_with(json);
            push(&mut *decoder, &inserts(&[r#""n":{"N":"1"}"#]));
            let (state, bytes) = (decoder.schema_state(), decoder.bytes());
            let error = take_error(&mut *decoder, &scanned(damage));
            assert_eq!(error.kind(), ErrorKind::BadPage, "{damage}");
            assert!(error.message().contains("segment-3-of-8") && error.retryable(), "{error}");
            assert_eq!(error.shard().unwrap().as_str(), "segment-3-of-8");
            assert_eq!(
                (decoder.rows(), decoder.schema_state(), decoder.bytes()),
                (1, state, bytes),
                "{damage}"
            );
            let pushed = take(&mut *decoder, &scanned(&format!("{good},{bad}")));
            assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 1));
            check(&decoder.flush().unwrap());
        }
    }
}

#[test]
fn a_page_is_cut_anywhere_or_is_not_utf8() {
    let whole = scanned(&many());
    for json in ["{}", r#"{"images":"json"}"#] {
        for end in whole.items.start..=whole.body.len() {
            let cut = ItemsPage { items: whole.items.start..end, ..whole.clone() };
            let mut decoder = decoder_with(json);
            let result = decoder.push_items(&cut, cut.items.start, ALL);
            if end == whole.items.end {
                assert_eq!(result.unwrap().rows, 7);
            } else {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::BadPage, "{end}");
                assert_eq!(decoder.rows(), 0);
            }
        }
        let mut body = whole.body.to_vec();
        let at = body.iter().position(|byte| *byte > 0x7f).unwrap();
        body[at] = 0xff;
        let error = take_error(&mut *decoder_with(json), &scanned_of(body.into()));
        assert!(error.kind() == ErrorKind::BadPage && error.message().contains("UTF-8"), "{error}");
    }
}

proptest! {
    /// A byte changed or cut away anywhere gives a damaged page, which leaves no row, or sound columns
    /// with as many items as a parser finds.
    #[test]
    fn damage_is_noticed_or_harmless(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), images in any::<bool>()) {
        let whole = scanned(&many());
        let at = whole.items.start + at.index(whole.items.len());
        let mut body = whole.body.to_vec();
        if cut {
            body.truncate(at);
            body.extend_from_slice(b"]}");
        } else {
            body[at] = byte;
        }
        let page = scanned_of(body.into());
        let images = if images { r#","images":"json""# } else { "" };
        let mut decoder = decoder_with(&format!(r#"{{"on_bad_record":"quarantine"{images}}}"#));
        match decoder.push_items(&page, page.items.start, ALL) {
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::BadPage);
                prop_assert_eq!(decoder.rows(), 0);
            }
            Ok(pushed) => {
                let parsed: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
                prop_assert_eq!(pushed.rows + pushed.quarantined.len(), parsed["Items"].as_array().unwrap().len());
            }
        }
        check(&decoder.flush().unwrap());
    }
}
