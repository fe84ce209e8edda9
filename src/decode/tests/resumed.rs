//! Going on with the columns of a checkpoint, and options that disagree with it.

use super::*;

fn state(columns: &[(&str, &str)]) -> SchemaState {
    let column =
        |(name, kind): &(&str, &str)| ColumnState { name: (*name).to_owned(), kind: (*kind).to_owned() };
    SchemaState { columns: columns.iter().map(column).collect(), keys: vec![] }
}

fn resume(json: &str, state: &SchemaState) -> Result<Box<dyn Decoder>> {
    decoder(&options(json), &[key("id", KeyKind::Text)], Some(state))
}

fn refusal(json: &str, columns: &[(&str, &str)]) -> String {
    match resume(json, &state(columns)) {
        Ok(_) => panic!("{json} with {columns:?} was accepted"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Usage);
            error.message().to_owned()
        }
    }
}

#[test]
fn a_resumed_decoder_has_the_same_columns_in_the_same_order() {
    let first = [r#""z":{"N":"1.5"},"m":{"M":{"b \"":{"SS":["x"]}}},"a":{"S":"x"}"#];
    let second = [r#""a":{"N":"1"},"new":{"BOOL":true},"z":{"N":"1e60"}"#];
    for json in
        ["{}", r#"{"nested":"struct"}"#, r#"{"numbers":"float64","old_image":true}"#, r#"{"images":"json"}"#]
    {
        let mut going_on = decoder_with(json);
        push(&mut *going_on, &inserts(&first));
        going_on.flush().unwrap();
        let saved = serde_json::to_string(&*going_on.schema_state()).unwrap();
        let mut resumed = resume(json, &serde_json::from_str(&saved).unwrap()).unwrap();
        assert_eq!(resumed.schema_state(), going_on.schema_state());
        push(&mut *going_on, &inserts(&second));
        push(&mut *resumed, &inserts(&second));
        assert_eq!(resumed.schema_state(), going_on.schema_state(), "{json}");
        assert_eq!(resumed.flush().unwrap(), going_on.flush().unwrap(), "{json}");
    }
}

#[test]
fn columns_known_keep_their_kind_when_only_new_ones_are_made_otherwise() {
    let mut decoder = resume(r#"{"nested":"struct"}"#, &state(&[("id", "utf8"), ("m", "json")])).unwrap();
    push(&mut *decoder, &inserts(&[r#""m":{"M":{"a":{"N":"1"}}},"l":{"L":[{"N":"1"}]}"#]));
    assert_eq!(words(&*decoder), ["id: utf8", "m: json", "l: list<int64>"]);
    assert_eq!(column(&decoder.flush().unwrap(), "m"), [r#"{"a":1}"#]);
    let mut decoder = resume("{}", &state(&[("id", "utf8"), ("m", r#"struct<"a":int64>"#)])).unwrap();
    push(&mut *decoder, &inserts(&[r#""m":{"M":{"a":{"N":"1"},"b":{"M":{"c":{"S":"x"}}}}},"l":{"L":[]}"#]));
    assert_eq!(words(&*decoder), ["id: utf8", r#"m: struct<"a":int64,"b":struct<"c":utf8>>"#, "l: json"]);
}

#[test]
fn disagreement_is_an_error_that_names_the_column() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 13] = [
        ("{}", &[("x", "utf8"), ("x", "utf8")], "twice"),
        ("{}", &[("x", "int63")], "not a column type"),
        ("{}", &[("id", "int64")], "another type"),
        ("{}", &[("x", "int32")], "schema="),
        ("{}", &[("x", "float64")], "numbers"),
        (r#"{"numbers":"float64"}"#, &[("x", "int64")], "numbers"),
        ("{}", &[("_op", "utf8")], "metadata"),
        (r#"{"metadata_prefix":"x"}"#, &[("xtime", "utf8")], "metadata"),
        (r#"{"columns":["y"]}"#, &[("x", "utf8")], "columns leaves out"),
        (r#"{"schema":[]}"#, &[("x", "utf8")], "schema leaves out"),
        (r#"{"schema":[{"name":"x","type":"int64"}]}"#, &[("x", "utf8")], "declares"),
        (r#"{"images":"json"}"#, &[("x", "utf8")], "images"),
        ("{}", &[("keys", "image"), ("new_image", "image"), ("old_image", "image")], "not a column type"),
    ];
    for (json, columns, part) in cases {
        let message = refusal(json, columns);
        assert!(message.contains(part), "{json}: {message}");
        assert!(message.contains('"'), "{message}");
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let keys = [key("id", KeyKind::Number)];
    let cases = [
        (r#"{"schema":[{"name":"x","type":"varchar"}]}"#, "\"x\""),
        (r#"{"schema":[{"name":"x","type":"utf8"},{"name":"x","type":"utf8"}]}"#, "twice"),
        (r#"{"schema":[{"name":"_op","type":"utf8"}]}"#, "metadata"),
        (r#"{"schema":[{"name":"id","type":"float64"}]}"#, "\"id\""),
        (r#"{"schema":[],"images":"json"}"#, "images"),
        (r#"{"columns":[],"images":"json"}"#, "images"),
    ];
    for (json, part) in cases {
        let error = decoder(&options(json), &keys, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains(part), "{json}: {error}");
    }
    let error = decoder(&options("{}"), &[key("_op", KeyKind::Text)], None).err().unwrap();
    assert!(error.message().contains("metadata_prefix"), "{error}");
    assert!(serde_json::from_str::<DecodeOptions>(r#"{"nestd":"json"}"#).is_err());
    for kind in ["int32", "decimal128(10,2)", "number"] {
        let json = format!(r#"{{"schema":[{{"name":"id","type":"{kind}"}}]}}"#);
        let first = decoder(&options(&json), &keys, None).unwrap();
        let state = first.schema_state();
        assert_eq!(words(&*first), [format!("id: {kind}")]);
        assert_eq!(*decoder(&options(&json), &keys, Some(&state)).unwrap().schema_state(), *state);
    }
}

#[test]
fn a_declared_schema_grows_by_what_is_declared_anew() {
    let json = r#"{"schema":[{"name":"b","type":"int32"},{"name":"a","type":"utf8"}]}"#;
    let decoder = resume(json, &state(&[("id", "utf8"), ("a", "utf8")])).unwrap();
    assert_eq!(words(&*decoder), ["id: utf8", "a: utf8", "b: int32"]);
}
