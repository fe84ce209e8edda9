//! A service on loopback whose subscriptions do what a test tells them, over HTTP/1.1 and HTTP/2.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::aws::Connection;
use crate::aws::scripted::connection;

pub(super) const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
pub(super) const CONSUMER: &str =
    "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/app:1525898737";
pub(super) const DATE: &str = "Sat, 21 Nov 2026 12:00:00 GMT";
pub(super) const DATE_MILLIS: i64 = 1_795_262_400_000;

/// What happens next in a session.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// These bytes as often as they are taken.
    SendForEver(Vec<u8>),
    /// The connection breaks; over HTTP/2 the stream is reset.
    Break,
    /// Nothing more comes, and the connection stands.
    Silence,
    /// The server asks that nothing new be begun on the connection.
    GoAway,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// These steps, then a clean end.
    Session(Vec<Step>),
    Refusal(u16, &'static str),
    /// No answer at all.
    Nothing,
}

/// One call of SubscribeToShard.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) request: Value,
    pub(super) at: Instant,
    pub(super) connection: usize,
    pub(super) http2: bool,
}

type Subscribed = dyn FnMut(&Value) -> Answer + Send;
type Other = dyn FnMut(&str, &Value) -> Result<Value, (u16, &'static str)> + Send;

struct State {
    subscribed: Box<Subscribed>,
    calls: Vec<Call>,
    other: Box<Other>,
    asked: Vec<String>,
    sent: usize,
    open: usize,
}

#[derive(Clone)]
pub(super) struct Service {
    pub(super) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Service {
    /// Answers calls for subscriptions in turn; the consumer is there and active.
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        Self::answering(move |_| answers.pop_front().unwrap_or(Answer::Nothing)).await
    }

    /// As `start`, with the answer to each request for a subscription.
    pub(super) async fn answering(subscribed: impl FnMut(&Value) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let state = State {
            subscribed: Box::new(subscribed),
            calls: Vec::new(),
            other: Box::new(|operation, _| Ok(usual(operation))),
            asked: Vec::new(),
            sent: 0,
            open: 0,
        };
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = Self { endpoint, state: Arc::new(Mutex::new(state)) };
        tokio::spawn(service.clone().accept(listener));
        service
    }

    /// What every other operation answers.
    pub(super) fn answer_others(
        &self,
        other: impl FnMut(&str, &Value) -> Result<Value, (u16, &'static str)> + Send + 'static,
    ) {
        self.state.lock().unwrap().other = Box::new(other);
    }

    pub(super) fn connection(&self) -> Connection {
        connection(&self.endpoint)
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// The starting positions that were asked for, as `TYPE` or `TYPE number`.
    pub(super) fn positions(&self) -> Vec<String> {
        let position = |call: &Call| {
            let position = &call.request["StartingPosition"];
            let number = position["SequenceNumber"].as_str().map(|number| format!(" {number}"));
            format!("{}{}", position["Type"].as_str().unwrap(), number.unwrap_or_default())
        };
        self.calls().iter().map(position).collect()
    }

    /// The other operations that were called, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Bytes of sessions that the connections took.
    pub(super) fn sent(&self) -> usize {
        self.state.lock().unwrap().sent
    }

    /// Connections that stand.
    pub(super) fn open(&self) -> usize {
        self.state.lock().unwrap().open
    }

    async fn accept(self, listener: TcpListener) {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(self.clone().serve(TokioIo::new(stream), number));
        }
    }

    async fn serve(self, stream: TokioIo<tokio::net::TcpStream>, number: usize) {
        self.state.lock().unwrap().open += 1;
        let leaving = Arc::new(Notify::new());
        let service = service_fn(|request| self.clone().answer(request, number, leaving.clone()));
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
        tokio::select! {
            _ = connection.as_mut() => {}
            () = leaving.notified() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        self.state.lock().unwrap().open -= 1;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        connection: usize,
        leaving: Arc<Notify>,
    ) -> Result<Response<Reply>, Infallible> {
        let http2 = request.version() == hyper::Version::HTTP_2;
        let operation = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = operation.rsplit('.').next().unwrap().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        if operation != "SubscribeToShard" {
            let mut state = self.state.lock().unwrap();
            state.asked.push(operation.clone());
            let answer = (state.other)(&operation, &body);
            return Ok(answer.map_or_else(|(status, code)| refusal(status, code), |body| whole(200, &body)));
        }
        let answer = {
            let mut state = self.state.lock().unwrap();
            let answer = (state.subscribed)(&body);
            state.calls.push(Call { request: body, at: Instant::now(), connection, http2 });
            answer
        };
        match answer {
            Answer::Session(steps) => {
                let session =
                    Session { steps: steps.into(), state: self.state.clone(), leaving, flushed: false };
                let response = Response::builder().header("date", DATE);
                let response = response.header("content-type", "application/vnd.amazon.eventstream");
                Ok(response.body(Reply::Session(session)).unwrap())
            }
            Answer::Refusal(status, code) => Ok(refusal(status, code)),
            Answer::Nothing => std::future::pending().await,
        }
    }
}

/// What the operations answer when all is well.
pub(super) fn usual(operation: &str) -> Value {
    match operation {
        "DescribeStreamSummary" => json!({"StreamDescriptionSummary": {
            "StreamName": "clicks", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1.5e9, "EnhancedMonitoring": [], "OpenShardCount": 1,
        }}),
        "DescribeStreamConsumer" => consumer("ACTIVE"),
        _ => json!({}),
    }
}

pub(super) fn consumer(status: &str) -> Value {
    json!({"ConsumerDescription": {
        "ConsumerName": "app", "ConsumerARN": CONSUMER, "ConsumerStatus": status,
        "ConsumerCreationTimestamp": 1_525_898_737, "StreamARN": STREAM,
    }})
}

fn whole(status: u16, body: &Value) -> Response<Reply> {
    let response = Response::builder().status(status).header("date", DATE);
    let response = response.header("content-type", "application/x-amz-json-1.1");
    response.body(Reply::Whole(Full::new(Bytes::from(body.to_string())))).unwrap()
}

fn refusal(status: u16, code: &str) -> Response<Reply> {
    whole(status, &json!({"__type": code, "message": "as the test says"}))
}

pub(super) enum Reply {
    Whole(Full<Bytes>),
    Session(Session),
}

pub(super) struct Session {
    steps: VecDeque<Step>,
    state: Arc<Mutex<State>>,
    leaving: Arc<Notify>,
    flushed: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Session(session) => session.poll(context),
        }
    }
}

impl Session {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(step) = self.steps.pop_front() else { return Poll::Ready(None) };
        match step {
            Step::Send(bytes) => self.send(bytes),
            Step::SendForEver(bytes) => {
                self.steps.push_front(Step::SendForEver(bytes.clone()));
                self.send(bytes)
            }
            Step::Break if self.flushed => Poll::Ready(Some(Err(io::Error::other("the test breaks it")))),
            // What came before is on its way only when the server has waited once.
            Step::Break => {
                self.flushed = true;
                self.steps.push_front(Step::Break);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Silence => {
                self.steps.push_front(Step::Silence);
                Poll::Pending
            }
            Step::GoAway => {
                self.leaving.notify_one();
                self.poll(context)
            }
        }
    }

    fn send(&mut self, bytes: Vec<u8>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.state.lock().unwrap().sent += bytes.len();
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}
