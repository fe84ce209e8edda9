//! The shard tree: which shards there are, and which may be read now.
//!
//! A child waits for all its parents, so that a key's changes keep their order across
//! rollovers, splits and merges. Edges are never dropped because a listing did not show
//! a parent: listings are neither atomic nor ordered. A parent counts as gone only when
//! `CONFIRMATIONS` complete listings in a row did not show it, `NEAR` apart at least. Those of a shard
//! that is known, or that a newcomer names, must be `APART`: a listing may be older than the shard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::broken;
use crate::page::{HashKeys, Millis, Shard};
use crate::position::{SequenceNumber, ShardId};

/// Complete listings in a row that must miss a shard before its absence is believed.
pub const CONFIRMATIONS: u32 = 3;

/// Listings that miss a shard count when they are this long apart, also those of a first look: a doubt
/// about another shard has everything listed at once, and a parent may be out of sight for a moment.
pub const NEAR: Duration = Duration::from_millis(200);

/// So long where the shard must exist, or did.
const APART: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub struct ShardGraph {
    nodes: BTreeMap<ShardId, Node>,
    /// Parents that some shard names and no listing has shown.
    unseen: BTreeMap<ShardId, Missed>,
    /// How far listings must be apart that miss the parents of newcomers.
    apart: Duration,
}

/// How many complete listings in a row did not show a shard, and when the last of them came that counts.
/// `apart` may be less than `NEAR`, which always holds.
#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    times: u32,
    at: Duration,
    apart: Duration,
}

impl Missed {
    /// A listing that was asked for at `asked` and came at `now` did not show the shard: it may show
    /// what was at any moment between the two.
    fn again(&mut self, asked: Duration, now: Duration) {
        let apart = self.apart.max(NEAR);
        if self.times == 0 || asked >= self.at + apart || broken::is("gone-at-once") {
            (self.times, self.at) = (self.times.saturating_add(1), now);
        }
    }

    fn is_proof(self) -> bool {
        self.times >= if broken::is("one-listing-is-proof") { 1 } else { CONFIRMATIONS }
    }
}

#[derive(Clone, Debug)]
struct Node {
    parents: Vec<ShardId>,
    starting: Option<SequenceNumber>,
    ending: Option<SequenceNumber>,
    hash_keys: Option<HashKeys>,
    /// The service's time of the last listing that showed the shard open.
    open_at: Option<Millis>,
    finished: bool,
    missed: Missed,
}

impl ShardGraph {
    /// The tree is known now: the parents of a shard that is new from here on must exist, however many
    /// listings do not show them yet. At a first look, parents that are not there are history.
    pub fn expect_parents(&mut self) {
        self.apart = APART;
    }

    /// Takes a shard as a listing shows it. Returns whether it is new.
    pub fn observe(&mut self, shard: &Shard) -> bool {
        self.unseen.remove(&shard.id);
        let known = self.nodes.contains_key(&shard.id);
        let apart = if known { Duration::ZERO } else { self.apart };
        for parent in &shard.parents {
            if !self.nodes.contains_key(parent) {
                self.unseen.entry(parent.clone()).or_insert(Missed { apart, ..Missed::default() });
            }
        }
        let node = self.nodes.entry(shard.id.clone()).or_insert_with(|| Node::new(&shard.parents));
        node.missed = Missed { apart: APART, ..Missed::default() };
        for parent in &shard.parents {
            if !node.parents.contains(parent) {
                node.parents.push(parent.clone());
            }
        }
        node.starting = shard.starting.clone().or(node.starting.take());
        node.ending = shard.ending.clone().or(node.ending.take());
        node.hash_keys = shard.hash_keys.or(node.hash_keys);
        !known
    }

    /// The shards of a listing, all of them observed, that it shows open were open at its time.
    pub fn saw_open(&mut self, listed: &[Shard], at: Option<Millis>) {
        let parents: BTreeSet<ShardId> = self.nodes.values().flat_map(|node| node.parents.clone()).collect();
        for shard in listed.iter().filter(|shard| !parents.contains(&shard.id)) {
            if let Some(node) = self.nodes.get_mut(&shard.id).filter(|node| node.ending.is_none()) {
                node.open_at = node.open_at.max(at);
            }
        }
    }

