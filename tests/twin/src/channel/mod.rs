//! Kinesis Data Streams for DynamoDB: a table's changes, copied into a Kinesis stream in JSON of
//! another shape, now and then twice, late or not at all.

mod change;
mod deliver;
mod knobs;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::calls::Op;
use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::kinesis::Named;

pub use change::ChannelChange;
pub use knobs::{ChannelKnobs, PartitionBy};

pub(crate) use deliver::Waiting;

/// The unit of `ApproximateCreationDateTime`; it may change in mid-stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Precision {
    #[default]
    Millisecond,
    Microsecond,
}

/// All destinations of the account, and what is on its way to them.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// By table.
    pub(crate) of_table: BTreeMap<String, Vec<Destination>>,
    pub(crate) waiting: Waiting,
    pub(crate) history: Vec<Arc<ChannelChange>>,
    last_us: i64,
}

#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) stream_arn: String,
    pub(crate) precision: Precision,
    active_from: Millis,
    disabled: Option<Millis>,
}

/// A table, a stream, and how times are written; `TableName` and `StreamArn` over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamingDestination {
    pub table_name: String,
    pub stream_arn: String,
    #[serde(default, alias = "UpdateKinesisStreamingConfiguration")]
    pub enable_kinesis_streaming_configuration: Option<StreamingConfiguration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamingConfiguration {
    #[serde(default)]
    pub approximate_creation_date_time_precision: Precision,
}

impl StreamingDestination {
    pub fn new(table: &str, stream_arn: &str, precision: Precision) -> Self {
        let configuration = StreamingConfiguration { approximate_creation_date_time_precision: precision };
        Self {
            table_name: table.to_owned(),
            stream_arn: stream_arn.to_owned(),
            enable_kinesis_streaming_configuration: Some(configuration),
        }
    }

    fn precision(&self) -> Precision {
        self.enable_kinesis_streaming_configuration
            .unwrap_or_default()
            .approximate_creation_date_time_precision
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DestinationDescription {
    pub stream_arn: String,
    pub destination_status: &'static str,
    pub approximate_creation_date_time_precision: Precision,
}

impl Destination {
    pub(crate) fn status(&self, now: Millis, knobs: &ChannelKnobs) -> &'static str {
        match self.disabled {
            Some(at) if now < at.saturating_add(knobs.disabling_ms) => "DISABLING",
            Some(_) => "DISABLED",
            None if now < self.active_from => "ENABLING",
            None => "ACTIVE",
        }
    }
}

impl Aws {
    pub fn enable_kinesis_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        self.typed(Op::EnableKinesisStreamingDestination, None, |aws| aws.do_enable_streaming(request))
    }

    pub fn disable_kinesis_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        self.typed(Op::DisableKinesisStreamingDestination, None, |aws| aws.do_disable_streaming(request))
    }

    /// Changes the precision of what is written from now on.
    pub fn update_kinesis_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        self.typed(Op::UpdateKinesisStreamingDestination, None, |aws| aws.do_update_streaming(request))
    }

    pub fn describe_kinesis_streaming(&mut self, table: &str) -> Result<Vec<DestinationDescription>> {
        self.typed(Op::DescribeKinesisStreamingDestination, None, |aws| aws.do_describe_streaming(table))
    }

    /// Every change of a table with an active destination, in order of the writes, and whether it
    /// was skipped: the tests' oracle.
    pub fn channel_history(&self) -> &[Arc<ChannelChange>] {
        &self.channels.history
    }

    pub(crate) fn do_enable_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        let (now, knobs) = (self.now_ms(), self.knobs.channel.clone());
        let table = self.table(&request.table_name)?.name.clone();
        let stream = Named { name: None, arn: Some(request.stream_arn.clone()) };
        self.kinesis().do_summary(&stream)?;
        let destinations = self.channels.of_table.entry(table).or_default();
        // Documented that there is one; the message is recorded.
        if destinations.iter().any(|one| one.status(now, &knobs) != "DISABLED") {
            return Err(AwsError::validation(
                "Table is not in a valid state to enable Kinesis Streaming Destination: \
                 KinesisStreamingDestination must be DISABLED or ENABLE_FAILED to perform ENABLE operation.",
            ));
        }
        destinations.retain(|one| one.stream_arn != request.stream_arn);
        destinations.push(Destination {
            stream_arn: request.stream_arn.clone(),
            precision: request.precision(),
            active_from: now.saturating_add(knobs.enabling_ms),
            disabled: None,
        });
        self.destination(request, |_| {})
    }

    pub(crate) fn do_disable_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        let now = self.now_ms();
        self.destination(request, |destination| destination.disabled = Some(now))
    }

    pub(crate) fn do_update_streaming(
        &mut self,
        request: &StreamingDestination,
    ) -> Result<DestinationDescription> {
        let precision = request.precision();
        self.destination(request, |destination| destination.precision = precision)
    }

    pub(crate) fn do_describe_streaming(&self, table: &str) -> Result<Vec<DestinationDescription>> {
        let table = &self.table(table)?.name;
        let all = self.channels.of_table.get(table).into_iter().flatten();
        Ok(all.map(|destination| self.describe(destination)).collect())
    }

    /// Changes the destination that is not yet disabled.
    fn destination(
        &mut self,
        request: &StreamingDestination,
        change: impl FnOnce(&mut Destination),
    ) -> Result<DestinationDescription> {
        let table = self.table(&request.table_name)?.name.clone();
        let mut all = self.channels.of_table.get_mut(&table).into_iter().flatten();
        let found = all.find(|one| one.stream_arn == request.stream_arn && one.disabled.is_none());
        let found = found.ok_or_else(|| {
            AwsError::not_found(format!("Table {table} has no active destination {}", request.stream_arn))
        })?;
        change(found);
        let destinations = self.channels.of_table.get(&table);
        let found = destinations.into_iter().flatten().find(|one| one.stream_arn == request.stream_arn);
        found.map(|found| self.describe(found)).ok_or_else(|| AwsError::not_found(table))
    }

    fn describe(&self, destination: &Destination) -> DestinationDescription {
        DestinationDescription {
            stream_arn: destination.stream_arn.clone(),
            destination_status: destination.status(self.now_ms(), &self.knobs.channel),
            approximate_creation_date_time_precision: destination.precision,
        }
    }
}
