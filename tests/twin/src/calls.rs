//! What was asked, how often and when; and the rates at which asking is refused.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::AwsError;
use crate::kinesis::KinesisOp;
use crate::knobs::Knobs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    CreateTable,
    DescribeTable,
    UpdateTable,
    DeleteTable,
    ListTables,
    PutItem,
    DeleteItem,
    GetItem,
    BatchWriteItem,
    Scan,
    ListStreams,
    DescribeStream,
    GetShardIterator,
    GetRecords,
    EnableKinesisStreamingDestination,
    DisableKinesisStreamingDestination,
    UpdateKinesisStreamingDestination,
    DescribeKinesisStreamingDestination,
    #[serde(untagged)]
    Kinesis(KinesisOp),
}

/// One call, by virtual time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    pub at_ms: Millis,
    pub op: Op,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The code of the error the caller got, scripted ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub calls: u64,
    pub errors: u64,
    /// Calls by shard, by a scan's segment (`0/4`), or by what a call to Kinesis is about
    /// (`stream` or `stream/shard`).
    pub shards: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) counts: BTreeMap<Op, Count>,
    pub(crate) log: VecDeque<Call>,
}

impl Calls {
    pub(crate) fn record(&mut self, call: Call, keep: usize) {
        let count = self.counts.entry(call.op).or_default();
        count.calls += 1;
        count.errors += u64::from(call.error.is_some());
        if let Some(shard) = &call.shard {
            match count.shards.get_mut(shard) {
                Some(calls) => *calls += 1,
                None => drop(count.shards.insert(shard.clone(), 1)),
            }
        }
        self.log.push_back(call);
        while self.log.len() > keep {
            self.log.pop_front();
        }
    }
}

/// Token buckets in virtual time; each holds one second's worth.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    levels: BTreeMap<(Op, Option<String>), (f64, Millis)>,
}

impl Buckets {
    /// # Errors
    /// `ThrottlingException` (recorded; the model does not declare it), of Kinesis
    /// `LimitExceededException` (documented).
    pub(crate) fn take(
        &mut self,
        op: Op,
        shard: Option<&str>,
        now: Millis,
        knobs: &Knobs,
    ) -> Result<(), AwsError> {
        let (rate, scope) = match op {
            Op::DescribeStream => (knobs.describe_stream_per_second, None),
            Op::GetRecords => (knobs.get_records_per_second, shard.map(str::to_owned)),
            _ => (knobs.calls_per_second.get(&op).copied(), None),
        };
        let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return Ok(()) };
        let (level, since) = self.levels.entry((op, scope)).or_insert((rate.max(1.0), now));
        *level = (*level + (now - *since) as f64 / 1000.0 * rate).min(rate.max(1.0));
        *since = now;
        if *level < 1.0 {
            return Err(match op {
                Op::Kinesis(op) => AwsError::limit_exceeded(format!("Rate exceeded for {}", op.name())),
                _ => AwsError::throttled(),
            });
        }
        *level -= 1.0;
        Ok(())
    }

    /// Whether a table has read capacity left. A page's price is known only when it is read, so
    /// the last one may overdraw (assumed).
    ///
    /// # Errors
    /// `ProvisionedThroughputExceededException` (documented).
    pub(crate) fn may_read(&mut self, table: &str, now: Millis, rate: Option<f64>) -> Result<(), AwsError> {
        let Some(rate) = rate.filter(|rate| *rate > 0.0) else {
            self.levels.remove(&reads(table));
            return Ok(());
        };
        let (level, since) = self.levels.entry(reads(table)).or_insert((rate, now));
        *level = (*level + (now - *since) as f64 / 1000.0 * rate).min(rate);
        *since = now;
        if *level > 0.0 { Ok(()) } else { Err(AwsError::over_capacity()) }
    }

    pub(crate) fn spend(&mut self, table: &str, units: f64) {
        if let Some((level, _)) = self.levels.get_mut(&reads(table)) {
            *level -= units;
        }
    }
}

fn reads(table: &str) -> (Op, Option<String>) {
    (Op::Scan, Some(table.to_owned()))
}
