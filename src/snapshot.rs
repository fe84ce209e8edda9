//! The scan of a table, cut into slices: who may ask for what, and when.
//!
//! Scanned rows and changes go into one order. That is right for any consumer that applies rows
//! in order as long as the two are never asked for at once: a scanned row then leaves before any
//! change that was made after it was read, and a change that was made before can only step its
//! key back until the key's later changes follow (`docs/concepts/snapshot.md` has the argument).
//! So a drain begins only when no scan request is in flight, and a scan only when no shard is
//! being asked.

use std::time::Duration;

use serde::Serialize;

use crate::broken;
use crate::budget::{Backoff, Pace};
use crate::checkpoint::{SegmentState, SnapshotState};
use crate::error::Error;
use crate::page::{Millis, ScanKey, Segment};
use crate::reader::Now;

/// Scanned data that one segment should not exceed by much.
const SEGMENT_BYTES: u64 = 32 << 20;
const MOST_SEGMENTS: u32 = 64;

#[derive(Debug)]
pub struct Snapshot {
    segments: Vec<SegmentReader>,
    slice: Slice,
    length: Duration,
    /// When the first scan request of this run was made.
    began: Option<Now>,
    scanned: u64,
    scanned_before: u64,
    items: Option<u64>,
    units: Units,
    in_flight: usize,
    ended: Option<Millis>,
    ready: bool,
}

#[derive(Debug)]
struct SegmentReader {
    segment: Segment,
    after: Option<ScanKey>,
    done: bool,
    scanned: u64,
    asked: bool,
    due: Now,
    backoff: Backoff,
    pace: Pace,
    failing: Option<(Now, Error)>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Shards that were asked are still answering; then the scan goes on.
    Pausing,
    Scanning {
        until: Now,
    },
    /// Scan requests are still in flight; then the changes follow.
    Settling,
    /// Until every shard has passed this moment.
    Draining {
        passed: Option<Millis>,
    },
    /// The whole table is scanned; changes follow for good.
    Over,
}

impl Slice {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pausing | Self::Scanning { .. } => "scanning",
            Self::Settling | Self::Draining { .. } => "draining",
            Self::Over => "done",
        }
    }
}

/// How many segments a table of this size is cut into.
pub fn segments_for(bytes: Option<u64>) -> u32 {
    let wanted = bytes.unwrap_or(4 * SEGMENT_BYTES).div_ceil(SEGMENT_BYTES);
    u32::try_from(wanted).unwrap_or(MOST_SEGMENTS).clamp(1, MOST_SEGMENTS)
}

impl Snapshot {
    /// Goes on with a snapshot as a checkpoint has it. `slice` is how long a turn of scanning lasts.
    pub fn resume(state: &SnapshotState, slice: Duration, max_read_units: Option<f64>) -> Self {
        let segments = match state.segments.split_last() {
            Some((_, fewer)) if state.slices > 0 && !fewer.is_empty() && broken::is("segments-change") => {
                fewer
            }
            _ => &state.segments,
        };
        let total = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        let reader =
            |(index, segment): (u32, &SegmentState)| SegmentReader::new(Segment { index, total }, segment);
        let fresh = state.slices == 0;
        Self {
            segments: (0..).zip(segments).map(reader).collect(),
            // A process that is restarted often must still drain.
            slice: match state.ended {
                Some(_) => Slice::Over,
                None if fresh => Slice::Pausing,
                None => Slice::Settling,
            },
            length: slice,
            began: None,
            scanned: state.scanned,
            scanned_before: state.scanned,
            items: state.items,
            units: Units::new(max_read_units),
            in_flight: 0,
            ended: state.ended,
            ready: state.ready,
        }
    }

    pub fn slice(&self) -> Slice {
        self.slice
    }

    pub fn may_read_shards(&self) -> bool {
        matches!(self.slice, Slice::Draining { .. } | Slice::Over)
    }

    /// When the whole table had been scanned.
    pub fn ended(&self) -> Option<Millis> {
        self.ended
    }

