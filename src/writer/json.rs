//! One cell of an Arrow column as JSON, digit for digit.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::{DataType, Field, TimeUnit};
use serde_json::value::RawValue;

use super::moment;
use crate::decode::{JSON_MARK, NUMBER_MARK};

/// Why a cell cannot be written, to stand behind the name of its column.
pub(super) type Cell = Result<(), String>;

/// Whether values of this type can be written.
///
/// # Errors
/// The type that has no form.
pub(super) fn check(kind: &DataType) -> Result<(), String> {
    use DataType::*;
    match kind {
        Null | Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float16
        | Float32 | Float64 | Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Binary
        | FixedSizeBinary(_) | LargeBinary | BinaryView | Utf8 | LargeUtf8 | Utf8View | Decimal32(..)
        | Decimal64(..) | Decimal128(..) | Decimal256(..) => Ok(()),
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
            check(item.data_type())
        }
        Struct(fields) => fields.iter().try_for_each(|field| check(field.data_type())),
        Dictionary(_, values) => check(values),
        Map(entries, _) => match entries.data_type() {
            Struct(fields) if fields.first().is_some_and(|key| is_text(key.data_type())) => {
                check(entries.data_type())
            }
            _ => Err(format!("{kind} (only texts can be names in JSON)")),
        },
        _ => Err(kind.to_string()),
    }
}

pub(super) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Appends the cell. The types are those that `check` lets through.
pub(super) fn write(out: &mut Vec<u8>, array: &dyn Array, field: &Field, row: usize) -> Cell {
    use DataType::*;
    if is_null(array, row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        Boolean => out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" }),
        Int8 => integer::<Int8Type>(out, array, row),
        Int16 => integer::<Int16Type>(out, array, row),
        Int32 => integer::<Int32Type>(out, array, row),
        Int64 => integer::<Int64Type>(out, array, row),
        UInt8 => integer::<UInt8Type>(out, array, row),
        UInt16 => integer::<UInt16Type>(out, array, row),
        UInt32 => integer::<UInt32Type>(out, array, row),
        UInt64 => integer::<UInt64Type>(out, array, row),
        Float16 => return float(out, array.as_primitive::<Float16Type>().value(row).to_f32()),
        Float32 => return float(out, array.as_primitive::<Float32Type>().value(row)),
        Float64 => return float(out, array.as_primitive::<Float64Type>().value(row)),
        Decimal32(..) => decimal(out, array.as_primitive::<Decimal32Type>().value_as_string(row)),
        Decimal64(..) => decimal(out, array.as_primitive::<Decimal64Type>().value_as_string(row)),
        Decimal128(..) => decimal(out, array.as_primitive::<Decimal128Type>().value_as_string(row)),
        Decimal256(..) => decimal(out, array.as_primitive::<Decimal256Type>().value_as_string(row)),
        Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) => {
            let text = moment_text(array, row).ok_or("is a time that RFC 3339 cannot write")?;
            quoted(out, &text);
        }
        List(item) => return elements(out, array.as_list::<i32>().value(row).as_ref(), item),
        LargeList(item) => return elements(out, array.as_list::<i64>().value(row).as_ref(), item),
        ListView(item) => return elements(out, array.as_list_view::<i32>().value(row).as_ref(), item),
        LargeListView(item) => return elements(out, array.as_list_view::<i64>().value(row).as_ref(), item),
        FixedSizeList(item, _) => return elements(out, array.as_fixed_size_list().value(row).as_ref(), item),
        Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns).map(|(field, column)| (field.as_ref(), column.as_ref()));
            return object(out, members, row);
        }
        Map(..) => return map(out, array, row),
        Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            return write(out, dictionary.values().as_ref(), field, place(dictionary.keys(), row));
        }
        other => match (text(array, row), bytes(array, row)) {
            (Some(text), _) => return words(out, text, field),
            (None, Some(bytes)) => base64(out, bytes),
            _ => return Err(format!("is of type {other}, which has no form in JSON")),
        },
    }
    Ok(())
}

/// Whether there is no value, wherever the column says so.
pub(super) fn is_null(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        DataType::Null => true,
        DataType::Dictionary(..) if array.is_valid(row) => {
            let dictionary = array.as_any_dictionary();
            is_null(dictionary.values().as_ref(), place(dictionary.keys(), row))
        }
        _ => array.is_null(row),
    }
}

/// Which value of a dictionary a row has.
fn place(keys: &dyn Array, row: usize) -> usize {
    match keys.data_type() {
        DataType::Int8 => keys.as_primitive::<Int8Type>().value(row) as usize,
        DataType::Int16 => keys.as_primitive::<Int16Type>().value(row) as usize,
        DataType::Int32 => keys.as_primitive::<Int32Type>().value(row) as usize,
        DataType::Int64 => keys.as_primitive::<Int64Type>().value(row) as usize,
        DataType::UInt8 => keys.as_primitive::<UInt8Type>().value(row) as usize,
        DataType::UInt16 => keys.as_primitive::<UInt16Type>().value(row) as usize,
        DataType::UInt32 => keys.as_primitive::<UInt32Type>().value(row) as usize,
        _ => keys.as_primitive::<UInt64Type>().value(row) as usize,
    }
}

