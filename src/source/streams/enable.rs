//! Turning a table's stream on, when the user asks for it.

use std::iter;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    StreamSpecification, StreamViewType as SdkView, TableDescription as SdkTable, TableStatus,
};

use super::{Room, Streams};
use crate::aws::arn::{Arn, Target};
use crate::aws::capture::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Description, StreamStatus};

/// About five minutes in all: the service takes seconds, and longer while the table changes.
pub(super) fn pauses() -> impl Iterator<Item = Duration> + Send {
    const LONGEST: Duration = Duration::from_secs(5);
    iter::successors(Some(Duration::from_millis(250)), |pause| Some((*pause * 2).min(LONGEST))).take(64)
}

/// What there is to do for a table, by its description.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    TurnOn,
    Wait,
    Look,
}

impl Streams {
    /// Turns the stream on unless it is, and looks again after each of `pauses` until it is there.
    ///
    /// # Errors
    /// `Usage` when the target is one of the table's streams: the new one would be another.
    /// `StreamUnusable` when a stream without new images is on: its view cannot be changed.
    /// `Service`, to try again, when the stream is not there after the last pause.
    pub(super) async fn enable(&self, pauses: impl Iterator<Item = Duration> + Send) -> Result<Description> {
        if let Target::Stream(arn) = &self.target {
            return Err(names_a_stream(arn));
        }
        let room = self.room().await?;
        let mut asked = false;
        for pause in pauses {
            let table = room.table(self.asked_table()).await?;
            match step(&table, asked) {
                Step::TurnOn => asked = room.turn_on(self.asked_table()).await?,
                Step::Look => match self.describe_stream_of(room, &table).await {
                    Ok(description) if description.status == StreamStatus::Enabled => {
                        return usable(description);
                    }
                    // A new stream is in the table's description before it is one of the streams.
                    Err(error) if error.kind() != ErrorKind::StreamUnusable && !error.retryable() => {
                        return Err(error);
                    }
                    _ => {}
                },
                Step::Wait => {}
            }
            tokio::time::sleep(pause).await;
        }
        Err(late(self.target.table()))
    }
}

impl Room {
    /// False when the table is being changed by somebody else, and has to be asked again.
    async fn turn_on(&self, table: &str) -> Result<bool> {
        let keep = Keep::headers();
        let wanted =
            StreamSpecification::builder().stream_enabled(true).stream_view_type(SdkView::NewAndOldImages);
        let wanted = wanted.build().map_err(|cause| Error::internal(cause.to_string()))?;
        let request = self.clients.tables.update_table().table_name(table).stream_specification(wanted);
        let sent = request.customize().interceptor(keep.clone()).send().await;
        let Err(error) = sent else { return Ok(true) };
        let error = self.clients.failed("UpdateTable", &format!("table {table}"), &keep, &error);
        if error.code() == Some("ResourceInUseException") { Ok(false) } else { Err(error) }
    }
}

/// A description may be older than the last request, so a stream is asked for only once.
fn step(table: &SdkTable, asked: bool) -> Step {
    let on = table.stream_specification().is_some_and(StreamSpecification::stream_enabled);
    let busy = table.table_status().is_some_and(|status| *status != TableStatus::Active);
    match (on, busy) {
        (true, _) => Step::Look,
        (false, false) if !asked => Step::TurnOn,
        (false, _) => Step::Wait,
    }
}

fn usable(description: Description) -> Result<Description> {
    if description.view.has_new_image() {
        return Ok(description);
    }
    let table = &description.table;
    let message = format!(
        "the stream of table {table} is on but carries no new images, and a stream's view type cannot be \
         changed; turn it off first: aws dynamodb update-table --table-name {table} \
         --stream-specification StreamEnabled=false"
    );
    Err(Error::new(ErrorKind::StreamUnusable, message))
}

fn names_a_stream(arn: &Arn) -> Error {
    Error::usage(format!(
        "a stream is turned on for a table, and {:?} is one of its streams; name the table {:?} instead",
        arn.text, arn.table
    ))
}

fn late(table: &str) -> Error {
    let message = format!("the stream of table {table} was turned on but is not there yet; try again later");
    Error::new(ErrorKind::Service, message)
}
