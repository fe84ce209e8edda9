//! Snapshot, then changes: the mirror equals the table at rest, whatever happened on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use shardarrow::checkpoint::Checkpoint;
use shardarrow::error::ErrorKind;
use shardarrow::page::Terms;
use shardarrow::run::{Keeper, OnGap, Options, SnapshotOptions, Start};

use twin::{Fault, Injection, Op};

use crate::world::{Session, TABLE, World, options};
use crate::{HOUR, consume_some, drain, make_awkward, seeds};

fn snapshot_options(world: &mut World) -> Options {
    let slice = Duration::from_millis(50 + world.dice.roll(2_000));
    let segments = Some(1 + world.dice.roll(3) as u32);
    let snapshot = SnapshotOptions { segments, slice, ..SnapshotOptions::default() };
    let settle = Duration::from_millis(500);
    Options { start: Start::Snapshot, snapshot, settle, on_gap: OnGap::Fail, ..options() }
}

fn make_scan_awkward(world: &mut World) {
    let drawn = (world.dice.roll(6), world.dice.roll(3));
    let knobs = world.aws.knobs_mut();
    knobs.scan_page_items = Some(1 + drawn.0 as usize);
    knobs.scan_empty_pages = drawn.1 as u32;
}

/// What was written so far is in the table and in no stream any more: only the scan can bring it.
pub fn bury(world: &mut World) {
    for partition in 0..world.aws.partitions(TABLE) {
        world.aws.roll_over(TABLE, partition).unwrap();
    }
    world.aws.advance(25 * HOUR as u64);
}

/// Writes to a table while it is scanned in small slices, with kills and rollovers.
fn changing_table(seed: u64, kills: u64) -> (World, u32) {
    let mut world = World::new(seed, 1 + (seed % 4) as usize);
    make_awkward(&mut world);
    make_scan_awkward(&mut world);
    let keys = 20 + world.dice.roll(150);
    // Most items are never written again: only the scan can bring them.
    (0..world.dice.roll(800)).for_each(|_| world.write(keys * 6));
    bury(&mut world);
    let options = snapshot_options(&mut world);
    let mut session = world.start(options.clone()).unwrap();
    let (mut killed, mut in_the_middle) = (0, 0);
    for _ in 0..60 {
        (0..world.dice.roll(20)).for_each(|_| world.write(keys));
        if world.dice.chance(10) {
            world.roll_over_any();
        }
        let pause = 1 + world.dice.roll(800) as i64;
        session.run_for(&mut world, pause);
        consume_some(&mut world, &mut session);
        if killed < kills && world.dice.chance(15) {
            let ended =
                |checkpoint: &Checkpoint| checkpoint.snapshot.as_ref().is_some_and(|one| one.ended.is_some());
            in_the_middle += u32::from(!world.durable.checkpoint.as_ref().is_some_and(ended));
            session = world.start(options.clone()).unwrap();
            killed += 1;
        }
        if let Some(Err(error)) = &session.over {
            panic!("seed {seed}: {error:?}");
        }
    }
    until_ready(&mut world, &mut session);
    drain(&mut world, &mut session);
    (world, in_the_middle)
}

pub fn until_ready(world: &mut World, session: &mut Session) {
    for _ in 0..3_000 {
        session.run_for(world, 1_000);
        session.take_all(world);
        session.commit(world);
        if session.run.is_ready() {
            return;
        }
        assert!(session.over.is_none(), "{:?}", session.over);
    }
    panic!("never ready: {:#?}", session.run.metrics(session.now(world)).snapshot);
}

pub fn assert_equal(world: &mut World, seed: u64) {
    let table = world.table();
    assert!(world.durable.mirror == table, "seed {seed}: {:#?}", difference(&world.durable.mirror, &table));
}

fn difference(mirror: &BTreeMap<String, String>, table: &BTreeMap<String, String>) -> Vec<String> {
    let keys = mirror.keys().chain(table.keys()).filter(|key| mirror.get(*key) != table.get(*key));
    keys.map(|key| format!("{key}: mirror {:?}, table {:?}", mirror.get(key), table.get(key))).collect()
}

