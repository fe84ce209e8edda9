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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::checkpoint::FORMAT;

    fn save(epoch: u64) -> Save {
        let gap = Gap {
            shard: None,
            from: None,
            to: None,
            cause: "test".into(),
            stream_arn: "stream".into(),
            found: None,
        };
        let checkpoint = Checkpoint {
            format: FORMAT,
            table: "orders".into(),
            table_arn: "table".into(),
            stream_arn: "stream".into(),
            epoch,
            epoch_begun: 0,
            start: "earliest".into(),
            shards: Default::default(),
            schema: Default::default(),
            snapshot: None,
        };
        Save { through: 0, checkpoint, gaps: vec![gap], quarantined: Vec::new() }
    }

    #[test]
    fn the_last_checkpoint_and_every_gap_are_kept() {
        let mut store = MemoryStore::new();
        assert_eq!(store.load().unwrap(), None);
        store.save(&save(1)).unwrap();
        store.save(&save(2)).unwrap();
        assert!(store.save(&save(1)).is_err());
        assert_eq!(store.load().unwrap(), Some(save(2).checkpoint));
        assert_eq!(store.gaps().unwrap().len(), 2);
        assert!(!store.is_durable());
    }
}
