//! What a stream is about to read, and whether that can be read as it was asked for.

use std::time::Duration;

use tokio::time::sleep;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Description, StreamStatus, TableDescription, ViewType};
use crate::run::{OnGap, Options, Start};
use crate::source::{Answer, Source};

/// The description of the source, with its stream turned on if that is wanted and needed.
///
/// # Errors
/// `StreamUnusable` when the table's stream cannot follow a snapshot that is asked for, and `Usage`
/// when the source names an older stream than the one that would have to.
pub(super) async fn describe(
    source: &dyn Source,
    options: &Options,
    enable_stream: bool,
    checkpoint: Option<&Checkpoint>,
) -> Result<Description> {
    if options.snapshot.scan_only {
        return Ok(without_stream(twice(|| source.describe_table()).await?));
    }
    let description = match twice(|| source.describe()).await {
        Ok(found) if enable_stream && is_off(&found) => source.enable_stream().await?,
        Err(error) if error.kind() == ErrorKind::StreamUnusable => match enable_stream {
            true => source.enable_stream().await?,
            false => return Err(with_offer(&error)),
        },
        found => found?,
    };
    require_new_image(&description, options, checkpoint)?;
    if checkpoint.is_none() && options.start == Start::Snapshot {
        require_newest(source, &description).await?;
        require_on(&description)?;
    }
    Ok(description)
}

/// Asks twice: opening should not fail for one lost answer, nor hide that nobody is there.
pub(super) async fn twice<'a, T>(ask: impl Fn() -> Answer<'a, T>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(200);
    match ask().await {
        Err(error) if error.retryable() => {
            sleep(PAUSE).await;
            ask().await
        }
        answer => answer,
    }
}

/// A scan needs no stream; what would follow it is never asked for.
fn without_stream(table: TableDescription) -> Description {
    Description {
        table: table.table,
        table_arn: table.table_arn,
        stream_arn: table.stream_arn.unwrap_or_default(),
        keys: table.keys,
        view: ViewType::NewAndOldImages,
        status: StreamStatus::Disabled,
        retention: 0,
        items: table.items,
        bytes: table.bytes,
    }
}

fn is_off(description: &Description) -> bool {
    matches!(description.status, StreamStatus::Disabling | StreamStatus::Disabled)
}

/// Items change after they were scanned, and only new images say how.
fn require_new_image(
    description: &Description,
    options: &Options,
    checkpoint: Option<&Checkpoint>,
) -> Result<()> {
    let wish = match checkpoint.map(|checkpoint| checkpoint.start == "snapshot") {
        _ if options.on_gap == OnGap::Resnapshot => "on_gap=\"resnapshot\"",
        Some(true) => "a stream that began with a snapshot",
        None if options.start == Start::Snapshot => "start=\"snapshot\"",
        _ => return Ok(()),
    };
    if description.view.has_new_image() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::StreamUnusable,
        format!(
            "{wish} needs the new images of changes, but the stream of table {} has the view type {view}, which \
             cannot be changed; turn the stream off and on again with NEW_IMAGE or NEW_AND_OLD_IMAGES",
            description.table,
            view = description.view.name()
        ),
    ))
}

fn require_on(description: &Description) -> Result<()> {
    if !is_off(description) {
        return Ok(());
    }
    let table = &description.table;
    Err(with_offer(&Error::new(
        ErrorKind::StreamUnusable,
        format!(
            "the stream of table {table} is turned off, so nothing can follow its snapshot; turn it on: \
             aws dynamodb update-table --table-name {table} \
             --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        ),
    )))
}

/// Says what else can be done where a stream is missing.
fn with_offer(error: &Error) -> Error {
    Error::new(
        error.kind(),
        format!(
            "{error}; or let enable_stream=True (--enable-stream) do it. Without a stream, source.read() and \
             `shardarrow read` still read the table's items"
        ),
    )
}

/// A stream named by its ARN may be an older one of its table, or of a table deleted since.
async fn require_newest(source: &dyn Source, description: &Description) -> Result<()> {
    let table = twice(|| source.describe_table()).await?;
    if table.stream_arn.as_ref() == Some(&description.stream_arn) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "start=\"snapshot\" needs the newest stream of table {}, which {} is not; name the table instead of a \
         stream, or pass start=\"earliest\"",
        table.table, description.stream_arn
    )))
}
