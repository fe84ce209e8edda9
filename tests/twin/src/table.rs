//! A table at rest, and the shapes its operations speak in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::item::{AttributeDefinition, Item, KeyElement, Slot};
use crate::knobs::Knobs;
use crate::past::Past;
use crate::record::{REGION, ViewType};
use crate::scan::Issued;
use crate::stream::{Partition, Stream};

pub(crate) const ACCOUNT: &str = "000000000000";

/// Documented: a table may be named by its ARN.
pub(crate) fn name_of(table: &str) -> &str {
    let arn = table.strip_prefix("arn:").and_then(|arn| arn.split_once(":table/"));
    arn.map_or(table, |(_, name)| name)
}

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

/// What DescribeTable says about a table's size, and since when.
#[derive(Debug, Clone, Copy)]
struct Counted {
    items: usize,
    bytes: usize,
    at: Millis,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created: Millis,
    pub(crate) keys: Vec<KeyElement>,
    pub(crate) types: Vec<AttributeDefinition>,
    pub(crate) items: BTreeMap<Slot, Arc<Item>>,
    bytes: usize,
    counted: Counted,
    pub(crate) past: Past,
    pub(crate) issued: Issued,
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
            bytes: 0,
            counted: Counted { items: 0, bytes: 0, at: created },
            past: Past::default(),
            issued: Issued::default(),
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

    /// Puts an item where `slot` is, or removes what is there, and gives what was there before.
    pub(crate) fn replace(
        &mut self,
        slot: &Slot,
        new: Option<Arc<Item>>,
        now: Millis,
        knobs: &Knobs,
    ) -> Option<Arc<Item>> {
        self.counted = self.counted(now, knobs.count_every_ms);
        self.bytes += new.as_ref().map_or(0, |new| new.size);
        let old = match new {
            Some(new) => self.items.insert(slot.clone(), new),
            None => self.items.remove(slot),
        };
        self.bytes -= old.as_ref().map_or(0, |old| old.size);
        self.past.push(now, slot, old.clone(), knobs.scan_stale_ms.max(knobs.scan_behind_ms));
        old
    }

    /// The newest count. Each write brings it up to date first, so the table is now as it was at
    /// every counting since.
    fn counted(&self, now: Millis, every: Millis) -> Counted {
        let age = now.saturating_sub(self.counted.at);
        if age < every {
            return self.counted;
        }
        let at = if every > 0 { now - age % every } else { now };
        Counted { items: self.items.len(), bytes: self.bytes, at }
    }

    /// Documented: `UPDATING` while its stream is being enabled or disabled. A table is `ACTIVE`
    /// from its creation on (assumed).
    pub(crate) fn status(
        &self,
        now: Millis,
        streams: &BTreeMap<Arc<str>, Stream>,
        knobs: &Knobs,
    ) -> &'static str {
        let stream = self.latest.as_ref().and_then(|arn| streams.get(arn));
        match stream.map(|stream| (stream.status(now, knobs), stream.created > self.created)) {
            Some(("ENABLING", true) | ("DISABLING", _)) => "UPDATING",
            _ => "ACTIVE",
        }
    }

    pub(crate) fn describe(
        &self,
        status: &'static str,
        now: Millis,
        knobs: &Knobs,
        streams: &BTreeMap<Arc<str>, Stream>,
    ) -> TableDescription {
        let counted = self.counted(now, knobs.count_every_ms);
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
            item_count: counted.items,
            table_size_bytes: counted.bytes,
            billing_mode_summary: Billing { billing_mode: "PAY_PER_REQUEST" },
            stream_specification: enabled.map(|stream| StreamSpecification::view(stream.view)),
            latest_stream_arn: latest.map(|stream| stream.arn.to_string()),
            latest_stream_label: latest.map(|stream| stream.label.clone()),
        }
    }
}
