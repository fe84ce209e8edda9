//! Listings: finding children, believing ends, noticing what is missing.

use super::*;
use crate::budget::Backoff;

/// Pause between listings while something in them is not settled.
pub(super) const UNSETTLED: Duration = crate::lineage::NEAR;

/// A finished shard is remembered until it has been gone from the listing for this many retentions, and
/// its children are finished, too.
const AGED_OUT: Millis = 2;

/// Listings show the children of a shard within this time after its end.
const RECENT: Millis = 60 * 60 * 1000;

/// A listing may show a shard so much later than the shards beside it.
const LATE: Millis = 60 * 1000;

/// A lineage that a listing leaves out is mostly there in the next one: only a longer wait is told.
const HOLE_WORTH_TELLING: Duration = Duration::from_secs(2);

/// With this many shards waiting for their children, one full listing is cheaper.
const MANY: usize = 10;

/// Children of a parent that ended are asked for this often before "none" is an answer.
const CHILDLESS: u32 = 6;

/// The longest pause between two questions for the children of one ended shard.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Discovery {
    /// Shards whose `latest` cursor is not known yet.
    pub(super) capture: BTreeSet<ShardId>,
    /// Ended shards whose children are not known yet.
    children: BTreeMap<ShardId, Pursuit>,
    /// Shards whose children a whole answer has shown: part of one may show some of several.
    families: BTreeSet<ShardId>,
    /// Vanished parents that are history or have been reported.
    pub(super) explained: BTreeSet<ShardId>,
    pub(super) status: Option<StreamStatus>,
    asked: Option<Scope>,
    pub(super) asked_at: Now,
    pub(super) full_due: Now,
    pub(super) backoff: Backoff,
    pub(super) failing: Option<Now>,
    /// Since when no listing was whole.
    waiting: Option<Now>,
    /// Since when the first listing has left out a lineage.
    holed: Option<Now>,
    hole_told: bool,
    pub(super) describing: bool,
}

#[derive(Debug)]
struct Pursuit {
    due: Now,
    tries: u32,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            capture: BTreeSet::new(),
            children: BTreeMap::new(),
            families: BTreeSet::new(),
            explained: BTreeSet::new(),
            status: None,
            asked: None,
            asked_at: Duration::ZERO,
            full_due: Duration::ZERO,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            failing: None,
            waiting: None,
            holed: None,
            hole_told: false,
            describing: false,
        }
    }
}

impl Discovery {
    pub(super) fn due(&self) -> Option<Now> {
        if self.asked.is_some() || self.describing {
            return None;
        }
        self.children.values().map(|pursuit| pursuit.due).chain([self.full_due]).min()
    }

    fn next(&self, now: Now) -> Option<Scope> {
        if self.full_due <= now || self.children.len() > MANY {
            return (self.full_due <= now || self.children.values().any(|pursuit| pursuit.due <= now))
                .then_some(Scope::Full);
        }
        let due = self.children.iter().find(|(_, pursuit)| pursuit.due <= now);
        due.map(|(id, _)| Scope::ChildrenOf(id.clone()))
    }

    /// Lists everything no later than `due`.
    pub(super) fn list_by(&mut self, due: Now) {
        self.full_due = self.full_due.min(due);
    }

    pub(super) fn pursue_children(&mut self, id: &ShardId, now: Now) {
        self.children.entry(id.clone()).or_insert(Pursuit { due: now, tries: 0 });
    }

    /// All children of the shard are known.
    pub(super) fn met_children(&mut self, id: &ShardId) {
        self.families.insert(id.clone());
    }

    pub(super) fn knows_children(&self, id: &ShardId) -> bool {
        self.families.contains(id)
    }

    fn meet(&mut self, scope: &Scope, listing: &Listing) {
        let parents = listing.shards.iter().flat_map(|shard| &shard.parents);
        let asked = |parent: &&ShardId| match scope {
            Scope::Full => true,
            Scope::ChildrenOf(id) => *parent == id,
        };
        if listing.complete {
            self.families.extend(parents.filter(asked).cloned());
        }
    }

    /// Whether an ended shard may still have children that no listing has shown.
    pub(super) fn is_expecting(&self, id: &ShardId) -> bool {
        let open = !matches!(self.status, Some(StreamStatus::Disabled));
        open && !broken::is("childless-at-once")
            && self.children.get(id).is_some_and(|pursuit| pursuit.tries < CHILDLESS)
    }

