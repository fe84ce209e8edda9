#![allow(clippy::unwrap_used)]

mod consumer;
mod service;
mod sessions;
mod transport;

use std::time::Duration;

use super::frames::tests as frames;
use super::*;
use service::{Answer, Service, Step};

/// The service's rules in a tenth of their time and less.
const RULES: Rules = Rules {
    wait: Duration::from_millis(50),
    between_calls: Duration::from_millis(20),
    after_success: Duration::from_millis(100),
    silence: Duration::from_millis(400),
    alone: Duration::from_secs(60),
    longest: Duration::from_secs(600),
    registration: Duration::from_secs(6),
};

fn fan_out(service: &Service) -> FanOut {
    fan_out_as("app", service)
}

fn fan_out_as(consumer: &str, service: &Service) -> FanOut {
    FanOut { rules: RULES, ..FanOut::new(kinesis(service.connection()), consumer).unwrap() }
}

fn kinesis(connection: crate::aws::Connection) -> Kinesis {
    Kinesis::new("clicks", connection).unwrap()
}

/// With prior knowledge, as there is no TLS on loopback.
async fn over_http2(service: &Service) -> FanOut {
    let fan_out = fan_out(service);
    let clients = fan_out.clients().await.unwrap().clone().with_prior_knowledge();
    FanOut { clients: OnceCell::new_with(Some(clients)), ..fan_out }
}

fn shard() -> ShardId {
    "shardId-000000000000".into()
}

fn beginning() -> Cursor {
    Place::Horizon.cursor()
}

/// An event with one record of this number, which is its continuation too.
fn record(number: u32) -> Step {
    Step::Send(record_bytes(number))
}

fn record_bytes(number: u32) -> Vec<u8> {
    let record = format!(r#"{{"SequenceNumber":"{number}","PartitionKey":"k","Data":"AA=="}}"#);
    frames::event(&format!(
        r#"{{"Records":[{record}],"ContinuationSequenceNumber":"{number}","MillisBehindLatest":0}}"#
    ))
}

/// An event without records that goes on behind this number.
fn heartbeat(number: u32) -> Step {
    Step::Send(frames::event(&format!(
        r#"{{"Records":[],"ContinuationSequenceNumber":"{number}","MillisBehindLatest":0}}"#
    )))
}

fn in_use() -> Step {
    Step::Send(frames::exception("ResourceInUseException", "Another active subscription exists"))
}

/// Fetches until an event or an error comes.
async fn next(fan_out: &FanOut, cursor: &Cursor) -> Result<Page> {
    loop {
        let page = Source::fetch(fan_out, &shard(), cursor).await?;
        if !page.says_nothing() {
            return Ok(page);
        }
    }
}

/// The numbers of all records until this many have come, going on after errors that may be tried
/// again, as a reader does.
async fn numbers(fan_out: &FanOut, count: usize) -> (Vec<String>, Vec<ErrorKind>) {
    let (mut cursor, mut found, mut errors) = (beginning(), Vec::new(), Vec::new());
    while found.len() < count {
        match next(fan_out, &cursor).await {
            Ok(page) => {
                found.extend(records(&page));
                let Some(next) = page.next else { break };
                cursor = next;
            }
            Err(error) => {
                assert!(error.retryable(), "{error}");
                assert_eq!(error.shard(), Some(&shard()));
                errors.push(error.kind());
            }
        }
    }
    (found, errors)
}

fn records(page: &Page) -> Vec<String> {
    let text = std::str::from_utf8(&page.body[page.records.clone()]).unwrap();
    let records: Vec<serde_json::Value> = serde_json::from_str(&format!("[{text}]")).unwrap();
    records.iter().map(|record| record["SequenceNumber"].as_str().unwrap().to_owned()).collect()
}
