//! A table at rest, and the shapes its operations speak in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::item::{AttributeDefinition, Item, KeyElement, Slot};
use crate::record::{REGION, ViewType};
use crate::stream::{Partition, Stream};

pub(crate) const ACCOUNT: &str = "000000000000";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSpecification {
    pub stream_enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_view_type: Option<ViewType>,
}

impl StreamSpecification {
    pub fn view(view: ViewType) -> Self {
        Self { stream_enabled: true, stream_view_type: Some(view) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateTable {
    pub table_name: String,
    pub key_schema: Vec<KeyElement>,
    pub attribute_definitions: Vec<AttributeDefinition>,
    #[serde(default)]
    pub stream_specification: Option<StreamSpecification>,
}

impl CreateTable {
    /// A table with one text hash key, the commonest case in tests.
    pub fn with_key(table: &str, key: &str, view: Option<ViewType>) -> Self {
        let name = key.to_owned();
        Self {
            table_name: table.to_owned(),
            key_schema: vec![KeyElement { attribute_name: name.clone(), key_type: "HASH".into() }],
            attribute_definitions: vec![AttributeDefinition {
                attribute_name: name,
                attribute_type: "S".into(),
            }],
            stream_specification: view.map(StreamSpecification::view),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableDescription {
    pub table_name: String,
    pub table_arn: String,
    pub table_id: String,
    pub table_status: &'static str,
    pub creation_date_time: f64,
    pub key_schema: Vec<KeyElement>,
    pub attribute_definitions: Vec<AttributeDefinition>,
    pub item_count: usize,
    pub table_size_bytes: usize,
    pub billing_mode_summary: Billing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_specification: Option<StreamSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_stream_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_stream_label: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Billing {
    billing_mode: &'static str,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created: Millis,
    pub(crate) keys: Vec<KeyElement>,
    pub(crate) types: Vec<AttributeDefinition>,
    pub(crate) items: BTreeMap<Slot, Arc<Item>>,
    pub(crate) partitions: Vec<Partition>,
    /// The enabled stream.
    pub(crate) stream: Option<Arc<str>>,
    /// The newest stream, also when it is disabled.
    pub(crate) latest: Option<Arc<str>>,
}

impl Table {
    /// # Errors
    /// `ValidationException` when the key schema is not one HASH and at most one RANGE, each
    /// with a definition.
    pub(crate) fn new(request: &CreateTable, id: String, created: Millis, partitions: usize) -> Result<Self> {
        let kinds: Vec<&str> = request.key_schema.iter().map(|element| element.key_type.as_str()).collect();
        if !matches!(kinds.as_slice(), ["HASH"] | ["HASH", "RANGE"]) {
            return Err(AwsError::validation("KeySchema must be HASH, or HASH and RANGE"));
        }
        for element in &request.key_schema {
            let name = &element.attribute_name;
            let defined = |known: &&AttributeDefinition| known.attribute_name == *name;
            let kind =
                request.attribute_definitions.iter().find(defined).map(|known| known.attribute_type.as_str());
            if !matches!(kind, Some("S" | "N" | "B")) {
                return Err(AwsError::validation(format!(
                    "no AttributeDefinition of type S, N or B for {name}"
                )));
            }
        }
        Ok(Self {
            name: request.table_name.clone(),
            id,
            created,
            keys: request.key_schema.clone(),
            types: request.attribute_definitions.clone(),
            items: BTreeMap::new(),
            partitions: Partition::cut(partitions),
            stream: None,
            latest: None,
        })
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}", self.name)
    }

    pub(crate) fn partition_of(&mut self, place: u64) -> Option<&mut Partition> {
        self.partitions.iter_mut().find(|partition| (partition.low..=partition.high).contains(&place))
    }

    pub(crate) fn describe(
        &self,
        status: &'static str,
        streams: &BTreeMap<Arc<str>, Stream>,
    ) -> TableDescription {
        let latest = self.latest.as_ref().and_then(|arn| streams.get(arn));
        let enabled = self.stream.as_ref().and_then(|arn| streams.get(arn));
        TableDescription {
            table_name: self.name.clone(),
            table_arn: self.arn(),
            table_id: self.id.clone(),
            table_status: status,
            creation_date_time: self.created as f64 / 1000.0,
            key_schema: self.keys.clone(),
            attribute_definitions: self.types.clone(),
            item_count: self.items.len(),
            table_size_bytes: self.items.values().map(|item| item.size).sum(),
            billing_mode_summary: Billing { billing_mode: "PAY_PER_REQUEST" },
            stream_specification: enabled.map(|stream| StreamSpecification::view(stream.view)),
            latest_stream_arn: latest.map(|stream| stream.arn.to_string()),
            latest_stream_label: latest.map(|stream| stream.label.clone()),
        }
    }
}
