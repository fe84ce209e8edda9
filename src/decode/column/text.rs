//! Values of varying length, one behind the other: texts, binaries, JSON.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::super::json::{Fallible, Piece, bad_record};
use super::bits::Validity;
use crate::error::Result;

#[derive(Clone, Debug, Default)]
pub(in super::super) struct BytesColumn {
    bytes: Vec<u8>,
    /// Where each value ends, behind a first 0; empty while there is none.
    offsets: Vec<i32>,
    valid: Validity,
    /// Sizes of the last batch, to make room for this one at its first value.
    expected: (usize, usize),
}

impl BytesColumn {
    pub(in super::super) fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Adds the value that `write` appends as row `row`; rows before it that have none are null.
    /// What it appended before it failed is taken back by `truncate`.
    #[inline]
    pub(in super::super) fn push(
        &mut self,
        row: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Fallible<()>,
    ) -> Fallible<()> {
        if self.len() < row || self.offsets.is_empty() {
            self.pad(row);
        }
        write(&mut self.bytes)?;
        self.end_value()
    }

    /// Adds a value as it is.
    #[inline]
    pub(in super::super) fn push_piece(&mut self, row: usize, value: Piece<'_>) -> Fallible<()> {
        if self.len() < row || self.offsets.is_empty() {
            self.pad(row);
        }
        value.append_to(&mut self.bytes);
        self.end_value()
    }

    #[inline]
    pub(in super::super) fn end_value(&mut self) -> Fallible<()> {
        let Ok(end) = i32::try_from(self.bytes.len()) else {
            return bad_record("its values do not fit into a batch of 2 GiB");
        };
        self.offsets.push(end);
        self.valid.push_valid();
        Ok(())
    }

    /// The value in row `row`, where it is the last one.
    pub(in super::super) fn value(&self, row: usize) -> Option<&[u8]> {
        match *self.offsets.get(row..)? {
            [start, end] => self.bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?),
            _ => None,
        }
    }

    /// The bytes behind the last value: `end_value` makes them one.
    pub(in super::super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    #[cold]
    fn make_room(&mut self) {
        self.offsets.reserve(self.expected.0);
        self.offsets.push(0);
        self.bytes.reserve(self.expected.1 + Piece::MOST_BEHIND);
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        if self.offsets.is_empty() {
            self.make_room();
        }
        if self.len() < rows {
            let end = self.offsets.last().copied().unwrap_or(0);
            self.offsets.resize(rows + 1, end);
            self.valid.pad(rows);
        }
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0)));
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes.len() + 4 * self.len() + self.valid.bytes()
    }

    fn finish_parts(&mut self, rows: usize) -> (ScalarBuffer<i32>, Buffer, Option<NullBuffer>) {
        self.pad(rows);
        self.expected = (self.offsets.len(), self.bytes.len());
        let (mut bytes, mut offsets) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.offsets));
        trim(&mut bytes);
        trim(&mut offsets);
        (ScalarBuffer::from(offsets), Buffer::from_vec(bytes), self.valid.finish())
    }

    /// Of values that are UTF-8, each by itself: pieces of text that was checked as a whole and cut at quotes, what
    /// escapes stand for, and ASCII.
    pub(in super::super) fn finish_text(&mut self, rows: usize) -> Result<ArrayRef> {
        let (offsets, bytes, nulls) = self.finish_parts(rows);
        if cfg!(debug_assertions) {
            let offsets = OffsetBuffer::new(offsets);
            return Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(super::disagree)?));
        }
        // SAFETY: `pad` puts a 0 before all offsets, each one behind it is the length of `bytes` when it was added,
        // and `truncate` shortens both alike: they never fall, and none is beyond the end. Every writer of a column
        // that ends here appends UTF-8, value by value. Tests and fuzzing take the checked way above.
        Ok(Arc::new(unsafe {
            StringArray::new_unchecked(OffsetBuffer::new_unchecked(offsets), bytes, nulls)
        }))
    }

    pub(in super::super) fn finish_binary(&mut self, rows: usize) -> Result<ArrayRef> {
        let (offsets, bytes, nulls) = self.finish_parts(rows);
        Ok(Arc::new(BinaryArray::try_new(OffsetBuffer::new(offsets), bytes, nulls).map_err(super::disagree)?))
    }
}

/// Gives back room made for a larger batch than came: a batch is kept for long, and counted by its room. A little is
/// kept, which costs less than making it again.
pub(in super::super) fn trim<T>(values: &mut Vec<T>) {
    const LITTLE: usize = 128;
    let [room, used] = [values.capacity(), values.len()].map(|length| length * size_of::<T>());
    if room / 2 > used + LITTLE {
        values.shrink_to_fit();
    }
}
