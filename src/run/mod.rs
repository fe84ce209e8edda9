//! The whole run as one state machine: `Run::step(event, now) → actions`.
//!
//! No clock, no randomness of its own, no I/O: the driver in `stream` and the simulation
//! in the tests feed it events and carry out its actions.
//!
//! ```text
//! Listing ──▶ Capturing ──▶ Recording ──▶ Running ──▶ Over
//! (shards)    (latest only)  (first save)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batcher, Due};
use crate::broken;
use crate::budget::{Jitter, Memory};
use crate::checkpoint::{Checkpoint, Delta, Gap, Ledger, Save, ShardState};
use crate::decode::Decoder;
use crate::error::{Error, ErrorKind, Result};
use crate::frontier::Frontier;
use crate::lineage::ShardGraph;
use crate::page::{Cursor, Description, Listing, Millis, OpenAt, Opened, Page, Scope, StreamStatus};
use crate::position::{Position, ShardId};
pub use crate::reader::Now;
use crate::reader::{Limits, Phase, Reader};
use crate::snapshot::Snapshot;

mod ahead;
mod bounded;
mod discovery;
mod doubt;
mod ends;
mod health;
mod message;
mod metrics;
mod options;
mod places;
mod reading;
mod replaced;
mod saving;
mod scanning;
mod start;

use discovery::Discovery;
pub use message::{Action, Event};
pub use metrics::{Metrics, ShardMetrics, SnapshotMetrics};
pub use options::{Keeper, OnGap, Options, Others, Start};
use saving::Saving;
pub use scanning::SnapshotOptions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for the first complete listing of the stream.
    Listing,
    /// `latest`: cursors at the ends of the open shards are being asked for.
    Capturing,
    /// The first checkpoint must be durable before the first page is read.
    Recording,
    Running,
    Over,
}

pub struct Run {
    options: Options,
    description: Description,
    /// The stream being read; an older one than the description's while that is drained.
    stream_arn: String,
    stage: Stage,
    /// Whether the checkpoint knew this stream already.
    resumed: bool,
    graph: ShardGraph,
    /// Every known shard as it was when it became known, or when this run began.
    starts: BTreeMap<ShardId, ShardState>,
    readers: BTreeMap<ShardId, Reader>,
    /// Readers that want something, by the moment they may have it.
    agenda: BTreeSet<(Now, ShardId)>,
    batcher: Batcher,
    /// Facts that go into the order with the batch being gathered.
    deltas: Vec<Delta>,
    frontier: Frontier<Ledger, Delta>,
    /// Bytes of emitted batches that nobody has taken yet.
    waiting: BTreeMap<u64, usize>,
    /// Changes in the batch being gathered, and in each batch that is not committed.
    changes_gathered: u64,
    changes_held: BTreeMap<u64, u64>,
    memory: Memory,
    discovery: Discovery,
    saving: Saving,
    jitter: Jitter,
    /// The service's time, and when it was read.
    server: Option<(Millis, Now)>,
    epoch: u64,
    snapshot: Option<Snapshot>,
    /// Requests for cursors and pages of shards, and of segments, that have not been answered.
    shards_asked: usize,
    segments_asked: usize,
    scan_retries: u64,
    /// Rows of a page are in the batch whose rest is not: they must not leave.
    half_a_page: bool,
    /// Items a limited scan may still give.
    items_left: Option<u64>,
    /// The entry with which the snapshot is ready.
    ready_from: u64,
    /// Records are lost and the table is to be scanned again.
    wants_epoch: bool,
    /// Shards that are far behind, and how many of the marks they have passed.
    late: BTreeMap<ShardId, usize>,
    /// The service's time when the shards were first listed.
    opened_at: Option<Millis>,
    actions: Vec<Action>,
}

