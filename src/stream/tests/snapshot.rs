//! Streams that begin with a snapshot: what is checked on opening, scans, ready.

use super::*;
use crate::stream::Level;

fn scanned(pages: &[(&[i64], bool)]) -> Script {
    let items = pages.iter().map(|(numbers, is_last)| (numbers.to_vec(), *is_last)).collect();
    Script { items: Mutex::new(items), ..Script::default() }
}

fn from_snapshot() -> Options {
    Options { start: Start::Snapshot, ..options(true) }
}

fn snapshot_of(script: Script) -> Consumer {
    Consumer::with(Arc::new(script), Shown::default().keep(), from_snapshot(), false)
}

fn opening(script: Script, options: Options, enable_stream: bool) -> Result<Arc<Description>> {
    let consumer = Consumer::with(Arc::new(script), Shown::default().keep(), options, enable_stream);
    consumer.until(|stream| stream.opened())?;
    Ok(consumer.stream.description().unwrap())
}

fn refusal(script: Script, options: Options) -> Error {
    opening(script, options, false).unwrap_err()
}

fn without_stream() -> Error {
    Error::new(ErrorKind::StreamUnusable, "table orders has no stream; enable one")
}

#[test]
fn ready_comes_when_the_last_batch_of_the_snapshot_is_taken() {
    let script = scanned(&[(&[1, 2], false), (&[3], true)]);
    let consumer = snapshot_of(script);
    let until = Instant::now() + PATIENCE;
    while !consumer.stream.metrics().and_then(|all| all.snapshot).is_some_and(|scan| scan.ready) {
        assert!(Instant::now() < until, "the scan was never over");
        std::thread::yield_now();
    }
    assert!(!consumer.stream.is_ready());
    assert!(consumer.stream.ready().is_none());
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        assert!(!consumer.stream.is_ready());
        numbers.extend(consumer.batch().1);
    }
    assert_eq!(numbers, [1, 2, 3]);
    consumer.until(|stream| stream.ready()).unwrap();
    assert!(consumer.stream.is_ready());
    let said = consumer.stream.drain_log();
    let said: Vec<_> = said.iter().filter(|line| line.text.starts_with("ready")).collect();
    assert_eq!(said.iter().map(|line| line.level).collect::<Vec<_>>(), [Level::Info]);
    consumer.close().unwrap();
    assert!(consumer.stream.is_ready());
}

#[test]
fn an_empty_table_is_ready_without_a_batch() {
    let consumer = snapshot_of(scanned(&[(&[], true)]));
    consumer.until(|stream| stream.ready()).unwrap();
    assert!(matches!(consumer.stream.try_next(), Next::Pending));
}

#[test]
fn a_stream_without_a_snapshot_is_ready_when_it_is_open_and_does_not_say_so() {
    let consumer = Consumer::opened(Script::default(), Shown::default().keep());
    consumer.until(|stream| stream.ready()).unwrap();
    assert_eq!(consumer.stream.drain_log(), []);
}

