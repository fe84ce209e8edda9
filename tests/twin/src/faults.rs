//! Scripted faults: a queue of what goes wrong, for which call, how often.

use serde::{Deserialize, Serialize};

use crate::calls::Op;

/// What goes wrong with one call. All of these are assumed: they are failures of the way to
/// the service, or errors whose meaning is documented but whose moment nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Fault {
    /// The service answers with this error; the request has no effect.
    Error {
        code: String,
        #[serde(default = "bad_request")]
        status: u16,
        #[serde(default)]
        message: String,
    },
    /// HTTP: the answer comes this much later, in real time. In-process: nothing.
    Delay { ms: u64 },
    /// The connection ends in the middle of the body.
    Truncated,
    /// The answer is complete (length and checksum right) but its body is cut JSON.
    InvalidJson,
    /// The body differs from its `x-amz-crc32`.
    WrongCrc,
    /// The request takes effect; the connection closes without an answer.
    LostReply,
    /// The request is taken and never answered, without effect.
    Hang,
    /// The connection is reset, without effect.
    Reset,
    /// HTTP/2: the answer comes, and the connection takes no further requests (GOAWAY); HTTP/1.1:
    /// it closes behind the answer. In-process: nothing.
    GoAway,
}

impl Fault {
    /// Whether the answer arrives as it was sent.
    pub(crate) fn leaves_whole(&self) -> bool {
        matches!(self, Self::Delay { .. } | Self::GoAway)
    }
}

fn bad_request() -> u16 {
    400
}

/// A fault, the calls it waits for, and how often it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    pub op: Op,
    /// Only calls about this shard, this segment of a Scan (`0/4`), or this stream or shard of
    /// Kinesis (`orders`, `orders/shardId-000000000000`); absent: all.
    #[serde(default)]
    pub shard: Option<String>,
    pub fault: Fault,
    /// How many calls it hits.
    #[serde(default = "once")]
    pub times: u64,
    /// How many matching calls it lets pass first.
    #[serde(default)]
    pub skip: u64,
}

fn once() -> u64 {
    1
}

impl Injection {
    pub fn once(op: Op, fault: Fault) -> Self {
        Self { op, shard: None, fault, times: 1, skip: 0 }
    }

    fn matches(&self, op: Op, shard: Option<&str>) -> bool {
        self.op == op && self.shard.as_deref().is_none_or(|wanted| Some(wanted) == shard)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    queue: Vec<Injection>,
}

impl Faults {
    pub(crate) fn add(&mut self, injection: Injection) {
        if injection.times > 0 {
            self.queue.push(injection);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn pending(&self) -> &[Injection] {
        &self.queue
    }

    /// The fault of this call: the first injection in the queue that matches decides alone.
    pub(crate) fn take(&mut self, op: Op, shard: Option<&str>) -> Option<Fault> {
        let at = self.queue.iter().position(|injection| injection.matches(op, shard))?;
        let injection = self.queue.get_mut(at)?;
        if injection.skip > 0 {
            injection.skip -= 1;
            return None;
        }
        injection.times -= 1;
        let fault = injection.fault.clone();
        if injection.times == 0 {
            self.queue.remove(at);
        }
        Some(fault)
    }
}
