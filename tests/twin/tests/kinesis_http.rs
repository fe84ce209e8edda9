//! Kinesis over HTTP: subscriptions as frames, on HTTP/1.1 and HTTP/2.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::kinesis::{id, orders, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use twin::kinesis::{IteratorType, KinesisOp};
use twin::{Fault, Injection, Op, Server, serve};

const EVENT: Op = Op::Kinesis(KinesisOp::SubscribeToShardEvent);

/// A server with the stream `orders` and a consumer, and the consumer's ARN.
async fn server() -> (Server, String) {
    let mut aws = stream(1);
    let arn = aws.kinesis().describe_stream_summary(&orders()).unwrap().stream_arn;
    let consumer = aws.kinesis().register_consumer(&arn, "mirror").unwrap().consumer_arn;
    (serve(SocketAddr::from(([127, 0, 0, 1], 0)), aws).await.unwrap(), consumer)
}

type Client = SendRequest<Full<Bytes>>;

/// One HTTP/2 connection without TLS; the task ends with it.
async fn connect(server: &Server) -> (Client, JoinHandle<()>) {
    let stream = TcpStream::connect(server.addr()).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(async move { drop(connection.await) }))
}

async fn call(client: &mut Client, op: &str, body: &Value) -> hyper::Result<Response<Incoming>> {
    let request = Request::post("http://twin/")
        .header("x-amz-target", format!("Kinesis_20131202.{op}"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=x")
        .body(Full::from(body.to_string()))
        .unwrap();
    client.send_request(request).await
}

async fn subscribe(client: &mut Client, consumer: &str) -> Response<Incoming> {
    let body = json!({
        "ConsumerARN": consumer, "ShardId": id(0), "StartingPosition": {"Type": IteratorType::TrimHorizon},
    });
    call(client, "SubscribeToShard", &body).await.unwrap()
}

/// The next frame of a body: its header text, and its payload.
async fn frame(body: &mut Incoming) -> Option<hyper::Result<(String, Value)>> {
    let frame = match body.frame().await? {
        Ok(frame) => frame.into_data().unwrap(),
        Err(error) => return Some(Err(error)),
    };
    // HTTP/2 ends a stream with a piece without bytes.
    if frame.is_empty() {
        return None;
    }
    let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), frame.len(), "one message per piece");
    let (end, headers) = (frame.len() - 4, 12 + number(4));
    let payload = serde_json::from_slice(&frame[headers..end]).unwrap();
    Some(Ok((String::from_utf8_lossy(&frame[12..headers]).into_owned(), payload)))
}

async fn next(body: &mut Incoming) -> (String, Value) {
    frame(body).await.unwrap().unwrap()
}

#[tokio::test]
async fn events_travel_as_frames_over_http2() {
    let (server, consumer) = server().await;
    let (mut client, _connection) = connect(&server).await;
    let answer = subscribe(&mut client, &consumer).await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
    let mut body = answer.into_body();
    assert!(next(&mut body).await.0.contains("initial-response"));
    assert_eq!(next(&mut body).await.1["Records"], json!([]));
    server.aws().kinesis().put("orders", "a", b"1").unwrap();
    let (headers, event) = next(&mut body).await;
    assert!(headers.contains("SubscribeToShardEvent"));
    assert_eq!(event["Records"][0]["Data"], "MQ==");

    // Another call fits on the same connection meanwhile.
    let summary = call(&mut client, "DescribeStreamSummary", &json!({"StreamName": "orders"})).await.unwrap();
    let summary: Value = serde_json::from_slice(&summary.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(summary["StreamDescriptionSummary"]["ConsumerCount"], 1);

    server.aws().advance(300_000);
    assert!(frame(&mut body).await.is_none(), "the session has ended");
}

#[tokio::test]
async fn an_exception_in_the_stream_ends_it() {
    let (server, consumer) = server().await;
    let (mut client, _connection) = connect(&server).await;
    let mut body = subscribe(&mut client, &consumer).await.into_body();
    next(&mut body).await;
    next(&mut body).await;
    server.aws().advance(5_000);
    let _second = subscribe(&mut client, &consumer).await;
    // The empty event of five idle seconds may come first.
    let exception = loop {
        let (headers, payload) = next(&mut body).await;
        if headers.contains("exception") {
            break (headers, payload);
        }
    };
    assert!(exception.0.contains("ResourceInUseException"), "{}", exception.0);
    assert!(exception.1["message"].is_string());
    assert!(frame(&mut body).await.is_none());
}

#[tokio::test]
async fn a_connection_that_goes_away_ends_what_it_began() {
    let (server, consumer) = server().await;
    let (mut client, _connection) = connect(&server).await;
    let mut body = subscribe(&mut client, &consumer).await.into_body();
    next(&mut body).await;
    next(&mut body).await;
    server.aws().inject(Injection::once(EVENT, Fault::GoAway));
    server.aws().kinesis().put("orders", "a", b"1").unwrap();
    assert_eq!(next(&mut body).await.1["Records"][0]["Data"], "MQ==");
    // The client learns of it with its next request at the latest, and that one has no effect.
    let refused = loop {
        match call(&mut client, "DescribeStreamSummary", &json!({"StreamName": "orders"})).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(!refused.is_user(), "{refused}");
    server.aws().kinesis().put("orders", "a", b"2").unwrap();
    assert_eq!(next(&mut body).await.1["Records"][0]["Data"], "Mg==", "the stream goes on");
}

#[tokio::test]
async fn a_stream_is_cut_and_the_connection_stays() {
    let (server, consumer) = server().await;
    let (mut client, _connection) = connect(&server).await;
    let mut body = subscribe(&mut client, &consumer).await.into_body();
    next(&mut body).await;
    next(&mut body).await;
    server.aws().inject(Injection::once(EVENT, Fault::LostReply));
    server.aws().kinesis().put("orders", "a", b"1").unwrap();
    assert!(frame(&mut body).await.unwrap().is_err());
    assert!(call(&mut client, "ListStreams", &json!({})).await.is_ok());
}

#[tokio::test]
async fn a_reset_takes_the_connection() {
    let (server, consumer) = server().await;
    let (mut client, connection) = connect(&server).await;
    let mut body = subscribe(&mut client, &consumer).await.into_body();
    next(&mut body).await;
    next(&mut body).await;
    server.aws().inject(Injection::once(EVENT, Fault::Reset));
    server.aws().kinesis().put("orders", "a", b"1").unwrap();
    assert!(frame(&mut body).await.unwrap().is_err());
    connection.await.unwrap();
    assert!(call(&mut client, "ListStreams", &json!({})).await.is_err());
}

#[tokio::test]
async fn a_half_open_stream_says_nothing() {
    let (server, consumer) = server().await;
    let (mut client, _connection) = connect(&server).await;
    let mut body = subscribe(&mut client, &consumer).await.into_body();
    next(&mut body).await;
    next(&mut body).await;
    server.aws().inject(Injection::once(EVENT, Fault::Hang));
    server.aws().kinesis().put("orders", "a", b"1").unwrap();
    while !server.aws().pending_faults().is_empty() {
        tokio::task::yield_now().await;
    }
    server.aws().advance(600_000);
    let silence = tokio::time::timeout(Duration::from_millis(50), frame(&mut body)).await;
    assert!(silence.is_err());
}