#[test]
fn the_mirror_equals_the_table_whatever_is_written_during_the_scan() {
    let mut in_the_middle = 0;
    for seed in seeds(40) {
        let (mut world, kills) = changing_table(seed, 8);
        in_the_middle += kills;
        assert_equal(&mut world, seed);
        let mut scanned: Vec<_> =
            world.durable.seen.iter().filter(|seen| seen.op == "snapshot").map(|seen| &seen.key).collect();
        let all = scanned.len();
        scanned.sort();
        scanned.dedup();
        assert_eq!(scanned.len(), all, "seed {seed}: an item was scanned twice");
    }
    assert!(in_the_middle >= 80, "only {in_the_middle} kills were in the middle of a scan");
}

/// A few items and a few changes, with everything else drawn: many of these see more than large ones.
pub fn small_table(seed: u64, watched: bool) -> World {
    let mut world = World::new(seed, 1 + (seed % 2) as usize);
    world.watched = watched;
    world.latency_ms = 1 + world.dice.roll(12);
    let keys = 1 + world.dice.roll(8);
    let stale_ms = world.dice.roll(3_000) as i64;
    world.aws.knobs_mut().scan_stale_ms = stale_ms;
    (0..world.dice.roll(12)).for_each(|_| world.write(keys));
    if world.dice.chance(70) {
        bury(&mut world);
    }
    let knobs = world.aws.knobs_mut();
    knobs.scan_page_items = Some(1 + (seed % 3) as usize);
    knobs.scan_empty_pages = (seed % 4 == 3).into();
    knobs.scan_strict_keys = watched;
    let options = small_options(&mut world, seed);
    let mut session = world.start(options.clone()).unwrap();
    let mut was_away = false;
    for _ in 0..world.dice.roll(20) {
        (0..world.dice.roll(4)).for_each(|_| world.write(keys));
        if world.dice.chance(8) {
            world.roll_over_any();
        }
        let pause = 1 + world.dice.roll(40) as i64;
        session.run_for(&mut world, pause);
        consume_some(&mut world, &mut session);
        if world.dice.chance(10) {
            if !was_away && world.dice.chance(50) {
                stay_away(&mut world, keys);
                was_away = true;
            }
            session = world.start(options.clone()).unwrap();
        }
    }
    until_quiet(&mut world, &mut session, seed);
    world
}

fn small_options(world: &mut World, seed: u64) -> Options {
    let slice = Duration::from_millis(1 + world.dice.roll(30));
    let snapshot =
        SnapshotOptions { segments: Some(1 + (seed % 3) as u32), slice, ..SnapshotOptions::default() };
    Options {
        start: Start::Snapshot,
        snapshot,
        keeper: if world.dice.chance(40) { Keeper::Store } else { Keeper::Loader },
        commit_interval: Duration::from_millis(world.dice.roll(1_000)),
        settle: Duration::from_millis(60),
        batch_wait: Duration::from_millis(world.dice.roll(40)),
        // Asked again within the time after which silence is taken for the end.
        poll_interval: Duration::from_millis(100),
        ..options()
    }
}

/// Hours in which nobody reads: less than the retention, more than any margin.
fn stay_away(world: &mut World, keys: u64) {
    for _ in 0..world.dice.roll(4) {
        (0..world.dice.roll(3)).for_each(|_| world.write(keys));
        world.roll_over_any();
        let pause = world.dice.roll(5 * HOUR as u64);
        world.aws.advance(pause);
    }
}

