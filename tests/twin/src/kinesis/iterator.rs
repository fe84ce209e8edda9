//! GetShardIterator: a place in a shard, as opaque text.

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, utc};
use crate::error::{AwsError, Result};
use crate::kinesis::sequence::origin;
use crate::kinesis::shard::{Shard, shard_id};
use crate::kinesis::stream::Stream;
use crate::kinesis::{
    Kinesis, KinesisOp, Named, invalid_argument, millis, opaque, scope, shard_busy, shard_missing,
};
use crate::sequence::Sequence;
use crate::table::ACCOUNT;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IteratorType {
    TrimHorizon,
    Latest,
    AtSequenceNumber,
    AfterSequenceNumber,
    AtTimestamp,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIterator {
    #[serde(flatten)]
    pub stream: Named,
    pub shard_id: String,
    pub shard_iterator_type: IteratorType,
    #[serde(default)]
    pub starting_sequence_number: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub timestamp: Option<f64>,
}

impl GetShardIterator {
    pub fn at(stream: &str, shard: &str, kind: IteratorType) -> Self {
        Self {
            stream: Named::of(stream),
            shard_id: shard.to_owned(),
            shard_iterator_type: kind,
            starting_sequence_number: None,
            timestamp: None,
        }
    }

    pub fn sequence(mut self, sequence: &str) -> Self {
        self.starting_sequence_number = Some(sequence.to_owned());
        self
    }

    pub fn time(mut self, ms: Millis) -> Self {
        self.timestamp = Some(ms as f64 / 1000.0);
        self
    }
}

/// A place in a shard and the moment it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stream: String,
    /// The stream of this name that was created then.
    pub(crate) created_s: i64,
    pub(crate) shard: String,
    /// Index of the next record, counted from the shard's birth.
    pub(crate) next: u64,
    /// Empty pages still to give before records.
    pub(crate) empties: u32,
    pub(crate) issued: Millis,
}

impl Place {
    pub(crate) fn seal(&self) -> String {
        let Self { stream, created_s, shard, next, empties, issued } = self;
        let numbers = [created_s.to_string(), next.to_string(), empties.to_string(), issued.to_string()];
        let [created_s, next, empties, issued] = &numbers;
        opaque::seal(&[stream, created_s, shard, next, empties, issued])
    }

    /// The place, however old.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts = opaque::open(text)?;
        let [stream, created_s, shard, next, empties, issued] = parts.as_slice() else { return None };
        Some(Self {
            stream: stream.clone(),
            created_s: created_s.parse().ok()?,
            shard: shard.clone(),
            next: next.parse().ok()?,
            empties: empties.parse().ok()?,
            issued: issued.parse().ok()?,
        })
    }

    /// # Errors
    /// `InvalidArgumentException` for a text that was not given out, `ExpiredIteratorException`
    /// for one that is too old; both recorded with their messages.
    pub(crate) fn open(text: &str, now: Millis, lives: Millis) -> Result<Self> {
        let place = Self::read(text).ok_or_else(|| invalid_argument("Invalid ShardIterator."))?;
        if now.saturating_sub(place.issued) > lives {
            let message = format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} which is \
                 further in the future than the tolerated delay of {lives} milliseconds.",
                utc(place.issued),
                utc(now)
            );
            return Err(AwsError::new("ExpiredIteratorException", 400, message));
        }
        Ok(place)
    }
}

/// Where to begin in a shard, as GetShardIterator and SubscribeToShard say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) kind: IteratorType,
    pub(crate) sequence: Option<&'a str>,
    pub(crate) time: Option<f64>,
}

