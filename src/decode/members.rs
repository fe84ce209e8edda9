//! Objects whose members are known beforehand and mostly have the same order: what stands around items.

use super::json::{Cursor, Fallible};
use super::names::Token;

/// The members that mean something, by names that are compared without case where they are not written as here.
pub(super) struct Members<M> {
    known: Vec<(&'static str, Token, M)>,
    /// By the place of a member plus one, which stood behind it the last time; 0 is the start.
    next: Vec<usize>,
}

impl<M: Copy> Members<M> {
    pub(super) fn new(known: &[(&'static str, M)]) -> Self {
        let token = |(name, member): &(&'static str, M)| (*name, Token::new(name.as_bytes()), *member);
        Self { next: (0..=known.len()).collect(), known: known.iter().map(token).collect() }
    }

    /// Runs `each` on every member of the object at the cursor, standing at its value; members that are not known
    /// are passed.
    #[inline]
    pub(super) fn read<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        mut each: impl FnMut(M, &mut Cursor<'a>) -> Fallible<()>,
    ) -> Fallible<()> {
        let mut last = 0;
        let mut more = cursor.enter_object()?;
        while more {
            let place = match self.guess(last, cursor) {
                Some(place) => Some(place),
                None => self.look_up(last, cursor)?,
            };
            match place.and_then(|place| self.known.get(place)) {
                Some((.., member)) => each(*member, cursor)?,
                None => cursor.skip_value()?,
            }
            last = place.map_or(last, |place| place + 1);
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    #[inline(always)]
    fn guess(&self, last: usize, cursor: &mut Cursor<'_>) -> Option<usize> {
        let place = *self.next.get(last)?;
        let (_, token, _) = self.known.get(place)?;
        if !token.starts(cursor.rest()) {
            return None;
        }
        cursor.at += token.length();
        cursor.space();
        Some(place)
    }

    #[inline(never)]
    fn look_up(&mut self, last: usize, cursor: &mut Cursor<'_>) -> Fallible<Option<usize>> {
        let name = cursor.name()?;
        cursor.colon()?;
        let is = |known: &str| name.raw().eq_ignore_ascii_case(known.as_bytes());
        let place = self.known.iter().position(|(known, ..)| is(known));
        if let (Some(place), Some(next)) = (place, self.next.get_mut(last)) {
            *next = place;
        }
        Ok(place)
    }
}
