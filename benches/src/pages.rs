//! Answers of the services, full of items, as the bytes they send.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use shardarrow::page::{Cursor, ItemsPage, Page, Segment};

use crate::random::Random;
use crate::shapes::{Item, Shape, object};

/// A page ends with this many records or bytes (API reference, `GetRecords`).
pub const MOST_RECORDS: usize = 1000;
pub const MOST_BYTES: usize = 1_000_000;

/// A moment in the middle of 2026, in seconds.
const NOW: u64 = 1_781_000_000;

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    pub shape: Shape,
    /// Whether each item has its attributes in an order of its own.
    pub shuffled: bool,
    /// Fewer than a full page.
    pub records: usize,
    pub seed: u64,
    /// How large a page of Kinesis becomes.
    pub bytes: usize,
}

impl Recipe {
    pub fn of(shape: Shape) -> Self {
        Self { shape, shuffled: false, records: MOST_RECORDS, seed: 1, bytes: MOST_BYTES }
    }

    pub fn shuffled(self) -> Self {
        Self { shuffled: true, ..self }
    }

    pub fn records(self, records: usize) -> Self {
        Self { records, ..self }
    }

    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    fn ordered(&self, mut item: Item, random: &mut Random) -> Item {
        if self.shuffled {
            random.shuffle(&mut item);
        }
        item
    }

    /// `GetRecords` of DynamoDB Streams: mostly changes, with both images.
    pub fn streams(&self) -> Page {
        let mut random = Random::new(self.seed);
        let mut body = String::from("{\"Records\":[");
        let start = body.len();
        let mut count = 0;
        while count < self.records && body.len() < MOST_BYTES {
            body.push_str(if count == 0 { "" } else { "," });
            body.push_str(&self.record(count, &mut random));
            count += 1;
        }
        let records = start..body.len();
        body.push_str(
            "],\"NextShardIterator\":\"arn:aws:dynamodb:eu-central-1:123456789012:table/bench|1|next\"}",
        );
        page(body, records)
    }

    /// Sequence numbers have 21 to 40 digits and grow within a shard.
    fn record(&self, number: usize, random: &mut Random) -> String {
        let old = self.shape.item(random);
        let new = self.shape.changed(&old, random);
        let keys = self.shape.keys();
        let is_key = |name: &str| keys.iter().any(|key| key.name == name);
        let keys = object(old.iter().filter(|(name, _)| is_key(name)));
        let (name, has_new, has_old) = match random.below(20) {
            0..2 => ("INSERT", true, false),
            2 => ("REMOVE", false, true),
            _ => ("MODIFY", true, true),
        };
        let (old, new) = (self.ordered(old, random), self.ordered(new, random));
        let image = |name: &str, item: &Item, is: bool| {
            if is { format!("\"{name}\":{},", object(item)) } else { String::new() }
        };
        format!(
            "{{\"eventID\":\"{}\",\"eventName\":\"{name}\",\"eventVersion\":\"1.1\",\
             \"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"eu-central-1\",\
             \"dynamodb\":{{\"ApproximateCreationDateTime\":{}.0,\"Keys\":{keys},{}{}\
             \"SequenceNumber\":\"{LAP}{number:018}\",\"SizeBytes\":{},\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}}}",
            random.hex(32),
            NOW + number as u64 / 100,
            image("NewImage", &new, has_new),
            image("OldImage", &old, has_old),
            random.between(100, 99_999),
        )
    }

    /// `GetRecords` of Kinesis, of a table's changes that DynamoDB sent there.
    pub fn kinesis(&self) -> Page {
        self.deliveries(|recipe, number, random| {
            let change = recipe.record(number, random);
            let change = change.replacen(",\"eventVersion\":\"1.1\"", "", 1);
            change.replacen("{\"eventID\"", "{\"recordFormat\":\"application/json\",\"tableName\":\"bench\",\"userIdentity\":null,\"eventID\"", 1)
        })
    }

    /// `GetRecords` of Kinesis, of items as plain JSON.
    pub fn kinesis_json(&self) -> Page {
        self.deliveries(|recipe, _, random| {
            let item = recipe.shape.item(random);
            let item = object(&recipe.ordered(item, random));
            plain(&serde_json::from_str(&format!("{{\"M\":{item}}}")).expect("an item")).to_string()
        })
    }

    fn deliveries(&self, data: impl Fn(&Self, usize, &mut Random) -> String) -> Page {
        let mut random = Random::new(self.seed);
        let mut body = String::from("{\"Records\":[");
        let start = body.len();
        let mut count = 0;
        while count < 10 * self.records
            && body.len() < self.bytes
            && (self.records >= MOST_RECORDS || count < self.records)
        {
            body.push_str(if count == 0 { "" } else { "," });
            let data = base64_simd::STANDARD.encode_to_string(data(self, count, &mut random));
            body.push_str(&format!(
                "{{\"ApproximateArrivalTimestamp\":{}.{:03},\"Data\":\"{data}\",\"PartitionKey\":\"{}\",\"SequenceNumber\":\"{LAP}{count:049}\"}}",
                NOW + count as u64 / 100,
                count % 1000,
                random.hex(32).to_uppercase(),
            ));
            count += 1;
        }
        let records = start..body.len();
        body.push_str("],\"MillisBehindLatest\":0,\"NextShardIterator\":\"next\"}");
        page(body, records)
    }

    /// `Scan` of a table.
    pub fn scan(&self) -> ItemsPage {
        let mut random = Random::new(self.seed);
        let mut items = String::new();
        let mut count = 0;
        while count < 10 * self.records
            && items.len() < MOST_BYTES
            && (self.records >= MOST_RECORDS || count < self.records)
        {
            items.push_str(if count == 0 { "" } else { "," });
            let item = self.shape.item(&mut random);
            items.push_str(&object(&self.ordered(item, &mut random)));
            count += 1;
        }
        let head = format!(
            "{{\"ConsumedCapacity\":{{\"CapacityUnits\":128.5,\"TableName\":\"bench\"}},\"Count\":{count},\"Items\":["
        );
        let range = head.len()..head.len() + items.len();
        let body = format!("{head}{items}],\"ScannedCount\":{count}}}");
        ItemsPage {
            segment: Segment { index: 0, total: 1 },
            body: Bytes::from(body),
            items: range,
            next: None,
            scanned: count as u64,
            units: None,
            server_time: Some(NOW as i64 * 1000),
        }
    }
}

/// How a record's sequence number begins; the server counts it up when it sends a page again.
pub const LAP: &str = "3000000";

fn page(body: String, records: Range<usize>) -> Page {
    Page {
        shard: "shardId-00000001781000000000-a1b2c3d4".into(),
        body: Bytes::from(body),
        records,
        next: Some(Cursor(Arc::from("next"))),
        behind: None,
        children: Vec::new(),
        hash_keys: None,
        weight: 0,
        server_time: Some(NOW as i64 * 1000),
    }
}

/// An attribute value as people write it.
fn plain(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("M", Value::Object(members)) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        ("L", Value::Array(values)) => values.iter().map(plain).collect(),
        ("N", Value::String(number)) => serde_json::from_str(number).unwrap_or_default(),
        ("NULL", _) => Value::Null,
        _ => value.clone(),
    }
}
