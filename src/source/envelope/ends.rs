//! The short way: the members before and behind the array, without a pass over it.
//!
//! It gives up on whatever the service does not write; the certain way reads that.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memrchr};

use super::Around;

type Members<'a> = Vec<(Cow<'a, str>, &'a str)>;

pub(super) fn read<'a>(body: &'a [u8], array: &str) -> Option<Around<'a>> {
    let mut members = Members::new();
    let start = read_head(body, array.as_bytes(), &mut members)?;
    let end = read_tail(body, start, array.as_bytes(), &mut members)?;
    Some(Around { elements: start..end, members })
}

/// Goes forward over the members before the array; gives the place behind its `[`.
fn read_head<'a>(body: &'a [u8], array: &[u8], members: &mut Members<'a>) -> Option<usize> {
    let mut at = expect(body, skip_space(body, 0), b'{')?;
    loop {
        let (key, behind) = plain_string(body, skip_space(body, at))?;
        at = skip_space(body, expect(body, skip_space(body, behind), b':')?);
        if key == array {
            return expect(body, at, b'[');
        }
        let rest = body.get(at..)?;
        let length = match *rest.first()? {
            b'"' => plain_string(body, at)?.1 - at,
            b'{' => object_length(rest)?,
            _ => scalar_length(rest.iter())?,
        };
        members.push(member(key, rest.get(..length)?)?);
        at = expect(body, skip_space(body, at + length), b',')?;
    }
}

/// Goes back over the members behind the array; gives the place of its `]`.
fn read_tail<'a>(body: &'a [u8], start: usize, array: &[u8], members: &mut Members<'a>) -> Option<usize> {
    let mut tail = Tail { body: body.get(start..)? };
    tail.expect(b'}')?;
    loop {
        tail.skip_space();
        let value = match *tail.body.last()? {
            b']' => {
                tail.expect(b']')?;
                let end = start + tail.body.len();
                tail.skip_space();
                // The elements are objects. Anything else before the `]` makes it another array's.
                return matches!(tail.body.last(), None | Some(b'}')).then_some(end);
            }
            b'"' => tail.value(Tail::plain_string)?,
            b'}' => tail.value(Tail::object)?,
            _ => tail.value(Tail::scalar)?,
        };
        let key = tail.key()?;
        if key == array {
            return None;
        }
        members.push(member(key, value)?);
        tail.expect(b',')?;
    }
}

fn member<'a>(key: &'a [u8], value: &'a [u8]) -> Option<(Cow<'a, str>, &'a str)> {
    Some((Cow::Borrowed(std::str::from_utf8(key).ok()?), std::str::from_utf8(value).ok()?))
}

/// What is left of a body that is read from behind.
struct Tail<'a> {
    body: &'a [u8],
}

impl<'a> Tail<'a> {
    fn skip_space(&mut self) {
        while let [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = self.body {
            self.body = rest;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        let (last, rest) = self.body.split_last()?;
        self.body = rest;
        (*last == byte).then_some(())
    }

    /// What `step` goes back over.
    fn value<T>(&mut self, step: impl FnOnce(&mut Self) -> Option<T>) -> Option<&'a [u8]> {
        let before = self.body;
        step(self)?;
        before.get(self.body.len()..)
    }

    /// The string that ends here. A backslash before the quote that seems to open it would make
    /// that quote part of the string, so any backslash gives up.
    fn plain_string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let open = memrchr(b'"', self.body)?;
        let text = self.body.get(open + 1..)?;
        self.body = self.body.get(..open)?;
        (memchr(b'\\', text).is_none() && self.body.last() != Some(&b'\\')).then_some(text)
    }

    /// The string that ends here, whatever is in it.
    ///
    /// Within a string every quote stands behind an odd number of backslashes. The quote that
    /// opens it stands behind none: what comes before a string in JSON is no backslash.
    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        if self.backslashes() % 2 == 1 {
            return None;
        }
        loop {
            let quote = memrchr(b'"', self.body)?;
            self.body = self.body.get(..quote)?;
            match self.backslashes() {
                0 => return Some(()),
                odd if odd % 2 == 1 => {}
                _ => return None,
            }
        }
    }

    fn backslashes(&self) -> usize {
        self.body.iter().rev().take_while(|byte| **byte == b'\\').count()
    }

    /// The object that ends here. Its inside is looked at only for where it begins: whoever uses
    /// the member parses it.
    fn object(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match *self.body.last()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'}' => depth += 1,
                b'{' => depth -= 1,
                b'[' | b']' => return None,
                _ => {}
            }
            self.body = self.body.get(..self.body.len() - 1)?;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn scalar(&mut self) -> Option<()> {
        let length = scalar_length(self.body.iter().rev())?;
        self.body = self.body.get(..self.body.len() - length)?;
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.expect(b':')?;
        self.skip_space();
        self.plain_string()
    }
}

fn skip_space(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

fn expect(body: &[u8], at: usize, byte: u8) -> Option<usize> {
    (*body.get(at)? == byte).then_some(at + 1)
}

fn plain_string(body: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let open = expect(body, at, b'"')?;
    let text = body.get(open..)?;
    let text = text.get(..memchr(b'"', text)?)?;
    memchr(b'\\', text).is_none().then_some((text, open + text.len() + 1))
}

/// The length of the object that `body` begins with.
fn object_length(body: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        match *body.get(at)? {
            b'"' => at += string_length(body.get(at..)?)? - 1,
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'[' | b']' => return None,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The length of the string that `body` begins with, whatever is in it.
fn string_length(body: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        match body.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// The length of a number, `true`, `false` or `null`.
fn scalar_length<'a>(bytes: impl Iterator<Item = &'a u8>) -> Option<usize> {
    let of_scalar = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
    Some(bytes.take_while(of_scalar).count()).filter(|length| *length > 0)
}
