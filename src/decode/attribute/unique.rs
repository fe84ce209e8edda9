//! Names that stand in one map once.

use std::collections::HashSet;

use crate::decode::json::{Cursor, Fallible, Text, bad_record};

/// The names met in one map, to notice one that stands there twice.
#[derive(Default)]
pub(super) struct Unique {
    /// Where the first ones stand in the page.
    few: [usize; FEW],
    count: usize,
    /// A bit for each name's length and ends: a name whose bit is not set is new.
    marks: u64,
    /// All of them, once there are more, or one is escaped.
    many: Option<HashSet<Vec<u8>>>,
}

const FEW: usize = 16;

impl Unique {
    /// Adds the name that was read at `start`.
    #[inline]
    pub(super) fn add(&mut self, start: usize, name: Text<'_>, cursor: &Cursor<'_>) -> Fallible<()> {
        let mark = mark(name.token());
        let is_new = self.marks & mark == 0;
        self.marks |= mark;
        match self.few.get_mut(self.count) {
            Some(place) if is_new && !name.escaped && self.many.is_none() => {
                *place = start;
                self.count += 1;
                Ok(())
            }
            _ => self.compare(start, name, cursor),
        }
    }

    #[inline(never)]
    fn compare(&mut self, start: usize, name: Text<'_>, cursor: &Cursor<'_>) -> Fallible<()> {
        let few = &self.few[..self.count];
        if self.count < FEW && !name.escaped && self.many.is_none() {
            let token = name.token();
            if few.iter().any(|start| cursor.between(*start, start + token.len()) == token) {
                return duplicate(name);
            }
            self.few[self.count] = start;
            self.count += 1;
            return Ok(());
        }
        let many = match &mut self.many {
            Some(many) => many,
            none => none.insert(few.iter().map(|start| plain_at(*start, cursor)).collect::<Fallible<_>>()?),
        };
        let mut plain = Vec::new();
        name.append_to(&mut plain)?;
        if many.insert(plain) { Ok(()) } else { duplicate(name) }
    }
}

fn plain_at(start: usize, cursor: &Cursor<'_>) -> Fallible<Vec<u8>> {
    Ok(cursor.name_at(start)?.raw().to_vec())
}

/// `token` has its quotes.
#[inline]
fn mark(token: &[u8]) -> u64 {
    let byte = |place: usize| token.get(place).copied().map_or(0, usize::from);
    1 << ((token.len() + 7 * byte(1) + 29 * byte(token.len().wrapping_sub(2))) % 64)
}

/// DynamoDB never sends a name twice; taking one of the two would lose the other in silence.
#[cold]
pub(in super::super) fn duplicate<T>(name: Text<'_>) -> Fallible<T> {
    bad_record(format!("attribute {:?} stands twice in one map", name.lossy()))
}