fn until_quiet(world: &mut World, session: &mut Session, seed: u64) {
    let mut quiet = 0;
    for _ in 0..2_000 {
        session.run_for(world, 250);
        let taken = session.queue.len();
        session.take_all(world);
        session.commit(world);
        assert!(session.over.is_none(), "seed {seed}: {:?}", session.over);
        let nothing_came = taken == 0 && world.changing.is_empty();
        let still = nothing_came && session.run.is_ready() && session.is_caught_up(world);
        quiet = if still { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
    panic!("seed {seed} is never quiet: {:#?}", session.run.metrics(session.now(world)));
}

#[test]
fn ten_thousand_small_tables_are_mirrored() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (0..10_000).filter(|seed| seed % threads == thread) {
                    assert_equal(&mut small_table(seed, true), seed);
                }
            });
        }
    });
}

/// Every item changes once while the table is scanned in many short slices: what goes wrong stays wrong.
pub fn each_item_changes_once(seed: u64, watched: bool) -> World {
    let mut world = World::new(seed, 1 + (seed % 3) as usize);
    (world.watched, world.latency_ms) = (watched, 1 + world.dice.roll(20));
    let keys = 10 + world.dice.roll(50);
    (0..keys).for_each(|key| world.write_to(key));
    bury(&mut world);
    world.changing = (0..keys).collect();
    let dice = &mut world.dice;
    world.changing.sort_by_cached_key(|_| dice.roll(u64::MAX));
    let knobs = world.aws.knobs_mut();
    knobs.scan_page_items = Some(1 + (seed % 3) as usize);
    (knobs.scan_stale_ms, knobs.scan_strict_keys) = (3_000, watched);
    let options = small_options(&mut world, seed);
    let mut session = world.start(options.clone()).unwrap();
    for _ in 0..3 {
        let pause = world.dice.roll(2_000) as i64;
        session.run_for(&mut world, pause);
        consume_some(&mut world, &mut session);
        session = world.start(options.clone()).unwrap();
    }
    until_quiet(&mut world, &mut session, seed);
    world
}

#[test]
fn a_table_whose_items_change_once_while_it_is_scanned_is_mirrored() {
    for seed in seeds(200) {
        assert_equal(&mut each_item_changes_once(seed, true), seed);
    }
}

/// One segment of two is throttled for seconds, and kills come while the other is done.
pub fn one_segment_lags(seed: u64, watched: bool) -> World {
    let mut world = World::new(seed, 1);
    world.watched = watched;
    (0..20).for_each(|key| world.write_to(key));
    bury(&mut world);
    let knobs = world.aws.knobs_mut();
    (knobs.scan_page_items, knobs.scan_strict_keys) = (Some(3), watched);
    let code = "ProvisionedThroughputExceededException".into();
    let throttled = Fault::Error { code, status: 400, message: "scripted".into() };
    let lags = Some(format!("{}/2", seed % 2));
    world.aws.inject(Injection { shard: lags, times: 8, ..Injection::once(Op::Scan, throttled) });
    let options = small_options(&mut world, seed);
    let snapshot = SnapshotOptions { segments: Some(2), ..options.snapshot };
    let options = Options { snapshot, ..options };
    let mut session = world.start(options.clone()).unwrap();
    for _ in 0..3 {
        for _ in 0..1 + world.dice.roll(5) {
            session.run_for(&mut world, 300);
            consume_some(&mut world, &mut session);
        }
        session = world.start(options.clone()).unwrap();
    }
    until_quiet(&mut world, &mut session, seed);
    world
}

#[test]
fn a_table_of_which_one_segment_lags_is_mirrored() {
    for seed in seeds(100) {
        assert_equal(&mut one_segment_lags(seed, true), seed);
    }
}

/// Changes that the stream has before a consistent read sees them, in shards that close before the
/// capture. No documentation says that this happens; none rules it out.
pub fn written_just_before_the_capture(seed: u64) -> World {
    let behind_ms = 2_000;
    let mut world = World::new(seed, 1 + (seed % 3) as usize);
    world.aws.knobs_mut().scan_behind_ms = behind_ms;
    (0..world.dice.roll(20)).for_each(|_| world.write(10));
    bury(&mut world);
    (0..1 + world.dice.roll(6)).for_each(|_| world.write(10));
    (0..world.aws.partitions(TABLE))
        .for_each(|partition| drop(world.aws.roll_over(TABLE, partition).unwrap()));
    world.aws.advance(5);
    let options = small_options(&mut world, seed);
    // The first drain begins when everything can be seen.
    let snapshot = SnapshotOptions { slice: Duration::from_millis(2 * behind_ms as u64), ..options.snapshot };
    let mut session = world.start(Options { snapshot, ..options }).unwrap();
    until_quiet(&mut world, &mut session, seed);
    world
}

