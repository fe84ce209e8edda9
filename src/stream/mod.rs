//! The thin driver around `Run`: tasks under one token, a queue of batches, tickets for commits.
//!
//! Everything here is non-blocking. Whoever waits is told through a `Wake` that something changed,
//! and looks again.

mod answer;
mod describing;
mod driver;
mod examining;
mod log;
mod opening;
mod runtime;
mod shared;
mod store;
mod table;
mod thread;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_schema::SchemaRef;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::BatchRef;
use crate::checkpoint::{Checkpoint, CheckpointStore, Gap, QuarantinedRecord, Save};
use crate::decode::{Decoder, SchemaState};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Description;
use crate::run::{Metrics, Options};
use crate::source::Source;

pub use answer::{Answer, Ticket};
pub use examining::{Examination, examine};
use log::Log;
pub use log::{Level, Line};
pub use runtime::{shut_down, spawn};
use shared::{Front, LastWords, Shared, Told};
pub use table::{Conform, Table, TableReader};

/// Called after anything changed that somebody may wait for. It must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

pub type MakeDecoder = Box<dyn FnOnce(&Description, Option<&SchemaState>) -> Result<Box<dyn Decoder>> + Send>;
pub type OpenStore = Box<dyn FnOnce() -> Result<Box<dyn CheckpointStore>> + Send>;

/// What a stream is made of. Nothing of it is touched before `Stream::open`.
pub struct Plan {
    pub source: Arc<dyn Source>,
    pub decoder: MakeDecoder,
    pub keep: Keep,
    /// `keeper` and the sizes of pages are set on opening, from `keep` and from the source.
    pub options: Options,
    /// Whether to turn the table's stream on when it is off.
    pub enable_stream: bool,
}

/// Where the checkpoint comes from and goes to.
pub enum Keep {
    Store(OpenStore),
    /// A loader keeps it with its data; this is what it found there.
    Loader(Option<Box<Checkpoint>>),
}

/// What is next for the consumer.
#[derive(Debug)]
pub enum Next {
    Batch(BatchRef),
    /// Nothing is ready; the wake says when to look again.
    Pending,
    Ended,
    Failed(Error),
}

/// A running stream. Dropping it cancels every task; what was done but not flushed is read again.
pub struct Stream {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    token: CancellationToken,
    /// Something was done that nobody asked to save yet.
    unsaved: AtomicBool,
}

/// Cancelled when the stream is dropped, or when the process ends.
struct Tokens {
    own: CancellationToken,
    root: CancellationToken,
}

impl Tokens {
    async fn cancelled(&self) {
        tokio::select! {
            () = self.own.cancelled() => {}
            () = self.root.cancelled() => {}
        }
    }
}

enum Command {
    /// There is time to save what is done.
    Save,
    /// The loader made everything up to this entry durable.
    Saved(u64),
    Flush(oneshot::Sender<Result<()>>),
    State(oneshot::Sender<Result<Save>>),
    Gaps(oneshot::Sender<Result<Vec<Gap>>>),
    Quarantined(oneshot::Sender<Result<Vec<QuarantinedRecord>>>),
    Close,
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the stream is closed; open a new one with source.stream(...)")
}

fn never_ready() -> Error {
    Error::new(ErrorKind::Closed, "the stream ended before its snapshot was complete")
}

