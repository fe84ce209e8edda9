//! What travels from a source to the decoder: shards, cursors, pages. Plain data.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::position::{SequenceNumber, ShardId};

/// Milliseconds since 1970 by the *service's* clock, read from its answers.
///
/// Retention is decided by the service, so ages are measured with its clock, never with ours.
pub type Millis = i64;

/// What a service asks of who reads it, and what its answers can say. The core decides by this
/// instead of knowing which service it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The largest page of a shard, in bytes of memory to set aside before asking for it.
    pub page_bytes: usize,
    /// The same for a page of the table's scan.
    pub scan_page_bytes: usize,
    /// The least time between two requests for pages of one shard.
    pub pause: Duration,
    /// What one shard gives its readers, in bytes of records a second; `None` where nothing is known.
    pub shard_bytes_per_second: Option<u32>,
    /// Whether a shard can be opened at a moment (`OpenAt::Time`).
    pub opens_at_time: bool,
    /// Whether a page says how far it is behind the end of its shard (`Page::behind`).
    pub tells_lag: bool,
    /// Whether the service pushes pages: a fetch waits for one itself, and an empty one is no reason to pause.
    pub pushes: bool,
}

impl Terms {
    /// Nothing is asked and nothing is told: as DynamoDB Streams, with pages of this many bytes.
    pub const fn of_pages(page_bytes: usize, scan_page_bytes: usize) -> Self {
        Self {
            page_bytes,
            scan_page_bytes,
            pause: Duration::ZERO,
            shard_bytes_per_second: None,
            opens_at_time: false,
            tells_lag: false,
            pushes: false,
        }
    }
}

/// One ordered piece of a stream, as its listing describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: ShardId,
    /// Whose records come before this shard's: none, one, or two after a merge.
    pub parents: Vec<ShardId>,
    pub starting: Option<SequenceNumber>,
    /// Present exactly when the shard is closed.
    pub ending: Option<SequenceNumber>,
    /// Which hashes of partition keys are its own; `None` where the service does not tell.
    pub hash_keys: Option<HashKeys>,
}

/// The hashes (MD5 of partition keys, as numbers) from `first` up to and with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKeys {
    pub first: u128,
    pub last: u128,
}

impl Shard {
    pub fn is_closed(&self) -> bool {
        self.ending.is_some()
    }
}

/// An opaque place in a shard that the service keeps for a few minutes (a shard iterator).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Arc<str>);

/// Which part of the shard tree to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Full,
    ChildrenOf(ShardId),
}

/// One answer about the shard tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub shards: Vec<Shard>,
    pub status: StreamStatus,
    /// False when some page of a full listing could not be had: what is missing then proves nothing.
    pub complete: bool,
    /// How long the stream keeps a record now, where the service tells.
    pub retention: Option<Millis>,
    pub server_time: Option<Millis>,
}

impl Listing {
    /// Whether some hashes belong to none of the shards, though the service tells of each: a lineage is
    /// left out. Shards cut the hashes up among them, and the children of one take over all of its own. Imitations
    /// of the service cut them into equal parts and forget the remainder, which is less than there are shards.
    pub fn has_hole(&self) -> bool {
        let remainder = self.shards.len() as u128;
        let told: Option<Vec<_>> = self.shards.iter().map(|shard| shard.hash_keys).collect();
        let Some(mut ranges) = told.filter(|ranges| !ranges.is_empty()) else { return false };
        ranges.sort_by_key(|range| range.first);
        let mut uncovered = Some(0_u128);
        for range in ranges {
            match uncovered {
                Some(hash) if range.first > hash.saturating_add(remainder) => return true,
                Some(hash) if range.last >= hash => uncovered = range.last.checked_add(1),
                _ => {}
            }
        }
        uncovered.is_some_and(|hash| u128::MAX - hash >= remainder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    Enabling,
    Enabled,
    Disabling,
    Disabled,
}

impl StreamStatus {
    /// As the service writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabling => "ENABLING",
            Self::Enabled => "ENABLED",
            Self::Disabling => "DISABLING",
            Self::Disabled => "DISABLED",
        }
    }
}

/// A cursor and the service's time when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub cursor: Cursor,
    pub server_time: Option<Millis>,
}

impl Opened {
    /// At the iterator that GetShardIterator gave.
    ///
    /// # Errors
    /// `BadPage`: there is none.
    pub fn at(iterator: Option<&str>, shard: &ShardId, server_time: Option<Millis>) -> Result<Self> {
        match iterator {
            Some(iterator) if !iterator.is_empty() => {
                Ok(Self { cursor: Cursor(iterator.into()), server_time })
            }
            _ => {
                let message = format!("GetShardIterator of shard {shard} gave no iterator");
                Err(Error::new(ErrorKind::BadPage, message).with_shard(shard))
            }
        }
    }
}

/// Where a cursor is asked for. `Latest` never appears in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenAt {
    Beginning,
    Latest,
    At(SequenceNumber),
    After(SequenceNumber),
    /// The first record that arrived at this moment or later, by the service's clock.
    Time(Millis),
}

/// One answer with records, kept as the bytes the service sent.
#[derive(Clone, Debug)]
pub struct Page {
    pub shard: ShardId,
    pub body: Bytes,
    /// Where in `body` the elements of the record array are: behind its `[`, up to its `]`.
    /// The decoder checks that the array really ends there.
    pub records: Range<usize>,
    /// Where to go on; `None` is the end of the shard, also when the page has records.
    pub next: Option<Cursor>,
    /// How far behind the end of the shard the page ends; zero when nothing is behind it.
    pub behind: Option<Millis>,
    /// The shards that go on where this one ends, where its last page names them.
    pub children: Vec<Shard>,
    /// What the listing says of the shard; filled in by the run.
    pub hash_keys: Option<HashKeys>,
    /// Bytes that the service counts against what a shard gives in a second; 0 where it counts none.
    pub weight: usize,
    /// The service's time when it gave the page, or a moment before that.
    pub server_time: Option<Millis>,
}

