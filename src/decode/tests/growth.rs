//! Numbers that widen and structs that grow, within a batch and across batches.

use super::*;
use proptest::prelude::*;

const DIGITS: &str = "12345678901234567890123456789012345678";

#[test]
fn a_number_widens_in_the_middle_of_a_batch() {
    let huge = format!(r#""n":{{"N":"{DIGITS}"}}"#);
    let items = [r#""n":{"N":"1"}"#, "", r#""n":{"N":"1.5"}"#, r#""n":{"N":"-20"}"#];
    assert_eq!(column(&decode("{}", &items), "n"), ["1.000000000", "-", "1.500000000", "-20.000000000"]);
    let batch = decode("{}", &[&items[..], &[&huge]].concat());
    assert_eq!(column(&batch, "n"), ["1", "-", "1.5", "-20", DIGITS]);
    assert_eq!(batch.schema().field_with_name("n").unwrap().metadata()["shardarrow.number"], "true");
    let batch = decode("{}", &[items[0], &huge]);
    assert_eq!(column(&batch, "n"), ["1", DIGITS]);
}

#[test]
fn a_number_key_widens_across_batches_and_earlier_batches_conform() {
    let mut decoder = decoder(&options("{}"), &[key("id", KeyKind::Number)], None).unwrap();
    let mut batches = Vec::new();
    for number in ["7", "7.25", DIGITS, "1e-130"] {
        let change = format!(
            r#""Keys":{{"id":{{"N":"{number}"}}}},"NewImage":{{"id":{{"N":"{number}"}},"s":{{"NS":["{number}"]}}}}"#
        );
        push(&mut *decoder, &page(&record("INSERT", 1, &change)));
        batches.push(decoder.flush().unwrap());
    }
    let small = format!("0.{}1", "0".repeat(129));
    let schema = batches[3].schema();
    let expected = ["7", "7.25", DIGITS, &small];
    for (batch, expected) in batches.iter().zip(expected) {
        let batch = conform(batch, &schema).unwrap();
        check(&batch);
        assert_eq!(column(&batch, "id"), [expected]);
        assert_eq!(column(&batch, "s"), [format!("[{expected}]")]);
    }
    assert_eq!(column(&batches[1], "id"), ["7.250000000"]);
    assert_eq!(column(&conform(&batches[0], &batches[1].schema()).unwrap(), "id"), ["7.000000000"]);
    assert!(conform(&batches[3], &batches[0].schema()).is_err());
}

#[test]
fn conforming_adds_columns_and_keeps_dictionaries() {
    let mut decoder = decoder_with(r#"{"nested":"struct","old_image":true}"#);
    let first = r#""m":{"M":{"a":{"L":[{"M":{"x":{"N":"1"}}}]}}}"#;
    push(&mut *decoder, &inserts(&[first]));
    let early = decoder.flush().unwrap();
    push(
        &mut *decoder,
        &inserts(&[
            r#""m":{"M":{"b":{"S":"y"},"a":{"L":[{"M":{"x":{"N":"1.5"},"z":{"BOOL":true}}}]}}},"new":{"B":""}"#,
        ]),
    );
    let late = decoder.flush().unwrap();
    let conformed = conform(&early, &late.schema()).unwrap();
    check(&conformed);
    assert_eq!(conformed.schema(), late.schema());
    assert_eq!(column(&conformed, "m"), ["{a: [{x: 1.000000000, z: -}], b: -}"]);
    assert_eq!(column(&conformed, "new"), ["-"]);
    assert_eq!(column(&conformed, "_op"), ["insert"]);
    assert!(Arc::ptr_eq(early.column(0), conformed.column(0)));
}

#[test]
fn structs_grow_and_what_has_no_place_stands_in_the_rest() {
    let items = [
        r#""m":{"M":{"a":{"N":"1"}}}"#,
        r#""m":{"M":{"a":{"N":"0.5"},"b":{"M":{"c":{"S":"x"}}}}}"#,
        r#""m":{"M":{"a":{"S":"other"}}}"#,
        r#""m":{"M":{"a":{"NULL":true}}}"#,
        r#""m":{"M":{}}"#,
        r#""m":{"M":{"e":{"L":[]}}}"#,
        r#""m":{"M":{"e":{"L":[{"S":"1"}]}}}"#,
        r#""m":{"M":{"e":{"L":[]},"a":{"N":"3"}}}"#,
        r#""m":{"M":{"e":{"L":[{"S":"1"},{"N":"2"}]}}}"#,
        r#""l":{"L":[]},"k":{"M":{}}"#,
        r#""l":{"L":[{"N":"1"},{"N":"2.5"}]}"#,
        r#""l":{"L":[{"N":"1"},{"NULL":true}]}"#,
        r#""l":{"NS":["1"]}"#,
    ];
    let mut decoder = decoder_with(r#"{"nested":"struct"}"#);
    push(&mut *decoder, &inserts(&items));
    let batch = decoder.flush().unwrap();
    check(&batch);
    let m = column(&batch, "m");
    assert_eq!(m[0], "{a: 1.000000000, b: -, e: -}");
    assert_eq!(m[1], "{a: 0.500000000, b: {c: x}, e: -}");
    assert_eq!([&m[2], &m[3], &m[5], &m[8]], ["-"; 4]);
    assert_eq!(m[4], "{a: -, b: -, e: -}");
    assert_eq!(m[6], "{a: -, b: -, e: [1]}");
    assert_eq!(m[7], "{a: 3.000000000, b: -, e: []}");
    let l = column(&batch, "l");
    assert_eq!(l[9..], ["-", "[1.000000000, 2.500000000]", "-", "-"]);
    let rest = column(&batch, "_rest");
    for (row, text) in rest.iter().enumerate() {
        let expected = match row {
            2 | 3 | 5 | 8 | 9 | 11 | 12 => format!("{{{}}}", items[row]),
            _ => "-".to_owned(),
        };
        assert_eq!(*text, expected, "row {row}");
    }
    assert_eq!(
        words(&*decoder)[1..],
        [
            r#"m: struct<"a":decimal128(38,9),"b":struct<"c":utf8>,"e":list<utf8>>"#,
            "l: list<decimal128(38,9)>",
        ]
    );
}

#[test]
fn a_map_with_names_like_data_does_not_grow_without_end() {
    let items: Vec<String> = (0..8).map(|n| format!(r#""m":{{"M":{{"k{n}":{{"N":"1"}}}}}}"#)).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let batch = decode(r#"{"nested":"struct","max_columns":5}"#, &items);
    assert_eq!(column(&batch, "_rest").iter().filter(|rest| *rest != "-").count(), 3);
}

#[test]
fn growth_by_a_bad_record_is_taken_back() {
    let mut decoder = decoder_with(r#"{"on_bad_record":"quarantine","nested":"struct","old_image":true}"#);
    push(&mut *decoder, &inserts(&[r#""n":{"N":"1"},"m":{"M":{"a":{"N":"1"}}}"#]));
    let before = decoder.schema_state();
    let bad = r#""n":{"N":"1.5"},"new":{"S":"x"},"m":{"M":{"a":{"N":"1e50"},"b":{"S":"x"}}},"z":{"NULL":true},"bad":{"X":1}"#;
    let pushed = push(&mut *decoder, &inserts(&[bad, r#""n":{"N":"2"}"#, bad]));
    assert_eq!((pushed.rows, pushed.quarantined.len()), (1, 2));
    assert_eq!(pushed.last.unwrap().as_str(), "3");
    assert!(pushed.quarantined[0].reason.contains("\"X\""), "{}", pushed.quarantined[0].reason);
    assert_eq!(decoder.schema_state(), before);
    let batch = decoder.flush().unwrap();
    check(&batch);
    assert_eq!(column(&batch, "n"), ["1", "2"]);
    assert_eq!(column(&batch, "m"), ["{a: 1}", "-"]);
    assert_eq!(column(&batch, "_rest"), ["-", "-"]);
    assert_eq!(column(&batch, "_old"), ["-", "-"]);
}

#[test]
fn the_beginning_of_a_bad_value_is_taken_back() {
    let good = r#""s":{"S":"a"},"b":{"B":"AAE="},"ns":{"NS":["1"]},"l":{"L":[{"M":{"x":{"S":"y"}}}]},"m":{"M":{"p":{"SS":["q"]},"r":{"N":"1"}}}"#;
    let bad = [
        r#""s":{"S":"begin\n\ud800"}"#,
        r#""b":{"B":"AAECAwQFBgcICQoLDA0O*"}"#,
        r#""ns":{"NS":["7","8","x"]}"#,
        r#""l":{"L":[{"M":{"x":{"S":"z"}}},{"M":{"x":{"X":"z"}}}]}"#,
        r#""m":{"M":{"p":{"SS":["1","2"]},"r":{"N":"x"}}}"#,
        r#""m":{"M":{"p":{"SS":["1","2"]},"r":{"N":"2"},"r":{"N":"2"}}}"#,
        r#""s":{"S":"x"},"s":{"S":"y"}"#,
        r#""new":{"L":[{"S":"x"},{"S":5}]}"#,
    ];
    for nested in ["json", "struct"] {
        let json = format!(r#"{{"on_bad_record":"quarantine","nested":"{nested}"}}"#);
        let expected = decode(&json, &[good, "", good]);
        for bad in bad {
            let mut decoder = decoder_with(&json);
            for items in [&[good, bad, ""][..], &[bad, good]] {
                assert_eq!(push(&mut *decoder, &inserts(items)).quarantined.len(), 1, "{bad}");
            }
            let batch = decoder.flush().unwrap();
            check(&batch);
            assert_eq!(batch.schema(), expected.schema(), "{bad}");
            for name in ["s", "b", "ns", "l", "m", "_rest"] {
                assert_eq!(column(&batch, name), column(&expected, name), "{bad}");
            }
        }
    }
}

/// A number as DynamoDB can hold it, written in some odd way, and its value by an independent route:
/// digits as text with a point moved.
fn numbers() -> impl Strategy<Value = (String, String)> {
    let shape = prop_oneof![
        3 => (1usize..10, Just(0i32)),
        2 => (1usize..20, -9i32..1),
        1 => (1usize..38, -100i32..80),
    ];
    (shape, any::<bool>(), prop::collection::vec(0u8..10, 38), 0usize..3).prop_map(
        |((length, exponent), negative, digits, zeros)| {
            let digits: String = digits[..length].iter().map(u8::to_string).collect();
            let sign = if negative { "-" } else { "" };
            let written = format!("{sign}{}{digits}e{exponent}", "0".repeat(zeros));
            let padded = format!(
                "{}{digits}{}",
                "0".repeat(200),
                "0".repeat(usize::try_from(exponent.max(0)).unwrap())
            );
            let point = padded.len() - usize::try_from((-exponent).max(0)).unwrap();
            let whole = padded[..point].trim_start_matches('0');
            let fraction = padded[point..].trim_end_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            let value = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
            let value = if value == "0" { value } else { format!("{sign}{value}") };
            (written, value)
        },
    )
}

fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the order of widths and wherever batches end, each row keeps its number.
    #[test]
    fn numbers_survive_any_widening(rows in prop::collection::vec((numbers(), any::<bool>()), 1..12)) {
        let mut decoder = decoder_with("{}");
        let (mut batches, mut expected) = (Vec::new(), Vec::new());
        for ((written, value), ends) in &rows {
            push(&mut *decoder, &inserts(&[&format!(r#""n":{{"N":"{written}"}}"#)]));
            expected.push(value.clone());
            if *ends {
                batches.push(decoder.flush().unwrap());
            }
        }
        batches.push(decoder.flush().unwrap());
        let schema = batches.last().unwrap().schema();
        let mut found = Vec::new();
        for batch in &batches {
            let batch = conform(batch, &schema).unwrap();
            check(&batch);
            found.extend(column(&batch, "n"));
        }
        // Text is canonical as it is; decimals are shown with all nine places.
        if schema.field_with_name("n").unwrap().data_type() != &arrow_schema::DataType::Utf8 {
            found.iter_mut().for_each(|text| *text = trimmed(text));
        }
        prop_assert_eq!(found, expected);
    }
}
