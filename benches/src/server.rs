//! A server of prepared pages: it answers as the services do, faster than anybody reads.
//!
//! The twin keeps every record it ever gave; this one has a single page for each table, and counts up the
//! sequence numbers in it whenever it sends it again. A table's name says what it is: `WORKLOAD.SHARDS.PAGES`,
//! with `_` for `/` in the workload, such as `streams_medium.16.500`. No number of pages means without end. A table
//! of one record trickles: every other page is empty, and the record's id is the time it was sent.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::contenders::Workload;
use crate::pages::LAP;

/// The moment at which the records were made, which is when this server lives.
const DATE: &str = "Tue, 09 Jun 2026 10:13:20 GMT";
const CREATED: u64 = 1_780_000_000;

/// What stands for CrateDB says to everything: done, and who it is.
const CRATE: &[u8] = br#"{"cols":["a"],"rows":[[1]],"rowcount":1,"duration":0.1,"ok":true,"status":200,"name":"bench","cluster_name":"bench","version":{"number":"6.0.0"}}"#;

/// A table or a stream.
struct Table {
    workload: Workload,
    /// Where each sequence number of the page begins.
    numbers: Vec<usize>,
    shards: usize,
    /// How many each shard has before it ends.
    pages: Option<u32>,
}

type Tables = Arc<Mutex<HashMap<String, Arc<Table>>>>;

impl Table {
    fn named(name: &str) -> Option<Self> {
        let mut words = name.split('.');
        let workload = Workload::named(&words.next()?.replace('_', "/"))?;
        let shards = words.next()?.parse().ok()?;
        let pages = words.next().and_then(|word| word.parse().ok());
        let mark = format!("\"SequenceNumber\":\"{LAP}");
        let body = std::str::from_utf8(workload.answer.body()).ok()?;
        let numbers = body.match_indices(&mark).map(|(at, _)| at + mark.len() - LAP.len()).collect();
        Some(Self { workload, numbers, shards, pages })
    }

    /// The page as it is sent the `lap`th time.
    fn page(&self, lap: u32, next: &str) -> Vec<u8> {
        let whole = self.workload.answer.body();
        let end = memchr_last(whole);
        if self.pages.is_some_and(|pages| lap >= pages) {
            return b"{\"Records\":[],\"MillisBehindLatest\":0}".to_vec();
        }
        let trickles = self.numbers.len() == 1;
        if trickles && lap % 2 == 1 {
            return format!("{{\"Records\":[],\"MillisBehindLatest\":0,\"NextShardIterator\":\"{next}\"}}")
                .into();
        }
        let mut body = Vec::with_capacity(whole.len() + 200);
        body.extend_from_slice(&whole[..=end]);
        let first: u32 = LAP.parse().unwrap_or_default();
        let number = (first + lap).to_string();
        for at in &self.numbers {
            body[*at..*at + LAP.len()].copy_from_slice(number.as_bytes());
        }
        if trickles {
            write_time(&mut body);
        }
        body.extend_from_slice(
            format!(",\"MillisBehindLatest\":0,\"NextShardIterator\":\"{next}\"}}").as_bytes(),
        );
        body
    }
}

/// Writes the time over the id of the record, in nanoseconds.
fn write_time(body: &mut [u8]) {
    let mark = b"\"eventID\":\"";
    let Some(at) = body.windows(mark.len()).position(|window| window == mark) else { return };
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    if let Some(id) = body.get_mut(at + mark.len()..at + mark.len() + 32) {
        id.copy_from_slice(format!("{nanos:032}").as_bytes());
    }
}

/// Where the array of records ends.
fn memchr_last(body: &[u8]) -> usize {
    body.iter().rposition(|byte| *byte == b']').unwrap_or_default()
}

/// Serves until the process ends; tells its address first.
///
/// # Errors
/// What binding says.
pub async fn serve(mut tell: impl FnMut(std::net::SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    tell(listener.local_addr()?);
    let tables = Tables::default();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, tables.clone()));
    }
}

async fn connection(stream: TcpStream, tables: Tables) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, tables.clone()));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, tables: Tables) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/_sql" || parts.method == hyper::Method::GET {
        return Ok(Response::new(Full::new(Bytes::from_static(CRATE))));
    }
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = match respond(target, &asked, &tables) {
        Some(body) => (200, body),
        None => (400, b"{\"__type\":\"ResourceNotFoundException\",\"message\":\"not here\"}".to_vec()),
    };
    let mut response = Response::builder().status(status).header("date", DATE);
    if target.starts_with("DynamoDB") {
        response = response.header("x-amz-crc32", crc32fast::hash(&body).to_string());
    }
    Ok(response.body(Full::new(Bytes::from(body))).unwrap_or_default())
}

