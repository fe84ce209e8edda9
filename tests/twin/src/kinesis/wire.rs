//! JSON 1.1: Kinesis' requests in, answers out.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::{AwsError, Result};
use crate::kinesis::lifecycle::StreamModeDetails;
use crate::kinesis::list_shards::stream_of_token;
use crate::kinesis::read::{page_body, scope_of};
use crate::kinesis::write::PutEntry;
use crate::kinesis::{ConsumerNamed, Kinesis, KinesisOp, ListShards, Named, Subscription, scope};
use crate::wire::bytes;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeRequest {
    #[serde(flatten)]
    stream: Named,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    exclusive_start_shard_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct StreamsRequest {
    limit: Option<usize>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordsRequest {
    shard_iterator: String,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct PutRequest {
    #[serde(flatten)]
    stream: Named,
    #[serde(flatten)]
    entry: PutEntry,
}

#[derive(Deserialize)]
struct PutsRequest {
    #[serde(rename = "StreamName", default)]
    name: Option<String>,
    #[serde(rename = "StreamARN", default)]
    arn: Option<String>,
    #[serde(rename = "Records")]
    records: Vec<PutEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitRequest {
    #[serde(flatten)]
    stream: Named,
    shard_to_split: String,
    new_starting_hash_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeRequest {
    #[serde(flatten)]
    stream: Named,
    shard_to_merge: String,
    adjacent_shard_to_merge: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CountRequest {
    #[serde(flatten)]
    stream: Named,
    target_shard_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetentionRequest {
    #[serde(flatten)]
    stream: Named,
    retention_period_hours: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeRequest {
    #[serde(flatten)]
    stream: Named,
    stream_mode_details: StreamModeDetails,
}

#[derive(Deserialize)]
struct RecordSizeRequest {
    #[serde(flatten)]
    stream: Named,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterRequest {
    #[serde(flatten)]
    stream: Named,
    consumer_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumersRequest {
    #[serde(flatten)]
    stream: Named,
    #[serde(default)]
    next_token: Option<String>,
    #[serde(default)]
    max_results: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest {
    #[serde(flatten)]
    stream: Named,
    #[serde(default)]
    enforce_consumer_deletion: Option<bool>,
}

/// What a request is about, read before anything is decided so that faults can match it.
pub(crate) fn scope_named(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        #[serde(rename = "StreamName", default)]
        name: Option<String>,
        #[serde(rename = "StreamARN", default)]
        arn: Option<String>,
        #[serde(rename = "ShardId", default)]
        shard: Option<String>,
        #[serde(rename = "ShardIterator", default)]
        iterator: Option<String>,
        #[serde(rename = "NextToken", default)]
        token: Option<String>,
        #[serde(rename = "ConsumerARN", default)]
        consumer: Option<String>,
    }
    let About { name, arn, shard, iterator, token, consumer } = serde_json::from_slice(body).ok()?;
    if let Some(iterator) = iterator {
        return scope_of(&iterator);
    }
    let of_consumer = consumer.and_then(|arn| ConsumerNamed::arn(&arn).stream().arn);
    let named = Named { name, arn: of_consumer.or(arn) };
    let stream = named.stream().map(str::to_owned).or_else(|| stream_of_token(&token?))?;
    Some(shard.map_or_else(|| stream.clone(), |shard| scope(&stream, &shard)))
}

pub(crate) fn dispatch(aws: &mut Aws, op: KinesisOp, body: &[u8]) -> Result<Bytes> {
    let mut kinesis = aws.kinesis();
    match op {
        KinesisOp::GetRecords => {
            let request: RecordsRequest = parse(body)?;
            let page = kinesis.do_get_records(&request.shard_iterator, request.limit)?;
            Ok(page_body(&page, &aws.knobs))
        }
        KinesisOp::GetShardIterator => {
            bytes(&json!({ "ShardIterator": kinesis.do_get_iterator(&parse(body)?)? }))
        }
        KinesisOp::ListShards => bytes(&kinesis.do_list_shards(&parse::<ListShards>(body)?)?),
        KinesisOp::PutRecord => {
            let PutRequest { stream, entry } = parse(body)?;
            let (shard, sequence) = kinesis.do_put_record(&stream, &entry)?;
            bytes(&json!({ "ShardId": shard, "SequenceNumber": sequence }))
        }
        KinesisOp::PutRecords => {
            let PutsRequest { name, arn, records } = parse(body)?;
            bytes(&kinesis.do_put_records(&Named { name, arn }, &records)?)
        }
        KinesisOp::DescribeStream | KinesisOp::DescribeStreamSummary | KinesisOp::ListStreams => {
            describe(&mut kinesis, op, body)
        }
        KinesisOp::SplitShard | KinesisOp::MergeShards | KinesisOp::UpdateShardCount => {
            reshard(&mut kinesis, op, body)
        }
        KinesisOp::RegisterStreamConsumer
        | KinesisOp::DescribeStreamConsumer
        | KinesisOp::ListStreamConsumers
        | KinesisOp::DeregisterStreamConsumer => consumers(&mut kinesis, op, body),
        KinesisOp::SubscribeToShard | KinesisOp::SubscribeToShardEvent => {
            Err(AwsError::validation("a subscription is a stream of events, see subscribe_to_shard"))
        }
        KinesisOp::CreateStream
        | KinesisOp::DeleteStream
        | KinesisOp::UpdateStreamMode
        | KinesisOp::UpdateMaxRecordSize
        | KinesisOp::IncreaseStreamRetentionPeriod
        | KinesisOp::DecreaseStreamRetentionPeriod => {
            change(&mut kinesis, op, body)?;
            Ok(Bytes::from_static(b"{}"))
        }
    }
}

fn describe(kinesis: &mut Kinesis<'_>, op: KinesisOp, body: &[u8]) -> Result<Bytes> {
    match op {
        KinesisOp::DescribeStream => {
            let DescribeRequest { stream, limit, exclusive_start_shard_id: after } = parse(body)?;
            let description = kinesis.do_describe_stream(&stream, after.as_deref(), limit)?;
            bytes(&json!({ "StreamDescription": description }))
        }
        KinesisOp::DescribeStreamSummary => {
            bytes(&json!({ "StreamDescriptionSummary": kinesis.do_summary(&parse(body)?)? }))
        }
        _ => {
            let StreamsRequest { limit, exclusive_start_stream_name: after, next_token: token } =
                parse(body)?;
            bytes(&kinesis.do_list_streams(after.as_deref(), token.as_deref(), limit)?)
        }
    }
}

fn consumers(kinesis: &mut Kinesis<'_>, op: KinesisOp, body: &[u8]) -> Result<Bytes> {
    match op {
        KinesisOp::RegisterStreamConsumer => {
            let RegisterRequest { stream, consumer_name } = parse(body)?;
            bytes(&json!({ "Consumer": kinesis.do_register(&stream, &consumer_name)? }))
        }
        KinesisOp::DescribeStreamConsumer => {
            bytes(&json!({ "ConsumerDescription": kinesis.do_describe_consumer(&parse(body)?)? }))
        }
        KinesisOp::ListStreamConsumers => {
            let ConsumersRequest { stream, next_token: token, max_results: limit } = parse(body)?;
            bytes(&kinesis.do_list_consumers(&stream, token.as_deref(), limit)?)
        }
        _ => {
            kinesis.do_deregister(&parse(body)?)?;
            Ok(Bytes::from_static(b"{}"))
        }
    }
}

pub(crate) fn subscribe(aws: &mut Aws, body: &[u8]) -> Result<Subscription> {
    aws.kinesis().do_subscribe(&parse(body)?)
}

fn reshard(kinesis: &mut Kinesis<'_>, op: KinesisOp, body: &[u8]) -> Result<Bytes> {
    let answer: Value = match op {
        KinesisOp::SplitShard => {
            let SplitRequest { stream, shard_to_split: shard, new_starting_hash_key: at } = parse(body)?;
            let at = at.parse().map_err(|_| AwsError::validation("NewStartingHashKey must be a number"))?;
            kinesis.do_split(&stream, &shard, Some(at))?;
            json!({})
        }
        KinesisOp::MergeShards => {
            let MergeRequest { stream, shard_to_merge: one, adjacent_shard_to_merge: other } = parse(body)?;
            kinesis.do_merge(&stream, &one, &other)?;
            json!({})
        }
        _ => {
            let CountRequest { stream, target_shard_count: target } = parse(body)?;
            let current = kinesis.do_update_shard_count(&stream, target)?;
            let summary = kinesis.do_summary(&stream)?;
            json!({
                "StreamName": summary.stream_name,
                "StreamARN": summary.stream_arn,
                "CurrentShardCount": current,
                "TargetShardCount": target,
            })
        }
    };
    bytes(&answer)
}

/// The operations whose answer is empty.
fn change(kinesis: &mut Kinesis<'_>, op: KinesisOp, body: &[u8]) -> Result<()> {
    match op {
        KinesisOp::CreateStream => kinesis.do_create_stream(&parse(body)?),
        KinesisOp::DeleteStream => {
            let DeleteRequest { stream, enforce_consumer_deletion: enforce } = parse(body)?;
            kinesis.do_delete_stream(&stream, enforce == Some(true))
        }
        KinesisOp::UpdateStreamMode => {
            let ModeRequest { stream, stream_mode_details: details } = parse(body)?;
            kinesis.do_update_stream_mode(&stream, details.stream_mode)
        }
        KinesisOp::UpdateMaxRecordSize => {
            let RecordSizeRequest { stream, max_record_size_in_kib: kib } = parse(body)?;
            kinesis.do_update_max_record_size(&stream, kib)
        }
        _ => {
            let RetentionRequest { stream, retention_period_hours: hours } = parse(body)?;
            kinesis.do_change_retention(op, &stream, hours)
        }
    }
}

/// Recorded: what is no JSON is a SerializationException, what lacks a member a ValidationException.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        if error.is_data() { AwsError::validation(message) } else { AwsError::serialization(message) }
    })
}
