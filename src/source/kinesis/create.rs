//! Making a stream that is not there, when the user asks for it.

use std::iter;
use std::time::Duration;

use tokio::time::sleep;

use super::describe::Summary;
use super::{Kinesis, Room};
use crate::aws::arn::KinesisTarget;
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::error::{Error, ErrorKind, Result};
use crate::page::StreamStatus;

/// When to look again whether a new stream can be used: about five minutes in all, of which the
/// service takes seconds.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    const LONGEST: Duration = Duration::from_secs(5);
    iter::successors(Some(Duration::from_millis(200)), |pause| Some((*pause * 2).min(LONGEST))).take(64)
}

/// Asks for the stream. Somebody else may have been faster, and an answer may get lost: whoever asks
/// looks again.
///
/// # Errors
/// What will not be better later.
pub(crate) async fn create_stream(clients: &Clients, target: &KinesisTarget, shards: i32) -> Result<()> {
    let keep = Keep::headers();
    let request = clients.kinesis.create_stream().stream_name(target.name()).shard_count(shards);
    let sent = request.customize().interceptor(keep.clone()).send().await;
    let Err(error) = sent else { return Ok(()) };
    let subject = format!("stream {}", target.name());
    let error = clients.kinesis_failed("CreateStream", &subject, &keep, &error);
    let there = error.code() == Some("ResourceInUseException");
    if there || error.retryable() { Ok(()) } else { Err(error) }
}

/// For a stream that is not ready after the last pause.
pub(crate) fn late(target: &KinesisTarget) -> Error {
    let name = target.name();
    Error::new(
        ErrorKind::Service,
        format!("the Kinesis stream {name} is still being created; try again later"),
    )
}

impl Kinesis {
    /// The stream as the service knows it; one that is not there is made, if that was asked for, and
    /// waited for.
    pub(super) async fn found(&self, room: &Room) -> Result<Summary> {
        let Some(shards) = self.create_shards else { return self.summary(room).await };
        let mut made = false;
        for pause in pauses() {
            match self.summary(room).await {
                Ok(summary) if summary.status == StreamStatus::Enabling => {}
                Err(error) if error.kind() == ErrorKind::NotFound && !made => {
                    create_stream(&room.clients, &self.target, shards).await?;
                    made = true;
                }
                Err(error) if made && (error.retryable() || error.kind() == ErrorKind::NotFound) => {}
                found => return found,
            }
            sleep(pause).await;
        }
        Err(late(&self.target))
    }
}
