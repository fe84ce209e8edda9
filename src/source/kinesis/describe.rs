//! What is behind a name: the stream, which stream of that name, and how long it keeps records.

use aws_sdk_kinesis::types::{StreamDescriptionSummary, StreamStatus as SdkStatus};

use super::{Kinesis, Room};
use crate::aws::capture::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Description, Millis, StreamStatus, ViewType};

const HOUR: Millis = 60 * 60 * 1000;

/// What the service says of a stream, and its time then.
pub(super) struct Summary {
    /// Streams of one name have one ARN; the moment of its creation tells them apart.
    pub(super) identity: String,
    pub(super) status: StreamStatus,
    pub(super) retention: Millis,
    pub(super) server_time: Option<Millis>,
    name: String,
    arn: String,
}

impl Kinesis {
    pub(super) async fn describe_stream(&self) -> Result<Description> {
        let summary = self.found(self.room().await?).await?;
        Ok(Description {
            table: summary.name,
            table_arn: summary.arn,
            stream_arn: summary.identity,
            keys: self.keys.clone(),
            view: ViewType::NewAndOldImages,
            status: summary.status,
            retention: summary.retention,
            items: None,
            bytes: None,
        })
    }

    pub(super) async fn summary(&self, room: &Room) -> Result<Summary> {
        room.describe_budget.wait().await;
        let keep = Keep::headers();
        let (name, arn) = self.asked();
        let request = room.clients.kinesis.describe_stream_summary();
        let request = request.set_stream_name(name).set_stream_arn(arn);
        let output = request.customize().interceptor(keep.clone()).send().await;
        let output = output.map_err(|error| {
            let subject = format!("stream {}", self.target.name());
            let error = room.clients.kinesis_failed("DescribeStreamSummary", &subject, &keep, &error);
            match error.kind() {
                ErrorKind::NotFound => self.no_stream(room, &keep),
                ErrorKind::Throttled => {
                    room.describe_budget.throttled();
                    error
                }
                _ => error,
            }
        })?;
        room.describe_budget.succeeded();
        let stream = output.stream_description_summary.ok_or_else(|| {
            let name = self.target.name();
            Error::new(ErrorKind::BadPage, format!("DescribeStreamSummary of {name} gave no description"))
        })?;
        Ok(summary(stream, keep.kept().server_time))
    }

    /// For a stream that is not there, with the places to look for the mistake.
    fn no_stream(&self, room: &Room, keep: &Keep) -> Error {
        let (name, region) = (self.target.name(), &room.clients.region);
        let endpoint = keep.kept().endpoint.unwrap_or_default();
        let message = format!(
            "there is no Kinesis stream {name} in region {region} at {endpoint}; \
             check its name, region, endpoint_url and the account"
        );
        Error::new(ErrorKind::NotFound, message).with_code("ResourceNotFoundException")
    }

    pub(super) fn no_table(&self) -> Error {
        let name = self.target.name();
        Error::usage(format!(
            "the Kinesis stream {name} has no table behind it that could be scanned; \
             start it at \"earliest\", \"latest\" or a moment"
        ))
    }
}

fn summary(stream: StreamDescriptionSummary, server_time: Option<Millis>) -> Summary {
    let created = stream.stream_creation_timestamp.to_millis().unwrap_or_default();
    Summary {
        identity: format!("{}:{created}", stream.stream_arn),
        status: status(&stream.stream_status),
        retention: Millis::from(stream.retention_period_hours) * HOUR,
        server_time,
        name: stream.stream_name,
        arn: stream.stream_arn,
    }
}

/// A status of the future counts as enabled: the shards say what there is to read.
fn status(status: &SdkStatus) -> StreamStatus {
    match status {
        SdkStatus::Creating => StreamStatus::Enabling,
        SdkStatus::Deleting => StreamStatus::Disabling,
        _ => StreamStatus::Enabled,
    }
}
