#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::aws::scripted::{DATE_MILLIS, Reply, Scripted, connection, http, refusal};
use crate::page::{KeyAttribute, KeyKind, ViewType};

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";
const STREAM: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T00:00:00.000";
const PAGE: &str = r#"{ "Records" : [{"eventID":"1"}, {"eventID":"2"}] ,"NextShardIterator":"next-1"}"#;

fn streams(server: &Scripted) -> Streams {
    Streams::new("orders", server.connection()).unwrap()
}

async fn fetch(server: &Scripted) -> Result<Page> {
    fetch_with(server, server.connection()).await
}

async fn fetch_with(_alive: &Scripted, connection: Connection) -> Result<Page> {
    let streams = Streams::new("orders", connection).unwrap();
    Source::fetch(&streams, &"shard-1".into(), &Cursor("it-1".into())).await
}

#[tokio::test]
async fn a_page_is_the_bytes_the_service_sent() {
    let server = Scripted::replies([Reply::Say(200, PAGE.into())]);
    let page = fetch(&server).await.unwrap();
    assert_eq!(page.body, PAGE);
    assert_eq!(&page.body[page.records.clone()], br#"{"eventID":"1"}, {"eventID":"2"}"#);
    assert_eq!(page.next, Some(Cursor("next-1".into())));
    assert_eq!(page.server_time, Some(DATE_MILLIS));
    assert_eq!(server.asked(), [("GetRecords".into(), json!({"ShardIterator": "it-1", "Limit": 1000}))]);
}

#[tokio::test]
async fn the_last_page_keeps_its_records() {
    let server = Scripted::replies([Reply::Say(200, r#"{"Records":[{"a":1}]}"#.into())]);
    let page = fetch(&server).await.unwrap();
    assert_eq!((&page.body[page.records.clone()], page.next), (&br#"{"a":1}"#[..], None));
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let whole = http(200, "", PAGE);
    let pieces = whole.chunks(whole.len() / 4).map(<[u8]>::to_vec).collect();
    let server = Scripted::replies([Reply::Pieces(pieces, Duration::from_millis(10))]);
    assert_eq!(fetch(&server).await.unwrap().body, PAGE);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks: String = PAGE
        .as_bytes()
        .chunks(7)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
        .collect();
    let server = Scripted::replies([Reply::Raw(format!("{chunked}{chunks}0\r\n\r\n").into())]);
    let page = fetch(&server).await.unwrap();
    assert_eq!((&page.body[..], page.server_time), (PAGE.as_bytes(), None));
}

#[tokio::test]
async fn the_announced_checksum_is_checked() {
    let crc = crc32fast::hash(PAGE.as_bytes());
    let right = http(200, &format!("x-amz-crc32: {crc}\r\nConnection: close\r\n"), PAGE);
    let wrong = http(200, "x-amz-crc32: 12345\r\n", PAGE);
    let server = Scripted::replies([Reply::Raw(right), Reply::Raw(wrong)]);
    let streams = streams(&server);
    let (shard, cursor) = ("shard-1".into(), Cursor("it-1".into()));
    assert!(streams.fetch(&shard, &cursor).await.is_ok());
    let error = streams.fetch(&shard, &cursor).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true));
    assert!(error.message().contains("12345"), "{error}");
}

/// Answers that are no page: what is said, and the kind it must have.
#[tokio::test]
async fn broken_answers_are_errors_to_try_again() {
    let cut = |end: usize| http(200, "", PAGE)[..end].to_vec();
    let whole = http(200, "", PAGE).len();
    let cases = [
        (Reply::Raw(cut(whole - 1)), ErrorKind::Connection, "cut short"),
        (Reply::Raw(cut(whole - PAGE.len())), ErrorKind::Connection, "cut short"),
        (Reply::Raw(cut(20)), ErrorKind::Connection, ""),
        (Reply::Raw(Vec::new()), ErrorKind::Connection, ""),
        (Reply::Raw(b"this is not HTTP\r\n\r\n".to_vec()), ErrorKind::Connection, ""),
        (Reply::Reset, ErrorKind::Connection, ""),
        (Reply::Pieces(vec![cut(whole - 5)], Duration::ZERO), ErrorKind::Connection, "read_timeout"),
        (Reply::Pieces(vec![cut(30)], Duration::ZERO), ErrorKind::Connection, ""),
        (Reply::Pieces(vec![], Duration::ZERO), ErrorKind::Connection, ""),
        (Reply::Say(200, "<html>hello</html>".into()), ErrorKind::BadPage, "shard-1"),
        (Reply::Say(200, String::new()), ErrorKind::BadPage, "shard-1"),
        (Reply::Say(200, r#"{"NextShardIterator":"x"}"#.into()), ErrorKind::BadPage, "shard-1"),
        (Reply::Say(500, "<html>oops</html>".into()), ErrorKind::Service, "500"),
        (Reply::Say(503, String::new()), ErrorKind::Service, "503"),
        (Reply::Say(502, "{\"__type\":".into()), ErrorKind::Service, "502"),
    ];
    for (number, (reply, kind, word)) in cases.into_iter().enumerate() {
        let silent = matches!(reply, Reply::Pieces(..));
        let server = Scripted::replies([reply]);
        let mut connection = server.connection();
        connection.read_timeout = silent.then_some(1.0);
        let error = fetch_with(&server, connection).await.unwrap_err();
        assert_eq!(error.kind(), kind, "case {number}: {error}");
        assert!(error.retryable(), "case {number}: {error}");
        assert!(error.message().contains(word), "case {number}: {error}");
        assert_eq!(error.shard(), Some(&"shard-1".into()), "case {number}");
        assert_eq!(server.asked().len(), 1, "case {number}: a call is one attempt");
        if kind == ErrorKind::Connection {
            assert!(error.message().contains(&server.endpoint), "case {number}: {error}");
        }
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_a_page() {
    let whole = http(200, "", PAGE);
    for end in 0..whole.len() {
        let server = Scripted::replies([Reply::Raw(whole[..end].to_vec())]);
        let error = fetch(&server).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Connection, true), "cut at {end}: {error}");
    }
}

#[tokio::test]
async fn an_attempt_ends_in_time_even_when_bytes_trickle() {
    let pieces = http(200, "", PAGE).chunks(1).map(<[u8]>::to_vec).collect();
    let server = Scripted::replies([Reply::Pieces(pieces, Duration::from_millis(50))]);
    let mut connection = server.connection();
    connection.attempt_timeout = Some(0.4);
    let begun = Instant::now();
    let error = fetch_with(&server, connection).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains("attempt_timeout"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_there_is_a_connection_error_that_says_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // The resolver refuses a label of more than 63 bytes without asking anybody.
    for endpoint in [format!("http://{free}"), format!("http://{}.invalid", "x".repeat(64))] {
        let streams = Streams::new("orders", connection(&endpoint)).unwrap();
        let error = streams.open(STREAM, &"shard-1".into(), &OpenAt::Latest).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Connection, true));
        assert!(error.message().contains(&endpoint), "{error}");
    }
}

#[tokio::test]
async fn refusals_have_the_kind_of_their_code_and_are_not_tried_again() {
    let cases = [
        ("ExpiredIteratorException", ErrorKind::IteratorExpired),
        ("TrimmedDataAccessException", ErrorKind::Trimmed),
        ("ResourceNotFoundException", ErrorKind::NotFound),
        ("LimitExceededException", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
        ("ExpiredTokenException", ErrorKind::Credentials),
        ("AccessDeniedException", ErrorKind::AccessDenied),
        ("ValidationException", ErrorKind::InvalidRequest),
    ];
    for (code, kind) in cases {
        let server = Scripted::serve(move |_, _| refusal(400, code, "what the service says"));
        let error = fetch(&server).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, Some(code)));
        assert!(error.message().contains("what the service says"), "{error}");
        assert!(!format!("{error:?}").contains("secret-of-the-test"));
        assert_eq!(server.asked().len(), 1, "{code}");
    }
}

/// The fixed date of the scripted answers stands for a service whose clock is not ours.
#[tokio::test]
async fn a_wrong_clock_is_corrected_for_the_next_call() {
    let refused = refusal(400, "InvalidSignatureException", "Signature expired");
    let server = Scripted::replies([refused, Reply::Say(200, PAGE.into())]);
    let streams = streams(&server);
    let (shard, cursor) = ("shard-1".into(), Cursor("it-1".into()));
    let error = streams.fetch(&shard, &cursor).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Credentials, true));
    streams.fetch(&shard, &cursor).await.unwrap();
    let signed_at = &server.headers("x-amz-date")[1];
    assert!(signed_at.starts_with("20261121T12") || signed_at.starts_with("20261121T1159"), "{signed_at}");
}

#[tokio::test]
async fn a_cursor_is_asked_for_where_it_is_wanted() {
    let server = Scripted::serve(|_, _| Reply::Say(200, r#"{"ShardIterator":"it-9"}"#.into()));
    let streams = streams(&server);
    let number = SequenceNumber::parse("0123").unwrap();
    let places = [
        (OpenAt::Beginning, json!({"ShardIteratorType": "TRIM_HORIZON"})),
        (OpenAt::Latest, json!({"ShardIteratorType": "LATEST"})),
        (
            OpenAt::At(number.clone()),
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "0123"}),
        ),
        (
            OpenAt::After(number),
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "0123"}),
        ),
    ];
    for (at, mut expected) in places {
        let opened = streams.open(STREAM, &"shard-1".into(), &at).await.unwrap();
        assert_eq!(opened, Opened { cursor: Cursor("it-9".into()), server_time: Some(DATE_MILLIS) });
        expected["StreamArn"] = STREAM.into();
        expected["ShardId"] = "shard-1".into();
        assert_eq!(server.asked().last().unwrap().1, expected);
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_there_is_an_error() {
    let server = Scripted::serve(|_, _| Reply::Say(200, "{}".into()));
    let error = streams(&server).open(STREAM, &"shard-1".into(), &OpenAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadPage);
}

fn listed(shards: serde_json::Value, last: Option<&str>) -> Reply {
    let mut stream = json!({
        "StreamArn": STREAM, "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE", "TableName": "orders",
        "KeySchema": [{"AttributeName": "at", "KeyType": "RANGE"}, {"AttributeName": "id", "KeyType": "HASH"}],
        "CreationRequestDateTime": 1795219200, "Shards": shards,
    });
    if let Some(last) = last {
        stream["LastEvaluatedShardId"] = last.into();
    }
    Reply::Say(200, json!({ "StreamDescription": stream }).to_string())
}

fn shard_json(id: &str, parent: Option<&str>, range: serde_json::Value) -> serde_json::Value {
    match parent {
        Some(parent) => json!({"ShardId": id, "ParentShardId": parent, "SequenceNumberRange": range}),
        None => json!({"ShardId": id, "SequenceNumberRange": range}),
    }
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.shards.iter().map(|shard| shard.id.as_str()).collect()
}

#[tokio::test]
async fn a_listing_goes_on_over_empty_pages_to_its_end() {
    let closed = json!({"StartingSequenceNumber": "9", "EndingSequenceNumber": "10"});
    let server = Scripted::replies([
        listed(json!([shard_json("a", None, closed)]), Some("a")),
        listed(json!([]), Some("b")),
        listed(json!([shard_json("c", Some("a"), json!({"StartingSequenceNumber": "11"}))]), None),
    ]);
    let listing = Source::list(&streams(&server), STREAM, &Scope::Full).await.unwrap();
    let number = |text| Some(SequenceNumber::parse(text).unwrap());
    let a = Shard {
        id: "a".into(),
        parents: vec![],
        starting: number("9"),
        ending: number("10"),
        hash_keys: None,
    };
    let c = Shard {
        id: "c".into(),
        parents: vec!["a".into()],
        starting: number("11"),
        ending: None,
        hash_keys: None,
    };
    let (status, server_time) = (StreamStatus::Enabled, Some(DATE_MILLIS));
    assert_eq!(listing, Listing { shards: vec![a, c], status, complete: true, retention: None, server_time });
    let starts: Vec<_> =
        server.asked().iter().map(|(_, request)| request["ExclusiveStartShardId"].clone()).collect();
    assert_eq!(starts, [json!(null), json!("a"), json!("b")]);
}

#[tokio::test]
async fn a_listing_that_breaks_off_says_so() {
    let first = || listed(json!([shard_json("a", None, json!({}))]), Some("a"));
    let server = Scripted::replies([first(), refusal(500, "InternalServerError", "later")]);
    let listing = Source::list(&streams(&server), STREAM, &Scope::Full).await.unwrap();
    assert_eq!((ids(&listing), listing.complete), (vec!["a"], false));

    let circle = Scripted::replies([first(), first()]);
    let listing = Source::list(&streams(&circle), STREAM, &Scope::Full).await.unwrap();
    assert_eq!((ids(&listing), listing.complete), (vec!["a"], false));

    let denied = Scripted::replies([first(), refusal(400, "AccessDeniedException", "no")]);
    let error = Source::list(&streams(&denied), STREAM, &Scope::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);

    let at_once = Scripted::replies([refusal(500, "InternalServerError", "later")]);
    let error = Source::list(&streams(&at_once), STREAM, &Scope::Full).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Service, true));

    let html = Scripted::replies([Reply::Say(200, "<html>".into())]);
    let error = Source::list(&streams(&html), STREAM, &Scope::Full).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true));

    let odd = listed(json!([shard_json("a", None, json!({"EndingSequenceNumber": "12x"}))]), None);
    let error = Source::list(&streams(&Scripted::replies([odd])), STREAM, &Scope::Full).await.unwrap_err();
    assert_eq!((error.kind(), error.shard()), (ErrorKind::BadPage, Some(&"a".into())));
}

