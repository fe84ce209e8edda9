//! What a page says about itself, read from the head and the tail of its body.
//!
//! The records between are left to the decoder, which goes over them once.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memrchr};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};

/// `{"Records": […], "NextShardIterator": "…"}` without a look at the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The elements of `Records`: behind its `[`, up to its `]`.
    pub records: Range<usize>,
    pub next: Option<String>,
}

impl Envelope {
    /// Reads head and tail when they are as plain as the service writes them, else the whole body.
    ///
    /// The short way counts only when it finds an iterator, so the end of a shard is never read
    /// from half a page. It takes an array of objects that stands last for the records: the
    /// service has no other, and of a body cut short the decoder finds that its array has no end.
    ///
    /// # Errors
    /// `BadPage` when the body is not JSON or has no array `Records`.
    pub fn read(body: &[u8]) -> Result<Self> {
        match read_ends(body) {
            Some(envelope) if envelope.next.is_some() => Ok(envelope),
            _ => read_whole(body),
        }
    }
}

const RECORDS: &[u8] = b"Records";
const NEXT: &[u8] = b"NextShardIterator";

fn read_ends(body: &[u8]) -> Option<Envelope> {
    let mut next = None;
    let start = read_head(body, &mut next)?;
    let end = read_tail(body, start, &mut next)?;
    Some(Envelope { records: start..end, next })
}

/// Goes forward over plain members to the `[` of `Records`; gives the place behind it.
fn read_head(body: &[u8], next: &mut Option<String>) -> Option<usize> {
    let mut at = expect(body, skip_space(body, 0), b'{')?;
    loop {
        let (key, behind) = plain_string(body, skip_space(body, at))?;
        at = skip_space(body, expect(body, skip_space(body, behind), b':')?);
        if key == RECORDS {
            return expect(body, at, b'[');
        }
        let behind = match *body.get(at)? {
            b'"' => {
                let (value, behind) = plain_string(body, at)?;
                keep_iterator(key, value, next)?;
                behind
            }
            _ => at + scalar_length(body.get(at..)?.iter())?,
        };
        at = expect(body, skip_space(body, behind), b',')?;
    }
}

/// Goes back over plain members to the `]` of `Records`; gives its place.
fn read_tail(body: &[u8], start: usize, next: &mut Option<String>) -> Option<usize> {
    let mut tail = Tail { body: body.get(start..)? };
    tail.expect(b'}')?;
    loop {
        tail.skip_space();
        match *tail.body.last()? {
            b']' => {
                tail.expect(b']')?;
                let end = start + tail.body.len();
                tail.skip_space();
                // Records are objects. Anything else before the `]` makes it another array's.
                return matches!(tail.body.last(), None | Some(b'}')).then_some(end);
            }
            b'"' => {
                let value = tail.plain_string()?;
                let key = tail.key()?;
                keep_iterator(key, value, next)?;
            }
            _ => {
                let length = scalar_length(tail.body.iter().rev())?;
                tail.body = tail.body.get(..tail.body.len() - length)?;
                tail.key()?;
            }
        }
        tail.expect(b',')?;
    }
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

    /// The string that ends here. A backslash before the quote that seems to open it would make
    /// that quote part of the string, so any backslash gives up.
    fn plain_string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let open = memrchr(b'"', self.body)?;
        let text = self.body.get(open + 1..)?;
        self.body = self.body.get(..open)?;
        (memchr(b'\\', text).is_none() && self.body.last() != Some(&b'\\')).then_some(text)
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.expect(b':')?;
        self.skip_space();
        let key = self.plain_string()?;
        (key != RECORDS).then_some(key)
    }
}

fn keep_iterator(key: &[u8], value: &[u8], next: &mut Option<String>) -> Option<()> {
    if key == NEXT && !value.is_empty() {
        let text = std::str::from_utf8(value).ok()?.to_owned();
        if next.replace(text).is_some() {
            return None;
        }
    }
    Some(())
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

/// The length of a number, `true`, `false` or `null`.
fn scalar_length<'a>(bytes: impl Iterator<Item = &'a u8>) -> Option<usize> {
    let of_scalar = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
    Some(bytes.take_while(of_scalar).count()).filter(|length| *length > 0)
}

/// The certain way: one pass of a JSON parser over everything.
fn read_whole(body: &[u8]) -> Result<Envelope> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Whole<'a> {
        #[serde(borrow)]
        records: &'a RawValue,
        #[serde(borrow)]
        next_shard_iterator: Option<Cow<'a, str>>,
    }
    let bad = |what: String| Error::new(ErrorKind::BadPage, format!("the page cannot be read: {what}"));
    let whole: Whole<'_> = serde_json::from_slice(body).map_err(|cause| bad(cause.to_string()))?;
    let records = whole.records.get();
    if !records.starts_with('[') {
        return Err(bad("Records is not an array".to_owned()));
    }
    let start = records.as_ptr().addr() - body.as_ptr().addr();
    let next = whole.next_shard_iterator.filter(|next| !next.is_empty()).map(Cow::into_owned);
    Ok(Envelope { records: start + 1..start + records.len() - 1, next })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
