//! Plain JSON read as items are: `1.5` in the place of `{"N":"1.5"}`.
//!
//! A cursor over plain JSON finds a value's type in its first byte instead of around it; everything
//! that takes attribute values then takes plain ones too. What no attribute value can be, a `null`
//! or a number beyond DynamoDB's, is taken for a NULL: it has no column and stands in the rest.

use super::attribute::Tag;
use super::json::{Cursor, Fallible, bad_record};
use super::number::{MAX_DIGITS, Number};

const ONE_OBJECT: &str = "format=\"json\" takes one object a record; format=\"bytes\" takes any data";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const GZIP: &[u8] = b"\x1F\x8B";

impl<'a> Cursor<'a> {
    /// Runs `take` at the object that `data` is, and makes sure that it is nothing more.
    pub(super) fn over_object(data: &'a [u8], take: impl FnOnce(&mut Self) -> Fallible<()>) -> Fallible<()> {
        let mut cursor = Self::plain(utf8(data)?, 0);
        cursor.space();
        match cursor.byte() {
            Some(b'{') => {}
            Some(b'[') => return bad_record(format!("its data is an array; {ONE_OBJECT}")),
            None => return bad_record(format!("its data is empty; {ONE_OBJECT}")),
            Some(_) => return bad_record(format!("its data is not a JSON object; {ONE_OBJECT}")),
        }
        take(&mut cursor)?;
        cursor.space();
        if cursor.is_at_end() {
            return Ok(());
        }
        bad_record(format!("behind the object in its data, at byte {}, is more; {ONE_OBJECT}", cursor.at))
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

fn utf8(data: &[u8]) -> Fallible<&[u8]> {
    if data.starts_with(GZIP) {
        return bad_record(
            "its data is compressed with gzip; take it with format=\"bytes\" and decompress it",
        );
    }
    if simdutf8::basic::from_utf8(data).is_err() {
        return bad_record("its data is not UTF-8, so it is no JSON; format=\"bytes\" takes any data");
    }
    Ok(data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data))
}
