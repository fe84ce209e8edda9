//! The way of the AWS SDK for Rust: its client reads an answer into its own types, then columns are built.
//!
//! The columns are known beforehand and built by arrow-rs; maps, lists and sets are counted, not built,
//! which is in this way's favour. Changes that come through Kinesis are read by serde_json.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Decimal128Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use aws_sdk_dynamodb::types::AttributeValue as TableValue;
use aws_sdk_dynamodbstreams::types::AttributeValue as StreamValue;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde_json::Value as Tree;
use shardarrow::decode::Format;

use crate::contenders::{Answer, Contender, Workload, schema_of};

/// Answers every request with the same body.
#[derive(Clone, Debug)]
struct Canned(Bytes);

impl HttpConnector for Canned {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(200).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.0.clone()))))
    }
}

enum Client {
    Streams(aws_sdk_dynamodbstreams::Client),
    Table(aws_sdk_dynamodb::Client),
    Kinesis(aws_sdk_kinesis::Client),
}

macro_rules! client {
    ($service:ident, $body:expr) => {{
        let connector = SharedHttpConnector::new(Canned($body));
        let config = $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::latest())
            .region($service::config::Region::new("eu-central-1"))
            .credentials_provider($service::config::Credentials::new("key", "secret", None, None, "bench"))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        $service::Client::from_conf(config)
    }};
}

/// The client with one answer, and what becomes of it.
pub struct Typed {
    runtime: tokio::runtime::Runtime,
    client: Client,
    columns: Vec<(String, String)>,
}

impl Typed {
    pub fn new(workload: &Workload) -> Self {
        let client = match &workload.answer {
            Answer::Records(page) if workload.format != Format::Streams => {
                Client::Kinesis(client!(aws_sdk_kinesis, page.body.clone()))
            }
            Answer::Records(page) => Client::Streams(client!(aws_sdk_dynamodbstreams, page.body.clone())),
            Answer::Items(page) => Client::Table(client!(aws_sdk_dynamodb, page.body.clone())),
        };
        let columns = schema_of(workload).columns.into_iter().map(|column| (column.name, column.kind));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, client, columns: columns.collect() }
    }

    fn batch(&self) -> RecordBatch {
        let mut builders = Builders::new(&self.columns);
        match &self.client {
            Client::Streams(client) => {
                let call = client.get_records().shard_iterator("next").send();
                let output = self.runtime.block_on(call).expect("an answer");
                for record in output.records() {
                    let change = record.dynamodb().expect("a change");
                    let image = change.new_image().or(change.keys()).expect("keys");
                    builders.add(|name| image.get(name).map(Value::from));
                    builders.sequences.append_option(change.sequence_number());
                    builders.event_ids.append_option(record.event_id());
                }
            }
            Client::Table(client) => {
                let output =
                    self.runtime.block_on(client.scan().table_name("bench").send()).expect("an answer");
                for item in output.items() {
                    builders.add(|name| item.get(name).map(Value::from));
                }
            }
            Client::Kinesis(client) => {
                let call = client.get_records().shard_iterator("next").send();
                let output = self.runtime.block_on(call).expect("an answer");
                for record in output.records() {
                    let tree: Tree = serde_json::from_slice(record.data().as_ref()).expect("JSON");
                    let change = tree.get("dynamodb").unwrap_or(&tree);
                    let image = change.get("NewImage").or(change.get("Keys")).unwrap_or(change);
                    builders.add(|name| image.get(name).map(Value::from));
                    builders.sequences.append_value(record.sequence_number());
                    builders.event_ids.append_option(record.partition_key());
                }
            }
        }
        builders.finish()
    }
}

impl Contender for Typed {
    fn pass(&mut self) {
        std::hint::black_box(self.batch());
    }
}

