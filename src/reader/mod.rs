//! One shard's life: when to ask, where to go on, what an error means.

mod failure;
mod quiet;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::broken;
use crate::budget::{Backoff, Jitter, Pace};
use crate::error::{Error, ErrorKind};
use crate::page::{Cursor, Millis, OpenAt, Page, Terms};
use crate::position::{Position, SequenceNumber, ShardId};
use failure::Failing;
pub use failure::{Limits, Reaction, stalled};
use quiet::Quiet;
pub use quiet::{Idle, QUIET_CALLS};

/// Time since the run began.
pub type Now = Duration;

/// What was verified this much less than the retention ago may be trimmed while it is being asked for.
const UNSAFE: Millis = 60_000;

/// A verified moment is worth writing down when it is this much later than the one before: a service
/// that tells how far behind a page is verifies its idle shards with every page.
const WORTH_TELLING: Millis = 10_000;

/// So many empty last pages in a row outweigh that something is said to be behind them.
const ENDS: u32 = 3;

#[derive(Debug)]
pub struct Reader {
    pub id: ShardId,
    /// Behind the last record that has its place in the order.
    pub position: Position,
    pub created_before: Option<Millis>,
    /// Records up to here are left out while the shard is read again from its beginning.
    pub skip_through: Option<SequenceNumber>,
    /// Nothing the shard held at this moment is missing.
    pub verified: Option<Millis>,
    pub phase: Phase,
    /// The next page, when it was asked for before all of this one was read.
    pub ahead: Option<Ahead>,
    /// Not before this moment.
    pub due: Now,
    /// The latest moment at which a record that was read was created.
    pub newest: Option<Millis>,
    /// How far behind the end of the shard the last page ended, where the service tells.
    pub behind: Option<Millis>,
    /// When the service last said that nothing is behind what was read.
    pub reached_end: Option<Millis>,
    /// Whether the shard was known to be closed when the last page was asked for.
    pub asked_closed: bool,
    /// Empty pages since the last record, asked for when that was known, without a next cursor. Pages
    /// that go on may come between them.
    ends: u32,
    pub counts: Counts,
    terms: Terms,
    /// The verified moment that was told last.
    told: Option<Millis>,
    quiet: Quiet,
    backoff: Backoff,
    pace: Pace,
    bad_pages: u32,
    denials: u32,
    /// Times in a row that the position was called trimmed.
    trims: u32,
    /// Cursors renewed since the last page.
    renewed_in_vain: u32,
    /// When the cursor came.
    fresh_since: Now,
    failing: Option<Failing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Needs a cursor.
    Closed,
    Opening,
    Open(Cursor),
    Fetching(Cursor),
    /// The service gave no next cursor; the shard's end is not yet confirmed by a listing.
    Ending,
    /// The service does not know the shard, or its position; the listing will tell.
    Doubtful(Doubt),
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    NotFound,
    Trimmed,
}

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub records: u64,
    pub bytes: u64,
    pub pages: u64,
    pub throttles: u64,
    pub retries: u64,
    pub expired: u64,
}

/// A page that was asked for before its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    pub cursor: Cursor,
    pub asked_closed: bool,
}

/// What the shard asks of the driver now.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    Open(OpenAt),
    Fetch(Cursor),
}

