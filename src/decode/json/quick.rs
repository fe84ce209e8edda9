//! Values in the form the service writes, without any space or escape: nearly every value there is.
//!
//! Each function passes such a value as a whole, or leaves the cursor where it is for the certain way.

use super::Cursor;
use crate::decode::scan::specials;

/// The longest text of a number that is looked at as one block.
pub(in super::super) const BLOCK: usize = 16;

/// The text of a number, with what follows it: reading a whole block never leaves the page.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Digits<'a> {
    pub(in super::super) block: &'a [u8; BLOCK + 8],
    /// At most `BLOCK`.
    pub(in super::super) length: usize,
}

/// A text in a page, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Piece<'a> {
    pub(in super::super) bytes: &'a [u8],
    pub(in super::super) length: usize,
}

impl<'a> Piece<'a> {
    /// How much room `append_to` wants behind a text.
    pub(in super::super) const MOST_BEHIND: usize = 32;

    pub(in super::super) fn text(self) -> &'a [u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Short texts are copied as one block, and what was too much is taken back: that takes no call.
    #[inline(always)]
    pub(in super::super) fn append_to(self, out: &mut Vec<u8>) {
        let end = out.len() + self.length;
        match (self.bytes.first_chunk::<16>(), self.bytes.first_chunk::<32>()) {
            (Some(block), _) if self.length <= 16 => out.extend_from_slice(block),
            (_, Some(block)) if self.length <= 32 => out.extend_from_slice(block),
            _ => out.extend_from_slice(self.text()),
        }
        out.truncate(end);
    }
}

impl Digits<'_> {
    pub(in super::super) fn text(&self) -> &[u8] {
        self.block.get(..self.length).unwrap_or_default()
    }

    #[inline(always)]
    pub(in super::super) fn append_to(&self, out: &mut Vec<u8>) {
        Piece { bytes: self.block, length: self.length }.append_to(out);
    }
}

impl<'a> Cursor<'a> {
    /// The next bytes.
    #[inline(always)]
    pub(in super::super) fn ahead<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// From `start` up to the cursor.
    #[inline(always)]
    pub(in super::super) fn piece(&self, start: usize) -> Piece<'a> {
        let bytes = self.bytes.get(start..).unwrap_or_default();
        Piece { bytes, length: self.at.saturating_sub(start) }
    }

    /// Passes `{"S":"…"}`.
    #[inline(always)]
    pub(in super::super) fn quick_text(&mut self) -> Option<Piece<'a>> {
        let (head, tail) = self.bytes.get(self.at..)?.split_first_chunk::<6>()?;
        if head != b"{\"S\":\"" {
            return None;
        }
        let mut end = 0;
        loop {
            let found = specials(tail.get(end..)?.first_chunk()?);
            if found != 0 {
                end += found.trailing_zeros() as usize;
                break;
            }
            end += 16;
        }
        if tail.get(end..)?.first_chunk() != Some(b"\"}") {
            return None;
        }
        self.at += 6 + end + 2;
        Some(Piece { bytes: tail, length: end })
    }

    /// Passes `{"N":"…"}` when its text is short.
    #[inline(always)]
    pub(in super::super) fn quick_digits(&mut self) -> Option<Digits<'a>> {
        let (head, tail) = self.bytes.get(self.at..)?.split_first_chunk::<6>()?;
        if head != b"{\"N\":\"" {
            return None;
        }
        let block: &[u8; BLOCK + 8] = tail.first_chunk()?;
        let found = specials(block.first_chunk()?);
        let length = found.trailing_zeros() as usize;
        if found == 0 || block.get(length..length + 2) != Some(b"\"}") {
            return None;
        }
        self.at += 6 + length + 2;
        Some(Digits { block, length })
    }

    /// Passes `{"BOOL":true}` or its other.
    #[inline(always)]
    pub(in super::super) fn quick_bool(&mut self) -> Option<bool> {
        if self.take(b"{\"BOOL\":true}") {
            return Some(true);
        }
        self.take(b"{\"BOOL\":false}").then_some(false)
    }

    /// Passes a text or a number that nobody will read.
    #[inline(always)]
    pub(in super::super) fn pass_quick(&mut self) -> bool {
        self.quick_text().is_some() || self.quick_digits().is_some()
    }
}
