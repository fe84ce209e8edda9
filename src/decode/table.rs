//! Items as rows of typed columns that grow with the stream.

mod grow;
mod learn;
mod scattered;
mod unfit;

pub(super) use self::scattered::Waiting;

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_schema::{DataType, Field, Fields};

use self::grow::Growth;
use super::attribute::duplicate;
use super::column::{Fit, disagree};
use super::image::Image;
use super::json::{Cursor, Fallible, within};
use super::kind::json_field;
use super::names::Trail;
use super::rows::{Items, missing_key};
use super::schema::{Schema, Slot};
use super::{DecodeOptions, Format, SchemaState};
use crate::error::Result;
use crate::page::KeyAttribute;

/// In the schema's metadata: the names of the key columns, as a JSON list, hash key first.
pub const KEYS_MARK: &str = "shardarrow.keys";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    New,
    Old,
}

/// Where an attribute value of a record belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) which: Which,
    pub(super) row: usize,
    /// Where its name stands in the page.
    pub(super) name: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    options: DecodeOptions,
    pub(super) schema: Schema,
    /// Empty where it is not known yet which attributes are keys.
    keys: Vec<KeyAttribute>,
    /// New, old. The old one stays empty unless it is asked for, but grows along.
    pub(super) images: [Image; 2],
    key_trail: Trail,
    /// Growth since the last `settle`, with the row that caused it.
    journal: Vec<(usize, Growth)>,
    version: u64,
    notices: Notices,
    unfit: u64,
}

/// Sentences not yet said, and those that are not to be said again.
#[derive(Debug, Default)]
struct Notices {
    waiting: Vec<String>,
    said: HashSet<String>,
}

impl Notices {
    #[cold]
    fn once(&mut self, about: &str, sentence: impl FnOnce() -> String) {
        if self.said.insert(about.to_owned()) {
            self.waiting.push(sentence());
        }
    }
}

impl Table {
    pub(super) fn new(
        options: &DecodeOptions,
        keys: &[KeyAttribute],
        resumed: Option<&SchemaState>,
    ) -> Result<Self> {
        let schema = Schema::new(options, keys, resumed)?;
        let image = || Image::new(schema.columns.iter().map(|column| &column.kind));
        Ok(Self {
            images: [image(), image()],
            options: options.clone(),
            schema,
            keys: keys.to_vec(),
            key_trail: Trail::default(),
            journal: Vec::new(),
            version: 0,
            notices: Notices::default(),
            unfit: 0,
        })
    }

