//! The data of Kinesis records as it is: one binary column.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field};

use super::column::BytesColumn;
use super::json::{Cursor, Fallible, bad_record};
use super::rows::Items;
use super::{ColumnState, DecodeOptions, Images, SchemaState, other_format};
use crate::error::{Error, Result};
use crate::page::KeyAttribute;

const NAME: &str = "data";
/// The word in a checkpoint's schema, so that the formats are not mistaken for one another.
const KIND: &str = "data";

#[derive(Debug, Default)]
pub(super) struct Payloads {
    data: BytesColumn,
}

impl Payloads {
    pub(super) fn new(
        options: &DecodeOptions,
        keys: &[KeyAttribute],
        resumed: Option<&SchemaState>,
    ) -> Result<Self> {
        refuse(
            "bytes",
            &[
                ("schema", options.schema.is_some()),
                ("columns", options.columns.is_some()),
                ("images", options.images == Images::Json),
                ("old_image", options.old_image),
                ("image_hashes", options.image_hashes),
                ("changes_of", options.changes_of.is_some()),
                ("keys", !keys.is_empty()),
            ],
        )?;
        if resumed.is_some_and(|state| !state.columns.is_empty() && *state != state_of_data()) {
            return Err(other_format());
        }
        Ok(Self::default())
    }
}

/// # Errors
/// `Usage` that names the first option given that means nothing to a format.
pub(super) fn refuse(format: &str, options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Error::usage(format!(
            "{option}= has no meaning with format=\"{format}\"; leave it out, or choose another format"
        ))),
    }
}

fn state_of_data() -> SchemaState {
    let column = ColumnState { name: NAME.to_owned(), kind: KIND.to_owned() };
    SchemaState { columns: vec![column], keys: Vec::new() }
}

fn not_a_change<T>() -> Fallible<T> {
    bad_record("it is a change of an item, where data was expected")
}

impl Items for Payloads {
    fn keys(&mut self, _: usize, _: &mut Cursor<'_>) -> Fallible<()> {
        not_a_change()
    }

    fn new_image(&mut self, _: usize, _: &mut Cursor<'_>) -> Fallible<()> {
        not_a_change()
    }

    fn old_image(&mut self, _: usize, _: &mut Cursor<'_>) -> Fallible<()> {
        not_a_change()
    }

    /// Takes whatever is left for the cursor.
    fn item(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let data = cursor.rest();
        cursor.at += data.len();
        self.data.push(row, |out| {
            out.extend_from_slice(data);
            Ok(())
        })
    }

    fn end_row(&mut self, _: usize) -> Fallible<()> {
        Ok(())
    }

    fn settle(&mut self) {}

    fn undo(&mut self, rows: usize) {
        self.data.truncate(rows);
    }

    fn bytes(&self) -> usize {
        self.data.bytes()
    }

    fn version(&self) -> u64 {
        0
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::new(NAME, DataType::Binary, false)]
    }

    fn key_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn finish(&mut self, rows: usize, _: &[Arc<Field>], arrays: &mut Vec<ArrayRef>) -> Result<()> {
        arrays.push(self.data.finish_binary(rows)?);
        Ok(())
    }

    fn state(&self) -> SchemaState {
        state_of_data()
    }

    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn unfit(&self) -> u64 {
        0
    }
}
