//! What goes into which request, what waits, what is sent again and when. Plain values, no clock.
//!
//! Records of one partition key form a lane. While one of a lane's records is under way or waits to be
//! sent again, the others stay behind it: the service may take the second record of a request and refuse
//! the first, so two of one key never travel together.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::budget::{Backoff, Jitter};
use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One record, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub partition_key: Arc<str>,
    pub explicit_hash_key: Option<Arc<str>>,
    pub data: Bytes,
    /// Which row it is: of its write until it is pushed, then of everything written.
    pub row: u64,
}

impl Entry {
    /// What counts towards the service's limits: data and partition key, in bytes.
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Records of a request.
    pub records: usize,
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Requests under way at the same time.
    pub requests: usize,
    /// Bytes that wait or are under way before no more are taken.
    pub memory: usize,
    /// How long something may fail before it is an error.
    pub patience: Duration,
    /// Whether the order of records with the same partition key is kept.
    pub ordered: bool,
}

/// A request to send now; its answer goes to `answered` or `unanswered`.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: u64,
    pub entries: Vec<Entry>,
}

/// What the service says about one record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    Refused { code: String, message: String, throttled: bool, retryable: bool },
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows taken.
    pub rows: u64,
    /// Records the service has acknowledged, and their bytes.
    pub written: u64,
    pub bytes: u64,
    pub requests: u64,
    /// Records sent again, whatever the reason.
    pub retried: u64,
    /// Refusals of records because a shard takes no more at the moment.
    pub throttled: u64,
    /// Requests of which nobody knows whether they took effect: their records may stand in the stream twice.
    pub unanswered: u64,
}

#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Entry>,
    backoff: Backoff,
    failing_since: Option<Duration>,
}

/// Every record between `push` and its acknowledgement.
#[derive(Debug)]
pub struct Plan {
    limits: Limits,
    jitter: Jitter,
    lanes: HashMap<u64, Lane>,
    by_key: HashMap<Arc<str>, u64>,
    next_lane: u64,
    /// Lanes whose first record may be sent, the longest waiting first.
    ready: VecDeque<u64>,
    /// Lanes that pause after a refusal.
    pausing: BTreeSet<(Duration, u64)>,
    under_way: HashMap<u64, Vec<(u64, Entry)>>,
    /// Nothing is sent before this, after a request without an answer.
    paused_until: Duration,
    pause: Backoff,
    failing_since: Option<Duration>,
    held: usize,
    counts: Counts,
}

impl Plan {
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            jitter: Jitter::new(seed),
            lanes: HashMap::new(),
            by_key: HashMap::new(),
            next_lane: 0,
            ready: VecDeque::new(),
            pausing: BTreeSet::new(),
            under_way: HashMap::new(),
            paused_until: Duration::ZERO,
            pause: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            failing_since: None,
            held: 0,
            counts: Counts::default(),
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether more may be pushed.
    pub fn has_room(&self) -> bool {
        self.held < self.limits.memory
    }

    /// Whether everything pushed was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether requests are without an answer yet.
    pub fn is_asking(&self) -> bool {
        !self.under_way.is_empty()
    }

    pub fn push(&mut self, entry: Entry) {
        // A refusal may come writes later.
        let entry = Entry { row: self.counts.rows, ..entry };
        self.held += entry.size();
        self.counts.rows += 1;
        let id = self.lane_of(&entry.partition_key);
        if let Some(lane) = self.lanes.get_mut(&id) {
            return lane.waiting.push_back(entry);
        }
        let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        self.lanes.insert(id, Lane { waiting: VecDeque::from([entry]), backoff, failing_since: None });
        self.ready.push_back(id);
    }

    /// Without order every record is a lane of its own.
    fn lane_of(&mut self, key: &Arc<str>) -> u64 {
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        self.next_lane += 1;
        if self.limits.ordered {
            self.by_key.insert(key.clone(), self.next_lane);
        }
        self.next_lane
    }

    /// The next request, if one may be sent now.
    pub fn next(&mut self, now: Duration) -> Option<Request> {
        self.end_pauses(now);
        if now < self.paused_until || self.under_way.len() >= self.limits.requests {
            return None;
        }
        let chosen = self.choose();
        if chosen.is_empty() {
            return None;
        }
        self.counts.requests += 1;
        let id = self.counts.requests;
        let entries = chosen.iter().map(|(_, entry)| entry.clone()).collect();
        self.under_way.insert(id, chosen);
        Some(Request { id, entries })
    }

    fn end_pauses(&mut self, now: Duration) {
        while let Some((_, lane)) = self.pausing.first().copied().filter(|(until, _)| *until <= now) {
            self.pausing.pop_first();
            // Its record is older than those of lanes that never failed.
            self.ready.push_front(lane);
        }
    }

