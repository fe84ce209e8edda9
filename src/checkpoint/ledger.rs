//! The algebra of checkpoints: how each fact in the order of the stream changes what is remembered.

use std::sync::Arc;

use super::{Checkpoint, Gap, QuarantinedRecord, ShardState, SnapshotState};
use crate::broken;
use crate::decode::SchemaState;
use crate::frontier::Fold;
use crate::page::{Millis, ScanKey, Segment};
use crate::position::{Position, ShardId};

/// One fact, in the order of the stream.
#[derive(Clone, Debug)]
pub enum Delta {
    /// Records of the shard up to `to`; `newest` is the newest creation time among them.
    Advance {
        shard: ShardId,
        to: Position,
        newest: Option<Millis>,
    },
    /// Nothing the shard held at this moment is missing.
    Verified {
        shard: ShardId,
        at: Millis,
    },
    /// The end of the shard.
    Finish {
        shard: ShardId,
        at: Millis,
    },
    Gap(Gap),
    Quarantine(QuarantinedRecord),
    Schema(Arc<SchemaState>),
    /// A shard of the stream that replaced another one.
    Discover {
        shard: ShardId,
        state: ShardState,
    },
    /// Items of the segment up to `after`; without it, all of them.
    Scanned {
        segment: Segment,
        after: Option<ScanKey>,
        items: u64,
    },
    /// A turn of scanning begins.
    Slice,
    /// The whole table is scanned.
    ScanEnded {
        at: Millis,
    },
    /// Every change made up to the end of the scan stands before this.
    Ready,
    /// The table is scanned anew; what is known of its shards is captured again.
    Epoch {
        epoch: u64,
    },
    /// The scan of this epoch begins.
    Scan(SnapshotState),
    /// The table goes on in another stream: nothing is known of its shards yet.
    Replace {
        stream_arn: String,
    },
}

/// A checkpoint, and what has become known since it was last saved.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub checkpoint: Checkpoint,
    pub gaps: Vec<Gap>,
    pub quarantined: Vec<QuarantinedRecord>,
}

impl Ledger {
    pub fn new(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, gaps: Vec::new(), quarantined: Vec::new() }
    }

    /// Adds a shard that has just become known. It claims no progress, so it needs no place in the order.
    pub fn discover(&mut self, id: &ShardId, state: ShardState) {
        self.checkpoint.shards.entry(id.clone()).or_insert(state);
    }
}

impl Ledger {
    fn snapshot(&mut self, change: impl FnOnce(&mut SnapshotState)) {
        if let Some(snapshot) = &mut self.checkpoint.snapshot {
            change(snapshot);
        }
    }
}

impl SnapshotState {
    fn advance(&mut self, segment: Segment, after: Option<&ScanKey>, items: u64) {
        self.scanned += items;
        if let Some(state) = self.segments.get_mut(segment.index as usize) {
            state.after = after.cloned();
            state.done = after.is_none();
            state.scanned += items;
        }
    }
}

impl Fold<Delta> for Ledger {
    fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::Advance { shard, to, newest } => self.checkpoint.advance(shard, to, *newest),
            Delta::Verified { shard, at } => self.checkpoint.verify(shard, *at),
            Delta::Finish { .. } if broken::is("end-not-saved") => {}
            Delta::Finish { shard, at } => self.checkpoint.finish(shard, *at),
            Delta::Gap(_) if broken::is("gap-not-written") => {}
            Delta::Gap(gap) => self.gaps.push(gap.clone()),
            Delta::Quarantine(record) => self.quarantined.push(record.clone()),
            Delta::Schema(schema) => self.checkpoint.schema = schema.clone(),
            Delta::Discover { shard, state } => self.discover(shard, state.clone()),
            Delta::Scanned { segment, after, items } => {
                self.snapshot(|snapshot| snapshot.advance(*segment, after.as_ref(), *items));
            }
            Delta::Slice => self.snapshot(|snapshot| snapshot.slices += 1),
            Delta::ScanEnded { at } => self.snapshot(|snapshot| snapshot.ended = Some(*at)),
            Delta::Ready => self.snapshot(|snapshot| snapshot.ready = true),
            Delta::Epoch { epoch } => self.checkpoint.begin_epoch(*epoch),
            Delta::Scan(snapshot) => self.checkpoint.snapshot = Some(snapshot.clone()),
            Delta::Replace { stream_arn } => self.checkpoint.replace(stream_arn),
        }
    }
}

