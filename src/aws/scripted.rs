//! A server on loopback that answers what a test tells it, byte for byte.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::Connection;

/// The service's clock in every answer, and the same as milliseconds.
pub(crate) const DATE: &str = "Sat, 21 Nov 2026 12:00:00 GMT";
pub(crate) const DATE_MILLIS: i64 = 1_795_262_400_000;

pub(crate) enum Reply {
    /// A whole answer with status and body.
    Say(u16, String),
    /// These bytes instead of an answer, then the end of the connection.
    Raw(Vec<u8>),
    /// These pieces of an answer with a pause before each, then silence.
    Pieces(Vec<Vec<u8>>, Duration),
    /// The connection is reset.
    Reset,
}

/// An operation's name and its request.
pub(crate) type Asked = (String, Value);

pub(crate) struct Scripted {
    pub(crate) endpoint: String,
    log: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone)]
struct Request {
    asked: Asked,
    head: String,
}

impl Scripted {
    /// Serves until the process ends; `script` sees each request in turn.
    pub(crate) fn serve(script: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let log: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (script, shared_log) = (Arc::new(Mutex::new(script)), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (script.clone(), shared_log.clone());
                std::thread::spawn(move || answer_all(stream, &script, &log));
            }
        });
        Self { endpoint, log }
    }

    /// Gives these answers one after the other, then resets connections.
    pub(crate) fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: std::collections::VecDeque<_> = replies.into_iter().collect();
        Self::serve(move |_, _| replies.pop_front().unwrap_or(Reply::Reset))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().iter().map(|request| request.asked.clone()).collect()
    }

    /// The value of a header in each request.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().map(|request| header(&request.head, name).unwrap_or_default()).collect()
    }

    pub(crate) fn connection(&self) -> Connection {
        connection(&self.endpoint)
    }
}

pub(crate) fn connection(endpoint: &str) -> Connection {
    Connection {
        region: Some("eu-west-1".into()),
        endpoint_url: Some(endpoint.into()),
        access_key_id: Some("AKIDTEST".into()),
        secret_access_key: Some("secret-of-the-test".into()),
        ..Connection::default()
    }
}

/// A complete HTTP answer.
pub(crate) fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Status\r\nDate: {DATE}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// An error answer as the service writes it.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{message}"}}"#);
    Reply::Say(status, body)
}

fn answer_all(
    mut stream: TcpStream,
    script: &Mutex<impl FnMut(&str, &Value) -> Reply>,
    log: &Mutex<Vec<Request>>,
) {
    while let Some((request, length)) = peek_request(&stream) {
        log.lock().unwrap().push(request.clone());
        let reply = (script.lock().unwrap())(&request.asked.0, &request.asked.1);
        if matches!(reply, Reply::Reset) {
            // Closing a socket with unread bytes resets the connection.
            return;
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        match reply {
            Reply::Say(status, body) => stream.write_all(&http(status, "", &body)).unwrap_or_default(),
            Reply::Raw(bytes) => return stream.write_all(&bytes).unwrap_or_default(),
            Reply::Pieces(pieces, pause) => {
                for piece in pieces {
                    std::thread::sleep(pause);
                    let _ = stream.write_all(&piece);
                }
                // Silent until the other side gives up.
                let _ = stream.read(&mut [0]);
                return;
            }
            Reply::Reset => return,
        }
    }
}

/// The next request and its length, left unread.
fn peek_request(stream: &TcpStream) -> Option<(Request, usize)> {
    let mut seen = vec![0; 1 << 16];
    loop {
        let count = stream.peek(&mut seen).ok().filter(|count| *count > 0)?;
        if let Some(found) = parse_request(&seen[..count]) {
            return Some(found);
        }
        std::thread::yield_now();
    }
}

fn parse_request(bytes: &[u8]) -> Option<(Request, usize)> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap().to_owned();
    let length = head_end + header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let body = std::str::from_utf8(bytes.get(head_end..length)?).unwrap();
    let target = header(&head, "x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    // STS is asked with a form, not with JSON.
    let request = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    Some((Request { asked: (operation, request), head }, length))
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}
