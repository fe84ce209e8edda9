//! One image of the items: a column for each attribute, and the rest.

use std::collections::HashSet;

use arrow_array::ArrayRef;

use super::column::{BytesColumn, Column, Validity};
use super::json::{Cursor, Fallible, Text};
use super::kind::Kind;
use super::names::Trail;
use super::table::Waiting;
use crate::error::Result;

/// Attributes that have no column, as DynamoDB JSON: `{"name":{"S":"…"}}`.
#[derive(Debug, Default)]
pub(super) struct RestColumn {
    column: BytesColumn,
    /// Whether the current row has an attribute in it.
    open: bool,
}

impl RestColumn {
    /// Adds an attribute to row `row`; `value` is the attribute value as it came.
    pub(super) fn add(&mut self, row: usize, name: Text<'_>, value: &[u8]) {
        if !self.open {
            self.column.pad(row);
        }
        let out = self.column.tail();
        out.push(if self.open { b',' } else { b'{' });
        out.extend_from_slice(name.token());
        out.push(b':');
        out.extend_from_slice(value);
        self.open = true;
    }

    fn end_row(&mut self) -> Fallible<()> {
        if std::mem::take(&mut self.open) {
            self.column.tail().push(b'}');
            self.column.end_value()?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.column.finish_text(rows)
    }
}

#[derive(Debug, Default)]
pub(super) struct Image {
    /// By the number of the attribute's column.
    pub(super) columns: Vec<Column>,
    pub(super) rest: RestColumn,
    pub(super) trail: Trail,
    /// Which rows have this image at all.
    pub(super) valid: Validity,
    seen: Seen,
    /// How many attributes of the item at hand were met.
    pub(super) attributes: usize,
    is_scattered: bool,
    pub(super) waiting: Waiting,
    pub(super) twins: Twins,
}

/// Where the nested values of the last item stand in the page, for the other image that mostly has the same.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// By the number of the column.
    places: Vec<(usize, usize)>,
}

impl Twins {
    pub(super) fn note(&mut self, column: usize, start: usize, end: usize) {
        if self.places.len() <= column {
            self.places.resize(column + 1, (0, 0));
        }
        self.places[column] = (start, end);
    }

    /// How long the value of a column is, when the same stands at the cursor.
    pub(super) fn length_of_same(&self, column: usize, cursor: &Cursor<'_>) -> Option<usize> {
        let (start, end) = *self.places.get(column)?;
        let value = cursor.between(start, end);
        (!value.is_empty() && cursor.rest().starts_with(value)).then_some(value.len())
    }
}

impl Image {
    pub(super) fn new<'k>(kinds: impl Iterator<Item = &'k Kind>) -> Self {
        Self { columns: kinds.map(Column::new).collect(), ..Self::default() }
    }

    /// Before the attributes of an item; true when those of the last ones had orders of their own. Names that stand
    /// behind one another twice by chance are no order yet.
    pub(super) fn start(&mut self) -> bool {
        let share = if self.is_scattered { 4 } else { 2 };
        self.is_scattered = share * self.trail.missed() > std::mem::take(&mut self.attributes);
        self.trail.start();
        self.seen.start();
        self.is_scattered
    }

    /// Whether the attribute with this place is met in this item for the first time.
    #[inline]
    pub(super) fn see(&mut self, place: usize) -> bool {
        self.seen.see(place)
    }

    /// The same for an attribute whose name is not remembered.
    pub(super) fn see_unnamed(&mut self, name: Text<'_>) -> Fallible<bool> {
        let mut plain = Vec::new();
        name.append_to(&mut plain)?;
        Ok(self.seen.unnamed.insert(plain))
    }

    pub(super) fn end_row(&mut self) -> Fallible<()> {
        self.rest.end_row()
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        // Also those that are no longer than that: they may hold the beginning of a nested value.
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.waiting.forget();
        self.rest.open = false;
        self.rest.column.truncate(rows);
        self.valid.truncate(rows);
    }

    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        columns + self.rest.column.bytes() + self.valid.bytes()
    }
}

/// The attributes met in the current item.
#[derive(Debug, Default)]
struct Seen {
    /// By place of the name: in which item it was met last.
    items: Vec<u64>,
    item: u64,
    unnamed: HashSet<Vec<u8>>,
}

impl Seen {
    fn start(&mut self) {
        self.item += 1;
        self.unnamed.clear();
    }

    #[cold]
    fn grow(&mut self, place: usize) {
        self.items.resize(place + 1, 0);
    }

    #[inline]
    fn see(&mut self, place: usize) -> bool {
        if self.items.len() <= place {
            self.grow(place);
        }
        std::mem::replace(&mut self.items[place], self.item) != self.item
    }
}
