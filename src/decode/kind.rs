//! What a column is: inferred from values, merged when a stream grows, and written in words.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::attribute::Tag;
use super::json::{Cursor, Fallible};
use super::number::{self, Number};
use super::{DecodeOptions, JsonFields, Nested, Numbers};

/// A field whose text is JSON.
pub const JSON_MARK: &str = "shardarrow.json";
/// A field whose text is a number in DynamoDB's canonical form.
pub const NUMBER_MARK: &str = "shardarrow.number";
const EXTENSION_NAME: &str = "ARROW:extension:name";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
    Bool,
    /// Plain JSON text of a map or a list.
    Json,
    Number(Width),
    Fixed(Fixed),
    Set(Box<Kind>),
    List(Box<Kind>),
    Struct(Vec<(String, Kind)>),
    /// Of the elements of an empty list: becomes anything.
    Unknown,
}

/// How far an exact number column has widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    Int,
    Decimal,
    Text,
}

/// Number types that are declared and never widen (`Float64` also by `numbers="float64"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fixed {
    Int16,
    Int32,
    Float32,
    Float64,
    Decimal { precision: u8, scale: i8 },
    Timestamp(TimeUnit),
}

impl Kind {
    /// The kind of the attribute value at the cursor; `None` when it is, or holds, a NULL, or mixes kinds.
    pub(super) fn of(cursor: &mut Cursor<'_>, numbers: Numbers, nested: Nested) -> Fallible<Option<Self>> {
        let tag = cursor.enter_attribute()?;
        let kind = Self::of_value(tag, cursor, numbers, nested)?;
        cursor.leave_attribute()?;
        Ok(kind)
    }

    fn of_value(
        tag: Tag,
        cursor: &mut Cursor<'_>,
        numbers: Numbers,
        nested: Nested,
    ) -> Fallible<Option<Self>> {
        let scalar = match tag {
            Tag::Text => Self::Text,
            Tag::Binary => Self::Binary,
            Tag::Bool => Self::Bool,
            Tag::Number => return Self::of_number(cursor, numbers).map(Some),
            Tag::Map | Tag::List if nested == Nested::Json => Self::Json,
            Tag::Map => return Self::of_map(cursor, numbers, nested),
            Tag::List => {
                cursor.descend()?;
                let element = Self::of_elements(cursor, |cursor| Self::of(cursor, numbers, nested))?;
                cursor.ascend();
                return Ok(element.map(|element| Self::List(Box::new(element))));
            }
            Tag::TextSet | Tag::NumberSet | Tag::BinarySet => {
                let inner = tag.element().unwrap_or(Tag::Text);
                let element =
                    Self::of_elements(cursor, |cursor| Self::of_value(inner, cursor, numbers, nested))?;
                return Ok(element.map(|element| Self::Set(Box::new(element))));
            }
            Tag::Null => {
                cursor.null()?;
                return Ok(None);
            }
        };
        cursor.skip_value()?;
        Ok(Some(scalar))
    }

    fn of_number(cursor: &mut Cursor<'_>, numbers: Numbers) -> Fallible<Self> {
        let text = cursor.digits()?;
        Ok(match numbers {
            Numbers::Float64 => Self::Fixed(Fixed::Float64),
            Numbers::Exact => Self::Number(Width::of(text)?),
        })
    }

