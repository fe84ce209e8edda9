//! What must hold whatever happens. Each invariant has a number; a violation is a sentence that
//! names the shard, the key and the sequence number.
//!
//! | | |
//! |---|---|
//! | I1 | Every record written after the start is used, set aside, or inside a reported gap. |
//! | I2 | The records of a key come in the order in which they were written. |
//! | I3 | At rest a mirror equals its table; from `ready` on it has every change made during the scan. |
//! | I4 | A loader gets nothing twice; a plain consumer only what no checkpoint covered when it was killed. |
//! | I5 | A checkpoint never claims what is not done. |
//! | I6 | In a checkpoint nothing goes back. |
//! | I7 | A child's records come after its parents', and its position is saved after their ends. |
//! | I9 | With faults off, everything is read and saved in time, and a call that fails for too long is an error. |
//! | I10 | Nothing is left out in silence: what is lost or set aside is written down, once, and nothing else is. |
//! | I11 | Memory stays below its limit, and is free at rest. |
//! | I12 | Requests stay within their rates. |
//!
//! I8 (one writer at a time) is about several processes: `tests/test_process.py`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shardarrow::batch::Batch;
use shardarrow::checkpoint::{Checkpoint, Gap};
use shardarrow::page::{Shard, Terms};
use shardarrow::position::Position;
use shardarrow::run::{Action, Event, Keeper, Options, Start};
use twin::Aws;

use crate::world::{Durable, Seen, rows};

/// Listings in any second. The source spreads them further: the service allows ten calls a second.
const LISTINGS: usize = 25;

/// A listing may be that old, and with it what is called verified; readers keep a minute's distance
/// from what the stream forgets.
const STALE_MS: i64 = 10_000;

/// A reader may not be asked for what the stream forgets within these milliseconds of a start.
const SLACK_MS: i64 = 20 * 60_000;

/// The service's times come in whole seconds, and a record may carry one of a moment before.
const CLOCK_MS: i64 = 2_000;

/// A sequence number, compared by other means than the crate's, which may be broken.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    digits: usize,
    text: String,
}

impl Number {
    fn of(text: &str) -> Self {
        Self { digits: text.len(), text: text.to_owned() }
    }

    fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// One record that somebody wrote.
struct Written {
    sequence: Number,
    key: String,
    at_ms: i64,
    /// Its place among all records of the world.
    index: usize,
}

/// From where on every record must come.
enum Scope {
    Undecided,
    Since(i64),
    From(usize),
}

pub struct Checker {
    pub violations: Vec<String>,
    pub used: u64,
    /// What happened, for who reproduces it.
    pub trace: Vec<String>,
    /// Records of these keys cannot be decoded.
    pub spoiled: fn(&str) -> bool,
    shards: BTreeMap<String, Vec<Written>>,
    /// Shard and place of each record, by its number.
    places: BTreeMap<String, (String, usize)>,
    parents: BTreeMap<String, BTreeSet<String>>,
    /// The parents of a table's shards, also of those that no listing has shown.
    born_of: BTreeMap<String, String>,
    scope: Scope,
    epoch: u64,
    keeper: Keeper,
    terms: Terms,
    memory_limit: usize,
    retention_ms: i64,
    /// Records that this life has handed on, and those that were used in any.
    given: BTreeSet<String>,
    done: BTreeSet<String>,
    /// Records that were handed on in any life, and the newest of each key.
    sighted: BTreeSet<usize>,
    newest: BTreeMap<String, usize>,
    /// Records that no checkpoint covered when a life ended may come so often again.
    may_repeat: BTreeMap<String, u32>,
    /// How far into a shard the checkpoint's claims have been verified.
    verified: BTreeMap<String, usize>,
    gaps: Vec<Gap>,
    /// When each of them was written down.
    heard_ms: Vec<i64>,
    set_aside: BTreeSet<String>,
    /// What was said to be lost, before it is written down.
    warnings: Vec<String>,
    /// A save was durable and answered with an error: what it took along may come again.
    pub unconfirmed: bool,
    /// When the stream was replaced by another.
    pub replaced_ms: Option<i64>,
    /// The moment at which the stream was to begin.
    from_ms: Option<i64>,
    /// How many records there were when this epoch's scan began in this life.
    scan_began: Option<usize>,
    /// The last epoch that was called ready.
    ready_epoch: u64,
    fetches_under_way: usize,
    listings: VecDeque<i64>,
    fetches: BTreeMap<String, VecDeque<i64>>,
}

impl Checker {
    pub fn new(options: &Options) -> Self {
        Self {
            violations: Vec::new(),
            used: 0,
            trace: Vec::new(),
            spoiled: |_| false,
            shards: BTreeMap::new(),
            places: BTreeMap::new(),
            parents: BTreeMap::new(),
            born_of: BTreeMap::new(),
            scope: Scope::Undecided,
            epoch: 1,
            keeper: options.keeper,
            terms: options.terms,
            memory_limit: options.memory_limit,
            retention_ms: 24 * 3_600_000,
            given: BTreeSet::new(),
            done: BTreeSet::new(),
            sighted: BTreeSet::new(),
            newest: BTreeMap::new(),
            may_repeat: BTreeMap::new(),
            verified: BTreeMap::new(),
            gaps: Vec::new(),
            heard_ms: Vec::new(),
            set_aside: BTreeSet::new(),
            warnings: Vec::new(),
            unconfirmed: false,
            replaced_ms: None,
            from_ms: None,
            scan_began: None,
            ready_epoch: 0,
            fetches_under_way: 0,
            listings: VecDeque::new(),
            fetches: BTreeMap::new(),
        }
    }