    /// The service's time of the last listing that showed the shard open.
    pub fn open_at(&self, id: &ShardId) -> Option<Millis> {
        self.nodes.get(id)?.open_at
    }

    /// Takes a shard from a checkpoint; what a listing says of it comes later, or never. Parents that
    /// the checkpoint does not know are gone when listings miss them for a while, or at once where that
    /// was proved before.
    pub fn remember(&mut self, id: &ShardId, parents: &[ShardId], parents_gone: bool, finished: bool) {
        let proved = parents_gone || broken::is("late-parent-is-gone");
        let apart = if proved { Duration::ZERO } else { APART };
        for parent in parents.iter().filter(|parent| !self.nodes.contains_key(*parent)) {
            // The shard itself may never be listed again, and must not wait for this parent for ever.
            self.unseen.entry(parent.clone()).or_insert(Missed { apart, ..Missed::default() });
        }
        let mut node = Node::new(parents);
        node.finished = finished;
        self.nodes.insert(id.clone(), node);
        self.unseen.remove(id);
    }

    /// Ends a complete listing that showed exactly the shards of `listed`, was asked for at `asked` and
    /// came at `now`: times since any fixed moment.
    pub fn reconcile(&mut self, listed: &[Shard], asked: Duration, now: Duration) {
        let shown: BTreeSet<&ShardId> = listed.iter().map(|shard| &shard.id).collect();
        for (id, node) in &mut self.nodes {
            if !shown.contains(id) {
                node.missed.again(asked, now);
            }
        }
        for missed in self.unseen.values_mut() {
            missed.again(asked, now);
        }
    }

    /// Shards that are not finished and whose parents are all finished or gone.
    pub fn ready(&self) -> impl Iterator<Item = &ShardId> {
        self.nodes.iter().filter(|(_, node)| !node.finished && self.unblocked(node)).map(|(id, _)| id)
    }

    pub fn is_ready(&self, id: &ShardId) -> bool {
        self.nodes.get(id).is_some_and(|node| !node.finished && self.unblocked(node))
    }

    fn unblocked(&self, node: &Node) -> bool {
        let over = |parent: &ShardId| match self.nodes.get(parent) {
            Some(known) => known.finished,
            None => self.is_gone(parent),
        };
        if broken::is("one-parent-of-a-merge") && node.parents.len() > 1 {
            return node.parents.iter().any(over);
        }
        node.parents.iter().all(over) || broken::is("child-before-its-parent")
    }

