//! The one thread that touches the checkpoint store, so that writes happen in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as blocking;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::{LastWords, OpenStore, Wake};
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::error::{Error, Result};
use crate::run::Event;

pub(super) enum Job {
    Save(Box<Save>),
    Gaps(oneshot::Sender<Result<Vec<Gap>>>),
    Quarantined(oneshot::Sender<Result<Vec<QuarantinedRecord>>>),
}

/// Dropping the sender of jobs ends the thread; `ended` resolves when the store is let go.
pub(super) struct Store {
    jobs: blocking::Sender<Job>,
    ended: oneshot::Receiver<Option<LastWords>>,
}

impl Store {
    /// Opens the store on its thread and loads the checkpoint.
    pub(super) async fn open(
        open: OpenStore,
        saved: mpsc::UnboundedSender<Event>,
        wake: Wake,
    ) -> Result<(Self, Option<Checkpoint>)> {
        let (jobs, todo) = blocking::channel();
        let (loaded, checkpoint) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("shardarrow-store".into())
            .spawn(move || {
                let words = keep(open, loaded, &todo, &saved, &wake);
                let _ = end.send(words);
            })
            .map_err(|cause| {
                Error::internal("the thread of the store could not be started").with_cause(cause)
            })?;
        let checkpoint = checkpoint.await.unwrap_or_else(|_| Err(gone()))?;
        Ok((Self { jobs, ended }, checkpoint))
    }

    pub(super) fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Finishes the jobs sent so far and lets the store go.
    pub(super) async fn close(self) -> Option<LastWords> {
        drop(self.jobs);
        self.ended.await.ok().flatten()
    }
}

fn keep(
    open: OpenStore,
    loaded: oneshot::Sender<Result<Option<Checkpoint>>>,
    todo: &blocking::Receiver<Job>,
    saved: &mpsc::UnboundedSender<Event>,
    wake: &Wake,
) -> Option<LastWords> {
    let opened = guarded(|| {
        let mut store = open()?;
        let checkpoint = store.load()?;
        Ok((store, checkpoint))
    });
    let mut store = match opened {
        Ok((store, checkpoint)) => {
            let _ = loaded.send(Ok(checkpoint));
            store
        }
        Err(error) => {
            let _ = loaded.send(Err(error));
            return None;
        }
    };
    while let Ok(job) = todo.recv() {
        carry_out(job, store.as_mut(), saved, wake);
    }
    let gaps = guarded(|| store.gaps()).ok()?;
    let quarantined = guarded(|| store.quarantined()).ok()?;
    Some(LastWords { gaps, quarantined })
}

fn carry_out(job: Job, store: &mut dyn CheckpointStore, saved: &mpsc::UnboundedSender<Event>, wake: &Wake) {
    match job {
        Job::Save(save) => {
            let result = guarded(|| store.save(&save));
            let _ = saved.send(Event::Saved { through: save.through, result });
        }
        Job::Gaps(answer) => {
            let _ = answer.send(guarded(|| store.gaps()));
            wake();
        }
        Job::Quarantined(answer) => {
            let _ = answer.send(guarded(|| store.quarantined()));
            wake();
        }
    }
}

/// A store that panics has failed, and somebody waits to hear of it.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(gone()))
}

fn gone() -> Error {
    Error::internal("the checkpoint store panicked; this is a bug in shardarrow")
}