    pub fn is_ready(&self) -> bool {
        self.ready
    }

    pub fn set_ready(&mut self) {
        self.ready = true;
    }

    pub fn is_scanned(&self) -> bool {
        self.segments.iter().all(|segment| segment.done)
    }

    /// Nothing more is wanted of the table.
    pub fn cut_short(&mut self) {
        self.segments.iter_mut().for_each(|segment| segment.done = true);
    }

    /// Moves from slice to slice as far as nothing is in the way. Returns whether one began.
    pub fn turn(
        &mut self,
        shards_asked: usize,
        all_passed: bool,
        server_now: Option<Millis>,
        now: Now,
    ) -> bool {
        let next = match self.slice {
            Slice::Pausing if shards_asked == 0 || broken::is("scan-beside-the-drain") => {
                Slice::Scanning { until: now + self.length }
            }
            Slice::Scanning { until } if until <= now || self.is_scanned() => Slice::Settling,
            Slice::Settling if self.in_flight == 0 && self.is_scanned() => {
                self.ended = server_now.or(Some(0));
                Slice::Over
            }
            Slice::Settling if self.in_flight == 0 || broken::is("drain-beside-the-scan") => {
                Slice::Draining { passed: server_now }
            }
            Slice::Draining { .. } if all_passed => Slice::Pausing,
            _ => return false,
        };
        self.slice = next;
        true
    }

    /// The next segment to ask, if one may be asked now: the one that has waited longest, so that
    /// few requests spread over the whole table.
    pub fn next(&self, now: Now) -> Option<(Segment, Option<ScanKey>)> {
        let scanning = matches!(self.slice, Slice::Scanning { until } if now < until);
        if !scanning || !self.units.allow(self.in_flight, now) {
            return None;
        }
        let waiting = |segment: &&SegmentReader| segment.waits() && segment.due <= now;
        let segment = self.segments.iter().filter(waiting).min_by_key(|segment| segment.due)?;
        Some((segment.segment, segment.after.clone()))
    }

    pub fn asked(&mut self, segment: Segment, now: Now) {
        self.began.get_or_insert(now);
        if let Some(reader) = self.reader(segment) {
            reader.asked = true;
            self.in_flight += 1;
        }
    }

    /// An answer came. Returns whether it was asked for.
    pub fn answered(&mut self, segment: Segment) -> bool {
        let Some(reader) = self.reader(segment).filter(|reader| reader.asked) else { return false };
        reader.asked = false;
        self.in_flight -= 1;
        true
    }

    /// A page has its place in the order; `next` is where the segment goes on.
    pub fn progressed(
        &mut self,
        segment: Segment,
        next: Option<ScanKey>,
        items: u64,
        units: Option<f64>,
        now: Now,
    ) {
        self.scanned += items;
        self.units.spend(units.unwrap_or(0.0), now);
        if let Some(reader) = self.reader(segment) {
            reader.backoff.succeed();
            reader.pace.succeed();
            reader.failing = None;
            reader.due = now + reader.pace.interval();
            reader.scanned += items;
            reader.done = next.is_none() || items == 0 && broken::is("empty-scan-page-is-the-end");
            reader.after = next;
        }
    }

    /// Asks the segment again after a pause. Returns since when it has been failing.
    pub fn failed(&mut self, segment: Segment, error: &Error, throttled: bool, jitter: f64, now: Now) -> Now {
        let Some(reader) = self.reader(segment) else { return now };
        if throttled {
            reader.pace.throttle();
        }
        reader.done |= broken::is("failed-segment-is-done");
        reader.due = now + reader.backoff.fail(jitter).max(reader.pace.interval());
        reader.failing.get_or_insert_with(|| (now, error.clone())).0
    }

    fn reader(&mut self, segment: Segment) -> Option<&mut SegmentReader> {
        self.segments.get_mut(segment.index as usize).filter(|reader| reader.segment == segment)
    }

