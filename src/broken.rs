//! Faults that tests put into this crate on purpose, to see that something notices each of them.
//!
//! `broken::is("name")` stands where the fault would be. It is a constant `false` unless the
//! feature `broken` is on, which only this crate's own tests turn on, so nothing of it is in a
//! build that anybody uses. With the feature a fault is there while its guard lives, and only
//! for the thread that holds the guard:
//!
//! ```ignore
//! let _broken = broken::on("drain-beside-the-scan");
//! ```
//!
//! To add one: a line in `ALL` and one `broken::is("name")` in the stage. `tests/simulation/bugs.rs` runs
//! seeds until the checker notices it; `make seeded-bugs` writes the table of them.

#[cfg(feature = "broken")]
mod switch {
    use std::cell::RefCell;

    thread_local! {
        static ACTIVE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    /// Each name is asked for at exactly one place, and says what is wrong while it is on.
    #[rustfmt::skip]
    pub const ALL: &[(&str, &str)] = &[
        ("last-page-dropped", "The records of a page that has no next cursor are left out."),
        ("rest-of-a-page-dropped", "What does not fit into a batch is left out with the rest of its page."),
        ("latest-on-a-child", "A child is opened at its end, not at its beginning."),
        ("latest-after-an-expired-cursor", "A shard whose cursor expired is opened at its end."),
        ("latest-by-another-clock", "What `latest` leaves out is a minute too new, as by a clock that is ahead."),
        ("resumed-at-the-beginning", "A restart reads every shard from its beginning."),
        ("at-not-after", "A shard is opened at the last record that was read, not behind it."),
        ("numbers-as-text", "Sequence numbers are compared as text."),
        ("child-before-its-parent", "A child is read while its parent is not at its end."),
        ("one-parent-of-a-merge", "A shard that two were merged into waits for one of them."),
        ("parents-not-saved", "The checkpoint does not know the parents of a shard."),
        ("one-listing-is-proof", "A shard that one listing leaves out is believed to be gone."),
        ("missing-cursor-believed", "A page without a next cursor is the end of its shard, whatever listings say."),
        ("empty-page-is-the-end", "An empty page is the end of its shard."),
        ("not-found-is-the-end", "A shard that the service does not find counts as read to its end."),
        ("old-position-believed", "A position older than the retention goes on without a gap."),
        ("replaced-in-silence", "A stream that was replaced by another is no gap."),
        ("gap-not-written", "A gap is not written with the checkpoint that passes it."),
        ("gap-written-again", "A gap is written with every checkpoint after it, too."),
        ("quarantine-not-written", "A record that is set aside is not written down."),
        ("verified-by-one-page", "One empty page verifies a shard."),
        ("behind-is-the-end", "A page that is behind the end of its shard counts as its end."),
        ("quiet-too-soon", "One empty page is silence enough for a bounded run to end."),
        ("position-ahead-of-its-rows", "A position may be saved before the batch with its rows is done."),
        ("end-ahead-of-its-rows", "The end of a shard may be saved before the batch with its rows is done."),
        ("highest-is-done", "A batch that is done stands for all before it."),
        ("emitted-is-done", "A batch counts as done as soon as it is there."),
        ("taken-is-done", "A batch counts as done when it is taken."),
        ("half-of-the-facts", "A batch leaves with half of the facts that belong to it."),
        ("end-not-saved", "The end of a shard is not saved."),
        ("saved-once", "After the first checkpoint only new shards cause another."),
        ("schema-not-saved", "The checkpoint does not know the columns."),
        ("failed-reader-forgotten", "A shard whose call failed is never asked again."),
        ("stall-never-raised", "A shard that fails for longer than `stall_timeout` is no error."),
        ("memory-not-released", "The memory set aside for a page is never given back."),
        ("memory-without-limit", "Pages are asked for whatever memory they need."),
        ("batch-never-due", "A batch leaves only when it is full."),
        ("no-pause", "The pause the service asks for between two pages is left out."),
        ("ready-before-the-scan-ends", "A snapshot is ready while the table is still scanned."),
        ("epoch-not-raised", "A table that is scanned again keeps its epoch."),
        ("epoch-begun-forgotten", "A second scan that is begun again after a kill takes the same epoch."),
        ("key-of-another-segment", "A page's key is saved for another segment of the scan."),
        ("empty-scan-page-is-the-end", "An empty page of a scan is the end of its segment."),
        ("moment-a-minute-late", "A start at a moment leaves out the minute behind it."),
        ("trimmed-is-used-up", "A shard whose position is trimmed counts as read to its end."),
        ("trimmed-in-silence", "A trimmed position goes on at the oldest record without a gap."),
        ("orphans-in-silence", "A parent that was gone before it could be read is no gap."),
        ("new-stream-at-its-end", "The stream that replaced another is read from its end."),
        ("verified-behind-the-end", "An empty page behind the end of a shard verifies what its children begin with."),
        ("childless-at-once", "A bounded run does not wait for the children of a shard that ended."),
        ("last-rows-kept-back", "A bounded run ends without the rows it is still gathering."),
        ("waiting-is-taken", "A loader's checkpoint covers batches that nobody took."),
        ("forgotten-at-once", "A finished shard is forgotten as soon as listings do not show it."),
        ("damaged-page-asked-again", "A page that was used in part is asked for again with its cursor."),
        ("starved-for-ever", "Readers that waited for memory are never woken."),
        ("ready-before-the-drain", "A snapshot is ready before the changes made during its scan are read."),
        ("failed-segment-is-done", "A segment whose call failed counts as scanned."),
        ("failed-save-forgets", "What a failed save of the checkpoint took along is not written by a later one."),
        ("aged-out-parent-awaited", "A finished shard ages out of the checkpoint while a child of it is not read to its end."),
        ("unfinished-shards-speak-for-all", "What nobody saw is as old as the shards that are not finished, whatever finished ones are."),
        ("late-parent-is-gone", "A restart believes three listings at once that a parent is gone."),
        (
            "latest-at-the-first-drain",
            "Shards of a snapshot are opened at their end, not at their beginning.",
        ),
        ("closed-shards-left-out", "A capture leaves out the shards that closed in the 15 minutes before."),
        ("captured-again", "A restart in the middle of a scan captures the positions again."),
        ("saved-after-the-scan-began", "The scan does not wait until the positions are durable."),
        ("eventually-consistent-scan", "The scan's reads are eventually consistent."),
        ("segments-change", "A restart scans on with one segment less."),
        ("segment-ahead-of-its-rows", "A segment is saved ahead of the rows of its page."),
        ("drain-beside-the-scan", "A drain begins while scan requests are in flight."),
        ("scan-beside-the-drain", "A scan begins while shards are being asked."),
        ("gone-at-once", "Listings that miss a shard count however quickly they come."),
        ("latest-for-children", "Shards born after a start at latest begin when they are found."),
        ("latest-moves", "A restart takes the moment of latest anew."),
        ("age-ignored", "The age of a position does not matter."),
        ("reads-unpaid", "Pages are asked for without waiting for what the last one cost."),
        ("hole-overlooked", "A stream begins with a listing that leaves a whole lineage out."),
    ];

    pub fn is(name: &str) -> bool {
        ACTIVE.with_borrow(|active| active.contains(&name))
    }

    /// Breaks the crate for this thread until the guard is dropped.
    ///
    /// # Panics
    /// When the name is not in `ALL`.
    #[must_use = "the fault is gone with its guard"]
    pub fn on(name: &'static str) -> Broken {
        assert!(ALL.iter().any(|(known, _)| *known == name), "{name} is not in broken::ALL");
        ACTIVE.with_borrow_mut(|active| active.push(name));
        Broken { name, of_this_thread: std::marker::PhantomData }
    }

    /// Something is broken while this lives.
    #[derive(Debug)]
    pub struct Broken {
        name: &'static str,
        of_this_thread: std::marker::PhantomData<*const ()>,
    }

    impl Drop for Broken {
        fn drop(&mut self) {
            ACTIVE.with_borrow_mut(|active| {
                if let Some(last) = active.iter().rposition(|name| *name == self.name) {
                    active.remove(last);
                }
            });
        }
    }
}

#[cfg(feature = "broken")]
pub use switch::{ALL, Broken, is, on};

#[cfg(not(feature = "broken"))]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    /// How often each name is asked for in the sources.
    fn places(folder: &Path, found: &mut BTreeMap<String, usize>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                places(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("src/broken.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for call in text.split("broken::is(").skip(1) {
                    let name = call.split('"').nth(1).unwrap_or_default();
                    *found.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
    }

    #[test]
    fn each_name_is_asked_for_at_one_place() {
        let mut found = BTreeMap::new();
        places(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let known: BTreeMap<_, _> = ALL.iter().map(|(name, _)| ((*name).to_owned(), 1)).collect();
        assert_eq!(found, known);
        assert_eq!(known.len(), ALL.len(), "a name stands twice in broken::ALL");
    }

    #[test]
    fn each_says_what_is_wrong_in_a_sentence_of_its_own() {
        let sentences: BTreeSet<_> = ALL.iter().map(|(_, sentence)| sentence).collect();
        assert_eq!(sentences.len(), ALL.len());
        assert!(sentences.iter().all(|sentence| sentence.len() > 20 && sentence.ends_with('.')));
    }

    #[test]
    fn a_fault_is_there_while_its_guard_lives_and_for_its_thread_alone() {
        let (one, _) = ALL[0];
        assert!(!is(one));
        let guard = on(one);
        let inner = on(one);
        drop(inner);
        assert!(is(one) && !is("another"));
        assert!(!std::thread::spawn(move || is(one)).join().unwrap());
        drop(guard);
        assert!(!is(one));
    }
}
