//! From the name of an attribute to its place, profiting from items that have the same order.

use std::collections::HashMap;

use super::json::{Cursor, Fallible, Text};

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Each name as a JSON string, quotes included: a guess is checked in one comparison.
    /// Empty for a name that has to be escaped; such a name is always looked up.
    tokens: Vec<Box<[u8]>>,
    places: HashMap<Box<[u8]>, usize>,
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
        let mut token = vec![b'"'];
        token.extend_from_slice(name);
        token.push(b'"');
        let plain = !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.tokens.push(if plain { token.into() } else { Box::default() });
        self.places.insert(name.into(), place);
        place
    }

    /// Reads the name at the cursor: its text, and its place when it is known.
    #[inline]
    pub(super) fn find<'a>(
        &self,
        cursor: &mut Cursor<'a>,
        trail: &mut Trail,
    ) -> Fallible<(Text<'a>, Option<usize>)> {
        if let Some(guess) = trail.next.get(trail.last)
            && let Some(token) = self.tokens.get(*guess as usize)
            && let Some(name) = cursor.take_token(token)
        {
            trail.last = *guess as usize + 1;
            return Ok((name, Some(*guess as usize)));
        }
        self.look_up(cursor, trail)
    }

    fn look_up<'a>(&self, cursor: &mut Cursor<'a>, trail: &mut Trail) -> Fallible<(Text<'a>, Option<usize>)> {
        let name = cursor.name()?;
        let mut scratch = Vec::new();
        let place = self.places.get(name.plain(&mut scratch)?).copied();
        if let Some(place) = place {
            if trail.next.len() <= trail.last {
                trail.next.resize(self.tokens.len() + 1, 0);
            }
            if let (Some(next), Ok(guess)) = (trail.next.get_mut(trail.last), u32::try_from(place)) {
                *next = guess;
            }
            trail.last = place + 1;
        }
        Ok((name, place))
    }
}

impl<'a> Cursor<'a> {
    /// Passes exactly this string token, when it stands here.
    #[inline]
    fn take_token(&mut self, token: &[u8]) -> Option<Text<'a>> {
        let start = self.at;
        // An empty token belongs to a name that can only be found by its text.
        (!token.is_empty() && self.take(token)).then(|| Text::unescaped(self.since(start)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_the_order_and_the_escapes() {
        let mut names = Names::default();
        let mut trail = Trail::default();
        let plain = ["a", "a\\b", "a\u{8}", "b\"", "é", "", "ab", "A"];
        for name in plain {
            names.add(name.as_bytes());
        }
        for order in [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], [7, 2, 1, 0, 6, 5, 3, 4]] {
            trail.start();
            for place in order {
                let json = serde_json::to_string(plain[place]).unwrap();
                let (text, found) = names.find(&mut Cursor::new(json.as_bytes(), 0), &mut trail).unwrap();
                assert_eq!((text.lossy().as_str(), found), (plain[place], Some(place)));
            }
        }
        let (_, found) = names.find(&mut Cursor::new(br#""ab\u0063""#, 0), &mut trail).unwrap();
        assert_eq!(found, None);
        let (_, found) = names.find(&mut Cursor::new(br#""\u0061b""#, 0), &mut trail).unwrap();
        assert_eq!(found, Some(6));
    }
}