impl Checkpoint {
    fn advance(&mut self, shard: &ShardId, to: &Position, newest: Option<Millis>) {
        if let Some(state) = self.shards.get_mut(shard) {
            if *to > state.position {
                state.position = to.clone();
            }
            state.verified = state.verified.max(newest);
        }
    }

    fn verify(&mut self, shard: &ShardId, at: Millis) {
        if let Some(state) = self.shards.get_mut(shard) {
            state.verified = state.verified.max(Some(at));
        }
    }

    /// A shard begins where its parent ends, so what is verified of the parent holds for the child.
    fn finish(&mut self, shard: &ShardId, at: Millis) {
        let Some(state) = self.shards.get_mut(shard) else { return };
        state.finished.get_or_insert(at);
        let verified = state.verified;
        for child in self.shards.values_mut().filter(|child| child.parents.contains(shard)) {
            child.verified = child.verified.max(verified);
        }
    }

    fn begin_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.shards.clear();
        self.snapshot = None;
    }

    fn replace(&mut self, stream_arn: &str) {
        stream_arn.clone_into(&mut self.stream_arn);
        self.shards.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::FORMAT;
    use crate::position::SequenceNumber;

    fn ledger() -> Ledger {
        let state = |parents: &[&str]| ShardState {
            parents: parents.iter().map(|id| (*id).into()).collect(),
            position: Position::Beginning,
            created_before: None,
            verified: None,
            parents_gone: false,
            finished: None,
        };
        let mut ledger = Ledger::new(Checkpoint {
            format: FORMAT,
            table: "orders".into(),
            table_arn: "arn".into(),
            stream_arn: "arn/1".into(),
            epoch: 1,
            epoch_begun: 0,
            start: "earliest".into(),
            shards: Default::default(),
            schema: Default::default(),
            snapshot: None,
        });
        ledger.discover(&"a".into(), state(&[]));
        ledger.discover(&"b".into(), state(&["a"]));
        ledger
    }

    fn after(text: &str) -> Position {
        Position::After(SequenceNumber::parse(text).unwrap())
    }

    #[test]
    fn positions_never_move_back() {
        let mut ledger = ledger();
        for number in ["9", "10", "9"] {
            ledger.apply(&Delta::Advance { shard: "a".into(), to: after(number), newest: Some(5) });
        }
        assert_eq!(ledger.checkpoint.shards[&"a".into()].position, after("10"));
    }

    #[test]
    fn a_child_inherits_what_is_verified_of_its_finished_parent() {
        let mut ledger = ledger();
        ledger.apply(&Delta::Verified { shard: "a".into(), at: 70 });
        ledger.apply(&Delta::Finish { shard: "a".into(), at: 80 });
        assert_eq!(ledger.checkpoint.shards[&"b".into()].verified, Some(70));
        assert_eq!(ledger.checkpoint.shards[&"a".into()].finished, Some(80));
    }

    #[test]
    fn a_checkpoint_survives_its_text_and_nothing_unknown_is_read_over() {
        let checkpoint = ledger().checkpoint;
        let text = checkpoint.to_json();
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint);
        assert!(Checkpoint::parse(&text.replace("\"epoch\"", "\"epoc\"")).is_err());
        assert!(Checkpoint::parse(&text.replace("\"format\":1", "\"format\":2")).is_err());
        assert!(Checkpoint::parse(&text[..text.len() - 9]).is_err());
    }
}