#[tokio::test]
async fn children_are_kept_when_the_server_ignores_the_filter() {
    let all = json!([
        shard_json("a", None, json!({"EndingSequenceNumber": "1"})),
        shard_json("b", Some("a"), json!({})),
        shard_json("c", Some("b"), json!({})),
    ]);
    let server = Scripted::replies([listed(all, None)]);
    let listing = Source::list(&streams(&server), STREAM, &Scope::ChildrenOf("a".into())).await.unwrap();
    assert_eq!(ids(&listing), ["b"]);
    assert_eq!(server.asked()[0].1["ShardFilter"], json!({"Type": "CHILD_SHARDS", "ShardId": "a"}));
}

fn table(stream: Option<&str>, created: i64) -> Reply {
    let mut table = json!({
        "TableName": "orders", "TableArn": TABLE, "CreationDateTime": created,
        "ItemCount": 12, "TableSizeBytes": 3400,
        "KeySchema": [{"AttributeName": "at", "KeyType": "RANGE"}, {"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "other", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "B"},
            {"AttributeName": "id", "AttributeType": "N"},
        ],
    });
    if let Some(stream) = stream {
        table["LatestStreamArn"] = stream.into();
    }
    Reply::Say(200, json!({ "Table": table }).to_string())
}

fn described(keys: [KeyKind; 2]) -> Description {
    let [hash, range] = keys;
    Description {
        table: "orders".into(),
        table_arn: TABLE.into(),
        stream_arn: STREAM.into(),
        keys: vec![
            KeyAttribute { name: "id".into(), kind: hash },
            KeyAttribute { name: "at".into(), kind: range },
        ],
        view: ViewType::NewImage,
        status: StreamStatus::Enabled,
        retention: RETENTION,
        items: None,
        bytes: None,
    }
}

#[tokio::test]
async fn a_table_is_described_by_name_by_arn_and_by_stream() {
    for target in ["orders", TABLE, STREAM] {
        let server = Scripted::serve(|operation, _| match operation {
            "DescribeTable" => table(Some(STREAM), 1_795_000_000),
            _ => listed(json!([]), None),
        });
        let description = Streams::new(target, server.connection()).unwrap().describe().await.unwrap();
        let expected = Description {
            items: Some(12),
            bytes: Some(3400),
            ..described([KeyKind::Number, KeyKind::Binary])
        };
        assert_eq!(description, expected, "{target}");
    }
}

#[tokio::test]
async fn a_table_is_described_alone_with_and_without_a_stream() {
    for (target, stream) in [("orders", None), (TABLE, Some(STREAM)), (STREAM, Some(STREAM))] {
        let server = Scripted::replies([table(stream, 1)]);
        let description = Streams::new(target, server.connection()).unwrap().describe_table().await.unwrap();
        let Description { table, table_arn, keys, .. } = described([KeyKind::Number, KeyKind::Binary]);
        let stream_arn = stream.map(str::to_owned);
        let expected =
            TableDescription { table, table_arn, keys, items: Some(12), bytes: Some(3400), stream_arn };
        assert_eq!(description, expected, "{target}");
        assert_eq!(server.asked().len(), 1, "{target}: nothing is asked about streams");
    }
    let server = Scripted::serve(|_, _| refusal(400, "ResourceNotFoundException", "no"));
    let error = streams(&server).describe_table().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// A table with a stream specification that changes as it is asked.
struct Turning {
    table_status: &'static str,
    on: Option<&'static str>,
    /// Descriptions that still show what was before the last request.
    stale: usize,
    stream_status: &'static str,
}

impl Turning {
    fn off() -> Self {
        Self { table_status: "ACTIVE", on: None, stale: 0, stream_status: "ENABLING" }
    }

    fn answer(&mut self, operation: &str) -> Reply {
        match operation {
            "DescribeTable" => self.table(),
            "UpdateTable" => {
                (self.on, self.stale) = (Some("NEW_AND_OLD_IMAGES"), 2);
                Reply::Say(200, json!({"TableDescription": {"TableName": "orders"}}).to_string())
            }
            _ => {
                let status = std::mem::replace(&mut self.stream_status, "ENABLED");
                let view = self.on.unwrap();
                Reply::Say(
                    200,
                    json!({"StreamDescription": {"StreamStatus": status, "StreamViewType": view}})
                        .to_string(),
                )
            }
        }
    }

    fn table(&mut self) -> Reply {
        let mut table = json!({
            "TableName": "orders", "TableArn": TABLE,
            "TableStatus": std::mem::replace(&mut self.table_status, "ACTIVE"),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        });
        let fresh = self.stale == 0;
        self.stale = self.stale.saturating_sub(1);
        if let Some(view) = self.on.filter(|_| fresh) {
            table["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
            table["LatestStreamArn"] = STREAM.into();
        }
        Reply::Say(200, json!({ "Table": table }).to_string())
    }
}

fn turning(mut state: Turning) -> Scripted {
    Scripted::serve(move |operation, _| state.answer(operation))
}

fn no_pauses(count: usize) -> impl Iterator<Item = Duration> + Send {
    std::iter::repeat_n(Duration::ZERO, count)
}

fn updates(server: &Scripted) -> Vec<serde_json::Value> {
    let asked = server.asked().into_iter().filter(|(operation, _)| operation == "UpdateTable");
    asked.map(|(_, request)| request).collect()
}

#[tokio::test]
async fn a_stream_is_turned_on_once_and_waited_for() {
    let busy = Turning { table_status: "UPDATING", ..Turning::off() };
    for state in [Turning::off(), busy] {
        let server = turning(state);
        let description = streams(&server).enable(no_pauses(9)).await.unwrap();
        assert_eq!(
            (description.stream_arn.as_str(), description.view, description.status),
            (STREAM, ViewType::NewAndOldImages, StreamStatus::Enabled)
        );
        let wanted = json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
        assert_eq!(updates(&server), [json!({"TableName": "orders", "StreamSpecification": wanted})]);
    }
}

#[tokio::test]
async fn a_stream_that_is_on_is_left_as_it_is() {
    let server = turning(Turning { on: Some("NEW_IMAGE"), ..Turning::off() });
    let description = streams(&server).enable(no_pauses(9)).await.unwrap();
    assert_eq!((description.view, updates(&server).len()), (ViewType::NewImage, 0));

    for view in ["KEYS_ONLY", "OLD_IMAGE"] {
        let server = turning(Turning { on: Some(view), ..Turning::off() });
        let error = streams(&server).enable(no_pauses(9)).await.unwrap_err();
        assert_eq!((error.kind(), updates(&server).len()), (ErrorKind::StreamUnusable, 0), "{view}");
        assert!(error.message().contains("StreamEnabled=false"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_come_is_not_waited_for_without_end() {
    let server = turning(Turning { stale: 99, ..Turning::off() });
    let error = streams(&server).enable(no_pauses(3)).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Service, true));
    assert!(error.message().contains("table orders"), "{error}");
    let total: Duration = enable::pauses().sum();
    assert!((280..330).contains(&total.as_secs()), "{total:?}");
}

#[tokio::test]
async fn a_table_that_somebody_else_changes_is_asked_again() {
    let (mut off, mut refused) = (Turning::off(), false);
    let server = Scripted::serve(move |operation, _| match operation {
        "UpdateTable" if !std::mem::replace(&mut refused, true) => {
            refusal(400, "ResourceInUseException", "the table is being updated")
        }
        other => off.answer(other),
    });
    streams(&server).enable(no_pauses(9)).await.unwrap();
    assert_eq!(updates(&server).len(), 2);
}

#[tokio::test]
async fn a_throttled_look_at_the_new_stream_is_tried_again() {
    let (mut off, mut refused) = (Turning::off(), false);
    let server = Scripted::serve(move |operation, _| match operation {
        "DescribeStream" if !std::mem::replace(&mut refused, true) => {
            refusal(400, "ThrottlingException", "later")
        }
        other => off.answer(other),
    });
    streams(&server).enable(no_pauses(9)).await.unwrap();
    assert_eq!(updates(&server).len(), 1);
}

#[tokio::test]
async fn a_stream_is_turned_on_for_a_table_not_for_a_stream() {
    let server = Scripted::replies([]);
    let stream = Streams::new(STREAM, server.connection()).unwrap();
    let error = stream.enable_stream().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("\"orders\"") && server.asked().is_empty(), "{error}");
}

#[tokio::test]
async fn a_stream_that_may_not_be_turned_on_says_what_to_grant() {
    let mut off = Turning::off();
    let server = Scripted::serve(move |operation, _| match operation {
        "UpdateTable" => refusal(400, "AccessDeniedException", "no"),
        other => off.answer(other),
    });
    let error = streams(&server).enable(no_pauses(9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.message().contains("dynamodb:UpdateTable"), "{error}");
}

#[tokio::test]
async fn a_missing_table_is_named_with_its_place() {
    let server =
        Scripted::serve(|_, _| refusal(400, "ResourceNotFoundException", "Requested resource not found"));
    let error = streams(&server).describe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for part in ["orders", "eu-west-1", &server.endpoint] {
        assert!(error.message().contains(part), "{error} does not name {part}");
    }
}

#[tokio::test]
async fn a_table_without_a_stream_says_how_to_enable_one() {
    let never = Scripted::serve(|_, _| table(None, 1));
    let long_off = Scripted::serve(|operation, _| match operation {
        "DescribeTable" => table(Some(STREAM), 1),
        _ => refusal(400, "ResourceNotFoundException", "gone"),
    });
    for server in [never, long_off] {
        let error = streams(&server).describe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StreamUnusable);
        assert!(error.message().contains("update-table --table-name orders"), "{error}");
    }
}

/// A server whose table is gone, or is another one by now, and whose stream still has a record.
fn outlived(describe_table: fn() -> Reply) -> Scripted {
    Scripted::serve(move |operation, request| match operation {
        "DescribeTable" => describe_table(),
        "DescribeStream" => {
            listed(json!([shard_json("a", None, json!({})), shard_json("b", None, json!({}))]), None)
        }
        "GetShardIterator" => Reply::Say(200, json!({ "ShardIterator": request["ShardId"] }).to_string()),
        _ if request["ShardIterator"] == "b" => Reply::Say(
            200,
            r#"{"Records":[{"dynamodb":{"Keys":{"at":{"S":"x"},"id":{"B":"AA=="}}}},{"x":1}]}"#.into(),
        ),
        _ => Reply::Say(200, r#"{"Records":[],"NextShardIterator":"more"}"#.into()),
    })
}

#[tokio::test]
async fn a_stream_outlives_its_table() {
    let gone = || refusal(400, "ResourceNotFoundException", "gone");
    let denied = || refusal(400, "AccessDeniedException", "no");
    let recreated =
        || table(Some("arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/later"), 1_795_300_000);
    for describe_table in [gone, denied, recreated] {
        let server = outlived(describe_table);
        let description = Streams::new(STREAM, server.connection()).unwrap().describe().await.unwrap();
        assert_eq!(description, described([KeyKind::Binary, KeyKind::Text]));
    }
}

#[tokio::test]
async fn key_types_nobody_can_know_are_not_guessed() {
    let server = Scripted::serve(|operation, _| match operation {
        "DescribeTable" => refusal(400, "AccessDeniedException", "no"),
        _ => listed(json!([]), None),
    });
    let error = Streams::new(STREAM, server.connection()).unwrap().describe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.message().contains("dynamodb:DescribeTable"), "{error}");
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_a_credentials_error_at_once() {
    let server = Scripted::replies([]);
    let (region, endpoint_url) = (Some("eu-west-1".into()), Some(server.endpoint.clone()));
    let profile = Some("shardarrow-test-does-not-exist".into());
    let connection = Connection { region, endpoint_url, profile, ..Connection::default() };
    let error = fetch_with(&server, connection).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Credentials, false), "{error}");
    assert!(error.message().contains("profile"), "{error}");
    assert!(server.asked().is_empty());
}

fn with_role(server: &Scripted) -> Connection {
    let role_arn = Some("arn:aws:iam::123456789012:role/reader".into());
    Connection { role_arn, external_id: Some("shop".into()), ..server.connection() }
}

#[tokio::test]
async fn a_role_is_assumed_at_the_same_endpoint() {
    let assumed = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
        <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
        <SessionToken>token-of-the-role</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>
        </AssumeRoleResult></AssumeRoleResponse>"#;
    let server = Scripted::serve(move |operation, _| match operation {
        "GetRecords" => Reply::Say(200, PAGE.into()),
        _ => Reply::Say(200, assumed.into()),
    });
    fetch_with(&server, with_role(&server)).await.unwrap();
    let asked = server.asked();
    let form = asked[0].1.as_str().unwrap();
    for part in ["Action=AssumeRole", "role%2Freader", "ExternalId=shop", "RoleSessionName=shardarrow"] {
        assert!(form.contains(part), "{form} has no {part}");
    }
    let signed_by = server.headers("authorization");
    assert!(signed_by[0].contains("AKIDTEST") && signed_by[1].contains("ASIAROLE"), "{signed_by:?}");
    assert_eq!(server.headers("x-amz-security-token")[1], "token-of-the-role");
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_a_credentials_error() {
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not your role</Message></Error></ErrorResponse>";
    let server = Scripted::serve(move |_, _| Reply::Say(403, denied.into()));
    let error = fetch_with(&server, with_role(&server)).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Credentials, false), "{error}");
    assert!(error.message().contains("not your role"), "{error}");
    assert!(server.asked().iter().all(|(operation, _)| operation != "GetRecords"));
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_contacted() {
    assert_eq!(Streams::new("a b", Connection::default()).unwrap_err().kind(), ErrorKind::Usage);
    let elsewhere = Connection { region: Some("us-east-1".into()), ..Connection::default() };
    assert_eq!(Streams::new(STREAM, elsewhere).unwrap_err().kind(), ErrorKind::Usage);
    let half = Connection { access_key_id: Some("x".into()), ..Connection::default() };
    assert_eq!(Streams::new("orders", half).unwrap_err().kind(), ErrorKind::Usage);
}
