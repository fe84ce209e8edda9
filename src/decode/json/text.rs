//! JSON strings and what is escaped in them.

use super::{Cursor, Fallible, bad_record};
use crate::decode::scan::{is_plain, specials};

/// A JSON string as it stands in the page.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Text<'a> {
    /// With its quotes.
    token: &'a [u8],
    /// Whether there is a backslash in it.
    pub(in super::super) escaped: bool,
}

impl<'a> Text<'a> {
    fn new(token: &'a [u8], escaped: bool) -> Self {
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

impl<'a> Cursor<'a> {
    /// A string where the grammar itself wants one: the name of a member.
    #[inline]
    pub(in super::super) fn name(&mut self) -> Fallible<Text<'a>> {
        if self.byte() != Some(b'"') {
            return self.fault("a name in quotes");
        }
        self.scan_string()
    }

    /// The name that was read at `at`.
    #[cold]
    pub(in super::super) fn name_at(&self, at: usize) -> Fallible<Text<'a>> {
        Self { at, ..self.clone() }.name()
    }

    /// A string where a record must have one.
    #[inline]
    pub(in super::super) fn string(&mut self) -> Fallible<Text<'a>> {
        if self.byte() != Some(b'"') {
            return self.mismatch("a string");
        }
        self.scan_string()
    }

    /// Finds the closing quote. Most strings end within 16 bytes: those stay in registers.
    #[inline(always)]
    pub(super) fn scan_string(&mut self) -> Fallible<Text<'a>> {
        let start = self.at;
        if let Some(block) = self.bytes.get(start + 1..).and_then(|rest| rest.first_chunk::<16>()) {
            let end = start + 1 + specials(block).trailing_zeros() as usize;
            if self.bytes.get(end) == Some(&b'"') && end <= start + 16 {
                self.at = end + 1;
                return Ok(Text::new(self.since(start), false));
            }
        }
        self.scan_long_string(start)
    }

    #[inline(never)]
    fn scan_long_string(&mut self, start: usize) -> Fallible<Text<'a>> {
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.pass_plain() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::new(self.since(start), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.pass_escape()?;
                }
                Some(_) => return self.fault("no raw control character in a string"),
                None => return self.fault("the end of a string"),
            }
        }
    }

    /// Passes what stands for itself in a string; returns the byte that does not.
    #[inline]
    fn pass_plain(&mut self) -> Option<u8> {
        let mut blocks = 0;
        while let Some(block) = self.rest().first_chunk::<16>() {
            let found = specials(block);
            if found != 0 {
                self.at += found.trailing_zeros() as usize;
                return self.byte();
            }
            self.at += 16;
            blocks += 1;
            while blocks > 3 && self.ahead().is_some_and(is_plain) {
                self.at += 64;
            }
        }
        let rest = self.rest();
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.at += plain.unwrap_or(rest.len());
        self.byte()
    }

    #[cold]
    fn pass_escape(&mut self) -> Fallible<()> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if self.bytes.get(self.at + 2..).is_some_and(|rest| hex4(rest).is_some()) => 6,
            _ => return self.fault("an escape sequence"),
        };
        self.at += length;
        Ok(())
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

fn hex4(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}
