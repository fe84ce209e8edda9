//! The readers: giving each its turn, taking what it brings, ending it.

use super::*;
use crate::checkpoint::QuarantinedRecord;
use crate::decode::{Pushed, Quarantined, Skip};
use crate::reader::{Ahead, Idle, Reaction, Want};

impl Run {
    /// Shards whose parents have all ended may be read now.
    pub(super) fn activate_ready(&mut self, now: Now) {
        let ready: Vec<_> =
            self.graph.ready().filter(|id| !self.readers.contains_key(*id)).cloned().collect();
        for id in ready {
            self.activate(&id, now);
        }
    }

    pub(super) fn activate(&mut self, id: &ShardId, now: Now) {
        self.forget_gone_parents(id);
        let parents = self.graph.parents(id).iter().filter_map(|parent| self.verified(parent)).max();
        let Some(start) = self.starts.get(id) else { return };
        let verified = start.verified.max(parents);
        let position =
            if broken::is("resumed-at-the-beginning") { Position::Beginning } else { start.position.clone() };
        let mut reader = Reader::new(id.clone(), position, verified, self.options.terms);
        reader.created_before = start.created_before;
        if broken::is("latest-moves") && self.resumed && start.created_before.is_some() {
            reader.created_before = self.opened_at;
        }
        reader.due = now;
        self.readers.insert(id.clone(), reader);
        self.schedule(id);
    }

    /// That they are gone is proved: the next process need not wait for them again.
    fn forget_gone_parents(&mut self, id: &ShardId) {
        let known = |parent: &ShardId| self.graph.contains(parent);
        let Some(start) = self.starts.get_mut(id).filter(|start| !start.parents.iter().all(known)) else {
            return;
        };
        start.parents.retain(known);
        if self.is_current()
            && let Some(state) = self.frontier.state_mut().checkpoint.shards.get_mut(id)
        {
            state.parents.retain(|parent| self.graph.contains(parent));
            self.saving.changed = true;
        }
    }

    pub(super) fn schedule(&mut self, id: &ShardId) {
        if let Some(reader) = self.readers.get(id)
            && reader.want().is_some()
        {
            self.agenda.insert((reader.due, id.clone()));
        }
    }

    /// Asks for the readers whose moment has come, as far as memory goes.
    pub(super) fn ask_readers(&mut self, now: Now) -> Result<()> {
        self.saving.starved = false;
        if !self.may_read_shards() {
            return Ok(());
        }
        while let Some((due, id)) = self.agenda.first().cloned() {
            if due > now {
                break;
            }
            if !self.ask(&id, due, now)? {
                self.saving.starved = true;
                break;
            }
            self.agenda.remove(&(due, id));
        }
        Ok(())
    }

    /// Returns false when memory is short and the reader has to wait.
    fn ask(&mut self, id: &ShardId, due: Now, now: Now) -> Result<bool> {
        let overtaken = self.is_overtaken(id, now);
        let closed = self.is_listed_closed(id);
        let Some(reader) = self.readers.get_mut(id).filter(|reader| reader.due == due) else {
            return Ok(true);
        };
        match reader.want() {
            None => {}
            Some(_) if overtaken => {
                reader.reopen(due);
                return self.ask_to_open(id, now).map(|()| true);
            }
            Some(Want::Open(_)) => return self.ask_to_open(id, now).map(|()| true),
            Some(Want::Fetch(cursor)) => {
                if !self.memory.reserve(self.options.terms.page_bytes) {
                    return Ok(false);
                }
                reader.asking(now);
                reader.asked_closed = closed;
                reader.phase = Phase::Fetching(cursor.clone());
                self.shards_asked += 1;
                self.actions.push(Action::Fetch { shard: id.clone(), cursor });
            }
        }
        Ok(true)
    }