    /// Whether any may, also one that ended in the run before.
    pub(super) fn expects_children(&self) -> bool {
        self.children.keys().any(|id| self.is_expecting(id))
    }

    pub(super) fn restart(&mut self, now: Now) {
        *self = Self { full_due: now, ..Self::default() };
    }
}

impl Run {
    pub(super) fn list_when_due(&mut self, now: Now) {
        if self.options.snapshot.scan_only || self.discovery.asked.is_some() || self.discovery.describing {
            return;
        }
        let Some(scope) = self.discovery.next(now) else { return };
        self.discovery.asked = Some(scope.clone());
        self.discovery.asked_at = now;
        self.actions.push(Action::List { stream: self.stream_arn.clone(), scope });
    }

    pub(super) fn listed(&mut self, scope: Scope, result: Result<Listing>, now: Now) -> Result<()> {
        if self.discovery.asked.as_ref() != Some(&scope) {
            return Ok(());
        }
        self.discovery.asked = None;
        match result {
            Ok(listing) => {
                self.discovery.backoff.succeed();
                self.discovery.failing = None;
                self.saw_server_time(listing.server_time, now);
                self.wait_for_whole(&listing, now)?;
                self.observe(&scope, &listing, now)
            }
            Err(error) => self.listing_failed(error, now),
        }
    }

    fn listing_failed(&mut self, error: Error, now: Now) -> Result<()> {
        if error.kind() == ErrorKind::NotFound {
            return self.doubt_stream();
        }
        let since = *self.discovery.failing.get_or_insert(now);
        let denied = error.kind() == ErrorKind::AccessDenied && self.discovery.backoff.failures() < 3;
        if !(error.retryable() || denied) {
            return Err(error);
        }
        if now.saturating_sub(since) > self.options.stall_timeout {
            return Err(Error::new(
                ErrorKind::Stalled,
                format!(
                    "the shards of {} could not be listed for too long (stall_timeout): {error}",
                    self.stream_arn
                ),
            )
            .with_cause(error));
        }
        let pause = now + self.discovery.backoff.fail(self.jitter.draw());
        self.discovery.full_due = pause;
        self.discovery.children.values_mut().for_each(|pursuit| pursuit.due = pursuit.due.max(pause));
        Ok(())
    }

    /// Answers come, but not the one that is needed: a whole listing, and of a stream that is there.
    fn wait_for_whole(&mut self, listing: &Listing, now: Now) -> Result<()> {
        let why = match listing.status {
            _ if !listing.complete => "some page of the listing fails each time",
            StreamStatus::Enabling if self.stage == Stage::Listing => "the stream is still ENABLING",
            _ if self.is_bare(listing) => "the listing of a stream that is there shows no shard",
            _ => {
                self.discovery.waiting = None;
                return Ok(());
            }
        };
        let since = *self.discovery.waiting.get_or_insert(now);
        if now.saturating_sub(since) <= self.options.stall_timeout {
            return Ok(());
        }
        let (stream, waited) = (&self.stream_arn, self.options.stall_timeout.as_secs_f64());
        let message = format!(
            "the shards of {stream} could not all be listed for {waited:.0} s (stall_timeout): {why}"
        );
        Err(Error::new(ErrorKind::Stalled, message))
    }

    fn observe(&mut self, scope: &Scope, listing: &Listing, now: Now) -> Result<()> {
        for shard in &listing.shards {
            self.graph.observe(shard);
        }
        self.graph.saw_open(&listing.shards, listing.server_time);
        self.discovery.meet(scope, listing);
        if *scope == Scope::Full {
            self.observed_all(listing, now);
        }
        if self.stage == Stage::Listing {
            return self.begin_when_known(scope, listing, now);
        }
        self.settle_discoveries(now)?;
        self.settle_ends(scope, listing, now)?;
        self.settle_doubts(scope, listing, now)?;
        if *scope == Scope::Full {
            self.warn_of_age(now);
        }
        self.pursue(scope, listing.complete, now);
        self.leave_disabled_stream(scope, listing)
    }

    /// A stream that is on has shards; a listing from before it was made shows none.
    fn is_bare(&self, listing: &Listing) -> bool {
        let on = listing.status == StreamStatus::Enabled && self.stage == Stage::Listing;
        on && listing.shards.is_empty() && self.graph.ids().next().is_none()
    }