    /// When something may be done that time alone decides.
    pub fn due(&self) -> Option<Now> {
        let Slice::Scanning { until } = self.slice else { return None };
        let waiting = self.segments.iter().filter(|segment| segment.waits());
        let segment = waiting.map(|segment| segment.due.max(self.units.due())).min();
        // With a budget the next answer decides, not the clock.
        let held_up = self.units.rate.is_some() && self.in_flight > 0;
        segment.filter(|_| !held_up).into_iter().chain([until]).min()
    }

    pub fn progress(&self, now: Now) -> Progress {
        Progress {
            scanned: self.scanned,
            items: self.items,
            segments: self.segments.iter().map(SegmentReader::progress).collect(),
            seconds_left: self.seconds_left(now),
        }
    }

    /// From the pace so far, turns of draining included, and the table's own count of its items,
    /// which is some hours old: a table that has turned out larger tells nothing of what is left.
    fn seconds_left(&self, now: Now) -> Option<f64> {
        if self.is_scanned() {
            return Some(0.0);
        }
        let left = self.items?.checked_sub(self.scanned).filter(|left| *left > 0)? as f64;
        let done = (self.scanned - self.scanned_before) as f64;
        let took = now.saturating_sub(self.began?).as_secs_f64();
        (done > 0.0).then(|| took / done * left)
    }
}

/// How far a scan is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub scanned: u64,
    pub items: Option<u64>,
    pub segments: Vec<SegmentProgress>,
    pub seconds_left: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentProgress {
    /// Items looked at.
    pub scanned: u64,
    pub done: bool,
}

impl SegmentReader {
    fn new(segment: Segment, state: &SegmentState) -> Self {
        Self {
            segment,
            after: state.after.clone(),
            done: state.done,
            scanned: state.scanned,
            asked: false,
            due: Duration::ZERO,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            pace: Pace::default(),
            failing: None,
        }
    }

    fn waits(&self) -> bool {
        !self.done && !self.asked
    }

    fn progress(&self) -> SegmentProgress {
        SegmentProgress { scanned: self.scanned, done: self.done }
    }
}

/// Read capacity that the scan may use: what a page cost is known only afterwards, so a page
/// is followed by the time its units take at the rate.
#[derive(Debug)]
struct Units {
    rate: Option<f64>,
    /// When everything spent so far is covered.
    covered: Now,
    last: f64,
}

impl Units {
    fn new(rate: Option<f64>) -> Self {
        Self { rate, covered: Duration::ZERO, last: 0.0 }
    }

    /// As many requests at once as a second's units pay for, at the cost of the last page.
    fn allow(&self, in_flight: usize, now: Now) -> bool {
        let Some(rate) = self.rate else { return true };
        self.covered <= now
            && (in_flight == 0 || (in_flight + 1) as f64 * self.last <= rate && self.last > 0.0)
    }

    fn spend(&mut self, units: f64, now: Now) {
        if let Some(rate) = self.rate {
            self.last = units;
            self.covered = self.covered.max(now) + Duration::from_secs_f64((units / rate).clamp(0.0, 3600.0));
        }
    }

