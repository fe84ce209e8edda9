//! One seeded world: a table that changes, a service with faults, and sessions of the core that
//! come and go. Nothing here has a clock, a thread or a socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use arrow_array::RecordBatch;
use shardarrow::batch::Batch;
use shardarrow::checkpoint::{Checkpoint, Gap, QuarantinedRecord, Save};

use shardarrow::decode::decoder;
use shardarrow::error::{Error, ErrorKind};
use shardarrow::page::Terms;
use shardarrow::run::{Action, Event, Keeper, OnGap, Options, Run, SnapshotOptions, Start};
use twin::{Attributes, Aws, CreateTable, StreamSpecification};

use crate::checker::{self, Checker};
use crate::pushed::Subscriptions;
use crate::service::Service;

/// How long a fetch waits for an event to be pushed.
const NEXT_PUSH_MS: i64 = 500;

pub const TABLE: &str = "orders";
const MIB: usize = 1024 * 1024;

/// A small generator (splitmix64), so that a seed is a whole story.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

pub fn options() -> Options {
    Options {
        start: Start::Earliest,
        follow: true,
        settle: Duration::from_secs(10),
        keeper: Keeper::Loader,
        commit_interval: Duration::from_secs(1),
        batch_rows: 50,
        batch_bytes: MIB,
        batch_wait: Duration::from_millis(100),
        memory_limit: 64 * MIB,
        terms: Terms::of_pages(4 * MIB, 4 * MIB),
        snapshot: SnapshotOptions::default(),
        on_gap: OnGap::Fail,
        poll_interval: Duration::from_secs(1),
        discovery_interval: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(300),
        seed: 1,
    }
}

/// One change as the consumer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub op: String,
    pub shard: String,
    /// Empty for a scanned item.
    pub sequence: String,
    pub key: String,
    /// The version written; empty when the item was removed.
    pub version: String,
}

/// What outlives a kill: the consumer's rows and the checkpoint, written together or not at all.
#[derive(Default)]
pub struct Durable {
    pub checkpoint: Option<Checkpoint>,
    pub seen: Vec<Seen>,
    pub gaps: Vec<Gap>,
    pub quarantined: Vec<QuarantinedRecord>,
    /// What a consumer has that applies rows in order: key → version.
    pub mirror: BTreeMap<String, String>,
    /// Keys that the newest epoch has brought, until its snapshot is ready.
    touched: BTreeSet<String>,
    epoch: u64,
    /// The last epoch whose snapshot was complete.
    swept: u64,
}

impl Durable {
    fn apply(&mut self, batch: &Batch) {
        if batch.epoch > self.epoch {
            (self.epoch, self.touched) = (batch.epoch, BTreeSet::new());
        }
        for row in rows(&batch.records) {
            if row.op == "remove" {
                self.mirror.remove(&row.key);
                self.touched.remove(&row.key);
            } else {
                self.mirror.insert(row.key.clone(), row.version.clone());
                self.touched.insert(row.key.clone());
            }
            self.seen.push(row);
        }
    }

    /// What a complete snapshot did not bring is not in the table any more.
    fn sweep(&mut self, checkpoint: &Checkpoint) {
        let ready = checkpoint.snapshot.as_ref().is_some_and(|snapshot| snapshot.ready);
        if ready && checkpoint.epoch > self.swept {
            if self.epoch < checkpoint.epoch {
                (self.epoch, self.touched) = (checkpoint.epoch, BTreeSet::new());
            }
            let touched = std::mem::take(&mut self.touched);
            if checkpoint.epoch > 1 {
                self.mirror.retain(|key, _| touched.contains(key));
            }
            self.swept = checkpoint.epoch;
        }
    }
}

pub type Tamper = Box<dyn FnMut(&mut Event)>;

/// What becomes of a save that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaved {
    NotWritten,
    /// It is durable, and only its answer is lost.
    NotConfirmed,
}