impl Run {
    /// # Errors
    /// `CheckpointMismatch` when the checkpoint belongs to another table.
    pub fn new(
        description: Description,
        options: Options,
        decoder: Box<dyn Decoder>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self> {
        let checkpoint = match checkpoint {
            Some(checkpoint) => start::resumable(checkpoint, &description)?,
            None => start::fresh(&description, &options.start),
        };
        let due = Due { rows: options.batch_rows, bytes: options.batch_bytes, wait: options.batch_wait };
        Ok(Self {
            stream_arn: checkpoint.stream_arn.clone(),
            stage: Stage::Listing,
            resumed: !checkpoint.shards.is_empty(),
            epoch: checkpoint.epoch,
            snapshot: Self::resumed_snapshot(&options, &checkpoint),
            shards_asked: 0,
            segments_asked: 0,
            scan_retries: 0,
            half_a_page: false,
            items_left: options.snapshot.limit,
            ready_from: 0,
            wants_epoch: false,
            graph: start::remembered(&checkpoint),
            starts: checkpoint.shards.clone(),
            readers: BTreeMap::new(),
            agenda: BTreeSet::new(),
            batcher: Batcher::new(decoder, due),
            deltas: Vec::new(),
            frontier: Frontier::new(Ledger::new(checkpoint), options.keeper == Keeper::Loader),
            waiting: BTreeMap::new(),
            changes_gathered: 0,
            changes_held: BTreeMap::new(),
            memory: Memory::new(options.memory_limit),
            discovery: Discovery::default(),
            saving: Saving::default(),
            jitter: Jitter::new(options.seed),
            server: None,
            late: BTreeMap::new(),
            opened_at: None,
            actions: Vec::new(),
            description,
            options,
        })
    }

    /// The first actions.
    pub fn start(&mut self, now: Now) -> Vec<Action> {
        if self.options.snapshot.scan_only {
            self.prepare_scan();
            self.stage = Stage::Running;
        }
        self.step(Event::Tick, now)
    }

    /// Takes one event and says what to do next. After `Fail` or `End` only commits are still heard.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Action> {
        let ahead = self.ask_ahead(&event, now);
        self.actions.extend(ahead);
        let outcome = self.hear(event, now).and_then(|()| self.advance(now));
        if let Err(error) = outcome {
            self.fail(error);
        }
        self.save_when_due(now);
        std::mem::take(&mut self.actions)
    }

    fn hear(&mut self, event: Event, now: Now) -> Result<()> {
        if matches!(event, Event::Opened { .. } | Event::Fetched { .. }) {
            self.shards_asked = self.shards_asked.saturating_sub(1);
        }
        match event {
            Event::Taken { batch } => self.taken(batch),
            Event::Done { batch, alone } => self.done(batch, alone),
            Event::Flush => self.save_soon(),
            Event::Saved { through, result } => self.saved(through, result, now)?,
            _ if self.stage == Stage::Over => {}
            Event::Listed { scope, result } => self.listed(scope, result, now)?,
            Event::Opened { shard, result } => self.opened(&shard, result, now)?,
            Event::Fetched { shard, cursor, result } => self.fetched(&shard, &cursor, result, now)?,
            Event::Scanned { segment, result } => self.scanned(segment, result, now)?,
            Event::Described(result) => self.described(result, now)?,
            Event::Tick => {}
        }
        Ok(())
    }

    fn advance(&mut self, now: Now) -> Result<()> {
        if self.stage == Stage::Over {
            return Ok(());
        }
        if self.wants_epoch {
            self.begin_epoch(now)?;
        }
        self.list_when_due(now);
        self.take_turns(now);
        self.ask_readers(now)?;
        self.ask_segments(now);
        self.flush_when_due(now)?;
        self.become_ready(now)?;
        self.end_scan_only()?;
        self.end_when_passed(now)
    }

    /// When `Event::Tick` is wanted at the latest.
    pub fn deadline(&self) -> Option<Now> {
        let saving = self.save_due();
        if self.stage == Stage::Over {
            return saving;
        }
        let reading = self.may_read_shards() && !self.saving.starved;
        let agenda = self.agenda.first().map(|(due, _)| *due).filter(|_| reading);
        let listing = self.discovery.due().filter(|_| !self.options.snapshot.scan_only);
        let scanning =
            self.snapshot.as_ref().filter(|_| self.stage == Stage::Running && !self.saving.starved);
        let scanning = scanning.and_then(Snapshot::due);
        [agenda, listing, self.batcher.due_at(), saving, scanning].into_iter().flatten().min()
    }

    /// Whether the shards are known and reading may begin.
    pub fn is_open(&self) -> bool {
        match self.options.keeper {
            Keeper::Store => !matches!(self.stage, Stage::Listing | Stage::Capturing | Stage::Recording),
            Keeper::Loader => !matches!(self.stage, Stage::Listing | Stage::Capturing),
        }
    }

    fn taken(&mut self, batch: u64) {
        self.frontier.taken(batch);
        if broken::is("taken-is-done") {
            self.frontier.done(batch, false);
        }
        if let Some(bytes) = self.waiting.remove(&batch) {
            self.memory.hand_out(bytes);
        }
    }

    fn done(&mut self, batch: u64, alone: bool) {
        if !self.frontier.done(batch, alone) {
            self.warn(format!("batch {batch} was not handed out, so it cannot be committed"));
        }
    }