impl Reader {
    pub fn new(id: ShardId, position: Position, verified: Option<Millis>, terms: Terms) -> Self {
        Self {
            id,
            position,
            terms,
            created_before: None,
            skip_through: None,
            verified,
            told: verified,
            phase: Phase::Closed,
            ahead: None,
            due: Duration::ZERO,
            newest: None,
            behind: None,
            reached_end: None,
            asked_closed: false,
            ends: 0,
            counts: Counts::default(),
            quiet: Quiet::default(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            pace: Pace::default(),
            bad_pages: 0,
            denials: 0,
            trims: 0,
            renewed_in_vain: 0,
            fresh_since: Duration::ZERO,
            failing: None,
        }
    }

    /// What to ask for, once `due` has come.
    pub fn want(&self) -> Option<Want> {
        match &self.phase {
            Phase::Closed => Some(Want::Open(self.open_at())),
            Phase::Open(cursor) => Some(Want::Fetch(cursor.clone())),
            _ => None,
        }
    }

    fn open_at(&self) -> OpenAt {
        match &self.position {
            _ if self.skip_through.is_some() => OpenAt::Beginning,
            Position::Beginning => match self.created_before {
                Some(moment) if self.terms.opens_at_time => OpenAt::Time(moment),
                _ => OpenAt::Beginning,
            },
            // The parts of a record come with the whole.
            Position::At(number) | Position::After(number) if number.sub().is_some() => {
                OpenAt::At(number.clone())
            }
            Position::At(number) => OpenAt::At(number.clone()),
            Position::After(number) if broken::is("at-not-after") => OpenAt::At(number.clone()),
            Position::After(number) => OpenAt::After(number.clone()),
        }
    }

    /// Records, or parts of one, up to here have been read although the service gives them again.
    pub fn through(&self) -> Option<SequenceNumber> {
        let part = match &self.position {
            Position::After(number) => number.sub().map(|_| number.clone()),
            Position::At(number) => number.sub()?.checked_sub(1).map(|before| number.part(before)),
            Position::Beginning => None,
        };
        self.skip_through.clone().or(part)
    }

    /// Whether records between what is verified and the oldest the service keeps may be lost.
    pub fn may_have_lost(&self, server_now: Millis, retention: Millis) -> bool {
        let old = self.verified.is_some_and(|verified| server_now - verified > retention - UNSAFE);
        old && !broken::is("age-ignored")
    }

    /// Reads what is left of the shard from its beginning, behind the position.
    pub fn start_over(&mut self) {
        self.skip_through = match &self.position {
            Position::After(number) => Some(number.clone()),
            Position::Beginning | Position::At(_) => None,
        };
        if matches!(self.position, Position::At(_)) {
            self.position = Position::Beginning;
        }
    }

    pub fn opened(&mut self, cursor: Cursor, now: Now) {
        if !self.failing.as_ref().is_some_and(|failing| failing.page) {
            self.recover();
        }
        self.fresh_since = now;
        // Empty pages may come behind every new cursor: only those in a row prove something.
        self.quiet = Quiet::default();
        self.phase = Phase::Open(cursor);
    }

    /// A page with records came: ask for the next one as soon as the service allows it.
    pub fn progressed(&mut self, page: &Page, now: Now) {
        self.came(page, now);
        self.ends = 0;
        self.quiet = Quiet::default();
        self.due = now + self.pause_behind(page);
    }

    /// An empty page came. Returns the moment up to which the shard is now verified, if that moved
    /// so far that it should be written down.
    pub fn found_nothing(&mut self, page: &Page, idle: &Idle, now: Now) -> Option<Millis> {
        self.came(page, now);
        self.ends += u32::from(self.asked_closed && page.next.is_none());
        let verified = match page.behind {
            // More is coming: the service has not looked through all of the shard yet.
            Some(behind @ 1..) if !broken::is("behind-is-the-end") => {
                self.quiet = Quiet::default();
                page.server_time.map(|time| time - behind)
            }
            // Nothing behind it now: but whether the shard was still open, only more such pages tell.
            Some(_) => {
                self.reached_end = self.reached_end.max(page.server_time);
                self.quiet.count(page.server_time, now)
            }
            None if broken::is("verified-by-one-page") => page.server_time,
            None => self.quiet.count(page.server_time, now),
        };
        // The shard may have closed long before, and what follows it then is in its children.
        let verified = verified.filter(|_| page.next.is_some());
        let at_once = self.is_behind() || self.terms.pushes;
        let idle = if at_once { Duration::ZERO } else { idle.pause(self.quiet.calls) };
        self.due = now + self.pause_behind(page).max(idle);
        if verified <= self.verified {
            return None;
        }
        self.verified = verified;
        let apart = page.behind.map_or(0, |_| WORTH_TELLING);
        if verified >= self.told.map(|told| told + apart) {
            self.told = verified;
            return verified;
        }
        None
    }

    /// The service has pushed nothing yet: the others have their turn, then the same is asked again.
    /// That is no success: it says nothing about the shard, and ends no failure.
    pub fn waited(&mut self, cursor: Cursor, now: Now) {
        self.phase = Phase::Open(cursor);
        self.due = now;
    }

    /// Whether the page behind this one, which came for `cursor`, may be asked for at once.
    pub fn may_ask_ahead(&self, cursor: &Cursor, page: &Page) -> bool {
        let waits = self.failing.is_some() || self.terms.pushes || !self.pause_behind(page).is_zero();
        self.is_fetching(cursor) && self.ahead.is_none() && !waits
    }

    /// Whether the answer for `cursor` is the one that is waited for.
    pub fn is_fetching(&self, cursor: &Cursor) -> bool {
        matches!(&self.phase, Phase::Fetching(asked) if asked == cursor)
    }

    /// All of a page was used: if the next one is on its way, that is the one to wait for.
    pub fn follow(&mut self, ahead: Option<Ahead>) {
        if let Some(Ahead { cursor, asked_closed }) = ahead
            && self.phase == Phase::Open(cursor.clone())
        {
            self.phase = Phase::Fetching(cursor);
            self.asked_closed = asked_closed;
        }
    }

    fn came(&mut self, page: &Page, now: Now) {
        self.recover();
        (self.bad_pages, self.trims, self.renewed_in_vain) = (0, 0, 0);
        self.fresh_since = now;
        self.pace.succeed();
        self.behind = page.behind;
        self.phase = page.next.clone().map_or(Phase::Ending, Phase::Open);
    }

    /// Whether the service said that the shard holds more than was read.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some_and(|behind| behind > 0)
    }