impl Stream {
    /// Starts opening in the background and returns at once.
    ///
    /// # Errors
    /// `Closed` when the process is ending and the runtime is gone.
    pub fn open(plan: Plan, wake: Wake) -> Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let token = CancellationToken::new();
        let shared = Arc::new(Shared {
            front: Mutex::default(),
            run: Mutex::new(None),
            began: Instant::now(),
            wake,
            told: Notify::new(),
            has_log: AtomicBool::new(false),
        });
        runtime::spawn(|root| {
            thread::supervise(plan, shared.clone(), receiver, Tokens { own: token.clone(), root })
        })?;
        Ok(Self { shared, commands, token, unsaved: AtomicBool::new(false) })
    }

    /// `None` while opening; then whether the first listing is done and the first checkpoint saved.
    pub fn opened(&self) -> Option<Result<()>> {
        self.shared.front().opened.clone()
    }

    /// What the source is, as soon as the service has said so.
    pub fn description(&self) -> Option<Arc<Description>> {
        self.shared.front().description.clone()
    }

    /// The columns known before the first record; all there ever are when the schema is fixed.
    pub fn first_schema(&self) -> Option<SchemaRef> {
        self.shared.front().schema.clone()
    }

    /// Takes the next batch. It stops counting towards the memory limit.
    ///
    /// When none is ready there is time to save what is done.
    pub fn try_next(&self) -> Next {
        let mut front = self.shared.front();
        if let Some(batch) = front.queue.pop_front() {
            front.unheard += 1;
            self.tell(front, Told::Taken(batch.number));
            return Next::Batch(batch);
        }
        let next = match &front.outcome {
            Some(Ok(())) if front.is_drained() => Next::Ended,
            Some(Err(error)) if front.is_drained() => Next::Failed(error.clone()),
            _ => Next::Pending,
        };
        drop(front);
        if self.unsaved.swap(false, Ordering::Relaxed) {
            self.send(Command::Save);
        }
        next
    }

    /// Whether every batch was taken and the stream ended without a failure.
    pub fn is_ended(&self) -> bool {
        let front = self.shared.front();
        front.is_drained() && matches!(front.outcome, Some(Ok(())))
    }

    /// Whether the snapshot is complete and every change made up to its end was taken.
    pub fn is_ready(&self) -> bool {
        self.shared.front().ready
    }

    /// As `is_ready`, for one who waits: `None` while it may still come. It comes by taking batches.
    ///
    /// # Errors
    /// What ended the stream, when it ended before it was ready.
    pub fn ready(&self) -> Option<Result<()>> {
        let front = self.shared.front();
        match &front.outcome {
            _ if front.ready => Some(Ok(())),
            Some(Err(error)) if front.is_drained() || front.closed.is_some() => Some(Err(error.clone())),
            Some(Ok(())) if front.is_drained() || front.closed.is_some() => Some(Err(never_ready())),
            _ => None,
        }
    }

    /// The consumer is done with this batch (`alone`), or with it and all before it.
    pub fn done(&self, batch: u64, alone: bool) {
        self.tell(self.shared.front(), Told::Done { batch, alone });
        self.unsaved.store(true, Ordering::Relaxed);
    }

    /// Asks that everything done so far becomes durable now.
    pub fn flush(&self) -> Ticket {
        self.ask(Command::Flush)
    }

    /// Everything through the batches taken so far, for a loader to keep with its data.
    pub fn state(&self) -> Answer<Save> {
        self.ask(Command::State)
    }

    /// The loader made everything up to this entry durable.
    pub fn saved(&self, through: u64) {
        self.send(Command::Saved(through));
    }

    /// Flushes what is done, ends every task and lets the store go. `closed` says when.
    pub fn close(&self) {
        self.send(Command::Close);
    }

    /// `None` until closing is complete; then whether everything done is durable.
    pub fn closed(&self) -> Option<Result<()>> {
        self.shared.front().closed.clone()
    }

    /// How far the stream is, in a word: `opening`, `open`, `ended`, `failed` or `closed`.
    pub fn state_word(&self) -> &'static str {
        let front = self.shared.front();
        match (&front.closed, &front.outcome, &front.opened) {
            (Some(_), ..) => "closed",
            (_, Some(Err(_)), _) => "failed",
            (_, Some(Ok(())), _) => "ended",
            (.., Some(_)) => "open",
            (.., None) => "opening",
        }
    }

    /// What the run counts; `None` until the table was described. Works while failing and when closed.
    pub fn metrics(&self) -> Option<Metrics> {
        let now = self.shared.began.elapsed();
        self.shared.run().as_ref().map(|run| run.metrics(now))
    }

    /// Gaps kept with the checkpoint.
    pub fn gaps(&self) -> Answer<Vec<Gap>> {
        let last = self.last_words().map(|words| words.gaps);
        last.map_or_else(|| self.ask(Command::Gaps), Answer::ready)
    }

    /// Quarantined records kept with the checkpoint.
    pub fn quarantined(&self) -> Answer<Vec<QuarantinedRecord>> {
        let last = self.last_words().map(|words| words.quarantined);
        last.map_or_else(|| self.ask(Command::Quarantined), Answer::ready)
    }

    /// Whether there are lines for the log.
    pub fn has_log(&self) -> bool {
        self.shared.has_log.load(Ordering::Acquire)
    }

    /// Lines for the log since the last call.
    pub fn drain_log(&self) -> Vec<Line> {
        let mut front = self.shared.front();
        self.shared.has_log.store(false, Ordering::Release);
        front.log.drain()
    }

    fn last_words(&self) -> Option<LastWords> {
        self.shared.front().last_words.clone()
    }

    fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        self.send(question(sender));
        Answer::new(receiver)
    }

    /// The first thing told wakes the driver, and what it must hear at once.
    fn tell(&self, mut front: MutexGuard<'_, Front>, told: Told) {
        front.told.push(told);
        let wakes = front.told.len() == 1 || front.is_urgent();
        drop(front);
        if wakes {
            self.shared.told.notify_one();
        }
    }

    /// A driver that is gone has nothing left to do; questions to it resolve as `Closed`.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

#[cfg(test)]
mod tests;
