//! GetShardIterator and GetRecords.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::calls::Op;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::iterator::ShardIterator;
use crate::knobs::{EndIterator, EndPage, Knobs, Vanished};
use crate::listing::stream_missing;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::shard::Shard;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IteratorType {
    TrimHorizon,
    Latest,
    AtSequenceNumber,
    AfterSequenceNumber,
}

/// One page of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    pub records: Vec<Arc<Record>>,
    /// `None` at the end of a closed shard.
    pub next: Option<String>,
}

impl Aws {
    pub fn get_shard_iterator(
        &mut self,
        stream: &str,
        shard: &str,
        kind: IteratorType,
        sequence: Option<&str>,
    ) -> Result<String> {
        self.typed(Op::GetShardIterator, Some(shard), |aws| {
            aws.do_get_iterator(stream, shard, kind, sequence)
        })
    }

    pub fn get_records(&mut self, iterator: &str, limit: Option<usize>) -> Result<RecordPage> {
        let shard = shard_of(iterator);
        self.typed(Op::GetRecords, shard.as_deref(), |aws| aws.do_get_records(iterator, limit))
    }

    /// GetRecords as the bytes the service sends; scripted damage is done to them.
    ///
    /// # Errors
    /// `AwsError::BAD_BODY` for a wrong checksum or a body cut short in transport, which a client
    /// notices before it reads the JSON; an invalid body is given as it is.
    pub fn get_records_body(&mut self, iterator: &str, limit: Option<usize>) -> Result<Bytes> {
        let shard = shard_of(iterator);
        let page =
            self.observe(Op::GetRecords, shard.as_deref(), |aws| aws.do_get_records(iterator, limit))?;
        let body = page_body(&page, &self.knobs);
        match self.take_damage() {
            Some(Fault::InvalidJson) => Ok(body.slice(..body.len() / 2)),
            None => Ok(body),
            Some(damage) if damage.leaves_whole() => Ok(body),
            Some(_) => Err(AwsError::bad_body()),
        }
    }

    pub(crate) fn do_get_iterator(
        &mut self,
        stream: &str,
        shard: &str,
        kind: IteratorType,
        sequence: Option<&str>,
    ) -> Result<String> {
        let (slack, strict) = (self.knobs.latest_slack, self.knobs.refuse_after_trimmed);
        let (issued, empties) = (self.now_ms(), self.knobs.empty_pages);
        // Drawn apart from what is written, and small: it travels in every iterator.
        let reader = self.requests.next() >> 32;
        let found = self.shard(stream, shard)?;
        let next = match kind {
            IteratorType::TrimHorizon => found.start(),
            IteratorType::Latest => found.end().saturating_sub(slack).max(found.start()),
            IteratorType::AtSequenceNumber | IteratorType::AfterSequenceNumber => {
                let at = sequence.and_then(Sequence::parse).ok_or_else(|| {
                    AwsError::validation(
                        "SequenceNumber must be a sequence number for this ShardIteratorType",
                    )
                })?;
                positioned(found, &at, kind, strict)?
            }
        };
        let iterator = ShardIterator {
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            next,
            empties,
            issued,
            reader,
        };
        Ok(iterator.encode())
    }