impl Page {
    /// What a fetch gives when the service has pushed nothing yet: neither records nor that there are none.
    pub fn nothing_yet(shard: &ShardId, cursor: &Cursor) -> Self {
        Self {
            shard: shard.clone(),
            body: Bytes::new(),
            records: 0..0,
            next: Some(cursor.clone()),
            behind: None,
            children: Vec::new(),
            hash_keys: None,
            weight: 0,
            server_time: None,
        }
    }

    /// Whether this is no answer of the service.
    pub fn says_nothing(&self) -> bool {
        self.body.is_empty()
    }
}

/// One of the parts into which a parallel scan cuts a table: `index` of `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub index: u32,
    pub total: u32,
}

impl Segment {
    /// What rows, errors and metrics call it: `segment-0-of-8` up to `segment-7-of-8`.
    pub fn shard(self) -> ShardId {
        format!("segment-{}-of-{}", self.index, self.total).as_str().into()
    }
}

/// Where a segment goes on: the `LastEvaluatedKey`, as the JSON the service gave.
/// It is good only for the same segment of the same total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScanKey(pub Arc<str>);

/// What is asked of a table's scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    pub segment: Segment,
    pub after: Option<ScanKey>,
    pub consistent: bool,
    /// The most items the service may look at for this page.
    pub limit: Option<u32>,
    /// Only these attributes; `None` for all.
    pub columns: Option<Arc<[String]>>,
}

/// One answer with items of a table, kept as the bytes the service sent.
#[derive(Clone, Debug)]
pub struct ItemsPage {
    pub segment: Segment,
    pub body: Bytes,
    /// Where in `body` the elements of `Items` are: behind its `[`, up to its `]`.
    pub items: Range<usize>,
    /// Where to go on; only `None` is the end of the segment, also when the page has no item.
    pub next: Option<ScanKey>,
    /// Items the service looked at.
    pub scanned: u64,
    /// Read capacity units the page cost.
    pub units: Option<f64>,
    pub server_time: Option<Millis>,
}

/// A key attribute of a table, by its key schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAttribute {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    #[serde(rename = "S")]
    Text,
    #[serde(rename = "N")]
    Number,
    #[serde(rename = "B")]
    Binary,
}

/// Which images a stream's records carry; fixed for the life of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewType {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

impl ViewType {
    pub fn has_new_image(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    /// As the service writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }
}

/// What a table is, whether or not it has a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// The table's name.
    pub table: String,
    /// The table's identity: its ARN (a recreated table has the same one).
    pub table_arn: String,
    /// Hash key first.
    pub keys: Vec<KeyAttribute>,
    /// The table's own count of its items and bytes, some hours old; `None` when it is not known.
    pub items: Option<u64>,
    pub bytes: Option<u64>,
    /// The newest stream's ARN with label; it may be turned off by now.
    pub stream_arn: Option<String>,
}

/// What a source is, once the service has said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The table's name.
    pub table: String,
    /// The table's identity: its ARN (a recreated table has the same one).
    pub table_arn: String,
    /// The stream's identity: its ARN with label.
    pub stream_arn: String,
    /// Hash key first.
    pub keys: Vec<KeyAttribute>,
    pub view: ViewType,
    pub status: StreamStatus,
    /// How long the stream keeps a record.
    pub retention: Millis,
    /// The table's own count of its items and bytes, some hours old; `None` when it is not known.
    pub items: Option<u64>,
    pub bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_hole(ranges: &[Option<(u128, u128)>]) -> bool {
        let shard = |range: &Option<(u128, u128)>| Shard {
            id: "a".into(),
            parents: Vec::new(),
            starting: None,
            ending: None,
            hash_keys: range.map(|(first, last)| HashKeys { first, last }),
        };
        let (shards, status) = (ranges.iter().map(shard).collect(), StreamStatus::Enabled);
        Listing { shards, status, complete: true, retention: None, server_time: None }.has_hole()
    }

    #[test]
    fn a_listing_has_a_hole_where_some_hash_is_nobodys() {
        let max = u128::MAX;
        let whole: [&[Option<(u128, u128)>]; 7] = [
            &[Some((0, max))],
            &[Some((10, max)), Some((0, 9))],
            // Parents beside their children, of which one may be left out.
            &[Some((0, max)), Some((0, 4)), Some((5, 9))],
            // A remainder is nobody's.
            &[Some((0, 9)), Some((11, max))],
            &[Some((0, max / 3 - 1)), Some((max / 3, max / 3 * 2 - 1)), Some((max / 3 * 2, max - 3))],
            // Nothing is told, or not of all.
            &[],
            &[Some((10, max)), None],
        ];
        whole.iter().for_each(|ranges| assert!(!has_hole(ranges), "{ranges:?}"));
        let holed: [&[Option<(u128, u128)>]; 5] = [
            &[Some((2, max))],
            &[Some((0, max - 2))],
            &[Some((0, 9)), Some((13, max))],
            &[Some((0, 9)), Some((10, max - 3))],
            &[Some((0, 9)), Some((0, 4)), Some((20, max))],
        ];
        holed.iter().for_each(|ranges| assert!(has_hole(ranges), "{ranges:?}"));
    }
}