    /// The first records of ready lanes, as many as a request holds.
    fn choose(&mut self) -> Vec<(u64, Entry)> {
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        while chosen.len() < self.limits.records {
            let Some(id) = self.ready.front().copied() else { break };
            let Some(waiting) = self.lanes.get_mut(&id).map(|lane| &mut lane.waiting) else { break };
            let fits = |entry: &Entry| chosen.is_empty() || bytes + entry.size() <= self.limits.request_bytes;
            if !waiting.front().is_some_and(fits) {
                break;
            }
            self.ready.pop_front();
            if let Some(entry) = waiting.pop_front() {
                bytes += entry.size();
                chosen.push((id, entry));
            }
        }
        chosen
    }

    /// When `next` may have something although nothing else happens before; `None`: not without that.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.under_way.len() >= self.limits.requests {
            return None;
        }
        let lane = self.pausing.first().map(|(until, _)| *until);
        let first = if self.ready.is_empty() { lane? } else { Duration::ZERO };
        Some(first.max(self.paused_until))
    }

    /// The service's answer to a request, record by record.
    ///
    /// # Errors
    /// A record was refused for good, or for longer than `patience`.
    pub fn answered(&mut self, request: u64, outcomes: &[Outcome], now: Duration) -> Result<()> {
        let sent = self.under_way.get(&request).map_or(0, Vec::len);
        if sent != outcomes.len() {
            let message = format!("PutRecords answered for {} records of {sent}", outcomes.len());
            return self.unanswered(request, &Error::new(ErrorKind::BadPage, message), now);
        }
        self.pause.succeed();
        self.failing_since = None;
        let entries = self.under_way.remove(&request).unwrap_or_default();
        let mut fatal = Ok(());
        for ((lane, entry), outcome) in entries.into_iter().zip(outcomes) {
            let taken = match outcome {
                Outcome::Written => {
                    self.written(lane, &entry);
                    Ok(())
                }
                Outcome::Refused { code, message, throttled, retryable } => {
                    self.counts.throttled += u64::from(*throttled);
                    let error = refused(&entry, code, message).with_retryable(*retryable);
                    self.again(lane, entry, error, now)
                }
            };
            fatal = fatal.and(taken);
        }
        fatal
    }

    fn written(&mut self, id: u64, entry: &Entry) {
        self.counts.written += 1;
        self.counts.bytes += entry.size() as u64;
        self.held -= entry.size();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.waiting.is_empty() {
            self.lanes.remove(&id);
            self.by_key.remove(&entry.partition_key);
            return;
        }
        lane.backoff.succeed();
        lane.failing_since = None;
        self.ready.push_back(id);
    }

    /// Puts a refused record back in front of its lane, which pauses.
    fn again(&mut self, id: u64, entry: Entry, error: Error, now: Duration) -> Result<()> {
        self.counts.retried += 1;
        let (patience, jitter) = (self.limits.patience, self.jitter.draw());
        let Some(lane) = self.lanes.get_mut(&id) else { return Ok(()) };
        let since = *lane.failing_since.get_or_insert(now);
        lane.waiting.push_front(entry);
        self.pausing.insert((now + lane.backoff.fail(jitter), id));
        judge(&error, now - since, patience)
    }

    /// A request as a whole failed, or nobody knows: all its records are sent again after a pause.
    ///
    /// # Errors
    /// It will not be better later, or has failed for longer than `patience`.
    pub fn unanswered(&mut self, request: u64, error: &Error, now: Duration) -> Result<()> {
        let entries = self.under_way.remove(&request).unwrap_or_default();
        match error.kind() {
            ErrorKind::Throttled => self.counts.throttled += entries.len() as u64,
            ErrorKind::Connection | ErrorKind::Service | ErrorKind::BadPage => self.counts.unanswered += 1,
            _ => {}
        }
        self.counts.retried += entries.len() as u64;
        // From the back, so that they stand in front in the order they had.
        for (id, entry) in entries.into_iter().rev() {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.waiting.push_front(entry);
                self.ready.push_front(id);
            }
        }
        let since = *self.failing_since.get_or_insert(now);
        self.paused_until = self.paused_until.max(now + self.pause.fail(self.jitter.draw()));
        judge(error, now - since, self.limits.patience)
    }
}

/// Whether to go on after a failure that has lasted for this long.
fn judge(error: &Error, lasted: Duration, patience: Duration) -> Result<()> {
    match (error.retryable(), lasted <= patience) {
        (true, true) => Ok(()),
        (false, _) => Err(error.clone()),
        (true, false) => {
            let message = format!("for {} s and longer: {error}", patience.as_secs_f64());
            Err(Error::new(error.kind(), message).with_code(error.code().unwrap_or_default()))
        }
    }
}

fn refused(entry: &Entry, code: &str, message: &str) -> Error {
    let key = &entry.partition_key;
    let message = message.lines().next().unwrap_or_default();
    let said = if message.is_empty() { code.to_owned() } else { format!("{code} ({message})") };
    let sentence =
        format!("row {} (of everything written) with partition key {key:?} was refused: {said}", entry.row);
    let kind = crate::aws::errors::classify(Some(code), 400).0;
    Error::new(kind, sentence).with_code(code)
}

#[cfg(test)]
mod tests;
