//! Where each shard starts: at the first start of a checkpoint, and on a resume.

use super::discovery::UNSETTLED;
use super::*;
use crate::checkpoint::FORMAT;

/// What the oldest retained records may lose while they are being read for the first time.
pub(super) const EARLIEST_SLACK: Millis = 15 * 60 * 1000;

/// `latest` leaves out records created this long before the moment of the start: the service
/// rounds creation times down to the second, and its clocks differ a little.
const LATEST_SLACK: Millis = 2000;

/// A moment may be this much ahead of the service's time, which comes in whole seconds and from a
/// clock that is not the user's.
const CLOCKS_APART: Millis = 5000;

/// A snapshot also reads shards that closed this long before it began: it costs little and removes
/// any doubt about when a change becomes visible in the stream.
const CAPTURE_MARGIN: Millis = 15 * 60 * 1000;

pub(super) fn fresh(description: &Description, start: &Start) -> Checkpoint {
    Checkpoint {
        format: FORMAT,
        table: description.table.clone(),
        table_arn: description.table_arn.clone(),
        stream_arn: description.stream_arn.clone(),
        epoch: 1,
        epoch_begun: 0,
        start: match start {
            Start::Snapshot => "snapshot",
            Start::Earliest => "earliest",
            Start::Latest => "latest",
            Start::Time(_) => "time",
            Start::Positions { .. } => "positions",
        }
        .into(),
        shards: BTreeMap::new(),
        schema: Default::default(),
        snapshot: None,
    }
}

pub(super) fn resumable(checkpoint: Checkpoint, description: &Description) -> Result<Checkpoint> {
    if checkpoint.table_arn == description.table_arn {
        return Ok(checkpoint);
    }
    Err(Error::new(
        ErrorKind::CheckpointMismatch,
        format!(
            "the checkpoint belongs to table {} but the source is table {}; use another checkpoint or another name",
            checkpoint.table_arn, description.table_arn
        ),
    ))
}

pub(super) fn remembered(checkpoint: &Checkpoint) -> ShardGraph {
    let mut graph = ShardGraph::default();
    for (id, state) in &checkpoint.shards {
        graph.remember(id, &state.parents, state.parents_gone, state.finished.is_some());
    }
    if !checkpoint.shards.is_empty() {
        graph.expect_parents();
    }
    graph
}

/// The state of a shard about which nothing is known but its place in the tree.
pub(super) fn at_beginning(parents: &[ShardId], verified: Option<Millis>) -> ShardState {
    ShardState {
        parents: if broken::is("parents-not-saved") { Vec::new() } else { parents.to_vec() },
        position: Position::Beginning,
        created_before: None,
        verified,
        parents_gone: false,
        finished: None,
    }
}

impl Run {
    /// The first complete listing is in: every shard gets its place to start.
    pub(super) fn begin(&mut self, listing: &Listing, now: Now) -> Result<()> {
        self.opened_at = listing.server_time;
        self.accept_history();
        self.graph.expect_parents();
        if self.resumed && self.snapshot.is_some() && broken::is("captured-again") {
            self.starts.clear();
            self.frontier.state_mut().checkpoint.shards.clear();
            self.start_at_capture(listing);
            return self.record(now);
        }
        if self.resumed {
            self.resume();
            self.warn_of_age(now);
            return self.record(now);
        }
        match self.options.start.clone() {
            Start::Snapshot => {
                self.start_at_capture(listing);
                self.prepare_scan();
            }
            Start::Earliest => self.start_all_at_beginning(listing),
            Start::Latest => {
                let all = listing.shards.iter().map(|shard| shard.id.clone()).collect();
                self.start_at_latest(all, listing);
            }
            Start::Time(moment) => self.start_at_moment(moment, listing)?,
            Start::Positions { positions, others } => self.start_at(positions, others, listing)?,
        }
        self.accept_age(now);
        if self.capture(now) {
            self.stage = Stage::Capturing;
            Ok(())
        } else {
            self.record(now)
        }
    }

    /// A shard that the checkpoint does not know, and that names no parent, is read from its beginning.
    /// It holds nothing older than what is verified of the others, or else that is a gap by its age.
    fn resume(&mut self) {
        let verified = self.verified_of_all();
        let unknown = |id: &&ShardId| !self.starts.contains_key(*id) && self.graph.parents(id).is_empty();
        let unknown: Vec<_> = self.graph.ids().filter(unknown).cloned().collect();
        for id in unknown {
            self.warn(format!("shard {id} is not known to the checkpoint; it is read from its beginning"));
            self.remember(&id, at_beginning(&[], verified));
        }
    }

