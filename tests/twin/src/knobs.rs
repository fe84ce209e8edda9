//! Standing settings: how this service behaves until told otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calls::Op;
use crate::channel::ChannelKnobs;
use crate::clock::Millis;
use crate::kinesis::KinesisKnobs;

/// Which page of a closed shard comes without a next iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndPage {
    /// The last page that has records (recorded: ScyllaDB's suite, validated on AWS).
    WithRecords,
    /// An empty page of its own behind the last record (documented).
    Separate,
    /// Either, drawn per page (assumed).
    Mixed,
}

/// How the missing iterator looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndIterator {
    /// The member is not there (recorded).
    Absent,
    /// `"NextShardIterator": null` (assumed: documented as "set to null").
    Null,
}

/// Which error a shard gives that left the listing (unknown on AWS, so both are offered).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vanished {
    ResourceNotFound,
    Trimmed,
}

/// In which order the members of a Scan's answer come. JSON allows any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanMembers {
    /// By name: `Count`, `Items`, `LastEvaluatedKey`, `ScannedCount` (recorded).
    Sorted,
    ItemsFirst,
    ItemsLast,
    /// Another order for each answer, drawn (assumed).
    Mixed,
}

/// Every setting with its provenance; the defaults are the plain documented service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// How long records, closed shards and disabled streams stay. Documented: 24 hours.
    pub retention_ms: Millis,
    /// How long an iterator lives from its issue. Documented: 15 minutes.
    pub iterator_ms: Millis,
    /// Records per GetRecords page at most. Documented: 1,000.
    pub page_records: usize,
    /// Sum of `SizeBytes` per GetRecords page. Documented: 1 MB; one record always fits (assumed).
    pub page_bytes: usize,
    /// Empty pages before each page with records, and before a shard's end. Documented that
    /// there are some; the number is assumed.
    pub empty_pages: u32,
    pub end_page: EndPage,
    pub end_iterator: EndIterator,
    /// `Records` before `NextShardIterator` in the body. JSON allows both; recorded: iterator first.
    pub records_first: bool,
    /// LATEST points this many records before the true end. Recorded: there is some slack.
    pub latest_slack: u64,
    /// AFTER the last trimmed record is refused like any trimmed position. Documented ("older
    /// than the trim point"); false accepts it, since nothing behind it is lost (assumed).
    pub refuse_after_trimmed: bool,
    pub vanished: Vanished,
    /// EndingSequenceNumber lies beyond the last record. Documented: it is the last record's
    /// own (of an empty shard, its start); beyond is assumed.
    pub ending_beyond: bool,
    /// Shards per DescribeStream page at most. Documented: 100.
    pub listing_page: usize,
    /// List in an order drawn from this seed. Order by id is recorded, not promised (documented).
    pub permute: Option<u64>,
    /// DescribeStream answers from this long ago. Assumed: listings are not atomic (recorded).
    pub stale_ms: Millis,
    /// Shards that listings leave out. Assumed.
    pub omit: Vec<String>,
    /// The share of listed shards that each answer leaves out at random. Assumed.
    pub omit_share: f64,
    /// A closed shard with children stays out of listings this long after it closed: children
    /// are seen before their parent. Assumed.
    pub hide_parent_ms: Millis,
    /// A child stays out of listings this long after it opened. Assumed.
    pub hide_child_ms: Millis,
    /// A closed shard still looks open for so long. Recorded: "parent open, child open".
    pub ending_late_ms: Millis,
    /// Items per Scan page at most, as if the next one did not fit; none by default. Assumed.
    pub scan_page_items: Option<usize>,
    /// Sum of the items' sizes per Scan page. Documented: 1 MB; one item always fits (assumed).
    pub scan_page_bytes: usize,
    /// Empty pages that go on, before each Scan page with items and before a segment's end.
    /// Documented that a key does not mean that there is more; their number is assumed, and
    /// that their keys are no item's.
    pub scan_empty_pages: u32,
    /// A Scan without ConsistentRead sees the table as it was so long ago, as far as the knob
    /// was set when it changed. Documented that it may lag; the length is assumed.
    pub scan_stale_ms: Millis,
    /// The same for a Scan with ConsistentRead: the stream is ahead of the table. Assumed, and
    /// nothing says that it happens: such a read sees "all prior write operations that were
    /// successful", and a write may be in the stream before its answer says that it was.
    pub scan_behind_ms: Millis,
    /// A key that a Scan gave out is refused for any other segment or total (documented that it
    /// is good for no other). False refuses it only where its place is outside the segment
    /// (recorded), and then a wrong total skips items in silence.
    pub scan_strict_keys: bool,
    pub scan_members: ScanMembers,
    /// Read capacity units of a table's Scans per second, a bucket of as many. The error is
    /// documented, the bucket assumed; off by default.
    pub scan_units_per_second: Option<f64>,
    /// DescribeTable counts items and bytes this often, first so long after the creation, and 0
    /// counts at each call. Documented: approximately every 6 hours.
    pub count_every_ms: Millis,
    /// A new stream is ENABLING for so long and lists no shards meanwhile. Documented.
    pub enabling_ms: Millis,
    /// Writes while the stream is ENABLING leave no record. Assumed: nothing promises them.
    pub enabling_drops: bool,
    /// A stream that was disabled is DISABLING for so long. Documented, length assumed.
    pub disabling_ms: Millis,
    /// Every open shard of this age rolls over by itself. Recorded: about every 4 hours.
    pub roll_every_ms: Option<Millis>,
    /// DescribeStream calls per second (a token bucket of as many). Documented: 10; off by default.
    pub describe_stream_per_second: Option<f64>,
    /// GetRecords calls per second and shard. Assumed; off by default.
    pub get_records_per_second: Option<f64>,
    /// What is special to Kinesis.
    pub kinesis: KinesisKnobs,
    /// What happens to changes on their way from a table to Kinesis.
    pub channel: ChannelKnobs,
    /// Calls per second of other operations by name, over the whole account. Documented for many:
    /// ListStreams 5, Kinesis.DescribeStream 10, Kinesis.DescribeStreamSummary 20; off by default.
    pub calls_per_second: BTreeMap<Op, f64>,
    /// Readers of one shard at a time; another is a `LimitExceededException`. Documented: 2; off
    /// by default.
    pub readers_per_shard: Option<usize>,
    /// How long a reader counts behind its last call. Assumed.
    pub reader_ms: Millis,
    /// A request whose `x-amz-date` is further from the twin's clock than this is refused.
    /// Documented: 5 minutes; off by default. HTTP only.
    pub signature_ms: Option<Millis>,
    /// How many calls the log keeps; older ones are forgotten, counters never.
    pub log_calls: usize,
    /// Keep every record ever written for `history`, beyond retention.
    pub keep_history: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            retention_ms: 24 * 3_600_000,
            iterator_ms: 15 * 60_000,
            page_records: 1_000,
            page_bytes: 1_048_576,
            empty_pages: 0,
            end_page: EndPage::WithRecords,
            end_iterator: EndIterator::Absent,
            records_first: false,
            latest_slack: 0,
            refuse_after_trimmed: true,
            vanished: Vanished::ResourceNotFound,
            ending_beyond: false,
            listing_page: 100,
            permute: None,
            stale_ms: 0,
            omit: Vec::new(),
            omit_share: 0.0,
            hide_parent_ms: 0,
            hide_child_ms: 0,
            ending_late_ms: 0,
            scan_page_items: None,
            scan_page_bytes: 1_048_576,
            scan_empty_pages: 0,
            scan_stale_ms: 0,
            scan_behind_ms: 0,
            scan_strict_keys: true,
            scan_members: ScanMembers::Sorted,
            scan_units_per_second: None,
            count_every_ms: 6 * 3_600_000,
            enabling_ms: 0,
            enabling_drops: false,
            disabling_ms: 0,
            roll_every_ms: None,
            describe_stream_per_second: None,
            get_records_per_second: None,
            kinesis: KinesisKnobs::default(),
            channel: ChannelKnobs::default(),
            calls_per_second: BTreeMap::new(),
            readers_per_shard: None,
            reader_ms: 1_000,
            signature_ms: None,
            log_calls: 100_000,
            keep_history: true,
        }
    }
}
