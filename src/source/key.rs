//! A place in a scan: the key of the last item read, as the service writes it.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// `{"id": {"S": "a"}, "at": {"N": "1"}}`, the value of `LastEvaluatedKey`.
pub(super) type ItemKey = BTreeMap<String, KeyValue>;

/// A key attribute's value. Numbers stay text, so that no digit is lost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum KeyValue {
    S(String),
    N(String),
    B(#[serde(deserialize_with = "base64")] Vec<u8>),
}

/// Reads `text`; the error says what is wrong without repeating the key.
pub(super) fn parse(text: &str) -> Result<ItemKey, String> {
    serde_json::from_str(text).map_err(|cause| {
        format!("it is not a key of text, numbers and binary values (column {})", cause.column())
    })
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    base64_simd::STANDARD.decode_to_vec(text).map_err(|_| D::Error::custom("not base64"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_key_is_read() {
        let text = r#"{"a":{"S":"}\"é\u0000"},"b" : {"N":"-1.50E+3"},"c":{"B":"AP8="}}"#;
        let key = parse(text).unwrap();
        assert_eq!(key["a"], KeyValue::S("}\"é\0".into()));
        assert_eq!(key["b"], KeyValue::N("-1.50E+3".into()));
        assert_eq!(key["c"], KeyValue::B(vec![0, 255]));
    }

    #[test]
    fn anything_else_is_refused_without_repeating_it() {
        let texts = [
            "",
            "[]",
            "1",
            r#"{"a":"secret"}"#,
            r#"{"a":{"S":1}}"#,
            r#"{"a":{"BOOL":true}}"#,
            r#"{"a":{"S":"secret","N":"1"}}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"B":"secret!"}}"#,
            r#"{"secret":{"S":"x"}"#,
        ];
        for text in texts {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
