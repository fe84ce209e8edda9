//! The snapshot within the run: turns of scanning and draining, pages of items, ready, new epochs.

use super::*;
use crate::checkpoint::{SegmentState, SnapshotState};
use crate::page::{ItemsPage, ScanRequest, Segment};
use crate::snapshot::{Slice, segments_for};

/// Longer than any process lives.
const ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How the table is scanned.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotOptions {
    /// By the table's size where it is not given.
    pub segments: Option<u32>,
    /// How long a turn of scanning lasts.
    pub slice: Duration,
    /// Read capacity units a second.
    pub max_read_units: Option<f64>,
    /// Only these attributes are asked for; keys are among them.
    pub columns: Option<Arc<[String]>>,
    /// The most items to give, of a scan without changes.
    pub limit: Option<u64>,
    /// The table as it is, without its changes.
    pub scan_only: bool,
    /// Where a shard can be opened at a moment: how long before the scan its changes are read.
    pub late_margin: Duration,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            segments: None,
            slice: Duration::from_secs(15 * 60),
            max_read_units: None,
            columns: None,
            limit: None,
            scan_only: false,
            late_margin: Duration::from_secs(60 * 60),
        }
    }
}

impl Run {
    /// The snapshot a checkpoint is in the middle of.
    pub(super) fn resumed_snapshot(options: &Options, checkpoint: &Checkpoint) -> Option<Snapshot> {
        let state = checkpoint.snapshot.as_ref()?;
        Some(Snapshot::resume(state, options.snapshot.slice, options.snapshot.max_read_units))
    }

    /// Cuts the table into segments; nothing is asked for yet.
    pub(super) fn prepare_scan(&mut self) {
        let options = &self.options.snapshot;
        let by_size = || if options.limit.is_some() { 1 } else { segments_for(self.description.bytes) };
        let segments = options.segments.unwrap_or_else(by_size).max(1);
        let state = SnapshotState {
            segments: vec![SegmentState::default(); segments as usize],
            items: self.description.items,
            ..SnapshotState::default()
        };
        // Without changes to follow there is nothing to take turns with.
        let slice = if options.scan_only { ENDLESS } else { options.slice };
        self.snapshot = Some(Snapshot::resume(&state, slice, options.max_read_units));
        if self.is_current() {
            self.frontier.state_mut().checkpoint.snapshot = Some(state);
            self.saving.changed = true;
        } else {
            self.deltas.push(Delta::Scan(state));
        }
    }

    pub(super) fn may_read_shards(&self) -> bool {
        self.stage == Stage::Running && self.snapshot.as_ref().is_none_or(Snapshot::may_read_shards)
    }

    /// Gives the turn to the scan or to the changes, as far as nothing is in the way.
    pub(super) fn take_turns(&mut self, now: Now) {
        if self.stage != Stage::Running {
            return;
        }
        loop {
            let server_now = self.server_now(now);
            let moment = match self.snapshot.as_ref().map(Snapshot::slice) {
                Some(Slice::Draining { passed }) => Some(passed),
                _ => None,
            };
            let passed = moment.is_some_and(|moment| self.all_have_passed(moment, now));
            let shards_asked = self.shards_asked;
            let Some(snapshot) = &mut self.snapshot else { return };
            if !snapshot.turn(shards_asked, passed, server_now, now) {
                return;
            }
            self.turned(now);
        }
    }

    fn turned(&mut self, now: Now) {
        let Some(snapshot) = &self.snapshot else { return };
        match (snapshot.slice(), snapshot.ended()) {
            (Slice::Scanning { .. }, _) => self.deltas.push(Delta::Slice),
            (Slice::Over, Some(at)) => {
                self.deltas.push(Delta::ScanEnded { at });
                self.listen_anew(now);
            }
            (Slice::Draining { .. }, _) => self.listen_anew(now),
            _ => {}
        }
    }

    /// Silence counts from now on, and every reader may be asked at once.
    fn listen_anew(&mut self, now: Now) {
        for reader in self.readers.values_mut() {
            reader.listen_anew(now);
        }
        let ids: Vec<_> = self.readers.keys().cloned().collect();
        ids.iter().for_each(|id| self.schedule(id));
    }