/// A text, whichever layout it has.
pub(super) fn text(array: &dyn Array, row: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            text(dictionary.values().as_ref(), place(dictionary.keys(), row))
        }
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

/// Bytes, whichever layout they have.
pub(super) fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// Members that are null are left out, as attributes that are absent.
pub(super) fn object<'a>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'a Field, &'a dyn Array)>,
    row: usize,
) -> Cell {
    let mut separator = b'{';
    for (field, column) in members.filter(|(_, column)| !is_null(*column, row)) {
        out.push(separator);
        quoted(out, field.name());
        out.push(b':');
        write(out, column, field, row).map_err(|reason| within(field.name(), &reason))?;
        separator = b',';
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// Names the column a reason is about, once for each level.
pub(super) fn within(name: &str, reason: &str) -> String {
    format!(
        "{name:?} {}",
        reason.strip_prefix('"').map_or_else(|| reason.to_owned(), |inner| format!("> \"{inner}"))
    )
}

fn map(out: &mut Vec<u8>, array: &dyn Array, row: usize) -> Cell {
    let entries = array.as_map().value(row);
    let [names, values] = entries.columns() else { return Ok(()) };
    let Some(field) = entries.fields().get(1) else { return Ok(()) };
    out.push(b'{');
    for place in 0..entries.len() {
        if place > 0 {
            out.push(b',');
        }
        quoted(out, text(names.as_ref(), place).unwrap_or_default());
        out.push(b':');
        write(out, values.as_ref(), field, place)?;
    }
    out.push(b'}');
    Ok(())
}

fn elements(out: &mut Vec<u8>, items: &dyn Array, field: &Field) -> Cell {
    out.push(b'[');
    for place in 0..items.len() {
        if place > 0 {
            out.push(b',');
        }
        write(out, items, field, place)?;
    }
    out.push(b']');
    Ok(())
}

/// Text that is marked as JSON stands in the JSON as what it says, not as a string.
fn words(out: &mut Vec<u8>, text: &str, field: &Field) -> Cell {
    let mark = |name: &str| field.metadata().get(name).map(String::as_str);
    if mark(JSON_MARK) == Some("true") || mark("ARROW:extension:name") == Some("arrow.json") {
        let sound = serde_json::from_str::<&RawValue>(text).map_err(|_| "is marked as JSON but is none")?;
        out.extend_from_slice(sound.get().as_bytes());
    } else if mark(NUMBER_MARK) == Some("true") {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && serde_json::from_str::<&RawValue>(text).is_ok();
        if !is_number {
            return Err("is marked as a number but is none".to_owned());
        }
        out.extend_from_slice(text.as_bytes());
    } else {
        quoted(out, text);
    }
    Ok(())
}

pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    // Writing text into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(base64_simd::STANDARD.encode_to_string(bytes).as_bytes());
    out.push(b'"');
}

fn integer<T>(out: &mut Vec<u8>, array: &dyn Array, row: usize)
where
    T: ArrowPrimitiveType<Native: std::fmt::Display>,
{
    out.extend_from_slice(array.as_primitive::<T>().value(row).to_string().as_bytes());
}

/// The shortest digits that give the same float again.
fn float(out: &mut Vec<u8>, value: impl Into<f64> + serde::Serialize + Copy) -> Cell {
    if !value.into().is_finite() {
        return Err("is not a finite number, which JSON cannot write".to_owned());
    }
    let _ = serde_json::to_writer(out, &value);
    Ok(())
}

/// Without idle zeros: `1.5`, also where the column has nine places.
fn decimal(out: &mut Vec<u8>, text: String) {
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    out.extend_from_slice(if plain == "-0" { b"0" } else { plain.as_bytes() });
}

fn moment_text(array: &dyn Array, row: usize) -> Option<String> {
    use TimeUnit::*;
    match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                Second => array.as_primitive::<TimestampSecondType>().value(row),
                Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
                Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
            };
            moment::timestamp(value, *unit, zone.is_some())
        }
        DataType::Date32 => moment::date(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Date64 => {
            moment::date(array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000))
        }
        DataType::Time32(Second) => {
            moment::time(array.as_primitive::<Time32SecondType>().value(row).into(), Second)
        }
        DataType::Time32(_) => {
            moment::time(array.as_primitive::<Time32MillisecondType>().value(row).into(), Millisecond)
        }
        DataType::Time64(Microsecond) => {
            moment::time(array.as_primitive::<Time64MicrosecondType>().value(row), Microsecond)
        }
        DataType::Time64(_) => {
            moment::time(array.as_primitive::<Time64NanosecondType>().value(row), Nanosecond)
        }
        _ => None,
    }
}
