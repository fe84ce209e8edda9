//! `POST /__twin`: what a test does to the service from outside.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::channel::ChannelChange;
use crate::error::AwsError;
use crate::faults::Injection;
use crate::item::Attributes;
use crate::kinesis::{KinesisRecord, Named};
use crate::knobs::Knobs;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Now {},
    Advance { ms: u64 },
    RealTime { on: bool },
    Partitions { table: String, count: usize },
    RollOver { table: String, partition: usize },
    Split { table: String, partition: usize },
    Expire { table: String, key: Attributes },
    Inject(Injection),
    ClearFaults {},
    Knobs { set: Option<Value> },
    Counters {},
    Calls { last: Option<usize> },
    ResetCalls {},
    History { table: String },
    KinesisHistory { stream: String },
    ChannelHistory { table: String },
    Scale { stream: String, shards: u32 },
}

/// Carries out one command; every answer has `now_ms`.
///
/// # Errors
/// A sentence, for a command that does not parse or cannot be done.
pub(crate) fn control(aws: &mut Aws, body: &[u8]) -> Result<Value, String> {
    let command: Command = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    aws.settle();
    let mut answer = run(aws, command).map_err(|error| error.to_string())?;
    if let Some(members) = answer.as_object_mut() {
        members.insert("now_ms".into(), json!(aws.now_ms()));
    }
    Ok(answer)
}

fn run(aws: &mut Aws, command: Command) -> Result<Value, AwsError> {
    match command {
        Command::Now {} => {}
        Command::Advance { ms } => aws.advance(ms),
        Command::RealTime { on } => aws.follow_real_time(on),
        Command::Partitions { table, count } => aws.set_partitions(&table, count),
        Command::RollOver { table, partition } => {
            let (parent, child) = aws.roll_over(&table, partition)?;
            return Ok(json!({ "parent": parent.as_ref(), "children": [child.as_ref()] }));
        }
        Command::Split { table, partition } => {
            let (parent, lower, upper) = aws.split(&table, partition)?;
            return Ok(json!({ "parent": parent.as_ref(), "children": [lower.as_ref(), upper.as_ref()] }));
        }
        Command::Expire { table, key } => aws.expire(&table, &key)?,
        Command::Inject(injection) => aws.inject(injection),
        Command::ClearFaults {} => aws.clear_faults(),
        Command::Knobs { set } => return turn(aws, set),
        Command::Counters {} => {
            return Ok(json!({ "counters": aws.counts(), "pending_faults": aws.pending_faults() }));
        }
        Command::Calls { last } => {
            let calls: Vec<_> = aws.calls().collect();
            let skip = calls.len().saturating_sub(last.unwrap_or(usize::MAX));
            return Ok(json!({ "calls": calls.get(skip..) }));
        }
        Command::ResetCalls {} => aws.reset_calls(),
        Command::History { table } => return Ok(history(aws, &table)),
        Command::ChannelHistory { table } => return Ok(channel_history(aws, &table)),
        Command::KinesisHistory { stream } => return Ok(kinesis_history(aws, &stream)),
        Command::Scale { stream, shards } => aws.kinesis().scale(&Named::of(&stream), shards)?,
    }
    Ok(json!({}))
}

/// Overlays the knobs that are given on those that stand; answers with all of them.
fn turn(aws: &mut Aws, set: Option<Value>) -> Result<Value, AwsError> {
    let invalid = |error: serde_json::Error| AwsError::validation(error.to_string());
    let mut all = serde_json::to_value(aws.knobs()).map_err(invalid)?;
    if let Some(set) = set {
        overlay(&mut all, set);
    }
    *aws.knobs_mut() = serde_json::from_value::<Knobs>(all.clone()).map_err(invalid)?;
    Ok(json!({ "knobs": all }))
}

/// Objects are overlaid member by member, anything else is replaced.
fn overlay(onto: &mut Value, set: Value) {
    match (onto, set) {
        (Value::Object(all), Value::Object(set)) => {
            for (name, value) in set {
                overlay(all.entry(name).or_insert(Value::Null), value);
            }
        }
        (onto, set) => *onto = set,
    }
}

/// Every change of a table that its Kinesis destination took, in order of writing.
fn channel_history(aws: &Aws, table: &str) -> Value {
    let changes = aws.channel_history().iter().filter(|change| change.table == table);
    let shape = |change: &Arc<ChannelChange>| {
        json!({
            "stream": change.stream_arn,
            "event": change.event.name(),
            "event_id": change.event_id,
            "key": change.key.as_ref(),
            "created_us": change.created_us,
            "precision": change.precision,
            "ttl": change.ttl,
            "skipped": change.skipped,
        })
    };
    json!({ "changes": changes.map(shape).collect::<Vec<_>>() })
}

/// Every record of the Kinesis streams of a name, in order of writing.
fn kinesis_history(aws: &Aws, stream: &str) -> Value {
    let of_name = format!(":stream/{stream}");
    let records = aws.kinesis_history().iter().filter(|record| record.stream.ends_with(&of_name));
    let shape = |record: &Arc<KinesisRecord>| {
        json!({
            "stream": record.stream.as_ref(),
            "stream_created_ms": record.stream_created_ms,
            "shard": record.shard.as_ref(),
            "sequence": record.sequence.as_str(),
            "partition_key": record.partition_key,
            "data": record.data_base64(),
            "arrived_ms": record.arrived_ms,
        })
    };
    json!({ "records": records.map(shape).collect::<Vec<_>>() })
}

/// Every record of a table's streams, in order of writing.
fn history(aws: &Aws, table: &str) -> Value {
    let prefix = format!(":table/{table}/stream/");
    let records: Vec<Value> = aws
        .history()
        .iter()
        .filter(|record| record.stream.contains(&prefix))
        .map(|record| {
            json!({
                "stream": record.stream.as_ref(),
                "shard": record.shard.as_ref(),
                "sequence": record.sequence.as_str(),
                "event": record.event.name(),
                "key": record.key.as_ref(),
                "ttl": record.ttl,
                "created_ms": record.created_ms,
            })
        })
        .collect();
    json!({ "records": records })
}
