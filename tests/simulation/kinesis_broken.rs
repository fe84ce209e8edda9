//! The stories of Kinesis notice when the crate is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardarrow::broken;
use shardarrow::run::Keeper;

use crate::kinesis::{
    assert_exact, assert_ordered, backlog, empty_pages, latest, left_out, reshards, retention,
};

/// The faults of `broken::ALL` that only these stories are known to notice.
pub const NOTICED_HERE: [&str; 7] = [
    "gone-at-once",
    "missing-cursor-believed",
    "latest-for-children",
    "latest-moves",
    "age-ignored",
    "reads-unpaid",
    "hole-overlooked",
];

/// Some seed's story fails while the fault is on; which one, and how, does not matter.
fn assert_noticed(fault: &'static str, story: fn(u64)) {
    let _broken = broken::on(fault);
    let noticed = (0..300).any(|seed| catch_unwind(AssertUnwindSafe(|| story(seed))).is_err());
    assert!(noticed, "nothing is noticed while the crate is broken by {fault}");
}

fn resharded(seed: u64) {
    let world = reshards(seed, Keeper::Loader, 6, 4);
    assert_exact(&world);
    assert_ordered(&world);
}

#[test]
fn a_child_waits_for_its_parents() {
    assert_noticed("child-before-its-parent", resharded);
}

#[test]
fn the_child_of_a_merge_waits_for_both() {
    assert_noticed("one-parent-of-a-merge", resharded);
}

#[test]
fn a_shard_is_gone_only_when_it_is_missed_for_a_while() {
    assert_noticed("gone-at-once", resharded);
}

#[test]
fn an_end_is_proved() {
    assert_noticed("missing-cursor-believed", resharded);
}

#[test]
fn a_last_page_counts() {
    assert_noticed("last-page-dropped", resharded);
}

#[test]
fn shards_born_after_latest_are_read_from_their_beginning() {
    assert_noticed("latest-for-children", latest);
}

#[test]
fn latest_is_one_moment() {
    assert_noticed("latest-moves", latest);
}

#[test]
fn what_is_behind_an_empty_page_is_read() {
    assert_noticed("behind-is-the-end", |_| empty_pages());
}

#[test]
fn age_decides_what_is_lost() {
    assert_noticed("age-ignored", |_| retention());
}

#[test]
fn pages_are_paid_for() {
    assert_noticed("reads-unpaid", |_| backlog());
}

#[test]
fn a_start_waits_for_what_the_first_listing_leaves_out() {
    assert_noticed("hole-overlooked", |_| left_out());
}
