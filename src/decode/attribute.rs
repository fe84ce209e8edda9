//! One DynamoDB attribute value: `{"S":"…"}` and its nine siblings.

mod unique;
mod write;

pub(super) use self::unique::duplicate;

use self::unique::Unique;
use super::json::{Cursor, Fallible, Text, bad_record};
use super::number::Number;
use super::plain::plain_word;

/// The type of an attribute value, as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Text,
    Number,
    Binary,
    Bool,
    Null,
    Map,
    List,
    TextSet,
    NumberSet,
    BinarySet,
}

impl Tag {
    fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"S" => Self::Text,
            b"N" => Self::Number,
            b"B" => Self::Binary,
            b"BOOL" => Self::Bool,
            b"NULL" => Self::Null,
            b"M" => Self::Map,
            b"L" => Self::List,
            b"SS" => Self::TextSet,
            b"NS" => Self::NumberSet,
            b"BS" => Self::BinarySet,
            _ => return None,
        })
    }

    /// What the elements of a set are.
    pub(super) fn element(self) -> Option<Self> {
        match self {
            Self::TextSet => Some(Self::Text),
            Self::NumberSet => Some(Self::Number),
            Self::BinarySet => Some(Self::Binary),
            _ => None,
        }
    }
}

impl<'a> Cursor<'a> {
    /// Enters an attribute value, up to what stands behind its type.
    #[inline]
    pub(super) fn enter_attribute(&mut self) -> Fallible<Tag> {
        if self.is_plain {
            return self.plain_tag();
        }
        // The form the service writes, without any space, in one comparison.
        if let Some([b'{', b'"', letter, b'"', b':']) = self.rest().first_chunk() {
            let tag = match letter {
                b'S' => Tag::Text,
                b'N' => Tag::Number,
                b'B' => Tag::Binary,
                b'M' => Tag::Map,
                b'L' => Tag::List,
                _ => return self.enter_spaced_attribute(),
            };
            self.at += 5;
            self.space();
            return Ok(self.unless_null(tag));
        }
        if let Some([b'{', b'"', letter, b'S', b'"', b':']) = self.rest().first_chunk() {
            let tag = match letter {
                b'S' => Tag::TextSet,
                b'N' => Tag::NumberSet,
                b'B' => Tag::BinarySet,
                _ => return self.enter_spaced_attribute(),
            };
            self.at += 6;
            self.space();
            return Ok(self.unless_null(tag));
        }
        self.enter_spaced_attribute()
    }

    /// `{"S":null}`, which the service does not write but others do, is no value of its type.
    #[inline]
    fn unless_null(&self, tag: Tag) -> Tag {
        if self.byte() == Some(b'n') { Tag::Null } else { tag }
    }

    fn enter_spaced_attribute(&mut self) -> Fallible<Tag> {
        if !self.enter_object()? {
            return bad_record("an attribute value has no type");
        }
        let name = self.name()?;
        let Some(tag) = Tag::parse(name.raw()) else {
            return bad_record(format!("{:?} is not an attribute type", name.lossy()));
        };
        self.colon()?;
        Ok(self.unless_null(tag))
    }

    #[inline]
    pub(super) fn leave_attribute(&mut self) -> Fallible<()> {
        if !self.is_plain && self.more(b'}')? {
            return bad_record("an attribute value has more than one type");
        }
        Ok(())
    }

