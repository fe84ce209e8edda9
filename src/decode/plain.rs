//! Plain JSON read as items are: `1.5` in the place of `{"N":"1.5"}`.
//!
//! A cursor over plain JSON finds a value's type in its first byte instead of around it; everything
//! that takes attribute values then takes plain ones too. What no attribute value can be, a `null`
//! or a number beyond DynamoDB's, is taken for a NULL: it has no column and stands in the rest.

use super::attribute::Tag;
use super::json::{Cursor, Fallible, bad_record};
use super::number::{MAX_DIGITS, Number};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const GZIP: &[u8] = b"\x1F\x8B";

impl<'a> Cursor<'a> {
    /// Passes white space up to the object that `data` is; `hint` says what to do when it is something else.
    pub(super) fn enter_data(data: &'a [u8], is_plain: bool, hint: &str) -> Fallible<Self> {
        if data.starts_with(GZIP) {
            return bad_record(format!("its data is compressed with gzip; {hint}"));
        }
        if simdutf8::basic::from_utf8(data).is_err() {
            return bad_record(format!("its data is not UTF-8, so it is no JSON; {hint}"));
        }
        let data = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data);
        let mut cursor = Self::new(data, 0);
        cursor.is_plain = is_plain;
        cursor.space();
        match cursor.byte() {
            Some(b'{') => Ok(cursor),
            Some(b'[') => bad_record(format!("its data is an array; {hint}")),
            Some(_) => bad_record(format!("its data is not a JSON object; {hint}")),
            None => bad_record(format!("its data is empty; {hint}")),
        }
    }

    /// Makes sure that nothing stands behind the object.
    pub(super) fn leave_data(&mut self, hint: &str) -> Fallible<()> {
        self.space();
        if self.is_at_end() {
            return Ok(());
        }
        bad_record(format!("behind the object in its data, at byte {}, is more; {hint}", self.at))
    }

    /// The type of the value at the cursor, which stays where it is.
    pub(super) fn plain_tag(&mut self) -> Fallible<Tag> {
        Ok(match self.byte() {
            Some(b'"') => Tag::Text,
            Some(b'{') => Tag::Map,
            Some(b'[') => Tag::List,
            Some(b't' | b'f') => Tag::Bool,
            Some(b'n') => Tag::Null,
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                let fits = fits(self.number()?);
                self.at = start;
                if fits { Tag::Number } else { Tag::Null }
            }
            _ => return self.fault("a JSON value"),
        })
    }
}

fn fits(number: &[u8]) -> bool {
    let is_short = number.len() <= MAX_DIGITS as usize;
    is_short && !number.iter().any(|byte| matches!(byte, b'e' | b'E')) || Number::parse(number).is_ok()
}

/// What a value of plain JSON is, for a sentence; `None` for `null`.
pub(super) fn plain_word(value: &[u8]) -> Option<&'static str> {
    Some(match value.first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "boolean",
        Some(b'n') | None => return None,
        Some(_) => "number",
    })
}
