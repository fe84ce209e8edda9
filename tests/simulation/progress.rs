//! What a run says of its progress while the table is scanned.

use std::time::Duration;

use shardarrow::run::{Metrics, Options, SnapshotMetrics, SnapshotOptions, Start};

use crate::snapshot::{bury, until_ready};
use crate::world::{Session, World, options};

const KEYS: u64 = 300;
const SLICE: u64 = 300;

/// A table that only the scan can give, two items a page, ten seconds a page, two segments.
fn slow_scan() -> (World, Options) {
    let mut world = World::new(21, 1);
    (0..KEYS).for_each(|key| world.write_to(key));
    bury(&mut world);
    let knobs = world.aws.knobs_mut();
    (knobs.count_every_ms, knobs.scan_page_items) = (0, Some(2));
    let snapshot = SnapshotOptions {
        segments: Some(2),
        slice: Duration::from_secs(SLICE),
        max_read_units: Some(0.1),
        ..SnapshotOptions::default()
    };
    let options = Options { start: Start::Snapshot, snapshot, settle: Duration::from_secs(2), ..options() };
    (world, options)
}

fn metrics(session: &Session, world: &World) -> (Metrics, SnapshotMetrics) {
    let metrics = session.run.metrics(session.now(world));
    let snapshot = metrics.snapshot.clone().unwrap();
    (metrics, snapshot)
}

fn is_near(found: Option<f64>, expected: f64, share: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() <= expected * share)
}

#[test]
fn items_are_counted_by_segment_also_after_a_restart() {
    let (mut world, options) = slow_scan();
    let items = world.table().len() as u64;
    let mut session = world.start(options.clone()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 200_000);
    session.take_all(&mut world);
    session.commit(&mut world);
    let (_, before) = metrics(&session, &world);
    assert_eq!((before.items, before.segments, before.by_segment.len()), (Some(items), 2, 2));
    assert!(before.by_segment.iter().all(|segment| segment.scanned > 0 && !segment.done), "{before:?}");
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    let (_, resumed) = metrics(&session, &world);
    assert_eq!(resumed.by_segment, before.by_segment);
    assert_eq!(resumed.seconds_left, None, "this run has no pace yet");
    until_ready(&mut world, &mut session);
    let (_, after) = metrics(&session, &world);
    assert_eq!(after.by_segment.iter().map(|segment| segment.scanned).sum::<u64>(), after.scanned);
    assert_eq!((after.scanned, after.segments_done), (items, 2));
    assert!(after.by_segment.iter().all(|segment| segment.done));
    assert_eq!(after.seconds_left, Some(0.0));
}

#[test]
fn the_time_left_is_about_what_it_takes() {
    let (mut world, options) = slow_scan();
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 500_000);
    let (_, said) = metrics(&session, &world);
    let asked_at = world.aws.now_ms();
    while metrics(&session, &world).1.slice != "done" {
        session.run_for(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    let took = (world.aws.now_ms() - asked_at) as f64 / 1000.0;
    assert!(is_near(said.seconds_left, took, 0.1), "{:?} for {took} s", said.seconds_left);
}

#[test]
fn a_table_larger_than_its_count_has_no_time_left_to_tell() {
    let (mut world, options) = slow_scan();
    world.aws.knobs_mut().count_every_ms = i64::MAX;
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 200_000);
    let (_, said) = metrics(&session, &world);
    assert!(said.scanned > said.items.unwrap());
    assert_eq!(said.seconds_left, None);
}

#[test]
fn changes_wait_unread_during_the_scan_and_then_until_they_are_committed() {
    let (mut world, options) = slow_scan();
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 100_000);
    (0..7).for_each(|key| world.write_to(key));
    session.run_for(&mut world, 100_000);
    let (all, scan) = metrics(&session, &world);
    assert_eq!((scan.slice, all.changes_waiting), ("scanning", 0));
    assert!(is_near(all.unread_seconds, 200.0, 0.02), "{:?}", all.unread_seconds);
    let hours = 24.0 - all.unread_seconds.unwrap() / 3600.0;
    assert_eq!(scan.hours_to_loss, Some(hours));
    while metrics(&session, &world).0.changes_waiting == 0 {
        session.run_for(&mut world, 1_000);
    }
    assert_eq!(metrics(&session, &world).1.slice, "draining");
    session.take_all(&mut world);
    assert_eq!(metrics(&session, &world).0.changes_waiting, 7);
    session.commit(&mut world);
    let (all, _) = metrics(&session, &world);
    assert_eq!(all.changes_waiting, 0);
    assert!(all.unread_seconds < Some(250.0), "{:?}", all.unread_seconds);
}

#[test]
fn the_lag_of_a_shard_that_rests_is_how_long_it_rests() {
    let (mut world, options) = slow_scan();
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    while metrics(&session, &world).1.slice != "draining" {
        session.run_for(&mut world, 1_000);
    }
    while metrics(&session, &world).1.slice != "scanning" {
        session.run_for(&mut world, 1_000);
    }
    session.run_for(&mut world, 60_000);
    let (all, _) = metrics(&session, &world);
    assert!(is_near(all.lag_seconds, 60.0, 0.1), "{:?}", all.lag_seconds);
    assert!(is_near(all.unread_seconds, 60.0, 0.1), "{:?}", all.unread_seconds);
}

#[test]
fn what_awaited_children_hold_counts_as_unread() {
    let (mut world, options) = slow_scan();
    world.aws.knobs_mut().hide_child_ms = 5_000;
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    while metrics(&session, &world).1.slice != "draining" {
        session.run_for(&mut world, 1_000);
    }
    world.roll_over_any();
    let ended = |session: &Session, world: &World| {
        metrics(session, world).0.shards.values().all(|shard| shard.state == "finished")
    };
    for _ in 0..100 {
        session.run_for(&mut world, 100);
        if ended(&session, &world) {
            break;
        }
    }
    assert!(ended(&session, &world), "{:?}", metrics(&session, &world).0.shards);
    let before = metrics(&session, &world).0.unread_seconds.unwrap();
    session.run_for(&mut world, 2_000);
    assert!(ended(&session, &world), "the child came too early");
    let after = metrics(&session, &world).0.unread_seconds.unwrap();
    assert!((after - before - 2.0).abs() < 0.2, "{before} and then {after}");
}
