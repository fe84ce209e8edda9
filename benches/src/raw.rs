//! What stands between us and the limit: plain HTTP and the same decoder, without SDK, checkpoint or Python.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use shardarrow::decode::{Room, Skip, decoder};
use shardarrow::page::Page;
use shardarrow::source::envelope::{Envelope, OfRecords};
use tokio::net::TcpStream;

use crate::clock::thread_seconds;
use crate::contenders::{Answer, Workload};

#[derive(Debug, Serialize)]
pub struct Read {
    bytes: usize,
    rows: usize,
    wall: f64,
    cpu: f64,
}

/// As a stream's defaults are.
const ROOM: Room = Room { rows: 65_536, bytes: 16 << 20 };

/// Reads the first shard of a table to its end.
///
/// # Errors
/// What HTTP says.
pub fn read(address: &str, table: &str) -> io::Result<Read> {
    let workload = Workload::named(&table.split('.').next().unwrap_or_default().replace('_', "/"));
    let workload = workload.ok_or_else(|| io::Error::other("no such workload"))?;
    let Answer::Records(template) = workload.answer.clone() else {
        return Err(io::Error::other("not records"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sender = runtime.block_on(connect(address))?;
    let mut decoder = decoder(&workload.options(), &workload.keys, None).map_err(io::Error::other)?;
    let mut next = Some(format!("{table}|shard|0"));
    let mut read = Read { bytes: 0, rows: 0, wall: 0.0, cpu: 0.0 };
    let (begun, before) = (Instant::now(), thread_seconds());
    while let Some(iterator) = next {
        let body = runtime.block_on(fetch(&mut sender, &iterator)).map_err(io::Error::other)?;
        read.bytes += body.len();
        let envelope: Envelope<OfRecords> = Envelope::read(&body).map_err(io::Error::other)?;
        next = envelope.about.next;
        let page = Page { body, records: envelope.elements.clone(), ..template.clone() };
        let mut from = Some(envelope.elements.start);
        while let Some(start) = from {
            let room =
                Room { rows: ROOM.rows - decoder.rows(), bytes: ROOM.bytes.saturating_sub(decoder.bytes()) };
            let pushed = decoder.push(&page, start, room, &Skip::default()).map_err(io::Error::other)?;
            from = pushed.rest;
            if from.is_some() || decoder.bytes() >= ROOM.bytes {
                read.rows += decoder.flush().map_err(io::Error::other)?.num_rows();
            }
        }
    }
    read.rows += decoder.flush().map_err(io::Error::other)?.num_rows();
    (read.wall, read.cpu) = (begun.elapsed().as_secs_f64(), thread_seconds() - before);
    Ok(read)
}

async fn connect(address: &str) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn fetch(sender: &mut SendRequest<Full<Bytes>>, iterator: &str) -> hyper::Result<Bytes> {
    let body = Full::new(Bytes::from(format!("{{\"ShardIterator\":\"{iterator}\"}}")));
    let request = Request::post("/")
        .header("host", "localhost")
        .header("x-amz-target", "DynamoDBStreams_20120810.GetRecords");
    let request = request.body(body).unwrap_or_default();
    sender.ready().await?;
    Ok(sender.send_request(request).await?.into_body().collect().await?.to_bytes())
}
