//! The twin itself: all state, the clock, and the gate every call passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calls::{Buckets, Call, Calls, Count, Op};
use crate::channel::Channels;
use crate::clock::{Clock, Millis, START};
use crate::error::{AwsError, Result};
use crate::faults::{Fault, Faults, Injection};
use crate::kinesis;
use crate::knobs::Knobs;
use crate::random::Random;
use crate::record::Record;
use crate::stream::{Counter, Stream};
use crate::table::Table;

/// A fake AWS account in one region. Single-threaded and a function of its seed and its calls.
#[derive(Debug)]
pub struct Aws {
    pub(crate) clock: Clock,
    pub(crate) knobs: Knobs,
    pub(crate) counter: Counter,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) streams: BTreeMap<Arc<str>, Stream>,
    pub(crate) kinesis: kinesis::Streams,
    pub(crate) channels: Channels,
    pub(crate) planned_partitions: BTreeMap<String, usize>,
    pub(crate) history: Vec<Arc<Record>>,
    faults: Faults,
    calls: Calls,
    pub(crate) buckets: Buckets,
    /// Apart from the counter's, so that asking does not change what is written.
    pub(crate) requests: Random,
    /// What happens to the bytes of the call that just succeeded.
    damage: Option<Fault>,
}

impl Aws {
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Clock::at(START),
            knobs: Knobs::default(),
            counter: Counter::new(seed),
            tables: BTreeMap::new(),
            streams: BTreeMap::new(),
            kinesis: kinesis::Streams::default(),
            channels: Channels::default(),
            planned_partitions: BTreeMap::new(),
            history: Vec::new(),
            faults: Faults::default(),
            calls: Calls::default(),
            buckets: Buckets::default(),
            requests: Random::new(!seed),
            damage: None,
        }
    }

    /// Virtual time, milliseconds since 1970.
    pub fn now_ms(&self) -> Millis {
        self.clock.now()
    }

    /// Moves virtual time; shards that roll over by age do so at their own moments.
    pub fn advance(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.settle();
    }

    /// Starts virtual time at `now_ms`; only forwards.
    pub fn start_at(&mut self, now_ms: Millis) {
        let ahead = now_ms.saturating_sub(self.now_ms());
        self.advance(u64::try_from(ahead).unwrap_or(0));
    }

    /// From now on virtual time also follows the real clock, or stops doing so.
    pub fn follow_real_time(&mut self, on: bool) {
        self.clock.follow_real_time(on);
    }

    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    pub fn knobs_mut(&mut self) -> &mut Knobs {
        &mut self.knobs
    }

    pub fn inject(&mut self, injection: Injection) {
        self.faults.add(injection);
    }

    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// What has been injected and has not struck yet.
    pub fn pending_faults(&self) -> &[Injection] {
        self.faults.pending()
    }

    pub fn count(&self, op: Op) -> Count {
        self.calls.counts.get(&op).cloned().unwrap_or_default()
    }

    pub fn counts(&self) -> &BTreeMap<Op, Count> {
        &self.calls.counts
    }

    /// The newest calls, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.log.iter()
    }

    /// Forgets counters and the log.
    pub fn reset_calls(&mut self) {
        self.calls = Calls::default();
    }

    /// Every record ever written, in order of writing, trimmed or not: the tests' oracle.
    pub fn history(&self) -> &[Arc<Record>] {
        &self.history
    }

    /// Lets time take effect before a call is looked at.
    pub(crate) fn settle(&mut self) {
        self.roll_by_age();
        let now = self.now_ms();
        let retention = self.knobs.retention_ms;
        self.streams.retain(|_, stream| stream.disabled.is_none_or(|at| at.saturating_add(retention) > now));
        for stream in self.streams.values_mut() {
            stream.forget(now, &self.knobs);
        }
        self.deliver_due();
        self.kinesis.settle(now, self.knobs.stale_ms, &self.knobs.kinesis);
    }

    /// One call: faults and rates first, then the service's own answer; all of it is recorded.
    pub(crate) fn observe<T>(
        &mut self,
        op: Op,
        shard: Option<&str>,
        act: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.settle();
        self.damage = None;
        let at_ms = self.now_ms();
        let fault = self.faults.take(op, shard);
        let allowed = self.buckets.take(op, shard, at_ms, &self.knobs);
        let result = allowed.and_then(|()| self.under(fault, act));
        let error = result.as_ref().err().map(|error| error.code.clone());
        self.calls.record(Call { at_ms, op, shard: shard.map(str::to_owned), error }, self.knobs.log_calls);
        result
    }

    fn under<T>(&mut self, fault: Option<Fault>, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match fault {
            None => act(self),
            Some(Fault::Error { code, status, message }) => Err(AwsError::new(code, status, message)),
            Some(Fault::Hang) => Err(AwsError::no_reply(AwsError::HANG)),
            Some(Fault::Reset) => Err(AwsError::no_reply(AwsError::RESET)),
            Some(Fault::LostReply) => {
                act(self)?;
                Err(AwsError::no_reply(AwsError::LOST_REPLY))
            }
            Some(damage) => {
                let answer = act(self)?;
                self.damage = Some(damage);
                Ok(answer)
            }
        }
    }

    /// A call whose answer is a value: a damaged body is an error of its own.
    pub(crate) fn typed<T>(
        &mut self,
        op: Op,
        shard: Option<&str>,
        act: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let answer = self.observe(op, shard, act)?;
        match self.take_damage() {
            None => Ok(answer),
            Some(damage) if damage.leaves_whole() => Ok(answer),
            Some(_) => Err(AwsError::bad_body()),
        }
    }

    pub(crate) fn request_id(&mut self) -> String {
        format!("{:016X}{:016X}", self.requests.next(), self.requests.next())
    }

    /// What is to happen to the bytes of the last successful call.
    pub(crate) fn take_damage(&mut self) -> Option<Fault> {
        self.damage.take()
    }
}
