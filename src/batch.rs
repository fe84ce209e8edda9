//! A record batch and the spans it covers; gathering rows until a batch is due.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;

use crate::decode::{Decoder, Pushed, Room, Skip};
use crate::error::Result;
use crate::page::{ItemsPage, Page};
use crate::position::{Position, ShardId, Span};
use crate::reader::Now;

/// Rows in the order of the stream, and what they cover of which shards.
#[derive(Clone, Debug)]
pub struct Batch {
    /// 1, 2, 3, … in the order of the stream.
    pub number: u64,
    pub records: RecordBatch,
    pub spans: BTreeMap<ShardId, Span>,
    pub epoch: u64,
    /// Bytes of memory held by `records`.
    pub bytes: usize,
}

/// A batch for the consumer. Its number stands beside it: who counts batches need not touch one that waited for long,
/// and is in no cache any more.
#[derive(Clone, Debug)]
pub struct BatchRef {
    pub number: u64,
    batch: Arc<Batch>,
}

impl From<Batch> for BatchRef {
    fn from(batch: Batch) -> Self {
        Self { number: batch.number, batch: Arc::new(batch) }
    }
}

impl Deref for BatchRef {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

/// When a batch is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub rows: usize,
    pub bytes: usize,
    /// The most its first row waits.
    pub wait: Duration,
}

/// Gathers the rows of pages, of any shard, into one batch after the other.
pub struct Batcher {
    decoder: Box<dyn Decoder>,
    due: Due,
    spans: BTreeMap<ShardId, Span>,
    since: Option<Now>,
    number: u64,
}

impl Batcher {
    pub fn new(decoder: Box<dyn Decoder>, due: Due) -> Self {
        Self { decoder, due, spans: BTreeMap::new(), since: None, number: 0 }
    }

    /// Adds records of `page` from offset `from` on, as many as the batch has room for.
    ///
    /// # Errors
    /// Those of the decoder. Rows gathered before the error are kept.
    pub fn push(&mut self, page: &Page, from: usize, skip: &Skip, now: Now) -> Result<Pushed> {
        let pushed = self.decoder.push(page, from, self.room(), skip);
        if self.decoder.rows() > 0 {
            self.since.get_or_insert(now);
        }
        pushed
    }

    /// Adds items of a scan's `page` from offset `from` on, at most `most` of them: a page is not cut
    /// by what the batch has room for.
    ///
    /// # Errors
    /// Those of the decoder.
    pub fn push_items(&mut self, page: &ItemsPage, from: usize, most: usize, now: Now) -> Result<Pushed> {
        let pushed = self.decoder.push_items(page, from, Room { rows: most, bytes: usize::MAX });
        if self.decoder.rows() > 0 {
            self.since.get_or_insert(now);
        }
        pushed
    }

    /// Widens the span of the shard in the batch being gathered.
    pub fn cover(&mut self, shard: &ShardId, from: &Position, to: &Position) {
        self.spans
            .entry(shard.clone())
            .and_modify(|span| span.to = to.clone())
            .or_insert_with(|| Span { from: from.clone(), to: to.clone() });
    }

    fn room(&self) -> Room {
        Room {
            rows: self.due.rows.saturating_sub(self.decoder.rows()).max(1),
            bytes: self.due.bytes.saturating_sub(self.decoder.bytes()).max(1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.decoder.rows() == 0
    }

    pub fn bytes(&self) -> usize {
        self.decoder.bytes()
    }

    pub fn is_full(&self) -> bool {
        self.decoder.rows() >= self.due.rows || self.decoder.bytes() >= self.due.bytes
    }

    /// When the rows gathered have waited long enough.
    pub fn due_at(&self) -> Option<Now> {
        self.since.map(|since| since + self.due.wait)
    }

    /// Takes the rows gathered; `None` when there are none.
    pub fn flush(&mut self, epoch: u64) -> Result<Option<Batch>> {
        if self.is_empty() {
            return Ok(None);
        }
        let records = self.decoder.flush()?;
        // What is allocated, not what is used: for a batch of a few rows that is many times more.
        let bytes = records.get_array_memory_size();
        self.since = None;
        self.number += 1;
        Ok(Some(Batch { number: self.number, records, spans: std::mem::take(&mut self.spans), epoch, bytes }))
    }

    pub fn decoder(&self) -> &dyn Decoder {
        self.decoder.as_ref()
    }

    pub fn take_notices(&mut self) -> Vec<String> {
        self.decoder.take_notices()
    }
}
