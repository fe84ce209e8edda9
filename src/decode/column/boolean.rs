//! True and false.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};

use super::bits::{Bits, Validity};

#[derive(Clone, Debug, Default)]
pub(in super::super) struct BooleanColumn {
    values: Bits,
    valid: Validity,
}

impl BooleanColumn {
    pub(in super::super) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(in super::super) fn push(&mut self, row: usize, value: bool) {
        self.pad(row);
        self.values.push(value);
        self.valid.push_valid();
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        if self.values.len() < rows {
            self.values.extend(rows - self.values.len(), false);
            self.valid.pad(rows);
        }
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.values.bytes() + self.valid.bytes()
    }

    pub(in super::super) fn finish(&mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        Arc::new(BooleanArray::new(self.values.finish(), self.valid.finish()))
    }
}