    /// Marks the end of a shard: everything in it has its place in the order of the stream.
    pub fn finish(&mut self, id: &ShardId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.finished = true;
        }
    }

    /// Drops a finished shard that has aged out of the service's own listing.
    pub fn forget(&mut self, id: &ShardId) {
        self.nodes.remove(id);
    }

    pub fn contains(&self, id: &ShardId) -> bool {
        self.nodes.contains_key(id)
    }

    pub fn is_finished(&self, id: &ShardId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.finished)
    }

    /// Whether some listing showed the shard closed.
    pub fn is_closed(&self, id: &ShardId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.ending.is_some())
    }

    pub fn ending(&self, id: &ShardId) -> Option<&SequenceNumber> {
        self.nodes.get(id)?.ending.as_ref()
    }

    /// Which hashes of partition keys belong to the shard, as far as the service told.
    pub fn hash_keys(&self, id: &ShardId) -> Option<HashKeys> {
        self.nodes.get(id)?.hash_keys
    }

    pub fn parents(&self, id: &ShardId) -> &[ShardId] {
        self.nodes.get(id).map_or(&[], |node| &node.parents)
    }

    pub fn children<'a>(&'a self, id: &'a ShardId) -> impl Iterator<Item = &'a ShardId> {
        self.nodes.iter().filter(move |(_, node)| node.parents.contains(id)).map(|(child, _)| child)
    }

    /// Whether enough complete listings in a row did not show this shard.
    pub fn is_gone(&self, id: &ShardId) -> bool {
        let missed =
            self.nodes.get(id).map_or_else(|| self.unseen.get(id).copied(), |node| Some(node.missed));
        missed.is_some_and(Missed::is_proof)
    }

    /// Parents that are named but have not been listed, and are not yet believed to be gone.
    pub fn unsettled(&self) -> bool {
        self.unseen.values().any(|missed| !missed.is_proof())
    }

    /// Listed shards that name a parent which no listing shows any more, with that parent.
    pub fn orphans(&self) -> impl Iterator<Item = (&ShardId, &ShardId)> {
        self.nodes.iter().flat_map(move |(id, node)| {
            let gone = |parent: &&ShardId| !self.nodes.contains_key(*parent) && self.is_gone(parent);
            node.parents.iter().filter(gone).map(move |parent| (id, parent))
        })
    }

    /// Shards whose listed range of sequence numbers can hold this one.
    pub fn holding<'a>(&'a self, number: &'a SequenceNumber) -> impl Iterator<Item = &'a ShardId> {
        self.nodes.iter().filter(move |(_, node)| node.can_hold(number)).map(|(id, _)| id)
    }

    pub fn ancestors(&self, id: &ShardId) -> Vec<ShardId> {
        self.walk(id, |at| self.parents(at).iter().filter(|parent| self.contains(parent)).cloned().collect())
    }

    pub fn descendants(&self, id: &ShardId) -> Vec<ShardId> {
        self.walk(id, |at| self.children(at).cloned().collect())
    }

    fn walk(&self, from: &ShardId, next: impl Fn(&ShardId) -> Vec<ShardId>) -> Vec<ShardId> {
        let mut found: Vec<ShardId> = Vec::new();
        let mut open = vec![from.clone()];
        while let Some(at) = open.pop() {
            for id in next(&at) {
                if id != *from && !found.contains(&id) {
                    found.push(id.clone());
                    open.push(id);
                }
            }
        }
        found
    }

    pub fn ids(&self) -> impl Iterator<Item = &ShardId> {
        self.nodes.keys()
    }

    pub fn unfinished(&self) -> impl Iterator<Item = &ShardId> {
        self.nodes.iter().filter(|(_, node)| !node.finished).map(|(id, _)| id)
    }
}

impl Node {
    fn new(parents: &[ShardId]) -> Self {
        let parents = parents.to_vec();
        Self {
            parents,
            starting: None,
            ending: None,
            hash_keys: None,
            open_at: None,
            finished: false,
            missed: Missed { apart: APART, ..Missed::default() },
        }
    }