    /// Before the scan: every shard that is open, or was open a while ago, from its beginning.
    /// What was made before is in the scan, so nothing older than this moment can be missing.
    ///
    /// Where a shard can be opened at a moment, it is read from a while before instead: its changes may
    /// come late and out of order, but each comes after it was made.
    fn start_at_capture(&mut self, listing: &Listing) {
        let time = listing.server_time;
        if let Some(time) = time.filter(|_| self.options.terms.opens_at_time) {
            let margin = self.options.snapshot.late_margin.as_millis();
            return self.open_all_at(time - Millis::try_from(margin).unwrap_or(Millis::MAX), listing);
        }
        for shard in &listing.shards {
            let mut state = at_beginning(&shard.parents, time);
            if self.closed_long_ago(&shard.id, time) {
                state.finished = time.or(Some(0));
                self.graph.finish(&shard.id);
            }
            self.remember(&shard.id, state);
        }
    }

    /// A shard closes when its children are born, and their names tell when. A name that does not
    /// tell counts as young.
    fn closed_long_ago(&self, id: &ShardId, time: Option<Millis>) -> bool {
        let margin = if broken::is("closed-shards-left-out") { 0 } else { CAPTURE_MARGIN };
        let old = |child: &ShardId| born(child).zip(time).is_some_and(|(born, time)| time - born > margin);
        let mut children = self.graph.children(id).peekable();
        self.graph.is_closed(id) && children.peek().is_some() && children.all(old)
    }

    fn start_all_at_beginning(&mut self, listing: &Listing) {
        let verified = listing.server_time.map(|time| time - self.description.retention + EARLIEST_SLACK);
        for shard in &listing.shards {
            self.remember(&shard.id, at_beginning(&shard.parents, verified));
        }
    }

    /// Every listed shard is opened at the moment; a closed one may have records behind it.
    fn start_at_moment(&mut self, moment: Millis, listing: &Listing) -> Result<()> {
        let ahead = listing.server_time.map(|time| moment - time);
        if let Some(ahead) = ahead.filter(|ahead| *ahead > CLOCKS_APART) {
            return Err(Error::usage(format!(
                "start is a moment {} s ahead of the service's clock; it must be now or earlier",
                ahead as f64 / 1000.0
            )));
        }
        self.open_all_at(moment, listing);
        Ok(())
    }

    /// What is older than the service keeps cannot be read, and nothing is missing for it.
    fn open_all_at(&mut self, moment: Millis, listing: &Listing) {
        let kept = listing.server_time.map(|time| time - self.description.retention + EARLIEST_SLACK);
        for shard in &listing.shards {
            let mut state = at_beginning(&shard.parents, kept.max(Some(moment)));
            let late = if broken::is("moment-a-minute-late") { 60_000 } else { 0 };
            state.created_before = Some(moment + late);
            self.remember(&shard.id, state);
        }
    }

    /// Closed shards are history; open ones start at their end: at this moment, where they can be
    /// opened at one. Otherwise, until a cursor has fixed the moment, a shard is one to read from its
    /// beginning without its older records.
    pub(super) fn start_at_latest(&mut self, shards: Vec<ShardId>, listing: &Listing) {
        let time = listing.server_time;
        let needs_cursors = !self.options.terms.opens_at_time || time.is_none();
        for id in shards {
            let mut state = at_beginning(self.graph.parents(&id), time);
            if self.graph.is_closed(&id) {
                state.finished = time.or(Some(0));
                self.graph.finish(&id);
            } else {
                state.created_before = time.map(|time| time - LATEST_SLACK);
                if needs_cursors {
                    self.discovery.capture.insert(id.clone());
                }
            }
            self.remember(&id, state);
        }
    }

    /// A shard has become known. Its place in the order matters only while the checkpoint
    /// still speaks of the stream before this one.
    pub(super) fn remember(&mut self, id: &ShardId, state: ShardState) {
        self.starts.insert(id.clone(), state.clone());
        if self.is_current() {
            self.frontier.state_mut().discover(id, state);
            self.saving.changed = true;
        } else {
            self.deltas.push(Delta::Discover { shard: id.clone(), state });
        }
    }

