//! Items whose attributes have no order that could be foreseen.
//!
//! Two things are foreseen well in items of one order: which name comes next, and what its column does with a value.
//! Without that order the first is looked up; the second is kept by taking the values in the order of the columns,
//! once it is known where they stand.

use std::ops::Range;

use super::super::column::{Column, Fit};
use super::super::image::Image;
use super::super::json::{Cursor, Fallible, within};
use super::super::names::{BLOCK, Names};
use super::super::scan::ends;
use super::super::schema::Slot;
use super::{Spot, Table, Which};

/// Values of the current item whose columns are known, to be taken in the order of the columns.
#[derive(Debug, Default)]
pub(in super::super) struct Waiting {
    /// By the number of the column: which values may wait, by the letter in their type that `Marks::value` finds.
    /// Those fit, or widen their column: none will go to the rest, whose members keep the order of the item.
    letters: Vec<u8>,
    /// Where name and value stand in the page.
    places: Vec<(usize, usize)>,
    /// One bit for each column that has one.
    columns: Vec<u64>,
}

impl Waiting {
    fn start(&mut self, columns: &[Column]) {
        if self.letters.len() != columns.len() {
            self.letters = columns.iter().map(letter).collect();
        }
        self.places.resize(columns.len(), (0, 0));
        self.columns.clear();
        self.columns.resize(columns.len().div_ceil(64), 0);
    }

    /// The columns may be others now.
    pub(in super::super) fn forget(&mut self) {
        self.letters.clear();
    }

    #[inline(always)]
    fn add(&mut self, column: usize, name: usize, value: usize) {
        if let (Some(place), Some(word)) = (self.places.get_mut(column), self.columns.get_mut(column / 64)) {
            *place = (name, value);
            *word |= 1 << (column % 64);
        }
    }
}

/// What is looked at of an attribute: its name, the type of its value, the value in quotes and what closes it.
const AHEAD: usize = BLOCK + HEAD + VALUE + 3;
const HEAD: usize = 6;
const VALUE: usize = 64;

impl Image {
    /// Passes attributes as long as they are usual ones that have a column, and notes where they stand; true when
    /// it passed the end of the item. Nothing in here waits for the search of a name: the next one is looked at
    /// while this one is searched.
    fn pass_usual(
        &mut self,
        names: &Names,
        schema: (&[Slot], Range<usize>),
        cursor: &mut Cursor<'_>,
    ) -> bool {
        let ((slots, keys), bytes, mut at) = (schema, cursor.bytes(), cursor.at);
        let mut closed = false;
        while let Some(text) = bytes.get(at..).and_then(|rest| rest.first_chunk::<AHEAD>())
            && !closed
        {
            let marks = Marks::of(text);
            let name = marks.name();
            let Some(place) = text.first_chunk().and_then(|block| names.by_shortcut(block, name)) else {
                break;
            };
            let Some((letter, length)) = marks.value(text, name) else { break };
            let Some(Slot::Column(number)) = slots.get(place).copied() else { break };
            if self.waiting.letters.get(number) != Some(&letter) {
                break;
            }
            let last = match text.get(length) {
                Some(b',') => false,
                Some(b'}') => true,
                _ => break,
            };
            // Nothing is passed that was met already: the certain way finds it again.
            if !self.see(place) {
                break;
            }
            closed = last;
            if !keys.contains(&number) {
                self.waiting.add(number, at, at + name);
            }
            self.trail.follow(place, names.len());
            self.attributes += 1;
            at += length + 1;
        }
        cursor.at = at;
        closed
    }
}

/// Which values of a column may wait; 0 for none.
fn letter(column: &Column) -> u8 {
    match column {
        Column::Text(_) => b'S',
        Column::Number(_) => b'N',
        Column::Binary(_) => b'B',
        Column::Bool(_) => TRUE_OR_FALSE,
        _ => 0,
    }
}

/// No letter of a value in quotes: `{"BOOL":"…"}` is none.
const TRUE_OR_FALSE: u8 = b'O';

