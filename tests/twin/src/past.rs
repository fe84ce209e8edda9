//! A table as it was a moment ago, for reads that are only eventually consistent.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::clock::Millis;
use crate::item::{Item, Slot};

/// What was at a slot before its change; `None`: nothing.
type Before = Option<Arc<Item>>;

#[derive(Debug, Default)]
pub(crate) struct Past {
    /// In order of time.
    changes: VecDeque<(Millis, Slot, Before)>,
}

impl Past {
    /// Remembers a change for `keep` milliseconds; with 0 nothing is remembered.
    pub(crate) fn push(&mut self, now: Millis, slot: &Slot, before: Before, keep: Millis) {
        if keep > 0 {
            self.changes.push_back((now, slot.clone(), before));
        }
        let old = now.saturating_sub(keep);
        while self.changes.pop_front_if(|(at, ..)| *at <= old).is_some() {}
    }

    /// What undoes every change made after `at`.
    pub(crate) fn undo(&self, at: Millis) -> Undo {
        let mut before = BTreeMap::new();
        for (_, slot, was) in self.changes.iter().filter(|(changed, ..)| *changed > at) {
            before.entry(slot.clone()).or_insert_with(|| was.clone());
        }
        Undo(before)
    }
}

/// Slots that were different, with what they held then.
#[derive(Debug, Default)]
pub(crate) struct Undo(BTreeMap<Slot, Before>);

impl Undo {
    /// The items from `start` on as they were, in order.
    pub(crate) fn walk<'a>(
        &'a self,
        items: &'a BTreeMap<Slot, Arc<Item>>,
        start: &Bound<Slot>,
    ) -> impl Iterator<Item = (&'a Slot, &'a Arc<Item>)> {
        let range = (start.as_ref(), Bound::Unbounded);
        let kept = items.range::<Slot, _>(range).filter(|(slot, _)| !self.0.contains_key(*slot));
        let undone = self.0.range::<Slot, _>(range).filter_map(|(slot, was)| Some((slot, was.as_ref()?)));
        let (mut kept, mut undone) = (kept.peekable(), undone.peekable());
        std::iter::from_fn(move || match (kept.peek(), undone.peek()) {
            (Some((slot, _)), Some((other, _))) if other < slot => undone.next(),
            (Some(_), _) => kept.next(),
            (None, _) => undone.next(),
        })
    }
}