    /// Takes the attributes of the object at the cursor, with the keys or without.
    fn image<const WITH_KEYS: bool>(
        &mut self,
        which: Which,
        row: usize,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<()> {
        if self.images[which as usize].start() && !cursor.is_plain {
            return self.scattered::<WITH_KEYS>(which, row, cursor);
        }
        let mut more = cursor.enter_object()?;
        while more {
            self.attribute::<WITH_KEYS>(Spot { which, row, name: cursor.at }, cursor)?;
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    /// Takes the attribute at the cursor.
    #[inline(always)]
    pub(super) fn attribute<const WITH_KEYS: bool>(
        &mut self,
        spot: Spot,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<()> {
        let image = &mut self.images[spot.which as usize];
        image.attributes += 1;
        let place = match self.schema.names.guess(cursor, &mut image.trail) {
            Some(place) => Some(place),
            None => self.look_up(spot, cursor)?,
        };
        if place.is_some_and(|place| !self.images[spot.which as usize].see(place)) {
            return duplicate(cursor.name_at(spot.name)?);
        }
        match self.take::<WITH_KEYS>(spot, place, cursor) {
            Ok(()) => Ok(()),
            Err(fault) => Err(within(*fault, cursor.name_at(spot.name)?)),
        }
    }

    /// Takes in the attribute value at the cursor.
    #[inline(always)]
    pub(super) fn take<const WITH_KEYS: bool>(
        &mut self,
        spot: Spot,
        place: Option<usize>,
        cursor: &mut Cursor<'_>,
    ) -> Fallible<()> {
        let slot = match place {
            Some(place) => self.schema.slot(place),
            None => self.schema.unknown_slot(),
        };
        match slot {
            // The keys of a change come from the record's own `Keys`.
            Slot::Column(number) if !WITH_KEYS && number < self.schema.keys => cursor.pass_attribute(),
            Slot::Column(number) => self.place(spot, number, cursor),
            Slot::Open => self.infer(spot, place, cursor),
            Slot::Rest => self.rest(spot, cursor),
            Slot::Reserved => self.reserved(spot, cursor),
            Slot::Dropped => cursor.pass_attribute(),
        }
    }

    /// Passes a name that is not where it was the last time.
    pub(super) fn look_up(&mut self, spot: Spot, cursor: &mut Cursor<'_>) -> Fallible<Option<usize>> {
        let image = &mut self.images[spot.which as usize];
        if let Some(place) = self.schema.names.look_up(cursor, &mut image.trail)? {
            return Ok(Some(place));
        }
        let name = cursor.name_at(spot.name)?;
        if let Some(place) = self.schema.learn(&name.lossy()) {
            return Ok(Some(place));
        }
        if image.see_unnamed(name)? { Ok(None) } else { duplicate(name) }
    }

    /// Puts a value into its column; widens the column or puts the value into the rest when it does not fit.
    #[inline(always)]
    fn place(&mut self, spot: Spot, number: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let start = cursor.at;
        let column = &mut self.images[spot.which as usize].columns[number];
        if column.is_json() && self.options.old_image {
            return self.place_twin(spot, number, cursor);
        }
        match column.push(spot.row, cursor)? {
            Fit::Yes => Ok(()),
            fit => self.misfit(spot, number, cursor, (start, fit)),
        }
    }

    /// Puts a nested value into its column. Most are the same in both images, and then are not written again.
    fn place_twin(&mut self, spot: Spot, number: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let start = cursor.at;
        let [new, old] = &mut self.images;
        if spot.which == Which::Old
            && let Some(length) = new.twins.length_of_same(number, cursor)
            && old.columns[number].push_same(spot.row, &new.columns[number])?
        {
            cursor.at += length;
            return Ok(());
        }
        let image = &mut self.images[spot.which as usize];
        match image.columns[number].push(spot.row, cursor)? {
            Fit::Yes => {
                image.twins.note(number, start, cursor.at);
                Ok(())
            }
            fit => self.misfit(spot, number, cursor, (start, fit)),
        }
    }

    fn attribute_fields(&self, nullable_keys: bool) -> impl Iterator<Item = Field> + '_ {
        let keys = self.schema.keys;
        self.schema.columns.iter().enumerate().map(move |(number, column)| {
            column.kind.field(&column.name, nullable_keys || number >= keys, &self.options)
        })
    }

    fn rest_field(&self) -> Field {
        let name = format!("{}rest", self.options.metadata_prefix);
        json_field(Field::new(name, DataType::Utf8, true), self.options.json)
    }
}

impl Items for Table {
    fn keys(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.key_trail.start();
        let mut more = cursor.enter_object()?;
        while more {
            let spot = Spot { which: Which::New, row, name: cursor.at };
            let place = self.schema.names.find(cursor, &mut self.key_trail)?;
            match place.map(|place| self.schema.slot(place)) {
                Some(Slot::Column(number)) if number < self.schema.keys => {
                    if self.images[Which::New as usize].columns[number].len() > row {
                        return duplicate(cursor.name_at(spot.name)?);
                    }
                    if let Err(fault) = self.place(spot, number, cursor) {
                        return Err(within(*fault, cursor.name_at(spot.name)?));
                    }
                }
                _ => cursor.skip_value()?,
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    fn new_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.image::<false>(Which::New, row, cursor)
    }

    fn item(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.image::<true>(Which::New, row, cursor)
    }

    fn old_image(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        if !self.options.old_image {
            return cursor.pass_object();
        }
        self.image::<true>(Which::Old, row, cursor)?;
        let valid = &mut self.images[Which::Old as usize].valid;
        valid.pad(row);
        valid.push_valid();
        Ok(())
    }

    fn knows_keys(&self) -> bool {
        self.options.format != Format::Dynamodb || !self.keys.is_empty()
    }

    fn learn_keys(&mut self, row: usize, cursor: &mut Cursor<'_>) -> Fallible<()> {
        self.learn(row, cursor)
    }

    fn end_row(&mut self, row: usize) -> Fallible<()> {
        let keys = self.images[Which::New as usize].columns.iter().take(self.schema.keys);
        for (column, attribute) in keys.zip(&self.schema.columns) {
            if column.len() <= row {
                return missing_key(&attribute.name);
            }
        }
        self.images.iter_mut().try_for_each(Image::end_row)
    }

    fn settle(&mut self) {
        self.journal.clear();
    }

    fn undo(&mut self, rows: usize) {
        self.shrink(rows);
        self.images.iter_mut().for_each(|image| image.truncate(rows));
    }

    fn bytes(&self) -> usize {
        let old = if self.options.old_image { self.images[Which::Old as usize].bytes() } else { 0 };
        self.images[Which::New as usize].bytes() + old
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn fields(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = self.attribute_fields(false).collect();
        if self.options.old_image {
            let inner: Fields = self.attribute_fields(true).chain([self.rest_field()]).collect();
            fields.push(Field::new(
                format!("{}old", self.options.metadata_prefix),
                DataType::Struct(inner),
                true,
            ));
        }
        fields.push(self.rest_field());
        fields
    }

    fn key_names(&self) -> Vec<String> {
        self.schema.columns.iter().take(self.schema.keys).map(|key| key.name.clone()).collect()
    }

    fn finish(&mut self, rows: usize, fields: &[Arc<Field>], arrays: &mut Vec<ArrayRef>) -> Result<()> {
        let [new, old] = &mut self.images;
        for (column, field) in new.columns.iter_mut().zip(fields) {
            arrays.push(column.finish(rows, field.data_type())?);
        }
        if let Some(DataType::Struct(inner)) = fields.get(new.columns.len()).map(|field| field.data_type()) {
            let mut olds = Vec::with_capacity(inner.len());
            for (column, field) in old.columns.iter_mut().zip(inner) {
                olds.push(column.finish(rows, field.data_type())?);
            }
            olds.push(old.rest.finish(rows)?);
            old.valid.pad(rows);
            let array = StructArray::try_new_with_length(inner.clone(), olds, old.valid.finish(), rows);
            arrays.push(Arc::new(array.map_err(disagree)?));
        }
        arrays.push(new.rest.finish(rows)?);
        Ok(())
    }

    fn state(&self) -> SchemaState {
        match self.options.format {
            Format::Dynamodb if self.keys.is_empty() => SchemaState::default(),
            Format::Dynamodb => SchemaState { keys: self.keys.clone(), ..self.schema.state() },
            _ => self.schema.state(),
        }
    }

    fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices.waiting)
    }

    fn unfit(&self) -> u64 {
        self.unfit
    }
}
