#![allow(clippy::unwrap_used)]

mod ahead;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;

use super::*;
use crate::batch::Batch;
use crate::checkpoint::memory::MemoryStore;
use crate::decode::{Pushed, Room, Skip};
use crate::page::{
    Cursor, ItemsPage, Listing, OpenAt, Opened, Page, ScanKey, ScanRequest, Scope, Segment, Shard,
    StreamStatus, TableDescription, Terms, ViewType,
};
use crate::position::{Position, SequenceNumber, ShardId};
use crate::run::{Keeper, OnGap, SnapshotOptions, Start};
use crate::source;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the source answers to one `fetch`.
enum Step {
    Records(Vec<i64>),
    Fail(Error),
    Panic,
    Hang(Dropped),
}

/// Says when it was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One open shard. Behind the script it gives empty pages.
struct Script {
    steps: Mutex<VecDeque<Step>>,
    describe: Mutex<VecDeque<Error>>,
    describes: AtomicUsize,
    enables: AtomicUsize,
    fetches: AtomicUsize,
    silent: bool,
    table: TableDescription,
    view: Option<ViewType>,
    status: Option<StreamStatus>,
    /// The numbers of each page of the one segment, and whether it is the last.
    items: Mutex<VecDeque<(Vec<i64>, bool)>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            steps: Mutex::default(),
            describe: Mutex::default(),
            describes: AtomicUsize::default(),
            enables: AtomicUsize::default(),
            fetches: AtomicUsize::default(),
            silent: false,
            table: table(),
            view: None,
            status: None,
            items: Mutex::default(),
        }
    }
}

impl Script {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: Mutex::new(steps.into_iter().collect()), ..Self::default() }
    }
}

impl Source for Script {
    fn describe(&self) -> source::Answer<'_, Description> {
        Box::pin(async {
            self.describes.fetch_add(1, Ordering::SeqCst);
            if self.silent {
                std::future::pending::<()>().await;
            }
            let failure = self.describe.lock().unwrap().pop_front();
            let (view, status) = (self.view.unwrap_or(ViewType::NewImage), self.status);
            let status = status.unwrap_or(StreamStatus::Enabled);
            failure.map_or_else(|| Ok(Description { view, status, ..description() }), Err)
        })
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a Scope) -> source::Answer<'a, Listing> {
        let id = ShardId::from("shard-1");
        let shards = vec![Shard { id, parents: vec![], starting: None, ending: None, hash_keys: None }];
        let listing = Listing {
            shards,
            status: StreamStatus::Enabled,
            complete: true,
            retention: None,
            server_time: Some(1_000_000),
        };
        Box::pin(async { Ok(listing) })
    }

    fn open<'a>(&'a self, _: &'a str, _: &'a ShardId, _: &'a OpenAt) -> source::Answer<'a, Opened> {
        Box::pin(async { Ok(Opened { cursor: cursor(), server_time: Some(1_000_000) }) })
    }

    fn fetch<'a>(&'a self, _: &'a ShardId, _: &'a Cursor) -> source::Answer<'a, Page> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let step = self.steps.lock().unwrap().pop_front();
        Box::pin(async move {
            match step {
                None => Ok(page(&[])),
                Some(Step::Records(numbers)) => Ok(page(&numbers)),
                Some(Step::Fail(error)) => Err(error),
                Some(Step::Panic) => panic!("the test asked for it"),
                Some(Step::Hang(_dropped)) => std::future::pending().await,
            }
        })
    }

    fn describe_table(&self) -> source::Answer<'_, TableDescription> {
        Box::pin(async { Ok(self.table.clone()) })
    }

    fn enable_stream(&self) -> source::Answer<'_, Description> {
        Box::pin(async {
            self.enables.fetch_add(1, Ordering::SeqCst);
            Ok(description())
        })
    }

    fn scan<'a>(&'a self, request: &'a ScanRequest) -> source::Answer<'a, ItemsPage> {
        let numbers = self.items.lock().unwrap().pop_front();
        Box::pin(async move {
            match numbers {
                None => std::future::pending().await,
                Some((numbers, is_last)) => Ok(items_page(request.segment, &numbers, is_last)),
            }
        })
    }

    fn terms(&self) -> Terms {
        Terms::of_pages(1 << 20, 1 << 20)
    }
}

fn cursor() -> Cursor {
    Cursor("next".into())
}

