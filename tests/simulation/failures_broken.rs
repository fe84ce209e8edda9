//! The tests of single failures notice when the crate is broken.

use std::panic::catch_unwind;

use shardarrow::broken;

use crate::failures::{
    a_gap_that_a_failed_save_took_along_is_written_with_the_next,
    a_page_that_is_damaged_in_its_middle_is_read_on_behind_what_was_used,
    a_parent_that_listings_show_late_after_a_restart_is_read_first,
    a_scan_begun_again_after_a_kill_outdates_what_the_first_one_brought,
    a_shard_that_vanished_unseen_is_named, a_start_behind_a_trimmed_record_is_a_gap,
    what_nobody_saw_is_as_old_as_the_shard_it_descends_from,
};
use crate::kinesis::the_child_of_a_merge_does_not_wait_for_a_parent_that_aged_out;

/// Faults of `broken::ALL`, and the test that notices each: few seeds, or none, come to such a state.
pub const NOTICED_HERE: [(&str, fn()); 8] = [
    ("failed-save-forgets", a_gap_that_a_failed_save_took_along_is_written_with_the_next),
    ("damaged-page-asked-again", a_page_that_is_damaged_in_its_middle_is_read_on_behind_what_was_used),
    ("late-parent-is-gone", a_parent_that_listings_show_late_after_a_restart_is_read_first),
    ("unfinished-shards-speak-for-all", what_nobody_saw_is_as_old_as_the_shard_it_descends_from),
    ("aged-out-parent-awaited", the_child_of_a_merge_does_not_wait_for_a_parent_that_aged_out),
    ("trimmed-in-silence", a_start_behind_a_trimmed_record_is_a_gap),
    ("orphans-in-silence", a_shard_that_vanished_unseen_is_named),
    ("epoch-begun-forgotten", a_scan_begun_again_after_a_kill_outdates_what_the_first_one_brought),
];

#[test]
fn each_is_noticed() {
    for (fault, test) in NOTICED_HERE {
        let _broken = broken::on(fault);
        assert!(catch_unwind(test).is_err(), "nothing is noticed while the crate is broken by {fault}");
    }
}
