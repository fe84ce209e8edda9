//! `follow=False`: the run ends when every shard has passed the moment at which it began.

use super::*;
use crate::reader::QUIET_CALLS;

/// A record created this long after the start shows that its shard has passed the start:
/// creation times are rounded down to the second.
const PASSED: Millis = 2000;

impl Run {
    pub(super) fn end_when_passed(&mut self, now: Now) -> Result<()> {
        let waits = self.options.follow || self.stage != Stage::Running || self.options.snapshot.scan_only;
        let ready = self.snapshot.as_ref().is_none_or(Snapshot::is_ready);
        if waits || !ready || self.reads_old_stream() || !self.all_have_passed(self.opened_at, now) {
            return Ok(());
        }
        if !broken::is("last-rows-kept-back") {
            self.flush()?;
        }
        self.stage = Stage::Over;
        self.actions.push(Action::End);
        Ok(())
    }

    /// A finished shard has passed when its children have, so only the unfinished ones and
    /// those whose children are still unknown are looked at.
    pub(super) fn all_have_passed(&self, moment: Option<Millis>, now: Now) -> bool {
        let unread = self.graph.unfinished().any(|id| !self.shard_has_passed(id, moment, now));
        !unread && !self.discovery.expects_children() && !self.graph.unsettled()
    }

    /// An open shard has passed with a newer record, or when the service says that nothing is behind
    /// what was read. Where it does not say so, the end cannot be seen, and silence for long enough
    /// stands for it. Neither says anything of a shard that closed before this run began and whose end
    /// no page has told yet, so a listing must show it open.
    fn shard_has_passed(&self, id: &ShardId, moment: Option<Millis>, now: Now) -> bool {
        let Some(reader) = self.readers.get(id) else { return false };
        if self.graph.is_closed(id) {
            return false;
        }
        let newer = moment.is_some_and(|moment| reader.newest >= Some(moment + PASSED));
        let at_end = moment.is_some_and(|moment| reader.reached_end >= Some(moment));
        // Its last page had no cursor: what was silent is its end, and its children may not be.
        let open = reader.phase != Phase::Ending && self.was_open(id);
        newer || open && (at_end || reader.is_quiet(self.options.settle, now))
    }

    /// Whether a listing showed the shard open since this run began, or none shows it at all.
    fn was_open(&self, id: &ShardId) -> bool {
        self.graph.open_at(id) >= self.opened_at || self.graph.is_gone(id)
    }

    /// Whether the end of this run, or of its snapshot, waits for a listing that shows some shard.
    pub(super) fn awaits_open_shards(&self) -> bool {
        let ready = self.snapshot.as_ref().is_none_or(Snapshot::is_ready);
        let unseen = |id: &ShardId| !self.is_listed_closed(id) && !self.was_open(id);
        !(self.options.follow && ready) && self.graph.unfinished().any(unseen)
    }

    /// A bounded run asks often enough to have its evidence when `settle` is over.
    pub(super) fn poll_interval(&self) -> Duration {
        if self.options.follow && self.snapshot.as_ref().is_none_or(Snapshot::is_ready) {
            return self.options.poll_interval;
        }
        self.options.poll_interval.min(self.options.settle / (QUIET_CALLS + 2)).max(Duration::from_millis(1))
    }
}
