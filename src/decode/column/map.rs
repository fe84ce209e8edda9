//! Maps as structs: one column for each name.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_schema::DataType;

use super::super::attribute::duplicate;
use super::super::json::{Cursor, Fallible};
use super::super::kind::Kind;
use super::super::names::{Names, Trail};
use super::bits::Validity;
use super::{Column, Fit, disagree};
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub(in super::super) struct StructColumn {
    names: Names,
    trail: Trail,
    fields: Vec<Column>,
    valid: Validity,
}

impl StructColumn {
    pub(in super::super) fn new(fields: &[(String, Kind)]) -> Self {
        let mut column = Self {
            names: Names::default(),
            trail: Trail::default(),
            fields: Vec::new(),
            valid: Validity::default(),
        };
        column.add_fields(fields);
        column
    }

    fn add_fields(&mut self, fields: &[(String, Kind)]) {
        for (name, kind) in fields {
            self.names.add(name.as_bytes());
            self.fields.push(Column::new(kind));
        }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Adds the map at the cursor, unless one of its members has no place.
    pub(in super::super) fn push(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<Fit> {
        cursor.descend()?;
        self.pad(row);
        self.trail.start();
        let mut more = cursor.enter_object()?;
        while more {
            let name = cursor.at;
            let place = self.names.find(cursor, &mut self.trail)?;
            let Some(column) = place.and_then(|place| self.fields.get_mut(place)) else {
                return Ok(Fit::Kind);
            };
            if column.len() > row {
                return duplicate(cursor.name_at(name)?);
            }
            let fit = column.push(row, cursor)?;
            if fit != Fit::Yes {
                return Ok(fit);
            }
            more = cursor.more(b'}')?;
        }
        cursor.ascend();
        self.valid.push_valid();
        Ok(Fit::Yes)
    }

    pub(in super::super) fn widen(&mut self, fields: &[(String, Kind)]) -> Fallible<()> {
        let known = self.fields.len();
        for (column, (_, kind)) in self.fields.iter_mut().zip(fields) {
            column.widen(kind)?;
        }
        self.add_fields(fields.get(known..).unwrap_or_default());
        Ok(())
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        self.valid.pad(rows);
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        self.fields.iter_mut().for_each(|column| column.truncate(rows));
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.valid.bytes() + self.fields.iter().map(Column::bytes).sum::<usize>()
    }

    pub(in super::super) fn finish(&mut self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        self.pad(rows);
        let DataType::Struct(fields) = data_type else {
            return Err(Error::internal("a struct column has another type in the schema"));
        };
        let columns = self.fields.iter_mut().zip(fields);
        let arrays = columns.map(|(column, field)| column.finish(rows, field.data_type()));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let array = StructArray::try_new_with_length(fields.clone(), arrays, self.valid.finish(), rows);
        Ok(Arc::new(array.map_err(disagree)?))
    }
}