    fn of_elements(
        cursor: &mut Cursor<'_>,
        mut of: impl FnMut(&mut Cursor<'_>) -> Fallible<Option<Self>>,
    ) -> Fallible<Option<Self>> {
        let mut kind = Some(Self::Unknown);
        cursor.elements(|cursor| {
            let element = of(cursor)?;
            kind = kind.take().zip(element).and_then(|(kind, element)| kind.merge(&element));
            Ok(())
        })?;
        Ok(kind)
    }

    fn of_map(cursor: &mut Cursor<'_>, numbers: Numbers, nested: Nested) -> Fallible<Option<Self>> {
        cursor.descend()?;
        let mut fields = Some(Vec::new());
        cursor.members(|cursor, name| {
            let kind = Self::of(cursor, numbers, nested)?;
            let mut plain = Vec::new();
            name.append_to(&mut plain)?;
            fields = fields.take().zip(kind).map(|(mut fields, kind)| {
                fields.push((String::from_utf8_lossy(&plain).into_owned(), kind));
                fields
            });
            Ok(())
        })?;
        cursor.ascend();
        // A name that stands twice is found when the value is taken in.
        Ok(fields.and_then(|fields| merge_fields(Vec::new(), &fields)).map(Self::Struct))
    }

    /// The kind that holds values of both; `None` when there is none. Only numbers widen, only structs grow.
    pub(super) fn merge(self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Unknown, other) => Some(other.clone()),
            (kind, Self::Unknown) => Some(kind),
            (Self::Number(a), Self::Number(b)) => Some(Self::Number(a.max(*b))),
            (Self::Set(a), Self::Set(b)) => a.merge(b).map(|kind| Self::Set(Box::new(kind))),
            (Self::List(a), Self::List(b)) => a.merge(b).map(|kind| Self::List(Box::new(kind))),
            (Self::Struct(a), Self::Struct(b)) => merge_fields(a, b).map(Self::Struct),
            (a, b) => (a == *b).then_some(a),
        }
    }

    /// Whether a column can be made of it: every element known, no struct without fields.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Set(element) | Self::List(element) => element.is_known(),
            Self::Struct(fields) => !fields.is_empty() && fields.iter().all(|(_, kind)| kind.is_known()),
            _ => true,
        }
    }

    /// How many columns of values it holds.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Self::Set(element) | Self::List(element) => element.leaves(),
            Self::Struct(fields) => fields.iter().map(|(_, kind)| kind.leaves()).sum(),
            _ => 1,
        }
    }

    /// Whether inference makes such a column; the others come from a declared schema only.
    pub(super) fn is_inferred(&self) -> bool {
        match self {
            Self::Fixed(fixed) => *fixed == Fixed::Float64,
            Self::Set(element) | Self::List(element) => element.is_inferred(),
            Self::Struct(fields) => fields.iter().all(|(_, kind)| kind.is_inferred()),
            _ => true,
        }
    }

    /// Whether plain JSON has values of it.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Binary | Self::Set(_) => false,
            Self::List(element) => element.is_plain(),
            Self::Struct(fields) => fields.iter().all(|(_, kind)| kind.is_plain()),
            _ => true,
        }
    }

    pub(super) fn has_float(&self) -> bool {
        self.any_leaf(&|kind| matches!(kind, Self::Fixed(Fixed::Float32 | Fixed::Float64)))
    }

    pub(super) fn has_exact(&self) -> bool {
        self.any_leaf(&|kind| matches!(kind, Self::Number(_)))
    }

    fn any_leaf(&self, is: &impl Fn(&Self) -> bool) -> bool {
        match self {
            Self::Set(element) | Self::List(element) => element.any_leaf(is),
            Self::Struct(fields) => fields.iter().any(|(_, kind)| kind.any_leaf(is)),
            leaf => is(leaf),
        }
    }

    /// How maps and lists are kept below a column of this kind.
    pub(super) fn nesting(&self) -> Nested {
        match self {
            Self::Struct(_) | Self::List(_) => Nested::Struct,
            _ => Nested::Json,
        }
    }

    pub(super) fn data_type(&self, options: &DecodeOptions) -> DataType {
        match self {
            Self::Text | Self::Json | Self::Number(Width::Text) => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Bool => DataType::Boolean,
            Self::Number(Width::Int) => DataType::Int64,
            Self::Number(Width::Decimal) => {
                DataType::Decimal128(number::MAX_DIGITS as u8, number::SCALE as i8)
            }
            Self::Fixed(fixed) => fixed.data_type(),
            Self::Set(element) | Self::List(element) => {
                DataType::List(Arc::new(element.field("item", true, options)))
            }
            Self::Struct(fields) => DataType::Struct(
                fields.iter().map(|(name, kind)| kind.field(name, true, options)).collect::<Fields>(),
            ),
            Self::Unknown => DataType::Null,
        }
    }

    pub(super) fn field(&self, name: &str, nullable: bool, options: &DecodeOptions) -> Field {
        let field = Field::new(name, self.data_type(options), nullable);
        match self {
            Self::Json => json_field(field, options.json),
            Self::Number(Width::Text) => field.with_metadata(mark(NUMBER_MARK)),
            _ => field,
        }
    }
}

/// Marks a text field as JSON.
pub(super) fn json_field(field: Field, json: JsonFields) -> Field {
    let mut metadata = mark(JSON_MARK);
    if json == JsonFields::ArrowJson {
        metadata.insert(EXTENSION_NAME.to_owned(), "arrow.json".to_owned());
    }
    field.with_metadata(metadata)
}

fn mark(name: &str) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), "true".to_owned())])
}

fn merge_fields(mut fields: Vec<(String, Kind)>, others: &[(String, Kind)]) -> Option<Vec<(String, Kind)>> {
    let mut places: HashMap<String, usize> =
        fields.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
    for (name, kind) in others {
        match places.get(name) {
            Some(&place) => {
                let known = std::mem::replace(&mut fields[place].1, Kind::Unknown);
                fields[place].1 = known.merge(kind)?;
            }
            None => {
                places.insert(name.clone(), fields.len());
                fields.push((name.clone(), kind.clone()));
            }
        }
    }
    Some(fields)
}

impl Width {
    /// The narrowest that holds this number exactly.
    pub(super) fn of(text: &[u8]) -> Fallible<Self> {
        let number = Number::parse(text)?;
        Ok(match (number.int64(), number.decimal()) {
            (Some(_), Some(_)) => Self::Int,
            (None, Some(_)) => Self::Decimal,
            _ => Self::Text,
        })
    }
}

impl Fixed {
    fn data_type(self) -> DataType {
        match self {
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Timestamp(unit) => DataType::Timestamp(unit, Some("UTC".into())),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("utf8"),
            Self::Binary => f.write_str("binary"),
            Self::Bool => f.write_str("bool"),
            Self::Json => f.write_str("json"),
            Self::Number(Width::Int) => f.write_str("int64"),
            Self::Number(Width::Decimal) => f.write_str("decimal128(38,9)"),
            Self::Number(Width::Text) => f.write_str("number"),
            Self::Fixed(fixed) => write!(f, "{fixed}"),
            Self::Set(element) => write!(f, "set<{element}>"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (place, (name, kind)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{kind}", serde_json::Value::from(name.as_str()))?;
                }
                f.write_str(">")
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal128({precision},{scale})"),
            Self::Timestamp(TimeUnit::Second) => f.write_str("timestamp(s)"),
            Self::Timestamp(TimeUnit::Millisecond) => f.write_str("timestamp(ms)"),
            Self::Timestamp(TimeUnit::Microsecond) => f.write_str("timestamp(us)"),
            Self::Timestamp(TimeUnit::Nanosecond) => f.write_str("timestamp(ns)"),
        }
    }
}