    /// The digits of an `N`. A bare JSON number is taken too: some stand-ins write it, and no digit is lost.
    #[inline]
    pub(super) fn digits(&mut self) -> Fallible<&'a [u8]> {
        match self.byte() {
            Some(b'"') => {
                let text = self.string()?;
                if text.escaped {
                    return bad_record(format!("{:?} is not a DynamoDB number", text.lossy()));
                }
                Ok(text.raw())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.mismatch("the text of a number"),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Fallible<bool> {
        if self.take(b"true") {
            return Ok(true);
        }
        if self.take(b"false") {
            return Ok(false);
        }
        self.mismatch("true or false")
    }

    /// Passes what has the type `Null`.
    pub(super) fn null(&mut self) -> Fallible<()> {
        if self.is_plain {
            return self.skip_value();
        }
        if self.take(b"null") { Ok(()) } else { self.boolean().map(drop) }
    }

    /// Passes an attribute value that is not looked at.
    #[inline]
    pub(super) fn pass_attribute(&mut self) -> Fallible<()> {
        if self.is_plain { self.skip_value() } else { self.pass_object() }
    }

    /// What sentences call the type of the attribute value from `start` up to the cursor; `None` for NULL.
    pub(super) fn type_word(&self, start: usize) -> Option<&'a str> {
        let value = self.since(start);
        if self.is_plain {
            return plain_word(value);
        }
        let tag = value.split(|byte| *byte == b'"').nth(1).unwrap_or_default();
        std::str::from_utf8(tag).ok().filter(|tag| *tag != "NULL")
    }

    /// Appends the bytes of a `B`.
    pub(super) fn binary(&mut self, out: &mut Vec<u8>) -> Fallible<()> {
        self.base64(out, not_base64)
    }

    /// Appends the bytes that the string at the cursor says in base64.
    pub(super) fn base64(
        &mut self,
        out: &mut Vec<u8>,
        otherwise: impl FnOnce(Text<'a>) -> Fallible<()>,
    ) -> Fallible<()> {
        // Where the first quote ends nothing but base64, it ends the string: there is no escape before it.
        if let Some((b'"', rest)) = self.rest().split_first()
            && let Some(length) = memchr::memchr(b'"', rest)
        {
            // What decodes would make room for no more than this value.
            out.reserve(length);
            if base64_simd::STANDARD.decode_append(&rest[..length], out).is_ok() {
                self.at += length + 2;
                return Ok(());
            }
        }
        let text = self.string()?;
        let mut scratch = Vec::new();
        match base64_simd::STANDARD.decode_append(text.plain(&mut scratch)?, out) {
            Ok(()) => Ok(()),
            Err(_) => otherwise(text),
        }
    }

    /// Runs `each` on every element of an array.
    #[inline]
    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Fallible<()>) -> Fallible<()> {
        let mut more = self.enter_array()?;
        while more {
            each(self)?;
            more = self.more(b']')?;
        }
        Ok(())
    }

    /// Runs `each` on every member of an object, with its name, standing at its value.
    #[inline]
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Fallible<()>,
    ) -> Fallible<()> {
        let mut more = self.enter_object()?;
        while more {
            let name = self.name()?;
            self.colon()?;
            each(self, name)?;
            more = self.more(b'}')?;
        }
        Ok(())
    }

    /// Passes an attribute value and makes sure that it is one, to its last leaf.
    pub(super) fn check_attribute(&mut self) -> Fallible<Tag> {
        let tag = self.enter_attribute()?;
        self.check_value(tag)?;
        self.leave_attribute()?;
        Ok(tag)
    }

    fn check_value(&mut self, tag: Tag) -> Fallible<()> {
        match tag {
            Tag::Text => self.string().and_then(check_text),
            Tag::Number => Number::parse(self.digits()?).map(drop),
            Tag::Binary => self.string().and_then(check_base64),
            Tag::Bool => self.boolean().map(drop),
            Tag::Null => self.null(),
            Tag::Map => {
                self.descend()?;
                let mut names = Unique::default();
                let mut more = self.enter_object()?;
                while more {
                    let start = self.at;
                    let name = self.name()?;
                    names.add(start, name, self)?;
                    check_text(name)?;
                    self.colon()?;
                    self.check_attribute()?;
                    more = self.more(b'}')?;
                }
                self.ascend();
                Ok(())
            }
            Tag::List => {
                self.descend()?;
                self.elements(|cursor| cursor.check_attribute().map(drop))?;
                self.ascend();
                Ok(())
            }
            Tag::TextSet => self.elements(|cursor| cursor.check_value(Tag::Text)),
            Tag::NumberSet => self.elements(|cursor| cursor.check_value(Tag::Number)),
            Tag::BinarySet => self.elements(|cursor| cursor.check_value(Tag::Binary)),
        }
    }
}

fn check_text(text: Text<'_>) -> Fallible<()> {
    if text.escaped {
        text.append_to(&mut Vec::new())?;
    }
    Ok(())
}

fn check_base64(text: Text<'_>) -> Fallible<()> {
    let mut scratch = Vec::new();
    match base64_simd::STANDARD.check(text.plain(&mut scratch)?) {
        Ok(()) => Ok(()),
        Err(_) => not_base64(text),
    }
}

