//! Real and realistic events, each wrapped into a page where it is not one already.

use super::*;

fn sample(name: &str) -> Page {
    let path = format!("{}/tests/data/streams/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.trim();
    let (body, start, end) = match text.find('[').filter(|_| text.contains("\"Records\"")) {
        Some(at) => (text.to_owned(), at + 1, text.rfind(']').unwrap()),
        None => (format!("[{text}]"), 1, text.len() + 1),
    };
    Page { records: start..end, ..page_of(Bytes::from(body)) }
}

fn decode_sample(name: &str, keys: &[KeyAttribute], options_json: &str) -> (RecordBatch, Pushed) {
    let mut decoder = decoder(&options(options_json), keys, None).unwrap();
    let pushed = push(&mut *decoder, &sample(name));
    let batch = decoder.flush().unwrap();
    check(&batch);
    (batch, pushed)
}

#[test]
fn lambda_insert_and_modify() {
    let keys = [key("Id", KeyKind::Number)];
    let (batch, pushed) = decode_sample("lambda_insert_modify.json", &keys, r#"{"old_image":true}"#);
    assert_eq!(pushed.last.unwrap().as_str(), "222");
    assert_eq!(pushed.newest, Some(1_693_997_155_000));
    assert_eq!(column(&batch, "_op"), ["insert", "modify"]);
    assert_eq!(column(&batch, "_time"), ["2023-09-06T10:45:55", "-"]);
    assert_eq!(column(&batch, "_sequence"), ["111", "222"]);
    assert_eq!(column(&batch, "_event_id"), ["1", "2"]);
    assert_eq!(column(&batch, "Id"), ["101", "101"]);
    assert_eq!(column(&batch, "Message"), ["New item!", "This item has changed"]);
    assert_eq!(column(&batch, "_old"), ["-", "{Id: 101, Message: New item!, _rest: -}"]);
}

#[test]
fn a_delete_by_time_to_live() {
    let keys = [key("userId", KeyKind::Text), key("reminderId", KeyKind::Text)];
    let (batch, _) = decode_sample("ttl_remove_real.json", &keys, r#"{"old_image":true}"#);
    assert_eq!(column(&batch, "_op"), ["remove"]);
    assert_eq!(column(&batch, "_ttl"), ["true"]);
    assert_eq!(column(&batch, "_time"), ["2026-03-06T10:12:41"]);
    assert_eq!(column(&batch, "_sequence"), ["36922500002170499542653000"]);
    assert_eq!(column(&batch, "userId"), ["user@example.com"]);
    assert_eq!(column(&batch, "reminderId"), ["55ee4899-e749-4b0a-98bd-ec6283aa6c42"]);
    assert_eq!(column(&batch, "createdAt"), ["-"]);
    let old = batch.column_by_name("_old").unwrap().as_struct();
    assert_eq!(
        old.column_by_name("createdAt")
            .unwrap()
            .as_primitive::<arrow_array::types::Decimal128Type>()
            .value(0),
        1_772_791_039_314_835_000
    );
    assert_eq!(old.column_by_name("message").unwrap().as_string::<i32>().value(0), "Test Message");
}

#[test]
fn names_in_go_case() {
    let keys = [key("id", KeyKind::Number)];
    let (batch, _) = decode_sample("triggermesh_insert_goCase.json", &keys, "{}");
    assert_eq!(column(&batch, "_op"), ["insert"]);
    assert_eq!(column(&batch, "_time"), ["2023-03-30T12:00:00"]);
    assert_eq!(column(&batch, "_event_id"), ["1234567890"]);
    assert_eq!(column(&batch, "_ttl"), ["false"]);
    assert_eq!(column(&batch, "id"), ["123"]);
    assert_eq!(column(&batch, "enabled"), ["true"]);
    let (batch, pushed) = decode_sample("triggermesh_modify_goCase.json", &keys, r#"{"old_image":true}"#);
    assert_eq!(pushed.last.unwrap().as_str(), "09876543210987654321");
    assert_eq!(column(&batch, "_sequence"), ["09876543210987654321"]);
    assert_eq!(column(&batch, "colors"), ["[red, green, blue]"]);
    assert_eq!(column(&batch, "_old"), ["{id: 456, colors: [red, green], _rest: -}"]);
}

#[test]
fn an_observed_payload_with_a_binary_that_is_not_base64() {
    let keys = [key("Id", KeyKind::Text)];
    let page = sample("dynamo_stream_http_payload_observed.json");
    let mut failing = decoder(&options("{}"), &keys, None).unwrap();
    let error = push_error(&mut *failing, &page);
    assert_eq!(error.kind(), ErrorKind::BadRecord);
    assert!(
        error.message().contains("1100000000017454423009") && error.message().contains("not base64"),
        "{error}"
    );

    let mut keeping = decoder(&options(r#"{"on_bad_record":"quarantine"}"#), &keys, None).unwrap();
    let pushed = push(&mut *keeping, &page);
    assert_eq!((pushed.rows, pushed.quarantined.len(), keeping.rows()), (0, 1, 0));
    let bad = &pushed.quarantined[0];
    assert_eq!(bad.sequence.as_ref().unwrap().as_str(), "1100000000017454423009");
    assert_eq!(bad.raw, page.body.slice(page.records.clone()).trim_ascii());

    // Where the binary is not asked for, the rest of the record is sound.
    let (batch, _) =
        decode_sample("dynamo_stream_http_payload_observed.json", &keys, r#"{"columns":["n","m","p","z"]}"#);
    assert_eq!(column(&batch, "_time"), ["2026-11-21T13:32:25.239"]);
    assert_eq!(column(&batch, "n"), ["42.420000000"]);
    assert_eq!(column(&batch, "m"), [r#"{"l":[1,"x"]}"#]);
    assert_eq!(column(&batch, "p"), ["xxx"]);
    assert_eq!(column(&batch, "_rest"), ["{\"z\":{\n      \"NULL\": true\n     }}"]);
    let (batch, _) = decode_sample("dynamo_stream_http_payload_observed.json", &keys, r#"{"images":"json"}"#);
    assert!(column(&batch, "new_image")[0].contains("42.42"));
    assert_eq!(column(&batch, "old_image"), ["-"]);
}
