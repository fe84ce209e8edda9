//! The twin as an HTTP/1.1 server on loopback.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::aws::Aws;
use crate::calls::Op;
use crate::clock::http_date;
use crate::control::control;
use crate::cut::Body;
use crate::error::AwsError;
use crate::faults::Fault;
use crate::kinesis::KinesisOp;
use crate::wire::Answer;

/// Documented: a request is at most 16 MB.
const REQUEST_BYTES: usize = 16 << 20;

/// A running server; dropping it stops accepting and ends all connections.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    aws: Arc<Mutex<Aws>>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// Binds `addr`, which must be on loopback, and serves `aws` until the handle is dropped.
///
/// # Errors
/// Whatever the binding says; `InvalidInput` when the address is not on loopback.
pub async fn serve(addr: SocketAddr, aws: Aws) -> io::Result<Server> {
    if !addr.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the twin serves loopback only"));
    }
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let aws = Arc::new(Mutex::new(aws));
    let (stop, stopped) = watch::channel(false);
    let accepting = tokio::spawn(accept(listener, aws.clone(), stopped));
    Ok(Server { addr, aws, stop, accepting })
}

impl Server {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The model behind the server; hold it briefly, requests wait for it.
    pub fn aws(&self) -> MutexGuard<'_, Aws> {
        lock(&self.aws)
    }

    /// Stops and waits until all connections are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// A panic in one request must not take the others' answers with it.
fn lock(aws: &Mutex<Aws>) -> MutexGuard<'_, Aws> {
    aws.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, aws: Arc<Mutex<Aws>>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            stream = next(&listener) => drop(connections.spawn(connection(stream, aws.clone()))),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

/// The next connection. Accepting fails when file descriptors run out; some have to be closed first.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, aws: Arc<Mutex<Aws>>) {
    let _ = stream.set_nodelay(true);
    let (reset, mut resetting) = watch::channel(false);
    let Ok((stream, socket)) = twice(stream) else { return };
    let service = service_fn(|request| respond(request, aws.clone(), reset.clone()));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        // Closing with a zero linger sends RST instead of FIN.
        _ = resetting.wait_for(|reset| *reset) => drop(socket.set_zero_linger()),
    }
}

/// A second handle to the socket, for settings while hyper owns the first.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(second)?))
}

/// An `Err` ends the connection without an answer.
async fn respond(
    request: Request<Incoming>,
    aws: Arc<Mutex<Aws>>,
    reset: watch::Sender<bool>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES).collect().await;
    let body = body.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
    if parts.uri.path() == "/__twin" {
        return Ok(controlled(&aws, &parts.method, &body));
    }
    let target =
        parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let dialect = Dialect::of(target);
    let signed = parts.headers.contains_key(AUTHORIZATION);
    let (answer, now, request_id) = {
        let mut aws = lock(&aws);
        let answer = match operation(target) {
            _ if !signed => refused("MissingAuthenticationTokenException", "Missing Authentication Token"),
            None => refused("UnknownOperationException", "unknown X-Amz-Target"),
            Some(op) => aws.answer(op, &body),
        };
        (answer, aws.now_ms(), aws.request_id())
    };
    deliver(answer, dialect, &http_date(now), &request_id, &reset).await
}

fn refused(code: &str, message: &str) -> Answer {
    Answer { result: Err(AwsError::new(code, 400, message)), damage: None }
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

fn operation(target: &str) -> Option<Op> {
    let (service, op) = target.split_once('.')?;
    if service == KINESIS {
        return KinesisOp::on_wire(op).map(Op::Kinesis);
    }
    let op: Op = serde_json::from_value(op.into()).ok()?;
    let streams = matches!(op, Op::ListStreams | Op::DescribeStream | Op::GetShardIterator | Op::GetRecords);
    if matches!(op, Op::Kinesis(_)) {
        return None;
    }
    let known = if streams { "DynamoDBStreams_20120810" } else { "DynamoDB_20120810" };
    (service == known).then_some(op)
}

async fn deliver(
    answer: Answer,
    dialect: Dialect,
    date: &str,
    request_id: &str,
    reset: &watch::Sender<bool>,
) -> io::Result<Response<Body>> {
    let (status, body) = match answer.result {
        Ok(body) => (200, body),
        Err(error) if error.status == 0 => return silence(&error, reset).await,
        Err(error) => (error.status, dialect.error_body(&error)),
    };
    let whole = if answer.damage == Some(Fault::InvalidJson) { body.slice(..body.len() / 2) } else { body };
    let checksum = crc32fast::hash(&whole) ^ u32::from(answer.damage == Some(Fault::WrongCrc));
    let body = match answer.damage {
        Some(Fault::Truncated) => Body::cut(whole),
        Some(Fault::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Body::whole(whole)
        }
        _ => Body::whole(whole),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        HeaderValue::from_str(value).map(|value| drop(headers.insert(name, value))).unwrap_or_default();
    };
    set(CONTENT_TYPE, dialect.content_type());
    set(DATE, date);
    set(HeaderName::from_static("x-amzn-requestid"), request_id);
    if dialect == Dialect::DynamoDb {
        set(HeaderName::from_static("x-amz-crc32"), &checksum.to_string());
    }
    Ok(response)
}

/// The faults without an answer.
async fn silence(error: &AwsError, reset: &watch::Sender<bool>) -> io::Result<Response<Body>> {
    match error.code.as_str() {
        AwsError::HANG => std::future::pending().await,
        AwsError::RESET => {
            reset.send_replace(true);
            std::future::pending().await
        }
        _ => Err(io::Error::other("the answer is lost")),
    }
}

fn controlled(aws: &Mutex<Aws>, method: &Method, body: &[u8]) -> Response<Body> {
    let result = match *method {
        Method::POST => control(&mut lock(aws), body),
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