#[cold]
fn not_base64<T>(text: Text<'_>) -> Fallible<T> {
    let start: String = text.lossy().chars().take(40).collect();
    bad_record(format!("the binary value {start:?} is not base64"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::json::Reason;
    use super::*;

    fn plain(json: &str) -> Result<String, String> {
        let mut cursor = Cursor::new(json.as_bytes(), 0);
        let mut out = Vec::new();
        match cursor.write_plain(&mut out) {
            Ok(()) => Ok(String::from_utf8(out).unwrap()),
            Err(fault) => match *fault {
                Reason::Record(reason) => Err(reason),
                Reason::Page { expected, .. } => Err(format!("page: {expected}")),
            },
        }
    }

    #[test]
    fn every_type_as_plain_json() {
        let nested = r#"{"M":{"s":{"S":"a\"b"},"n":{"N":"12345678901234567890123456789012345678"},"d":{"N":"1.50"},
            "b":{"B":"AAEC"},"t":{"BOOL":true},"x":{"NULL":true},"l":{"L":[{"N":"1"},{"S":"x"},{"L":[]}]},"m":{"M":{}},
            "ss":{"SS":["a","b"]},"ns":{"NS":["1","2.0", 3]},"bs":{"BS":["AA=="]}}}"#;
        let expected = concat!(
            r#"{"s":"a\"b","n":12345678901234567890123456789012345678,"d":1.5,"b":"AAEC","t":true,"x":null,"#,
            r#""l":[1,"x",[]],"m":{},"ss":["a","b"],"ns":[1,2,3],"bs":["AA=="]}"#
        );
        assert_eq!(plain(nested).unwrap(), expected);
        assert_eq!(plain("{ \"S\" : \"x\" }").unwrap(), "\"x\"");
    }

    #[test]
    fn what_is_no_attribute_value_is_a_bad_record() {
        let bad = [
            r#"{"X":1}"#,
            "{}",
            "5",
            "null",
            r#"{"S":5}"#,
            r#"{"S":"x","N":"1"}"#,
            r#"{"N":"NaN"}"#,
            r#"{"N":true}"#,
            r#"{"B":"not base64"}"#,
            r#"{"BOOL":"true"}"#,
            r#"{"L":{}}"#,
            r#"{"M":[]}"#,
            r#"{"SS":[1]}"#,
            r#"{"S":"\ud800"}"#,
            r#"{"M":{"a":{"S":"x"},"a":{"S":"y"}}}"#,
            r#"{"s":"x"}"#,
            r#"{"M":{"a":5}}"#,
        ];
        for json in bad {
            let reason = plain(json).unwrap_err();
            assert!(!reason.starts_with("page"), "{json}: {reason}");
            assert!(
                Cursor::new(json.as_bytes(), 0).check_attribute().is_err() || json.contains("\"y\""),
                "{json}"
            );
        }
        for json in [r#"{"S":"x""#, r#"{"S" "x"}"#, r#"{"S":"x"]"#, r#"{"L":[{"S":"x"},]}"#, "", "{"] {
            assert!(plain(json).unwrap_err().starts_with("page"), "{json}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_found_among_many_and_in_any_spelling() {
        let map = |names: &[String]| {
            let members: Vec<String> =
                names.iter().map(|name| format!("\"{name}\":{{\"NULL\":true}}")).collect();
            format!("{{\"M\":{{{}}}}}", members.join(","))
        };
        let mut names: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
        names.push("\\u0061".to_owned());
        assert!(plain(&map(&names)).is_ok());
        for again in ["n3", "n39", "a", "\\u006e3"] {
            let names = [&names[..], &[again.to_owned()]].concat();
            assert!(plain(&map(&names)).unwrap_err().contains("twice"), "{again}");
        }
        let few = ["x".to_owned(), "\\u0078".to_owned()];
        assert!(plain(&map(&few)).unwrap_err().contains("twice"));
    }

    #[test]
    fn nesting_is_limited_without_recursion_to_the_end() {
        let deep =
            |levels: usize| format!("{}{{\"S\":\"x\"}}{}", "{\"L\":[".repeat(levels), "]}".repeat(levels));
        assert!(plain(&deep(32)).is_ok());
        assert!(plain(&deep(33)).unwrap_err().contains("32 levels"));
        assert!(plain(&deep(10_000)).unwrap_err().contains("32 levels"));
        assert!(Cursor::new(deep(10_000).as_bytes(), 0).check_attribute().is_err());
    }

    #[test]
    fn escaped_slashes_in_base64_are_base64() {
        let mut out = Vec::new();
        Cursor::new(br#""\/w==""#, 0).binary(&mut out).unwrap();
        assert_eq!(out, [0xff]);
        assert_eq!(plain(r#"{"B":"\/w=="}"#).unwrap(), r#""\/w==""#);
    }
}
