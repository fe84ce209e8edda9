//! A store in memory that several streams of one process may use in turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::checkpoint::memory::MemoryStore;
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::error::{Error, ErrorKind, Result};

/// Checkpoints by consumer name; gone with the process.
#[pyclass(frozen, module = "shardarrow._native")]
#[derive(Default)]
pub(super) struct Memory(Arc<Mutex<Consumers>>);

/// `None` while a stream holds it.
type Consumers = HashMap<String, Option<MemoryStore>>;

#[pymethods]
impl Memory {
    #[new]
    fn new() -> Self {
        Self::default()
    }
}

impl Memory {
    pub(super) fn share(&self) -> Shelf {
        Shelf(self.0.clone())
    }
}

/// Where the stores stand while nobody holds them.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Consumers>>);

impl Shelf {
    /// # Errors
    /// `CheckpointBusy` when a stream of this process holds `name`.
    pub(super) fn take(&self, name: &str) -> Result<Held> {
        let mut consumers = self.consumers();
        let place = consumers.entry(name.to_owned()).or_insert_with(|| Some(MemoryStore::new()));
        let store = place.take().ok_or_else(|| {
            Error::new(
                ErrorKind::CheckpointBusy,
                format!(
                    "the consumer {name:?} of this store is in use; close its stream or pass another name"
                ),
            )
        })?;
        Ok(Held { shelf: self.clone(), name: name.to_owned(), store })
    }

    fn consumers(&self) -> MutexGuard<'_, Consumers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One consumer's store, put back when dropped.
pub(super) struct Held {
    shelf: Shelf,
    name: String,
    store: MemoryStore,
}

impl Drop for Held {
    fn drop(&mut self) {
        let store = std::mem::take(&mut self.store);
        self.shelf.consumers().insert(self.name.clone(), Some(store));
    }
}

impl CheckpointStore for Held {
    fn load(&mut self) -> Result<Option<Checkpoint>> {
        self.store.load()
    }

    fn save(&mut self, save: &Save) -> Result<()> {
        self.store.save(save)
    }

    fn gaps(&mut self) -> Result<Vec<Gap>> {
        self.store.gaps()
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedRecord>> {
        self.store.quarantined()
    }

    fn is_durable(&self) -> bool {
        false
    }
}
