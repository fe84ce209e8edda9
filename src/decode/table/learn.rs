//! Keys learned from a change, where nobody knows the table's key schema.

use super::super::attribute::Tag;
use super::super::image::Image;
use super::super::json::{Cursor, Fallible, bad_record, within};
use super::super::names::Trail;
use super::super::schema::Schema;
use super::Table;
use super::grow::Growth;
use crate::page::{KeyAttribute, KeyKind};

impl Table {
    /// Learns the keys from the object at the cursor, in the order they have there.
    ///
    /// A table without keys has no row: every change has keys.
    pub(super) fn learn(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let keys = read_keys(cursor)?;
        match Schema::new(&self.options, &keys, None) {
            Ok(schema) => self.set_keys(schema, keys),
            Err(error) => return bad_record(error.message()),
        }
        self.record(row, Growth::Learned);
        Ok(())
    }

    pub(super) fn forget_keys(&mut self) {
        if let Ok(schema) = Schema::new(&self.options, &[], None) {
            self.set_keys(schema, Vec::new());
        }
    }

    fn set_keys(&mut self, schema: Schema, keys: Vec<KeyAttribute>) {
        let image = || Image::new(schema.columns.iter().map(|column| &column.kind));
        self.images = [image(), image()];
        self.schema = schema;
        self.keys = keys;
        self.key_trail = Trail::default();
    }
}

/// A table has one key attribute, or two.
fn read_keys(cursor: &mut Cursor<'_>) -> Fallible<Vec<KeyAttribute>> {
    let mut keys: Vec<KeyAttribute> = Vec::new();
    cursor.members(|cursor, name| {
        let kind = match cursor.check_attribute().map_err(|fault| within(*fault, name))? {
            Tag::Text => KeyKind::Text,
            Tag::Number => KeyKind::Number,
            Tag::Binary => KeyKind::Binary,
            _ => return bad_record(format!("no key can have a value as {:?} has", name.lossy())),
        };
        keys.push(KeyAttribute { name: name.lossy(), kind });
        Ok(())
    })?;
    match keys.len() {
        1 | 2 => Ok(keys),
        count => bad_record(format!("it has {count} keys")),
    }
}