    fn can_hold(&self, number: &SequenceNumber) -> bool {
        let starts_before = self.starting.as_ref().is_none_or(|starting| starting <= number);
        let ends_behind = self.ending.as_ref().is_none_or(|ending| ending >= number);
        starts_before && ends_behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_shard_that_no_listing_shows_does_not_wait_for_a_parent_that_is_gone_too() {
        let mut graph = ShardGraph::default();
        graph.remember(&"child".into(), &["parent".into()], true, false);
        graph.expect_parents();
        for time in 0..CONFIRMATIONS {
            assert!(!graph.is_ready(&"child".into()) && graph.unsettled());
            list(&mut graph, &[], NEAR * time);
        }
        assert!(graph.is_ready(&"child".into()) && !graph.unsettled());
    }

    fn shard(id: &str, parents: &[&str]) -> Shard {
        Shard {
            id: id.into(),
            parents: parents.iter().map(|parent| (*parent).into()).collect(),
            starting: None,
            ending: None,
            hash_keys: None,
        }
    }

    /// A listing that takes no time.
    fn list(graph: &mut ShardGraph, listed: &[Shard], now: Duration) {
        graph.reconcile(listed, now, now);
    }

    fn ready(graph: &ShardGraph) -> Vec<&str> {
        graph.ready().map(ShardId::as_str).collect()
    }

    #[test]
    fn a_child_waits_for_its_parent_in_whatever_order_they_are_listed() {
        let mut graph = ShardGraph::default();
        graph.observe(&shard("b", &["a"]));
        assert!(ready(&graph).is_empty());
        graph.observe(&shard("a", &[]));
        assert_eq!(ready(&graph), ["a"]);
        graph.finish(&"a".into());
        assert_eq!(ready(&graph), ["b"]);
    }

    #[test]
    fn a_merged_child_waits_for_both_parents() {
        let mut graph = ShardGraph::default();
        for (id, parents) in [("a", vec![]), ("b", vec![]), ("c", vec!["a", "b"])] {
            graph.observe(&shard(id, &parents));
        }
        graph.finish(&"a".into());
        assert_eq!(ready(&graph), ["b"]);
        graph.finish(&"b".into());
        assert_eq!(ready(&graph), ["c"]);
    }

    #[test]
    fn an_unlisted_parent_holds_its_child_until_its_absence_is_confirmed() {
        let mut graph = ShardGraph::default();
        let listed = [shard("b", &["a"])];
        graph.observe(&listed[0]);
        for time in 1..CONFIRMATIONS {
            list(&mut graph, &listed, NEAR * time);
            assert!(graph.unsettled() && ready(&graph).is_empty());
        }
        list(&mut graph, &listed, NEAR * CONFIRMATIONS);
        assert!(!graph.unsettled());
        assert_eq!(ready(&graph), ["b"]);
        assert_eq!(graph.orphans().count(), 1);
    }

    /// Each may show what was when it was asked for.
    #[test]
    fn listings_in_quick_succession_do_not_confirm_each_other_at_a_first_look_either() {
        let mut graph = ShardGraph::default();
        let listed = [shard("b", &["a"])];
        graph.observe(&listed[0]);
        (0..100).for_each(|_| list(&mut graph, &listed, Duration::ZERO));
        (1..3).for_each(|time| graph.reconcile(&listed, NEAR * time - Duration::from_millis(1), NEAR * time));
        assert!(graph.unsettled() && ready(&graph).is_empty());
        list(&mut graph, &listed, NEAR * 4);
        assert_eq!(ready(&graph), ["b"]);
    }

    /// Listings lag behind, and a shard may be known before any shows it.
    #[test]
    fn a_known_shard_is_not_gone_because_many_listings_at_once_miss_it() {
        let mut graph = ShardGraph::default();
        graph.observe(&shard("a", &[]));
        (0..100).for_each(|_| list(&mut graph, &[], Duration::ZERO));
        assert!(!graph.is_gone(&"a".into()));
        list(&mut graph, &[], APART);
        list(&mut graph, &[], APART * 2);
        assert!(graph.is_gone(&"a".into()));
        graph.observe(&shard("a", &[]));
        assert!(!graph.is_gone(&"a".into()));
    }

    #[test]
    fn the_parent_of_a_newcomer_is_expected_for_a_while() {
        let mut graph = ShardGraph::default();
        graph.expect_parents();
        let listed = [shard("b", &["a"])];
        graph.observe(&listed[0]);
        (0..100).for_each(|_| list(&mut graph, &listed, Duration::ZERO));
        assert!(graph.unsettled() && ready(&graph).is_empty());
        (1..3).for_each(|time| list(&mut graph, &listed, APART * time));
        assert_eq!(ready(&graph), ["b"]);
    }

    #[test]
    fn a_parent_that_turns_up_late_is_read_first() {
        let mut graph = ShardGraph::default();
        graph.observe(&shard("b", &["a"]));
        list(&mut graph, &[shard("b", &["a"])], Duration::ZERO);
        graph.observe(&shard("a", &[]));
        list(&mut graph, &[shard("a", &[]), shard("b", &["a"])], NEAR);
        assert_eq!(ready(&graph), ["a"]);
    }

    #[test]
    fn the_shards_that_can_hold_a_number_are_found_by_value() {
        let mut graph = ShardGraph::default();
        let number = |text: &str| SequenceNumber::parse(text).unwrap();
        graph.observe(&Shard {
            starting: Some(number("90")),
            ending: Some(number("105")),
            ..shard("a", &[])
        });
        graph.observe(&Shard { starting: Some(number("106")), ..shard("b", &["a"]) });
        assert_eq!(graph.holding(&number("100")).map(ShardId::as_str).collect::<Vec<_>>(), ["a"]);
        assert_eq!(graph.holding(&number("1000")).map(ShardId::as_str).collect::<Vec<_>>(), ["b"]);
    }
}