pub struct World {
    pub aws: Aws,
    pub service: Service,
    pub dice: Dice,
    pub durable: Durable,
    pub latency_ms: u64,
    /// Whether the core's own rules are watched; otherwise only the result counts.
    pub watched: bool,
    /// Somebody changes these items, each once, at any moment.
    pub changing: Vec<u64>,
    versions: u64,
    /// What happens to answers on their way.
    pub tamper: Option<Tamper>,
    pub next_save_fails: Option<Unsaved>,
    subscriptions: Subscriptions,
    /// Looks at everything that happens; without one, what goes wrong is a panic.
    pub checker: Option<Checker>,
}

impl World {
    pub fn new(seed: u64, partitions: usize) -> Self {
        let mut aws = Aws::new(seed);
        aws.set_partitions(TABLE, partitions);
        let view = Some(twin::ViewType::NewAndOldImages);
        aws.create_table(&CreateTable::with_key(TABLE, "k", view)).unwrap();
        Self::of(aws, Service::Table, seed)
    }

    pub fn of(aws: Aws, service: Service, seed: u64) -> Self {
        Self {
            aws,
            service,
            dice: Dice::new(seed),
            durable: Durable::default(),
            latency_ms: 20,
            watched: true,
            changing: Vec::new(),
            versions: 0,
            tamper: None,
            next_save_fails: None,
            subscriptions: Subscriptions::new(),
            checker: None,
        }
    }

    /// Tells the checker, if there is one.
    fn tell(&mut self, what: impl FnOnce(&mut Checker, &Aws, &Durable)) {
        if let Some(checker) = &mut self.checker {
            what(checker, &self.aws, &self.durable);
        }
    }

    fn apply(&mut self, batch: &Batch) {
        self.tell(|checker, aws, _| checker.applied(batch, aws));
        self.durable.apply(batch);
    }

    /// Writes one change to a random key; every write differs from the last.
    pub fn write(&mut self, keys: u64) {
        let key = self.dice.roll(keys);
        self.write_to(key);
    }

    pub fn write_to(&mut self, key: u64) {
        self.versions += 1;
        let key = format!("k{key}");
        let id = serde_json::json!({ "S": key });
        let version = serde_json::json!({ "N": self.versions.to_string() });
        let item: Attributes = [("k".to_owned(), id.clone()), ("v".to_owned(), version)].into();
        if self.dice.chance(15) {
            self.aws.delete_item(TABLE, &[("k".to_owned(), id)].into()).unwrap();
        } else {
            self.aws.put_item(TABLE, &item).unwrap();
        }
    }

    pub fn roll_over_any(&mut self) {
        let partitions = self.aws.partitions(TABLE) as u64;
        let partition = self.dice.roll(partitions) as usize;
        let (parent, child) = self.aws.roll_over(TABLE, partition).unwrap();
        self.tell(|checker, _, _| checker.born(&parent, &[&child]));
    }

    pub fn split_any(&mut self) {
        let partition = self.dice.roll(self.aws.partitions(TABLE) as u64) as usize;
        let (parent, lower, upper) = self.aws.split(TABLE, partition).unwrap();
        self.tell(|checker, _, _| checker.born(&parent, &[&lower, &upper]));
    }

    /// Another table under the same name: its items and its stream are new.
    pub fn recreate_table(&mut self) {
        self.aws.delete_table(TABLE).unwrap();
        self.aws.advance(1000);
        let view = Some(twin::ViewType::NewAndOldImages);
        self.aws.create_table(&CreateTable::with_key(TABLE, "k", view)).unwrap();
    }

    pub fn reenable_stream(&mut self) {
        let off = StreamSpecification { stream_enabled: false, stream_view_type: None };
        self.aws.update_table(TABLE, &off).unwrap();
        self.aws.advance(1000);
        self.aws.update_table(TABLE, &StreamSpecification::view(twin::ViewType::NewAndOldImages)).unwrap();
    }

    /// The table as it is now: key → version.
    pub fn table(&mut self) -> BTreeMap<String, String> {
        let text = |value: &serde_json::Value, tag: &str| value[tag].as_str().unwrap().to_owned();
        let items = self.aws.items(TABLE).unwrap();
        items.iter().map(|item| (text(&item["k"], "S"), text(&item["v"], "N"))).collect()
    }

