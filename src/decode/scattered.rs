//! Items whose attributes have no order that could be foreseen.
//!
//! Two things are foreseen well in items of one order: which name comes next, and what its column does with a value.
//! Without that order the first is looked up; the second is kept by taking the values in the order of the columns,
//! once it is known where they stand.

use super::attribute::duplicate;
use super::json::{Cursor, Fallible, within};
use super::schema::Slot;
use super::table::{Spot, Table, Which};

/// Values of the current item whose columns are known, to be taken in the order of the columns.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By the number of the column: where name and value stand in the page.
    places: Vec<(usize, usize)>,
    /// One bit for each column that has one.
    columns: Vec<u64>,
}

impl Waiting {
    pub(super) fn start(&mut self, columns: usize) {
        self.places.resize(columns, (0, 0));
        self.columns.clear();
        self.columns.resize(columns.div_ceil(64), 0);
    }

    /// Adds a value; false when there is no room for its column.
    #[inline(always)]
    pub(super) fn add(&mut self, column: usize, name: usize, value: usize) -> bool {
        let (Some(place), Some(word)) = (self.places.get_mut(column), self.columns.get_mut(column / 64))
        else {
            return false;
        };
        *place = (name, value);
        *word |= 1 << (column % 64);
        true
    }

    /// Takes the value of the first column that has one from `word` on: the column, its name and its value.
    #[inline(always)]
    pub(super) fn take(&mut self, word: &mut usize) -> Option<(usize, usize, usize)> {
        loop {
            let left = self.columns.get_mut(*word)?;
            if *left != 0 {
                let column = 64 * *word + left.trailing_zeros() as usize;
                *left &= *left - 1;
                let (name, value) = *self.places.get(column)?;
                return Some((column, name, value));
            }
            *word += 1;
        }
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
        let columns = self.schema.columns.len();
        self.images[which as usize].waiting.start(columns);
        let mut attributes = 0;
        let mut more = cursor.enter_object()?;
        while more {
            let spot = Spot { which, row, name: cursor.at };
            let image = &mut self.images[which as usize];
            let place = match self.schema.names.look_up_quick(cursor, &mut image.trail) {
                Some(place) => Some(place),
                None => self.look_up(spot, cursor)?,
            };
            if place.is_some_and(|place| !self.images[which as usize].see(place)) {
                return duplicate(cursor.name_at(spot.name)?);
            }
            if !self.wait::<WITH_KEYS>(spot, place, cursor)
                && let Err(fault) = self.take::<WITH_KEYS>(spot, place, cursor)
            {
                return Err(within(*fault, cursor.name_at(spot.name)?));
            }
            attributes += 1;
            more = cursor.more(b'}')?;
        }
        self.images[which as usize].attributes = attributes;
        self.take_waiting(which, row, cursor)
    }

    /// Passes a value and notes where it stands, when it is a usual one and has a column.
    #[inline(always)]
    fn wait<const WITH_KEYS: bool>(
        &mut self,
        spot: Spot,
        place: Option<usize>,
        cursor: &mut Cursor<'_>,
    ) -> bool {
        let Some(Slot::Column(number)) = place.map(|place| self.schema.slot(place)) else { return false };
        let start = cursor.at;
        if (!WITH_KEYS && number < self.schema.keys) || !cursor.pass_usual() {
            return false;
        }
        let waits = self.images[spot.which as usize].waiting.add(number, spot.name, start);
        if !waits {
            cursor.at = start;
        }
        waits
    }

    fn take_waiting(&mut self, which: Which, row: usize, cursor: &Cursor<'_>) -> Fallible<()> {
        let (mut value, mut word) = (cursor.clone(), 0);
        while let Some((number, name, start)) = self.images[which as usize].waiting.take(&mut word) {
            value.back_to(start);
            if let Err(fault) = self.place(Spot { which, row, name }, number, &mut value) {
                return Err(within(*fault, cursor.name_at(name)?));
            }
        }
        Ok(())
    }
}
