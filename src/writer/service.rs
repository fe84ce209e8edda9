//! The service as a writer sees it: the stream and its limits, made if need be, and PutRecords.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, PutRecordsResultEntry, StreamDescriptionSummary, StreamStatus,
};
use tokio::time::sleep;

use super::plan::{Entry, Outcome};
use crate::aws::Connection;
use crate::aws::arn::KinesisTarget;
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::aws::errors::classify;
use crate::error::{Error, ErrorKind, Result};
use crate::source::kinesis::create::{create_stream, late, pauses};

/// "The maximum record size … default is 1 MiB" (API reference, `MaxRecordSizeInKiB`).
const PLAIN_RECORD_KIB: i32 = 1024;
/// A request holds 5 MiB with its partition keys, and at least one of the stream's largest records.
const PLAIN_REQUEST: usize = 5 << 20;
/// The most records of a request (API reference, PutRecords).
pub(super) const REQUEST_RECORDS: usize = 500;

/// Which stream, and whether to make it.
#[derive(Clone, Debug)]
pub struct Place {
    pub target: KinesisTarget,
    pub connection: Connection,
    /// With how many shards the stream is made when it is not there.
    pub create_shards: Option<i32>,
}

/// An existing stream, ready to take records.
#[derive(Debug)]
pub(super) struct Service {
    clients: Clients,
    target: KinesisTarget,
}

/// What one record and one request may weigh, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    pub(super) record: usize,
    pub(super) request: usize,
}

impl Service {
    /// Looks the stream up, makes it if asked to, and waits until it takes records.
    ///
    /// # Errors
    /// `NotFound`, naming the way out; `StreamUnusable` when the stream is being deleted.
    pub(super) async fn open(place: &Place) -> Result<(Self, Weights)> {
        let clients = Clients::connect(&place.connection, place.target.region()).await?;
        let service = Self { clients, target: place.target.clone() };
        let mut doubts = 1;
        let mut made = false;
        for pause in pauses() {
            match service.describe().await {
                Ok(stream) => match stream.stream_status {
                    StreamStatus::Deleting => return Err(service.deleting()),
                    StreamStatus::Creating => {}
                    _ => return Ok((service, weights(stream.max_record_size_in_kib))),
                },
                Err(error) if error.kind() == ErrorKind::NotFound && made => {}
                Err(error) if error.kind() == ErrorKind::NotFound => match place.create_shards {
                    Some(shards) => {
                        create_stream(&service.clients, &service.target, shards).await?;
                        made = true;
                    }
                    None => return Err(error),
                },
                // Opening should not fail for one lost answer, nor hide that nobody is there.
                Err(error) if error.retryable() && (made || doubts > 0) => doubts -= 1,
                Err(error) => return Err(error),
            }
            sleep(pause).await;
        }
        Err(late(&service.target))
    }

    async fn describe(&self) -> Result<StreamDescriptionSummary> {
        let keep = Keep::headers();
        let (name, arn) = self.asked();
        let request =
            self.clients.kinesis.describe_stream_summary().set_stream_name(name).set_stream_arn(arn);
        let output = request.customize().interceptor(keep.clone()).send().await;
        let output = output.map_err(|error| {
            let error = self.clients.kinesis_failed("DescribeStreamSummary", &self.subject(), &keep, &error);
            if error.kind() == ErrorKind::NotFound { self.missing(&keep) } else { error }
        })?;
        output.stream_description_summary.ok_or_else(|| {
            let message = format!("DescribeStreamSummary of {} gave no description", self.subject());
            Error::new(ErrorKind::BadPage, message)
        })
    }

    /// Sends the records and says what became of each, in their order.
    pub(super) async fn put(&self, entries: &[Entry]) -> Result<Vec<Outcome>> {
        let keep = Keep::headers();
        let (name, arn) = self.asked();
        let records = entries.iter().map(record).collect::<Result<Vec<_>>>()?;
        let request = self.clients.kinesis.put_records().set_stream_name(name).set_stream_arn(arn);
        let output = request.set_records(Some(records)).customize().interceptor(keep.clone()).send().await;
        let output = output
            .map_err(|error| self.clients.kinesis_failed("PutRecords", &self.subject(), &keep, &error))?;
        Ok(output.records.iter().map(outcome).collect())
    }

    fn asked(&self) -> (Option<String>, Option<String>) {
        match self.target.arn() {
            Some(arn) => (None, Some(arn.to_owned())),
            None => (Some(self.target.name().to_owned()), None),
        }
    }

    fn subject(&self) -> String {
        format!("stream {}", self.target.name())
    }

    fn missing(&self, keep: &Keep) -> Error {
        let (name, region) = (self.target.name(), &self.clients.region);
        let endpoint = keep.kept().endpoint.unwrap_or_default();
        let message = format!(
            "there is no Kinesis stream {name} in region {region} at {endpoint}; check its name, region, \
             endpoint_url and the account, or give create=True to make it"
        );
        Error::new(ErrorKind::NotFound, message).with_code("ResourceNotFoundException")
    }

    fn deleting(&self) -> Error {
        let message = format!("{} is being deleted and takes no records", self.subject());
        Error::new(ErrorKind::StreamUnusable, message)
    }
}

fn weights(max_record_kib: Option<i32>) -> Weights {
    let kib = max_record_kib.filter(|kib| *kib > 0).unwrap_or(PLAIN_RECORD_KIB);
    let record = usize::try_from(kib).unwrap_or_default() << 10;
    Weights { record, request: PLAIN_REQUEST.max(record) }
}

fn record(entry: &Entry) -> Result<PutRecordsRequestEntry> {
    PutRecordsRequestEntry::builder()
        .partition_key(&*entry.partition_key)
        .set_explicit_hash_key(entry.explicit_hash_key.as_deref().map(str::to_owned))
        .data(Blob::new(entry.data.to_vec()))
        .build()
        .map_err(|cause| Error::internal(cause.to_string()))
}

fn outcome(record: &PutRecordsResultEntry) -> Outcome {
    let code = match (record.error_code(), record.sequence_number()) {
        (None, Some(_)) => return Outcome::Written,
        (Some(code), _) => code,
        (None, None) => "InternalFailure",
    };
    let (kind, retryable) = classify(Some(code), 400);
    Outcome::Refused {
        code: code.to_owned(),
        message: record.error_message().unwrap_or_default().to_owned(),
        throttled: kind == ErrorKind::Throttled,
        retryable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_five_mebibytes_and_always_one_record() {
        assert_eq!(weights(None), Weights { record: 1 << 20, request: 5 << 20 });
        assert_eq!(weights(Some(1024)), Weights { record: 1 << 20, request: 5 << 20 });
        assert_eq!(weights(Some(10_240)), Weights { record: 10 << 20, request: 10 << 20 });
        assert_eq!(weights(Some(-1)).record, 1 << 20);
    }

    #[test]
    fn a_result_with_neither_code_nor_number_is_sent_again() {
        let nothing = PutRecordsResultEntry::builder().build();
        assert!(matches!(outcome(&nothing), Outcome::Refused { retryable: true, throttled: false, .. }));
        let written = PutRecordsResultEntry::builder().sequence_number("1").shard_id("s").build();
        assert_eq!(outcome(&written), Outcome::Written);
    }
}