    fn due(&self) -> Now {
        self.covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn snapshot(segments: usize, max_read_units: Option<f64>) -> Snapshot {
        let segment = SegmentState::default();
        let state = SnapshotState { segments: vec![segment; segments], ..SnapshotState::default() };
        Snapshot::resume(&state, SECOND * 10, max_read_units)
    }

    fn key(text: &str) -> Option<ScanKey> {
        Some(ScanKey(text.into()))
    }

    #[test]
    fn nothing_is_scanned_while_a_shard_is_being_asked() {
        let mut snapshot = snapshot(1, None);
        assert!(!snapshot.turn(1, false, None, SECOND));
        assert_eq!(snapshot.next(SECOND), None);
        assert!(snapshot.turn(0, false, None, SECOND));
        assert!(snapshot.next(SECOND).is_some());
    }

    #[test]
    fn no_shard_is_read_while_a_scan_request_is_in_flight() {
        let mut snapshot = snapshot(2, None);
        snapshot.turn(0, false, None, SECOND);
        let (segment, _) = snapshot.next(SECOND).unwrap();
        snapshot.asked(segment, SECOND);
        assert!(snapshot.turn(0, false, None, SECOND * 12));
        assert_eq!(snapshot.slice(), Slice::Settling);
        assert!(!snapshot.turn(0, false, None, SECOND * 12) && !snapshot.may_read_shards());
        assert!(snapshot.answered(segment));
        snapshot.progressed(segment, key("k"), 5, None, SECOND * 12);
        assert!(snapshot.turn(0, false, Some(7), SECOND * 12) && snapshot.may_read_shards());
        assert_eq!(snapshot.slice(), Slice::Draining { passed: Some(7) });
        assert!(snapshot.turn(0, true, Some(9), SECOND * 13));
        assert_eq!(snapshot.slice(), Slice::Pausing);
    }

    #[test]
    fn the_scan_is_over_when_every_segment_has_ended_and_its_pages_are_in() {
        let mut snapshot = snapshot(2, None);
        snapshot.turn(0, false, None, SECOND);
        for _ in 0..2 {
            let (segment, _) = snapshot.next(SECOND).unwrap();
            snapshot.asked(segment, SECOND);
            snapshot.answered(segment);
            snapshot.progressed(segment, None, 5, None, SECOND);
        }
        assert!(snapshot.turn(0, false, Some(40), SECOND) && snapshot.turn(0, false, Some(40), SECOND));
        assert_eq!((snapshot.slice(), snapshot.ended()), (Slice::Over, Some(40)));
    }

    #[test]
    fn an_answer_that_nobody_waits_for_counts_for_nothing() {
        let mut snapshot = snapshot(1, None);
        assert!(!snapshot.answered(Segment { index: 0, total: 1 }));
        assert!(!snapshot.answered(Segment { index: 0, total: 2 }));
    }

    #[test]
    fn the_read_budget_is_kept_on_average() {
        let mut snapshot = snapshot(4, Some(100.0));
        snapshot.length = SECOND * 100_000;
        snapshot.turn(0, false, None, Duration::ZERO);
        let (mut now, mut units) = (Duration::ZERO, 0.0);
        while now < SECOND * 100 {
            while let Some((segment, _)) = snapshot.next(now) {
                snapshot.asked(segment, now);
                snapshot.answered(segment);
                snapshot.progressed(segment, key("k"), 1, Some(30.0), now);
                units += 30.0;
            }
            now += Duration::from_millis(10);
        }
        assert!((9_000.0..=10_500.0).contains(&units), "{units} units in 100 seconds");
    }

    #[test]
    fn segments_take_turns() {
        let mut snapshot = snapshot(3, Some(1.0));
        snapshot.length = SECOND * 100;
        snapshot.turn(0, false, None, Duration::ZERO);
        let turns = (0..6).map(|second| {
            let now = SECOND * second;
            let (segment, _) = snapshot.next(now).unwrap();
            snapshot.asked(segment, now);
            snapshot.answered(segment);
            snapshot.progressed(segment, key("k"), 1, Some(1.0), now + SECOND / 2);
            snapshot.units.covered = now + SECOND;
            segment.index
        });
        assert_eq!(turns.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_restart_drains_before_it_scans_on() {
        let segments = vec![SegmentState { after: key("k"), ..SegmentState::default() }];
        let state = SnapshotState { segments, slices: 1, ..SnapshotState::default() };
        let mut snapshot = Snapshot::resume(&state, SECOND, None);
        assert!(snapshot.turn(0, false, Some(1), SECOND) && snapshot.may_read_shards());
    }

    #[test]
    fn large_tables_are_cut_into_more_segments() {
        assert_eq!([Some(0), None, Some(1 << 30), Some(1 << 50)].map(segments_for), [1, 4, 32, 64]);
    }
}
