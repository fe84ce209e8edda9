//! One order for the whole stream: what was handed out, what is done, what may be saved.
//!
//! Batches, and facts that come between them (shard ends, verified moments, gaps), are
//! entries of one queue. Entries without a batch are done by themselves. The frontier is
//! the unbroken run of done entries from the front; folding them into the state gives the
//! one checkpoint that may be saved: never behind a saved one, never ahead of the consumer.

use std::collections::VecDeque;

use crate::broken;

/// What the entries of a frontier change when they are passed.
pub trait Fold<Delta> {
    fn apply(&mut self, delta: &Delta);
}

#[derive(Debug)]
pub struct Frontier<State, Delta> {
    state: State,
    entries: VecDeque<Entry<Delta>>,
    /// The number of the last entry folded into `state`; entries are numbered 1, 2, 3, …
    passed: u64,
    /// Entries without a batch are done only by `pass` too, because somebody else writes the state.
    written_elsewhere: bool,
}

#[derive(Debug)]
struct Entry<Delta> {
    deltas: Vec<Delta>,
    batch: Option<u64>,
    taken: bool,
    done: bool,
}

impl<State: Fold<Delta> + Clone, Delta> Frontier<State, Delta> {
    pub fn new(state: State, written_elsewhere: bool) -> Self {
        Self { state, entries: VecDeque::new(), passed: 0, written_elsewhere }
    }

    /// The state behind everything that is done.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// For facts that may be known ahead of their place because they claim no progress.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The number of the last entry whose predecessors and itself are all done.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.passed + self.entries.len() as u64
    }

    /// The last entry before which no batch waits to be taken, and itself.
    pub fn taken_through(&self) -> u64 {
        self.passed + self.entries.iter().take_while(|entry| entry.taken).count() as u64
    }

    /// Whether every entry is done.
    pub fn is_drained(&self) -> bool {
        self.entries.is_empty()
    }

    /// Batches handed out or waiting that are not done, or not yet passed.
    pub fn held(&self) -> usize {
        self.entries.iter().filter(|entry| entry.batch.is_some()).count()
    }

    /// The first of those batches.
    pub fn oldest_held(&self) -> Option<u64> {
        self.entries.iter().find_map(|entry| entry.batch)
    }

    /// Appends an entry; returns its number.
    pub fn push(&mut self, deltas: Vec<Delta>, batch: Option<u64>) -> u64 {
        let done = batch.is_none() && !self.written_elsewhere || broken::is("emitted-is-done");
        self.entries.push_back(Entry { deltas, batch, taken: batch.is_none(), done });
        let number = self.passed + self.entries.len() as u64;
        self.advance();
        number
    }

    /// The consumer has this batch in hand.
    pub fn taken(&mut self, batch: u64) {
        if let Some(entry) = self.entry(batch) {
            entry.taken = true;
        }
    }

    /// The consumer is done with this batch, and with all before it unless `alone`.
    ///
    /// Returns false, and changes nothing, for a batch that was never taken.
    pub fn done(&mut self, batch: u64, alone: bool) -> bool {
        let Some(at) = self.entries.iter().rposition(|entry| entry.batch == Some(batch)) else {
            return true;
        };
        if !self.entries[at].taken {
            return false;
        }
        self.entries[at].done = true;
        if !alone || broken::is("highest-is-done") {
            self.entries.iter_mut().take(at).for_each(|entry| entry.done = true);
        }
        self.advance();
        true
    }

    /// The state if everything taken so far were done, and the number of the last entry in it.
    pub fn through_taken(&self) -> (u64, State) {
        let mut state = self.state.clone();
        let mut number = self.passed;
        for entry in self.entries.iter().take_while(|entry| entry.taken || broken::is("waiting-is-taken")) {
            entry.deltas.iter().for_each(|delta| state.apply(delta));
            number += 1;
        }
        (number, state)
    }

    /// Everything up to this entry is done and durable elsewhere.
    pub fn pass(&mut self, through: u64) {
        let count = through.saturating_sub(self.passed) as usize;
        self.entries.iter_mut().take(count).for_each(|entry| entry.done = true);
        self.advance();
    }

    fn entry(&mut self, batch: u64) -> Option<&mut Entry<Delta>> {
        self.entries.iter_mut().rev().find(|entry| entry.batch == Some(batch))
    }

    fn advance(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.done) {
            if let Some(entry) = self.entries.pop_front() {
                entry.deltas.iter().for_each(|delta| self.state.apply(delta));
                self.passed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Fold<u64> for Vec<u64> {
        fn apply(&mut self, delta: &u64) {
            self.push(*delta);
        }
    }

    #[test]
    fn only_the_unbroken_run_from_the_front_counts() {
        let mut frontier: Frontier<Vec<u64>, u64> = Frontier::new(vec![], false);
        for batch in 1..=3 {
            frontier.push(vec![batch], Some(batch));
            frontier.taken(batch);
        }
        assert!(frontier.done(3, true));
        assert!(frontier.state().is_empty());
        assert!(frontier.done(1, true));
        assert_eq!(frontier.state(), &[1]);
        assert!(frontier.done(2, false));
        assert_eq!(frontier.state(), &[1, 2, 3]);
    }

    #[test]
    fn a_fact_between_batches_passes_by_itself_once_all_before_it_is_done() {
        let mut frontier: Frontier<Vec<u64>, u64> = Frontier::new(vec![], false);
        frontier.push(vec![1], Some(1));
        frontier.push(vec![100], None);
        assert!(frontier.state().is_empty());
        frontier.taken(1);
        assert_eq!(frontier.through_taken(), (2, vec![1, 100]));
        frontier.done(1, false);
        assert_eq!(frontier.state(), &[1, 100]);
        frontier.push(vec![101], None);
        assert_eq!(frontier.state(), &[1, 100, 101]);
    }

    #[test]
    fn a_batch_that_was_not_handed_out_cannot_be_done() {
        let mut frontier: Frontier<Vec<u64>, u64> = Frontier::new(vec![], false);
        frontier.push(vec![1], Some(1));
        assert!(!frontier.done(1, false));
        assert!(frontier.state().is_empty());
    }

    proptest! {
        #[test]
        fn the_state_is_always_a_prefix_of_the_order(
            marks in proptest::collection::vec((1u64..40, any::<bool>(), any::<bool>()), 0..200)
        ) {
            let mut frontier: Frontier<Vec<u64>, u64> = Frontier::new(vec![], false);
            let mut done = std::collections::BTreeSet::new();
            for batch in 1..40u64 {
                frontier.push(vec![batch], Some(batch));
            }
            for (batch, alone, take) in marks {
                if take {
                    (1..=batch).for_each(|number| frontier.taken(number));
                }
                if frontier.done(batch, alone) {
                    done.insert(batch);
                    if !alone { done.extend(1..=batch); }
                }
                let run = (1..40u64).take_while(|number| done.contains(number)).count() as u64;
                prop_assert_eq!(frontier.state(), &(1..=run).collect::<Vec<_>>());
            }
        }
    }
}
