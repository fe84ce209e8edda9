//! What the consumer and the driver of a stream both see.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Log, Wake};
use crate::batch::BatchRef;
use crate::checkpoint::{Gap, QuarantinedRecord};
use crate::error::Result;
use crate::page::Description;
use crate::run::{Event, Run};

/// What the consumer did with a batch.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Taken(u64),
    Done { batch: u64, alone: bool },
}

impl From<Told> for Event {
    fn from(told: Told) -> Self {
        match told {
            Told::Taken(batch) => Self::Taken { batch },
            Told::Done { batch, alone } => Self::Done { batch, alone },
        }
    }
}

pub(super) struct Shared {
    pub(super) front: Mutex<Front>,
    pub(super) run: Mutex<Option<Run>>,
    /// The run's time is counted from here.
    pub(super) began: Instant,
    pub(super) wake: Wake,
    /// Wakes the driver when there is something in `Front::told`. Waking a thread costs more than a
    /// turn of the consumer's loop, so it is done once for all that is told in a moment.
    pub(super) told: Notify,
    /// Whether there are lines in `Front::log`, for a look without the lock.
    pub(super) has_log: AtomicBool,
}

#[derive(Default)]
pub(super) struct Front {
    pub(super) opened: Option<Result<()>>,
    pub(super) description: Option<Arc<Description>>,
    pub(super) schema: Option<SchemaRef>,
    pub(super) queue: VecDeque<BatchRef>,
    /// What the consumer did that the driver has not looked at yet.
    pub(super) told: Vec<Told>,
    /// Batches that were taken but of which the run has not heard yet.
    pub(super) unheard: usize,
    pub(super) ready: bool,
    pub(super) outcome: Option<Result<()>>,
    pub(super) closed: Option<Result<()>>,
    pub(super) last_words: Option<LastWords>,
    pub(super) log: Log,
}

/// What the store held when it was let go, for questions asked after closing.
#[derive(Clone)]
pub(super) struct LastWords {
    pub(super) gaps: Vec<Gap>,
    pub(super) quarantined: Vec<QuarantinedRecord>,
}

impl Front {
    /// Whether every batch was taken, and what that meant is known.
    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty() && (self.unheard == 0 || self.closed.is_some())
    }

    /// Whether the driver must hear at once of what was taken: somebody may wait for what follows.
    pub(super) fn is_urgent(&self) -> bool {
        self.queue.is_empty() || self.outcome.is_some() || !self.ready
    }
}

impl Shared {
    pub(super) fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds lines to the log.
    pub(super) fn log(&self, front: &mut Front, add: impl FnOnce(&mut Log)) {
        add(&mut front.log);
        self.has_log.store(true, Ordering::Release);
    }

    pub(super) fn run(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