    pub fn blame(&mut self, invariant: &str, sentence: impl std::fmt::Display) {
        self.trace.push(format!("{invariant}: {sentence}"));
        // The first few tell the story.
        if self.violations.len() < 5 {
            self.violations.push(format!("{invariant}: {sentence}"));
        }
    }

    /// Takes what was written since it last looked.
    pub fn learn(&mut self, aws: &Aws) {
        for record in aws.history().iter().skip(self.places.len()) {
            let key = record.key.split('"').nth(5).unwrap_or_default().to_owned();
            self.wrote(&record.shard, record.sequence.as_str(), key, record.created_ms);
        }
        for record in aws.kinesis_history().iter().skip(self.places.len()) {
            let key = record.partition_key.clone();
            self.wrote(&record.shard, record.sequence.as_str(), key, record.written_ms);
        }
    }

    fn wrote(&mut self, shard: &str, sequence: &str, key: String, at_ms: i64) {
        let index = self.places.len();
        self.trace.push(format!("{at_ms} record {sequence} of key {key} is written to {shard}"));
        let of_shard = self.shards.entry(shard.to_owned()).or_default();
        self.places.insert(sequence.to_owned(), (shard.to_owned(), of_shard.len()));
        let sequence = Number::of(sequence);
        of_shard.push(Written { sequence, key, at_ms, index });
    }

    /// A process starts; the one before it is gone.
    pub fn started(&mut self, options: &Options, aws: &Aws, durable: &Durable) {
        let (now_ms, start, keeper) = (aws.now_ms(), &options.start, options.keeper);
        self.trace
            .push(format!("{now_ms} a process starts: {start:?}, {keeper:?}, follow={}", options.follow));
        for (id, state) in durable.checkpoint.iter().flat_map(|saved| &saved.shards) {
            self.trace.push(format!("  {id} {state:?}"));
        }
        (self.keeper, self.memory_limit) = (options.keeper, options.memory_limit);
        if let (Start::Time(moment), None) = (start, &durable.checkpoint) {
            self.from_ms = Some(*moment);
        }
        self.given.clear();
        self.scan_began = None;
        self.fetches_under_way = 0;
        for record in self.done.iter().filter(|_| options.keeper == Keeper::Store) {
            let covered = self.places.get(record).is_some_and(|(shard, at)| {
                durable
                    .checkpoint
                    .as_ref()
                    .is_some_and(|saved| covers(saved, shard, &self.shards[shard][*at]))
            });
            if !covered {
                *self.may_repeat.entry(record.clone()).or_default() += 1;
            }
        }
    }

