//! The registered consumer that subscriptions belong to: found, or registered, and active.

use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerStatus;
use tokio::time::{Instant, sleep};

use crate::aws::arn::{ConsumerTarget, KinesisTarget};
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::error::{Error, ErrorKind, Result};

/// How often a consumer is looked at while it is being registered. DescribeStreamConsumer "has a limit
/// of 20 transactions per second per stream" (API reference).
const LOOKS: u32 = 120;

/// A consumer of one stream.
#[derive(Clone, Copy)]
pub(super) struct Consumer<'a> {
    pub(super) clients: &'a Clients,
    pub(super) stream: &'a KinesisTarget,
    /// The stream's ARN, whatever it was asked for by.
    pub(super) stream_arn: &'a str,
    pub(super) target: &'a ConsumerTarget,
    /// How long a registration may take.
    pub(super) patience: Duration,
}

/// What the service says of a consumer.
enum Found {
    Nothing,
    As { arn: String, status: ConsumerStatus },
}

impl Consumer<'_> {
    /// The ARN of the consumer, which is active then. One that was given by its name is registered
    /// where it is missing.
    ///
    /// # Errors
    /// `StreamUnusable` for an ARN that names none, and when the stream has no room for one more;
    /// `Service` when the consumer does not become active in time.
    pub(super) async fn ensure(&self) -> Result<String> {
        let began = Instant::now();
        let mut last = "missing".to_owned();
        while began.elapsed() < self.patience {
            match self.describe().await? {
                Found::As { arn, status: ConsumerStatus::Active } => return Ok(arn),
                Found::As { status, .. } => last = status.as_str().to_owned(),
                Found::Nothing => self.register().await?,
            }
            sleep(self.patience / LOOKS).await;
        }
        let message =
            format!("{self} is still {last} after {:.0} s; try again later", self.patience.as_secs_f64());
        Err(Error::new(ErrorKind::Service, message))
    }

    /// Whether the consumer is there under this ARN and not on its way out.
    pub(super) async fn is_still(&self, known: &str) -> Result<bool> {
        Ok(match self.describe().await? {
            Found::As { arn, status } => arn == known && status != ConsumerStatus::Deleting,
            Found::Nothing => false,
        })
    }

    async fn describe(&self) -> Result<Found> {
        let keep = Keep::headers();
        let request = self.clients.kinesis.describe_stream_consumer();
        let request = match self.target {
            ConsumerTarget::Name(name) => request.stream_arn(self.stream_arn).consumer_name(name),
            ConsumerTarget::Arn(arn) => request.consumer_arn(arn),
        };
        let answer = request.customize().interceptor(keep.clone()).send().await;
        let output = match answer {
            Ok(output) => output,
            Err(error) => {
                let error = self.failed("DescribeStreamConsumer", &keep, &error);
                return match (error.kind(), self.target) {
                    (ErrorKind::NotFound, ConsumerTarget::Name(_)) => Ok(Found::Nothing),
                    (ErrorKind::NotFound, ConsumerTarget::Arn(_)) => Err(self.missing()),
                    _ => Err(error),
                };
            }
        };
        let found = output.consumer_description.ok_or_else(|| {
            Error::new(ErrorKind::BadPage, format!("DescribeStreamConsumer of {self} gave no description"))
        })?;
        Ok(Found::As { arn: found.consumer_arn, status: found.consumer_status })
    }

    async fn register(&self) -> Result<()> {
        let ConsumerTarget::Name(name) = self.target else { return Err(self.missing()) };
        let keep = Keep::headers();
        let request = self.clients.kinesis.register_stream_consumer();
        let request = request.stream_arn(self.stream_arn).consumer_name(name);
        let Err(error) = request.customize().interceptor(keep.clone()).send().await else { return Ok(()) };
        let error = self.failed("RegisterStreamConsumer", &keep, &error);
        match error.code() {
            // Somebody else was first, or the stream is being changed: the next look will tell.
            Some("ResourceInUseException") => Ok(()),
            Some("LimitExceededException") => Err(self.no_room()),
            _ => Err(error),
        }
    }

    /// Removes the consumer from the stream. One that is not there is as good as removed.
    pub(super) async fn deregister(&self) -> Result<()> {
        let keep = Keep::headers();
        let request = self.clients.kinesis.deregister_stream_consumer();
        let request = match self.target {
            ConsumerTarget::Name(name) => request.stream_arn(self.stream_arn).consumer_name(name),
            ConsumerTarget::Arn(arn) => request.consumer_arn(arn),
        };
        let Err(error) = request.customize().interceptor(keep.clone()).send().await else { return Ok(()) };
        let error = self.failed("DeregisterStreamConsumer", &keep, &error);
        if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
    }

    fn failed<E>(
        &self,
        operation: &'static str,
        keep: &Keep,
        error: &aws_sdk_kinesis::error::SdkError<E>,
    ) -> Error
    where
        E: std::error::Error + aws_sdk_kinesis::error::ProvideErrorMetadata + 'static,
    {
        self.clients.kinesis_failed(operation, &self.to_string(), keep, error)
    }

    fn missing(&self) -> Error {
        let message = format!("there is no {self}; give fan_out a name, and it is registered");
        Error::new(ErrorKind::StreamUnusable, message).with_code("ResourceNotFoundException")
    }

    fn no_room(&self) -> Error {
        let message = format!(
            "{self} cannot be registered: a stream has at most 20 consumers (50 in On-demand Advantage mode), \
             of which 5 may be in creation; deregister one that is not used any more, or try again later"
        );
        Error::new(ErrorKind::StreamUnusable, message).with_code("LimitExceededException")
    }
}

impl std::fmt::Display for Consumer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "consumer {} of stream {}", self.target.text(), self.stream.name())
    }
}
