//! The ends of shards: when one is believed, and what follows it.

use super::discovery::UNSETTLED;
use super::*;

/// A listing may show a shard open so long after it ended.
const LISTED_LATE: Millis = 15 * 60 * 1000;

impl Run {
    /// The last page of a shard may name those that go on where it ends. Other parents of theirs
    /// may be new.
    pub(super) fn meet_children(&mut self, page: &Page, now: Now) -> Result<()> {
        if page.children.is_empty() {
            return Ok(());
        }
        for child in &page.children {
            self.graph.observe(child);
        }
        self.discovery.met_children(&page.shard);
        if self.graph.unsettled() || self.awaits_open_shards() {
            self.discovery.list_by(now + UNSETTLED);
        }
        self.settle_discoveries(now)
    }

    /// The service gave no next cursor. The end is believed when the page names the children, or when
    /// a listing agrees.
    pub(super) fn end_of_shard(&mut self, id: &ShardId, names_children: bool, now: Now) -> Result<()> {
        if names_children || self.believes_end(id) {
            return self.finish(id, now);
        }
        if self.is_end_confirmed(id) {
            self.read_again(id);
            return Ok(());
        }
        self.discovery.pursue_children(id, now);
        self.discovery.list_by(now + Duration::from_millis(100));
        Ok(())
    }

    /// Everything in the shard has its place: its children may go on.
    pub(super) fn finish(&mut self, id: &ShardId, now: Now) -> Result<()> {
        let at = self.server_now(now).unwrap_or(0);
        self.verify_while_open(id);
        if let Some(reader) = self.readers.get_mut(id) {
            reader.phase = Phase::Finished;
        }
        self.graph.finish(id);
        let delta = Delta::Finish { shard: id.clone(), at };
        if broken::is("end-ahead-of-its-rows") {
            self.frontier.push(vec![delta], None);
        } else {
            self.deltas.push(delta);
        }
        if !self.discovery.knows_children(id) {
            self.discovery.pursue_children(id, now);
        }
        self.look_around_when_all_read(now);
        self.activate_ready(now);
        Ok(())
    }

    /// Nothing is missing of a shard that is read to its end: neither what it held while a listing still
    /// showed it open, nor anything older in its children, which began when it ended.
    fn verify_while_open(&mut self, id: &ShardId) {
        let open_at = self.graph.open_at(id).map(|at| at - LISTED_LATE);
        if let (Some(reader), Some(at)) = (self.readers.get_mut(id), open_at)
            && reader.verified < Some(at)
        {
            reader.verified = Some(at);
            self.deltas.push(Delta::Verified { shard: id.clone(), at });
        }
    }

    /// A missing cursor is believed when the listing shows the shard closed, or names it as a parent.
    /// A listing that was asked for afterwards and shows neither means: read on.
    pub(super) fn settle_ends(&mut self, scope: &Scope, listing: &Listing, now: Now) -> Result<()> {
        let ending: Vec<_> = self
            .readers
            .values()
            .filter(|reader| reader.phase == Phase::Ending)
            .map(|r| r.id.clone())
            .collect();
        let fresh = *scope == Scope::Full && listing.complete;
        for id in ending {
            if self.believes_end(&id) {
                self.finish(&id, now)?;
            } else if self.is_end_confirmed(&id) {
                self.read_again(&id);
            } else if let Some(reader) = self.readers.get_mut(&id)
                && fresh
                && reader.due <= self.discovery.asked_at
            {
                reader.reopen(now + UNSETTLED);
                self.schedule(&id);
            }
        }
        Ok(())
    }

    fn is_end_confirmed(&self, id: &ShardId) -> bool {
        self.is_listed_closed(id) || self.graph.is_gone(id)
    }

    pub(super) fn is_listed_closed(&self, id: &ShardId) -> bool {
        self.graph.is_closed(id) || self.graph.children(id).next().is_some()
    }

    /// Where last pages name the children of their shard, one that names none is believed when it is
    /// empty and was asked for after the shard had closed: before that, records may have come behind it.
    fn believes_end(&self, id: &ShardId) -> bool {
        let read = self.readers.get(id).is_some_and(Reader::is_read_to_its_end);
        let whole = read || !self.options.terms.tells_lag || self.graph.is_gone(id);
        whole && self.is_end_confirmed(id) || broken::is("missing-cursor-believed")
    }

    /// From the position on, when the service allows it.
    fn read_again(&mut self, id: &ShardId) {
        if let Some(reader) = self.readers.get_mut(id) {
            reader.reopen(reader.due);
        }
        self.schedule(id);
    }
}
