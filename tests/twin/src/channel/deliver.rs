//! From a table's write to a record in the stream, with what may happen on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::Aws;
use crate::channel::change::{ChannelChange, Written, event_of, json, uuid};
use crate::channel::{Channels, PartitionBy};
use crate::clock::Millis;
use crate::kinesis::{Named, PutEntry, hash_text};
use crate::record::Change;

/// What is on its way, by the moment it arrives and the order it was sent in.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    parcels: BTreeMap<(Millis, u64), Parcel>,
    sent: u64,
}

#[derive(Debug)]
struct Parcel {
    stream: Named,
    entry: PutEntry,
}

impl Waiting {
    fn send(&mut self, arrives: Millis, parcel: Parcel) {
        self.sent += 1;
        self.parcels.insert((arrives, self.sent), parcel);
    }

    /// When the next one arrives.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.parcels.first_key_value().map(|((at, _), _)| *at)
    }

    fn take(&mut self, now: Millis) -> Option<(Millis, Parcel)> {
        let first = self.parcels.first_entry().filter(|first| first.key().0 <= now)?;
        let at = first.key().0;
        Some((at, first.remove()))
    }
}

impl Channels {
    /// The time of a write in microseconds: no two alike, unless they may be.
    fn stamp(&mut self, now: Millis, distinct: bool) -> i64 {
        let now_us = now.saturating_mul(1000);
        self.last_us = if distinct { now_us.max(self.last_us + 1) } else { now_us };
        self.last_us
    }
}

impl Aws {
    /// Sends a change to the table's active destination.
    pub(crate) fn replicate(&mut self, table: &str, change: &Change<'_>) {
        let (now, knobs) = (self.now_ms(), self.knobs.channel.clone());
        let mut destinations = self.channels.of_table.get(table).into_iter().flatten();
        let active = destinations.find(|one| one.status(now, &knobs) == "ACTIVE");
        let Some((stream_arn, precision)) = active.map(|one| (one.stream_arn.clone(), one.precision)) else {
            return;
        };
        let event_id = self.change_id();
        let created_us = self.channels.stamp(now, knobs.distinct_us);
        let json = json(change, &Written { table, event_id: &event_id, created_us, precision });
        let key = change.key.slot.1.clone();
        let stream = Named { name: None, arn: Some(stream_arn.clone()) };
        let skipped = self.is_too_large(&stream, json.len());
        let sent = ChannelChange {
            table: table.to_owned(),
            stream_arn,
            event: event_of(change),
            event_id,
            key,
            created_us,
            precision,
            ttl: change.ttl,
            skipped,
            json,
        };
        if !skipped {
            self.send(&stream, &sent);
        }
        if self.knobs.keep_history {
            self.channels.history.push(Arc::new(sent));
        }
        self.deliver_due();
    }

    /// Documented: what Kinesis would refuse is skipped, and only a metric tells.
    fn is_too_large(&mut self, stream: &Named, bytes: usize) -> bool {
        // 32 bytes are the partition key.
        let of_stream = self.kinesis().max_record_bytes(stream).map(|most| most - 32);
        self.knobs.channel.record_bytes.or(of_stream).is_some_and(|most| bytes > most)
    }

    fn send(&mut self, stream: &Named, change: &ChannelChange) {
        let knobs = self.knobs.channel.clone();
        let twice = self.counter.random.chance(knobs.duplicate_share);
        for copy in 0..1 + usize::from(twice) {
            let delay = self.counter.random.below(knobs.delay_ms.saturating_add(1));
            let arrives = self.now_ms().saturating_add(Millis::try_from(delay).unwrap_or(Millis::MAX));
            let mut json = change.json.clone();
            if copy > 0 && knobs.duplicate_ids {
                json = json.replace(&change.event_id, &self.change_id());
            }
            let partition_key = match knobs.partition_by {
                PartitionBy::Item => hash_text(&change.key),
                PartitionBy::Change => hash_text(&self.change_id()),
            };
            let parcel =
                Parcel { stream: stream.clone(), entry: PutEntry::new(&partition_key, json.as_bytes()) };
            self.channels.waiting.send(arrives, parcel);
        }
    }

    fn change_id(&mut self) -> String {
        uuid(self.counter.random.next(), self.counter.random.next())
    }

    /// Puts everything that has arrived, each at its own moment. What the stream throttles is tried
    /// again; what finds no stream is lost (assumed).
    pub(crate) fn deliver_due(&mut self) {
        let (now, retry) = (self.now_ms(), self.knobs.channel.retry_ms.max(1));
        while let Some((at, parcel)) = self.channels.waiting.take(now) {
            let refused = self.kinesis().put_at(at, &parcel.stream, &parcel.entry).err();
            if refused.is_some_and(|error| error.code == "ProvisionedThroughputExceededException") {
                self.channels.waiting.send(at.saturating_add(retry), parcel);
            }
        }
    }
}
