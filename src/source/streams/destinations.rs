//! Where a table sends its changes besides its own stream.

use super::Streams;
use crate::aws::capture::Keep;
use crate::error::Result;

/// A Kinesis stream that the table knows as a destination, and how that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Destination {
    pub(in super::super) stream_arn: String,
    /// In the service's word, such as `ACTIVE`.
    pub(in super::super) status: String,
}

impl Streams {
    pub(in super::super) async fn destinations(&self) -> Result<Vec<Destination>> {
        let room = self.room().await?;
        let keep = Keep::headers();
        let request = room.clients.tables.describe_kinesis_streaming_destination();
        let sent = request.table_name(self.asked_table()).customize().interceptor(keep.clone()).send().await;
        let output = sent.map_err(|error| {
            let subject = format!("table {}", self.target.table());
            room.clients.failed("DescribeKinesisStreamingDestination", &subject, &keep, &error)
        })?;
        let known = output.kinesis_data_stream_destinations().iter();
        Ok(known
            .map(|known| Destination {
                stream_arn: known.stream_arn().unwrap_or_default().to_owned(),
                status: known
                    .destination_status()
                    .map(|status| status.as_str())
                    .unwrap_or_default()
                    .to_owned(),
            })
            .collect())
    }
}