    /// Whether the shard, known to be closed, gave nothing more from the position on: once where the
    /// service says that nothing is behind, several times where it says that something is.
    pub fn is_read_to_its_end(&self) -> bool {
        self.ends >= if self.is_behind() { ENDS } else { 1 }
    }

    /// What the service asks for between two pages, or has taught by refusing them.
    fn pause_behind(&self, page: &Page) -> Duration {
        if broken::is("reads-unpaid") {
            return Duration::ZERO;
        }
        let rate = self.terms.shard_bytes_per_second.map(f64::from);
        let paid = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(page.weight as f64 / rate));
        let least = if broken::is("no-pause") { Duration::ZERO } else { self.terms.pause };
        paid.max(least).max(self.pace.interval())
    }

    /// Whether only empty pages have come for `settle`, by at least `QUIET_CALLS` calls.
    pub fn is_quiet(&self, settle: Duration, now: Now) -> bool {
        let since = self.quiet.since.is_some_and(|since| now.saturating_sub(since) >= settle);
        since && self.quiet.calls >= QUIET_CALLS || broken::is("quiet-too-soon") && self.quiet.calls > 0
    }

    /// Whether the last pages were all empty, as far as anybody can tell on an open shard.
    pub fn is_caught_up(&self) -> bool {
        let nothing_behind = self.behind == Some(0);
        nothing_behind || self.quiet.calls >= QUIET_CALLS / 2 || self.phase == Phase::Finished
    }

    /// Silence counts from now on, and the shard is asked at once.
    pub fn listen_anew(&mut self, now: Now) {
        self.quiet.calls = 0;
        self.quiet.since = None;
        self.due = now;
    }

    /// Reads again from the position: the cursor is of no use any more.
    pub fn reopen(&mut self, due: Now) {
        self.phase = Phase::Closed;
        self.due = due;
    }
}
