//! Which attributes have a column: declared, inferred, or resumed from a checkpoint.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::page::{KeyAttribute, KeyKind};

use super::kind::{Fixed, Kind, Width};
use super::names::Names;
use super::{ColumnState, DecodeOptions, Format, Numbers, SchemaState, metadata};

/// Where the values of an attribute go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Column(usize),
    /// Not yet decided: the first value of a kind that can be a column makes it one.
    Open,
    Rest,
    /// To the rest, because a metadata column has the name.
    Reserved,
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Among all names met.
    place: usize,
}

/// Every attribute met, and the columns in their order: keys first.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) names: Names,
    slots: Vec<Slot>,
    pub(super) columns: Vec<Attribute>,
    pub(super) keys: usize,
    /// What becomes of attributes never heard of.
    unknown: Option<Slot>,
    /// Names beyond this many are not remembered: a table may use attribute names like data.
    max_names: usize,
}

impl Schema {
    pub(super) fn new(
        options: &DecodeOptions,
        keys: &[KeyAttribute],
        resumed: Option<&SchemaState>,
    ) -> Result<Self> {
        let mut schema = Self { max_names: options.max_columns.saturating_add(10_000), ..Self::default() };
        for name in metadata::names(options) {
            schema.name(&name, Slot::Reserved);
        }
        if options.format == Format::Json {
            // Not every consumer of a table can name a column with nothing.
            schema.name("", Slot::Rest);
        }
        for key in keys {
            schema.add_declared(options, &key.name, key_kind(key.kind))?;
        }
        schema.keys = schema.columns.len();
        if let Some(resumed) = resumed {
            schema.resume(options, resumed)?;
        }
        schema.declare(options)?;
        schema.project(options)?;
        Ok(schema)
    }

    fn name(&mut self, name: &str, slot: Slot) -> usize {
        let place = self.names.add(name.as_bytes());
        self.slots.push(slot);
        place
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slot(&self, place: usize) -> Slot {
        self.slots.get(place).copied().unwrap_or(Slot::Rest)
    }

    /// The place of a name met for the first time; `None` when there are too many to remember it.
    pub(super) fn learn(&mut self, name: &str) -> Option<usize> {
        let slot = self.unknown_slot();
        (self.names.len() < self.max_names).then(|| self.name(name, slot))
    }

    pub(super) fn unknown_slot(&self) -> Slot {
        match self.unknown {
            Some(slot) => slot,
            None if self.names.len() < self.max_names => Slot::Open,
            None => Slot::Rest,
        }
    }

    /// Makes a column of an attribute; returns its number.
    pub(super) fn add_column(&mut self, place: usize, name: String, kind: Kind) -> usize {
        let number = self.columns.len();
        self.columns.push(Attribute { name, kind, place });
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot::Column(number);
        }
        number
    }

    /// Takes back the column added last.
    pub(super) fn remove_column(&mut self) {
        if let Some(attribute) = self.columns.pop()
            && let Some(slot) = self.slots.get_mut(attribute.place)
        {
            *slot = Slot::Open;
        }
    }

    pub(super) fn state(&self) -> SchemaState {
        let columns = self.columns.iter();
        let state =
            |column: &Attribute| ColumnState { name: column.name.clone(), kind: column.kind.to_string() };
        SchemaState { columns: columns.map(state).collect(), keys: Vec::new() }
    }

    fn find(&self, name: &str) -> Option<usize> {
        match self.slot(self.names.get(name.as_bytes())?) {
            Slot::Column(number) => Some(number),
            _ => None,
        }
    }

    fn add_declared(&mut self, options: &DecodeOptions, name: &str, kind: Kind) -> Result<()> {
        if self.names.get(name.as_bytes()).is_some() {
            return Err(Error::usage(format!(
                "the attribute {name:?} has the name of a metadata column or stands twice; choose another \
                 metadata_prefix than {:?}, or name it once",
                options.metadata_prefix
            )));
        }
        let place = self.name(name, Slot::Open);
        self.add_column(place, name.to_owned(), kind);
        Ok(())
    }

    fn resume(&mut self, options: &DecodeOptions, resumed: &SchemaState) -> Result<()> {
        for column in &resumed.columns {
            let kind = Kind::parse(&column.kind).map_err(|error| disagrees(column, error.message()))?;
            let key = self.find(&column.name);
            check_resumed(options, column, &kind, key.is_some())?;
            match key {
                Some(other) if other >= self.keys => return Err(disagrees(column, "it stands there twice")),
                Some(key) => {
                    let known = std::mem::replace(&mut self.columns[key].kind, Kind::Unknown);
                    self.columns[key].kind = known
                        .merge(&kind)
                        .or_else(|| (options.schema.is_some() && is_key_number(&kind)).then_some(kind))
                        .ok_or_else(|| disagrees(column, "the table's key has another type"))?;
                }
                None => self.add_declared(options, &column.name, kind)?,
            }
        }
        Ok(())
    }

