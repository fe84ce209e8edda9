//! A stream record: what the tests compare with, and the bytes that travel.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::item::{Item, Key};
use crate::sequence::Sequence;

pub(crate) const REGION: &str = "us-east-1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ViewType {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

impl ViewType {
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    fn shows_new(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    fn shows_old(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Insert,
    Modify,
    Remove,
}

impl Event {
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
        }
    }
}

/// One record of one shard; `json` is exactly what GetRecords sends for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub stream: Arc<str>,
    pub shard: Arc<str>,
    pub sequence: Sequence,
    pub event: Event,
    pub event_id: String,
    pub created_ms: Millis,
    /// The key as DynamoDB JSON text, attributes sorted.
    pub key: Arc<str>,
    pub ttl: bool,
    pub size_bytes: usize,
    pub json: Bytes,
}

/// What a write did to one item.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a Key,
    pub(crate) old: Option<&'a Item>,
    pub(crate) new: Option<&'a Item>,
    pub(crate) ttl: bool,
}

/// Where and when the change is recorded.
pub(crate) struct Place {
    pub(crate) stream: Arc<str>,
    pub(crate) shard: Arc<str>,
    pub(crate) sequence: Sequence,
    pub(crate) event_id: String,
    pub(crate) view: ViewType,
    pub(crate) now: Millis,
}

impl Record {
    pub(crate) fn new(change: &Change<'_>, place: Place) -> Self {
        let event = match (change.old, change.new) {
            (None, _) => Event::Insert,
            (Some(_), Some(_)) => Event::Modify,
            (Some(_), None) => Event::Remove,
        };
        let new = change.new.filter(|_| place.view.shows_new());
        let old = change.old.filter(|_| place.view.shows_old());
        let size_bytes = change.key.size + new.map_or(0, |item| item.size) + old.map_or(0, |item| item.size);
        let json = body(change, &place, event, new, old, size_bytes);
        let Place { stream, shard, sequence, event_id, now, .. } = place;
        let key = change.key.slot.1.clone();
        let json = Bytes::from(json);
        Self {
            stream,
            shard,
            sequence,
            event,
            event_id,
            created_ms: now,
            key,
            ttl: change.ttl,
            size_bytes,
            json,
        }
    }
}

/// The order of members is that of the developer guide's examples (recorded); images are the
/// items' own text, so a benchmark's records are built by copying.
fn body(
    change: &Change<'_>,
    place: &Place,
    event: Event,
    new: Option<&Item>,
    old: Option<&Item>,
    size: usize,
) -> String {
    let image = |name: &str, item: Option<&Item>| {
        item.map_or(String::new(), |item| format!("\"{name}\":{},", item.json))
    };
    // Documented: the time is rounded down to the second.
    let seconds = place.now.div_euclid(1000);
    // The members' names are those of the service's model; Lambda writes them in lower case.
    let identity = if change.ttl {
        ",\"userIdentity\":{\"PrincipalId\":\"dynamodb.amazonaws.com\",\"Type\":\"Service\"}"
    } else {
        ""
    };
    format!(
        "{{\"awsRegion\":\"{REGION}\",\"dynamodb\":{{\"ApproximateCreationDateTime\":{seconds},\"Keys\":{keys},\
         {new}{old}\"SequenceNumber\":\"{sequence}\",\"SizeBytes\":{size},\"StreamViewType\":\"{view}\"}},\
         \"eventID\":\"{id}\",\"eventName\":\"{event}\",\"eventSource\":\"aws:dynamodb\",\
         \"eventVersion\":\"1.1\"{identity}}}",
        keys = change.key.slot.1,
        new = image("NewImage", new),
        old = image("OldImage", old),
        sequence = place.sequence,
        view = place.view.name(),
        id = place.event_id,
        event = event.name(),
    )
}
