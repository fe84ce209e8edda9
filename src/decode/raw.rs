//! Keys and images as DynamoDB JSON, exactly as they came: lossless, one schema for ever.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field};

use super::attribute::{Tag, duplicate};
use super::column::BytesColumn;
use super::json::{Cursor, Fallible, Reason, Text, bad_record, within};
use super::kind::json_field;
use super::rows::{Items, missing_key};
use super::{ColumnState, DecodeOptions, JsonFields, SchemaState};
use crate::error::{Error, Result};
use crate::page::{KeyAttribute, KeyKind};

const NAMES: [&str; 3] = ["keys", "new_image", "old_image"];
/// The word in a checkpoint's schema, so that the two layouts are not mistaken for one another.
const KIND: &str = "image";

#[derive(Debug)]
pub(super) struct RawImages {
    columns: [BytesColumn; 3],
    json: JsonFields,
    keys: Vec<KeyAttribute>,
    /// Of the item at hand: from where to where each key's name and value stand.
    found: Vec<Option<(usize, usize)>>,
}

impl RawImages {
    pub(super) fn new(
        options: &DecodeOptions,
        keys: &[KeyAttribute],
        resumed: Option<&SchemaState>,
    ) -> Result<Self> {
        let without_effect = [("schema", options.schema.is_some()), ("columns", options.columns.is_some())];
        for (option, given) in without_effect {
            if given {
                return Err(Error::usage(format!(
                    "{option}= has no meaning with images=\"json\"; leave one out"
                )));
            }
        }
        if resumed.is_some_and(|state| !state.columns.is_empty() && *state != state_of_images()) {
            return Err(Error::usage(
                "the checkpoint was written with images=\"columns\"; use that, or start with a new checkpoint",
            ));
        }
        Ok(Self { columns: Default::default(), json: options.json, keys: keys.to_vec(), found: Vec::new() })
    }

    fn push(&mut self, column: usize, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        if cursor.byte() != Some(b'{') {
            return cursor.mismatch("an object");
        }
        let start = cursor.at;
        cursor.skip_value()?;
        self.columns[column].push(row, |out| {
            out.extend_from_slice(cursor.since(start));
            Ok(())
        })
    }

    /// Passes an attribute of an item; notes where it stands if it is a key.
    fn attribute(&mut self, start: usize, name: Text<'_>, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let mut scratch = Vec::new();
        let plain = name.plain(&mut scratch).ok();
        let Some(place) = self.keys.iter().position(|key| plain == Some(key.name.as_bytes())) else {
            return cursor.skip_value();
        };
        let tag = cursor.check_attribute().map_err(|fault| within(*fault, name))?;
        if tag != key_tag(self.keys[place].kind) {
            let reason = "its value is not of the type that the key schema says".to_owned();
            return Err(within(Reason::Record(reason), name));
        }
        match self.found[place].replace((start, cursor.at)) {
            None => Ok(()),
            Some(_) => duplicate(name),
        }
    }

    /// The keys found in an item as an object of their own, hash key first.
    fn push_found(&mut self, row: usize, cursor: &Cursor<'_>) -> Fallible<()> {
        let Self { columns: [column, ..], keys, found, .. } = self;
        column.push(row, |out| {
            out.push(b'{');
            for (place, (key, found)) in keys.iter().zip(found).enumerate() {
                let Some((start, end)) = *found else { return missing_key(&key.name) };
                if place > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(cursor.between(start, end));
            }
            out.push(b'}');
            Ok(())
        })
    }
}

fn key_tag(kind: KeyKind) -> Tag {
    match kind {
        KeyKind::Text => Tag::Text,
        KeyKind::Number => Tag::Number,
        KeyKind::Binary => Tag::Binary,
    }
}

fn state_of_images() -> SchemaState {
    let column = |name: &str| ColumnState { name: name.to_owned(), kind: KIND.to_owned() };
    SchemaState { columns: NAMES.map(column).to_vec(), keys: Vec::new() }
}

impl Items for RawImages {
    fn keys(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.push(0, row, cursor)
    }

    fn new_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.push(1, row, cursor)
    }

    fn old_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.push(2, row, cursor)
    }

    fn item(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let start = cursor.at;
        self.found.clear();
        self.found.resize(self.keys.len(), None);
        let mut more = cursor.enter_object()?;
        while more {
            let name_at = cursor.at;
            let name = cursor.name()?;
            cursor.colon()?;
            self.attribute(name_at, name, cursor)?;
            more = cursor.more(b'}')?;
        }
        self.push_found(row, cursor)?;
        self.columns[1].push(row, |out| {
            out.extend_from_slice(cursor.since(start));
            Ok(())
        })
    }

    fn keys_from_image(&mut self, _: usize, _: &mut Cursor<'_>) -> Fallible<()> {
        bad_record("it has no Keys")
    }

    fn end_row(&mut self, _: usize) -> Fallible<()> {
        Ok(())
    }

    fn settle(&mut self) {}

    fn undo(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(BytesColumn::bytes).sum()
    }

    fn version(&self) -> u64 {
        0
    }

    fn fields(&self) -> Vec<Field> {
        let nullable = [false, true, true];
        let fields = NAMES.iter().zip(nullable);
        fields
            .map(|(name, nullable)| json_field(Field::new(*name, DataType::Utf8, nullable), self.json))
            .collect()
    }

    fn key_names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.name.clone()).collect()
    }

    fn finish(&mut self, rows: usize, _: &[Arc<Field>], arrays: &mut Vec<ArrayRef>) -> Result<()> {
        for column in &mut self.columns {
            arrays.push(column.finish_text(rows)?);
        }
        Ok(())
    }

    fn state(&self) -> SchemaState {
        state_of_images()
    }

    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn unfit(&self) -> u64 {
        0
    }
}