    fn fail(&mut self, error: Error) {
        if self.stage == Stage::Over {
            return;
        }
        if self.half_a_page {
            // The rows of a page that is not whole would come again when the segment goes on.
        } else if let Err(worse) = self.flush() {
            self.warn(worse.to_string());
        }
        self.stage = Stage::Over;
        self.actions.push(Action::Fail(error));
    }

    fn warn(&mut self, line: impl Into<String>) {
        self.actions.push(Action::Warn(line.into()));
    }

    /// Hands on the rows gathered, and gives the facts that came with them their place in the order.
    fn flush(&mut self) -> Result<()> {
        if broken::is("half-of-the-facts") {
            self.deltas.truncate(self.deltas.len() / 2);
        }
        let batch = self.batcher.flush(self.epoch)?;
        let schema = self.batcher.decoder().schema_state();
        if self.saving.schema.as_ref() != Some(&schema) && !broken::is("schema-not-saved") {
            self.saving.schema = Some(schema.clone());
            self.deltas.push(Delta::Schema(schema));
        }
        for notice in self.batcher.take_notices() {
            self.warn(notice);
        }
        if batch.is_none() && self.deltas.is_empty() {
            return Ok(());
        }
        self.frontier.push(std::mem::take(&mut self.deltas), batch.as_ref().map(|batch| batch.number));
        self.memory.set_gathering(0);
        if let Some(batch) = batch {
            self.memory.queue(batch.bytes);
            self.waiting.insert(batch.number, batch.bytes);
            let oldest = self.frontier.oldest_held().unwrap_or(batch.number);
            self.changes_held = self.changes_held.split_off(&oldest);
            self.changes_held.insert(batch.number, std::mem::take(&mut self.changes_gathered));
            self.actions.push(Action::Emit(batch));
        }
        Ok(())
    }

    /// Facts without rows before them take their place at once, and so do the last rows there are.
    fn flush_when_due(&mut self, now: Now) -> Result<()> {
        let aged = self.batcher.due_at().is_some_and(|due| due <= now);
        let stuck = self.saving.starved && self.waiting.is_empty();
        let waits_in_vain = aged || self.awaits_no_page();
        if self.batcher.is_empty() || (waits_in_vain && !broken::is("batch-never-due")) || stuck {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether nothing is asked for and nothing waits to be: only a listing can bring more.
    fn awaits_no_page(&self) -> bool {
        let scanning = self.snapshot.as_ref().is_some_and(|snapshot| snapshot.due().is_some());
        self.shards_asked + self.segments_asked == 0 && self.agenda.is_empty() && !scanning
    }

    fn saw_server_time(&mut self, time: Option<Millis>, now: Now) {
        if let Some(time) = time {
            self.server = Some((time, now));
        }
    }

    /// The service's time now, from its last answer and our own clock since.
    fn server_now(&self, now: Now) -> Option<Millis> {
        self.server.map(|(time, read)| time + now.saturating_sub(read).as_millis() as Millis)
    }

    fn gap(&self, shard: Option<&ShardId>, from: Option<Position>, cause: String, now: Now) -> Gap {
        let found = self.server_now(now);
        Gap { shard: shard.cloned(), from, to: None, cause, stream_arn: self.stream_arn.clone(), found }
    }

    /// What to do about records known to be lost: stop, or write it down and go on.
    fn lose(&mut self, gap: Gap) -> Result<()> {
        let line = describe_gap(&gap);
        if self.options.on_gap == OnGap::Fail {
            // A table has keys; a stream that stands alone cannot be scanned.
            let again = match self.description.keys.as_slice() {
                [] => "",
                _ => ", with \"resnapshot\" the table is scanned again",
            };
            let error = Error::new(
                ErrorKind::Gap,
                format!("{line}; with on_gap=\"continue\" this is recorded and reading goes on{again}"),
            );
            let error = gap.shard.iter().fold(error, |error, shard| error.with_shard(shard));
            return Err(gap.from.into_iter().fold(error, Error::with_position));
        }
        self.warn(line);
        self.deltas.push(Delta::Gap(gap));
        self.wants_epoch |= self.options.on_gap == OnGap::Resnapshot;
        Ok(())
    }
}

fn describe_gap(gap: &Gap) -> String {
    let Some(shard) = &gap.shard else {
        let stream = &gap.stream_arn;
        let place = format!("from the end of {stream} to the beginning of the next stream");
        return format!("records are lost {place}: {}", gap.cause);
    };
    let place = format!("shard {shard} of {}", gap.stream_arn);
    let from = gap.from.as_ref().map_or_else(|| "an unknown position".into(), ToString::to_string);
    let to = gap.to.as_ref().map_or_else(|| "the oldest record left".into(), ToString::to_string);
    format!("records are lost in {place}, from {from} to {to}: {}", gap.cause)
}