    pub(crate) fn do_get_records(&mut self, iterator: &str, limit: Option<usize>) -> Result<RecordPage> {
        let limit = match limit {
            Some(0) => return Err(AwsError::validation("Limit must be at least 1")),
            Some(limit @ 1001..) => {
                return Err(AwsError::limit_exceeded(format!("Limit {limit} is above 1000")));
            }
            limit => limit.unwrap_or(1_000).min(self.knobs.page_records.max(1)),
        };
        let at = ShardIterator::decode(iterator)?;
        let now = self.now_ms();
        if now.saturating_sub(at.issued) > self.knobs.iterator_ms {
            return Err(AwsError::expired());
        }
        let (max_bytes, empty_pages) = (self.knobs.page_bytes, self.knobs.empty_pages);
        let separate = match self.knobs.end_page {
            EndPage::WithRecords => false,
            EndPage::Separate => true,
            EndPage::Mixed => self.counter.random.chance(0.5),
        };
        let readers = (self.knobs.readers_per_shard, self.knobs.reader_ms);
        let shard = self.shard(&at.stream, &at.shard)?;
        if !shard.admits(at.reader, now, readers) {
            return Err(AwsError::limit_exceeded("There are too many concurrent readers on the shard"));
        }
        if at.next < shard.start() {
            return Err(AwsError::trimmed());
        }
        if at.empties > 0 && (at.next < shard.end() || shard.closed.is_some()) {
            let next = ShardIterator { empties: at.empties - 1, issued: now, ..at };
            return Ok(RecordPage { records: Vec::new(), next: Some(next.encode()) });
        }
        let records = fill(shard, at.next, limit, max_bytes);
        let next = at.next + records.len() as u64;
        let ended = shard.closed.is_some() && next >= shard.end() && (records.is_empty() || !separate);
        let on = ShardIterator { next, empties: empty_pages, issued: now, ..at };
        Ok(RecordPage { records, next: (!ended).then(|| on.encode()) })
    }

    /// The shard, trimmed up to now.
    fn shard(&mut self, stream: &str, shard: &str) -> Result<&mut Shard> {
        let (now, retention) = (self.now_ms(), self.knobs.retention_ms);
        let vanished = match self.knobs.vanished {
            Vanished::ResourceNotFound => {
                AwsError::not_found(format!("Requested resource not found: Shard does not exist: {shard}"))
            }
            Vanished::Trimmed => AwsError::trimmed(),
        };
        let stream = self.streams.get_mut(stream).ok_or_else(|| stream_missing(stream))?;
        let shard = stream.shards.get_mut(shard).filter(|shard| shard.exists(now, retention));
        let shard = shard.ok_or(vanished)?;
        shard.trim(now.saturating_sub(retention));
        Ok(shard)
    }
}

/// Documented: a position older than the trim point is refused. Assumed: so is one beyond the
/// shard's range, as a ValidationException.
fn positioned(shard: &Shard, at: &Sequence, kind: IteratorType, strict: bool) -> Result<u64> {
    let after = kind == IteratorType::AfterSequenceNumber;
    let ends_before = shard.closed.as_ref().is_some_and(|closed| *at > closed.ending);
    if *at < shard.starting || ends_before {
        return Err(AwsError::validation(format!("SequenceNumber {at} is not in shard {}", shard.id)));
    }
    let index = if after { shard.index_after(at) } else { shard.index_at(at) };
    let only_itself = after && !strict && !shard.has_lost_behind(at);
    if shard.has_lost(at) && !only_itself {
        return Err(AwsError::trimmed());
    }
    Ok(index)
}

fn fill(shard: &Shard, from: u64, limit: usize, max_bytes: usize) -> Vec<Arc<Record>> {
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
    let iterator = match (&page.next, knobs.end_iterator) {
        // Neither ARNs nor the twin's iterators have characters that JSON escapes.
        (Some(next), _) => format!("\"NextShardIterator\":\"{next}\""),
        (None, EndIterator::Null) => "\"NextShardIterator\":null".to_owned(),
        (None, EndIterator::Absent) => String::new(),
    };
    let comma = if iterator.is_empty() { "" } else { "," };
    let size: usize = page.records.iter().map(|record| record.json.len() + 1).sum();
    let mut body = Vec::with_capacity(size + iterator.len() + 32);
    body.push(b'{');
    if !knobs.records_first {
        body.extend_from_slice(iterator.as_bytes());
        body.extend_from_slice(comma.as_bytes());
    }
    body.extend_from_slice(b"\"Records\":[");
    for (i, record) in page.records.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&record.json);
    }
    body.push(b']');
    if knobs.records_first {
        body.extend_from_slice(comma.as_bytes());
        body.extend_from_slice(iterator.as_bytes());
    }
    body.push(b'}');
    body.into()
}

/// Which shard a call is about; a damaged iterator is about none.
pub(crate) fn shard_of(iterator: &str) -> Option<String> {
    ShardIterator::decode(iterator).ok().map(|iterator| iterator.shard)
}
