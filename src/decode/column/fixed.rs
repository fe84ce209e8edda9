//! Numbers and times of a declared type: converted exactly or refused; only floats round, as asked for.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::TimeUnit;

use super::super::attribute::Tag;
use super::super::json::{Cursor, Fallible};
use super::super::kind::Fixed;
use super::super::number::Number;
use super::super::time;
use super::bits::Validity;
use super::number::{pad_values, push_value, take_values};
use super::{Fit, disagree};
use crate::error::Result;

#[derive(Clone, Debug)]
pub(in super::super) struct FixedColumn {
    values: Values,
    valid: Validity,
    expected: usize,
}

#[derive(Clone, Debug)]
enum Values {
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Timestamp { values: Vec<i64>, unit: TimeUnit },
}

/// Runs the same code on the vector of whichever variant it is.
macro_rules! each {
    ($values:expr, $vector:ident => $body:expr) => {
        match $values {
            Values::Int16($vector) => $body,
            Values::Int32($vector) => $body,
            Values::Float32($vector) => $body,
            Values::Float64($vector) => $body,
            Values::Decimal { values: $vector, .. } => $body,
            Values::Timestamp { values: $vector, .. } => $body,
        }
    };
}

impl FixedColumn {
    pub(in super::super) fn new(fixed: Fixed) -> Self {
        let values = match fixed {
            Fixed::Int16 => Values::Int16(Vec::new()),
            Fixed::Int32 => Values::Int32(Vec::new()),
            Fixed::Float32 => Values::Float32(Vec::new()),
            Fixed::Float64 => Values::Float64(Vec::new()),
            Fixed::Decimal { precision, scale } => Values::Decimal { values: Vec::new(), precision, scale },
            Fixed::Timestamp(unit) => Values::Timestamp { values: Vec::new(), unit },
        };
        Self { values, valid: Validity::default(), expected: 0 }
    }

    pub(in super::super) fn len(&self) -> usize {
        each!(&self.values, values => values.len())
    }

    /// Adds the value at the cursor, behind its `tag`.
    pub(in super::super) fn push(&mut self, row: usize, tag: Tag, cursor: &mut Cursor<'_>) -> Fallible<Fit> {
        match (&self.values, tag) {
            (Values::Timestamp { unit, .. }, Tag::Text) => {
                let nanos = time::rfc3339_to_nanos(cursor.string()?.plain(&mut Vec::new())?)?;
                let value = nanos.div_euclid(nanos_in(*unit));
                Ok(self.store(row, i64::try_from(value).ok()))
            }
            (_, Tag::Number) => self.push_number(row, cursor.digits()?),
            _ => Ok(Fit::Kind),
        }
    }

    fn push_number(&mut self, row: usize, text: &[u8]) -> Fallible<Fit> {
        let number = Number::parse(text)?;
        let (expected, valid) = (self.expected, &mut self.valid);
        macro_rules! store {
            ($values:expr, $value:expr) => {
                match $value {
                    Some(value) => push_value($values, valid, expected, row, value),
                    None => return Ok(Fit::Value),
                }
            };
        }
        let integer = number.int64();
        match &mut self.values {
            Values::Int16(values) => store!(values, integer.and_then(|value| i16::try_from(value).ok())),
            Values::Int32(values) => store!(values, integer.and_then(|value| i32::try_from(value).ok())),
            Values::Float32(values) => store!(values, float(text).filter(|value: &f32| value.is_finite())),
            Values::Float64(values) => store!(values, float::<f64>(text)),
            Values::Decimal { values, precision, scale } => {
                store!(values, number.scaled(u32::from(*precision), i32::from(*scale)));
            }
            Values::Timestamp { values, .. } => store!(values, integer),
        }
        Ok(Fit::Yes)
    }

    fn store(&mut self, row: usize, value: Option<i64>) -> Fit {
        match (&mut self.values, value) {
            (Values::Timestamp { values, .. }, Some(value)) => {
                push_value(values, &mut self.valid, self.expected, row, value);
                Fit::Yes
            }
            _ => Fit::Value,
        }
    }

    pub(in super::super) fn pad(&mut self, rows: usize) {
        each!(&mut self.values, values => pad_values(values, &mut self.valid, rows));
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        each!(&mut self.values, values => values.truncate(rows));
        self.valid.truncate(rows);
    }

    pub(in super::super) fn bytes(&self) -> usize {
        each!(&self.values, values => std::mem::size_of_val(values.as_slice())) + self.valid.bytes()
    }

    pub(in super::super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.pad(rows);
        let (expected, nulls) = (&mut self.expected, self.valid.finish());
        Ok(match &mut self.values {
            Values::Int16(values) => Arc::new(Int16Array::new(take_values(values, expected), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(take_values(values, expected), nulls)),
            Values::Float32(values) => Arc::new(Float32Array::new(take_values(values, expected), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(take_values(values, expected), nulls)),
            Values::Decimal { values, precision, scale } => {
                let array = Decimal128Array::new(take_values(values, expected), nulls);
                Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(disagree)?)
            }
            Values::Timestamp { values, unit } => {
                let values = take_values(values, expected);
                match unit {
                    TimeUnit::Second => {
                        Arc::new(TimestampSecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                    TimeUnit::Millisecond => {
                        Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                    TimeUnit::Microsecond => {
                        Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                    TimeUnit::Nanosecond => {
                        Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                }
            }
        })
    }
}

/// The nearest float. The text was checked to be digits, so no word such as `inf` gets here.
fn float<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn nanos_in(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}
