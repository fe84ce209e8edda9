//! Values that their column does not hold: it widens, they go to the rest, or the record is bad.

use super::super::column::Fit;
use super::super::json::{Cursor, Fallible, bad_record};
use super::{Spot, Table};

impl Table {
    #[cold]
    pub(super) fn misfit(
        &mut self,
        spot: Spot,
        number: usize,
        cursor: &mut Cursor<'_>,
        (start, fit): (usize, Fit),
    ) -> Fallible<()> {
        self.images[spot.which as usize].columns[number].truncate(spot.row);
        cursor.back_to(start);
        if self.options.schema.is_some() {
            if fit == Fit::Value {
                return self.inconvertible(number, cursor);
            }
        } else if self.grow(number, spot.row, cursor)? {
            return self.place(spot, number, cursor);
        }
        cursor.back_to(start);
        if number < self.schema.keys {
            return self.inconvertible(number, cursor);
        }
        self.unfit += 1;
        self.rest(spot, cursor)?;
        self.say_unfit(number, cursor.type_word(start));
        Ok(())
    }

    #[cold]
    fn inconvertible<T>(&self, number: usize, cursor: &mut Cursor<'_>) -> Fallible<T> {
        let start = cursor.at;
        cursor.check_attribute()?;
        let value: String = String::from_utf8_lossy(cursor.since(start)).chars().take(80).collect();
        let column = &self.schema.columns[number];
        bad_record(format!("{value} cannot be converted to {}", column.kind))
    }

    #[cold]
    fn say_unfit(&mut self, number: usize, word: Option<&str>) {
        let Some(word) = word else { return };
        let column = &self.schema.columns[number];
        self.notices.once(&format!("unfit {number}"), || {
            format!(
                "attribute {:?} is a column of type {}, but a record has a value of type {word}; such values stand in {}rest",
                column.name,
                column.kind,
                self.options.metadata_prefix
            )
        });
    }

    pub(super) fn rest(&mut self, spot: Spot, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let start = cursor.at;
        cursor.check_attribute()?;
        let name = cursor.name_at(spot.name)?;
        self.images[spot.which as usize].rest.add(spot.row, name, cursor.since(start));
        Ok(())
    }

    #[cold]
    pub(super) fn reserved(&mut self, spot: Spot, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let (text, prefix) = (cursor.name_at(spot.name)?.lossy(), &self.options.metadata_prefix);
        self.notices.once(&format!("reserved {text}"), || {
            format!(
                "attribute {text:?} has the name of a metadata column and stands in {prefix}rest; choose another \
                 metadata_prefix to give it a column"
            )
        });
        self.rest(spot, cursor)
    }
}