    /// A declared schema: its columns in its order, behind the keys and what a checkpoint has.
    fn declare(&mut self, options: &DecodeOptions) -> Result<()> {
        let Some(declared) = &options.schema else { return Ok(()) };
        self.unknown = Some(Slot::Rest);
        let resumed = self.columns.len();
        let mut named = HashSet::new();
        for column in declared {
            let kind = Kind::parse(&column.kind).map_err(|error| {
                Error::usage(format!("schema, column {:?}: {}", column.name, error.message()))
            })?;
            if options.format == Format::Json && !kind.is_plain() {
                return Err(no_json(&column.name, &kind));
            }
            if !named.insert(column.name.as_str()) {
                return Err(Error::usage(format!("schema names the column {:?} twice", column.name)));
            }
            match self.find(&column.name) {
                Some(key) if key < self.keys => self.declare_key(key, kind)?,
                Some(known) => same_kind(&self.columns[known], &kind)?,
                None => self.add_declared(options, &column.name, kind)?,
            }
        }
        let missing =
            self.columns[self.keys..resumed].iter().find(|column| !named.contains(column.name.as_str()));
        missing.map_or(Ok(()), |column| Err(left_out("schema", &column.name)))
    }

    fn declare_key(&mut self, key: usize, kind: Kind) -> Result<()> {
        let known = &mut self.columns[key];
        let fresh = matches!(known.kind, Kind::Number(Width::Int)) && is_key_number(&kind);
        if fresh {
            known.kind = kind;
            return Ok(());
        }
        same_kind(known, &kind)
    }

    fn project(&mut self, options: &DecodeOptions) -> Result<()> {
        let Some(wanted) = &options.columns else { return Ok(()) };
        let wanted: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let dropped = self.columns.split_off(self.keys);
        for column in dropped {
            if wanted.contains(column.name.as_str()) {
                let name = column.name;
                self.add_column(column.place, name, column.kind);
            } else if options.schema.is_some() {
                self.slots[column.place] = Slot::Dropped;
            } else {
                return Err(left_out("columns", &column.name));
            }
        }
        for name in wanted {
            if self.names.get(name.as_bytes()).is_none() {
                let slot = self.unknown_slot();
                self.name(name, slot);
            }
        }
        self.unknown = Some(Slot::Dropped);
        Ok(())
    }
}

fn key_kind(kind: KeyKind) -> Kind {
    match kind {
        KeyKind::Text => Kind::Text,
        KeyKind::Number => Kind::Number(Width::Int),
        KeyKind::Binary => Kind::Binary,
    }
}

/// Key numbers are never rounded.
fn is_key_number(kind: &Kind) -> bool {
    match kind {
        Kind::Number(_) => true,
        Kind::Fixed(fixed) => matches!(fixed, Fixed::Int16 | Fixed::Int32 | Fixed::Decimal { .. }),
        _ => false,
    }
}

fn same_kind(known: &Attribute, declared: &Kind) -> Result<()> {
    if known.kind == *declared {
        return Ok(());
    }
    Err(Error::usage(format!(
        "schema declares {:?} as {declared}, but it is {}; declare that type, or start with a new checkpoint",
        known.name, known.kind
    )))
}

/// Columns that these options would never have made.
fn check_resumed(options: &DecodeOptions, column: &ColumnState, kind: &Kind, is_key: bool) -> Result<()> {
    if options.schema.is_some() {
        return Ok(());
    }
    if !kind.is_inferred() {
        return Err(disagrees(column, "such a column comes from schema=, which is not given now"));
    }
    match options.numbers {
        Numbers::Exact if kind.has_float() => {
            Err(disagrees(column, "it comes from numbers=\"float64\", but numbers is \"exact\" now"))
        }
        Numbers::Float64 if !is_key && kind.has_exact() => {
            Err(disagrees(column, "it comes from numbers=\"exact\", but numbers is \"float64\" now"))
        }
        _ => Ok(()),
    }
}

fn no_json(name: &str, kind: &Kind) -> Error {
    Error::usage(format!(
        "schema declares {name:?} as {kind}, but JSON has neither binaries nor sets; declare utf8 or list<…>"
    ))
}

fn disagrees(column: &ColumnState, why: &str) -> Error {
    Error::usage(format!(
        "the checkpoint has the column {:?} of type {:?}: {why}; use the options it was written with, or start \
         with a new checkpoint",
        column.name, column.kind
    ))
}

fn left_out(option: &str, name: &str) -> Error {
    Error::usage(format!(
        "{option} leaves out {name:?}, which is a column in the checkpoint; add it, or start with a new checkpoint"
    ))
}
