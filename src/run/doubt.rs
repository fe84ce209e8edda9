//! A shard or position the service does not know: finished, trimmed, or a passing confusion.
//!
//! Neither is ever taken for the end of a shard: that needs proof.

use super::*;
use crate::reader::Doubt;

/// After a gap the oldest records left may vanish while they are being read.
const HORIZON_SLACK: Millis = 15 * 60 * 1000;

/// Pause before a shard that is listed, but unknown to the reading side, is asked again.
const CONFUSION: Duration = Duration::from_millis(500);

impl Run {
    pub(super) fn doubt(&mut self, id: &ShardId, now: Now) -> Result<()> {
        let Some(Phase::Doubtful(doubt)) = self.readers.get(id).map(|reader| reader.phase.clone()) else {
            return Ok(());
        };
        if broken::is("not-found-is-the-end") {
            return self.finish(id, now);
        }
        if doubt == Doubt::Trimmed {
            return self.settle_trimmed(id, now);
        }
        self.discovery.list_by(now);
        Ok(())
    }

    /// Looks again at shards the service did not know, once a full listing is in.
    pub(super) fn settle_doubts(&mut self, scope: &Scope, listing: &Listing, now: Now) -> Result<()> {
        if *scope != Scope::Full || !listing.complete {
            return Ok(());
        }
        let unknown = |reader: &&Reader| reader.phase == Phase::Doubtful(Doubt::NotFound);
        let doubtful: Vec<_> =
            self.readers.values().filter(unknown).map(|reader| reader.id.clone()).collect();
        for id in doubtful {
            if listing.shards.iter().any(|shard| shard.id == id) {
                let listed = format!("the service lists shard {id} but does not find it when it is read");
                self.ask_again(&id, &listed, now)?;
            } else if self.graph.is_gone(&id) {
                self.settle_gone(&id, now)?;
            }
        }
        Ok(())
    }

    /// The service contradicts itself: worth asking again, but not at once and not for ever.
    fn ask_again(&mut self, id: &ShardId, contradiction: &str, now: Now) -> Result<()> {
        let confused = Error::new(ErrorKind::Service, contradiction);
        self.reader_failed(id, confused, now)?;
        if let Some(reader) = self.readers.get_mut(id) {
            reader.reopen(reader.due.max(now + CONFUSION));
            self.schedule(id);
        }
        Ok(())
    }

    /// The shard is in no listing any more: it closed longer ago than the service keeps records.
    /// What was verified since then was verified up to its end.
    fn settle_gone(&mut self, id: &ShardId, now: Now) -> Result<()> {
        if self.is_used_up(id) || self.is_recently_verified(id, now) {
            return self.finish(id, now);
        }
        let from = self.readers.get(id).map(|reader| reader.position.clone());
        let cause = "the shard is gone from the stream before it was read to its end".into();
        self.lose(self.gap(Some(id), from, cause, now))?;
        self.finish(id, now)
    }

    /// The position is older than the oldest record left. Nothing is missing if the shard was
    /// verified within the retention: then it is read from what is left.
    fn settle_trimmed(&mut self, id: &ShardId, now: Now) -> Result<()> {
        if self.is_used_up(id) {
            return self.finish(id, now);
        }
        if !self.is_recently_verified(id, now) && !broken::is("trimmed-in-silence") {
            self.lose_to_retention(id, now)?;
        }
        if let Some(reader) = self.readers.get_mut(id) {
            reader.start_over();
            if reader.is_trimmed_again() {
                let left =
                    format!("the service says that the oldest records it has of shard {id} are trimmed");
                return self.ask_again(id, &left, now);
            }
            reader.reopen(now);
            self.schedule(id);
        }
        Ok(())
    }

    /// Whether the position has reached the sequence number at which the listing says the shard ends.
    fn is_used_up(&self, id: &ShardId) -> bool {
        let position = self.readers.get(id).map(|reader| &reader.position);
        match (position, self.graph.ending(id)) {
            (Some(Position::After(number)), Some(ending)) => number >= ending,
            _ => broken::is("trimmed-is-used-up"),
        }
    }

    fn is_recently_verified(&self, id: &ShardId, now: Now) -> bool {
        let reader = self.readers.get(id).filter(|reader| reader.verified.is_some());
        match (reader, self.server_now(now)) {
            (Some(reader), Some(time)) => !reader.may_have_lost(time, self.description.retention),
            _ => false,
        }
    }

    /// Records between the position and the oldest one left are, or may be, lost.
    pub(super) fn lose_to_retention(&mut self, id: &ShardId, now: Now) -> Result<()> {
        let from = self.readers.get(id).map(|reader| reader.position.clone());
        let hours = self.description.retention as f64 / 3_600_000.0;
        let cause = format!("the position is older than the {hours} hours the stream keeps its records");
        self.lose(self.gap(Some(id), from, cause, now))?;
        let verified = self.server_now(now).map(|time| time - self.description.retention + HORIZON_SLACK);
        if let (Some(reader), Some(at)) = (self.readers.get_mut(id), verified) {
            reader.verified = reader.verified.max(Some(at));
            self.deltas.push(Delta::Verified { shard: id.clone(), at });
        }
        Ok(())
    }
}
