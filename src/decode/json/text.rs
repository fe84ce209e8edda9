//! JSON strings and what is escaped in them.

use super::{Fallible, bad_record};

/// A JSON string as it stands in the page.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Text<'a> {
    /// With its quotes.
    token: &'a [u8],
    /// Whether there is a backslash in it.
    pub(in super::super) escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(token: &'a [u8], escaped: bool) -> Self {
        Self { token, escaped }
    }

    /// With its quotes, escapes as they came: a JSON string again.
    pub(in super::super) fn token(self) -> &'a [u8] {
        self.token
    }

    /// Without quotes; the text itself exactly when nothing is escaped.
    pub(in super::super) fn raw(self) -> &'a [u8] {
        self.token.get(1..self.token.len() - 1).unwrap_or_default()
    }

    /// Appends the text itself.
    pub(in super::super) fn append_to(self, out: &mut Vec<u8>) -> Fallible<()> {
        if self.escaped {
            return unescape(self.raw(), out);
        }
        out.extend_from_slice(self.raw());
        Ok(())
    }

    /// The text itself, in `scratch` when it has to be unescaped.
    pub(in super::super) fn plain<'s>(self, scratch: &'s mut Vec<u8>) -> Fallible<&'s [u8]>
    where
        'a: 's,
    {
        if !self.escaped {
            return Ok(self.raw());
        }
        scratch.clear();
        unescape(self.raw(), scratch)?;
        Ok(scratch)
    }

    /// For sentences and names; the page is UTF-8, so nothing is replaced unless an escape is damaged.
    pub(in super::super) fn lossy(self) -> String {
        let mut scratch = Vec::new();
        match self.plain(&mut scratch) {
            Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Err(_) => String::from_utf8_lossy(self.raw()).into_owned(),
        }
    }
}

/// The cursor has checked that every backslash starts one of JSON's escapes.
#[cold]
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Fallible<()> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let letter = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match letter {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let (scalar, used) = code_point(rest)?;
                out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(used..).unwrap_or_default();
            }
            itself => out.push(itself),
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character behind `\u`, and how many bytes it took: 4, or 10 for a surrogate pair.
fn code_point(rest: &[u8]) -> Fallible<(char, usize)> {
    let high = hex4(rest).unwrap_or(0xD800);
    if let Some(scalar) = char::from_u32(high) {
        return Ok((scalar, 4));
    }
    let low = rest.get(4..).filter(|tail| tail.starts_with(b"\\u")).and_then(|tail| hex4(&tail[2..]));
    match (high, low) {
        (0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
            let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            Ok((char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 10))
        }
        _ => bad_record("a string has half of a surrogate pair, which is not a character"),
    }
}

pub(super) fn hex4(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}
