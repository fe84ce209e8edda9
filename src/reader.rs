//! One shard's life: when to ask, where to go on, what an error means.

use std::time::Duration;

use crate::broken;
use crate::budget::{Backoff, Jitter, Pace};
use crate::error::{Error, ErrorKind};
use crate::page::{Cursor, Millis, OpenAt, Page, Terms};
use crate::position::{Position, SequenceNumber, ShardId};

/// Time since the run began.
pub type Now = Duration;

/// Empty pages in a row that show an open shard to hold nothing: several may come before a record.
pub const QUIET_CALLS: u32 = 10;

/// What was verified this much less than the retention ago may be trimmed while it is being asked for.
const UNSAFE: Millis = 60_000;

/// A verified moment is worth writing down when it is this much later than the one before: a service
/// that tells how far behind a page is verifies its idle shards with every page.
const WORTH_TELLING: Millis = 10_000;

/// So many empty last pages in a row outweigh that something is said to be behind them.
const ENDS: u32 = 3;

const FIRST_POLL: Duration = Duration::from_millis(50);
const CLOSED_POLL: Duration = Duration::from_millis(20);
const BAD_PAGES: u32 = 5;

/// A cursor that expires sooner is the service's failure: it keeps them for minutes.
const FRESH: Duration = Duration::from_secs(60);

const DENIALS: u32 = 4;

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
    /// Not before this moment.
    pub due: Now,
    /// A record was created far enough behind the moment at which a bounded run ends.
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

/// Calls that fail, since when.
#[derive(Debug)]
struct Failing {
    since: Now,
    error: Error,
    /// A page failed, or could not be come by: a cursor alone does not end this.
    page: bool,
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

/// Empty pages in a row.
#[derive(Clone, Debug, Default)]
struct Quiet {
    calls: u32,
    since: Option<Now>,
    /// Calls since `verified` last moved, and the service's time at the first of them.
    proof: u32,
    proof_since: Option<Millis>,
}

/// What the shard asks of the driver now.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    Open(OpenAt),
    Fetch(Cursor),
}

/// What a failed call means beyond trying again.
#[derive(Debug)]
pub enum Reaction {
    Retry,
    /// Look at a fresh listing before anything else.
    Doubt,
    Fail(Error),
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

