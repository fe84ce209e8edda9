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
//! To add one: a line in `ALL`, one `if broken::is("name")` in the stage, a test that fails while
//! it is on (`tests/simulation/broken.rs`).

#[cfg(feature = "broken")]
mod switch {
    use std::cell::RefCell;

    thread_local! {
        static ACTIVE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    /// Each name is asked for at exactly one place, and says what is wrong while it is on.
    pub const ALL: &[(&str, &str)] = &[
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
        ("children-beside-their-parents", "A shard is read before its parents have ended."),
        ("one-parent-of-two", "The child of a merge waits for one of its parents only."),
        ("gone-at-once", "Listings that miss a shard count however quickly they come."),
        ("latest-for-children", "Shards born after a start at latest begin when they are found."),
        ("latest-moves", "A restart takes the moment of latest anew."),
        ("end-without-proof", "A page without a next cursor ends its shard, whatever the listing says."),
        ("last-page-dropped", "The records of a shard's last page are left out."),
        ("empty-is-the-end", "An empty page is the end, also when something is behind it."),
        ("age-ignored", "The age of a position does not matter."),
        ("reads-unpaid", "Pages are asked for without waiting for what the last one cost."),
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
