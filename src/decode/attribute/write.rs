//! Attribute values written as plain JSON.

use super::unique::Unique;
use super::{Tag, check_base64, check_text};
use crate::decode::json::{Cursor, Fallible, Piece};
use crate::decode::number::append_canonical;
use crate::decode::short::is_short_canonical;

impl Cursor<'_> {
    /// Appends an attribute value as plain JSON: numbers with all their digits, binary as base64, sets as arrays.
    pub(in super::super) fn write_plain(&mut self, out: &mut Vec<u8>) -> Fallible<()> {
        if !self.is_plain && self.write_quick(out) {
            return Ok(());
        }
        let tag = self.enter_attribute()?;
        self.write_plain_value(tag, out)?;
        self.leave_attribute()
    }

    /// Appends a value in the form the service writes; otherwise leaves the cursor where it is.
    #[inline(always)]
    fn write_quick(&mut self, out: &mut Vec<u8>) -> bool {
        let start = self.at;
        match self.ahead() {
            Some(b"{\"S\"") if self.quick_text().is_some() => {
                // With its quotes.
                let Piece { bytes, length } = self.piece(start + 5);
                Piece { bytes, length: length - 1 }.append_to(out);
            }
            Some(b"{\"N\"") => {
                let Some(digits) = self.quick_digits() else { return false };
                if !is_short_canonical(digits) {
                    self.at = start;
                    return false;
                }
                digits.append_to(out);
            }
            Some(b"{\"BO") => {
                let Some(value) = self.quick_bool() else { return false };
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            _ => return false,
        }
        true
    }

    pub(in super::super) fn write_plain_value(&mut self, tag: Tag, out: &mut Vec<u8>) -> Fallible<()> {
        match tag {
            Tag::Text => {
                let text = self.string()?;
                check_text(text)?;
                out.extend_from_slice(text.token());
            }
            Tag::Number if self.is_plain => out.extend_from_slice(self.number()?),
            Tag::Number => append_canonical(self.digits()?, out)?,
            Tag::Binary => {
                let text = self.string()?;
                check_base64(text)?;
                out.extend_from_slice(text.token());
            }
            Tag::Bool => out.extend_from_slice(if self.boolean()? { b"true" } else { b"false" }),
            Tag::Null => {
                let start = self.at;
                self.null()?;
                out.extend_from_slice(if self.is_plain { self.since(start) } else { b"null" });
            }
            Tag::Map => self.write_plain_map(out)?,
            Tag::List => {
                self.descend()?;
                self.write_plain_array(out, Self::write_plain)?;
                self.ascend();
            }
            Tag::TextSet => self.write_plain_array(out, |c, out| c.write_plain_value(Tag::Text, out))?,
            Tag::NumberSet => self.write_plain_array(out, |c, out| c.write_plain_value(Tag::Number, out))?,
            Tag::BinarySet => self.write_plain_array(out, |c, out| c.write_plain_value(Tag::Binary, out))?,
        }
        Ok(())
    }

    fn write_plain_map(&mut self, out: &mut Vec<u8>) -> Fallible<()> {
        self.descend()?;
        let mut separator = b'{';
        let mut names = Unique::default();
        let mut more = self.enter_object()?;
        while more {
            let start = self.at;
            let name = self.name()?;
            names.add(start, name, self)?;
            out.push(separator);
            separator = b',';
            self.piece(start).append_to(out);
            self.colon()?;
            out.push(b':');
            self.write_plain(out)?;
            more = self.more(b'}')?;
        }
        if separator == b'{' {
            out.push(separator);
        }
        out.push(b'}');
        self.ascend();
        Ok(())
    }

    fn write_plain_array(
        &mut self,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut Self, &mut Vec<u8>) -> Fallible<()>,
    ) -> Fallible<()> {
        out.push(b'[');
        let mut first = true;
        self.elements(|cursor| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write(cursor, out)
        })?;
        out.push(b']');
        Ok(())
    }
}