#[test]
fn what_is_written_just_before_the_capture_is_mirrored() {
    for seed in seeds(100) {
        assert_equal(&mut written_just_before_the_capture(seed), seed);
    }
}

#[test]
fn a_snapshot_is_ready_without_any_further_record() {
    for items in [0, 30] {
        let mut world = World::new(items, 2);
        (0..items).for_each(|_| world.write(20));
        bury(&mut world);
        let options = snapshot_options(&mut world);
        let mut session = world.start(options.clone()).unwrap();
        session.open(&mut world);
        assert!(!session.run.is_ready());
        until_ready(&mut world, &mut session);
        assert_equal(&mut world, items);
        let mut session = world.start(options).unwrap();
        session.open(&mut world);
        assert!(session.run.is_ready(), "ready is remembered");
    }
}

#[test]
fn ready_comes_only_when_every_change_made_during_the_scan_is_in() {
    for seed in seeds(10) {
        let mut world = World::new(seed, 2);
        (0..300).for_each(|_| world.write(200));
        bury(&mut world);
        world.aws.knobs_mut().scan_page_items = Some(1);
        world.aws.knobs_mut().empty_pages = 3;
        let options = snapshot_options(&mut world);
        let mut session = world.start(options).unwrap();
        session.open(&mut world);
        for _ in 0..15 {
            (0..10).for_each(|_| world.write(200));
            session.run_for(&mut world, 50);
            session.take_all(&mut world);
            session.commit(&mut world);
        }
        assert!(!session.run.is_ready());
        while !session.run.is_ready() {
            session.step(&mut world, 100);
            session.take_all(&mut world);
        }
        session.commit(&mut world);
        assert_equal(&mut world, seed);
    }
}

#[test]
fn a_scan_that_takes_longer_than_the_retention_loses_nothing() {
    let mut world = World::new(11, 2);
    (0..300).for_each(|_| world.write(200));
    bury(&mut world);
    let knobs = world.aws.knobs_mut();
    knobs.roll_every_ms = Some(4 * HOUR);
    knobs.scan_page_items = Some(2);
    let slice = Duration::from_secs(15 * 60);
    let snapshot = SnapshotOptions {
        segments: Some(2),
        slice,
        max_read_units: Some(0.0005),
        ..SnapshotOptions::default()
    };
    let options = Options { snapshot, poll_interval: Duration::from_secs(5), ..snapshot_options(&mut world) };
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    let began = world.aws.now_ms();
    while !session.run.is_ready() {
        (0..3).for_each(|_| world.write(200));
        session.run_for(&mut world, 600_000);
        session.take_all(&mut world);
        session.commit(&mut world);
        assert!(session.over.is_none(), "{:?}", session.over);
    }
    assert!(
        world.aws.now_ms() - began > 30 * HOUR,
        "the scan took {} h",
        (world.aws.now_ms() - began) / HOUR
    );
    drain(&mut world, &mut session);
    assert_equal(&mut world, 11);
    assert_eq!(world.durable.gaps, []);
}