fn page(numbers: &[i64]) -> Page {
    let mut body: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let records = 0..body.len();
    body.push(b']');
    let shard = ShardId::from("shard-1");
    Page {
        shard,
        body: Bytes::from(body),
        records,
        next: Some(cursor()),
        behind: None,
        children: vec![],
        hash_keys: None,
        weight: 0,
        server_time: Some(1_000_000),
    }
}

fn description() -> Description {
    Description {
        table: "orders".into(),
        table_arn: "arn:orders".into(),
        stream_arn: "arn:orders/stream/1".into(),
        keys: vec![],
        view: ViewType::NewImage,
        status: StreamStatus::Enabled,
        retention: 24 * 60 * 60 * 1000,
        items: Some(3),
        bytes: Some(300),
    }
}

fn table() -> TableDescription {
    let Description { table, table_arn, stream_arn, keys, items, bytes, .. } = description();
    TableDescription { table, table_arn, keys, items, bytes, stream_arn: Some(stream_arn) }
}

fn items_page(segment: Segment, numbers: &[i64], is_last: bool) -> ItemsPage {
    let Page { body, records, server_time, .. } = page(numbers);
    let next = (!is_last).then(|| ScanKey("next".into()));
    let scanned = numbers.len() as u64;
    ItemsPage { segment, body, items: records, next, scanned, units: None, server_time }
}

/// A row for each number of a page.
#[derive(Default)]
struct Numbers {
    rows: Vec<i64>,
    state: Arc<SchemaState>,
}

impl Decoder for Numbers {
    fn push(&mut self, page: &Page, from: usize, _: Room, _: &Skip) -> Result<Pushed> {
        let numbers =
            page.body[from..].chunks_exact(8).map(|raw| i64::from_le_bytes(raw.try_into().unwrap()));
        let before = self.rows.len();
        self.rows.extend(numbers);
        let rows = self.rows.len() - before;
        let last = self.rows.last().filter(|_| rows > 0).map(|number| sequence(*number));
        Ok(Pushed { rows, last, ..Pushed::default() })
    }

    fn push_items(&mut self, page: &ItemsPage, from: usize, _: Room) -> Result<Pushed> {
        let numbers =
            page.body[from..].chunks_exact(8).map(|raw| i64::from_le_bytes(raw.try_into().unwrap()));
        let before = self.rows.len();
        self.rows.extend(numbers);
        Ok(Pushed { rows: self.rows.len() - before, ..Pushed::default() })
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.rows.len() * 8
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        let schema = Schema::new(vec![Field::new("number", DataType::Int64, false)]);
        let column: ArrayRef = Arc::new(Int64Array::from(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap())
    }

    fn schema_state(&self) -> Arc<SchemaState> {
        self.state.clone()
    }

    fn take_notices(&mut self) -> Vec<String> {
        vec![]
    }
}

fn sequence(number: i64) -> SequenceNumber {
    SequenceNumber::parse(&number.to_string()).unwrap()
}

/// A store that shows what it was given, and fails or panics when told to.
#[derive(Clone, Default)]
struct Shown {
    saved: Arc<Mutex<Option<Checkpoint>>>,
    failing: Arc<AtomicBool>,
    panicking: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

struct Holding(Shown, MemoryStore);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::SeqCst);
    }
}

impl Shown {
    fn keep(&self) -> Keep {
        let shown = self.clone();
        Keep::Store(Box::new(move || {
            shown.held.store(true, Ordering::SeqCst);
            Ok(Box::new(Holding(shown, MemoryStore::new())))
        }))
    }

    fn position(&self) -> Position {
        let saved = self.saved.lock().unwrap();
        saved.as_ref().unwrap().shards[&ShardId::from("shard-1")].position.clone()
    }
}

impl CheckpointStore for Holding {
    fn load(&mut self) -> Result<Option<Checkpoint>> {
        self.1.load()
    }