    pub(super) fn ask_segments(&mut self, now: Now) {
        if self.stage != Stage::Running {
            return;
        }
        while let Some((segment, after)) = self.snapshot.as_ref().and_then(|snapshot| snapshot.next(now)) {
            if !self.memory.reserve(self.options.terms.scan_page_bytes) {
                self.saving.starved = true;
                return;
            }
            let limit = self.items_left.map(|left| u32::try_from(left).unwrap_or(u32::MAX).max(1));
            let columns = self.options.snapshot.columns.clone();
            let consistent = !broken::is("eventually-consistent-scan");
            let request = ScanRequest { segment, after, consistent, limit, columns };
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.asked(segment, now);
            }
            self.segments_asked += 1;
            self.actions.push(Action::Scan(request));
        }
    }

    pub(super) fn scanned(&mut self, segment: Segment, result: Result<ItemsPage>, now: Now) -> Result<()> {
        self.memory.release(self.options.terms.scan_page_bytes);
        self.segments_asked = self.segments_asked.saturating_sub(1);
        if !self.snapshot.as_mut().is_some_and(|snapshot| snapshot.answered(segment)) {
            return Ok(());
        }
        let outcome = result.and_then(|page| self.use_items(&page, now).map(|()| page));
        self.memory.set_gathering(self.batcher.bytes());
        match outcome {
            Ok(page) => self.used_items(page, now),
            Err(error) => self.scan_failed(segment, error, now),
        }
    }

    /// Decodes all items of the page into one batch: a page is committed whole or not at all,
    /// because a segment can go on only behind a page.
    fn use_items(&mut self, page: &ItemsPage, now: Now) -> Result<()> {
        self.saw_server_time(page.server_time, now);
        let mut from = page.items.start;
        while self.items_left != Some(0) {
            self.half_a_page = true;
            let most = self.items_left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
            let pushed = self.batcher.push_items(page, from, most, now)?;
            if let Some(left) = &mut self.items_left {
                *left = left.saturating_sub(pushed.rows as u64);
            }
            self.quarantine(&page.segment.shard(), pushed.quarantined);
            match pushed.rest {
                Some(rest) if rest > from => from = rest,
                _ => break,
            }
        }
        self.half_a_page = false;
        Ok(())
    }

    fn used_items(&mut self, page: ItemsPage, now: Now) -> Result<()> {
        let ItemsPage { segment, next, scanned, units, .. } = page;
        let other = Segment { index: (segment.index + 1) % segment.total.max(1), ..segment };
        let of = if broken::is("key-of-another-segment") { other } else { segment };
        let delta = Delta::Scanned { segment: of, after: next.clone(), items: scanned };
        if broken::is("segment-ahead-of-its-rows") {
            self.frontier.push(vec![delta], None);
        } else {
            self.deltas.push(delta);
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.progressed(segment, next, scanned, units, now);
            if self.items_left == Some(0) {
                snapshot.cut_short();
            }
        }
        if self.batcher.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    fn scan_failed(&mut self, segment: Segment, error: Error, now: Now) -> Result<()> {
        // Rows of the page are in the batch already: they cannot be asked for again.
        if !error.retryable() || self.half_a_page && error.kind() != ErrorKind::BadPage {
            return Err(error);
        }
        self.half_a_page = false;
        let throttled = error.kind() == ErrorKind::Throttled;
        self.scan_retries += 1;
        let jitter = self.jitter.draw();
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let since = snapshot.failed(segment, &error, throttled, jitter, now);
        if now.saturating_sub(since) <= self.options.stall_timeout {
            return Ok(());
        }
        let message = format!(
            "{} of the scan made no successful call for {:.0} s (stall_timeout); the last error was: {error}",
            segment.shard(),
            self.options.stall_timeout.as_secs_f64()
        );
        Err(Error::new(ErrorKind::Stalled, message).with_cause(error))
    }

    /// The snapshot is ready when every shard has passed the end of the scan.
    pub(super) fn become_ready(&mut self, now: Now) -> Result<()> {
        let waits = |snapshot: &&Snapshot| {
            (snapshot.slice() == Slice::Over || broken::is("ready-before-the-scan-ends"))
                && !snapshot.is_ready()
        };
        let Some(ended) = self.snapshot.as_ref().filter(waits).map(Snapshot::ended) else { return Ok(()) };
        let alone = self.options.snapshot.scan_only;
        let passed = self.all_have_passed(ended, now) || broken::is("ready-before-the-drain");
        if alone || self.stage != Stage::Running || !passed {
            return Ok(());
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.set_ready();
        }
        self.deltas.push(Delta::Ready);
        self.flush()?;
        self.ready_from = self.frontier.last();
        Ok(())
    }

    /// Whether the snapshot is complete and every change made up to its end has been handed out.
    pub fn is_ready(&self) -> bool {
        let ready = self.snapshot.as_ref().is_none_or(Snapshot::is_ready);
        ready && self.is_open() && self.frontier.taken_through() >= self.ready_from
    }

    /// A scan without changes ends with its last segment.
    pub(super) fn end_scan_only(&mut self) -> Result<()> {
        let scanned = self.snapshot.as_ref().is_some_and(Snapshot::is_scanned);
        if self.options.snapshot.scan_only && scanned && self.segments_asked == 0 {
            self.flush()?;
            self.stage = Stage::Over;
            self.actions.push(Action::End);
        }
        Ok(())
    }

    /// Records are lost and the table is scanned again: positions are captured anew, once
    /// everything asked for has answered.
    pub(super) fn begin_epoch(&mut self, now: Now) -> Result<()> {
        self.wants_epoch = false;
        self.flush()?;
        self.reserve_epoch();
        self.deltas.push(Delta::Epoch { epoch: self.epoch });
        self.flush()?;
        self.forget_shards(now);
        self.snapshot = None;
        self.options.start = Start::Snapshot;
        Ok(())
    }

    /// The epoch itself has its place behind batches that nobody may have committed yet, and its rows do
    /// not wait for them. So its number is saved ahead, before the first of its rows is handed out: a
    /// consumer whose run is killed between the two has rows that the next scan must outdate. A loader
    /// writes rows and checkpoint together.
    fn reserve_epoch(&mut self) {
        let begun = self.frontier.state().checkpoint.epoch_begun;
        let begun = if broken::is("epoch-begun-forgotten") { 0 } else { begun };
        self.epoch = self.epoch.max(begun) + 1;
        if broken::is("epoch-not-raised") {
            self.epoch -= 1;
        }
        if self.options.keeper == Keeper::Store {
            self.frontier.state_mut().checkpoint.epoch_begun = self.epoch;
        }
    }

    /// Everything known of the shards is void; they are listed as at a first start.
    pub(super) fn forget_shards(&mut self, now: Now) {
        self.graph = ShardGraph::default();
        self.starts.clear();
        self.readers.clear();
        self.agenda.clear();
        self.discovery.restart(now);
        self.resumed = false;
        self.stage = Stage::Listing;
    }

    /// Whether the state at the frontier speaks of the stream and the epoch being read.
    pub(super) fn is_current(&self) -> bool {
        let checkpoint = &self.frontier.state().checkpoint;
        checkpoint.stream_arn == self.stream_arn && checkpoint.epoch == self.epoch
    }
}
