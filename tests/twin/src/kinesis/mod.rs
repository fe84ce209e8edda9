//! Kinesis Data Streams: streams of shards that split and merge, written, polled
//! and pushed.
//!
//! [`Kinesis`] is the service in-process. Requests and answers have the members of the service's
//! model; the same requests come over the wire as JSON.

mod consumer;
mod describe;
mod event;
mod fan_out;
mod iterator;
mod knobs;
mod lifecycle;
mod list_shards;
mod op;
mod opaque;
mod rate;
mod read;
mod record;
mod reshard;
mod sequence;
mod shard;
mod stream;
pub(crate) mod wire;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::calls::Op;
use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::table::ACCOUNT;

pub use consumer::{ConsumerDescription, ConsumerNamed, ConsumerPage};
pub use describe::{StreamDescription, StreamDescriptionSummary, StreamNames};
pub use event::ShardEvent;
pub use fan_out::{Pushed, StartingPosition, SubscribeToShard, Subscription};
pub use iterator::{GetShardIterator, IteratorType};
pub use knobs::KinesisKnobs;
pub use lifecycle::{CreateStream, StreamMode, StreamModeDetails};
pub use list_shards::{
    ChildShard, HashKeyRange, ListShards, SequenceNumberRange, ShardDescription, ShardFilter, ShardPage,
};
pub use op::KinesisOp;
pub use read::RecordPage;
pub use record::KinesisRecord;
pub use write::{PutEntry, PutResult, PutResults};

pub(crate) use record::hash_text;
pub(crate) use stream::Streams;

use stream::Stream;

/// The service Kinesis of one twin.
#[derive(Debug)]
pub struct Kinesis<'a> {
    aws: &'a mut Aws,
}

impl Aws {
    pub fn kinesis(&mut self) -> Kinesis<'_> {
        Kinesis { aws: self }
    }

    /// Every record ever written to Kinesis, in order of writing, trimmed or not: the tests' oracle.
    pub fn kinesis_history(&self) -> &[Arc<KinesisRecord>] {
        &self.kinesis.history
    }
}

/// A stream by its name or its ARN; the ARN goes first where both are given (assumed).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    #[serde(rename = "StreamName", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(rename = "StreamARN", default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
}

impl Named {
    pub fn of(name: &str) -> Self {
        Self { name: Some(name.to_owned()), arn: None }
    }

    /// The stream's name, for faults and counters.
    pub(crate) fn stream(&self) -> Option<&str> {
        let of_arn = |arn: &'_ str| arn.split_once(":stream/").map(|(_, name)| name.len());
        match &self.arn {
            Some(arn) => of_arn(arn).and_then(|length| arn.get(arn.len() - length..)),
            None => self.name.as_deref(),
        }
    }
}

impl Kinesis<'_> {
    /// One call, for which faults and counters look at `scope`: `stream` or `stream/shard`.
    fn call<T>(
        &mut self,
        op: KinesisOp,
        scope: Option<&str>,
        act: impl FnOnce(&mut Kinesis<'_>) -> Result<T>,
    ) -> Result<T> {
        let act = |aws: &mut Aws| act(&mut Kinesis { aws });
        let answer = self.aws.observe(Op::Kinesis(op), scope, act)?;
        match self.aws.take_damage() {
            // Kinesis sends no checksum that could be wrong.
            None | Some(Fault::WrongCrc) => Ok(answer),
            Some(damage) if damage.leaves_whole() => Ok(answer),
            Some(_) => Err(AwsError::bad_body()),
        }
    }

    /// Any operation as over the wire: the request's JSON, the answer's bytes with what a fault did to them.
    ///
    /// # Errors
    /// As over the wire; `AwsError::BAD_BODY` for a body cut short in transport.
    pub fn request(&mut self, op: KinesisOp, body: &[u8]) -> Result<Bytes> {
        let answer = self.aws.answer(Op::Kinesis(op), body);
        let body = answer.result?;
        match answer.damage {
            Some(Fault::InvalidJson) => Ok(body.slice(..body.len() / 2)),
            Some(Fault::Truncated) => Err(AwsError::bad_body()),
            _ => Ok(body),
        }
    }

    fn now(&self) -> Millis {
        self.aws.now_ms()
    }

    fn knobs(&self) -> &KinesisKnobs {
        &self.aws.knobs.kinesis
    }

    fn streams(&self) -> &Streams {
        &self.aws.kinesis
    }

    fn stream(&self, named: &Named) -> Result<&Stream> {
        let name = name_of(named)?;
        self.streams().by_name.get(name).ok_or_else(|| stream_missing(name))
    }

    fn stream_mut(&mut self, named: &Named) -> Result<&mut Stream> {
        let name = name_of(named)?;
        self.aws.kinesis.by_name.get_mut(name).ok_or_else(|| stream_missing(name))
    }

    /// A stream that may be changed now. Documented: one change at a time.
    fn active_mut(&mut self, named: &Named) -> Result<&mut Stream> {
        let now = self.now();
        let stream = self.stream_mut(named)?;
        match stream.status(now) {
            "ACTIVE" => Ok(stream),
            status => Err(AwsError::in_use(format!(
                "Stream {} under account {ACCOUNT} not ACTIVE, instead in state {status}",
                stream.name
            ))),
        }
    }
}

fn name_of(named: &Named) -> Result<&str> {
    let name = named.stream().ok_or_else(|| {
        invalid_argument("Missing required parameter: one of StreamARN and StreamName must be given")
    })?;
    match &named.arn {
        Some(arn) if *arn != stream::arn_of(name) => Err(stream_missing(arn)),
        _ => Ok(name),
    }
}

/// Recorded, with its message.
fn stream_missing(name: &str) -> AwsError {
    AwsError::not_found(format!("Stream {name} under account {ACCOUNT} not found."))
}

/// Recorded, with its message.
fn shard_missing(shard: &str, stream: &str) -> AwsError {
    AwsError::not_found(format!("Shard {shard} in stream {stream} under account {ACCOUNT} does not exist"))
}

fn invalid_argument(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidArgumentException", 400, message)
}

/// Recorded, with its message.
fn shard_busy(shard: &str, stream: &str) -> AwsError {
    AwsError::new(
        "ProvisionedThroughputExceededException",
        400,
        format!("Rate exceeded for shard {shard} in stream {stream} under account {ACCOUNT}."),
    )
}

/// What faults and counters call a shard of Kinesis: its id alone would be ambiguous.
pub(crate) fn scope(stream: &str, shard: &str) -> String {
    format!("{stream}/{shard}")
}

/// A time in a request: seconds since 1970, with a fraction.
fn millis(seconds: f64) -> Millis {
    #[allow(clippy::cast_possible_truncation)] // saturates
    let ms = (seconds * 1000.0).round() as Millis;
    ms
}