/// Both clients have a type of their own for the same thing.
enum Value<'a> {
    Text(&'a str),
    Number(&'a str),
    Binary(&'a [u8]),
    Bool(bool),
    Other,
}

macro_rules! value_from {
    ($type:ident) => {
        impl<'a> From<&'a $type> for Value<'a> {
            fn from(value: &'a $type) -> Self {
                match value {
                    $type::S(text) => Self::Text(text),
                    $type::N(text) => Self::Number(text),
                    $type::B(blob) => Self::Binary(blob.as_ref()),
                    $type::Bool(value) => Self::Bool(*value),
                    _ => Self::Other,
                }
            }
        }
    };
}
value_from!(StreamValue);
value_from!(TableValue);

impl<'a> From<&'a Tree> for Value<'a> {
    fn from(value: &'a Tree) -> Self {
        let member = value.as_object().and_then(|value| value.iter().next());
        match member.map(|(kind, value)| (kind.as_str(), value)) {
            Some(("S", Tree::String(text))) => Self::Text(text),
            Some(("N", Tree::String(text))) => Self::Number(text),
            Some(("BOOL", Tree::Bool(value))) => Self::Bool(*value),
            _ => Self::Other,
        }
    }
}

enum Builder {
    Text(StringBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Binary(BinaryBuilder),
    Bool(BooleanBuilder),
}

struct Builders {
    columns: Vec<(String, Builder)>,
    sequences: StringBuilder,
    event_ids: StringBuilder,
}

impl Builders {
    fn new(columns: &[(String, String)]) -> Self {
        let builder = |kind: &str| match kind {
            "int64" => Builder::Int(Int64Builder::new()),
            "decimal128(38,9)" => Builder::Decimal(
                Decimal128Builder::new().with_precision_and_scale(38, 9).expect("a precision"),
            ),
            "bool" => Builder::Bool(BooleanBuilder::new()),
            "binary" => Builder::Binary(BinaryBuilder::new()),
            _ => Builder::Text(StringBuilder::new()),
        };
        let columns = columns.iter().map(|(name, kind)| (name.clone(), builder(kind)));
        Self { columns: columns.collect(), sequences: StringBuilder::new(), event_ids: StringBuilder::new() }
    }

    fn add<'a>(&mut self, get: impl Fn(&str) -> Option<Value<'a>>) {
        for (name, builder) in &mut self.columns {
            match (builder, get(name)) {
                (Builder::Text(column), Some(Value::Text(text) | Value::Number(text))) => {
                    column.append_value(text)
                }
                (Builder::Text(column), Some(Value::Other)) => column.append_value("?"),
                (Builder::Text(column), _) => column.append_null(),
                (Builder::Int(column), Some(Value::Number(text))) => column.append_option(text.parse().ok()),
                (Builder::Int(column), _) => column.append_null(),
                (Builder::Decimal(column), Some(Value::Number(text))) => column.append_option(decimal(text)),
                (Builder::Decimal(column), _) => column.append_null(),
                (Builder::Binary(column), Some(Value::Binary(bytes))) => column.append_value(bytes),
                (Builder::Binary(column), _) => column.append_null(),
                (Builder::Bool(column), Some(Value::Bool(value))) => column.append_value(value),
                (Builder::Bool(column), _) => column.append_null(),
            }
        }
    }

    fn finish(mut self) -> RecordBatch {
        let mut arrays: Vec<(&str, ArrayRef)> = vec![
            ("_sequence", Arc::new(self.sequences.finish())),
            ("_event_id", Arc::new(self.event_ids.finish())),
        ];
        arrays.retain(|(_, array)| !array.is_empty());
        for (name, builder) in &mut self.columns {
            let array: ArrayRef = match builder {
                Builder::Text(column) => Arc::new(column.finish()),
                Builder::Int(column) => Arc::new(column.finish()),
                Builder::Decimal(column) => Arc::new(column.finish()),
                Builder::Binary(column) => Arc::new(column.finish()),
                Builder::Bool(column) => Arc::new(column.finish()),
            };
            arrays.push((name, array));
        }
        RecordBatch::try_from_iter(arrays).expect("columns of one length")
    }
}

/// × 10⁹, for numbers with at most nine places.
fn decimal(text: &str) -> Option<i128> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let scale = 10i128.pow(9u32.checked_sub(u32::try_from(places.len()).ok()?)?);
    let digits: i128 = if places.is_empty() { 0 } else { places.parse().ok()? };
    let whole: i128 = whole.parse().ok()?;
    Some(whole * 1_000_000_000 + digits * scale * if text.starts_with('-') { -1 } else { 1 })
}