    /// The service leaves out in silence what it has trimmed when a shard is opened at its beginning,
    /// and it is not known to refuse every trimmed position, so the age of what is verified decides
    /// whether something may be missing.
    fn ask_to_open(&mut self, id: &ShardId, now: Now) -> Result<()> {
        if self.may_have_lost(id, now) && !broken::is("old-position-believed") {
            self.lose_to_retention(id, now)?;
            if let Some(reader) = self.readers.get_mut(id) {
                reader.start_over();
            }
        }
        let server_now = self.server_now(now);
        let Some(reader) = self.readers.get_mut(id) else { return Ok(()) };
        let Some(Want::Open(at)) = reader.want() else { return Ok(()) };
        let start_at_latest = broken::is("latest-on-a-child") && !self.graph.parents(id).is_empty();
        let expired = broken::is("latest-after-an-expired-cursor") && reader.counts.expired > 0;
        reader.asking(now);
        reader.phase = Phase::Opening;
        let at = match at {
            // The service refuses a moment ahead of its clock; what comes too early is left out.
            OpenAt::Time(moment) => OpenAt::Time(server_now.map_or(moment, |time| moment.min(time))),
            OpenAt::Beginning if self.snapshot.is_some() && broken::is("latest-at-the-first-drain") => {
                OpenAt::Latest
            }
            OpenAt::Beginning if start_at_latest => OpenAt::Latest,
            _ if expired => OpenAt::Latest,
            at => at,
        };
        self.shards_asked += 1;
        self.actions.push(Action::Open { stream: self.stream_arn.clone(), shard: id.clone(), at });
        Ok(())
    }

    /// A service that tells the lag goes on behind what it trimmed without a word, whatever the
    /// cursor's age.
    pub(super) fn is_overtaken(&self, id: &ShardId, now: Now) -> bool {
        self.options.terms.tells_lag && self.may_have_lost(id, now)
    }

    fn may_have_lost(&self, id: &ShardId, now: Now) -> bool {
        let (reader, time) = (self.readers.get(id), self.server_now(now));
        reader.zip(time).is_some_and(|(reader, time)| reader.may_have_lost(time, self.description.retention))
    }

    pub(super) fn opened(&mut self, id: &ShardId, result: Result<Opened>, now: Now) -> Result<()> {
        if let Ok(opened) = &result {
            self.saw_server_time(opened.server_time, now);
        }
        if self.stage == Stage::Capturing {
            return self.captured(id, result, now);
        }
        let Some(reader) = self.readers.get_mut(id).filter(|reader| reader.phase == Phase::Opening) else {
            return Ok(());
        };
        match result {
            Ok(opened) => {
                reader.opened(opened.cursor, now);
                self.schedule(id);
                Ok(())
            }
            Err(error) => self.reader_failed(id, error, now),
        }
    }

    pub(super) fn fetched(
        &mut self,
        id: &ShardId,
        cursor: &Cursor,
        result: Result<Page>,
        now: Now,
    ) -> Result<()> {
        self.memory.release(self.options.terms.page_bytes);
        let Some(reader) = self.readers.get_mut(id) else { return Ok(()) };
        // What was asked ahead of a page that could not be used belongs to no position any more.
        if !reader.is_fetching(cursor) {
            return Ok(());
        }
        let ahead = reader.ahead.take();
        if let Ok(page) = &result
            && page.says_nothing()
        {
            return self.heard_nothing(id, page.next.clone(), now);
        }
        let result = result.map(|page| Page { hash_keys: self.graph.hash_keys(id), ..page });
        let outcome = result.and_then(|page| self.use_page(id, &page, now).map(|found| (page, found)));
        self.memory.set_gathering(self.batcher.bytes());
        match outcome {
            Ok((page, found)) => self.used_page(id, &page, found, ahead, now),
            Err(error) => self.reader_failed(id, error, now),
        }
    }

    fn heard_nothing(&mut self, id: &ShardId, next: Option<Cursor>, now: Now) -> Result<()> {
        if let (Some(reader), Some(cursor)) = (self.readers.get_mut(id), next) {
            reader.waited(cursor, now);
        }
        self.schedule(id);
        Ok(())
    }

    /// Decodes all records of the page, handing on a batch whenever one is full.
    /// Returns whether the page had any.
    fn use_page(&mut self, id: &ShardId, page: &Page, now: Now) -> Result<bool> {
        // A page that was pushed may have waited to be read, so it only moves the clock forward.
        if page.server_time > self.server_now(now) {
            self.saw_server_time(page.server_time, now);
        }
        if page.next.is_none() && broken::is("last-page-dropped") {
            return Ok(false);
        }
        let mut from = page.records.start;
        let mut found = false;
        loop {
            let Some(reader) = self.readers.get(id) else { return Ok(found) };
            let skip = Skip { created_before: reader.created_before, through: reader.through() };
            let pushed = match self.batcher.push(page, from, &skip, now) {
                Ok(pushed) => pushed,
                Err(error) => return Err(self.stop_before(id, error)),
            };
            found |= pushed.last.is_some();
            let rest = pushed.rest;
            self.place(id, pushed);
            if self.batcher.is_full() {
                self.flush()?;
            }
            match rest {
                Some(offset) if offset > from && !broken::is("rest-of-a-page-dropped") => from = offset,
                _ => break,
            }
        }
        if let Some(reader) = self.readers.get_mut(id) {
            reader.counts.pages += 1;
            reader.counts.bytes += page.body.len() as u64;
        }
        Ok(found)
    }

