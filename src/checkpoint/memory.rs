//! A checkpoint that lives as long as the process: for reading once, and for tests.

use crate::checkpoint::forward::refuse_backwards;
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::error::Result;

/// Keeps what is saved in memory; nothing outlives it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    checkpoint: Option<Checkpoint>,
    gaps: Vec<Gap>,
    quarantined: Vec<QuarantinedRecord>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }
}

impl CheckpointStore for MemoryStore {
    fn load(&mut self) -> Result<Option<Checkpoint>> {
        Ok(self.checkpoint.clone())
    }

    fn save(&mut self, save: &Save) -> Result<()> {
        if let Some(saved) = &self.checkpoint {
            refuse_backwards(saved, &save.checkpoint)?;
        }
        self.checkpoint = Some(save.checkpoint.clone());
        self.gaps.extend_from_slice(&save.gaps);
        self.quarantined.extend_from_slice(&save.quarantined);
        Ok(())
    }

    fn gaps(&mut self) -> Result<Vec<Gap>> {
        Ok(self.gaps.clone())
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedRecord>> {
        Ok(self.quarantined.clone())
    }

    fn is_durable(&self) -> bool {
        false
    }
}