impl Kinesis<'_> {
    pub fn get_shard_iterator(&mut self, request: &GetShardIterator) -> Result<String> {
        let scope = request.stream.stream().map(|stream| scope(stream, &request.shard_id));
        self.call(KinesisOp::GetShardIterator, scope.as_deref(), |kinesis| kinesis.do_get_iterator(request))
    }

    pub(crate) fn do_get_iterator(&mut self, request: &GetShardIterator) -> Result<String> {
        let (now, rate) = (self.now(), self.knobs().iterators_per_second);
        let empties = self.knobs().empty_pages;
        let start = Start {
            kind: request.shard_iterator_type,
            sequence: request.starting_sequence_number.as_deref(),
            time: request.timestamp,
        };
        let (stream, shard) = self.readable(&request.stream, &request.shard_id)?;
        if !shard.iterators.take(now, rate, 1.0) {
            return Err(shard_busy(&shard.id, &stream.name));
        }
        let next = start.index(&stream.name, shard, now)?;
        let place = Place {
            stream: stream.name,
            created_s: stream.created_s,
            shard: request.shard_id.clone(),
            next,
            empties,
            issued: now,
        };
        Ok(place.seal())
    }

    /// A shard that can be read, trimmed up to now.
    pub(crate) fn readable(&mut self, named: &Named, shard_id: &str) -> Result<(Identity, &mut Shard)> {
        let now = self.now();
        let stream = self.stream_mut(named)?;
        let (retention, status) = (stream.retention_ms(), stream.status(now));
        let identity = Identity::of(stream);
        let index = stream.index_of(shard_id).filter(|_| status != "CREATING");
        let shard = index.and_then(|index| stream.shards.get_mut(&index));
        let shard = shard.filter(|shard| shard.exists(now, retention));
        let shard = shard.ok_or_else(|| shard_missing(shard_id, &identity.name))?;
        shard.trim(now.saturating_sub(retention));
        Ok((identity, shard))
    }
}

/// Which stream this is: of the streams of a name, the one created then.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) created_s: i64,
}

impl Identity {
    pub(crate) fn of(stream: &Stream) -> Self {
        Self { name: stream.name.clone(), created_s: stream.created_s }
    }
}

impl Start<'_> {
    /// The index of the first record to read. A place that was trimmed is the oldest record that is
    /// left: Kinesis declares no error for it (documented for times, assumed for numbers).
    pub(crate) fn index(&self, stream: &str, shard: &Shard, now: Millis) -> Result<u64> {
        Ok(match self.kind {
            IteratorType::TrimHorizon => shard.start(),
            IteratorType::Latest => shard.end(),
            IteratorType::AtSequenceNumber => shard.index_at(&self.number(stream, shard)?),
            IteratorType::AfterSequenceNumber => shard.index_after(&self.number(stream, shard)?),
            IteratorType::AtTimestamp => shard.index_from(self.moment(now)?),
        })
    }

    /// A number is good only for the shard it came from (recorded, with the messages).
    fn number(&self, stream: &str, shard: &Shard) -> Result<Sequence> {
        let given = self.sequence.ok_or_else(|| {
            invalid_argument(
                "Must specify StartingSequenceNumber for AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER.",
            )
        })?;
        let invalid = |why: &str| {
            invalid_argument(format!(
                "StartingSequenceNumber {given} used in GetShardIterator on shard {} in stream {stream} \
                 under account {ACCOUNT} is invalid{why}.",
                shard.id
            ))
        };
        let sequence = Sequence::parse_up_to(given, 129).ok_or_else(|| invalid(""))?;
        let (created_s, index) = origin(&sequence).ok_or_else(|| invalid(""))?;
        if shard_id(index) != shard.id {
            return Err(invalid_argument(format!(
                "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
                shard_id(index),
                shard.id
            )));
        }
        if created_s != shard.numbering.created_s {
            return Err(invalid(" because it did not come from this stream"));
        }
        Ok(sequence)
    }

    /// Recorded, with its message: the future has no place.
    fn moment(&self, now: Millis) -> Result<Millis> {
        let time = self.time.ok_or_else(|| invalid_argument("Must specify a Timestamp for AT_TIMESTAMP."))?;
        let time = millis(time);
        if time > now {
            return Err(invalid_argument(format!(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                 timestampInMillis: {time}, currentTimestampInMillis: {now}"
            )));
        }
        Ok(time)
    }
}
