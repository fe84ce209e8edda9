//! Keys that no item has, at a chosen place: where an empty page of a scan ends.

use std::ops::RangeInclusive;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::item::{self, AttributeDefinition, Attributes, KeyElement, Slot};
use crate::random::place;

/// How many keys of each type are known. Places cannot be chosen, only tried; in a table of as
/// many items most gaps have one, in smaller tables nearly all.
const KNOWN: u64 = 1 << 16;

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
    let found = inner(hash_kind, first_in(hash_kind, places)?);
    let value = |element: &KeyElement| -> Value {
        let kind = kind(&element.attribute_name);
        let inner = if element.key_type == "HASH" { found.clone() } else { inner(kind, 0) };
        json!({ kind: inner })
    };
    let all: Attributes =
        keys.iter().map(|element| (element.attribute_name.clone(), value(element))).collect();
    item::key(keys, types, &all).ok().map(|key| key.slot)
}

/// Which value of a key type has the lowest place in `places`.
fn first_in(kind: &str, places: &RangeInclusive<u64>) -> Option<u64> {
    static OF_TYPE: [OnceLock<Vec<(u64, u64)>>; 3] = [const { OnceLock::new() }; 3];
    let [text, number, binary] = &OF_TYPE;
    let sorted = match kind {
        "N" => number,
        "B" => binary,
        _ => text,
    };
    let sorted = sorted.get_or_init(|| {
        let mut all: Vec<_> = (0..KNOWN).map(|n| (place(&inner(kind, n)), n)).collect();
        all.sort_unstable();
        all
    });
    let at = sorted.partition_point(|(place, _)| place < places.start());
    sorted.get(at).filter(|(place, _)| place <= places.end()).map(|(_, n)| *n)
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