    /// A process starts: it describes the table and goes on from what is durable.
    pub fn start(&mut self, options: Options) -> Result<Session, Error> {
        self.subscriptions.clear();
        let description = self.service.describe(&mut self.aws)?;
        let checkpoint = self.durable.checkpoint.clone();
        let schema = checkpoint.as_ref().map(|checkpoint| checkpoint.schema.as_ref().clone());
        let decoder = decoder(&self.service.decode(), &description.keys, schema.as_ref())?;
        let (keeper, unsaved) = (options.keeper, options.snapshot.scan_only);
        self.tell(|checker, aws, durable| checker.started(&options, aws, durable));
        let run = Run::new(description, options, decoder, checkpoint)?;
        let mut session = Session {
            run,
            keeper,
            unsaved,
            born_ms: self.aws.now_ms(),
            travelling: BTreeMap::new(),
            departures: 0,
            steps_at_once: 0,
            queue: VecDeque::new(),
            hand: Vec::new(),
            over: None,
            warnings: Vec::new(),
        };
        let actions = session.run.start(Duration::ZERO);
        session.carry_out(actions, self);
        Ok(session)
    }
}

/// What the network carries: the service sees a request some time before its answer is heard.
enum Message {
    Request(Action),
    Answer(Event),
}

impl Message {
    fn is_scan(&self) -> bool {
        matches!(self, Self::Request(Action::Scan(_)) | Self::Answer(Event::Scanned { .. }))
    }

    fn is_fetch(&self) -> bool {
        matches!(self, Self::Request(Action::Fetch { .. }) | Self::Answer(Event::Fetched { .. }))
    }
}

/// One life of the process, from its start to its end or its kill.
pub struct Session {
    pub run: Run,
    pub keeper: Keeper,
    /// A scan alone is not saved.
    unsaved: bool,
    born_ms: i64,
    /// What is under way, by the moment it arrives.
    travelling: BTreeMap<(i64, u64), Message>,
    departures: u64,
    steps_at_once: u32,
    pub queue: VecDeque<Batch>,
    /// Taken and not yet committed.
    pub hand: Vec<Batch>,
    pub over: Option<Result<(), Error>>,
    pub warnings: Vec<String>,
}

impl Session {
    pub fn now(&self, world: &World) -> Duration {
        Duration::from_millis((world.aws.now_ms() - self.born_ms).max(0) as u64)
    }

    /// Goes on to the next thing that happens, no later than `within_ms` from now.
    pub fn step(&mut self, world: &mut World, within_ms: i64) {
        let limit = world.aws.now_ms() + within_ms;
        let wake = self.run.deadline().map(|due| self.born_ms + due.as_millis() as i64 + 1);
        let arrival = self.travelling.keys().next().map(|(at, _)| *at);
        let next = [wake, arrival, Some(limit)].into_iter().flatten().min().unwrap_or(limit);
        self.steps_at_once = if next > world.aws.now_ms() { 0 } else { self.steps_at_once + 1 };
        assert!(self.steps_at_once < 10_000, "nothing happens and no time passes: a busy loop");
        world.aws.advance((next - world.aws.now_ms()).max(0) as u64);
        if !world.changing.is_empty() && world.dice.chance(5) {
            world.changing.pop().into_iter().for_each(|key| world.write_to(key));
        }
        let arrived = arrival.is_some_and(|at| at <= world.aws.now_ms());
        let message = if arrived { self.travelling.pop_first().map(|(_, message)| message) } else { None };
        match message {
            Some(Message::Request(request)) => {
                let mut event = answer(request, world);
                world.tell(|checker, aws, _| checker.answered(&event, aws.now_ms()));
                world.tamper.iter_mut().for_each(|tamper| tamper(&mut event));
                self.send(Message::Answer(event), world);
            }
            Some(Message::Answer(event)) => self.hear(event, world),
            // Nobody wakes a run that did not ask for it.
            None if wake.is_some_and(|wake| wake <= world.aws.now_ms()) => self.hear(Event::Tick, world),
            None => {}
        }
    }

    /// Runs until reading may begin, and does what a consumer must for that.
    pub fn open(&mut self, world: &mut World) {
        for _ in 0..10_000 {
            if self.run.is_open() || self.over.is_some() {
                return self.commit(world);
            }
            self.step(world, 1_000);
        }
        panic!("the stream never opened: {:#?}", self.run.metrics(self.now(world)));
    }