#[test]
fn who_waits_for_ready_hears_what_ended_the_stream() {
    let failing = Script { steps: Mutex::new([Step::Fail(refused())].into()), ..scanned(&[(&[1], true)]) };
    let consumer = snapshot_of(failing);
    consumer.until(|stream| (stream.state_word() == "failed").then_some(()));
    assert!(consumer.stream.ready().is_none(), "a batch is still to be taken");
    assert_eq!(consumer.batch().1, [1]);
    let error = consumer.until(|stream| stream.ready()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);

    let consumer = snapshot_of(scanned(&[]));
    consumer.until(|stream| stream.opened()).unwrap();
    assert!(consumer.stream.ready().is_none());
    consumer.close().unwrap();
    assert_eq!(consumer.until(|stream| stream.ready()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_bounded_run_gives_the_items_and_then_the_changes() {
    let changes = [Step::Records(vec![7])].into();
    let script = Script { steps: Mutex::new(changes), ..scanned(&[(&[1, 2], true)]) };
    let options = Options { follow: false, ..from_snapshot() };
    let consumer = Consumer::with(Arc::new(script), Shown::default().keep(), options, false);
    let mut numbers = Vec::new();
    while let Next::Batch(batch) = consumer.next() {
        numbers.extend(values(&batch));
    }
    assert_eq!(numbers, [1, 2, 7]);
    assert!(consumer.stream.is_ready());
}

#[test]
fn a_scan_alone_needs_no_stream() {
    let script = Script {
        describe: Mutex::new([without_stream()].into()),
        table: TableDescription { stream_arn: None, ..table() },
        ..scanned(&[(&[1, 2], false), (&[3], true)])
    };
    let snapshot = SnapshotOptions { scan_only: true, ..SnapshotOptions::default() };
    let options = Options { follow: false, snapshot, ..from_snapshot() };
    let consumer = Consumer::with(
        Arc::new(script),
        Keep::Store(Box::new(|| Ok(Box::new(MemoryStore::new())))),
        options,
        false,
    );
    let mut numbers = Vec::new();
    while let Next::Batch(batch) = consumer.next() {
        numbers.extend(values(&batch));
    }
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(consumer.stream.drain_log(), []);
}

#[test]
fn a_table_without_a_stream_is_refused_with_what_to_do() {
    for start in [Start::Snapshot, Start::Earliest] {
        let script = Script { describe: Mutex::new([without_stream()].into()), ..Script::default() };
        let error = refusal(script, Options { start, ..options(true) });
        assert_eq!(error.kind(), ErrorKind::StreamUnusable);
        for words in ["table orders has no stream", "enable_stream=True", "--enable-stream", "read()"] {
            assert!(error.message().contains(words), "{error} does not say {words}");
        }
    }
}

#[test]
fn a_stream_that_is_off_cannot_follow_a_snapshot_but_gives_what_it_still_has() {
    for status in [StreamStatus::Disabled, StreamStatus::Disabling] {
        let off = || Script { status: Some(status), ..Script::default() };
        let error = refusal(off(), from_snapshot());
        assert_eq!(error.kind(), ErrorKind::StreamUnusable);
        for words in ["turned off", "update-table --table-name orders", "enable_stream=True"] {
            assert!(error.message().contains(words), "{error} does not say {words}");
        }
        opening(off(), options(true), false).unwrap();
    }
}

#[test]
fn a_stream_is_turned_on_only_on_request_and_only_when_it_is_off() {
    let missing = Script { describe: Mutex::new([without_stream()].into()), ..Script::default() };
    let off = Script { status: Some(StreamStatus::Disabled), ..Script::default() };
    for (script, enables) in [(missing, 1), (off, 1), (Script::default(), 0)] {
        let script = Arc::new(script);
        let consumer = Consumer::with(script.clone(), Shown::default().keep(), from_snapshot(), true);
        consumer.until(|stream| stream.opened()).unwrap();
        assert_eq!(script.enables.load(Ordering::SeqCst), enables);
    }
}

#[test]
fn changes_without_new_images_cannot_follow_a_snapshot() {
    for (view, name) in [(ViewType::KeysOnly, "KEYS_ONLY"), (ViewType::OldImage, "OLD_IMAGE")] {
        let script = || Script { view: Some(view), ..Script::default() };
        let resnapshot = Options { on_gap: OnGap::Resnapshot, ..options(true) };
        for (options, wish) in
            [(from_snapshot(), "start=\"snapshot\""), (resnapshot, "on_gap=\"resnapshot\"")]
        {
            let error = refusal(script(), options);
            assert_eq!(error.kind(), ErrorKind::StreamUnusable);
            assert!(error.message().starts_with(wish) && error.message().contains(name), "{error}");
        }
        opening(script(), options(true), false).unwrap();
    }
}

#[test]
fn only_the_newest_stream_follows_a_snapshot() {
    let newer = TableDescription { stream_arn: Some("arn:orders/stream/2".into()), ..table() };
    let none = TableDescription { stream_arn: None, ..table() };
    for table in [newer, none] {
        let script = || Script { table: table.clone(), ..Script::default() };
        let error = refusal(script(), from_snapshot());
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("arn:orders/stream/1"), "{error}");
        opening(script(), options(true), false).unwrap();
    }
    opening(Script::default(), from_snapshot(), false).unwrap();
}

#[test]
fn with_a_checkpoint_start_is_not_asked_any_more() {
    let (seen, checked) = (Shown::default(), Script::default());
    let consumer = Consumer::opened(checked, seen.keep());
    consumer.close().unwrap();
    let checkpoint = seen.saved.lock().unwrap().clone();
    assert_eq!(checkpoint.as_ref().unwrap().start, "earliest");
    let off =
        Script { status: Some(StreamStatus::Disabled), view: Some(ViewType::KeysOnly), ..Script::default() };
    let consumer =
        Consumer::with(Arc::new(off), Keep::Loader(checkpoint.map(Box::new)), from_snapshot(), false);
    consumer.until(|stream| stream.opened()).unwrap();
}

#[test]
fn a_table_takes_no_more_rows_than_it_was_told() {
    let mut table = Table::new(1 << 20, |batch, _| Ok(batch.clone())).with_most(Some(3));
    for values in [vec![1, 2], vec![3, 4], vec![5]] {
        let mut numbers = Numbers { rows: values, ..Numbers::default() };
        table.push(&numbers.flush().unwrap(), 16).unwrap();
    }
    assert!(table.is_full());
    assert_eq!(table.rows(), 3);
    assert_eq!(table.reader().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 3);
}

#[test]
fn a_stream_has_not_ended_before_the_run_heard_of_the_last_batch() {
    let mut front = Front { outcome: Some(Ok(())), unheard: 1, ..Front::default() };
    assert!(!front.is_drained());
    front.unheard = 0;
    assert!(front.is_drained());
    let closed = Front { unheard: 1, closed: Some(Ok(())), ..Front::default() };
    assert!(closed.is_drained(), "nobody hears any more");
}
