#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::aws::scripted::{Reply, Scripted, refusal};
use crate::source::kinesis::Kinesis;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders-cdc";

fn answer(operation: &str, destinations: &Value) -> Reply {
    let say = |answer: Value| Reply::Say(200, answer.to_string());
    match operation {
        "DescribeTable" => say(json!({"Table": {
            "TableName": "orders", "TableArn": TABLE, "TableStatus": "ACTIVE", "ItemCount": 12,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "LatestStreamArn": format!("{TABLE}/stream/2026-01-01T00:00:00.000"),
        }})),
        "DescribeStreamSummary" => say(json!({"StreamDescriptionSummary": {
            "StreamName": "orders-cdc", "StreamARN": STREAM, "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 48, "StreamCreationTimestamp": 1.0, "OpenShardCount": 1,
            "EnhancedMonitoring": [],
        }})),
        "DescribeKinesisStreamingDestination" => match destinations.as_str() {
            Some(code) => refusal(400, code, "no"),
            None => say(json!({"TableName": "orders", "KinesisDataStreamDestinations": destinations})),
        },
        other => panic!("{other} was asked"),
    }
}

fn serving(destinations: Value) -> Scripted {
    Scripted::serve(move |operation, _| answer(operation, &destinations))
}

fn through(server: &Scripted) -> Through {
    let stream = Kinesis::new("orders-cdc", server.connection()).unwrap();
    Through::new(Streams::new("orders", server.connection()).unwrap(), Arc::new(stream))
}

fn sends(status: &str) -> Value {
    json!([{"StreamArn": "arn:of:another", "DestinationStatus": "DISABLED"},
           {"StreamArn": STREAM, "DestinationStatus": status}])
}

#[tokio::test]
async fn the_table_is_one_service_and_its_stream_the_other() {
    let server = serving(sends("ACTIVE"));
    let source = through(&server);
    let found = Source::describe(&source).await.unwrap();
    assert_eq!((found.table.as_str(), found.table_arn.as_str()), ("orders", TABLE));
    assert_eq!(found.stream_arn, format!("{STREAM}:1000"));
    assert_eq!((found.items, found.retention), (Some(12), 48 * 3_600_000));
    assert_eq!(found.keys.len(), 1);
    let table = source.describe_table().await.unwrap();
    assert_eq!(table.stream_arn, Some(found.stream_arn), "the newest stream is the one that is followed");
    let terms = source.terms();
    assert!(terms.opens_at_time && terms.scan_page_bytes > 0);
}

#[tokio::test]
async fn a_table_that_sends_nothing_there_is_refused() {
    for (destinations, why) in [
        (json!([]), "not one of the table's streaming destinations"),
        (sends("DISABLED"), "is DISABLED"),
        (sends("ENABLING"), "is ENABLING"),
    ] {
        let error = Source::describe(&through(&serving(destinations))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.message().contains(why) && error.message().contains("enable-kinesis-streaming"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn who_may_not_look_is_let_through_and_who_fails_is_not() {
    for code in ["AccessDeniedException", "UnknownOperationException"] {
        assert!(Source::describe(&through(&serving(json!(code)))).await.is_ok(), "{code}");
    }
    let error = Source::describe(&through(&serving(json!("ValidationException")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_scan_alone_asks_for_no_stream() {
    let server = serving(json!([]));
    assert_eq!(through(&server).describe_table().await.unwrap().stream_arn, None);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_the_table_cautions_of_is_said() {
    let table = json!({"Table": {"TableName": "orders", "TableStatus": "ARCHIVED"}});
    let server = Scripted::replies([Reply::Say(200, table.to_string())]);
    assert!(through(&server).cautions().await.unwrap()[0].contains("ARCHIVED"));
}
