use std::time::Duration;

use serde_json::json;

use super::*;
use crate::aws::scripted::{DATE_MILLIS, Reply, Scripted, http, refusal};
use crate::source::Source;
use crate::source::streams::Streams;

const KEY: &str = r#"{"id": {"S":"\"}]\\ é"},"at":{"B":"AP8="},"n":{"N":"1.50"}}"#;
const ITEMS: &str = r#"{"id":{"S":"a"}}, {"id":{"S":"b"}}"#;

fn body(key: &str) -> String {
    format!(
        r#"{{"ConsumedCapacity":{{"CapacityUnits":128.5,"TableName":"orders"}},"Count":2,"Items":[{ITEMS}],{key}"ScannedCount":3}}"#
    )
}

fn more() -> String {
    body(&format!(r#""LastEvaluatedKey":{KEY},"#))
}

fn request() -> ScanRequest {
    let segment = Segment { index: 3, total: 8 };
    ScanRequest { segment, after: None, consistent: true, limit: None, columns: None }
}

fn asked() -> serde_json::Value {
    json!({
        "TableName": "orders", "Segment": 3, "TotalSegments": 8, "ConsistentRead": true,
        "ReturnConsumedCapacity": "TOTAL",
    })
}

async fn scan(server: &Scripted, request: &ScanRequest) -> Result<ItemsPage> {
    Streams::new("orders", server.connection()).unwrap().scan(request).await
}

#[tokio::test]
async fn a_page_is_the_bytes_the_service_sent_and_what_they_say() {
    let server = Scripted::replies([Reply::Say(200, more())]);
    let page = scan(&server, &request()).await.unwrap();
    assert_eq!(page.body, more());
    assert_eq!(&page.body[page.items.clone()], ITEMS.as_bytes());
    assert_eq!((page.segment, page.scanned, page.units), (Segment { index: 3, total: 8 }, 3, Some(128.5)));
    assert_eq!(page.next, Some(ScanKey(KEY.into())));
    assert_eq!(page.server_time, Some(DATE_MILLIS));
    assert_eq!(server.asked(), [("Scan".into(), asked())]);
}

#[tokio::test]
async fn a_segment_ends_without_a_key_and_only_there() {
    for key in ["", r#""LastEvaluatedKey":null,"#, r#""LastEvaluatedKey":{},"#] {
        let server = Scripted::replies([Reply::Say(200, body(key))]);
        let page = scan(&server, &request()).await.unwrap();
        assert_eq!((page.next, &page.body[page.items.clone()]), (None, ITEMS.as_bytes()), "{key}");
    }
    let empty = format!(r#"{{"Count":0,"Items":[],"LastEvaluatedKey":{KEY},"ScannedCount":9}}"#);
    let server = Scripted::replies([Reply::Say(200, empty)]);
    let page = scan(&server, &request()).await.unwrap();
    assert_eq!((page.next, page.items.len(), page.units), (Some(ScanKey(KEY.into())), 0, None));
}

#[tokio::test]
async fn a_scan_goes_on_from_a_key_of_any_type() {
    let server = Scripted::replies([Reply::Say(200, body(""))]);
    let request =
        ScanRequest { after: Some(ScanKey(KEY.into())), consistent: false, limit: Some(25), ..request() };
    scan(&server, &request).await.unwrap();
    let mut expected = asked();
    expected["ConsistentRead"] = false.into();
    expected["Limit"] = 25.into();
    expected["ExclusiveStartKey"] = serde_json::from_str(KEY).unwrap();
    assert_eq!(server.asked(), [("Scan".into(), expected)]);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_anything_is_sent() {
    for key in ["", "[]", r#"{"id":{"S":1}}"#, r#"{"id":{"B":"?"}}"#, r#"{"id":{"M":{}}}"#] {
        let server = Scripted::replies([]);
        let request = ScanRequest { after: Some(ScanKey(key.into())), ..request() };
        let error = scan(&server, &request).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::CheckpointCorrupt, false), "{key}");
        assert!(error.message().contains("table orders, segment 3 of 8"), "{error}");
        assert!(server.asked().is_empty());
    }
}

#[tokio::test]
async fn a_service_that_goes_round_in_circles_is_found_out() {
    let server = Scripted::replies([Reply::Say(200, more())]);
    let request = ScanRequest { after: Some(ScanKey(KEY.into())), ..request() };
    let error = scan(&server, &request).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true));
    assert!(error.message().contains("segment 3 of 8"), "{error}");
}

fn table() -> Reply {
    let table = json!({
        "TableName": "orders", "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "at", "KeyType": "RANGE"}, {"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "at", "AttributeType": "B"}, {"AttributeName": "id", "AttributeType": "N"},
        ],
    });
    Reply::Say(200, json!({ "Table": table }).to_string())
}

fn with_table() -> Scripted {
    Scripted::serve(|operation, _| match operation {
        "DescribeTable" => table(),
        _ => Reply::Say(200, body("")),
    })
}

fn columns(names: impl IntoIterator<Item = impl Into<String>>) -> ScanRequest {
    ScanRequest { columns: Some(names.into_iter().map(Into::into).collect()), ..request() }
}

