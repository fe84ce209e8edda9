//! Keys that no item has, at a chosen place: where an empty page of a scan ends.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::item::{self, AttributeDefinition, Attributes, KeyElement, Slot};
use crate::random::place;

/// Places cannot be chosen, only tried; a gap between two of a million items is found in about
/// as many attempts, and a test that needs empty pages has fewer.
const ATTEMPTS: u64 = 1 << 17;

/// A key of the table's schema whose place is in `places`; `None` when the gap is too small.
pub(crate) fn key_at(
    keys: &[KeyElement],
    types: &[AttributeDefinition],
    places: &RangeInclusive<u64>,
) -> Option<Slot> {
    let kind = |name: &str| {
        let defined = types.iter().find(|known| known.attribute_name == name);
        defined.map_or("S", |known| known.attribute_type.as_str())
    };
    let hash = keys.iter().find(|element| element.key_type == "HASH")?;
    let hash_kind = kind(&hash.attribute_name);
    let found = (0..ATTEMPTS).map(|n| inner(hash_kind, n)).find(|inner| places.contains(&place(inner)))?;
    let value = |element: &KeyElement| -> Value {
        let kind = kind(&element.attribute_name);
        let inner = if element.key_type == "HASH" { found.clone() } else { inner(kind, 0) };
        json!({ kind: inner })
    };
    let all: Attributes =
        keys.iter().map(|element| (element.attribute_name.clone(), value(element))).collect();
    item::key(keys, types, &all).ok().map(|key| key.slot)
}

/// The `n`th value of a key type, in its normal form.
fn inner(kind: &str, n: u64) -> String {
    match kind {
        "N" => n.to_string(),
        // Three bytes are four characters of base64, without padding.
        "B" => [18, 12, 6, 0].map(|shift| sextet(n >> shift)).iter().collect(),
        _ => format!("between-{n}"),
    }
}

fn sextet(bits: u64) -> char {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    usize::try_from(bits % 64).ok().and_then(|at| ALPHABET.get(at)).map_or('A', |byte| char::from(*byte))
}