    /// It is asked now. What it waited beyond `due`, for want of memory, is not the service's failing.
    pub fn asking(&mut self, now: Now) {
        if let Some(failing) = &mut self.failing {
            failing.since += now.saturating_sub(self.due);
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

    pub fn failed(&mut self, error: Error, limits: &Limits, jitter: &mut Jitter, now: Now) -> Reaction {
        let error = error.with_shard(&self.id);
        match error.kind() {
            ErrorKind::IteratorExpired => {
                self.counts.expired += 1;
                // Our clock may have stood still meanwhile, so the first one is believed in any case.
                let believed = self.renewed_in_vain == 0 || now.saturating_sub(self.fresh_since) >= FRESH;
                self.renewed_in_vain += 1;
                if believed {
                    self.reopen(now);
                    return Reaction::Retry;
                }
            }
            ErrorKind::NotFound => return self.doubt(Doubt::NotFound),
            ErrorKind::Trimmed => {
                self.trims += 1;
                return self.doubt(Doubt::Trimmed);
            }
            ErrorKind::BadPage => self.bad_pages += 1,
            ErrorKind::AccessDenied => self.denials += 1,
            ErrorKind::Throttled => {
                self.counts.throttles += 1;
                self.pace.throttle();
            }
            _ => {}
        }
        let persists = self.bad_pages > BAD_PAGES || self.denials >= DENIALS;
        let worth_retrying = error.retryable() || error.kind() == ErrorKind::AccessDenied;
        if persists || !worth_retrying {
            return Reaction::Fail(error);
        }
        self.retry(error, limits, jitter, now)
    }

    fn retry(&mut self, error: Error, limits: &Limits, jitter: &mut Jitter, now: Now) -> Reaction {
        self.counts.retries += 1;
        let page = matches!(self.phase, Phase::Fetching(_) | Phase::Doubtful(_));
        let failing = self.failing.get_or_insert(Failing { since: now, error: error.clone(), page });
        (failing.error, failing.page) = (error.clone(), failing.page || page);
        if now.saturating_sub(failing.since) > limits.stall_timeout && !broken::is("stall-never-raised") {
            return Reaction::Fail(stalled(&self.id, limits.stall_timeout, error));
        }
        let pause = self.pace.interval().max(self.terms.pause);
        self.due = now + self.backoff.fail(jitter.draw()).max(pause);
        // A page that could not be used may have been used in part, so the cursor is not asked again.
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Fetching(cursor)
                if !matches!(error.kind(), ErrorKind::BadPage | ErrorKind::IteratorExpired) =>
            {
                Phase::Open(cursor)
            }
            _ => Phase::Closed,
        };
        Reaction::Retry
    }

    fn doubt(&mut self, doubt: Doubt) -> Reaction {
        self.phase = Phase::Doubtful(doubt);
        Reaction::Doubt
    }

    /// Whether the position was called trimmed before, with no page in between.
    pub fn is_trimmed_again(&self) -> bool {
        self.trims > 1
    }

    fn recover(&mut self) {
        self.backoff.succeed();
        self.denials = 0;
        self.failing = None;
    }

    pub fn last_failure(&self) -> Option<&Error> {
        self.failing.as_ref().map(|failing| &failing.error)
    }
}

impl Quiet {
    fn count(&mut self, server_time: Option<Millis>, now: Now) -> Option<Millis> {
        self.calls = self.calls.saturating_add(1);
        self.since.get_or_insert(now);
        if self.proof_since.is_none() {
            self.proof_since = server_time;
        }
        self.proof += 1;
        if self.proof < QUIET_CALLS {
            return None;
        }
        let verified = self.proof_since;
        (self.proof, self.proof_since) = (0, None);
        verified
    }
}

/// How long to wait after an empty page.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// The most a shard that stays empty waits.
    pub poll_interval: Duration,
    /// A closed shard will not get new records: its end is near.
    pub closed: bool,
}

impl Idle {
    /// Several empty pages may come before a record, so the pause grows from short to the interval.
    pub fn pause(&self, empty_pages: u32) -> Duration {
        if self.closed {
            return CLOSED_POLL.min(self.poll_interval);
        }
        let growth = 1.4_f64.powi(empty_pages.saturating_sub(1).min(40) as i32);
        FIRST_POLL.mul_f64(growth).min(self.poll_interval)
    }
}

/// What bounds retrying.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub stall_timeout: Duration,
}