/// The quotes and backslashes at the beginning of an attribute: where name and value end follows from the same look.
#[derive(Clone, Copy)]
struct Marks(u64);

impl Marks {
    #[inline(always)]
    fn of(text: &[u8; AHEAD]) -> Self {
        Self(text.first_chunk().map_or(0, ends))
    }

    /// Without the lowest `count`.
    #[inline(always)]
    fn without(self, count: usize) -> u64 {
        (0..count).fold(self.0, |marks, _| marks & marks.wrapping_sub(1))
    }

    /// How long the name is, with its quotes and its colon.
    #[inline(always)]
    fn name(self) -> usize {
        self.without(1).trailing_zeros() as usize + 2
    }

    /// The letter of a value in quotes, or of true or false, that stands behind so long a name, and where it ends.
    /// Nothing more is sure of it: who takes it looks at every byte.
    #[inline(always)]
    fn value(self, text: &[u8; AHEAD], name: usize) -> Option<(u8, usize)> {
        const OPEN: u64 = u64::from_le_bytes(*b"{\"\0\":\"\0\0");
        const COUNTS: u64 = 0x0000_FFFF_FF00_FFFF;
        let head: &[u8; 8] = text.get(name..)?.first_chunk()?;
        if u64::from_le_bytes(*head) & COUNTS != OPEN {
            let value = text.get(name..)?;
            let [yes, no] =
                [b"{\"BOOL\":true}".as_slice(), b"{\"BOOL\":false}"].map(|text| value.starts_with(text));
            return (yes || no).then(|| (TRUE_OR_FALSE, name + if yes { 13 } else { 14 }));
        }
        // Behind the quotes of the name, of the type, and the one that opens the value.
        let end = match self.without(5) {
            0 => name + HEAD + ends(text.get(name + HEAD..)?.first_chunk()?).trailing_zeros() as usize,
            marks => marks.trailing_zeros() as usize,
        };
        (text.get(end..end + 2) == Some(b"\"}")).then_some((head[2], end + 2))
    }
}

impl Table {
    /// What `image` does, in two rounds.
    pub(super) fn scattered<const WITH_KEYS: bool>(
        &mut self,
        which: Which,
        row: usize,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<()> {
        let passed_keys = if WITH_KEYS { 0 } else { self.schema.keys };
        let Image { waiting, columns, .. } = &mut self.images[which as usize];
        waiting.start(columns);
        let mut more = cursor.enter_object()?;
        while more {
            let (image, schema) = (&mut self.images[which as usize], &self.schema);
            if image.pass_usual(&schema.names, (schema.slots(), 0..passed_keys), cursor) {
                break;
            }
            cursor.space();
            self.attribute::<WITH_KEYS>(Spot { which, row, name: cursor.at }, cursor)?;
            more = cursor.more(b'}')?;
        }
        self.take_waiting(which, row, cursor)
    }

    fn take_waiting(&mut self, which: Which, row: usize, cursor: &Cursor<'_>) -> Fallible<()> {
        let mut value = cursor.clone();
        for word in 0..self.images[which as usize].waiting.columns.len() {
            let mut left = self.images[which as usize].waiting.columns[word];
            while left != 0 {
                let number = 64 * word + left.trailing_zeros() as usize;
                left &= left - 1;
                let Image { waiting, columns, .. } = &mut self.images[which as usize];
                let (name, start) = waiting.places[number];
                value.back_to(start);
                let fit = columns[number].push(row, &mut value);
                if !matches!(fit, Ok(Fit::Yes)) {
                    self.widen(Spot { which, row, name }, number, &mut value, (start, fit))?;
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn widen(
        &mut self,
        spot: Spot,
        number: usize,
        value: &mut Cursor<'_>,
        (start, fit): (usize, Fallible<Fit>),
    ) -> Fallible<()> {
        let taken = fit.and_then(|fit| self.misfit(spot, number, value, (start, fit)));
        match taken {
            Ok(()) => Ok(()),
            Err(fault) => Err(within(*fault, value.name_at(spot.name)?)),
        }
    }
}