    /// Gives what a push took from a page its place in the order.
    fn place(&mut self, id: &ShardId, pushed: Pushed) {
        self.quarantine(id, pushed.quarantined);
        let (Some(reader), Some(last)) = (self.readers.get_mut(id), pushed.last) else { return };
        let to = Position::After(last);
        reader.counts.records += pushed.rows as u64;
        self.changes_gathered += pushed.rows as u64;
        reader.newest = reader.newest.max(pushed.newest);
        reader.verified = reader.verified.max(pushed.newest);
        if reader.skip_through.as_ref().is_some_and(|through| to.sequence() > Some(through)) {
            reader.skip_through = None;
        }
        if to > reader.position {
            if !self.batcher.is_empty() {
                self.batcher.cover(id, &reader.position, &to);
            }
            reader.position = to.clone();
        }
        let delta = Delta::Advance { shard: id.clone(), to, newest: pushed.newest };
        if broken::is("position-ahead-of-its-rows") {
            self.frontier.push(vec![delta], None);
        } else {
            self.deltas.push(delta);
        }
    }

    pub(super) fn quarantine(&mut self, id: &ShardId, records: Vec<Quarantined>) {
        for record in records {
            self.warn(format!("quarantined a record of {id}: {}", record.reason));
            if !broken::is("quarantine-not-written") {
                self.deltas.push(Delta::Quarantine(QuarantinedRecord { shard: id.clone(), record }));
            }
        }
    }

    /// A record that cannot be decoded stops the stream right before it: the rows gathered from
    /// this page before it count.
    fn stop_before(&mut self, id: &ShardId, error: Error) -> Error {
        if let (Some(reader), Some(at)) = (self.readers.get_mut(id), error.position().cloned())
            && error.kind() == ErrorKind::BadRecord
            && at > reader.position
        {
            if !self.batcher.is_empty() {
                self.batcher.cover(id, &reader.position, &at);
            }
            reader.position = at.clone();
            self.deltas.push(Delta::Advance { shard: id.clone(), to: at, newest: None });
        }
        error
    }

    fn used_page(
        &mut self,
        id: &ShardId,
        page: &Page,
        found: bool,
        ahead: Option<Ahead>,
        now: Now,
    ) -> Result<()> {
        let closed = self.graph.is_closed(id);
        let idle = Idle { poll_interval: self.poll_interval(), closed };
        let Some(reader) = self.readers.get_mut(id) else { return Ok(()) };
        if !found && broken::is("empty-page-is-the-end") {
            return self.finish(id, now);
        }
        if found {
            reader.progressed(page, now);
        } else if let Some(at) = reader.found_nothing(page, &idle, now) {
            self.deltas.push(Delta::Verified { shard: id.clone(), at });
        }
        if self.readers.get(id).is_some_and(|reader| reader.phase == Phase::Ending) {
            self.meet_children(page, now)?;
            return self.end_of_shard(id, !page.children.is_empty(), now);
        }
        if let Some(reader) = self.readers.get_mut(id) {
            reader.follow(ahead);
        }
        self.schedule(id);
        Ok(())
    }

    pub(super) fn reader_failed(&mut self, id: &ShardId, error: Error, now: Now) -> Result<()> {
        let limits = Limits { stall_timeout: self.options.stall_timeout };
        let Some(reader) = self.readers.get_mut(id) else { return Ok(()) };
        match reader.failed(error, &limits, &mut self.jitter, now) {
            Reaction::Retry if broken::is("failed-reader-forgotten") => {}
            Reaction::Retry => self.schedule(id),
            Reaction::Doubt => self.doubt(id, now)?,
            Reaction::Fail(error) => return Err(error),
        }
        Ok(())
    }
}