    fn observed_all(&mut self, listing: &Listing, now: Now) {
        self.discovery.status = Some(listing.status);
        // It can be changed while the stream is read, and what is too old then is trimmed at once.
        self.description.retention = listing.retention.unwrap_or(self.description.retention);
        let pause = if listing.complete {
            self.graph.reconcile(&listing.shards, self.discovery.asked_at, now);
            self.options.discovery_interval
        } else {
            UNSETTLED
        };
        let pause = if self.is_unsettled() { UNSETTLED.min(pause) } else { pause };
        self.discovery.full_due = now + pause;
    }

    fn is_unsettled(&self) -> bool {
        let in_doubt = |reader: &Reader| matches!(reader.phase, Phase::Doubtful(_) | Phase::Ending);
        self.graph.unsettled() || self.readers.values().any(in_doubt) || self.awaits_open_shards()
    }

    /// A stream that is being enabled may not list its shards yet.
    fn begin_when_known(&mut self, scope: &Scope, listing: &Listing, now: Now) -> Result<()> {
        // What is written while the stream is still being enabled may be in neither scan nor stream.
        let enabling = listing.status == StreamStatus::Enabling
            && (listing.shards.is_empty() || self.options.start == Start::Snapshot);
        // Late answers to what was asked before a new epoch or stream would be taken for new ones.
        let expecting = self.shards_asked + self.segments_asked > 0;
        let unfit = expecting || *scope != Scope::Full || !listing.complete || enabling;
        if unfit || self.is_bare(listing) || self.waits_for_lineage(listing, now) {
            self.discovery.full_due = now + UNSETTLED;
            return Ok(());
        }
        self.begin(listing, now)
    }

    /// A shard that ended a moment ago may be in no listing, and its children not yet. One that is found
    /// after the start counts as born after it, so a start waits for it; but not for ever, for hashes
    /// that some imitation of the service gives to nobody.
    fn waits_for_lineage(&mut self, listing: &Listing, now: Now) -> bool {
        if self.resumed || !listing.has_hole() || broken::is("hole-overlooked") {
            return false;
        }
        let since = *self.discovery.holed.get_or_insert(now);
        let waited = now.saturating_sub(since);
        if waited > HOLE_WORTH_TELLING && !std::mem::replace(&mut self.discovery.hole_told, true) {
            self.warn(format!(
                "the listing of the shards leaves out some of the hash keys; reading begins when they are listed, or \
                 without them {} s after the first listing",
                LATE / 1000
            ));
        }
        waited.as_millis() <= u128::from(LATE.unsigned_abs())
    }

    /// Gives new shards their place: at the beginning.
    pub(super) fn settle_discoveries(&mut self, now: Now) -> Result<()> {
        let new: Vec<_> = self.graph.ids().filter(|id| !self.starts.contains_key(*id)).cloned().collect();
        for id in new {
            self.discover(&id);
        }
        self.explain_orphans(now)?;
        self.forget_aged_out(now);
        if self.stage == Stage::Running {
            self.activate_ready(now);
        }
        Ok(())
    }

    /// Every later shard is read from its beginning.
    pub(super) fn discover(&mut self, id: &ShardId) {
        let verified = self.graph.parents(id).iter().filter_map(|parent| self.verified(parent)).max();
        let verified = verified.or_else(|| self.verified_of_all());
        let mut state = start::at_beginning(self.graph.parents(id), verified);
        if broken::is("latest-for-children") && self.options.start == Start::Latest {
            state.created_before = self.server.map(|(time, _)| time);
        }
        self.inherit_age(id);
        self.remember(id, state);
    }

    /// Since when nothing can be missing of a shard of which nothing is known, not even a parent that was
    /// seen: it descends from any of those whose children are not known, or no listing has shown its
    /// lineage yet.
    pub(super) fn verified_of_all(&self) -> Option<Millis> {
        let last = |id: &&ShardId| {
            let childless =
                self.graph.children(id).next().is_none() && !broken::is("unfinished-shards-speak-for-all");
            !self.graph.is_finished(id) || childless
        };
        let known = self.graph.ids().filter(|id| self.starts.contains_key(*id)).filter(last);
        let between = Millis::try_from(self.options.discovery_interval.as_millis()).unwrap_or(Millis::MAX);
        known.filter_map(|id| self.verified(id)).min().map(|at| at.saturating_sub(between) - LATE)
    }

