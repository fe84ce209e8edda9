//! Items and keys, kept as the JSON text they travel in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{AwsError, Result};
use crate::random::place;
use crate::value::normal;

/// Attribute name → DynamoDB JSON value. Sorted, so equal items have equal text.
pub type Attributes = BTreeMap<String, Value>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    pub attribute_name: String,
    /// `HASH` or `RANGE`.
    pub key_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeDefinition {
    pub attribute_name: String,
    /// `S`, `N` or `B`.
    pub attribute_type: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) json: Arc<str>,
    pub(crate) size: usize,
}

/// Where an item lives: by its hash key's place, then by its key's text.
pub(crate) type Slot = (u64, Arc<str>);

/// A key found to fit a table's schema.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) slot: Slot,
    pub(crate) size: usize,
}

/// # Errors
/// Those of [`normal`]; items above 400 KB are a `ValidationException` (documented).
pub(crate) fn item(attributes: &Attributes) -> Result<Item> {
    let each = attributes.iter().map(|(name, value)| Ok((name.clone(), normal(value)?)));
    let attributes: Attributes = each.collect::<Result<_>>()?;
    let size = size_of(&attributes);
    if size > 400 * 1024 {
        return Err(AwsError::validation("Item size has exceeded the maximum allowed size"));
    }
    Ok(Item { json: text(&attributes)?.into(), size })
}

/// Takes the key out of an item or out of a request's `Key`.
pub(crate) fn key(schema: &[KeyElement], types: &[AttributeDefinition], from: &Attributes) -> Result<Key> {
    let mut found = Attributes::new();
    let mut hash = 0;
    for element in schema {
        let name = &element.attribute_name;
        let kind =
            types.iter().find(|known| known.attribute_name == *name).map(|known| &known.attribute_type);
        let value = normal(from.get(name).ok_or_else(|| missing(name))?)?;
        let typed = kind.and_then(|kind| value.get(kind)).and_then(Value::as_str);
        let inner = typed.filter(|inner| !inner.is_empty()).ok_or_else(|| mismatch(name))?;
        if element.key_type == "HASH" {
            hash = place(inner);
        }
        found.insert(name.clone(), value);
    }
    Ok(Key { slot: (hash, text(&found)?.into()), size: size_of(&found) })
}

fn missing(name: &str) -> AwsError {
    AwsError::validation(format!("One of the required keys was not given a value: {name}"))
}

fn mismatch(name: &str) -> AwsError {
    AwsError::validation(format!("The provided key element does not match the schema: {name}"))
}

pub(crate) fn text(attributes: &Attributes) -> Result<String> {
    serde_json::to_string(attributes).map_err(|error| AwsError::serialization(error.to_string()))
}

/// Reads back what this module wrote.
pub(crate) fn attributes(json: &str) -> Attributes {
    serde_json::from_str(json).unwrap_or_default()
}

fn size_of(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

/// The size rules of the developer guide; numbers are approximate there too.
fn value_size(typed: &Value) -> usize {
    let Some((kind, value)) = typed.as_object().and_then(|typed| typed.iter().next()) else { return 1 };
    let each = |size: fn(&str) -> usize| -> usize {
        value.as_array().map_or(0, |all| all.iter().filter_map(Value::as_str).map(size).sum())
    };
    let one = |size: fn(&str) -> usize| value.as_str().map_or(1, size);
    match kind.as_str() {
        "S" => one(str::len),
        "N" => one(number_size),
        "B" => one(binary_size),
        "SS" => each(str::len),
        "NS" => each(number_size),
        "BS" => each(binary_size),
        "L" => 3 + value.as_array().map_or(0, |all| all.iter().map(|one| value_size(one) + 1).sum()),
        "M" => {
            let members = value.as_object();
            3 + members.map_or(0, |all| all.iter().map(|(name, one)| name.len() + value_size(one) + 1).sum())
        }
        _ => 1,
    }
}

fn number_size(digits: &str) -> usize {
    digits.len().div_ceil(2) + 1
}

fn binary_size(base64: &str) -> usize {
    base64.len() / 4 * 3
}
