//! What stands in which column.

use super::*;
use arrow_schema::DataType;

#[test]
fn metadata_then_keys_then_attributes_in_order_of_appearance() {
    let batch = decode("{}", &[r#""b":{"S":"x"},"a":{"N":"1"}"#, r#""c":{"BOOL":true},"a":{"N":"-2"}"#]);
    let expected = ["_op", "_time", "_shard", "_sequence", "_event_id", "_ttl", "id", "b", "a", "c", "_rest"];
    assert_eq!(names(&batch), expected);
    assert_eq!(batch.schema().metadata()["shardarrow.keys"], r#"["id"]"#);
    assert!(!batch.schema().field_with_name("id").unwrap().is_nullable());
    assert_eq!(column(&batch, "_op"), ["insert", "insert"]);
    assert_eq!(column(&batch, "_shard"), ["shard-1", "shard-1"]);
    assert_eq!(column(&batch, "_sequence"), ["1", "2"]);
    assert_eq!(column(&batch, "_event_id"), ["e1", "e2"]);
    assert_eq!(column(&batch, "_time"), ["2023-11-14T22:13:20", "2023-11-14T22:13:20"]);
    assert_eq!(column(&batch, "_ttl"), ["false", "false"]);
    assert_eq!(column(&batch, "b"), ["x", "-"]);
    assert_eq!(column(&batch, "a"), ["1", "-2"]);
    assert_eq!(column(&batch, "c"), ["-", "true"]);
    assert_eq!(column(&batch, "_rest"), ["-", "-"]);
    let kinds: Vec<String> =
        batch.schema().fields().iter().take(6).map(|f| f.data_type().to_string()).collect();
    assert_eq!(
        kinds,
        [
            "Dictionary(Int8, Utf8)",
            "Timestamp(µs, \"UTC\")",
            "Dictionary(Int32, Utf8)",
            "Utf8",
            "Utf8",
            "Boolean"
        ]
    );
}

#[test]
fn all_ten_types() {
    let item = r#""s":{"S":"a\n\u00e9\u0000"},"n":{"N":"1"},"b":{"B":"AAEC"},"t":{"BOOL":false},"x":{"NULL":true},
        "m":{"M":{"k":{"N":"1.50"}}},"l":{"L":[{"S":"x"},{"NULL":true}]},"ss":{"SS":["a","b"]},
        "ns":{"NS":["1","2"]},"bs":{"BS":["AA==","AQ=="]}"#;
    let batch = decode("{}", &[item]);
    assert_eq!(column(&batch, "s"), ["a\né\0"]);
    assert_eq!(column(&batch, "b"), ["000102"]);
    assert_eq!(column(&batch, "t"), ["false"]);
    assert_eq!(column(&batch, "m"), [r#"{"k":1.5}"#]);
    assert_eq!(column(&batch, "l"), [r#"["x",null]"#]);
    assert_eq!(column(&batch, "ss"), ["[a, b]"]);
    assert_eq!(column(&batch, "ns"), ["[1, 2]"]);
    assert_eq!(column(&batch, "bs"), ["[00, 01]"]);
    assert_eq!(column(&batch, "_rest"), [r#"{"x":{"NULL":true}}"#]);
    assert!(batch.column_by_name("x").is_none());
    let schema = batch.schema();
    assert_eq!(schema.field_with_name("m").unwrap().metadata()["shardarrow.json"], "true");
    assert_eq!(schema.field_with_name("_rest").unwrap().metadata()["shardarrow.json"], "true");
    assert!(schema.field_with_name("s").unwrap().metadata().is_empty());
}

#[test]
fn json_fields_carry_the_extension_type_on_request() {
    let batch = decode(r#"{"json":"arrow.json"}"#, &[r#""m":{"M":{}}"#]);
    for name in ["m", "_rest"] {
        assert_eq!(
            batch.schema().field_with_name(name).unwrap().metadata()["ARROW:extension:name"],
            "arrow.json"
        );
    }
}

#[test]
fn only_numbers_widen_and_other_kinds_stand_in_the_rest() {
    let items = [
        r#""a":{"N":"1"}"#,
        r#""a":{"S":"x"}"#,
        r#""a":{"NULL":true},"b":{"S":"y"}"#,
        r#""a":{"M":{"z":{"N":"1"}}}"#,
    ];
    let mut decoder = decoder_with("{}");
    push(&mut *decoder, &inserts(&items));
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch, "a"), ["1", "-", "-", "-"]);
    assert_eq!(column(&batch, "b"), ["-", "-", "y", "-"]);
    let rest = ["-", r#"{"a":{"S":"x"}}"#, r#"{"a":{"NULL":true}}"#, r#"{"a":{"M":{"z":{"N":"1"}}}}"#];
    assert_eq!(column(&batch, "_rest"), rest);
    assert_eq!(decoder.counts().unfit, 3);
    let notices = decoder.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    for part in ["\"a\"", "int64", "type S", "_rest"] {
        assert!(notices[0].contains(part), "{notices:?}");
    }
    push(&mut *decoder, &inserts(&items));
    assert!(decoder.take_notices().is_empty());
}

#[test]
fn names_of_metadata_columns_and_names_too_many_stand_in_the_rest() {
    let mut decoder = decoder_with(r#"{"max_columns":2}"#);
    let item = r#""_op":{"S":"x"},"_old":{"N":"1"},"a":{"S":"1"},"b":{"S":"2"},"c":{"S":"3"},"d":{"N":"4"}"#;
    push(&mut *decoder, &inserts(&[item, item]));
    let batch = decoder.flush().unwrap();
    let rest = r#"{"_op":{"S":"x"},"_old":{"N":"1"},"c":{"S":"3"},"d":{"N":"4"}}"#;
    assert_eq!(column(&batch, "_rest"), [rest, rest]);
    assert_eq!(column(&batch, "_op"), ["insert", "insert"]);
    assert_eq!(column(&batch, "b"), ["2", "2"]);
    let notices = decoder.take_notices();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert!(notices[0].contains("metadata_prefix") && notices[2].contains("max_columns=2"));

    let batch = decode(r#"{"metadata_prefix":"dynamodb_"}"#, &[item]);
    assert_eq!(column(&batch, "_op"), ["x"]);
    assert_eq!(column(&batch, "dynamodb_op"), ["insert"]);
}

#[test]
fn names_that_differ_by_case_and_odd_names_are_columns_of_their_own() {
    let batch = decode(
        "{}",
        &[r#""a":{"N":"1"},"A":{"N":"2"},"":{"N":"3"},"q\"\\\u00e9":{"N":"4"},"q\"\\é2":{"N":"5"}"#],
    );
    for (name, value) in [("a", "1"), ("A", "2"), ("", "3"), ("q\"\\é", "4"), ("q\"\\é2", "5")] {
        assert_eq!(column(&batch, name), [value]);
    }
}

#[test]
fn keys_come_from_keys_and_attributes_are_null_on_remove() {
    let keys = [key("h", KeyKind::Binary), key("r", KeyKind::Number)];
    let mut decoder = decoder(&options(r#"{"old_image":true,"numbers":"float64"}"#), &keys, None).unwrap();
    let keys_json = r#""Keys":{"r":{"N":"7"},"h":{"B":"AAE="}}"#;
    let image = r#"{"x":{"N":"1.5"},"h":{"B":"AAE="},"r":{"N":"7"}}"#;
    let records = [
        record("INSERT", 1, &format!(r#""NewImage":{image},{keys_json}"#)),
        record("MODIFY", 2, &format!(r#"{keys_json},"NewImage":{image},"OldImage":{image}"#)),
        record("REMOVE", 3, &format!(r#"{keys_json},"OldImage":{image},"NewImage":null"#)),
        record("MODIFY", 4, keys_json),
        record("INSERT", 5, &format!(r#""NewImage":{image}"#)),
    ];
    push(&mut *decoder, &page(&records.join(",")));
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "_op"), ["insert", "modify", "remove", "modify", "insert"]);
    assert_eq!(column(&batch, "h"), ["0001"; 5]);
    assert_eq!(column(&batch, "r"), ["7"; 5]);
    assert_eq!(column(&batch, "x"), ["1.5", "1.5", "-", "-", "1.5"]);
    let old = "{h: 0001, r: 7, x: 1.5, _rest: -}";
    assert_eq!(column(&batch, "_old"), ["-", old, old, "-", "-"]);
    assert_eq!(batch.schema().field_with_name("r").unwrap().data_type(), &DataType::Int64);
}

#[test]
fn an_old_image_has_its_own_rest_and_makes_columns() {
    let change = r#""Keys":{"id":{"S":"k"}},"NewImage":{"id":{"S":"k"},"a":{"N":"1"}},
        "OldImage":{"id":{"S":"k"},"a":{"S":"x"},"b":{"N":"2"},"c":{"NULL":true}}"#;
    let mut decoder = decoder_with(r#"{"old_image":true}"#);
    push(&mut *decoder, &page(&record("MODIFY", 1, change)));
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "a"), ["1"]);
    assert_eq!(column(&batch, "b"), ["-"]);
    assert_eq!(column(&batch, "_rest"), ["-"]);
    assert_eq!(column(&batch, "_old"), [r#"{id: k, a: -, b: 2, _rest: {"a":{"S":"x"},"c":{"NULL":true}}}"#]);
}

#[test]
fn images_as_they_came() {
    let mut decoder = decoder_with(r#"{"images":"json"}"#);
    let image = r#"{ "id" : {"S":"k"}, "n":{"N":"1e400"}, "odd":{"Z":[]} }"#;
    let keys = r#""Keys":{"id":{"S":"k"}}"#;
    let records = [
        record("INSERT", 1, &format!(r#"{keys},"NewImage":{image}"#)),
        record("REMOVE", 2, &format!(r#"{keys},"OldImage":{image},"NewImage":null"#)),
    ];
    push(&mut *decoder, &page(&records.join(",")));
    let batch = decoder.flush().unwrap();
    assert_eq!(names(&batch)[6..], ["keys", "new_image", "old_image"]);
    assert_eq!(column(&batch, "keys"), [r#"{"id":{"S":"k"}}"#; 2]);
    assert_eq!(column(&batch, "new_image"), [image, "-"]);
    assert_eq!(column(&batch, "old_image"), ["-", image]);
    let bad = push_error(&mut *decoder, &page(&record("INSERT", 3, &format!(r#""NewImage":{image}"#))));
    assert!(bad.message().contains("no Keys"), "{bad}");
}

#[test]
fn a_projection_keeps_keys_and_drops_the_rest() {
    let item = r#""a":{"N":"1"},"b":{"S":"x"},"c":{"NULL":true},"d":{"NULL":true}"#;
    let batch = decode(r#"{"columns":["c","a","nowhere"]}"#, &[item]);
    assert_eq!(names(&batch)[6..], ["id", "a", "_rest"]);
    assert_eq!(column(&batch, "_rest"), [r#"{"c":{"NULL":true}}"#]);
}

#[test]
fn a_declared_schema_is_fixed() {
    let schema = r#"{"schema":[{"name":"i","type":"int32"},{"name":"d","type":"decimal128(5,2)"},{"name":"f","type":"float32"},
        {"name":"t","type":"timestamp(ms)"},{"name":"l","type":"list<string>"},{"name":"m","type":"struct<a:int64,b:json>"},
        {"name":"never","type":"bool"},{"name":"x","type":"number"}]}"#;
    let good = r#""i":{"N":"1e2"},"d":{"N":"123.45"},"f":{"N":"0.1"},"t":{"S":"1970-01-01T00:00:01.5Z"},
        "l":{"L":[{"S":"x"}]},"m":{"M":{"b":{"L":[]}}},"x":{"N":"1.10"},"new":{"S":"?"}"#;
    let other =
        r#""i":{"S":"1"},"d":{"NULL":true},"t":{"N":"1500"},"l":{"SS":["x"]},"m":{"M":{"z":{"N":"1"}}}"#;
    let batch = decode(schema, &[good, other]);
    assert_eq!(names(&batch)[6..], ["id", "i", "d", "f", "t", "l", "m", "never", "x", "_rest"]);
    assert_eq!(column(&batch, "i"), ["100", "-"]);
    assert_eq!(column(&batch, "d"), ["123.45", "-"]);
    assert_eq!(column(&batch, "f"), ["0.1", "-"]);
    assert_eq!(column(&batch, "t"), ["1970-01-01T00:00:01.500"; 2]);
    assert_eq!(column(&batch, "l"), ["[x]", "-"]);
    assert_eq!(column(&batch, "m"), ["{a: -, b: []}", "-"]);
    assert_eq!(column(&batch, "never"), ["-", "-"]);
    assert_eq!(column(&batch, "x"), ["1.1", "-"]);
    let rest = r#"{"i":{"S":"1"},"d":{"NULL":true},"l":{"SS":["x"]},"m":{"M":{"z":{"N":"1"}}}}"#;
    assert_eq!(column(&batch, "_rest"), [r#"{"new":{"S":"?"}}"#, rest]);
    for (value, what) in [
        (r#""i":{"N":"1.5"}"#, "\"i\""),
        (r#""d":{"N":"1.234"}"#, "decimal128(5,2)"),
        (r#""t":{"S":"soon"}"#, "soon"),
        (r#""m":{"M":{"a":{"N":"0.5"}}}"#, "\"m\""),
    ] {
        let error = push_error(&mut *decoder_with(schema), &inserts(&[value]));
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert!(error.message().contains(what), "{error}");
    }
}

#[test]
fn float64_on_request_but_never_for_keys() {
    let keys = [key("id", KeyKind::Number)];
    let mut decoder = decoder(&options(r#"{"numbers":"float64"}"#), &keys, None).unwrap();
    let change =
        r#""Keys":{"id":{"N":"0.1"}},"NewImage":{"id":{"N":"0.1"},"x":{"N":"0.1"},"y":{"NS":["1","1e100"]}}"#;
    push(&mut *decoder, &page(&record("INSERT", 1, change)));
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch, "id"), ["0.100000000"]);
    assert_eq!(column(&batch, "x"), ["0.1"]);
    assert_eq!(words(&*decoder), ["id: decimal128(38,9)", "x: float64", "y: set<float64>"]);
}

#[test]
fn a_bare_json_number_loses_no_digit() {
    let batch = decode("{}", &[r#""n":{"N":12345678901234567890.5},"s":{"NS":[1, 2.50]}"#]);
    assert_eq!(column(&batch, "n"), ["12345678901234567890.500000000"]);
    assert_eq!(column(&batch, "s"), ["[1.000000000, 2.500000000]"]);
}

#[test]
fn names_used_like_data_are_kept_but_not_remembered() {
    let mut decoder = decoder_with(r#"{"max_columns":3,"on_bad_record":"quarantine"}"#);
    let many: Vec<String> = (0..10_100).map(|number| format!(r#""n{number}":{{"S":"{number}"}}"#)).collect();
    let many = many.join(",");
    let again = format!(r#"{many},"n10099":{{"S":"again"}}"#);
    let pushed = push(&mut *decoder, &inserts(&[&many, &again, &many]));
    assert_eq!((pushed.rows, pushed.quarantined.len()), (2, 1));
    assert!(pushed.quarantined[0].reason.contains("\"n10099\" stands twice"));
    let batch = decoder.flush().unwrap();
    for text in column(&batch, "_rest") {
        let rest: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((rest.len(), &rest["n10099"]["S"]), (10_097, &serde_json::Value::from("10099")));
    }
    assert_eq!(words(&*decoder), ["id: utf8", "n0: utf8", "n1: utf8", "n2: utf8"]);
}