    /// The first checkpoint of an epoch is durable: from here on every record counts.
    fn decide_scope(&mut self, checkpoint: &Checkpoint, aws: &Aws) {
        let all = self.places.len();
        if matches!(self.scope, Scope::Undecided) && !checkpoint.shards.is_empty() {
            let kept = aws.now_ms() - self.retention_ms + SLACK_MS;
            self.scope = match checkpoint.start.as_str() {
                "earliest" if checkpoint.epoch == 1 => Scope::Since(kept),
                "time" => Scope::Since(kept.max(self.from_ms.unwrap_or(kept) + CLOCK_MS)),
                // A later epoch is not durable before the batches of the one before are done.
                _ => Scope::From(self.scan_began.unwrap_or(all)),
            };
        }
    }

    fn counts(&self, record: &Written) -> bool {
        match self.scope {
            Scope::Undecided => false,
            Scope::Since(moment) => record.at_ms >= moment,
            Scope::From(index) => record.index >= index,
        }
    }

    fn is_accounted_for(&self, shard: &str, record: &Written) -> bool {
        let number = record.sequence.as_str();
        let in_gap = |(gap, heard_ms): (&Gap, &i64)| match &gap.shard {
            // What the new stream holds must come.
            _ if gap.cause.starts_with("the stream was replaced") => {
                let trimmed = gap.found.unwrap_or(*heard_ms) - self.retention_ms + SLACK_MS;
                record.at_ms < self.replaced_ms.unwrap_or(0).max(trimmed)
            }
            Some(id) if id.as_str() == shard => {
                let behind = gap.from.as_ref().and_then(Position::sequence);
                let behind = behind.map(|number| Number::of(number.record()));
                // What the stream still kept when the loss was found must come.
                let found = gap.found.unwrap_or(*heard_ms);
                let trimmed = record.at_ms < found - self.retention_ms + SLACK_MS;
                let trimmed = trimmed || !gap.cause.starts_with("the position is older");
                trimmed && behind.is_none_or(|behind| record.sequence >= behind)
            }
            // Up to the oldest record left, which may be in a descendant; from the beginning, what was in
            // its ancestors is lost with it.
            Some(id) => {
                let found = gap.found.unwrap_or(*heard_ms);
                let kin = self.ancestors(shard);
                // A shard that vanished before any listing showed it may be anybody's descendant.
                let unlisted =
                    !self.parents.contains_key(shard) || kin.iter().any(|id| !self.parents.contains_key(id));
                let from_beginning = gap.from == Some(Position::Beginning);
                let with_it = || from_beginning && self.descends(id.as_str(), shard);
                let trimmed = record.at_ms < found - self.retention_ms + SLACK_MS;
                trimmed && (unlisted || kin.contains(id.as_str()) || with_it())
            }
            None => true,
        };
        self.done.contains(number)
            || self.set_aside.contains(number)
            || self.gaps.iter().zip(&self.heard_ms).any(in_gap)
    }

    pub fn answered(&mut self, event: &Event, now_ms: i64) {
        match event {
            Event::Listed { result: Ok(listing), scope } => {
                let shards: Vec<_> = listing.shards.iter().map(|shard| (&shard.id, &shard.parents)).collect();
                self.trace.push(format!("{now_ms} {scope:?} complete={} {shards:?}", listing.complete));
                self.saw(&listing.shards);
            }
            Event::Fetched { shard, result, .. } => {
                let said = match result {
                    Ok(page) => format!(
                        "{} bytes, behind {:?}, end {}",
                        page.body.len(),
                        page.behind,
                        page.next.is_none()
                    ),
                    Err(error) => error.to_string(),
                };
                self.trace.push(format!("{now_ms} page of {shard}: {said}"));
                self.fetches_under_way = self.fetches_under_way.saturating_sub(1);
                result.iter().for_each(|page| self.saw(&page.children));
            }
            Event::Scanned { segment, result } => {
                let said = match result {
                    Ok(page) => format!("{} items, end {}", page.scanned, page.next.is_none()),
                    Err(error) => error.to_string(),
                };
                self.trace.push(format!("{now_ms} page of {}: {said}", segment.shard()));
            }
            _ => {}
        }
    }

