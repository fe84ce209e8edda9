//! A hash of an image that is the same for the same values, however they are written.
//!
//! The order of members and of the elements of sets does not count, nor does the spelling of numbers, of
//! strings or of binaries: the new image of one change and the old image of the next compare equal. The
//! hash is stored, so what it is taken of never changes: each value is a letter for its type, and for
//!
//! * texts, binaries, numbers (in DynamoDB's own form) and names: a length of four bytes and the bytes;
//! * `BOOL`: `0` or `1`; `NULL`: nothing;
//! * lists: a count of four bytes and the values;
//! * sets and maps: a count and the elements, or names with values, in the order of these bytes.
//!
//! Numbers are little-endian; the hash is MD5, which nobody gains anything by forging here.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray};
use arrow_buffer::Buffer;
use md5::{Digest, Md5};

use super::attribute::Tag;
use super::column::{Validity, disagree};
use super::envelope::Part;
use super::json::{Cursor, Fallible, Reason, Text};
use super::number::append_canonical;
use crate::error::Result;

pub(super) const HASH_BYTES: usize = 16;

pub(super) type Hash = [u8; HASH_BYTES];

/// The hashes of the images of a record, as far as it has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ImageHashes {
    new: Option<Hash>,
    old: Option<Hash>,
}

impl ImageHashes {
    /// Hashes the part at the cursor, which stays where it is; keys have no hash of their own.
    pub(super) fn take(&mut self, part: Part, cursor: &Cursor<'_>) -> Fallible<()> {
        let slot = match part {
            Part::Keys => return Ok(()),
            Part::NewImage => &mut self.new,
            Part::OldImage => &mut self.old,
        };
        *slot = Some(of_image(cursor.clone())?);
        Ok(())
    }

    pub(super) fn both(&self) -> [Option<Hash>; 2] {
        [self.new, self.old]
    }
}

/// The hash of an item, or of its keys, given as DynamoDB JSON.
///
/// # Errors
/// What is wrong with it, in words.
pub fn item_hash(text: &str) -> Result<[u8; HASH_BYTES], String> {
    let mut cursor = Cursor::new(text.as_bytes(), 0);
    cursor.space();
    of_image(cursor).map_err(|fault| match *fault {
        Reason::Record(reason) => reason,
        Reason::Page { at, expected } => format!("{expected} was expected at byte {at}"),
    })
}

fn of_image(mut cursor: Cursor<'_>) -> Fallible<Hash> {
    let mut bytes = Vec::new();
    append_map(&mut cursor, &mut bytes)?;
    Ok(Md5::digest(&bytes).into())
}

fn append_attribute(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    let tag = cursor.enter_attribute()?;
    append_value(tag, cursor, out)?;
    cursor.leave_attribute()
}

fn append_value(tag: Tag, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    out.push(letter(tag));
    match tag {
        Tag::Text => append_text(cursor.string()?, out),
        Tag::Number => with_length(out, |out| append_canonical(cursor.digits()?, out)),
        Tag::Binary => with_length(out, |out| cursor.binary(out)),
        Tag::Bool => {
            out.push(if cursor.boolean()? { b'1' } else { b'0' });
            Ok(())
        }
        Tag::Null => cursor.null(),
        Tag::Map => {
            cursor.descend()?;
            append_map(cursor, out)?;
            cursor.ascend();
            Ok(())
        }
        Tag::List => {
            cursor.descend()?;
            let mut values = Vec::new();
            let mut count = 0;
            cursor.elements(|cursor| {
                count += 1;
                append_attribute(cursor, &mut values)
            })?;
            cursor.ascend();
            append_count(count, out);
            out.append(&mut values);
            Ok(())
        }
        Tag::TextSet => append_set(Tag::Text, cursor, out),
        Tag::NumberSet => append_set(Tag::Number, cursor, out),
        Tag::BinarySet => append_set(Tag::Binary, cursor, out),
    }
}

fn letter(tag: Tag) -> u8 {
    match tag {
        Tag::Text => b's',
        Tag::Number => b'n',
        Tag::Binary => b'b',
        Tag::Bool => b'?',
        Tag::Null => b'0',
        Tag::Map => b'm',
        Tag::List => b'l',
        Tag::TextSet => b'S',
        Tag::NumberSet => b'N',
        Tag::BinarySet => b'B',
    }
}

fn append_map(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    let mut members: Vec<Vec<u8>> = Vec::new();
    cursor.members(|cursor, name| {
        let mut member = Vec::new();
        append_text(name, &mut member)?;
        append_attribute(cursor, &mut member)?;
        members.push(member);
        Ok(())
    })?;
    append_sorted(members, out);
    Ok(())
}

fn append_set(element: Tag, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    let mut elements: Vec<Vec<u8>> = Vec::new();
    cursor.elements(|cursor| {
        let mut bytes = Vec::new();
        append_value(element, cursor, &mut bytes)?;
        elements.push(bytes);
        Ok(())
    })?;
    append_sorted(elements, out);
    Ok(())
}

fn append_sorted(mut parts: Vec<Vec<u8>>, out: &mut Vec<u8>) {
    parts.sort_unstable();
    append_count(parts.len(), out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn append_text(text: Text<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    with_length(out, |out| text.append_to(out))
}

fn with_length(out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>) -> Fallible<()>) -> Fallible<()> {
    let at = out.len();
    append_count(0, out);
    let start = out.len();
    append(out)?;
    let length = count_bytes(out.len() - start);
    out[at..start].copy_from_slice(&length);
    Ok(())
}

fn append_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&count_bytes(count));
}

/// Records are far below 4 GiB.
fn count_bytes(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

#[derive(Debug, Default)]
pub(super) struct HashColumn {
    values: Vec<u8>,
    valid: Validity,
}

impl HashColumn {
    pub(super) fn push(&mut self, hash: Option<Hash>) {
        self.values.extend_from_slice(&hash.unwrap_or_default());
        match hash {
            Some(_) => self.valid.push_valid(),
            None => self.valid.pad(self.valid.len() + 1),
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows * HASH_BYTES);
        self.valid.truncate(rows);
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.len() + self.valid.bytes()
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        let array = FixedSizeBinaryArray::try_new(HASH_BYTES as i32, values, self.valid.finish());
        Ok(Arc::new(array.map_err(disagree)?))
    }
}
