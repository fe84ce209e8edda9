//! GetRecords.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::kinesis::iterator::Place;
use crate::kinesis::list_shards::ChildShard;
use crate::kinesis::record::KinesisRecord;
use crate::kinesis::shard::Shard;
use crate::kinesis::{Kinesis, KinesisOp, Named, scope, shard_busy, shard_missing};
use crate::knobs::{EndIterator, EndPage, Knobs};

/// One page of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    pub records: Vec<Arc<KinesisRecord>>,
    /// `None` at the end of a closed shard.
    pub next: Option<String>,
    pub millis_behind_latest: Millis,
    /// At the end of a closed shard, and only there.
    pub child_shards: Vec<ChildShard>,
}

impl Kinesis<'_> {
    pub fn get_records(&mut self, iterator: &str, limit: Option<usize>) -> Result<RecordPage> {
        let scope = scope_of(iterator);
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_get_records(iterator, limit);
        self.call(KinesisOp::GetRecords, scope.as_deref(), act)
    }

    /// GetRecords as the bytes the service sends; scripted damage is done to them.
    ///
    /// # Errors
    /// `AwsError::BAD_BODY` for a body cut short in transport, which a client notices before it
    /// reads the JSON; an invalid body is given as it is.
    pub fn get_records_body(&mut self, iterator: &str, limit: Option<usize>) -> Result<Bytes> {
        let scope = scope_of(iterator);
        let op = crate::calls::Op::Kinesis(KinesisOp::GetRecords);
        let act = |aws: &mut crate::Aws| aws.kinesis().do_get_records(iterator, limit);
        let page = self.aws.observe(op, scope.as_deref(), act)?;
        let body = page_body(&page, &self.aws.knobs);
        match self.aws.take_damage() {
            Some(Fault::InvalidJson) => Ok(body.slice(..body.len() / 2)),
            Some(Fault::Truncated) => Err(AwsError::bad_body()),
            _ => Ok(body),
        }
    }

    pub(crate) fn do_get_records(&mut self, iterator: &str, limit: Option<usize>) -> Result<RecordPage> {
        let limit = match limit {
            // Recorded, with its shape.
            Some(bad @ (0 | 10_001..)) => {
                return Err(AwsError::validation(format!(
                    "1 validation error detected: Value '{bad}' at 'limit' failed to satisfy constraint: \
                     Member must have value between 1 and 10000"
                )));
            }
            limit => limit.unwrap_or(10_000).min(self.knobs().page_records.max(1)),
        };
        let now = self.now();
        let at = Place::open(iterator, now, self.knobs().iterator_ms)?;
        self.may_read(&at)?;
        let page = self.page_at(at, limit)?;
        Ok(page)
    }

    /// # Errors
    /// `ProvisionedThroughputExceededException` when the shard was read too often or too much of
    /// it; `ResourceNotFoundException` when the shard, or the stream of that creation, is gone.
    fn may_read(&mut self, at: &Place) -> Result<()> {
        let (now, knobs) = (self.now(), self.knobs());
        let (calls, bytes) = (knobs.read_calls_per_second, knobs.read_bytes_per_second);
        let (stream, shard) = self.readable(&Named::of(&at.stream), &at.shard)?;
        if stream.created_s != at.created_s {
            return Err(shard_missing(&at.shard, &at.stream));
        }
        if shard.read_bytes.has_some(now, bytes) && shard.read_calls.take(now, calls, 1.0) {
            return Ok(());
        }
        Err(shard_busy(&at.shard, &at.stream))
    }

    fn page_at(&mut self, at: Place, limit: usize) -> Result<RecordPage> {
        let now = self.now();
        let separate = match self.aws.knobs.end_page {
            EndPage::WithRecords => false,
            EndPage::Separate => true,
            EndPage::Mixed => self.aws.counter.random.chance(0.5),
        };
        let knobs = self.knobs().clone();
        let (_, shard) = self.readable(&Named::of(&at.stream), &at.shard)?;
        // Trimmed while the iterator was on its way: on at the horizon, in silence (assumed).
        let from = at.next.max(shard.start());
        if at.empties > 0 && (from < shard.end() || !shard.is_open()) {
            let behind = behind(shard, from, now);
            let next = Place { next: from, empties: at.empties - 1, issued: now, ..at };
            return Ok(RecordPage {
                records: Vec::new(),
                next: Some(next.seal()),
                millis_behind_latest: behind,
                child_shards: Vec::new(),
            });
        }
        let records = fill(shard, from, limit, knobs.page_bytes);
        let read: usize = records.iter().map(|record| record.size_bytes).sum();
        shard.read_bytes.spend(now, knobs.read_bytes_per_second, read as f64);
        let next = from + records.len() as u64;
        let ended = !shard.is_open() && next >= shard.end() && (records.is_empty() || !separate);
        let millis_behind_latest = behind(shard, next, now);
        let child_shards = if ended { self.children(&at, &knobs)? } else { Vec::new() };
        let on = Place { next, empties: knobs.empty_pages, issued: now, ..at };
        Ok(RecordPage { records, next: (!ended).then(|| on.seal()), millis_behind_latest, child_shards })
    }

    fn children(&self, at: &Place, knobs: &super::KinesisKnobs) -> Result<Vec<ChildShard>> {
        let stream = self.stream(&Named::of(&at.stream))?;
        let children = stream.children_of(&at.shard);
        let hidden =
            children.iter().any(|child| self.now() < child.opened.saturating_add(knobs.hide_children_ms));
        Ok(if hidden { Vec::new() } else { children.into_iter().map(ChildShard::of).collect() })
    }
}