    pub fn warned(&mut self, line: &str, now_ms: i64) {
        self.trace.push(format!("{now_ms} warning: {line}"));
        if line.starts_with("records are lost") {
            self.warnings.push(line.to_owned());
            self.scan_began = None;
        }
    }

    fn saw(&mut self, shards: &[Shard]) {
        for shard in shards {
            let parents = self.parents.entry(shard.id.to_string()).or_default();
            parents.extend(shard.parents.iter().map(ToString::to_string));
        }
    }

    /// I11 and I12.
    pub fn asked(&mut self, request: &Action, waiting: usize, aws: &Aws) {
        let now_ms = aws.now_ms();
        match request {
            Action::Scan(_) if self.scan_began.is_none() => {
                self.learn(aws);
                self.scan_began = Some(self.places.len());
            }
            Action::List { .. } if in_a_second(&mut self.listings, now_ms) > LISTINGS => {
                self.blame("I12", format!("more than {LISTINGS} listings were asked for within a second"));
            }
            Action::Fetch { shard, .. } => {
                self.fetches_under_way += 1;
                let held = waiting + self.fetches_under_way * self.terms.page_bytes;
                let limit = self.memory_limit.max(self.terms.page_bytes);
                if self.fetches_under_way > 1 && held > limit {
                    self.blame(
                        "I11",
                        format!("shard {shard} is asked while {held} of {limit} bytes are held"),
                    );
                }
                let often = self.fetches.entry(shard.to_string()).or_default();
                let (often, most) = (in_a_second(often, now_ms), self.most_fetches());
                if often > most {
                    self.blame("I12", format!("shard {shard} was asked for {often} pages within a second"));
                }
            }
            _ => {}
        }
    }

    /// Five a second where the service says so, and some that are asked again at once with a new cursor.
    fn most_fetches(&self) -> usize {
        if self.terms.pause.is_zero() { usize::MAX } else { 8 }
    }

    /// I2, I4, I7, and that the batch says what it covers.
    pub fn emitted(&mut self, batch: &Batch, aws: &Aws, _durable: &Durable) {
        self.learn(aws);
        for row in rows(&batch.records).iter().filter(|row| !row.sequence.is_empty()) {
            let (shard, number) = (&row.shard, &row.sequence);
            if !self.given.insert(number.clone()) && batch.epoch == 1 {
                let again =
                    format!("record {number} of key {} in shard {shard} was handed on twice", row.key);
                self.blame("I4", again);
            }
            let span = batch.spans.get(&shard.as_str().into());
            let covered = span.is_some_and(|span| is_behind(&span.to, &Number::of(number)));
            if !covered {
                let left_out =
                    format!("batch {} leaves record {number} of shard {shard} out of its span", batch.number);
                self.blame("I5", left_out);
            }
            self.expect_order(row);
            self.expect_parents_first(row);
        }
    }

    /// I2: by first sightings, in whatever life.
    fn expect_order(&mut self, row: &Seen) {
        let Seen { shard, sequence, key, .. } = row;
        let Some((home, at)) = self.places.get(sequence) else {
            return self.blame("I2", format!("record {sequence} of shard {shard} was never written"));
        };
        let record = &self.shards[home][*at];
        // Just before the start there may be some, in no order.
        if !self.counts(record) {
            return;
        }
        let index = record.index;
        let new = self.sighted.insert(index);
        let before = self.newest.get(key).copied().filter(|before| new && *before > index);
        // What was left behind with a stream that was replaced may come in a later life after all.
        if before.is_some() && !self.warnings.iter().any(|line| line.contains("replaced")) {
            let late = format!("record {sequence} of key {key} in shard {shard} came after a newer one");
            return self.blame("I2", late);
        }
        let newest = self.newest.entry(key.clone()).or_default();
        *newest = index.max(*newest);
    }

