//! One change in the shape of the channel.

use std::sync::Arc;

use crate::channel::Precision;
use crate::record::{Change, Event, REGION};

/// A change that the channel took, as the tests' oracle knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelChange {
    pub table: String,
    pub stream_arn: String,
    pub event: Event,
    pub event_id: String,
    /// The key as DynamoDB JSON text, attributes sorted.
    pub key: Arc<str>,
    /// When the item was written, in microseconds since 1970, whatever the record says.
    pub created_us: i64,
    pub precision: Precision,
    pub ttl: bool,
    /// Too large for the stream: it never arrives.
    pub skipped: bool,
    pub json: String,
}

pub(crate) struct Written<'a> {
    pub(crate) table: &'a str,
    pub(crate) event_id: &'a str,
    pub(crate) created_us: i64,
    pub(crate) precision: Precision,
}

pub(crate) fn event_of(change: &Change<'_>) -> Event {
    match (change.old, change.new) {
        (None, _) => Event::Insert,
        (Some(_), Some(_)) => Event::Modify,
        (Some(_), None) => Event::Remove,
    }
}

/// The order of members and the null `userIdentity` are recorded; both images always. A removal by
/// time to live has the identity that Lambda shows, in lower case (assumed).
pub(crate) fn json(change: &Change<'_>, written: &Written<'_>) -> String {
    let image = |name: &str, item: Option<&crate::item::Item>| {
        item.map_or(String::new(), |item| format!("\"{name}\":{},", item.json))
    };
    let size =
        change.key.size + [change.new, change.old].iter().flatten().map(|item| item.size).sum::<usize>();
    let identity =
        if change.ttl { r#"{"principalId":"dynamodb.amazonaws.com","type":"Service"}"# } else { "null" };
    // Recorded: milliseconds say nothing about themselves.
    let (time, precision) = match written.precision {
        Precision::Millisecond => (written.created_us.div_euclid(1000), ""),
        Precision::Microsecond => {
            (written.created_us, ",\"ApproximateCreationDateTimePrecision\":\"MICROSECOND\"")
        }
    };
    format!(
        "{{\"awsRegion\":\"{REGION}\",\"eventID\":\"{id}\",\"eventName\":\"{event}\",\"userIdentity\":{identity},\
         \"recordFormat\":\"application/json\",\"tableName\":\"{table}\",\
         \"dynamodb\":{{\"ApproximateCreationDateTime\":{time},\"Keys\":{keys},{new}{old}\
         \"SizeBytes\":{size}{precision}}},\"eventSource\":\"aws:dynamodb\"}}",
        id = written.event_id,
        event = event_of(change).name(),
        table = written.table,
        keys = change.key.slot.1,
        new = image("NewImage", change.new),
        old = image("OldImage", change.old),
    )
}

/// A random number as a UUID of version 4.
pub(crate) fn uuid(high: u64, low: u64) -> String {
    let bits = u128::from(high) << 64 | u128::from(low);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_its_version() {
        assert_eq!(uuid(u64::MAX, u64::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0, 0), "00000000-0000-4000-8000-000000000000");
    }
}
