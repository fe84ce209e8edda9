//! From the name of an attribute to its place, profiting from items that have the same order.

use std::collections::HashMap;

use super::json::{Cursor, Fallible};
use super::scan::{agreeing, quotes};

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    tokens: Vec<Token>,
    /// The blocks of the tokens again, close together: all that finding a name by its shortcut looks at.
    blocks: Vec<Aligned>,
    places: HashMap<Box<[u8]>, usize>,
    /// Places plus one of names that fit into a block, each at its `mixed` or within `NEAR` behind it: spares
    /// most names the map, whose hash is slow because names are chosen by others. 0 is no name.
    shortcuts: Vec<u16>,
}

/// Lies within one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Aligned([u8; BLOCK]);

/// How many bytes are compared in one step.
pub(super) const BLOCK: usize = 32;

/// A name as a JSON string with its colon: whether it stands at the cursor takes one comparison.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Its beginning: most names are no longer than that.
    block: [u8; BLOCK],
    /// Marks the bytes of the block that are not its own.
    behind: u32,
    /// Empty for a name that has to be escaped; such a name is always looked up.
    bytes: Box<[u8]>,
}

/// The first bytes of a text; those that do not count are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Block(u128, u128);

impl Block {
    /// Of a text of `length` bytes, at most `BLOCK`.
    #[inline(always)]
    fn of(bytes: &[u8; BLOCK], length: usize) -> Self {
        let [low, high] = bytes.as_chunks::<16>().0 else { return Self::default() };
        let masks = MASKS.get(length).copied().unwrap_or_default();
        Self(u128::from_le_bytes(*low) & masks.0, u128::from_le_bytes(*high) & masks.1)
    }

    /// Two multiplications, one behind the other: the next step waits for them. Less than half of the largest number.
    #[inline(always)]
    fn mixed(self) -> usize {
        let words = [self.0 as u64, (self.0 >> 64) as u64, self.1 as u64, (self.1 >> 64) as u64];
        let low = words[0].wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ words[2];
        let high = words[1].wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ words[3].rotate_left(11);
        ((low ^ high.rotate_left(29)).wrapping_mul(0xA076_1D64_78BD_642F) >> 33) as usize
    }
}

/// By length: which bits of a block count.
const MASKS: [Block; BLOCK + 1] = {
    let mut masks = [Block(0, 0); BLOCK + 1];
    let mut length = 1;
    while length <= BLOCK {
        masks[length] = if length <= 16 {
            Block(u128::MAX >> (128 - 8 * length), 0)
        } else {
            Block(u128::MAX, u128::MAX >> (256 - 8 * length))
        };
        length += 1;
    }
    masks
};

impl Token {
    pub(super) fn new(name: &[u8]) -> Self {
        // No text has these bytes.
        let mut token = Self { block: [0xFF; BLOCK], behind: 0, bytes: Box::default() };
        if name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
            return token;
        }
        token.bytes = [b"\"", name, b"\":"].concat().into();
        token.block.iter_mut().zip(&token.bytes).for_each(|(place, byte)| *place = *byte);
        token.behind = u32::MAX.checked_shl(token.bytes.len() as u32).unwrap_or(0);
        token
    }

    /// What is passed with it.
    #[inline(always)]
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    pub(super) fn starts(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(block) => {
                agreeing(block, &self.block) | self.behind == u32::MAX
                    && (self.bytes.len() <= BLOCK || text.starts_with(&self.bytes))
            }
            None => !self.bytes.is_empty() && text.starts_with(&self.bytes),
        }
    }
}

/// What stood behind which name the last time. Each image of a record has its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// By the place of the name before, plus one; 0 is the start.
    next: Vec<u32>,
    last: usize,
    /// How many names of this item stood elsewhere the last time.
    missed: usize,
}

impl Trail {
    pub(super) fn start(&mut self) {
        self.last = 0;
        self.missed = 0;
    }

    /// Goes on to the name at `place`, of so many names.
    #[inline(always)]
    pub(super) fn follow(&mut self, place: usize, names: usize) {
        if self.next.len() <= self.last {
            self.grow(names);
        }
        if let (Some(next), Ok(guess)) = (self.next.get_mut(self.last), u32::try_from(place)) {
            self.missed += usize::from(std::mem::replace(next, guess) != guess);
        }
        self.last = place + 1;
    }

    #[cold]
    fn grow(&mut self, names: usize) {
        self.next.resize(names + 1, 0);
    }

    /// How many names since the start did not follow the one they followed the last time.
    pub(super) fn missed(&self) -> usize {
        self.missed
    }
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Adds a name that is not there yet.
    pub(super) fn add(&mut self, name: &[u8]) -> usize {
        let place = self.tokens.len();
        let token = Token::new(name);
        self.blocks.push(Aligned(token.block));
        self.tokens.push(token);
        self.places.insert(name.into(), place);
        if self.shortcuts.len() < 8 * self.tokens.len() {
            self.shortcuts = vec![0; 16 * self.tokens.len().next_power_of_two()];
            (0..place).for_each(|place| self.add_shortcut(place));
        }
        self.add_shortcut(place);
        place
    }