    fn expect_parents_first(&mut self, row: &Seen) {
        let ancestors = self.ancestors(&row.shard);
        let from_beginning = format!("shard {} ", row.shard);
        let lost = |line: &String| {
            line.contains("replaced")
                || ancestors.iter().any(|id| line.contains(id))
                || line.contains(&from_beginning) && line.contains("from the beginning")
        };
        let unlisted = !self.warnings.is_empty() && ancestors.iter().any(|id| !self.parents.contains_key(id));
        if unlisted || self.warnings.iter().any(lost) {
            return;
        }
        let unread = ancestors.into_iter().find_map(|parent| {
            let records = self.shards.get(&parent)?;
            let missing = records.iter().rev().find(|record| {
                self.counts(record)
                    && !self.given.contains(record.sequence.as_str())
                    && !(self.spoiled)(&record.key)
                    && !self.is_accounted_for(&parent, record)
            })?;
            Some(format!("record {} of its parent {parent}", missing.sequence))
        });
        if let Some(unread) = unread {
            let Seen { shard, sequence, .. } = row;
            self.blame("I7", format!("record {sequence} of shard {shard} comes before {unread}"));
        }
    }

    /// A shard closed and others go on where it ended.
    pub fn born(&mut self, parent: &str, children: &[&str]) {
        self.born_of.extend(children.iter().map(|child| ((*child).to_owned(), parent.to_owned())));
    }

    /// Whether one shard goes on where the other, or one that goes on where that ended, did: a gap from
    /// the beginning of a shard that vanished unlisted stands for everything unread before it.
    fn descends(&self, shard: &str, from: &str) -> bool {
        let before = std::iter::successors(self.born_of.get(shard), |id| self.born_of.get(*id));
        self.ancestors(shard).contains(from) || before.into_iter().any(|id| id == from)
    }

    fn ancestors(&self, shard: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![shard.to_owned()];
        while let Some(at) = open.pop() {
            for parent in self.parents.get(&at).into_iter().flatten() {
                if found.insert(parent.clone()) {
                    open.push(parent.clone());
                }
            }
        }
        found
    }

    /// I4: the consumer is done with this batch.
    pub fn applied(&mut self, batch: &Batch, aws: &Aws) {
        self.learn(aws);
        let given = rows(&batch.records);
        let said = given.iter().map(|row| format!("{} {}={} {}", row.op, row.key, row.version, row.sequence));
        let said = said.collect::<Vec<_>>().join(", ");
        self.trace.push(format!(
            "{} batch {} of epoch {} used: {said}",
            aws.now_ms(),
            batch.number,
            batch.epoch
        ));
        for row in given.iter().filter(|row| !row.sequence.is_empty()) {
            self.used += 1;
            let Seen { shard, sequence, key, .. } = row;
            if self.done.insert(sequence.clone()) {
                continue;
            }
            let allowed = self.may_repeat.get_mut(sequence).filter(|left| **left > 0);
            match allowed {
                Some(left) => *left -= 1,
                None if batch.epoch == 1 => {
                    let again =
                        format!("record {sequence} of key {key} in shard {shard} came again though saved");
                    self.blame("I4", again);
                }
                None => {}
            }
        }
    }

    /// I5, I6, I7, I10: this checkpoint is about to replace the one in `durable`, whose gaps are already there.
    pub fn saved(&mut self, checkpoint: &Checkpoint, aws: &Aws, durable: &Durable) {
        self.learn(aws);
        let (epoch, stream) =
            (checkpoint.epoch, checkpoint.stream_arn.rsplit('/').next().unwrap_or_default());
        self.trace.push(format!("{} epoch {epoch} of {stream} saved", aws.now_ms()));
        if let Some(back) = went_back(durable.checkpoint.as_ref(), checkpoint) {
            self.blame("I6", back);
        }
        self.heard_of(durable, aws.now_ms());
        if checkpoint.epoch != self.epoch {
            // Everything is scanned again.
            (self.epoch, self.scope) = (checkpoint.epoch, Scope::Undecided);
        }
        self.expect_ends_before_children(checkpoint);
        self.expect_done(checkpoint);
        self.expect_verified(checkpoint);
        self.expect_ready(checkpoint);
        self.decide_scope(checkpoint, aws);
        let named = |row: &Seen| row.key.starts_with('k') && row.shard.starts_with("shardId-0000000");
        let told = checkpoint.schema.columns.is_empty();
        if told && !self.terms.tells_lag && durable.seen.iter().any(named) {
            self.blame("I5", "the checkpoint does not know the columns of the rows before it");
        }
    }

