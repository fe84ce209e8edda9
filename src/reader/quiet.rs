//! What empty pages say, and how long to wait behind one.

use super::*;

/// Empty pages in a row that show an open shard to hold nothing: several may come before a record.
pub const QUIET_CALLS: u32 = 10;

const FIRST_POLL: Duration = Duration::from_millis(50);
const CLOSED_POLL: Duration = Duration::from_millis(20);

/// Empty pages in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Quiet {
    pub(super) calls: u32,
    pub(super) since: Option<Now>,
    /// Calls since `verified` last moved, and the service's time at the first of them.
    proof: u32,
    proof_since: Option<Millis>,
}

impl Quiet {
    pub(super) fn count(&mut self, server_time: Option<Millis>, now: Now) -> Option<Millis> {
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