    /// Asks for cursors at the ends of the open shards. Returns whether there is any to ask for.
    ///
    /// A child listed open beside an open parent is left to be read from its beginning.
    fn capture(&mut self, now: Now) -> bool {
        let ready: Vec<_> =
            self.discovery.capture.iter().filter(|id| self.graph.is_ready(id)).cloned().collect();
        self.discovery.capture = ready.iter().cloned().collect();
        for id in &ready {
            self.activate(id, now);
            self.ask_for_latest(id);
        }
        !ready.is_empty()
    }

    fn ask_for_latest(&mut self, id: &ShardId) {
        if let Some(reader) = self.readers.get_mut(id) {
            reader.phase = Phase::Opening;
            self.shards_asked += 1;
            self.actions.push(Action::Open {
                stream: self.stream_arn.clone(),
                shard: id.clone(),
                at: OpenAt::Latest,
            });
        }
    }

    /// One cursor at the end of a shard is in, or cannot be had: then the shard is read from its
    /// beginning without what is older than the start.
    pub(super) fn captured(&mut self, id: &ShardId, result: Result<Opened>, now: Now) -> Result<()> {
        self.discovery.capture.remove(id);
        let Some(reader) = self.readers.get_mut(id) else { return Ok(()) };
        match result {
            Ok(opened) => {
                reader.opened(opened.cursor, now);
                reader.due = now;
            }
            Err(error)
                if error.retryable()
                    || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) =>
            {
                reader.reopen(now);
            }
            Err(error) => return Err(error),
        }
        if self.discovery.capture.is_empty() {
            self.fix_latest();
            self.record(now)?;
        }
        Ok(())
    }

    /// The start is the moment of the last cursor: what is created from then on lies behind all of them.
    fn fix_latest(&mut self) {
        let Some((time, _)) = self.server else { return };
        let left_out: Vec<_> = self
            .starts
            .iter()
            .filter(|(_, state)| state.created_before.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in left_out {
            let mut state = at_beginning(self.graph.parents(&id), Some(time));
            let slack = if broken::is("latest-by-another-clock") { -60_000 } else { LATEST_SLACK };
            state.created_before = Some(time - slack);
            if let Some(reader) = self.readers.get_mut(&id) {
                (reader.created_before, reader.verified) = (state.created_before, state.verified);
            }
            self.frontier.state_mut().checkpoint.shards.remove(&id);
            self.remember(&id, state);
        }
    }

    /// Makes the first checkpoint durable; reading begins when it is.
    fn record(&mut self, now: Now) -> Result<()> {
        self.stage = Stage::Recording;
        self.saving.changed = true;
        if broken::is("saved-after-the-scan-began") {
            self.recorded(now);
            return self.settle_discoveries(now);
        }
        self.saving.ask();
        self.settle_discoveries(now)
    }

    pub(super) fn recorded(&mut self, now: Now) {
        self.stage = Stage::Running;
        let opened: Vec<_> = self.readers.keys().cloned().collect();
        opened.iter().for_each(|id| self.schedule(id));
        self.pursue_recent_ends(now);
        if self.awaits_open_shards() {
            self.discovery.list_by(now + UNSETTLED);
        }
        self.activate_ready(now);
        self.look_around_when_all_read(now);
    }
}

/// When a shard was born, by its name: `shardId-<20 digits of milliseconds since 1970>-…`.
fn born(id: &ShardId) -> Option<Millis> {
    let digits = id.as_str().strip_prefix("shardId-")?.get(..20)?;
    digits.parse().ok().filter(|born| *born > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_tells_no_birth_counts_as_young() {
        assert_eq!(born(&"shardId-00000001767225600000-d2dd37de".into()), Some(1_767_225_600_000));
        let others = [
            "",
            "shardId-",
            "shardId-000000000000",
            "shardId-00000000000000000000-d2dd37de",
            "shardId-0000000176722560000x-d2dd37de",
            "shardId-99999999999999999999-d2dd37de",
            "shardId-0000000176722560000é-d2dd37de",
            "somebody's own name",
        ];
        for name in others {
            assert_eq!(born(&name.into()), None, "{name}");
        }
    }
}