    fn heard_of(&mut self, durable: &Durable, now_ms: i64) {
        let new: Vec<_> = durable.gaps.iter().skip(self.gaps.len()).cloned().collect();
        for gap in new {
            if self.gaps.contains(&gap) && !self.unconfirmed {
                self.blame("I10", format!("a gap is written down twice: {gap:?}"));
            }
            self.gaps.push(gap);
            self.heard_ms.push(now_ms);
        }
        let numbers = durable.quarantined.iter().filter_map(|one| one.record.sequence.as_ref());
        self.set_aside = numbers.map(ToString::to_string).collect();
    }

    fn expect_ends_before_children(&mut self, checkpoint: &Checkpoint) {
        let begun = checkpoint.shards.iter().filter(|(_, state)| state.position != Position::Beginning);
        let mut early = Vec::new();
        for (id, state) in begun {
            let parents = self.parents.get(id.as_str()).into_iter().flatten();
            let open = |parent: &&String| {
                let known = checkpoint.shards.get(&parent.as_str().into());
                known.is_some_and(|known| known.finished.is_none())
            };
            early.extend(parents.filter(open).map(|parent| {
                format!(
                    "shard {id} is saved at {} while its parent {parent} is not at its end",
                    state.position
                )
            }));
        }
        early.into_iter().for_each(|line| self.blame("I7", line));
    }

    fn expect_done(&mut self, checkpoint: &Checkpoint) {
        let mut claims = Vec::new();
        for id in checkpoint.shards.keys() {
            let shard = id.as_str();
            let Some(records) = self.shards.get(shard) else { continue };
            let from = self.verified.get(shard).copied().unwrap_or(0);
            let mut at = from;
            for record in records.iter().skip(from).take_while(|record| covers(checkpoint, shard, record)) {
                if self.counts(record) && !self.is_accounted_for(shard, record) {
                    claims.push(format!(
                        "the checkpoint of shard {shard} is behind record {} of key {}, which is neither done nor \
                         written down as lost",
                        record.sequence, record.key
                    ));
                    break;
                }
                at += 1;
            }
            self.verified.insert(shard.to_owned(), at);
        }
        claims.into_iter().for_each(|line| self.blame("I5", line));
    }

    /// "Nothing the shard held at this moment is missing."
    fn expect_verified(&mut self, checkpoint: &Checkpoint) {
        // Behind a gap the oldest records are given some time to be read.
        if !self.gaps.is_empty() {
            return;
        }
        let mut claims = Vec::new();
        for (id, state) in &checkpoint.shards {
            let Some(verified) = state.verified else { continue };
            let records = self.shards.get(id.as_str()).into_iter().flatten();
            let unread = records
                .take_while(|record| record.at_ms < verified - STALE_MS)
                .find(|record| self.counts(record) && !self.is_accounted_for(id.as_str(), record));
            claims.extend(unread.map(|record| {
                let late = verified - record.at_ms;
                format!(
                    "shard {id} is called verified {late} ms behind record {} of key {}, which is not done",
                    record.sequence, record.key
                )
            }));
        }
        claims.into_iter().for_each(|line| self.blame("I5", line));
    }

