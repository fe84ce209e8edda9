//! Columns under construction, one file for each kind.
//!
//! A column is padded lazily: it may be shorter than the batch, and what is missing is null.
//! `truncate` takes rows back, so that a record is added whole or not at all.

mod bits;
mod boolean;
mod fixed;
mod list;
mod map;
mod number;
mod text;

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, DataType};

pub(super) use self::bits::{Bits as BitsColumn, Validity};
pub(super) use self::text::{BytesColumn, trim};

use self::boolean::BooleanColumn;
use self::fixed::FixedColumn;
use self::list::ListColumn;
use self::map::StructColumn;
use self::number::NumberColumn;
use super::attribute::Tag;
use super::json::{Cursor, Fallible};
use super::kind::Kind;
use crate::error::{Error, Result};

/// Whether a value found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    /// It is of another kind than the column, or has a member the column does not know.
    Kind,
    /// It is of the column's kind, but the column's type cannot hold it.
    Value,
}

#[derive(Clone, Debug)]
pub(super) enum Column {
    Text(BytesColumn),
    Binary(BytesColumn),
    Bool(BooleanColumn),
    Json(BytesColumn),
    Number(NumberColumn),
    Fixed(FixedColumn),
    Set(ListColumn),
    List(ListColumn),
    Struct(Box<StructColumn>),
}

/// Runs the same code on whichever column it is.
macro_rules! each {
    ($column:expr, $inner:ident => $body:expr) => {
        match $column {
            Column::Text($inner) | Column::Binary($inner) | Column::Json($inner) => $body,
            Column::Bool($inner) => $body,
            Column::Number($inner) => $body,
            Column::Fixed($inner) => $body,
            Column::Set($inner) | Column::List($inner) => $body,
            Column::Struct($inner) => $body,
        }
    };
}

impl Column {
    pub(super) fn new(kind: &Kind) -> Self {
        match kind {
            // Elements of an unknown kind exist only while a kind is inferred; no column is made of it.
            Kind::Text | Kind::Unknown => Self::Text(BytesColumn::default()),
            Kind::Binary => Self::Binary(BytesColumn::default()),
            Kind::Bool => Self::Bool(BooleanColumn::default()),
            Kind::Json => Self::Json(BytesColumn::default()),
            Kind::Number(width) => Self::Number(NumberColumn::new(*width)),
            Kind::Fixed(fixed) => Self::Fixed(FixedColumn::new(*fixed)),
            Kind::Set(element) => Self::Set(ListColumn::new(Self::new(element))),
            Kind::List(element) => Self::List(ListColumn::new(Self::new(element))),
            Kind::Struct(fields) => Self::Struct(Box::new(StructColumn::new(fields))),
        }
    }

    pub(super) fn len(&self) -> usize {
        each!(self, column => column.len())
    }

    /// Adds the attribute value at the cursor as row `row`. When it does not fit or fails, the caller
    /// truncates to `row` (parts of a nested value may be in already) and sets the cursor back.
    #[inline]
    pub(super) fn push(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<Fit> {
        if self.push_quick(row, cursor)? {
            return Ok(Fit::Yes);
        }
        let tag = cursor.enter_attribute()?;
        let fit = self.push_value(row, tag, cursor)?;
        if fit == Fit::Yes {
            cursor.leave_attribute()?;
        }
        Ok(fit)
    }

    /// Adds a value in the form the service writes; otherwise leaves the cursor where it is.
    #[inline]
    fn push_quick(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<bool> {
        if cursor.is_plain {
            return Ok(false);
        }
        let start = cursor.at;
        match self {
            Self::Text(column) => {
                let Some(text) = cursor.quick_text() else { return Ok(false) };
                column.push_piece(row, text)?;
            }
            Self::Number(column) => {
                let Some(digits) = cursor.quick_digits() else { return Ok(false) };
                if !column.push_digits(row, digits)? {
                    cursor.at = start;
                    return Ok(false);
                }
            }
            Self::Bool(column) => {
                let Some(value) = cursor.quick_bool() else { return Ok(false) };
                column.push(row, value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// Adds the value that `other`, a column of the same kind, has in the same row; false when it has none, or when
    /// values of this kind are not copied.
    pub(super) fn push_same(&mut self, row: usize, other: &Self) -> Fallible<bool> {
        match (self, other) {
            (Self::Json(column), Self::Json(other)) => match other.value(row) {
                Some(value) => column.push(row, |out| {
                    out.extend_from_slice(value);
                    Ok(())
                })?,
                None => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push_value(&mut self, row: usize, tag: Tag, cursor: &mut Cursor<'_>) -> Fallible<Fit> {
        match (self, tag) {
            (Self::Text(column), Tag::Text) => {
                let text = cursor.string()?;
                column.push(row, |out| text.append_to(out))?;
            }
            (Self::Number(column), Tag::Number) => return column.push(row, cursor.digits()?),
            (Self::Bool(column), Tag::Bool) => column.push(row, cursor.boolean()?),
            (Self::Binary(column), Tag::Binary) => column.push(row, |out| cursor.binary(out))?,
            (Self::Json(column), Tag::Map | Tag::List) => {
                column.push(row, |out| cursor.write_plain_value(tag, out))?;
            }
            (Self::Fixed(column), Tag::Number | Tag::Text) => return column.push(row, tag, cursor),
            (Self::List(column), Tag::List) => return column.push_list(row, cursor),
            (Self::Set(column), set) => match set.element() {
                Some(inner) => return column.push_set(row, inner, cursor),
                None => return Ok(Fit::Kind),
            },
            (Self::Struct(column), Tag::Map) => return column.push(row, cursor),
            _ => return Ok(Fit::Kind),
        }
        Ok(Fit::Yes)
    }

    /// Makes the column one of `kind`, which was merged from its own and another.
    pub(super) fn widen(&mut self, kind: &Kind) -> Fallible<()> {
        match (self, kind) {
            (Self::Number(column), Kind::Number(width)) => column.widen(*width),
            (Self::Set(column), Kind::Set(kind)) | (Self::List(column), Kind::List(kind)) => {
                column.element.widen(kind)
            }
            (Self::Struct(column), Kind::Struct(fields)) => column.widen(fields),
            _ => Ok(()),
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        each!(self, column => column.truncate(rows));
    }

    pub(super) fn bytes(&self) -> usize {
        each!(self, column => column.bytes())
    }

    /// Takes `rows` rows as an array of `data_type`, which is this column's own with its field names.
    pub(super) fn finish(&mut self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Text(column) | Self::Json(column) => column.finish_text(rows),
            Self::Binary(column) => column.finish_binary(rows),
            Self::Bool(column) => Ok(column.finish(rows)),
            Self::Number(column) => column.finish(rows),
            Self::Fixed(column) => column.finish(rows),
            Self::Set(column) | Self::List(column) => column.finish(rows, data_type),
            Self::Struct(column) => column.finish(rows, data_type),
        }
    }
}

/// Columns are built so that Arrow finds nothing to object to.
#[cold]
pub(super) fn disagree(cause: ArrowError) -> Error {
    Error::internal("a column does not agree with its schema; please report this").with_cause(cause)
}
