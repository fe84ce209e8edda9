//! A cursor over the JSON of a page: one pass, no tree, strict about the grammar.
//!
//! The text was checked to be UTF-8 before a cursor is made, and the cursor cuts it only at
//! quotes and brackets, so every slice it hands out is UTF-8 too.

mod brackets;
mod quick;
mod text;

pub(super) use self::quick::{BLOCK, Digits, Piece};
pub(super) use self::text::Text;

use self::brackets::Brackets;
use super::scan::nested_len;

/// Why decoding stopped.
#[derive(Debug)]
pub(super) enum Reason {
    /// The bytes are not JSON: the page was damaged on its way.
    Page { at: usize, expected: &'static str },
    /// The JSON is sound, but it is not a record we can keep.
    Record(String),
}

/// Boxed, so that the results on the way of every value stay one word wide.
pub(super) type Fault = Box<Reason>;
pub(super) type Fallible<T> = Result<T, Fault>;

/// Says which attribute a bad record is bad in.
#[cold]
pub(super) fn within(reason: Reason, name: Text<'_>) -> Fault {
    Box::new(match reason {
        Reason::Record(reason) => Reason::Record(format!("attribute {:?}: {reason}", name.lossy())),
        damage => damage,
    })
}

#[cold]
pub(super) fn bad_record<T>(reason: impl Into<String>) -> Fallible<T> {
    Err(Box::new(Reason::Record(reason.into())))
}

/// Deepest nesting of maps and lists that DynamoDB allows (service quotas: "32 levels").
pub(super) const MAX_DEPTH: u32 = 32;

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    /// Nesting of attribute values around the cursor.
    depth: u32,
    /// Whether values stand by themselves, without a type around them.
    pub(super) is_plain: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, depth: 0, is_plain: false }
    }

    /// The bytes from `start` up to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn between(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[cold]
    pub(super) fn fault<T>(&self, expected: &'static str) -> Fallible<T> {
        Err(Box::new(Reason::Page { at: self.at, expected }))
    }

    #[inline]
    pub(super) fn space(&mut self) {
        if self.byte().is_some_and(|byte| byte <= b' ') {
            self.space_run();
        }
    }

    #[cold]
    fn space_run(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    /// Passes `expected` when it stands right here, byte for byte.
    #[inline]
    pub(super) fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    #[inline]
    fn punctuation(&mut self, byte: u8, expected: &'static str) -> Fallible<()> {
        self.space();
        if self.byte() != Some(byte) {
            return self.fault(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// Behind the name of a member: its colon, and space up to the value.
    #[inline]
    pub(super) fn colon(&mut self) -> Fallible<()> {
        self.punctuation(b':', "a colon")?;
        self.space();
        Ok(())
    }

    /// Enters an object; false when it is empty (and then it is passed).
    #[inline]
    pub(super) fn enter_object(&mut self) -> Fallible<bool> {
        if self.byte() != Some(b'{') {
            return self.mismatch("an object");
        }
        self.enter(b'}')
    }

    /// Enters an array; false when it is empty (and then it is passed).
    #[inline]
    pub(super) fn enter_array(&mut self) -> Fallible<bool> {
        if self.byte() != Some(b'[') {
            return self.mismatch("an array");
        }
        self.enter(b']')
    }

    #[inline]
    fn enter(&mut self, close: u8) -> Fallible<bool> {
        self.at += 1;
        self.space();
        let empty = self.byte() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Behind a member or element: true when another follows, false when `close` was passed.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Fallible<bool> {
        self.space();
        match self.byte() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fault("a comma or the closing bracket"),
        }
    }

    /// One more level of attribute values.
    pub(super) fn descend(&mut self) -> Fallible<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return bad_record(format!("maps and lists are nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(())
    }

    pub(super) fn ascend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Goes back to a value that begins at `at`, outside of any other value.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
        self.depth = 0;
    }

    /// Sound JSON of another type than `expected` is the record's fault; anything else the page's.
    #[cold]
    pub(super) fn mismatch<T>(&mut self, expected: &'static str) -> Fallible<T> {
        let start = self.at;
        self.skip_value()?;
        let found = String::from_utf8_lossy(self.since(start));
        let found: String = found.chars().take(40).collect();
        bad_record(format!("{expected} was expected but {found} was found"))
    }

    /// A JSON number, as its text.
    pub(super) fn number(&mut self) -> Fallible<&'a [u8]> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digit_run()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digit_run()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digit_run()?;
        }
        Ok(self.since(start))
    }

    fn digit_run(&mut self) -> Fallible<()> {
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        if length == 0 { self.fault("a JSON value") } else { Ok(()) }
    }

    /// Passes one value of any type and depth, and checks its grammar. Does not recurse.
    pub(super) fn skip_value(&mut self) -> Fallible<()> {
        if self.byte() == Some(b'"') {
            return self.scan_string().map(drop);
        }
        let mut open = Brackets::default();
        loop {
            let entered = match self.byte() {
                Some(b'{') => self.enter(b'}')?.then_some(true),
                Some(b'[') => self.enter(b']')?.then_some(false),
                _ => {
                    self.skip_scalar()?;
                    None
                }
            };
            match entered {
                Some(object) => open.push(object),
                None => {
                    while let Some(object) = open.last() {
                        if self.more(if object { b'}' } else { b']' })? {
                            break;
                        }
                        open.pop();
                    }
                }
            }
            match open.last() {
                None => return Ok(()),
                Some(true) => {
                    self.name()?;
                    self.colon()?;
                }
                Some(false) => {}
            }
        }
    }

    /// Passes an object that nobody will read: only its brackets and quotes have to be in order.
    pub(super) fn pass_object(&mut self) -> Fallible<()> {
        if self.pass_quick() {
            return Ok(());
        }
        if self.byte() != Some(b'{') {
            return self.mismatch("an object");
        }
        match nested_len(self.rest()) {
            Some(length) => {
                self.at += length;
                Ok(())
            }
            None => self.fault("the end of an object"),
        }
    }

    fn skip_scalar(&mut self) -> Fallible<()> {
        match self.byte() {
            Some(b'"') => self.scan_string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ if self.take(b"true") || self.take(b"false") || self.take(b"null") => Ok(()),
            _ => self.fault("a JSON value"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skips(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes(), 0);
        cursor.skip_value().is_ok() && cursor.is_at_end()
    }

    #[test]
    fn skipping_accepts_exactly_json() {
        let cases = [
            "{}",
            "[]",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            "1.5e+3",
            "1e",
            ".5",
            "\"a\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12G4\"",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{,}",
            "[1,]",
            "[1 2]",
            "{\"a\" 1}",
            "{a:1}",
            "true",
            "tru",
            "nul",
            "null",
            "[[[]],{\"a\":[{}]}]",
            "[}",
            "{]",
            "\"\u{1}\"",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
            "[\"\",\"\"]",
            "",
            "+1",
            "1e5",
            "Infinity",
            "NaN",
            "{\"a\":}",
            "{\"a\":1 , \"b\" : [ 1 , 2 ] }",
            "[1,2,3]",
        ];
        for text in cases {
            let oracle = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            assert_eq!(skips(text), oracle, "{text}");
        }
    }

    #[test]
    fn a_hundred_thousand_levels_do_not_overflow_the_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(skips(&deep));
        assert!(!skips(&deep[..150_000]));
    }

    #[test]
    fn brackets_close_as_they_were_opened_at_any_depth() {
        let (mut opening, mut closing) = (String::new(), String::new());
        for depth in 0..300usize {
            let object = (depth * depth / 7) % 3 == 0;
            opening += if object { "{\"a\":" } else { "[" };
            closing.insert(0, if object { '}' } else { ']' });
            assert!(skips(&format!("{opening}1{closing}")), "{depth}");
            let wrong = closing.replacen(if object { '}' } else { ']' }, if object { "]" } else { "}" }, 1);
            assert!(!skips(&format!("{opening}1{wrong}")), "{depth}");
            assert!(skips(&format!("[{opening}1{closing},{opening}1{closing}]")), "{depth}");
        }
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>(), ascii in any::<bool>()) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = text.encode_utf16().fold(String::from("\""), |out, unit| out + &format!("\\u{unit:04X}")) + "\"";
            }
            let mut cursor = Cursor::new(json.as_bytes(), 0);
            let mut out = Vec::new();
            cursor.string().unwrap().append_to(&mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
            prop_assert!(cursor.is_at_end());
        }

        #[test]
        fn skipping_agrees_with_a_parser(text in "[\\[\\]{}\",:\\\\a1 .e-]{0,12}") {
            let oracle = serde_json::from_str::<&serde_json::value::RawValue>(text.trim_start()).is_ok();
            let mut cursor = Cursor::new(text.as_bytes(), 0);
            cursor.space();
            let ours = cursor.skip_value().is_ok() && { cursor.space(); cursor.is_at_end() };
            prop_assert_eq!(ours, oracle, "{}", text);
        }
    }
}
