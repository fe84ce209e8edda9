//! Streams come, change and go.

use serde::{Deserialize, Serialize};

use crate::error::{AwsError, Result};
use crate::kinesis::rate::Bucket;
use crate::kinesis::stream::{Stream, arn_of, even_ranges};
use crate::kinesis::{Kinesis, KinesisOp, Named, invalid_argument};
use crate::table::ACCOUNT;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamMode {
    Provisioned,
    OnDemand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamModeDetails {
    pub stream_mode: StreamMode,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateStream {
    pub stream_name: String,
    #[serde(default)]
    pub shard_count: Option<u32>,
    #[serde(default)]
    pub stream_mode_details: Option<StreamModeDetails>,
    #[serde(default, rename = "MaxRecordSizeInKiB")]
    pub max_record_size_in_kib: Option<u32>,
}

impl CreateStream {
    pub fn with_shards(name: &str, shards: u32) -> Self {
        Self {
            stream_name: name.to_owned(),
            shard_count: Some(shards),
            stream_mode_details: None,
            max_record_size_in_kib: None,
        }
    }

    pub fn on_demand(name: &str) -> Self {
        let details = StreamModeDetails { stream_mode: StreamMode::OnDemand };
        Self { shard_count: None, stream_mode_details: Some(details), ..Self::with_shards(name, 1) }
    }
}

/// Documented: an on-demand stream starts with 4 shards.
const ON_DEMAND_SHARDS: u32 = 4;

/// Documented: 1,024 to 10,240.
const RECORD_KIB: std::ops::RangeInclusive<u32> = 1024..=10_240;

impl Kinesis<'_> {
    pub fn create_stream(&mut self, request: &CreateStream) -> Result<()> {
        let name = Some(request.stream_name.as_str());
        self.call(KinesisOp::CreateStream, name, |kinesis| kinesis.do_create_stream(request))
    }

    /// Deletes a stream and its consumers.
    pub fn delete_stream(&mut self, stream: &Named) -> Result<()> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_delete_stream(stream, true);
        self.call(KinesisOp::DeleteStream, stream.stream(), act)
    }

    /// Raises the retention period. What has been trimmed stays trimmed (documented).
    pub fn increase_retention(&mut self, stream: &Named, hours: u32) -> Result<()> {
        let op = KinesisOp::IncreaseStreamRetentionPeriod;
        self.call(op, stream.stream(), |kinesis| kinesis.do_change_retention(op, stream, hours))
    }

    pub fn decrease_retention(&mut self, stream: &Named, hours: u32) -> Result<()> {
        let op = KinesisOp::DecreaseStreamRetentionPeriod;
        self.call(op, stream.stream(), |kinesis| kinesis.do_change_retention(op, stream, hours))
    }

    pub(crate) fn do_create_stream(&mut self, request: &CreateStream) -> Result<()> {
        let name = &request.stream_name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !(1..=128).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(AwsError::validation("StreamName must be 1 to 128 of a-z, A-Z, 0-9, _, - and ."));
        }
        if self.streams().by_name.contains_key(name) {
            return Err(AwsError::in_use(format!("Stream {name} under account {ACCOUNT} already exists.")));
        }
        let on_demand =
            request.stream_mode_details.is_some_and(|details| details.stream_mode == StreamMode::OnDemand);
        let shards = match (request.shard_count, on_demand) {
            (None, true) => ON_DEMAND_SHARDS,
            (Some(_), true) => {
                return Err(AwsError::validation("ShardCount must not be given for an on-demand stream"));
            }
            (Some(shards @ 1..=100_000), false) => shards,
            _ => return Err(invalid_argument("ShardCount must be 1 to 100000 for a provisioned stream")),
        };
        let max_record_kib = request.max_record_size_in_kib.unwrap_or(*RECORD_KIB.start());
        if !RECORD_KIB.contains(&max_record_kib) {
            return Err(AwsError::validation("MaxRecordSizeInKiB must be 1024 to 10240"));
        }
        self.insert(name, shards, on_demand, max_record_kib);
        Ok(())
    }

    fn insert(&mut self, name: &str, shards: u32, on_demand: bool, max_record_kib: u32) {
        let now = self.now();
        let active_from = now.saturating_add(self.knobs().creating_ms);
        let streams = &mut self.aws.kinesis;
        let earliest = streams.last_created_s.get(name).map_or(i64::MIN, |last| last + 1);
        let created_s = now.div_euclid(1000).max(earliest);
        streams.last_created_s.insert(name.to_owned(), created_s);
        let mut stream = Stream {
            name: name.to_owned(),
            arn: arn_of(name).into(),
            created: now,
            created_s,
            active_from,
            updating_until: active_from,
            deleted: None,
            on_demand,
            retention_hours: 24,
            max_record_kib,
            shards: Default::default(),
            next_index: 0,
            listings: Bucket::default(),
            consumers: Default::default(),
            last_registered_s: Default::default(),
        };
        for range in even_ranges(shards) {
            stream.open(&[], range, created_s * 1000);
        }
        for shard in stream.shards.values_mut() {
            shard.opened = now;
        }
        streams.by_name.insert(name.to_owned(), stream);
    }

    /// Documented: a stream with consumers goes only when told to take them along.
    pub(crate) fn do_delete_stream(&mut self, stream: &Named, with_consumers: bool) -> Result<()> {
        let now = self.now();
        let deleting = self.knobs().deleting_ms > 0;
        let stream = self.stream_mut(stream)?;
        if !with_consumers && !stream.consumers.is_empty() {
            return Err(AwsError::in_use(format!("Stream {} has consumers registered.", stream.name)));
        }
        stream.deleted = stream.deleted.or(Some(now));
        if !deleting {
            let name = stream.name.clone();
            self.aws.kinesis.by_name.remove(&name);
        }
        Ok(())
    }

    pub(crate) fn do_change_retention(&mut self, op: KinesisOp, stream: &Named, hours: u32) -> Result<()> {
        let until = self.now().saturating_add(self.knobs().updating_ms);
        let now = self.now();
        let stream = self.active_mut(stream)?;
        let increase = op == KinesisOp::IncreaseStreamRetentionPeriod;
        let ordered =
            if increase { hours >= stream.retention_hours } else { hours <= stream.retention_hours };
        // Documented: 24 hours to 365 days.
        if !(24..=8760).contains(&hours) || !ordered {
            return Err(invalid_argument(format!(
                "RetentionPeriodHours {hours} is not a {} of {} hours within 24 to 8760",
                if increase { "raise" } else { "reduction" },
                stream.retention_hours
            )));
        }
        stream.trim(now);
        (stream.retention_hours, stream.updating_until) = (hours, until);
        Ok(())
    }

    pub(crate) fn do_update_max_record_size(&mut self, stream: &Named, kib: u32) -> Result<()> {
        if !RECORD_KIB.contains(&kib) {
            return Err(AwsError::validation("MaxRecordSizeInKiB must be 1024 to 10240"));
        }
        self.active_mut(stream)?.max_record_kib = kib;
        Ok(())
    }

    pub(crate) fn do_update_stream_mode(&mut self, stream: &Named, mode: StreamMode) -> Result<()> {
        self.active_mut(stream)?.on_demand = mode == StreamMode::OnDemand;
        Ok(())
    }
}
