//! The certain way: one pass of a JSON parser over the whole body.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Around;

/// # Errors
/// What is wrong with the body.
pub(super) fn read<'a>(body: &'a [u8], array: &str) -> Result<Around<'a>, String> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let members = parser.deserialize_map(Members).map_err(|cause| cause.to_string())?;
    parser.end().map_err(|cause| cause.to_string())?;
    let mut around = Around { elements: 0..0, members };
    let elements = around.text(array)?.ok_or_else(|| format!("it has no {array}"))?;
    if !elements.starts_with('[') {
        return Err(format!("{array} is not an array"));
    }
    let start = elements.as_ptr().addr() - body.as_ptr().addr();
    around.elements = start + 1..start + elements.len() - 1;
    Ok(around)
}

/// Takes the members of an object as they stand, each value as its JSON.
struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Vec<(Cow<'a, str>, &'a str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'a RawValue>()? {
            members.push((Cow::Owned(name), value.get()));
        }
        Ok(members)
    }
}
