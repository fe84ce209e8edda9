//! Brings a batch of an earlier, narrower schema of a stream to a later one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, ListArray, RecordBatch, StringArray, StructArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use super::number::{MAX_DIGITS, Number, SCALE};
use crate::error::{Error, Result};

/// Casts `batch` to `schema`, which the same stream reached later: missing columns become null,
/// numbers are widened (int64 → decimal128(38, 9) → canonical text), structs and lists likewise.
///
/// # Errors
/// `Internal` when `schema` is not a later schema of the same stream.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(&batch.schema(), schema) {
        return Ok(batch.clone());
    }
    let known = batch.schema();
    let arrays = pick(known.fields(), batch.columns(), schema.fields(), batch.num_rows())?;
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|cause| narrower(schema.fields(), cause))
}

/// The columns of `to`, from those of `from` by name.
fn pick(from: &Fields, arrays: &[ArrayRef], to: &Fields, rows: usize) -> Result<Vec<ArrayRef>> {
    let mut used = 0;
    // The order is nearly always the same: each search begins behind the last find.
    let mut last = 0;
    let picked = to.iter().map(|field| {
        let order = (last..from.len()).chain(0..last);
        match order.into_iter().find(|&place| from[place].name() == field.name()) {
            Some(place) => {
                used += 1;
                last = place + 1;
                widen(&arrays[place], field)
            }
            None => Ok(new_null_array(field.data_type(), rows)),
        }
    });
    let picked = picked.collect::<Result<Vec<_>>>()?;
    if used < from.len() {
        return Err(Error::internal("a batch has columns that the later schema of its stream has not"));
    }
    Ok(picked)
}

fn widen(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let wanted = field.data_type();
    match (array.data_type(), wanted) {
        (same, wanted) if same == wanted => Ok(Arc::clone(array)),
        (DataType::Int64, DataType::Decimal128(38, 9)) => {
            let values = array.as_primitive::<Int64Type>();
            let scale = 10i128.pow(SCALE as u32);
            let values: Decimal128Array = values.unary(|value| i128::from(value) * scale);
            let values = values.with_precision_and_scale(MAX_DIGITS as u8, SCALE as i8);
            Ok(Arc::new(values.map_err(|cause| cannot(field, cause))?))
        }
        (DataType::Int64, DataType::Utf8) => {
            let values = array.as_primitive::<Int64Type>().iter();
            Ok(as_text(values.map(|value| value.map(|value| Number::from_scaled(i128::from(value), 0)))))
        }
        (DataType::Decimal128(_, scale), DataType::Utf8) => {
            let values = array.as_primitive::<Decimal128Type>().iter();
            Ok(as_text(values.map(|value| value.map(|value| Number::from_scaled(value, i32::from(*scale))))))
        }
        (DataType::Struct(from), DataType::Struct(to)) => {
            let values = array.as_struct();
            let arrays = pick(from, values.columns(), to, values.len())?;
            let nulls = values.nulls().cloned();
            let values = StructArray::try_new_with_length(to.clone(), arrays, nulls, values.len());
            Ok(Arc::new(values.map_err(|cause| cannot(field, cause))?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let lists = array.as_list::<i32>();
            let values = widen(lists.values(), element)?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            let lists = ListArray::try_new(Arc::clone(element), offsets, values, nulls);
            Ok(Arc::new(lists.map_err(|cause| cannot(field, cause))?))
        }
        (from, to) => Err(Error::internal(format!(
            "the column {:?} of type {from} is not widened to {to}; please report this",
            field.name()
        ))),
    }
}

fn as_text(numbers: impl Iterator<Item = Option<Number>>) -> ArrayRef {
    let texts = numbers.map(|number| {
        let mut text = Vec::new();
        number?.append_to(&mut text);
        String::from_utf8(text).ok()
    });
    Arc::new(texts.collect::<StringArray>())
}

fn cannot(field: &Field, cause: ArrowError) -> Error {
    Error::internal(format!("the column {:?} cannot be widened; please report this", field.name()))
        .with_cause(cause)
}

fn narrower(fields: &Fields, cause: ArrowError) -> Error {
    Error::internal(format!("a batch cannot be brought to the later schema of {} columns", fields.len()))
        .with_cause(cause)
}