    /// Makes durable what was taken, the way this session's keeper does it.
    pub fn commit(&mut self, world: &mut World) {
        match self.keeper {
            Keeper::Loader => self.load(world),
            Keeper::Store => self.use_and_commit(world),
        }
    }

    pub fn run_for(&mut self, world: &mut World, ms: i64) {
        let until = world.aws.now_ms() + ms;
        while world.aws.now_ms() < until && self.over.is_none() {
            self.step(world, until - world.aws.now_ms());
        }
    }

    fn hear(&mut self, event: Event, world: &mut World) {
        let now = self.now(world);
        let actions = self.run.step(event, now);
        self.carry_out(actions, world);
    }

    fn carry_out(&mut self, actions: Vec<Action>, world: &mut World) {
        for action in actions {
            match action {
                Action::Emit(batch) => {
                    world.tell(|checker, aws, durable| checker.emitted(&batch, aws, durable));
                    self.queue.push_back(batch);
                }
                Action::Save(save) => self.save(&save, world),
                Action::Warn(line) => {
                    world.tell(|checker, aws, _| checker.warned(&line, aws.now_ms()));
                    self.warnings.push(line);
                }
                Action::Fail(error) => self.over = Some(Err(error)),
                Action::End => self.over = Some(Ok(())),
                request => {
                    let waiting = self.queue.iter().map(|batch| batch.bytes).sum();
                    world.tell(|checker, aws, _| checker.asked(&request, waiting, aws));
                    let request = Message::Request(request);
                    if let Some(rule) = self.forbids(&request, world).filter(|_| world.watched) {
                        assert!(world.checker.is_some(), "{rule}");
                        world.tell(|checker, _, _| checker.blame("I5", rule));
                    }
                    self.send(request, world);
                }
            }
        }
    }

    /// Nothing is read before the first save, and never items and changes at once.
    fn forbids(&self, request: &Message, world: &World) -> Option<&'static str> {
        let (fetch, scan) = (request.is_fetch(), request.is_scan());
        let coming = |wanted: fn(&Message) -> bool| self.travelling.values().any(wanted);
        let unsaved = world.durable.checkpoint.is_none() && !self.unsaved;
        match () {
            () if (fetch || scan) && unsaved => Some("something is read before the first save"),
            () if fetch && coming(Message::is_scan) => Some("a shard is read during a scan"),
            () if scan && coming(Message::is_fetch) => Some("a scan begins during a shard's answer"),
            () => None,
        }
    }

    fn send(&mut self, message: Message, world: &mut World) {
        // Some messages are overtaken by many others.
        let slow = if world.dice.chance(15) { 8 } else { 1 };
        let mut latency = 1 + (world.dice.roll(world.latency_ms) * slow) as i64;
        if matches!(&message, Message::Answer(Event::Fetched { result: Ok(page), .. }) if page.says_nothing())
        {
            latency += NEXT_PUSH_MS;
        }
        self.departures += 1;
        self.travelling.insert((world.aws.now_ms() + latency, self.departures), message);
    }

    fn save(&mut self, save: &Save, world: &mut World) {
        let fails = std::mem::take(&mut world.next_save_fails);
        if fails != Some(Unsaved::NotWritten) {
            keep(save, world);
        }
        world.tell(|checker, _, _| checker.unconfirmed |= fails == Some(Unsaved::NotConfirmed));
        let result = match fails {
            None => Ok(()),
            Some(_) => {
                Err(Error::new(ErrorKind::CheckpointStore, "scripted: the checkpoint was not confirmed"))
            }
        };
        self.send(Message::Answer(Event::Saved { through: save.through, result }), world);
    }

    /// The consumer takes what is ready.
    pub fn take_all(&mut self, world: &mut World) {
        self.take(self.queue.len(), world);
    }

    /// The consumer takes so many of the batches that are ready.
    pub fn take(&mut self, batches: usize, world: &mut World) {
        for _ in 0..batches {
            let Some(batch) = self.queue.pop_front() else { return };
            let number = batch.number;
            self.hand.push(batch);
            self.hear(Event::Taken { batch: number }, world);
        }
    }

    /// A loader commits what it has taken, with the checkpoint, in one transaction.
    fn load(&mut self, world: &mut World) {
        let save = self.run.state();
        for batch in self.hand.drain(..) {
            world.apply(&batch);
        }
        keep(&save, world);
        self.hear(Event::Saved { through: save.through, result: Ok(()) }, world);
    }

    /// A plain consumer uses what it has taken, then says that it is done.
    fn use_and_commit(&mut self, world: &mut World) {
        for batch in std::mem::take(&mut self.hand) {
            world.apply(&batch);
            self.hear(Event::Done { batch: batch.number, alone: false }, world);
        }
    }

    /// A plain consumer with several workers: one of the batches in hand is done, no matter which.
    pub fn commit_one(&mut self, world: &mut World) {
        let at = world.dice.roll(self.hand.len() as u64) as usize;
        if at < self.hand.len() {
            let batch = self.hand.remove(at);
            world.apply(&batch);
            self.hear(Event::Done { batch: batch.number, alone: true }, world);
        }
    }

    /// Whether every shard has been read as far as anybody can tell.
    pub fn is_caught_up(&self, world: &World) -> bool {
        let metrics = self.run.metrics(self.now(world));
        let reading = metrics.shards.values().filter(|shard| shard.state != "finished");
        let mut idle = 0;
        for shard in reading {
            if shard.lag_seconds != Some(0.0) {
                return false;
            }
            idle += 1;
        }
        idle > 0 && self.queue.is_empty()
    }
}