fn respond(target: &str, asked: &Value, tables: &Tables) -> Option<Vec<u8>> {
    let (service, operation) = target.split_once('.')?;
    if operation == "GetRecords" {
        let (name, shard, lap) = place(asked["ShardIterator"].as_str()?)?;
        let table = table(tables, name)?;
        return Some(table.page(lap, &iterator(name, shard, lap + 1)));
    }
    let arn = asked["StreamArn"].as_str().or_else(|| asked["StreamARN"].as_str());
    let name = match arn {
        Some(arn) => arn.split('/').nth(1)?,
        None => asked["TableName"].as_str().or_else(|| asked["StreamName"].as_str())?,
    };
    let table = table(tables, name)?;
    let answer = match operation {
        "DescribeTable" => json!({ "Table": describe_table(name, &table) }),
        "DescribeStream" if service.starts_with("Kinesis") => {
            let mut stream = summary(name, &table);
            stream["Shards"] = shards(&table, true).into();
            stream["HasMoreShards"] = false.into();
            json!({ "StreamDescription": stream })
        }
        "DescribeStream" => json!({ "StreamDescription": describe_stream(name, &table) }),
        "DescribeStreamSummary" => json!({ "StreamDescriptionSummary": summary(name, &table) }),
        "ListShards" => json!({ "Shards": shards(&table, true) }),
        "GetShardIterator" => {
            let lap = asked["StartingSequenceNumber"].as_str().or_else(|| asked["SequenceNumber"].as_str());
            let lap: u32 = lap.and_then(|number| number.get(..LAP.len())?.parse().ok()).unwrap_or_default();
            let first: u32 = LAP.parse().ok()?;
            let lap = if lap == 0 { 0 } else { lap - first + 1 };
            json!({ "ShardIterator": iterator(name, asked["ShardId"].as_str()?, lap) })
        }
        _ => return None,
    };
    serde_json::to_vec(&answer).ok()
}

fn table(tables: &Tables, name: &str) -> Option<Arc<Table>> {
    let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(table) = tables.get(name) {
        return Some(table.clone());
    }
    let table = Arc::new(Table::named(name)?);
    tables.insert(name.to_owned(), table.clone());
    Some(table)
}

fn iterator(name: &str, shard: &str, lap: u32) -> String {
    format!("{name}|{shard}|{lap}")
}

fn place(iterator: &str) -> Option<(&str, &str, u32)> {
    let mut words = iterator.split('|');
    Some((words.next()?, words.next()?, words.next()?.parse().ok()?))
}

fn describe_table(name: &str, table: &Table) -> Value {
    json!({
        "TableName": name, "TableStatus": "ACTIVE", "TableArn": table_arn(name), "ItemCount": 0,
        "TableSizeBytes": 0, "CreationDateTime": CREATED, "LatestStreamArn": stream_arn(name),
        "LatestStreamLabel": "2026-06-09T00:00:00.000", "KeySchema": key_schema(table),
        "AttributeDefinitions": table.workload.keys.iter().map(|key| json!({
            "AttributeName": key.name, "AttributeType": key.kind,
        })).collect::<Vec<_>>(),
        "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
    })
}

fn key_schema(table: &Table) -> Vec<Value> {
    let kinds = ["HASH", "RANGE"];
    let keys = table.workload.keys.iter().zip(kinds);
    keys.map(|(key, kind)| json!({ "AttributeName": key.name, "KeyType": kind })).collect()
}

fn describe_stream(name: &str, table: &Table) -> Value {
    json!({
        "StreamArn": stream_arn(name), "StreamLabel": "2026-06-09T00:00:00.000", "StreamStatus": "ENABLED",
        "StreamViewType": "NEW_AND_OLD_IMAGES", "CreationRequestDateTime": CREATED, "TableName": name,
        "KeySchema": key_schema(table), "Shards": shards(table, false),
    })
}

fn summary(name: &str, table: &Table) -> Value {
    json!({
        "StreamName": name, "StreamARN": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{name}"),
        "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": CREATED,
        "EnhancedMonitoring": [], "OpenShardCount": table.shards,
    })
}

fn shards(table: &Table, kinesis: bool) -> Vec<Value> {
    let width = u128::MAX / table.shards.max(1) as u128;
    let shard = |number: usize| {
        let mut shard = json!({
            "ShardId": format!("shardId-{number:020}-a1b2c3d4"),
            "SequenceNumberRange": { "StartingSequenceNumber": format!("{LAP}{:018}", 0) },
        });
        if table.pages.is_some() {
            shard["SequenceNumberRange"]["EndingSequenceNumber"] =
                "9".repeat(if kinesis { 56 } else { 25 }).into();
        }
        if kinesis {
            let first = width * number as u128;
            let last = if number + 1 == table.shards { u128::MAX } else { first + width - 1 };
            shard["HashKeyRange"] =
                json!({ "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string() });
        }
        shard
    };
    (0..table.shards).map(shard).collect()
}

fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:us-east-1:123456789012:table/{name}")
}

fn stream_arn(name: &str) -> String {
    format!("{}/stream/2026-06-09T00:00:00.000", table_arn(name))
}