    /// "Every change made up to the end of the scan is there."
    fn expect_ready(&mut self, checkpoint: &Checkpoint) {
        let ready = checkpoint.snapshot.as_ref().filter(|snapshot| snapshot.ready);
        let Some(snapshot) = ready.filter(|_| checkpoint.epoch > self.ready_epoch) else { return };
        self.ready_epoch = checkpoint.epoch;
        let Some(ended) = snapshot.ended else {
            return self.blame("I3", "a snapshot is ready whose scan has not ended");
        };
        // Of a stream that nobody has seen yet nothing can be there, and what of the one before listings
        // show late is in the gap between them.
        let seen = self.gaps.iter().any(|gap| gap.cause.starts_with("the stream was replaced"));
        if self.replaced_ms.is_some() && !seen {
            return;
        }
        let unread = self.shards.iter().find_map(|(shard, records)| {
            let before = |record: &&Written| record.at_ms < ended - CLOCK_MS && self.counts(record);
            let unread = |record: &&Written| !self.is_accounted_for(shard, record);
            records.iter().filter(before).find(unread).map(|record| (shard, record))
        });
        if let Some((shard, Written { sequence, key, .. })) = unread {
            let early =
                format!("the snapshot is ready without record {sequence} of key {key} in shard {shard}");
            self.blame("I3", early);
        }
    }

    /// The first record that should be there and is not.
    pub fn first_missing(&self, before: usize) -> Option<String> {
        self.shards.iter().find_map(|(shard, records)| {
            let missing = |record: &&Written| {
                record.index < before && self.counts(record) && !self.is_accounted_for(shard, record)
            };
            let record = records.iter().find(missing)?;
            Some(format!("record {} of key {} in shard {shard} never came", record.sequence, record.key))
        })
    }

    /// How many records were written so far.
    pub fn written(&self) -> usize {
        self.places.len()
    }

    /// I10: what cannot be decoded is set aside, and everything that is set aside cannot be decoded.
    pub fn expect_set_aside(&mut self) {
        let spoiled = |number: &&String| {
            self.places.get(*number).is_some_and(|(shard, at)| (self.spoiled)(&self.shards[shard][*at].key))
        };
        let wrong = self.set_aside.iter().find(|number| !spoiled(number));
        if let Some(line) = wrong.map(|number| format!("record {number} was set aside without a reason")) {
            self.blame("I10", line);
        }
    }

    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Whether the durable checkpoint has everything that is done.
    pub fn is_saved(&self, checkpoint: &Checkpoint) -> bool {
        let known = |shard: &str| checkpoint.shards.contains_key(&shard.into());
        let unsaved = |number: &String| {
            let place = self.places.get(number).filter(|(shard, _)| known(shard));
            place.is_some_and(|(shard, at)| {
                // What an epoch before this had done may be trimmed in this one.
                let record = &self.shards[shard][*at];
                self.counts(record) && !covers(checkpoint, shard, record)
            })
        };
        !self.done.iter().any(unsaved)
    }
}

/// Whether the checkpoint says that this record is done.
fn covers(checkpoint: &Checkpoint, shard: &str, record: &Written) -> bool {
    let state = checkpoint.shards.get(&shard.into());
    state.is_some_and(|state| state.finished.is_some() || is_behind(&state.position, &record.sequence))
}

/// Beginning, before a record, behind it.
fn place(position: &Position) -> Option<(Number, bool)> {
    let number = Number::of(position.sequence()?.record());
    Some((number, matches!(position, Position::After(_))))
}

fn is_behind(position: &Position, record: &Number) -> bool {
    place(position).is_some_and(|(number, after)| *record < number || after && *record == number)
}

/// I6: positions are monotone for each shard of one stream.
pub fn went_back(old: Option<&Checkpoint>, new: &Checkpoint) -> Option<String> {
    let same = |old: &&Checkpoint| old.stream_arn == new.stream_arn && old.epoch == new.epoch;
    let old = old.filter(same)?;
    old.shards.iter().find_map(|(id, state)| {
        let now = new.shards.get(id)?;
        let (from, to) = (&state.position, &now.position);
        let unfinished = state.finished.is_some() && now.finished.is_none();
        match () {
            () if place(to) < place(from) => Some(format!("shard {id} went back from {from} to {to}")),
            () if unfinished => Some(format!("shard {id} is unfinished again")),
            () => None,
        }
    })
}

/// Counts this call among those of the last second.
fn in_a_second(calls: &mut VecDeque<i64>, now_ms: i64) -> usize {
    calls.push_back(now_ms);
    while calls.front().is_some_and(|first| *first <= now_ms - 1000) {
        calls.pop_front();
    }
    calls.len()
}
