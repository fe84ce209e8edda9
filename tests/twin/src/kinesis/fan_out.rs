//! SubscribeToShard: sessions that push a shard's records for five minutes.

use serde::Deserialize;

use crate::calls::Op;
use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::kinesis::consumer::ConsumerNamed;
use crate::kinesis::event::ShardEvent;
use crate::kinesis::iterator::{IteratorType, Start};
use crate::kinesis::read::{behind, fill};
use crate::kinesis::{Kinesis, KinesisOp, scope};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubscribeToShard {
    #[serde(rename = "ConsumerARN")]
    pub consumer_arn: String,
    pub shard_id: String,
    pub starting_position: StartingPosition,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartingPosition {
    pub r#type: IteratorType,
    #[serde(default)]
    pub sequence_number: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub timestamp: Option<f64>,
}

impl SubscribeToShard {
    pub fn at(consumer_arn: &str, shard: &str, kind: IteratorType) -> Self {
        Self {
            consumer_arn: consumer_arn.to_owned(),
            shard_id: shard.to_owned(),
            starting_position: StartingPosition { r#type: kind, sequence_number: None, timestamp: None },
        }
    }

    pub fn after(consumer_arn: &str, shard: &str, number: &str) -> Self {
        let mut request = Self::at(consumer_arn, shard, IteratorType::AfterSequenceNumber);
        request.starting_position.sequence_number = Some(number.to_owned());
        request
    }

    /// `stream/shard`.
    pub(crate) fn scope(&self) -> Option<String> {
        let stream = ConsumerNamed::arn(&self.consumer_arn).stream();
        stream.stream().map(|stream| scope(stream, &self.shard_id))
    }
}

/// A session, to be asked for its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription(u64);

/// What a session has to say at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    Event(ShardEvent),
    /// Nothing before this virtual time, unless something is written or somebody subscribes.
    /// `Millis::MAX`: the connection is half-open and stays so.
    Nothing {
        until_ms: Millis,
    },
    /// An exception in the stream, which ends it. Status 0: the transport failed (`AwsError::RESET`,
    /// `LOST_REPLY`); `BAD_BODY`: a frame came damaged.
    Failed(AwsError),
    /// The stream has ended as it should: after five minutes, or with its shard.
    Ended,
}

/// Where a session stands.
#[derive(Debug)]
pub(crate) struct Session {
    consumer_arn: String,
    shard: String,
    /// Index of the next record, counted from the shard's birth.
    next: u64,
    empties: u32,
    ends: Millis,
    /// When an event is due even if there is nothing in it.
    due: Millis,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Another call has the shard now.
    TakenOver,
    /// Nothing arrives any more, and nobody says so.
    HalfOpen,
    /// The shard's last event was pushed.
    Finished,
}

impl Kinesis<'_> {
    pub fn subscribe_to_shard(&mut self, request: &SubscribeToShard) -> Result<Subscription> {
        let scope = request.scope();
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_subscribe(request);
        self.call(KinesisOp::SubscribeToShard, scope.as_deref(), act)
    }

    /// The next event, if there is one now. A session that has ended or failed is gone.
    pub fn next_event(&mut self, subscription: &Subscription) -> Pushed {
        let (pushed, damage) = self.push(subscription);
        match damage {
            Some(damage) if !damage.leaves_whole() => {
                self.unsubscribe(subscription);
                Pushed::Failed(AwsError::bad_body())
            }
            _ => pushed,
        }
    }

    /// The client closes its side.
    pub fn unsubscribe(&mut self, subscription: &Subscription) {
        self.aws.kinesis.sessions.remove(&subscription.0);
    }

    pub(crate) fn do_subscribe(&mut self, request: &SubscribeToShard) -> Result<Subscription> {
        let now = self.now();
        let knobs = self.knobs().clone();
        let named = ConsumerNamed::arn(&request.consumer_arn).stream();
        self.active_consumer(&request.consumer_arn)?;
        let next = {
            let position = &request.starting_position;
            let (kind, sequence) = (position.r#type, position.sequence_number.as_deref());
            let (stream, shard) = self.readable(&named, &request.shard_id)?;
            Start { kind, sequence, time: position.timestamp }.index(&stream.name, shard, now)?
        };
        let id = self.aws.kinesis.next_session;
        let consumer = self.active_consumer(&request.consumer_arn)?;
        let known = consumer.shards.entry(request.shard_id.clone()).or_default();
        if !known.calls.take(now, knobs.subscribe_per_second, 1.0) {
            return Err(AwsError::limit_exceeded("SubscribeToShard was called too often for this shard"));
        }
        // Documented: refused within 5 seconds of a success, a takeover afterwards.
        if let Some((at, _)) = known.last.filter(|(at, _)| now < at.saturating_add(knobs.takeover_ms)) {
            return Err(AwsError::in_use(format!(
                "Another active subscription exists for this consumer and shard {}, since {} ms.",
                request.shard_id,
                now - at
            )));
        }
        let former = known.last.replace((now, id));
        let session = Session {
            consumer_arn: request.consumer_arn.clone(),
            shard: request.shard_id.clone(),
            next,
            empties: knobs.empty_pages,
            ends: now.saturating_add(knobs.fan_out_session_ms),
            due: now,
            state: State::Running,
        };
        let streams = &mut self.aws.kinesis;
        streams.next_session += 1;
        if let Some(former) = former.and_then(|(_, id)| streams.sessions.get_mut(&id)) {
            former.state = if former.state == State::HalfOpen { State::HalfOpen } else { State::TakenOver };
        }
        streams.sessions.insert(id, session);
        Ok(Subscription(id))
    }

    /// What to push, and what happens to it on the way.
    pub(crate) fn push(&mut self, subscription: &Subscription) -> (Pushed, Option<Fault>) {
        self.aws.settle();
        let now = self.now();
        let Some(session) = self.aws.kinesis.sessions.get(&subscription.0) else {
            return (Pushed::Ended, None);
        };
        match session.state {
            State::HalfOpen => return (Pushed::Nothing { until_ms: Millis::MAX }, None),
            State::TakenOver => return self.fail(subscription, taken_over()),
            State::Finished => return self.end(subscription),
            State::Running if now >= session.ends => return self.end(subscription),
            State::Running => {}
        }
        match self.is_due(subscription.0) {
            Err(error) => self.fail(subscription, error),
            Ok(Some(until_ms)) => (Pushed::Nothing { until_ms }, None),
            Ok(None) => self.push_event(subscription),
        }
    }

    /// `None` when there is an event now, otherwise until when there is none.
    fn is_due(&mut self, id: u64) -> Result<Option<Millis>> {
        let now = self.now();
        let Some(session) = self.aws.kinesis.sessions.get(&id) else { return Ok(Some(Millis::MAX)) };
        let (next, due, ends) = (session.next, session.due, session.ends);
        let (consumer_arn, shard) = (session.consumer_arn.clone(), session.shard.clone());
        self.active_consumer(&consumer_arn)?;
        let (_, shard) = self.readable(&ConsumerNamed::arn(&consumer_arn).stream(), &shard)?;
        let now_due = now >= due || next < shard.end() || !shard.is_open();
        // What another service is about to write may come first.
        let arrives = self.aws.channels.waiting.next().unwrap_or(Millis::MAX);
        Ok((!now_due).then(|| due.min(ends).min(arrives)))
    }

    fn push_event(&mut self, subscription: &Subscription) -> (Pushed, Option<Fault>) {
        let id = subscription.0;
        let session = self.aws.kinesis.sessions.get(&id);
        let scope = session.and_then(|session| {
            SubscribeToShard::at(&session.consumer_arn, &session.shard, IteratorType::Latest).scope()
        });
        let op = Op::Kinesis(KinesisOp::SubscribeToShardEvent);
        let event = self.aws.observe(op, scope.as_deref(), |aws| aws.kinesis().event(id));
        match event {
            Ok(event) => (Pushed::Event(event), self.aws.take_damage()),
            Err(error) if error.code == AwsError::HANG => {
                if let Some(session) = self.aws.kinesis.sessions.get_mut(&id) {
                    session.state = State::HalfOpen;
                }
                (Pushed::Nothing { until_ms: Millis::MAX }, None)
            }
            Err(error) => self.fail(subscription, error),
        }
    }

    /// Takes the next event out of the shard.
    fn event(&mut self, id: u64) -> Result<ShardEvent> {
        let now = self.now();
        let knobs = self.knobs().clone();
        let missing = || AwsError::not_found("the subscription has ended");
        let session = self.aws.kinesis.sessions.get(&id).ok_or_else(missing)?;
        let (next, empties) = (session.next, session.empties);
        let (named, id_of_shard) =
            (ConsumerNamed::arn(&session.consumer_arn).stream(), session.shard.clone());
        let (_, shard) = self.readable(&named, &id_of_shard)?;
        let from = next.max(shard.start());
        let waits = empties > 0 && (from < shard.end() || !shard.is_open());
        let records =
            if waits { Vec::new() } else { fill(shard, from, knobs.event_records, knobs.event_bytes) };
        let next = from + records.len() as u64;
        let ended = !waits && !shard.is_open() && next >= shard.end();
        // Of an event with records, the last one's own number (assumed); otherwise a number that has
        // grown since and lies before the next record's (documented that it advances).
        let last = records.last().map(|record| record.sequence.clone());
        let continuation = last.unwrap_or_else(|| shard.numbering.behind(next, now)).to_string();
        let millis_behind_latest = behind(shard, next, now);
        let stream = self.stream(&named)?;
        let hidden = |opened: Millis| now < opened.saturating_add(knobs.hide_children_ms);
        let children =
            stream.children_of(&id_of_shard).into_iter().filter(|child| ended && !hidden(child.opened));
        let child_shards = children.map(super::ChildShard::of).collect();
        if let Some(session) = self.aws.kinesis.sessions.get_mut(&id) {
            (session.next, session.due) = (next, now.saturating_add(knobs.idle_event_ms));
            session.empties = if waits { empties - 1 } else { knobs.empty_pages };
            session.state = if ended { State::Finished } else { State::Running };
        }
        let continuation = (!ended).then_some(continuation);
        Ok(ShardEvent { records, continuation, millis_behind_latest, child_shards, end: knobs.end_iterator })
    }

    fn fail(&mut self, subscription: &Subscription, error: AwsError) -> (Pushed, Option<Fault>) {
        self.unsubscribe(subscription);
        (Pushed::Failed(error), None)
    }

    fn end(&mut self, subscription: &Subscription) -> (Pushed, Option<Fault>) {
        self.unsubscribe(subscription);
        (Pushed::Ended, None)
    }
}

fn taken_over() -> AwsError {
    AwsError::in_use("Another call to SubscribeToShard for this consumer and shard has taken over.")
}