    fn save(&mut self, save: &Save) -> Result<()> {
        assert!(!self.0.panicking.load(Ordering::SeqCst), "the test asked for it");
        if self.0.failing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::CheckpointStore, "the disk is full"));
        }
        self.1.save(save)?;
        *self.0.saved.lock().unwrap() = Some(save.checkpoint.clone());
        Ok(())
    }

    fn gaps(&mut self) -> Result<Vec<Gap>> {
        self.1.gaps()
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedRecord>> {
        self.1.quarantined()
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// A stream and a way to wait for it.
struct Consumer {
    stream: Stream,
    changed: Arc<(Mutex<u64>, Condvar)>,
}

impl Consumer {
    fn new(source: impl Source, keep: Keep, follow: bool) -> Self {
        Self::with(Arc::new(source), keep, options(follow), false)
    }

    fn with(source: Arc<dyn Source>, keep: Keep, options: Options, enable_stream: bool) -> Self {
        let decoder: MakeDecoder = Box::new(|_, _| Ok(Box::new(Numbers::default())));
        Self::of(Plan { source, decoder, keep, options, enable_stream })
    }

    fn decoding(source: Arc<dyn Source>, decoder: Box<dyn Decoder>, keep: Keep) -> Self {
        let decoder: MakeDecoder = Box::new(|_, _| Ok(decoder));
        Self::of(Plan { source, decoder, keep, options: options(true), enable_stream: false })
    }

    fn of(plan: Plan) -> Self {
        let changed = Arc::new((Mutex::new(0), Condvar::new()));
        let bell = changed.clone();
        let wake = move || {
            *bell.0.lock().unwrap() += 1;
            bell.1.notify_all();
        };
        Self { stream: Stream::open(plan, Arc::new(wake)).unwrap(), changed }
    }

    fn opened(source: impl Source, keep: Keep) -> Self {
        let consumer = Self::new(source, keep, true);
        consumer.until(|stream| stream.opened()).unwrap();
        consumer
    }

    fn until<T>(&self, ready: impl Fn(&Stream) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = *self.changed.0.lock().unwrap();
            if let Some(value) = ready(&self.stream) {
                return value;
            }
            let left = until.checked_duration_since(Instant::now()).expect("nothing came in time");
            let changes = self.changed.0.lock().unwrap();
            drop(self.changed.1.wait_timeout_while(changes, left, |changes| *changes == seen).unwrap());
        }
    }

    fn next(&self) -> Next {
        self.until(|stream| match stream.try_next() {
            Next::Pending => None,
            next => Some(next),
        })
    }

    fn batch(&self) -> (u64, Vec<i64>) {
        let Next::Batch(batch) = self.next() else { panic!("no batch came") };
        (batch.number, values(&batch))
    }

    fn failure(&self) -> Error {
        match self.next() {
            Next::Failed(error) => error,
            other => panic!("no failure came but {other:?}"),
        }
    }

    fn answer<T>(&self, answer: &Answer<T>) -> Result<T> {
        self.until(|_| answer.take())
    }

    fn close(&self) -> Result<()> {
        self.stream.close();
        self.until(|stream| stream.closed())
    }
}

fn values(batch: &Batch) -> Vec<i64> {
    let column = batch.records.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    column.values().to_vec()
}

fn options(follow: bool) -> Options {
    Options {
        start: Start::Earliest,
        follow,
        settle: Duration::from_millis(50),
        keeper: Keeper::Store,
        commit_interval: Duration::from_secs(3600),
        batch_rows: 1,
        batch_bytes: 1 << 20,
        batch_wait: Duration::ZERO,
        memory_limit: 64 << 20,
        terms: Terms::of_pages(0, 0),
        snapshot: SnapshotOptions::default(),
        on_gap: OnGap::Fail,
        poll_interval: Duration::from_millis(5),
        discovery_interval: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
        seed: 1,
    }
}

fn after(number: i64) -> Position {
    Position::After(sequence(number))
}

fn refused() -> Error {
    Error::new(ErrorKind::InvalidRequest, "not like this")
}

#[test]
fn batches_come_in_order_and_a_bounded_run_ends() {
    let script = Script::of([Step::Records(vec![1, 2]), Step::Records(vec![3])]);
    let consumer = Consumer::new(script, Shown::default().keep(), false);
    assert_eq!(consumer.batch(), (1, vec![1, 2]));
    assert_eq!(consumer.batch(), (2, vec![3]));
    assert!(matches!(consumer.next(), Next::Ended));
    assert!(matches!(consumer.stream.try_next(), Next::Ended));
    assert!(consumer.close().is_ok());
}

#[test]
fn a_failure_comes_behind_the_batches_before_it() {
    let script = Script::of([Step::Records(vec![1]), Step::Fail(refused())]);
    let consumer = Consumer::new(script, Shown::default().keep(), true);
    assert_eq!(consumer.batch().1, [1]);
    assert_eq!(consumer.failure().kind(), ErrorKind::InvalidRequest);
    assert_eq!(consumer.stream.metrics().unwrap().records, 1);
}

#[test]
fn what_was_done_before_a_failure_becomes_durable_on_closing() {
    let shown = Shown::default();
    let script = Script::of([Step::Records(vec![1]), Step::Fail(refused())]);
    let consumer = Consumer::new(script, shown.keep(), true);
    let (number, _) = consumer.batch();
    consumer.failure();
    consumer.stream.done(number, false);
    consumer.close().unwrap();
    assert_eq!(shown.position(), after(1));
}

#[test]
fn a_task_that_panics_is_an_internal_error() {
    let consumer = Consumer::new(Script::of([Step::Panic]), Shown::default().keep(), true);
    let error = consumer.failure();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("the test asked for it"), "{error}");
}

