//! How a table grows, and how it takes growth back.

use super::super::Numbers;
use super::super::column::Column;
use super::super::json::{Cursor, Fallible};
use super::super::kind::Kind;
use super::{Spot, Table, Which};

/// One step of growth, to take back when the record that caused it is bad.
#[derive(Debug)]
pub(super) enum Growth {
    /// From no keys, and nothing at all, to keys.
    Learned,
    Added,
    Widened(Box<Before>),
}

/// A column as it was before it grew.
#[derive(Debug)]
pub(super) struct Before {
    number: usize,
    kind: Kind,
    new: Column,
    old: Column,
}

impl Table {
    /// Widens a column so that it holds the value at the cursor; false when it cannot, or need not.
    pub(super) fn grow(&mut self, number: usize, row: usize, cursor: &mut Cursor<'_>) -> Fallible<bool> {
        let start = cursor.at;
        let column = &self.schema.columns[number];
        let numbers = if number < self.schema.keys { Numbers::Exact } else { self.options.numbers };
        let kind = Kind::of(cursor, numbers, column.kind.nesting())?;
        cursor.back_to(start);
        let merged = kind.and_then(|kind| column.kind.clone().merge(&kind));
        let Some(merged) = merged.filter(|merged| merged.is_known() && *merged != column.kind) else {
            return Ok(false);
        };
        if merged.leaves() > self.options.max_columns.max(column.kind.leaves()) {
            self.say_full();
            return Ok(false);
        }
        let [new, old] = &self.images;
        let before = Before {
            number,
            kind: column.kind.clone(),
            new: new.columns[number].clone(),
            old: old.columns[number].clone(),
        };
        self.record(row, Growth::Widened(Box::new(before)));
        for image in &mut self.images {
            image.columns[number].widen(&merged)?;
        }
        self.schema.columns[number].kind = merged;
        Ok(true)
    }

    pub(super) fn record(&mut self, row: usize, growth: Growth) {
        self.journal.push((row, growth));
        self.version += 1;
    }

    /// A value of an attribute without a column makes one, where it can.
    #[cold]
    pub(super) fn infer(
        &mut self,
        spot: Spot,
        place: Option<usize>,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<()> {
        let start = cursor.at;
        let kind = Kind::of(cursor, self.options.numbers, self.options.nested)?;
        cursor.back_to(start);
        let (Some(place), Some(kind)) = (place, kind.filter(Kind::is_known)) else {
            return self.rest(spot, cursor);
        };
        let inferred = self.schema.columns.len() - self.schema.keys;
        if inferred >= self.options.max_columns || kind.leaves() > self.options.max_columns {
            self.say_full();
            return self.rest(spot, cursor);
        }
        for image in &mut self.images {
            image.columns.push(Column::new(&kind));
        }
        let name = cursor.name_at(spot.name)?.lossy();
        let number = self.schema.add_column(place, name, kind);
        self.record(spot.row, Growth::Added);
        self.place(spot, number, cursor)
    }

    #[cold]
    fn say_full(&mut self) {
        let (most, prefix) = (self.options.max_columns, &self.options.metadata_prefix);
        self.notices.once("full", || {
            format!("there are more than max_columns={most} attributes; further ones stand in {prefix}rest")
        });
    }

    /// Takes back the growth that records from row `rows` on caused.
    pub(super) fn shrink(&mut self, rows: usize) {
        while let Some((_, growth)) = self.journal.pop_if(|(row, _)| *row >= rows) {
            self.version += 1;
            match growth {
                Growth::Learned => self.forget_keys(),
                Growth::Added => {
                    self.schema.remove_column();
                    self.images.iter_mut().for_each(|image| drop(image.columns.pop()));
                }
                Growth::Widened(before) => {
                    let Before { number, kind, new, old } = *before;
                    self.schema.columns[number].kind = kind;
                    self.images[Which::New as usize].columns[number] = new;
                    self.images[Which::Old as usize].columns[number] = old;
                }
            }
        }
    }
}