pub fn stalled(id: &ShardId, timeout: Duration, cause: Error) -> Error {
    Error::new(
        ErrorKind::Stalled,
        format!(
            "shard {id} made no successful call for {:.0} s (stall_timeout); the last error was: {cause}",
            timeout.as_secs_f64()
        ),
    )
    .with_shard(id)
    .with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: Idle = Idle { poll_interval: SECOND, closed: false };
    const LIMITS: Limits = Limits { stall_timeout: Duration::from_secs(60) };

    fn reader() -> Reader {
        reader_with(Terms::of_pages(1, 1))
    }

    fn reader_with(terms: Terms) -> Reader {
        let mut reader = Reader::new("s".into(), Position::Beginning, None, terms);
        reader.phase = Phase::Fetching(cursor());
        reader
    }

    /// As Kinesis: five pages and 2 MB a second.
    fn paced() -> Reader {
        reader_with(Terms {
            pause: SECOND / 5,
            shard_bytes_per_second: Some(2_000_000),
            opens_at_time: true,
            tells_lag: true,
            ..Terms::of_pages(1, 1)
        })
    }

    fn page(server_time: Option<Millis>, behind: Option<Millis>) -> Page {
        Page {
            shard: "s".into(),
            body: Vec::new().into(),
            records: 0..0,
            next: Some(cursor()),
            behind,
            children: Vec::new(),
            hash_keys: None,
            weight: 0,
            server_time,
        }
    }

    fn cursor() -> Cursor {
        Cursor("c".into())
    }

    fn fail(reader: &mut Reader, kind: ErrorKind, now: Now) -> Reaction {
        reader.failed(Error::new(kind, "no"), &LIMITS, &mut Jitter::new(1), now)
    }

    #[test]
    fn records_are_followed_by_another_request_at_once() {
        let mut reader = reader();
        reader.progressed(&page(None, None), SECOND);
        assert_eq!((reader.due, reader.want()), (SECOND, Some(Want::Fetch(cursor()))));
    }

    #[test]
    fn a_shard_that_is_pushed_is_asked_at_once_though_it_is_empty() {
        let mut reader = reader_with(Terms { pushes: true, tells_lag: true, ..Terms::of_pages(1, 1) });
        reader.found_nothing(&page(Some(0), Some(0)), &IDLE, SECOND);
        assert_eq!((reader.due, reader.want()), (SECOND, Some(Want::Fetch(cursor()))));
    }

    #[test]
    fn waiting_for_a_push_proves_nothing_and_ends_no_failure() {
        let mut reader = reader_with(Terms { pushes: true, ..Terms::of_pages(1, 1) });
        fail(&mut reader, ErrorKind::Connection, SECOND);
        for second in 2..60 {
            reader.phase = Phase::Fetching(cursor());
            reader.waited(cursor(), SECOND * second);
            assert_eq!((reader.due, reader.want()), (SECOND * second, Some(Want::Fetch(cursor()))));
        }
        assert!(!reader.is_quiet(SECOND, SECOND * 60) && !reader.is_caught_up());
        reader.phase = Phase::Fetching(cursor());
        match fail(&mut reader, ErrorKind::Connection, SECOND * 62) {
            Reaction::Fail(error) => assert_eq!(error.kind(), ErrorKind::Stalled),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_shard_that_stays_empty_is_asked_no_more_often_than_its_poll_interval() {
        let mut reader = reader();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..30 {
            reader.found_nothing(&page(Some(0), None), &IDLE, now);
            pauses.push(reader.due - now);
            now = reader.due;
        }
        assert!(pauses[0] < SECOND / 10 && pauses.is_sorted());
        assert!(pauses[15..].iter().all(|pause| *pause == SECOND));
    }

    #[test]
    fn ten_empty_pages_verify_the_moment_of_the_first() {
        let mut reader = reader();
        let found = (0..10).map(|call| reader.found_nothing(&page(Some(1000 + call), None), &IDLE, SECOND));
        let found: Vec<_> = found.collect();
        assert!(found[..9].iter().all(Option::is_none));
        assert_eq!(found[9], Some(1000));
    }

    #[test]
    fn an_empty_page_verifies_as_far_as_the_service_says() {
        let mut reader = paced();
        assert_eq!(reader.found_nothing(&page(Some(90_000), Some(60_000)), &IDLE, SECOND), Some(30_000));
        assert_eq!((reader.due, reader.is_caught_up()), (SECOND + SECOND / 5, false));
        assert_eq!(reader.reached_end, None);
    }

    /// The shard may have closed meanwhile, and what comes then is in its children.
    #[test]
    fn nothing_behind_an_empty_page_reaches_the_end_but_verifies_only_when_it_goes_on() {
        let mut reader = paced();
        for call in 1..QUIET_CALLS {
            let time = 91_000 + i64::from(call);
            assert_eq!(reader.found_nothing(&page(Some(time), Some(0)), &IDLE, SECOND), None);
            assert_eq!((reader.is_caught_up(), reader.reached_end), (true, Some(time)));
        }
        assert_eq!(reader.verified, None);
        assert_eq!(reader.found_nothing(&page(Some(99_000), Some(0)), &IDLE, SECOND), Some(91_001));
        let last = Page { next: None, ..page(Some(200_000), Some(60_000)) };
        assert_eq!(reader.found_nothing(&last, &IDLE, SECOND), None);
    }

    #[test]
    fn a_closed_shard_is_read_to_its_end_when_nothing_more_comes() {
        let mut reader = paced();
        let last = |behind| Page { next: None, ..page(Some(90_000), Some(behind)) };
        reader.found_nothing(&last(0), &IDLE, SECOND);
        assert!(!reader.is_read_to_its_end(), "it was open when it was asked");
        reader.asked_closed = true;
        for _ in 0..ENDS {
            assert!(!reader.is_read_to_its_end());
            reader.found_nothing(&page(Some(90_000), Some(5)), &IDLE, SECOND);
            reader.found_nothing(&last(5), &IDLE, SECOND);
        }
        assert!(reader.is_read_to_its_end());
        reader.progressed(&page(None, None), SECOND);
        assert!(!reader.is_read_to_its_end());
        reader.found_nothing(&last(0), &IDLE, SECOND);
        assert!(reader.is_read_to_its_end());
    }

    /// Behind each new cursor some empty pages may come before the records.
    #[test]
    fn empty_pages_of_several_cursors_prove_nothing_together() {
        let mut reader = reader();
        for _ in 0..5 {
            reader.opened(cursor(), SECOND);
            let found = (0..3).find_map(|_| reader.found_nothing(&page(Some(1000), None), &IDLE, SECOND));
            assert_eq!(found, None);
            assert!(!reader.is_quiet(Duration::ZERO, SECOND));
        }
    }

    #[test]
    fn pages_pay_for_their_bytes_by_waiting() {
        let mut reader = paced();
        let mut full = page(None, Some(1));
        full.weight = 10 << 20;
        reader.progressed(&full, SECOND);
        assert!(reader.due - SECOND >= SECOND * 5, "{:?}", reader.due);
        reader.progressed(&page(None, Some(1)), SECOND);
        assert_eq!(reader.due, SECOND + SECOND / 5);
    }

    #[test]
    fn a_part_of_a_record_is_asked_for_with_its_whole() {
        let number = |text| SequenceNumber::parse(text).unwrap();
        let cases = [
            (Position::After(number("7:2")), OpenAt::At(number("7:2")), Some(number("7:2"))),
            (Position::At(number("7:2")), OpenAt::At(number("7:2")), Some(number("7:1"))),
            (Position::At(number("7:0")), OpenAt::At(number("7:0")), None),
            (Position::After(number("7")), OpenAt::After(number("7")), None),
        ];
        for (position, at, through) in cases {
            let mut reader = paced();
            (reader.position, reader.phase) = (position, Phase::Closed);
            assert_eq!((reader.want(), reader.through()), (Some(Want::Open(at)), through));
        }
    }

    #[test]
    fn a_shard_read_from_a_moment_is_opened_there_until_it_has_a_position() {
        let mut reader = paced();
        (reader.created_before, reader.phase) = (Some(5), Phase::Closed);
        assert_eq!(reader.want(), Some(Want::Open(OpenAt::Time(5))));
        reader.position = Position::After(SequenceNumber::parse("7").unwrap());
        assert!(matches!(reader.want(), Some(Want::Open(OpenAt::After(_)))));
    }

    #[test]
    fn an_expired_cursor_is_renewed_behind_the_last_record() {
        let mut reader = reader();
        let number = SequenceNumber::parse("7").unwrap();
        reader.position = Position::After(number.clone());
        assert!(matches!(fail(&mut reader, ErrorKind::IteratorExpired, SECOND), Reaction::Retry));
        assert_eq!(reader.want(), Some(Want::Open(OpenAt::After(number))));
    }

    #[test]
    fn an_expired_cursor_without_any_record_goes_back_to_the_beginning() {
        let mut reader = reader();
        fail(&mut reader, ErrorKind::IteratorExpired, SECOND);
        assert_eq!(reader.want(), Some(Want::Open(OpenAt::Beginning)));
    }

    #[test]
    fn a_failing_service_is_asked_again_with_the_same_cursor_until_the_stall_timeout() {
        let mut reader = reader();
        assert!(matches!(fail(&mut reader, ErrorKind::Service, SECOND), Reaction::Retry));
        assert_eq!(reader.want(), Some(Want::Fetch(cursor())));
        reader.phase = Phase::Fetching(cursor());
        match fail(&mut reader, ErrorKind::Service, SECOND * 62) {
            Reaction::Fail(error) => assert_eq!(error.kind(), ErrorKind::Stalled),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cursor_that_expires_at_once_again_and_again_is_a_stall() {
        let mut reader = reader();
        let mut now = SECOND;
        let failed = loop {
            reader.opened(cursor(), now);
            reader.phase = Phase::Fetching(cursor());
            match fail(&mut reader, ErrorKind::IteratorExpired, now) {
                Reaction::Retry => {
                    let first = reader.counts.expired == 1;
                    assert_eq!(reader.due == now, first, "it is asked again without a pause");
                }
                Reaction::Fail(error) => break error,
                Reaction::Doubt => panic!("an expired cursor is no doubt"),
            }
            assert_eq!(reader.want(), Some(Want::Open(OpenAt::Beginning)));
            now = reader.due;
            assert!(now < SECOND * 200, "it goes on for ever");
        };
        assert_eq!(failed.kind(), ErrorKind::Stalled);
    }

    #[test]
    fn a_cursor_that_grew_old_is_renewed_at_once_and_is_no_failure() {
        let mut reader = reader();
        for hour in 1..100 {
            reader.opened(cursor(), SECOND * 3600 * hour);
            reader.phase = Phase::Fetching(cursor());
            let later = SECOND * 3600 * hour + FRESH;
            assert!(matches!(fail(&mut reader, ErrorKind::IteratorExpired, later), Reaction::Retry));
            assert_eq!((reader.due, reader.last_failure().is_some()), (later, false));
        }
    }

    #[test]
    fn pages_that_fail_are_a_stall_though_cursors_come() {
        let mut reader = reader();
        let mut now = SECOND;
        while now < SECOND * 200 {
            reader.phase = Phase::Doubtful(Doubt::NotFound);
            match fail(&mut reader, ErrorKind::Service, now) {
                Reaction::Fail(error) => return assert_eq!(error.kind(), ErrorKind::Stalled),
                other => assert!(matches!(other, Reaction::Retry)),
            }
            reader.opened(cursor(), now);
            now += SECOND * 5;
        }
        panic!("it goes on for ever");
    }

    #[test]
    fn waiting_for_memory_is_no_failing() {
        let mut reader = reader();
        reader.phase = Phase::Fetching(cursor());
        assert!(matches!(fail(&mut reader, ErrorKind::Service, SECOND), Reaction::Retry));
        let asked = reader.due + SECOND * 3600;
        reader.asking(asked);
        reader.phase = Phase::Fetching(cursor());
        assert!(matches!(fail(&mut reader, ErrorKind::Service, asked), Reaction::Retry));
    }

    #[test]
    fn a_bad_page_is_read_again_from_the_position_and_fails_in_the_end() {
        let mut reader = reader();
        for _ in 0..BAD_PAGES {
            assert!(matches!(fail(&mut reader, ErrorKind::BadPage, SECOND), Reaction::Retry));
            assert_eq!(reader.phase, Phase::Closed);
        }
        assert!(matches!(fail(&mut reader, ErrorKind::BadPage, SECOND), Reaction::Fail(_)));
    }

    #[test]
    fn denied_access_has_a_short_grace_and_a_malformed_request_none() {
        let mut reader = reader();
        for _ in 1..DENIALS {
            assert!(matches!(fail(&mut reader, ErrorKind::AccessDenied, SECOND), Reaction::Retry));
        }
        assert!(matches!(fail(&mut reader, ErrorKind::AccessDenied, SECOND), Reaction::Fail(_)));
        assert!(matches!(fail(&mut reader, ErrorKind::InvalidRequest, SECOND), Reaction::Fail(_)));
    }

    #[test]
    fn trimmed_and_missing_are_never_the_end_of_a_shard() {
        for (kind, doubt) in [(ErrorKind::NotFound, Doubt::NotFound), (ErrorKind::Trimmed, Doubt::Trimmed)] {
            let mut reader = reader();
            assert!(matches!(fail(&mut reader, kind, SECOND), Reaction::Doubt));
            assert_eq!(reader.phase, Phase::Doubtful(doubt));
        }
    }
}
