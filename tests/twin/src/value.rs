//! Attribute values as the service keeps them: one form per value, so that equal is equal.

use serde_json::{Map, Value, json};

use crate::error::{AwsError, Result};

/// Numbers in plain decimal without idle zeros (documented that the service trims them), sets
/// sorted (assumed: they have no order). A type the twin does not know passes unchanged, so
/// that a test can send one through a stream.
///
/// # Errors
/// `ValidationException` for what is no number or needs more than 38 digits, for an empty set
/// and for one with duplicates (all documented); `SerializationException` for a value that is
/// not `{type: value}`.
pub(crate) fn normal(typed: &Value) -> Result<Value> {
    let one = typed.as_object().filter(|typed| typed.len() == 1).and_then(|typed| typed.iter().next());
    let (kind, value) = one.ok_or_else(|| AwsError::serialization("an attribute is not one typed value"))?;
    let value = match (kind.as_str(), value) {
        ("N", Value::String(text)) => Value::String(number(text)?),
        ("SS" | "BS", Value::Array(members)) => set(members, |text| Ok(text.to_owned()))?,
        ("NS", Value::Array(members)) => set(members, number)?,
        ("L", Value::Array(members)) => Value::Array(members.iter().map(normal).collect::<Result<_>>()?),
        ("M", Value::Object(members)) => {
            let each = members.iter().map(|(name, value)| Ok((name.clone(), normal(value)?)));
            Value::Object(each.collect::<Result<Map<_, _>>>()?)
        }
        _ => value.clone(),
    };
    Ok(json!({ kind.as_str(): value }))
}

fn set(members: &[Value], form: impl Fn(&str) -> Result<String>) -> Result<Value> {
    let text = |member: &Value| member.as_str().map(&form);
    let members: Option<Result<Vec<String>>> = members.iter().map(text).collect();
    let mut members = members.ok_or_else(|| AwsError::serialization("a set's members are strings"))??;
    members.sort();
    if members.is_empty() || members.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(AwsError::validation("a set must not be empty or have duplicates"));
    }
    Ok(json!(members))
}

fn number(text: &str) -> Result<String> {
    plain(text).ok_or_else(|| {
        AwsError::validation(format!(
            "{text:?} is not a number of at most 38 digits between 1E-130 and 9.9E+125"
        ))
    })
}

fn plain(text: &str) -> Option<String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse::<i32>().ok()?.into();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some("0".to_owned());
    }
    // The value is `kept` × 10^scale.
    let scale = exponent - i64::try_from(fraction.len()).ok()? + dropped;
    let magnitude = i64::try_from(kept.len()).ok()? + scale - 1;
    if kept.len() > 38 || !(-130..=125).contains(&magnitude) {
        return None;
    }
    Some(format!("{sign}{}", placed(kept, scale)))
}

/// Writes digits × 10^scale without an exponent.
fn placed(digits: &str, scale: i64) -> String {
    let zeros = |count: usize| "0".repeat(count);
    let shift = usize::try_from(scale.unsigned_abs()).unwrap_or(0);
    if scale >= 0 {
        return format!("{digits}{}", zeros(shift));
    }
    match digits.len().checked_sub(shift).and_then(|point| digits.split_at_checked(point)) {
        Some((whole, fraction)) if !whole.is_empty() => format!("{whole}.{fraction}"),
        _ => format!("0.{}{digits}", zeros(shift.saturating_sub(digits.len()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        let cases = [
            ("1.500", "1.5"),
            ("-0.0", "0"),
            ("+007", "7"),
            ("1e2", "100"),
            ("12E-1", "1.2"),
            ("1.23e-3", "0.00123"),
            ("100.00", "100"),
            (".5", "0.5"),
            ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
            ("0.10000000000000000000000000000000000001", "0.10000000000000000000000000000000000001"),
        ];
        for (given, kept) in cases {
            assert_eq!(number(given).unwrap(), kept, "{given}");
        }
        for bad in [
            "",
            "-",
            ".",
            "1e",
            "1x",
            "1e126",
            "1e-131",
            "NaN",
            "1.2.3",
            "123456789012345678901234567890123456789",
        ] {
            assert_eq!(number(bad).unwrap_err().code, "ValidationException", "{bad}");
        }
        assert_eq!(number("1e125").unwrap().len(), 126);
        assert_eq!(number("1e-130").unwrap().len(), 132);
    }

    #[test]
    fn sets_have_no_order_and_no_duplicates() {
        let ss = |members: Value| normal(&json!({ "NS": members }));
        assert_eq!(ss(json!(["2", "1.0"])).unwrap(), ss(json!(["1", "2"])).unwrap());
        assert!(ss(json!([])).is_err() && ss(json!(["1", "1.0"])).is_err());
        let nested = normal(&json!({"M": {"l": {"L": [{"N": "1.0"}, {"X": 1}]}}})).unwrap();
        assert_eq!(nested, json!({"M": {"l": {"L": [{"N": "1"}, {"X": 1}]}}}));
        assert_eq!(normal(&json!({"S": "a", "N": "1"})).unwrap_err().code, "SerializationException");
    }
}
