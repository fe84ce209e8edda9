//! The model notices when the crate is broken: each fault of `broken::ALL` makes a mirror differ
//! from its table, with nothing but the mirror looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardarrow::broken;

use crate::snapshot::{
    assert_equal, each_item_changes_once, one_segment_lags, small_table, written_just_before_the_capture,
};
use crate::world::World;

/// The first seed whose mirror differs from its table while the fault is on.
fn first_difference(fault: &'static str, seeds: u64, story: fn(u64) -> World) -> Option<u64> {
    let _broken = broken::on(fault);
    (0..seeds).find(|seed| {
        let told = catch_unwind(AssertUnwindSafe(|| assert_equal(&mut story(*seed), *seed)));
        told.is_err_and(|panic| panic.downcast_ref::<String>().is_some_and(|said| said.contains(": mirror ")))
    })
}

fn assert_noticed(fault: &'static str, story: fn(u64) -> World) {
    let seed = first_difference(fault, 2_000, story);
    assert!(seed.is_some(), "no mirror differs while the crate is broken by {fault}");
}

fn unwatched(seed: u64) -> World {
    small_table(seed, false)
}

fn changed_once(seed: u64) -> World {
    each_item_changes_once(seed, false)
}

fn lagging(seed: u64) -> World {
    one_segment_lags(seed, false)
}

#[test]
fn positions_are_the_beginnings_of_shards() {
    assert_noticed("latest-at-the-first-drain", unwatched);
}

#[test]
fn shards_that_closed_just_before_belong_to_the_capture() {
    assert_noticed("closed-shards-left-out", written_just_before_the_capture);
}

#[test]
fn positions_are_captured_once() {
    assert_noticed("captured-again", unwatched);
}

#[test]
fn positions_are_durable_before_the_first_scan_request() {
    assert_noticed("saved-after-the-scan-began", unwatched);
}

#[test]
fn reads_are_consistent() {
    assert_noticed("eventually-consistent-scan", unwatched);
}

#[test]
fn the_number_of_segments_stays() {
    // Of two segments one is left: every key is good for it.
    assert_noticed("segments-change", lagging);
}

#[test]
fn a_segment_is_saved_with_its_rows() {
    assert_noticed("segment-ahead-of-its-rows", lagging);
}

#[test]
fn a_drain_waits_for_the_scan() {
    assert_noticed("drain-beside-the-scan", changed_once);
}

#[test]
fn a_scan_waits_for_the_drain() {
    // Of three shards one is still answering when the others are at their ends.
    assert_noticed("scan-beside-the-drain", |seed| changed_once(3 * seed + 2));
}