#[tokio::test]
async fn columns_are_asked_for_once_each_and_with_the_keys() {
    let server = with_table();
    let streams = Streams::new("orders", server.connection()).unwrap();
    streams.scan(&columns(["a.b", "id", "size", "a.b"])).await.unwrap();
    streams.scan(&columns(Vec::<String>::new())).await.unwrap();
    let asked = server.asked();
    let operations: Vec<_> = asked.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(operations, ["DescribeTable", "Scan", "Scan"]);
    assert_eq!(asked[1].1["ProjectionExpression"], "#a0,#a1,#a2,#a3");
    let names = json!({"#a0": "id", "#a1": "at", "#a2": "a.b", "#a3": "size"});
    assert_eq!(asked[1].1["ExpressionAttributeNames"], names);
    assert_eq!(asked[2].1["ProjectionExpression"], "#a0,#a1");
}

#[tokio::test]
async fn more_columns_than_an_expression_holds_are_read_with_all_others() {
    let server = with_table();
    for (count, fits) in [(650, true), (750, false)] {
        scan(&server, &columns((0..count).map(|number| format!("column-{number}")))).await.unwrap();
        let (_, asked) = server.asked().pop().unwrap();
        assert_eq!(asked.get("ProjectionExpression").is_some(), fits, "{count}");
        assert_eq!(asked.get("ExpressionAttributeNames").is_some(), fits, "{count}");
    }
}

#[tokio::test]
async fn the_announced_checksum_is_checked() {
    let crc = crc32fast::hash(more().as_bytes());
    let right = http(200, &format!("x-amz-crc32: {crc}\r\nConnection: close\r\n"), &more());
    let wrong = http(200, "x-amz-crc32: 12345\r\n", &more());
    let server = Scripted::replies([Reply::Raw(right), Reply::Raw(wrong)]);
    let streams = Streams::new("orders", server.connection()).unwrap();
    assert_eq!(streams.scan(&request()).await.unwrap().body, more());
    let error = streams.scan(&request()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true));
    assert!(error.message().contains("12345") && error.message().contains("segment 3 of 8"), "{error}");
}

#[tokio::test]
async fn broken_answers_are_errors_to_try_again() {
    let cut = |end: usize| http(200, "", &more())[..end].to_vec();
    let whole = http(200, "", &more()).len();
    let cases = [
        (Reply::Raw(cut(whole - 1)), ErrorKind::Connection, "cut short"),
        (Reply::Raw(Vec::new()), ErrorKind::Connection, ""),
        (Reply::Reset, ErrorKind::Connection, ""),
        (Reply::Pieces(vec![cut(whole - 5)], Duration::ZERO), ErrorKind::Connection, "read_timeout"),
        (Reply::Say(200, more()[..more().len() - 30].to_owned()), ErrorKind::BadPage, "cannot be read"),
        (Reply::Say(200, "<html>hello</html>".into()), ErrorKind::BadPage, "cannot be read"),
        (Reply::Say(200, r#"{"Items":[]}"#.into()), ErrorKind::BadPage, "ScannedCount"),
        (Reply::Say(500, "<html>oops</html>".into()), ErrorKind::Service, "500"),
        (Reply::Say(503, String::new()), ErrorKind::Service, "503"),
    ];
    for (number, (reply, kind, word)) in cases.into_iter().enumerate() {
        let silent = matches!(reply, Reply::Pieces(..));
        let server = Scripted::replies([reply]);
        let mut connection = server.connection();
        connection.read_timeout = silent.then_some(1.0);
        let error = Streams::new("orders", connection).unwrap().scan(&request()).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (kind, true), "case {number}: {error}");
        assert!(error.message().contains(word), "case {number}: {error}");
        assert!(error.message().contains("table orders, segment 3 of 8"), "case {number}: {error}");
        assert_eq!(server.asked().len(), 1, "case {number}: a call is one attempt");
    }
}

#[tokio::test]
async fn refusals_have_the_kind_of_their_code_and_are_not_tried_again() {
    let cases = [
        ("ProvisionedThroughputExceededException", ErrorKind::Throttled),
        ("RequestLimitExceeded", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
        ("InternalServerError", ErrorKind::Service),
        ("ExpiredTokenException", ErrorKind::Credentials),
        ("AccessDeniedException", ErrorKind::AccessDenied),
        ("ValidationException", ErrorKind::InvalidRequest),
    ];
    for (code, kind) in cases {
        let server = Scripted::serve(move |_, _| refusal(400, code, "what the service says"));
        let error = scan(&server, &request()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, Some(code)));
        for part in ["Scan", "table orders, segment 3 of 8", "what the service says"] {
            assert!(error.message().contains(part), "{error} does not say {part}");
        }
        assert_eq!(server.asked().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_missing_table_is_named_with_its_place() {
    let server =
        Scripted::serve(|_, _| refusal(400, "ResourceNotFoundException", "Requested resource not found"));
    let error = scan(&server, &request()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::NotFound, false));
    for part in ["table orders", "eu-west-1", &server.endpoint] {
        assert!(error.message().contains(part), "{error} does not name {part}");
    }
}

/// An ARN keeps its account, also the ARN of a stream.
#[tokio::test]
async fn the_table_of_an_arn_is_asked_for_by_its_arn() {
    let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";
    for target in [arn.to_owned(), format!("{arn}/stream/2026-11-21T00:00:00.000")] {
        let server = Scripted::replies([Reply::Say(200, body(""))]);
        Streams::new(&target, server.connection()).unwrap().scan(&request()).await.unwrap();
        assert_eq!(server.asked()[0].1["TableName"], arn);
    }
}
