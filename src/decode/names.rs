//! From the name of an attribute to its place, profiting from items that have the same order.

use std::collections::HashMap;

use super::json::{Cursor, Fallible};

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    tokens: Vec<Token>,
    places: HashMap<Box<[u8]>, usize>,
    /// Places by `shortcut`, where two names meet the later one: spares most names the map, whose hash
    /// is slow because names are chosen by others.
    shortcuts: Vec<u32>,
}

/// A name as a JSON string with its colon: whether it stands at the cursor takes one or two comparisons.
#[derive(Clone, Debug, Default)]
struct Token {
    /// Empty for a name that has to be escaped; such a name is always looked up.
    bytes: Box<[u8]>,
    /// The first 16 bytes, and which bits of them count: most names need no more.
    head: u128,
    mask: u128,
    /// The last 16 bytes, where there are more.
    tail: u128,
}

impl Token {
    fn new(name: &[u8]) -> Self {
        if name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
            return Self::default();
        }
        let bytes = [b"\"", name, b"\":"].concat();
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        for (place, byte) in bytes.iter().take(16).enumerate() {
            head[place] = *byte;
            mask[place] = 0xff;
        }
        Self {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            tail: bytes.last_chunk().map_or(0, |last| u128::from_le_bytes(*last)),
            bytes: bytes.into(),
        }
    }

    /// The name with its quotes.
    fn string(&self) -> &[u8] {
        self.bytes.split_last().map_or(&[], |(_, string)| string)
    }

    #[inline(always)]
    fn starts(&self, text: &[u8]) -> bool {
        let Some(block) = text.first_chunk::<16>() else { return text.starts_with(&self.bytes) };
        if (u128::from_le_bytes(*block) ^ self.head) & self.mask != 0 {
            return false;
        }
        match self.bytes.len() {
            0..=16 => true,
            length @ 17..=32 => {
                let last = text.get(length - 16..).and_then(|last| last.first_chunk());
                last.is_some_and(|last| u128::from_le_bytes(*last) == self.tail)
            }
            _ => text.starts_with(&self.bytes),
        }
    }
}

/// What stood behind which name the last time. Each image of a record has its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// By the place of the name before, plus one; 0 is the start.
    next: Vec<u32>,
    last: usize,
}

impl Trail {
    pub(super) fn start(&mut self) {
        self.last = 0;
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
        self.tokens.push(Token::new(name));
        self.places.insert(name.into(), place);
        if self.shortcuts.len() < 4 * self.tokens.len() {
            self.shortcuts = vec![0; 8 * self.tokens.len().next_power_of_two()];
            (0..place).for_each(|place| self.add_shortcut(place));
        }
        self.add_shortcut(place);
        place
    }

    fn add_shortcut(&mut self, place: usize) {
        let Some(token) = self.tokens.get(place).filter(|token| !token.bytes.is_empty()) else { return };
        let spot = shortcut(token.string()) & (self.shortcuts.len() - 1);
        self.shortcuts[spot] = u32::try_from(place).unwrap_or(0);
    }

    /// The place of a name that is written as its token.
    #[inline]
    fn by_shortcut(&self, token: &[u8]) -> Option<usize> {
        let spot = shortcut(token) & self.shortcuts.len().checked_sub(1)?;
        let place = *self.shortcuts.get(spot)? as usize;
        (self.tokens.get(place)?.string() == token).then_some(place)
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
        if token.bytes.is_empty() || !token.starts(cursor.rest()) {
            return None;
        }
        cursor.at += token.bytes.len();
        cursor.space();
        trail.last = place + 1;
        Some(place)
    }

    /// Passes a name that is not the one guessed, and its colon.
    pub(super) fn look_up(&self, cursor: &mut Cursor<'_>, trail: &mut Trail) -> Fallible<Option<usize>> {
        let name = cursor.name()?;
        let place = match self.by_shortcut(name.token()) {
            Some(place) => Some(place),
            None => self.places.get(name.plain(&mut Vec::new())?).copied(),
        };
        if let Some(place) = place {
            if trail.next.len() <= trail.last {
                trail.next.resize(self.tokens.len() + 1, 0);
            }
            if let (Some(next), Ok(guess)) = (trail.next.get_mut(trail.last), u32::try_from(place)) {
                *next = guess;
            }
            trail.last = place + 1;
        }
        cursor.colon()?;
        Ok(place)
    }
}

/// Mixes length, beginning and end of a token; of the size of a machine word.
#[inline]
fn shortcut(token: &[u8]) -> usize {
    let mut first = [0; 8];
    let length = token.len().min(8);
    first[..length].copy_from_slice(&token[..length]);
    let last = token.last_chunk().unwrap_or(&first);
    let (first, last) = (u64::from_le_bytes(first), u64::from_le_bytes(*last));
    let mixed = (first ^ token.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed.rotate_left(29) ^ last).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 32) as usize
}

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
