//! Hashes of images: the same for the same values, however they are written, and for no others.

use super::super::properties::{Item, Value, base64, items, quoted, written};
use super::changes::{change, changes, inserted};
use super::*;
use proptest::prelude::*;

const HASHED: &str = r#"{"format":"dynamodb","image_hashes":true}"#;

fn hashes_of(records: &[String]) -> Vec<(String, String)> {
    let mut decoder = kinesis(HASHED);
    push(&mut *decoder, &changes(records));
    let batch = decoder.flush().unwrap();
    check(&batch);
    column(&batch, "_new_hash").into_iter().zip(column(&batch, "_old_hash")).collect()
}

/// The hash of an image with these attributes besides its key.
fn hash(attributes: &str) -> String {
    hashes_of(&[inserted(attributes)]).remove(0).0
}

#[test]
fn each_image_has_its_hash() {
    let keys = r#""Keys":{"id":{"S":"k"}}"#;
    let image = |n: u32| format!(r#"{{"n":{{"N":"{n}"}},"id":{{"S":"k"}}}}"#);
    let all = [
        change("INSERT", "1", &format!(r#"{keys},"NewImage":{}"#, image(1))),
        change("MODIFY", "2", &format!(r#"{keys},"NewImage":{},"OldImage":{}"#, image(2), image(1))),
        change("MODIFY", "3", &format!(r#"{keys},"OldImage":{},"NewImage":{}"#, image(2), image(3))),
        change("REMOVE", "4", &format!(r#"{keys},"NewImage":null,"OldImage":{}"#, image(3))),
    ];
    let hashes = hashes_of(&all);
    assert_eq!(hashes[0].1, "-");
    assert_eq!(hashes[3].0, "-");
    for pair in hashes.windows(2) {
        assert_eq!(pair[0].0, pair[1].1, "{hashes:?}");
        assert_ne!(pair[0].0, pair[1].0);
    }
    assert_eq!(hashes[0].0.len(), 32);
}

/// They are stored: another hash of the same image would be a change that never was.
#[test]
fn the_hash_of_an_image_never_changes() {
    let all = r#""s":{"S":"é\n"},"n":{"N":"-1.5"},"b":{"B":"AAE="},"t":{"BOOL":true},"x":{"NULL":true},"m":{"M":{"z":{"S":""},"a":{"L":[{"N":"1"},{"BOOL":false}]}}},"ss":{"SS":["b","a"]},"ns":{"NS":["10","9"]},"bs":{"BS":["AQ==","AA=="]}"#;
    assert_eq!(hash(""), "9e90d7c8069337c0c4ec41f2728eb0d7");
    assert_eq!(hash(all), "ed66da9f76962fa85abd97017188b98c");
}

#[test]
fn how_values_are_written_does_not_count() {
    for (one, other) in [
        (r#""a":{"S":"x"},"b":{"N":"1"}"#, r#" "b" : { "N" : "1" } , "a" : {"S":"x"} "#),
        (r#""a":{"S":"é/\n"}"#, r#""\u0061":{"S":"\u00e9\/\u000a"}"#),
        (r#""a":{"N":"1.5"}"#, r#""a":{"N":"001.50"}"#),
        (r#""a":{"N":"1000"}"#, r#""a":{"N":"1e3"}"#),
        (r#""a":{"N":"0"}"#, r#""a":{"N":"-0.0"}"#),
        (r#""a":{"N":"7"}"#, r#""a":{"N":7}"#),
        (r#""a":{"B":"/w=="}"#, r#""a":{"B":"\/w=="}"#),
        (r#""a":{"SS":["x","y","z"]}"#, r#""a":{"SS":["z","x","y"]}"#),
        (r#""a":{"NS":["1","20","3"]}"#, r#""a":{"NS":["2e1","3.0",1]}"#),
        (r#""a":{"BS":["AA==","AQ=="]}"#, r#""a":{"BS":["AQ==","AA=="]}"#),
        (
            r#""a":{"M":{"x":{"S":"1"},"y":{"L":[{"M":{"p":{"N":"1"},"q":{"N":"2"}}}]}}}"#,
            r#""a":{"M":{"y":{"L":[{"M":{"q":{"N":"2"},"p":{"N":"1"}}}]},"x":{"S":"1"}}}"#,
        ),
    ] {
        assert_eq!(hash(one), hash(other), "{one}");
    }
}

#[test]
fn other_values_have_other_hashes() {
    let all = [
        "",
        r#""a":{"S":""}"#,
        r#""a":{"S":"1"}"#,
        r#""a":{"N":"1"}"#,
        r#""a":{"N":"10"}"#,
        r#""a":{"N":"-1"}"#,
        r#""a":{"B":"MQ=="}"#,
        r#""a":{"B":""}"#,
        r#""a":{"BOOL":true}"#,
        r#""a":{"BOOL":false}"#,
        r#""a":{"NULL":true}"#,
        r#""a":{"M":{}}"#,
        r#""a":{"L":[]}"#,
        r#""a":{"L":[{"S":"x"},{"S":"y"}]}"#,
        r#""a":{"L":[{"S":"y"},{"S":"x"}]}"#,
        r#""a":{"SS":["x","y"]}"#,
        r#""a":{"SS":["xy"]}"#,
        r#""a":{"NS":["1"]}"#,
        r#""a":{"SS":["1"]}"#,
        r#""a":{"BS":["MQ=="]}"#,
        r#""a":{"M":{"a":{"M":{}},"b":{"M":{}}}}"#,
        r#""a":{"M":{"a":{"M":{"b":{"M":{}}}}}}"#,
        r#""a":{"L":[{"L":[]},{"L":[]}]}"#,
        r#""a":{"L":[{"L":[{"L":[]}]}]}"#,
        r#""b":{"S":""}"#,
        r#""":{"S":"a"}"#,
    ];
    let records: Vec<String> = all.iter().map(|attributes| inserted(attributes)).collect();
    let hashes = hashes_of(&records);
    let different: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn columns_and_images_do_not_matter_to_it_and_names_are_reserved() {
    let item = r#""a":{"S":"x"},"_new_hash":{"S":"mine"}"#;
    let expected = hash(item);
    for json in [
        r#"{"format":"dynamodb","image_hashes":true,"columns":[]}"#,
        r#"{"format":"dynamodb","image_hashes":true,"images":"json"}"#,
        r#"{"format":"dynamodb","image_hashes":true,"numbers":"float64","nested":"struct","old_image":true}"#,
    ] {
        let mut decoder = kinesis(json);
        push(&mut *decoder, &changes(&[inserted(item)]));
        let batch = decoder.flush().unwrap();
        assert_eq!(column(&batch, "_new_hash"), std::slice::from_ref(&expected), "{json}");
        assert_eq!(
            names(&batch)[..8],
            ["_op", "_time", "_shard", "_sequence", "_event_id", "_ttl", "_new_hash", "_old_hash"]
        );
    }
    let mut decoder = kinesis(HASHED);
    push(&mut *decoder, &changes(&[inserted(item)]));
    assert_eq!(column(&decoder.flush().unwrap(), "_rest"), [r#"{"_new_hash":{"S":"mine"}}"#]);
    let mut decoder = kinesis(CHANGES);
    push(&mut *decoder, &changes(&[inserted(item)]));
    assert_eq!(column(&decoder.flush().unwrap(), "_new_hash"), ["mine"]);
}

#[test]
fn scanned_items_and_changes_of_a_stream_have_them_too() {
    let attributes = r#""a":{"N":"1"}"#;
    let page = super::super::items::scanned(&super::super::items::item("k", attributes));
    let mut decoder = super::super::decoder(&options(HASHED), &[key("id", KeyKind::Text)], None).unwrap();
    decoder.push_items(&page, page.items.start, ALL).unwrap();
    assert_eq!(column(&decoder.flush().unwrap(), "_new_hash"), [hash(attributes)]);
    let batch = decode(r#"{"image_hashes":true}"#, &[attributes]);
    assert_eq!(column(&batch, "_new_hash"), [hash(attributes)]);
    for format in ["bytes", "json"] {
        let json = format!(r#"{{"format":"{format}","image_hashes":true}}"#);
        assert!(decoder_error(&json).contains("image_hashes"));
    }
}

fn decoder_error(json: &str) -> String {
    decoder(&options(json), &[], None).err().unwrap().message().to_owned()
}

#[test]
fn a_bad_value_is_a_bad_record_also_where_nothing_else_looks_at_it() {
    let old = r#""Keys":{"id":{"S":"k"}},"OldImage":{"a":{"X":1}}"#;
    let mut decoder = kinesis(&keeping(HASHED));
    let pushed = push(&mut *decoder, &changes(&[change("REMOVE", "1", old), inserted("")]));
    assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 1));
    assert_eq!(column(&decoder.flush().unwrap(), "_old_hash"), ["-"]);
}

/// The same value, with the order of members and elements turned round, and numbers spelled otherwise.
fn respelled(value: &Value) -> String {
    let number = |text: &String| {
        let text = if text.contains('.') { format!("{text}00") } else { format!("{text}.0e0") };
        if text.starts_with('-') { text } else { format!("00{text}") }
    };
    let set = |tag: &str, mut elements: Vec<String>| {
        elements.reverse();
        format!(r#"{{"{tag}":[{}]}}"#, elements.join(","))
    };
    match value {
        Value::N(text) => format!(r#"{{"N":"{}"}}"#, number(text)),
        Value::SS(texts) => set("SS", texts.iter().map(|text| quoted(text)).collect()),
        Value::NS(texts) => set("NS", texts.iter().map(|text| quoted(&number(text))).collect()),
        Value::BS(all) => set("BS", all.iter().map(|bytes| quoted(&base64(bytes))).collect()),
        Value::M(map) => format!(r#"{{"M":{}}}"#, respelled_item(map)),
        Value::L(list) => {
            format!(r#"{{"L":[{}]}}"#, list.iter().map(respelled).collect::<Vec<_>>().join(" , "))
        }
        other => other.written(),
    }
}

fn respelled_item(item: &Item) -> String {
    let members = item.iter().rev().map(|(name, value)| format!("{} : {}", quoted(name), respelled(value)));
    format!("{{ {} }}", members.collect::<Vec<_>>().join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_image_respelled_is_the_same_image(items in items(6)) {
        let keys = r#""Keys":{"id":{"S":"k"}}"#;
        let records = items.iter().map(|item| {
            change("MODIFY", "1", &format!(r#"{keys},"NewImage":{},"OldImage":{}"#, written(item), respelled_item(item)))
        });
        for (new, old) in hashes_of(&records.collect::<Vec<_>>()) {
            prop_assert_eq!(new, old);
        }
    }
}
