//! Streams that end: disabled, replaced by another one of the same table, or gone.

use super::discovery::UNSETTLED;
use super::*;

impl Run {
    /// All shards of a disabled stream are read: the table goes on elsewhere, or not at all.
    pub(super) fn leave_disabled_stream(&mut self, scope: &Scope, listing: &Listing) -> Result<()> {
        let over = *scope == Scope::Full && listing.complete && listing.status == StreamStatus::Disabled;
        let goes_on = self.options.follow || self.reads_old_stream();
        if over && goes_on && self.graph.unfinished().next().is_none() {
            return self.doubt_stream();
        }
        Ok(())
    }

    /// With nothing left to read either children are on their way or the stream is disabled.
    pub(super) fn look_around_when_all_read(&mut self, now: Now) {
        if self.graph.unfinished().next().is_none() {
            self.discovery.list_by(now + UNSETTLED);
        }
    }

    /// Whether the table already had a newer stream when this run began.
    pub(super) fn reads_old_stream(&self) -> bool {
        self.stream_arn != self.description.stream_arn
    }

    pub(super) fn doubt_stream(&mut self) -> Result<()> {
        self.discovery.describing = true;
        self.actions.push(Action::Describe);
        Ok(())
    }

    pub(super) fn described(&mut self, result: Result<Description>, now: Now) -> Result<()> {
        self.discovery.describing = false;
        let description = match result {
            Ok(description) => description,
            Err(error) if error.retryable() => {
                self.discovery.full_due = now + self.discovery.backoff.fail(self.jitter.draw());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if description.stream_arn == self.stream_arn {
            return self.stream_unchanged(&description, now);
        }
        self.replace_stream(description, now)
    }

    /// The table still names this stream: it is disabled and read to its end, or the service hesitates.
    fn stream_unchanged(&mut self, description: &Description, now: Now) -> Result<()> {
        if description.status == StreamStatus::Disabled && self.graph.unfinished().next().is_none() {
            return Err(Error::new(
                ErrorKind::StreamUnusable,
                format!(
                    "the stream {} was disabled and every record in it has been read; enable the table's stream again to go on",
                    self.stream_arn
                ),
            ));
        }
        let since = *self.discovery.failing.get_or_insert(now);
        if now.saturating_sub(since) > self.options.stall_timeout {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the stream {} is named by its table but cannot be listed", self.stream_arn),
            ));
        }
        self.discovery.full_due = now + self.discovery.backoff.fail(self.jitter.draw());
        Ok(())
    }

    /// Changes made between two streams of a table are in neither.
    fn replace_stream(&mut self, description: Description, now: Now) -> Result<()> {
        if description.keys != self.description.keys {
            return Err(Error::new(
                ErrorKind::CheckpointMismatch,
                format!("table {} was recreated with another key; start a new checkpoint", description.table),
            ));
        }
        if self.options.on_gap == OnGap::Resnapshot && !description.view.has_new_image() {
            return Err(Error::new(
                ErrorKind::StreamUnusable,
                format!(
                    "the stream was replaced by {}, which carries no new images, so the table cannot be scanned again; \
                     enable its stream with NEW_IMAGE or NEW_AND_OLD_IMAGES",
                    description.stream_arn
                ),
            ));
        }
        let unread = self.graph.unfinished().next().cloned();
        let from = unread.as_ref().and_then(|id| self.position(id));
        let cause = format!(
            "the stream was replaced by {}; changes made between the two are in neither",
            description.stream_arn
        );
        if !broken::is("replaced-in-silence") {
            self.lose(self.gap(unread.as_ref(), from, cause, now))?;
        }
        self.deltas.push(Delta::Replace { stream_arn: description.stream_arn.clone() });
        self.flush()?;
        self.stream_arn.clone_from(&description.stream_arn);
        self.description = description;
        self.forget_shards(now);
        // The new stream is read from its beginning, like a first start.
        self.options.start =
            if broken::is("new-stream-at-its-end") { Start::Latest } else { Start::Earliest };
        Ok(())
    }
}
