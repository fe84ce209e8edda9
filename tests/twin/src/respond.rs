//! One request and its answer, with what faults do to it on the way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use crate::calls::Op;
use crate::clock::http_date;
use crate::control::control;
use crate::cut::Body;
use crate::error::AwsError;
use crate::faults::Fault;
use crate::http::{Shared, Signal};
use crate::kinesis::{KinesisOp, Subscription};
use crate::push::push;
use crate::signature;
use crate::wire::Answer;

/// Documented: a request is at most 16 MB.
const REQUEST_BYTES: usize = 16 << 20;

/// An `Err` ends the connection (HTTP/2: the stream) without an answer.
pub(crate) async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    signal: watch::Sender<Signal>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES).collect().await;
    let body = body.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
    if parts.uri.path() == "/__twin" {
        return Ok(controlled(&shared, &parts.method, &body));
    }
    let target =
        parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let dialect = Dialect::of(target);
    let (answer, stamp) = {
        let mut aws = shared.hold();
        let admitted = signature::check(&parts.headers, aws.now_ms(), aws.knobs().signature_ms);
        let answer = match admitted.and_then(|()| operation(target)) {
            Err(error) => Asked { answer: Err(error), damage: None },
            Ok(Op::Kinesis(KinesisOp::SubscribeToShard)) => {
                let (answer, damage) = aws.answer_subscription(&body);
                Asked { answer: answer.map(Content::Session), damage }
            }
            Ok(op) => {
                let Answer { result, damage } = aws.answer(op, &body);
                Asked { answer: result.map(Content::Whole), damage }
            }
        };
        (answer, Stamp { date: http_date(aws.now_ms()), request_id: aws.request_id() })
    };
    deliver(answer, dialect, &stamp, &shared, &signal).await
}

/// What an operation gave, and what is done to it on the way.
struct Asked {
    answer: Result<Content, AwsError>,
    damage: Option<Fault>,
}

enum Content {
    Whole(Bytes),
    Session(Subscription),
}

struct Stamp {
    date: String,
    request_id: String,
}

/// How a service writes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// JSON 1.0, errors with their namespace, a checksum in the header (recorded).
    DynamoDb,
    /// JSON 1.1, errors by their bare name, no checksum (recorded).
    Kinesis,
}

const KINESIS: &str = "Kinesis_20131202";

impl Dialect {
    fn of(target: &str) -> Self {
        if target.starts_with(KINESIS) { Self::Kinesis } else { Self::DynamoDb }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::DynamoDb => "application/x-amz-json-1.0",
            Self::Kinesis => "application/x-amz-json-1.1",
        }
    }

    fn error_body(self, error: &AwsError) -> Bytes {
        let kind = if self == Self::DynamoDb { error.wire_type() } else { error.code.clone() };
        serde_json::json!({ "__type": kind, "message": error.message }).to_string().into()
    }
}

fn operation(target: &str) -> Result<Op, AwsError> {
    let unknown = || AwsError::new("UnknownOperationException", 400, "unknown X-Amz-Target");
    known_operation(target).ok_or_else(unknown)
}

fn known_operation(target: &str) -> Option<Op> {
    let (service, op) = target.split_once('.')?;
    if service == KINESIS {
        return KinesisOp::on_wire(op).map(Op::Kinesis);
    }
    let op: Op = serde_json::from_value(op.into()).ok()?;
    let known = match op {
        Op::Kinesis(_) => return None,
        Op::ListStreams | Op::DescribeStream | Op::GetShardIterator | Op::GetRecords => {
            "DynamoDBStreams_20120810"
        }
        _ => "DynamoDB_20120810",
    };
    (service == known).then_some(op)
}

async fn deliver(
    asked: Asked,
    dialect: Dialect,
    stamp: &Stamp,
    shared: &Arc<Shared>,
    signal: &watch::Sender<Signal>,
) -> io::Result<Response<Body>> {
    match &asked.damage {
        Some(Fault::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(Fault::GoAway) => drop(signal.send_replace(Signal::GoAway)),
        _ => {}
    }
    let (status, body) = match asked.answer {
        Ok(Content::Session(subscription)) => {
            return Ok(pushed(subscription, asked.damage, stamp, shared, signal));
        }
        Ok(Content::Whole(body)) => (200, body),
        Err(error) if error.status == 0 => return silence(&error, signal).await,
        Err(error) => (error.status, dialect.error_body(&error)),
    };
    let whole = if asked.damage == Some(Fault::InvalidJson) { body.slice(..body.len() / 2) } else { body };
    let checksum = crc32fast::hash(&whole) ^ u32::from(asked.damage == Some(Fault::WrongCrc));
    let cut = asked.damage == Some(Fault::Truncated);
    let mut response = Response::new(if cut { Body::cut(whole) } else { Body::whole(whole) });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    stamp.set(&mut response, dialect.content_type());
    if dialect == Dialect::DynamoDb {
        set(&mut response, HeaderName::from_static("x-amz-crc32"), &checksum.to_string());
    }
    Ok(response)
}

/// An answer that goes on until its session ends.
fn pushed(
    subscription: Subscription,
    damage: Option<Fault>,
    stamp: &Stamp,
    shared: &Arc<Shared>,
    signal: &watch::Sender<Signal>,
) -> Response<Body> {
    let (out, body) = Body::fed();
    tokio::spawn(push(subscription, damage, shared.clone(), signal.clone(), out));
    let mut response = Response::new(body);
    stamp.set(&mut response, "application/vnd.amazon.eventstream");
    response
}

impl Stamp {
    fn set(&self, response: &mut Response<Body>, content_type: &str) {
        set(response, CONTENT_TYPE, content_type);
        set(response, DATE, &self.date);
        set(response, HeaderName::from_static("x-amzn-requestid"), &self.request_id);
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The faults without an answer.
async fn silence(error: &AwsError, signal: &watch::Sender<Signal>) -> io::Result<Response<Body>> {
    match error.code.as_str() {
        AwsError::HANG => std::future::pending().await,
        AwsError::RESET => {
            signal.send_replace(Signal::Reset);
            std::future::pending().await
        }
        _ => Err(io::Error::other("the answer is lost")),
    }
}

fn controlled(shared: &Shared, method: &Method, body: &[u8]) -> Response<Body> {
    let result = match *method {
        Method::POST => control(&mut shared.hold(), body),
        _ => Err("control commands are sent with POST".to_owned()),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err(message) => (StatusCode::BAD_REQUEST, serde_json::json!({ "error": message })),
    };
    let mut response = Response::new(Body::whole(value.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
