//! Keys and images as DynamoDB JSON, exactly as they came: lossless, one schema for ever.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field};

use super::change::Items;
use super::column::BytesColumn;
use super::json::{Cursor, Fallible, bad_record};
use super::kind::json_field;
use super::{ColumnState, DecodeOptions, JsonFields, SchemaState};
use crate::error::{Error, Result};
use crate::page::KeyAttribute;

const NAMES: [&str; 3] = ["keys", "new_image", "old_image"];
/// The word in a checkpoint's schema, so that the two layouts are not mistaken for one another.
const KIND: &str = "image";

#[derive(Debug)]
pub(super) struct RawImages {
    columns: [BytesColumn; 3],
    json: JsonFields,
    keys: Vec<String>,
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
        Ok(Self {
            columns: Default::default(),
            json: options.json,
            keys: keys.iter().map(|key| key.name.clone()).collect(),
        })
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
}

fn state_of_images() -> SchemaState {
    let column = |name: &str| ColumnState { name: name.to_owned(), kind: KIND.to_owned() };
    SchemaState { columns: NAMES.map(column).to_vec() }
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
        self.keys.clone()
    }

    fn finish(&mut self, rows: usize, _: &[Arc<Field>]) -> Result<Vec<ArrayRef>> {
        self.columns.iter_mut().map(|column| column.finish_text(rows)).collect()
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