/// Documented: how far the answer is behind the tip, zero when nothing is left. Measured from the
/// next record's write (assumed), and at least 1 while there is one.
pub(crate) fn behind(shard: &Shard, next: u64, now: Millis) -> Millis {
    shard.from(next).next().map_or(0, |record| (now - record.written_ms).max(1))
}

pub(crate) fn fill(shard: &Shard, from: u64, limit: usize, max_bytes: usize) -> Vec<Arc<KinesisRecord>> {
    let mut bytes = 0;
    let mut records = Vec::new();
    for record in shard.from(from).take(limit) {
        bytes += record.size_bytes;
        if bytes > max_bytes && !records.is_empty() {
            break;
        }
        records.push(record.clone());
    }
    records
}

/// The answer's bytes: records are copied, never serialised again.
pub(crate) fn page_body(page: &RecordPage, knobs: &Knobs) -> Bytes {
    let mut head = Vec::new();
    if !page.child_shards.is_empty() {
        head.push(format!(
            "\"ChildShards\":{}",
            serde_json::to_string(&page.child_shards).unwrap_or_default()
        ));
    }
    head.push(format!("\"MillisBehindLatest\":{}", page.millis_behind_latest));
    match (&page.next, knobs.kinesis.end_iterator) {
        // Base64 has no characters that JSON escapes.
        (Some(next), _) => head.push(format!("\"NextShardIterator\":\"{next}\"")),
        (None, EndIterator::Null) => head.push("\"NextShardIterator\":null".to_owned()),
        (None, EndIterator::Absent) => {}
    }
    let head = head.join(",");
    let mut body = Vec::with_capacity(head.len() + records_len(&page.records));
    body.push(b'{');
    if knobs.records_first {
        push_records(&mut body, &page.records);
        body.push(b',');
        body.extend_from_slice(head.as_bytes());
    } else {
        body.extend_from_slice(head.as_bytes());
        body.push(b',');
        push_records(&mut body, &page.records);
    }
    body.push(b'}');
    body.into()
}

pub(crate) fn records_len(records: &[Arc<KinesisRecord>]) -> usize {
    records.iter().map(|record| record.json.len() + 1).sum::<usize>() + 32
}

pub(crate) fn push_records(body: &mut Vec<u8>, records: &[Arc<KinesisRecord>]) {
    body.extend_from_slice(b"\"Records\":[");
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&record.json);
    }
    body.push(b']');
}

/// Which shard a call is about; a damaged iterator is about none.
pub(crate) fn scope_of(iterator: &str) -> Option<String> {
    Place::read(iterator).map(|place| scope(&place.stream, &place.shard))
}