#[test]
fn a_gap_scans_the_table_again_and_what_is_gone_leaves_the_mirror() {
    for seed in 0..12 {
        let (mut world, _) = changing_table(seed, 2);
        match seed % 4 {
            0 => world.aws.advance(26 * HOUR as u64),
            1 => world.reenable_stream(),
            2 => world.recreate_table(),
            _ => world.aws.advance(60 * HOUR as u64),
        }
        (0..150).for_each(|_| world.write(60));
        let options = snapshot_options(&mut world);
        let mut session = world.start(options.clone()).unwrap();
        session.open(&mut world);
        for _ in 0..600 {
            session.run_for(&mut world, 1_000);
            session.take_all(&mut world);
            session.commit(&mut world);
        }
        assert!(
            matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::Gap),
            "seed {seed}: {:?}",
            session.over
        );
        let again = Options { on_gap: OnGap::Resnapshot, ..options };
        let mut session = world.start(again.clone()).unwrap();
        for _ in 0..40 {
            (0..5).for_each(|_| world.write(60));
            session.run_for(&mut world, 700);
            consume_some(&mut world, &mut session);
            if world.dice.chance(10) {
                session = world.start(again.clone()).unwrap();
            }
        }
        while world.durable.checkpoint.as_ref().unwrap().epoch == 1 || !session.run.is_ready() {
            session.run_for(&mut world, 1_000);
            session.take_all(&mut world);
            session.commit(&mut world);
            assert!(session.over.is_none(), "seed {seed}: {:?}", session.over);
        }
        drain(&mut world, &mut session);
        assert_equal(&mut world, seed);
        assert!(!world.durable.gaps.is_empty());
    }
}

#[test]
fn a_scan_goes_on_when_its_stream_is_replaced_and_the_loss_is_accepted() {
    let mut world = World::new(15, 1);
    (0..300).for_each(|_| world.write(200));
    bury(&mut world);
    world.aws.knobs_mut().scan_page_items = Some(1);
    let options = Options { on_gap: OnGap::Continue, ..snapshot_options(&mut world) };
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 300);
    world.reenable_stream();
    until_ready(&mut world, &mut session);
    assert_equal(&mut world, 15);
    assert_eq!(world.durable.gaps.len(), 1);
}

#[test]
fn a_scan_waits_for_a_consumer_that_takes_nothing() {
    let (limit, page) = (50_000, 8_000);
    let mut world = World::new(16, 1);
    (0..3_000).for_each(|_| world.write(2_000));
    bury(&mut world);
    let snapshot = SnapshotOptions { segments: Some(4), ..SnapshotOptions::default() };
    let memory = Options { memory_limit: limit, terms: Terms::of_pages(page, page), ..options() };
    let options = Options { start: Start::Snapshot, snapshot, batch_rows: 1, ..memory };
    world.aws.knobs_mut().scan_page_items = Some(1);
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    let metrics = session.run.metrics(session.now(&world));
    assert!(metrics.memory_peak <= limit + page, "{} bytes", metrics.memory_peak);
    let scanned = metrics.snapshot.map_or(0, |snapshot| snapshot.scanned);
    assert!(scanned > 0 && scanned < world.table().len() as u64, "{scanned} items scanned ahead");
    until_ready(&mut world, &mut session);
    assert_equal(&mut world, 16);
    assert!(session.run.metrics(session.now(&world)).memory_peak <= limit + page);
}

#[test]
fn a_scan_alone_gives_every_item_once_and_stops_at_its_limit() {
    for limit in [None, Some(7)] {
        let mut world = World::new(12, 1);
        (0..200).for_each(|_| world.write(100));
        world.aws.knobs_mut().scan_page_items = Some(3);
        let snapshot = SnapshotOptions { scan_only: true, limit, ..SnapshotOptions::default() };
        let options = Options { follow: false, snapshot, ..snapshot_options(&mut world) };
        let mut session = world.start(options).unwrap();
        while session.over.is_none() {
            session.step(&mut world, 1_000);
        }
        assert!(matches!(session.over, Some(Ok(()))), "{:?}", session.over);
        session.take_all(&mut world);
        session.commit(&mut world);
        let table = world.table();
        assert_eq!(world.durable.seen.len(), limit.unwrap_or(table.len() as u64) as usize);
        assert!(world.durable.mirror.iter().all(|(key, version)| table.get(key) == Some(version)));
    }
}