    /// Where others stand already the name is left to the map.
    fn add_shortcut(&mut self, place: usize) {
        let token = self.tokens.get(place).filter(|token| (1..=BLOCK).contains(&token.bytes.len()));
        let Some(first) = token.map(|token| Block::of(&token.block, token.bytes.len()).mixed()) else {
            return;
        };
        let mut near = (first..first + NEAR).map(|spot| spot & (self.shortcuts.len() - 1));
        if let Some(spot) = near.find(|spot| self.shortcuts[*spot] == 0) {
            self.shortcuts[spot] = u16::try_from(place + 1).unwrap_or(0);
        }
    }

    /// The place of the name that a block begins with, which is so long with its quotes and its colon.
    #[inline(always)]
    pub(super) fn by_shortcut(&self, block: &[u8; BLOCK], length: usize) -> Option<usize> {
        if length > BLOCK {
            return None;
        }
        let behind = u32::MAX.checked_shl(length as u32).unwrap_or(0);
        let last = self.shortcuts.len().checked_sub(1)?;
        let first = Block::of(block, length).mixed();
        for spot in first..first + NEAR {
            let place = usize::from(*self.shortcuts.get(spot & last)?).checked_sub(1)?;
            // What agrees so far is as long: a token has no quotes in it.
            if agreeing(block, &self.blocks.get(place)?.0) | behind == u32::MAX {
                return Some(place);
            }
        }
        None
    }

    /// Passes the name at the cursor and its colon; its place when it is known.
    #[inline]
    pub(super) fn find(&self, cursor: &mut Cursor<'_>, trail: &mut Trail) -> Fallible<Option<usize>> {
        match self.guess(cursor, trail) {
            Some(place) => Ok(Some(place)),
            None => self.look_up(cursor, trail),
        }
    }

    /// Passes the name at the cursor when it is the one that followed the last name the time before.
    #[inline(always)]
    pub(super) fn guess(&self, cursor: &mut Cursor<'_>, trail: &mut Trail) -> Option<usize> {
        let place = *trail.next.get(trail.last)? as usize;
        let token = self.tokens.get(place)?;
        if !token.starts(cursor.rest()) {
            return None;
        }
        cursor.at += token.length();
        cursor.space();
        trail.last = place + 1;
        Some(place)
    }

    /// Passes a name that is not the one guessed, and its colon.
    pub(super) fn look_up(&self, cursor: &mut Cursor<'_>, trail: &mut Trail) -> Fallible<Option<usize>> {
        let place = match self.short_name(cursor) {
            Some(place) => Some(place),
            None => self.by_map(cursor)?,
        };
        if let Some(place) = place {
            trail.follow(place, self.tokens.len());
        }
        Ok(place)
    }

    /// Passes a name that is written as the service does, and its colon.
    #[inline(always)]
    fn short_name(&self, cursor: &mut Cursor<'_>) -> Option<usize> {
        let text: &[u8; BLOCK + 1] = cursor.ahead()?;
        // Without its opening quote.
        let length = 3 + quotes(text.last_chunk()?).trailing_zeros() as usize;
        let place = self.by_shortcut(text.first_chunk()?, length)?;
        cursor.at += length;
        cursor.space();
        Some(place)
    }

    #[inline(never)]
    fn by_map(&self, cursor: &mut Cursor<'_>) -> Fallible<Option<usize>> {
        let name = cursor.name()?;
        let place = self.places.get(name.plain(&mut Vec::new())?).copied();
        cursor.colon()?;
        Ok(place)
    }
}

/// How far from its spot a name is looked for.
const NEAR: usize = 8;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_the_order_and_the_escapes() {
        let mut names = Names::default();
        let mut trail = Trail::default();
        let plain = ["a", "a\\b", "a\u{8}", "b\"", "fourteen bytes", "fifteen bytes!!é", "ab", "A"];
        for name in plain {
            names.add(name.as_bytes());
        }
        for order in [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], [7, 2, 1, 0, 6, 5, 3, 4]] {
            trail.start();
            for place in order {
                let json = serde_json::to_string(plain[place]).unwrap();
                for behind in ["", "{\"S\":\"a value that is long\"}"] {
                    let json = format!("{json}:{behind}");
                    let mut cursor = Cursor::new(json.as_bytes(), 0);
                    let last = trail.last;
                    assert_eq!(names.find(&mut cursor, &mut trail).unwrap(), Some(place), "{json}");
                    assert_eq!(cursor.rest(), behind.as_bytes());
                    trail.last = if behind.is_empty() { last } else { trail.last };
                }
            }
        }
        for number in 0..500 {
            names.add(format!("name {number}").as_bytes());
        }
        for number in (0..500).rev() {
            let json = format!("\"name {number}\" : ");
            let found = names.find(&mut Cursor::new(json.as_bytes(), 0), &mut trail).unwrap();
            assert_eq!(found, Some(plain.len() + number));
        }
        let found = names.find(&mut Cursor::new(br#""ab\u0063":"#, 0), &mut trail).unwrap();
        assert_eq!(found, None);
        let found = names.find(&mut Cursor::new(br#""\u0061b":"#, 0), &mut trail).unwrap();
        assert_eq!(found, Some(6));
    }
}
