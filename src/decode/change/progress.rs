//! What one call of `push` did, and when it is enough.

use super::super::Pushed;
use crate::error::Result;
use crate::page::Millis;
use crate::position::SequenceNumber;

/// Offsets of Arrow's utf8 and binary end at 2 GiB: a batch is called full at half of it.
const MOST_BYTES: usize = 1 << 30;

/// What one `push` did so far.
pub(super) struct Progress<'a> {
    pub(super) pushed: Pushed,
    pub(super) rows_before: usize,
    /// The last one's number as it stands in the page.
    pub(super) last: Option<&'a [u8]>,
    pub(super) newest_micros: Option<i64>,
}

impl<'a> Progress<'a> {
    pub(super) fn used(&mut self, sequence: Option<&'a [u8]>, micros: Option<i64>) {
        self.last = sequence.or(self.last);
        self.newest_micros = self.newest_micros.max(micros);
    }

    pub(super) fn bad(&mut self, sequence: Option<SequenceNumber>, micros: Option<i64>) {
        if sequence.is_some() {
            self.last = None;
            self.pushed.last = sequence;
        }
        self.newest_micros = self.newest_micros.max(micros);
    }

    pub(super) fn finish(mut self, rest: Option<usize>) -> Result<Pushed> {
        if let Some(text) = self.last.and_then(|text| std::str::from_utf8(text).ok()) {
            self.pushed.last = Some(SequenceNumber::parse(text)?);
        }
        self.pushed.newest = self.newest_micros.map(|micros| -> Millis { micros.div_euclid(1000) });
        self.pushed.rest = rest;
        Ok(self.pushed)
    }
}

/// Knows when a batch is full without measuring every column after every record.
pub(super) struct Gauge {
    room: usize,
    before: usize,
    /// Bytes the columns may still grow, and the offset in the page, when they were measured last.
    left: usize,
    at: usize,
    records: usize,
}

impl Gauge {
    /// A byte of a page seldom becomes more than so many bytes of columns.
    const GROWTH: usize = 16;
    const RECORDS: usize = 64;

    pub(super) fn new(room: usize, before: usize, at: usize) -> Self {
        let room = room.min(MOST_BYTES.saturating_sub(before));
        Self { room, before, left: room, at, records: 0 }
    }

    pub(super) fn is_full(&mut self, at: usize, bytes: impl FnOnce() -> usize) -> bool {
        self.records += 1;
        if (at - self.at).saturating_mul(Self::GROWTH) < self.left && self.records < Self::RECORDS {
            return false;
        }
        self.left = self.room.saturating_sub(bytes().saturating_sub(self.before));
        self.at = at;
        self.records = 0;
        self.left == 0
    }
}
