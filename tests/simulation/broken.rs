//! The model notices when the snapshot is broken: these faults of `broken::ALL` make a mirror differ
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

/// The stories in which the faults of the snapshot show.
fn story_of(fault: &str) -> Option<fn(u64) -> World> {
    Some(match fault {
        "latest-at-the-first-drain" | "captured-again" | "saved-after-the-scan-began" => unwatched,
        "eventually-consistent-scan" => unwatched,
        "closed-shards-left-out" => written_just_before_the_capture,
        // Of two segments one is left: every key is good for it.
        "segments-change" | "segment-ahead-of-its-rows" => lagging,
        "drain-beside-the-scan" => changed_once,
        // Of three shards one is still answering when the others are at their ends.
        "scan-beside-the-drain" => |seed| changed_once(3 * seed + 2),
        _ => return None,
    })
}

/// How many small tables it takes until a mirror differs; none for a fault that other stories show.
pub fn tables_until_noticed(fault: &'static str) -> Option<u64> {
    first_difference(fault, 4_000, story_of(fault)?).map(|seed| seed + 1)
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