    /// A shard whose parent lived and vanished unseen: what the parent held is lost. Not so where
    /// the shard itself, or one that descends from it, was gone when its children became known and a
    /// later listing has it after all: what lies before history is history.
    fn explain_orphans(&mut self, now: Now) -> Result<()> {
        let orphans: Vec<_> =
            self.graph.orphans().map(|(child, parent)| (child.clone(), parent.clone())).collect();
        for (child, parent) in orphans {
            if !self.discovery.explained.insert(parent.clone()) {
                continue;
            }
            let explained = |id: &ShardId| self.discovery.explained.contains(id);
            let history = explained(&child) || self.graph.descendants(&child).iter().any(explained);
            if !history && !broken::is("orphans-in-silence") {
                let cause =
                    format!("the shard is the parent of {child} and was gone before it could be read");
                self.lose(self.gap(Some(&parent), Some(Position::Beginning), cause, now))?;
            }
        }
        Ok(())
    }

    /// Parents that were gone when their child became known are history, not a loss: at a first start
    /// those of every shard, on a resume those of the shards the checkpoint knows and of their ancestors.
    pub(super) fn accept_history(&mut self) {
        let starts = |id: &ShardId| self.starts.contains_key(id);
        let known =
            |id: &&ShardId| !self.resumed || starts(id) || self.graph.descendants(id).iter().any(starts);
        let parents = self.graph.ids().filter(known).flat_map(|id| self.graph.parents(id));
        let gone: Vec<_> = parents.filter(|id| !self.graph.contains(id)).cloned().collect();
        self.discovery.explained.extend(gone);
    }

    /// A shard that ended just before the last process did may have children no listing shows yet.
    pub(super) fn pursue_recent_ends(&mut self, now: Now) {
        let Some(server_now) = self.server_now(now) else { return };
        let recent = |state: &ShardState| state.finished.is_some_and(|at| server_now - at < RECENT);
        let childless = |id: &ShardId| self.graph.children(id).next().is_none();
        let ended: Vec<_> = self
            .starts
            .iter()
            .filter(|(id, state)| recent(state) && childless(id))
            .map(|(id, _)| id.clone())
            .collect();
        ended.iter().for_each(|id| self.discovery.pursue_children(id, now));
    }

    pub(super) fn verified(&self, id: &ShardId) -> Option<Millis> {
        let read = self.readers.get(id).and_then(|reader| reader.verified);
        read.max(self.starts.get(id).and_then(|state| state.verified))
    }

    pub(super) fn position(&self, id: &ShardId) -> Option<Position> {
        let read = self.readers.get(id).map(|reader| &reader.position);
        read.or(self.starts.get(id).map(|state| &state.position)).cloned()
    }

    fn forget_aged_out(&mut self, now: Now) {
        let Some(server_now) = self.server_now(now) else { return };
        let shards = &self.frontier.state().checkpoint.shards;
        // A child that is not read to its end would wait for it for ever.
        let at_once = broken::is("forgotten-at-once");
        let children_are_read = |id: &ShardId| {
            broken::is("aged-out-parent-awaited")
                || self.graph.children(id).all(|child| self.graph.is_finished(child))
        };
        let aged = |id: &ShardId, state: &ShardState| {
            self.graph.is_gone(id)
                && children_are_read(id)
                && state.finished.is_some_and(|finished| {
                    at_once || server_now - finished > AGED_OUT * self.description.retention
                })
        };
        let old: Vec<_> =
            shards.iter().filter(|(id, state)| aged(id, state)).map(|(id, _)| id.clone()).collect();
        for id in old {
            self.graph.forget(&id);
            self.readers.remove(&id);
            self.starts.remove(&id);
            self.discovery.children.remove(&id);
            self.discovery.families.remove(&id);
            self.frontier.state_mut().checkpoint.shards.remove(&id);
            self.saving.changed = true;
        }
    }

    fn pursue(&mut self, scope: &Scope, whole: bool, now: Now) {
        let (graph, families) = (&self.graph, &self.discovery.families);
        self.discovery.children.retain(|id, pursuit| {
            let childless = graph.children(id).next().is_none();
            !families.contains(id) && (childless || pursuit.tries < CHILDLESS)
        });
        for (id, pursuit) in &mut self.discovery.children {
            let answered = *scope == Scope::Full || *scope == Scope::ChildrenOf(id.clone());
            if answered && pursuit.due <= now {
                pursuit.tries = pursuit.tries.saturating_add(u32::from(whole));
                pursuit.due = now + (UNSETTLED * (1 << pursuit.tries.min(8))).min(PATIENCE);
            }
        }
    }
}
