//! Arrow rows as records of a Kinesis stream.
//!
//! The way back: what a row becomes is decided in `rows`, what goes into which request in `plan`, both
//! without a clock. `driver` carries it out. Nothing here blocks: whoever waits is told through a `Wake`
//! that something changed, and looks again.

mod change;
mod driver;
mod json;
mod moment;
pub mod plan;
mod rows;
mod service;
mod template;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::plan::Counts;
use self::plan::{Entry, Limits, Plan};
use self::rows::Layout;
pub use self::rows::{KeyOf, Payload, Shape};
pub use self::service::Place;
use self::service::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::stream::{Wake, spawn};

/// Rows are taken in pieces of about so many bytes, so that nobody is kept for long.
const PIECE: usize = 256 << 10;

/// What a writer is made of. Nothing of it is contacted before `Writer::open`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub place: Place,
    pub shape: Shape,
    /// Whether records with the same partition key are written in the order of their rows.
    pub ordered: bool,
    /// Requests under way at the same time.
    pub requests: usize,
    /// Bytes accepted and not yet acknowledged.
    pub memory: usize,
    /// How long the same thing may fail before it is an error.
    pub patience: Duration,
    pub seed: u64,
}

/// A running writer. Dropping it ends it; what was not acknowledged may be written or not.
pub struct Writer {
    shape: Shape,
    shared: Arc<Shared>,
    token: CancellationToken,
}

struct Shared {
    state: Mutex<State>,
    /// Tells the driver that there is something to send, or that it is to end.
    changed: Notify,
    wake: Wake,
    /// The plan's time is counted from here.
    began: Instant,
}

#[derive(Default)]
struct State {
    phase: Phase,
    plan: Option<Plan>,
    weights: Option<Weights>,
    failure: Option<Error>,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Opening,
    Open,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// After everything accepted was acknowledged.
    Finished,
    /// After the requests under way were answered.
    Abandoned,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of one write, and how far they were taken.
pub struct Rows {
    batches: Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>,
    current: Option<Current>,
    /// Rows taken so far.
    taken: u64,
}

struct Current {
    batch: RecordBatch,
    layout: Layout,
    row: usize,
}

/// What `Writer::take` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    All,
    /// Some rows; there are more.
    Some,
    /// None: what was accepted before has to be acknowledged first. The wake says when to try again.
    Nothing,
}

impl Rows {
    pub fn new(
        batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send + 'static,
    ) -> Self {
        Self { batches: Box::new(batches), current: None, taken: 0 }
    }

    /// The batch with the next row, or `None` at the end.
    fn current(&mut self, shape: &Shape) -> Result<Option<&mut Current>> {
        while self.current.as_ref().is_none_or(|current| current.row == current.batch.num_rows()) {
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let batch = batch.map_err(|cause| {
                let message = format!("the data cannot be read behind row {}: {cause}", self.taken);
                Error::usage(message)
            })?;
            let layout = Layout::new(shape, &batch.schema())?;
            self.current = Some(Current { batch, layout, row: 0 });
        }
        Ok(self.current.as_mut())
    }
}

impl Writer {
    /// Starts opening in the background and returns at once.
    ///
    /// # Errors
    /// `Closed` when the process is ending; `Usage` when a template is none.
    pub fn open(settings: Settings, wake: Wake) -> Result<Self> {
        if let KeyOf::Template(text) = &settings.shape.partition_key {
            template::parse(text)?;
        }
        let shared =
            Arc::new(Shared { state: Mutex::default(), changed: Notify::new(), wake, began: Instant::now() });
        let token = CancellationToken::new();
        let (shape, own, driven) = (settings.shape.clone(), token.clone(), shared.clone());
        spawn(|root| driver::run(settings, driven, own, root))?;
        Ok(Self { shape, shared, token })
    }

    /// `None` while opening; then whether the stream takes records.
    pub fn opened(&self) -> Option<Result<()>> {
        let state = self.shared.state();
        match (&state.failure, state.phase) {
            (Some(error), _) => Some(Err(error.clone())),
            (None, Phase::Opening) => None,
            (None, Phase::Open) => Some(Ok(())),
            (None, Phase::Closed) => Some(Err(closed())),
        }
    }

    /// Takes the next piece of the rows.
    ///
    /// # Errors
    /// `BadRecord`, naming a row that cannot be written: those before it are taken, it and those behind
    /// it are not. What ended the writer.
    pub fn take(&self, rows: &mut Rows) -> Result<Taken> {
        let Some(weights) = self.room()? else { return Ok(Taken::Nothing) };
        let (entries, outcome) = self.piece(rows, weights.record);
        let mut state = self.shared.state();
        if let Some(plan) = &mut state.plan {
            entries.into_iter().for_each(|entry| plan.push(entry));
        }
        drop(state);
        self.shared.changed.notify_one();
        outcome
    }

    /// What a record may weigh, when there is room for one.
    fn room(&self) -> Result<Option<Weights>> {
        let state = self.shared.state();
        match &state.failure {
            Some(error) => return Err(error.clone()),
            None if state.ending.is_some() => return Err(closed()),
            None => {}
        }
        Ok(state.weights.filter(|_| state.plan.as_ref().is_some_and(Plan::has_room)))
    }

    fn piece(&self, rows: &mut Rows, most: usize) -> (Vec<Entry>, Result<Taken>) {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE {
            let number = rows.taken;
            let current = match rows.current(&self.shape) {
                Ok(Some(current)) => current,
                Ok(None) => return (entries, Ok(Taken::All)),
                Err(error) => return (entries, Err(error)),
            };
            match current.layout.entry(&current.batch, current.row, number, most) {
                Ok(entry) => {
                    bytes += entry.size();
                    entries.push(entry);
                    current.row += 1;
                    rows.taken += 1;
                }
                Err(error) => return (entries, Err(error)),
            }
        }
        (entries, Ok(Taken::Some))
    }

    /// `None` while records wait for their acknowledgement.
    ///
    /// # Errors
    /// What ended the writer.
    pub fn flushed(&self) -> Option<Result<()>> {
        let state = self.shared.state();
        match (&state.failure, &state.plan) {
            (Some(error), _) => Some(Err(error.clone())),
            (None, Some(plan)) if plan.is_empty() => Some(Ok(())),
            (None, _) if state.phase == Phase::Closed => Some(Err(closed())),
            _ => None,
        }
    }

    /// Ends the writer when everything accepted is acknowledged.
    pub fn close(&self) {
        self.end(Ending::Finished);
    }

    /// Ends the writer when what is under way is answered; what waits is not sent.
    pub fn abandon(&self) {
        self.end(Ending::Abandoned);
    }

    fn end(&self, ending: Ending) {
        self.shared.state().ending = Some(ending);
        self.shared.changed.notify_one();
    }

    /// `None` until it has ended; then whether everything accepted was acknowledged.
    pub fn closed(&self) -> Option<Result<()>> {
        let state = self.shared.state();
        let failure = state.failure.clone();
        (state.phase == Phase::Closed).then(|| failure.map_or(Ok(()), Err))
    }

    /// What happened so far. Works while failing and when closed.
    pub fn counts(&self) -> Counts {
        self.shared.state().plan.as_ref().map(Plan::counts).unwrap_or_default()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

fn limits(settings: &Settings, weights: Weights) -> Limits {
    Limits {
        records: service::REQUEST_RECORDS,
        request_bytes: weights.request,
        requests: settings.requests,
        memory: settings.memory,
        patience: settings.patience,
        ordered: settings.ordered,
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the writer is closed; make a new one")
}
