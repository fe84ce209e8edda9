//! What a failed call means: again, in doubt, or the end.

use super::*;

/// Pages in a row that could not be used before that is the service's lasting failure.
pub(super) const BAD_PAGES: u32 = 5;

/// Refusals in a row: a permission that was just granted takes a moment to be known everywhere.
pub(super) const DENIALS: u32 = 4;

/// A cursor that expires sooner is the service's failure: it keeps them for minutes.
pub(super) const FRESH: Duration = Duration::from_secs(60);

/// Calls that fail, since when.
#[derive(Debug)]
pub(super) struct Failing {
    since: Now,
    error: Error,
    /// A page failed, or could not be come by: a cursor alone does not end this.
    pub(super) page: bool,
}

/// What a failed call means beyond trying again.
#[derive(Debug)]
pub enum Reaction {
    Retry,
    /// Look at a fresh listing before anything else.
    Doubt,
    Fail(Error),
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

impl Reader {
    /// It is asked now. What it waited beyond `due`, for want of memory, is not the service's failing.
    pub fn asking(&mut self, now: Now) {
        if let Some(failing) = &mut self.failing {
            failing.since += now.saturating_sub(self.due);
        }
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

    pub(super) fn recover(&mut self) {
        self.backoff.succeed();
        self.denials = 0;
        self.failing = None;
    }

    pub fn last_failure(&self) -> Option<&Error> {
        self.failing.as_ref().map(|failing| &failing.error)
    }
}