fn keep(save: &Save, world: &mut World) {
    if world.watched && world.checker.is_none() {
        let went_back = checker::went_back(world.durable.checkpoint.as_ref(), &save.checkpoint);
        assert_eq!(went_back, None);
    }
    world.durable.sweep(&save.checkpoint);
    world.durable.gaps.extend(save.gaps.iter().cloned());
    world.durable.quarantined.extend(save.quarantined.iter().cloned());
    world.tell(|checker, aws, durable| checker.saved(&save.checkpoint, aws, durable));
    world.durable.checkpoint = Some(Checkpoint::parse(&save.checkpoint.to_json()).unwrap());
}

fn answer(request: Action, world: &mut World) -> Event {
    let (service, aws) = (world.service, &mut world.aws);
    match request {
        Action::List { stream, scope } => {
            let result = service.list(aws, &stream, &scope);
            Event::Listed { scope, result }
        }
        Action::Open { stream, shard, at } => {
            let result = service.open(aws, &stream, &shard, &at);
            Event::Opened { shard, result }
        }
        Action::Fetch { shard, cursor } => {
            let result = service.fetch(aws, &mut world.subscriptions, &shard, &cursor);
            Event::Fetched { shard, cursor, result }
        }
        Action::Scan(request) => {
            let result = crate::service::scan(aws, TABLE, &request);
            Event::Scanned { segment: request.segment, result }
        }
        _ => Event::Described(service.describe(aws)),
    }
}

pub fn rows(records: &RecordBatch) -> Vec<Seen> {
    let text = |name: &str| {
        let column = records.column_by_name(name).unwrap();
        let column = arrow_cast::cast(column, &arrow_schema::DataType::Utf8).unwrap();
        let column = arrow_array::cast::AsArray::as_string::<i32>(&column).clone();
        let value = |row| if column.is_null(row) { String::new() } else { column.value(row).to_owned() };
        (0..column.len()).map(value).collect::<Vec<_>>()
    };
    use arrow_array::Array as _;
    // A table's change, or a record of a Kinesis stream.
    let first = |names: [&str; 2]| {
        let found = names.into_iter().find(|name| records.column_by_name(name).is_some());
        found.map_or_else(|| vec![String::new(); records.num_rows()], text)
    };
    let (keys, versions) = (first(["k", "_partition_key"]), first(["v", "data"]));
    let columns = text("_op").into_iter().zip(text("_shard")).zip(text("_sequence")).zip(keys).zip(versions);
    columns
        .map(|((((op, shard), sequence), key), version)| Seen { op, shard, sequence, key, version })
        .collect()
}
