//! Exact numbers: int64, then decimal128(38, 9), then text. Never rounded.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Int64Array};
use arrow_buffer::ScalarBuffer;

use super::super::json::{Digits, Fallible};
use super::super::kind::Width;
use super::super::number::{MAX_DIGITS, Number, SCALE, append_canonical, small_decimal, small_integer};
use super::super::short::{short_decimal, short_integer};
use super::bits::Validity;
use super::text::{BytesColumn, trim};
use super::{Fit, disagree};
use crate::error::Result;

/// In a decimal column.
const ONE: i128 = 10i128.pow(SCALE as u32);

#[derive(Clone, Debug)]
pub(in super::super) enum NumberColumn {
    Int { values: Vec<i64>, valid: Validity, expected: usize },
    Decimal { values: Vec<i128>, valid: Validity, expected: usize },
    Text(BytesColumn),
}

impl NumberColumn {
    pub(in super::super) fn new(width: Width) -> Self {
        match width {
            Width::Int => Self::Int { values: Vec::new(), valid: Validity::default(), expected: 0 },
            Width::Decimal => Self::Decimal { values: Vec::new(), valid: Validity::default(), expected: 0 },
            Width::Text => Self::Text(BytesColumn::default()),
        }
    }

    pub(in super::super) fn len(&self) -> usize {
        match self {
            Self::Int { values, .. } => values.len(),
            Self::Decimal { values, .. } => values.len(),
            Self::Text(column) => column.len(),
        }
    }

    /// Adds a number, unless it needs a wider column.
    #[inline]
    pub(in super::super) fn push(&mut self, row: usize, text: &[u8]) -> Fallible<Fit> {
        match self {
            Self::Int { values, valid, expected } => {
                let value = match small_integer(text) {
                    Some(value) => value,
                    None => match Number::parse(text)?.int64() {
                        Some(value) => value,
                        None => return Ok(Fit::Value),
                    },
                };
                push_value(values, valid, *expected, row, value);
            }
            Self::Decimal { values, valid, expected } => {
                let small = small_integer(text).map(|value| i128::from(value) * ONE);
                let value = match small.or_else(|| small_decimal(text)) {
                    Some(value) => value,
                    None => match Number::parse(text)?.decimal() {
                        Some(value) => value,
                        None => return Ok(Fit::Value),
                    },
                };
                push_value(values, valid, *expected, row, value);
            }
            Self::Text(column) => column.push(row, |out| append_canonical(text, out))?,
        }
        Ok(Fit::Yes)
    }

    /// Adds a short number; false when it is not one in the usual form, or needs a wider column.
    #[inline]
    pub(in super::super) fn push_digits(&mut self, row: usize, digits: Digits<'_>) -> Fallible<bool> {
        match self {
            Self::Int { values, valid, expected } => {
                let Some(value) = short_integer(digits) else { return Ok(false) };
                push_value(values, valid, *expected, row, value);
            }
            Self::Decimal { values, valid, expected } => {
                let Some(value) = short_decimal(digits) else { return Ok(false) };
                push_value(values, valid, *expected, row, value);
            }
            Self::Text(column) => column.push(row, |out| append_canonical(digits.text(), out))?,
        }
        Ok(true)
    }

    /// Converts what the column holds; does nothing when it is as wide already.
    pub(in super::super) fn widen(&mut self, width: Width) -> Fallible<()> {
        if let (Self::Int { values, valid, expected }, Width::Decimal) = (&mut *self, width) {
            let values = values.iter().map(|value| i128::from(*value) * ONE).collect();
            *self = Self::Decimal { values, valid: std::mem::take(valid), expected: *expected };
        } else if width == Width::Text {
            *self = Self::Text(match self {
                Self::Int { values, valid, .. } => {
                    as_text(values.iter().map(|value| Number::from_scaled(i128::from(*value), 0)), valid)?
                }
                Self::Decimal { values, valid, .. } => {
                    as_text(values.iter().map(|value| Number::from_scaled(*value, SCALE)), valid)?
                }
                Self::Text(_) => return Ok(()),
            });
        }
        Ok(())
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        match self {
            Self::Int { values, valid, .. } => pad_values(values, valid, rows),
            Self::Decimal { values, valid, .. } => pad_values(values, valid, rows),
            Self::Text(column) => column.pad(rows),
        }
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Int { values, valid, .. } => {
                values.truncate(rows);
                valid.truncate(rows);
            }
            Self::Decimal { values, valid, .. } => {
                values.truncate(rows);
                valid.truncate(rows);
            }
            Self::Text(column) => column.truncate(rows),
        }
    }

    pub(in super::super) fn bytes(&self) -> usize {
        match self {
            Self::Int { values, valid, .. } => 8 * values.len() + valid.bytes(),
            Self::Decimal { values, valid, .. } => 16 * values.len() + valid.bytes(),
            Self::Text(column) => column.bytes(),
        }
    }

    pub(in super::super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.pad(rows);
        Ok(match self {
            Self::Int { values, valid, expected } => {
                Arc::new(Int64Array::new(take_values(values, expected), valid.finish()))
            }
            Self::Decimal { values, valid, expected } => {
                let array = Decimal128Array::new(take_values(values, expected), valid.finish());
                Arc::new(array.with_precision_and_scale(MAX_DIGITS as u8, SCALE as i8).map_err(disagree)?)
            }
            Self::Text(column) => column.finish_text(rows)?,
        })
    }
}

fn as_text(numbers: impl Iterator<Item = Number>, valid: &mut Validity) -> Fallible<BytesColumn> {
    let nulls = valid.finish();
    let mut column = BytesColumn::default();
    for (row, number) in numbers.enumerate() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            column.push(row, |out| {
                number.append_to(out);
                Ok(())
            })?;
        } else {
            column.pad(row + 1);
        }
    }
    Ok(column)
}

#[inline]
pub(super) fn push_value<T: Copy + Default>(
    values: &mut Vec<T>,
    valid: &mut Validity,
    expected: usize,
    row: usize,
    value: T,
) {
    if values.is_empty() {
        values.reserve(expected);
    }
    if values.len() < row {
        pad_values(values, valid, row);
    }
    values.push(value);
    valid.push_valid();
}

pub(super) fn pad_values<T: Copy + Default>(values: &mut Vec<T>, valid: &mut Validity, rows: usize) {
    if values.len() < rows {
        values.resize(rows, T::default());
        valid.pad(rows);
    }
}

pub(super) fn take_values<T: arrow_buffer::ArrowNativeType>(
    values: &mut Vec<T>,
    expected: &mut usize,
) -> ScalarBuffer<T> {
    *expected = values.len();
    let mut values = std::mem::take(values);
    trim(&mut values);
    ScalarBuffer::from(values)
}