#[test]
fn a_decoder_that_panics_is_an_internal_error_and_lets_the_store_go() {
    let shown = Shown::default();
    let source: Arc<dyn Source> = Arc::new(Script::default());
    let plan = Plan {
        source,
        decoder: Box::new(|_, _| panic!("the test asked for it")),
        keep: shown.keep(),
        options: options(true),
        enable_stream: false,
    };
    let stream = Stream::open(plan, Arc::new(|| {})).unwrap();
    let until = Instant::now() + PATIENCE;
    while stream.closed().is_none() || shown.held.load(Ordering::SeqCst) {
        assert!(Instant::now() < until, "it never ended");
        std::thread::yield_now();
    }
    assert_eq!(stream.opened().unwrap().unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_ticket_resolves_when_the_batch_is_saved() {
    let shown = Shown::default();
    let consumer = Consumer::opened(Script::of([Step::Records(vec![1])]), shown.keep());
    let (number, _) = consumer.batch();
    consumer.answer(&consumer.stream.flush()).unwrap();
    assert_eq!(shown.position(), Position::Beginning);
    consumer.stream.done(number, false);
    consumer.answer(&consumer.stream.flush()).unwrap();
    assert_eq!(shown.position(), after(1));
}

#[test]
fn what_is_done_is_saved_when_no_batch_is_ready() {
    let shown = Shown::default();
    let consumer = Consumer::opened(Script::of([Step::Records(vec![1])]), shown.keep());
    let (number, _) = consumer.batch();
    consumer.stream.done(number, false);
    assert!(matches!(consumer.stream.try_next(), Next::Pending));
    let until = Instant::now() + PATIENCE;
    while shown.position() != after(1) {
        assert!(Instant::now() < until, "it was never saved");
        std::thread::yield_now();
    }
}

#[test]
fn closing_saves_what_is_done_and_lets_the_store_go() {
    let shown = Shown::default();
    let script = Script::of([Step::Records(vec![1]), Step::Records(vec![2])]);
    let consumer = Consumer::opened(script, shown.keep());
    let (number, _) = consumer.batch();
    consumer.batch();
    consumer.stream.done(number, false);
    consumer.close().unwrap();
    assert_eq!(shown.position(), after(1));
    assert!(!shown.held.load(Ordering::SeqCst));
    assert_eq!(consumer.answer(&consumer.stream.gaps()).unwrap(), []);
    assert_eq!(consumer.answer(&consumer.stream.flush()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_save_that_fails_fails_the_ticket_and_the_stream() {
    let shown = Shown::default();
    let consumer = Consumer::opened(Script::of([Step::Records(vec![1])]), shown.keep());
    let (number, _) = consumer.batch();
    shown.failing.store(true, Ordering::SeqCst);
    consumer.stream.done(number, false);
    let error = consumer.answer(&consumer.stream.flush()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckpointStore);
    assert_eq!(consumer.failure().kind(), ErrorKind::CheckpointStore);
    assert_eq!(consumer.close().unwrap_err().kind(), ErrorKind::CheckpointStore);
}

#[test]
fn a_store_that_panics_fails_the_ticket() {
    let shown = Shown::default();
    let consumer = Consumer::opened(Script::of([Step::Records(vec![1])]), shown.keep());
    let (number, _) = consumer.batch();
    shown.panicking.store(true, Ordering::SeqCst);
    consumer.stream.done(number, false);
    assert_eq!(consumer.answer(&consumer.stream.flush()).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_store_that_cannot_be_opened_fails_before_anything_is_contacted() {
    let script = Arc::new(Script::default());
    let plan = Plan {
        source: script.clone(),
        decoder: Box::new(|_, _| Ok(Box::new(Numbers::default()))),
        keep: Keep::Store(Box::new(|| Err(Error::new(ErrorKind::CheckpointBusy, "held")))),
        options: options(true),
        enable_stream: false,
    };
    let stream = Stream::open(plan, Arc::new(|| {})).unwrap();
    let until = Instant::now() + PATIENCE;
    while stream.opened().is_none() {
        assert!(Instant::now() < until, "it never opened");
        std::thread::yield_now();
    }
    assert_eq!(stream.opened().unwrap().unwrap_err().kind(), ErrorKind::CheckpointBusy);
    assert_eq!(script.describes.load(Ordering::SeqCst), 0);
}

#[test]
fn opening_asks_again_after_a_passing_failure_and_not_after_another() {
    let passing = Script::default();
    passing.describe.lock().unwrap().push_back(Error::new(ErrorKind::Connection, "lost"));
    Consumer::opened(passing, Shown::default().keep());

    let failing = Script::default();
    failing.describe.lock().unwrap().push_back(refused());
    let consumer = Consumer::new(failing, Shown::default().keep(), true);
    let error = consumer.until(|stream| stream.opened()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn closing_while_nobody_answers_returns() {
    let shown = Shown::default();
    let script = Script { silent: true, ..Script::default() };
    let consumer = Consumer::new(script, shown.keep(), true);
    assert_eq!(consumer.close().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(consumer.stream.opened().unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn dropping_a_stream_cancels_its_tasks() {
    let dropped = Arc::new(AtomicBool::new(false));
    let script = Script::of([Step::Records(vec![1]), Step::Hang(Dropped(dropped.clone()))]);
    let shown = Shown::default();
    let consumer = Consumer::opened(script, shown.keep());
    consumer.batch();
    drop(consumer);
    let until = Instant::now() + PATIENCE;
    while !dropped.load(Ordering::SeqCst) || shown.held.load(Ordering::SeqCst) {
        assert!(Instant::now() < until, "a task or the store is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_loader_is_told_the_state_through_what_it_took() {
    let script = Script::of([Step::Records(vec![1]), Step::Records(vec![2])]);
    let consumer = Consumer::opened(script, Keep::Loader(None));
    let shard = ShardId::from("shard-1");
    let before = consumer.answer(&consumer.stream.state()).unwrap();
    assert_eq!(before.checkpoint.shards[&shard].position, Position::Beginning);
    assert!(matches!(consumer.stream.try_next(), Next::Pending));
    consumer.stream.saved(before.through);
    consumer.batch();
    let first = consumer.answer(&consumer.stream.state()).unwrap();
    assert_eq!(first.checkpoint.shards[&shard].position, after(1));
    consumer.batch();
    consumer.stream.saved(first.through);
    let second = consumer.answer(&consumer.stream.state()).unwrap();
    assert_eq!(second.checkpoint.shards[&shard].position, after(2));
    assert!(second.through > first.through);
    consumer.close().unwrap();
}

#[test]
fn the_log_is_bounded_and_says_what_it_dropped() {
    let mut log = Log::default();
    (0..Log::LIMIT + 3).for_each(|line| log.warn(line.to_string()));
    let lines = log.drain();
    assert_eq!(lines.len(), Log::LIMIT + 1);
    assert!(lines[Log::LIMIT].text.starts_with("3 "), "{}", lines[Log::LIMIT].text);
    assert!(log.drain().is_empty());
}

#[test]
fn a_table_beyond_its_limit_rests_in_a_file_and_reads_the_same_every_time() {
    let number = |value: i64| {
        let mut numbers = Numbers { rows: vec![value], ..Numbers::default() };
        numbers.flush().unwrap()
    };
    let mut table = Table::new(40, |batch, _| Ok(batch.clone()));
    for value in 0..10 {
        table.push(&number(value), 16).unwrap();
    }
    assert!(table.is_resting());
    assert!(table.bytes() <= 40);
    assert_eq!(table.rows(), 10);
    let read = || table.reader().map(|batch| batch.unwrap()).collect::<Vec<_>>();
    assert_eq!(read(), (0..10).map(number).collect::<Vec<_>>());
    let (mut one, mut other) = (table.reader(), table.reader());
    for value in 0..10 {
        assert_eq!(one.next().unwrap().unwrap(), number(value));
        assert_eq!(other.next().unwrap().unwrap(), number(value));
    }
}
