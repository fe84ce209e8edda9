//! Lists and sets: elements of one kind.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::super::attribute::Tag;
use super::super::json::{Cursor, Fallible, bad_record};
use super::bits::Validity;
use super::{Column, Fit, disagree};
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub(in super::super) struct ListColumn {
    pub(super) element: Box<Column>,
    /// Where each list ends among the elements.
    ends: Vec<i32>,
    valid: Validity,
}

impl ListColumn {
    pub(in super::super) fn new(element: Column) -> Self {
        Self { element: Box::new(element), ends: Vec::new(), valid: Validity::default() }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds the list at the cursor: attribute values.
    pub(in super::super) fn push_list(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<Fit> {
        cursor.descend()?;
        let fit = self.push_elements(row, cursor, Column::push)?;
        cursor.ascend();
        Ok(fit)
    }

    /// Adds the set at the cursor: bare values of one type.
    pub(in super::super) fn push_set(
        &mut self,
        row: usize,
        inner: Tag,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<Fit> {
        self.push_elements(row, cursor, |column, row, cursor| column.push_value(row, inner, cursor))
    }

    fn push_elements(
        &mut self,
        row: usize,
        cursor: &mut Cursor<'_>,
        push: impl Fn(&mut Column, usize, &mut Cursor<'_>) -> Fallible<Fit>,
    ) -> Fallible<Fit> {
        self.pad(row);
        let mut more = cursor.enter_array()?;
        while more {
            let place = self.element.len();
            let fit = push(&mut self.element, place, cursor)?;
            if fit != Fit::Yes {
                return Ok(fit);
            }
            more = cursor.more(b']')?;
        }
        let Ok(end) = i32::try_from(self.element.len()) else {
            return bad_record("its lists do not fit into a batch of 2^31 elements");
        };
        self.ends.push(end);
        self.valid.push_valid();
        Ok(Fit::Yes)
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        if self.ends.len() < rows {
            let end = self.ends.last().copied().unwrap_or(0);
            self.ends.resize(rows, end);
            self.valid.pad(rows);
        }
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.valid.truncate(rows);
        self.element.truncate(self.elements());
    }

    fn elements(&self) -> usize {
        self.ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0))
    }

    pub(in super::super) fn bytes(&self) -> usize {
        4 * self.ends.len() + self.valid.bytes() + self.element.bytes()
    }

    pub(in super::super) fn finish(&mut self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        self.pad(rows);
        let DataType::List(field) = data_type else {
            return Err(Error::internal("a list column has another type in the schema"));
        };
        let values = self.element.finish(self.elements(), field.data_type())?;
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let list = ListArray::try_new(Arc::clone(field), offsets, values, self.valid.finish());
        Ok(Arc::new(list.map_err(disagree)?))
    }
}
