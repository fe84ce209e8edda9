//! JSON: requests in, answers out. Items and records are copied as the text they are kept in.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::calls::Op;
use crate::channel::StreamingDestination;
use crate::condition::Condition;
use crate::dynamodb::Write;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::item::Attributes;
use crate::kinesis::{self, KinesisOp, Subscription};
use crate::listing::DescribeStream;
use crate::records::{IteratorType, page_body, shard_of};
use crate::scan::ScanRequest;
use crate::table::{CreateTable, StreamSpecification};

/// What goes back over the wire: the answer, and what is done to it on the way.
pub(crate) struct Answer {
    pub(crate) result: Result<Bytes>,
    pub(crate) damage: Option<Fault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableRequest {
    table_name: String,
    #[serde(default)]
    stream_specification: Option<StreamSpecification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ItemRequest {
    table_name: String,
    #[serde(default)]
    item: Attributes,
    #[serde(default)]
    key: Attributes,
    #[serde(default)]
    return_values: Option<String>,
    #[serde(flatten)]
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchRequest {
    request_items: BTreeMap<String, Vec<WriteRequest>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum WriteRequest {
    PutRequest {
        #[serde(rename = "Item")]
        item: Attributes,
    },
    DeleteRequest {
        #[serde(rename = "Key")]
        key: Attributes,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    #[serde(default)]
    table_name: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    exclusive_start_stream_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IteratorRequest {
    stream_arn: String,
    shard_id: String,
    shard_iterator_type: IteratorType,
    #[serde(default)]
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordsRequest {
    shard_iterator: String,
    #[serde(default)]
    limit: Option<usize>,
}

/// Members that would change an answer and that the twin does not know: refused, never ignored.
const NOT_MODELLED: [&str; 14] = [
    "AttributeUpdates",
    "AttributesToGet",
    "ConditionExpression",
    "ConditionalOperator",
    "Expected",
    "FilterExpression",
    "GlobalSecondaryIndexUpdates",
    "IndexName",
    "ProjectionExpression",
    "ReturnValuesOnConditionCheckFailure",
    "ScanFilter",
    "Segment",
    "TotalSegments",
    "UpdateExpression",
];

const SCAN_KNOWS: [&str; 3] = ["ProjectionExpression", "Segment", "TotalSegments"];

impl Aws {
    /// Begins a subscription; its events are asked for by themselves.
    pub(crate) fn answer_subscription(&mut self, body: &[u8]) -> (Result<Subscription>, Option<Fault>) {
        let op = Op::Kinesis(KinesisOp::SubscribeToShard);
        let scope = shard_named(op, body);
        let result = self.observe(op, scope.as_deref(), |aws| kinesis::wire::subscribe(aws, body));
        (result, self.take_damage())
    }

    /// Answers a request of the given operation.
    pub(crate) fn answer(&mut self, op: Op, body: &[u8]) -> Answer {
        let shard = shard_named(op, body);
        let result = self.observe(op, shard.as_deref(), |aws| dispatch(aws, op, body));
        Answer { result, damage: self.take_damage() }
    }
}

/// The shard or segment a request is about, read before anything is decided so that faults can match it.
fn shard_named(op: Op, body: &[u8]) -> Option<String> {
    match op {
        Op::GetRecords => shard_of(&parse::<RecordsRequest>(body).ok()?.shard_iterator),
        Op::GetShardIterator => Some(parse::<IteratorRequest>(body).ok()?.shard_id),
        Op::DescribeStream => Some(parse::<DescribeStream>(body).ok()?.shard_filter?.shard_id),
        Op::Scan => scan_request(body).ok()?.scope(),
        Op::Kinesis(_) => kinesis::wire::scope_named(body),
        _ => None,
    }
}

fn dispatch(aws: &mut Aws, op: Op, body: &[u8]) -> Result<Bytes> {
    match op {
        Op::GetRecords => {
            let request: RecordsRequest = parse(body)?;
            let page = aws.do_get_records(&request.shard_iterator, request.limit)?;
            Ok(page_body(&page, &aws.knobs))
        }
        Op::GetShardIterator => {
            let IteratorRequest { stream_arn, shard_id, shard_iterator_type: kind, sequence_number } =
                parse(body)?;
            let iterator = aws.do_get_iterator(&stream_arn, &shard_id, kind, sequence_number.as_deref())?;
            bytes(&json!({ "ShardIterator": iterator }))
        }
        Op::DescribeStream => {
            let description = aws.do_describe_stream(&parse(body)?)?;
            bytes(&json!({ "StreamDescription": description }))
        }
        Op::ListStreams => {
            let ListRequest { table_name: table, limit, exclusive_start_stream_arn: after } = parse(body)?;
            bytes(&aws.do_list_streams(table.as_deref(), limit, after.as_deref())?)
        }
        Op::PutItem | Op::DeleteItem | Op::GetItem => one_item(aws, op, body),
        Op::BatchWriteItem => {
            aws.do_batch_write(&writes(parse(body)?))?;
            bytes(&json!({ "UnprocessedItems": {} }))
        }
        Op::Scan => {
            let request = scan_request(body)?;
            let page = aws.do_scan(&request)?;
            Ok(aws.scan_answer(&request, &page))
        }
        Op::CreateTable | Op::DescribeTable | Op::UpdateTable | Op::DeleteTable | Op::ListTables => {
            tables(aws, op, body)
        }
        Op::EnableKinesisStreamingDestination
        | Op::DisableKinesisStreamingDestination
        | Op::UpdateKinesisStreamingDestination
        | Op::DescribeKinesisStreamingDestination => streaming(aws, op, body),
        Op::Kinesis(op) => kinesis::wire::dispatch(aws, op, body),
    }
}

fn streaming(aws: &mut Aws, op: Op, body: &[u8]) -> Result<Bytes> {
    if op == Op::DescribeKinesisStreamingDestination {
        let TableRequest { table_name: table, .. } = parse(body)?;
        let destinations = aws.do_describe_streaming(&table)?;
        return bytes(&json!({ "TableName": table, "KinesisDataStreamDestinations": destinations }));
    }
    let request: StreamingDestination = parse(body)?;
    let (description, member) = match op {
        Op::EnableKinesisStreamingDestination => {
            (aws.do_enable_streaming(&request)?, "EnableKinesisStreamingConfiguration")
        }
        Op::DisableKinesisStreamingDestination => {
            (aws.do_disable_streaming(&request)?, "EnableKinesisStreamingConfiguration")
        }
        _ => (aws.do_update_streaming(&request)?, "UpdateKinesisStreamingConfiguration"),
    };
    let precision = description.approximate_creation_date_time_precision;
    bytes(&json!({
        "TableName": request.table_name,
        "StreamArn": description.stream_arn,
        "DestinationStatus": description.destination_status,
        member: { "ApproximateCreationDateTimePrecision": precision },
    }))
}

fn tables(aws: &mut Aws, op: Op, body: &[u8]) -> Result<Bytes> {
    if op == Op::ListTables {
        return bytes(&json!({ "TableNames": aws.tables.keys().collect::<Vec<_>>() }));
    }
    if op == Op::CreateTable {
        plan_partitions(aws, body)?;
        let description = aws.do_create_table(&parse::<CreateTable>(body)?)?;
        return bytes(&json!({ "TableDescription": description }));
    }
    let TableRequest { table_name: table, stream_specification: stream } = parse(body)?;
    match op {
        Op::DescribeTable => bytes(&json!({ "Table": aws.do_describe_table(&table, "ACTIVE")? })),
        Op::DeleteTable => bytes(&json!({ "TableDescription": aws.do_delete_table(&table)? })),
        _ => bytes(&json!({ "TableDescription": aws.do_update_table(&table, stream.as_ref())? })),
    }
}

/// The tag `twin:partitions` of a CreateTable says how many lineages its streams have.
fn plan_partitions(aws: &mut Aws, body: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tagged {
        table_name: String,
        #[serde(default)]
        tags: Vec<BTreeMap<String, String>>,
    }
    let Tagged { table_name, tags } = parse(body)?;
    let tag = tags.iter().find(|tag| tag.get("Key").is_some_and(|key| key == "twin:partitions"));
    if let Some(count) = tag.and_then(|tag| tag.get("Value")) {
        let count = count.parse().map_err(|_| AwsError::validation("twin:partitions must be a number"))?;
        aws.set_partitions(&table_name, count);
    }
    Ok(())
}

fn one_item(aws: &mut Aws, op: Op, body: &[u8]) -> Result<Bytes> {
    let known: &[&str] = if op == Op::GetItem { &[] } else { &["ConditionExpression"] };
    let request: ItemRequest = parse_with(body, known)?;
    let condition = &request.condition;
    let table = &request.table_name;
    let (found, member) = match op {
        Op::GetItem => (aws.do_get_item(table, &request.key)?, "Item"),
        Op::PutItem => (aws.do_put_item(table, &request.item, condition)?, "Attributes"),
        _ => (aws.do_delete_item(table, &request.key, condition, false)?, "Attributes"),
    };
    let wanted = op == Op::GetItem || request.return_values.as_deref() == Some("ALL_OLD");
    Ok(match found.filter(|_| wanted) {
        Some(found) => Bytes::from(format!("{{\"{member}\":{}}}", found.json)),
        None => Bytes::from_static(b"{}"),
    })
}

fn writes(request: BatchRequest) -> Vec<(String, Write)> {
    let write = |request| match request {
        WriteRequest::PutRequest { item } => Write::Put(item),
        WriteRequest::DeleteRequest { key } => Write::Delete(key),
    };
    let tables = request.request_items.into_iter();
    tables.flat_map(|(table, all)| all.into_iter().map(move |one| (table.clone(), write(one)))).collect()
}

/// A Scan knows more than the other operations do.
fn scan_request(body: &[u8]) -> Result<ScanRequest> {
    parse_with(body, &SCAN_KNOWS)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    parse_with(body, &[])
}

fn parse_with<T: DeserializeOwned>(body: &[u8], known: &[&str]) -> Result<T> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| AwsError::serialization(error.to_string()))?;
    if let Some(unknown) =
        NOT_MODELLED.iter().find(|name| value.get(**name).is_some() && !known.contains(name))
    {
        return Err(AwsError::validation(format!("the twin does not model {unknown}")));
    }
    serde_json::from_value(value).map_err(|error| AwsError::validation(error.to_string()))
}

pub(crate) fn bytes(value: &impl Serialize) -> Result<Bytes> {
    let text = serde_json::to_vec(value)
        .map_err(|error| AwsError::new("InternalServerError", 500, error.to_string()))?;
    Ok(text.into())
}
