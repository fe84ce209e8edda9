//! One seed, one story: a stream or a table, who reads it, what is written, what goes wrong.

use std::time::Duration;

use shardarrow::error::ErrorKind;
use shardarrow::page::Terms;
use shardarrow::run::{Keeper, OnGap, Options, SnapshotOptions, Start};
use shardarrow::source::kinesis::TERMS;
use twin::Aws;
use twin::kinesis::CreateStream;

use crate::HOUR;
use crate::checker::Checker;
use crate::kinesis_service::STREAM;
use crate::pushed;
use crate::service::Service;
use crate::snapshot::bury;
use crate::trouble::{Trouble, make_awkward};
use crate::world::{Session, TABLE, World, options as plain_options};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Changes,
    Snapshot,
    Kinesis,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Changes, Self::Snapshot, Self::Kinesis];

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Changes => "of a table's changes",
            Self::Snapshot => "of a table and its changes",
            Self::Kinesis => "of a Kinesis stream",
        }
    }

    pub fn of(seed: u64) -> Self {
        Self::ALL[(seed % 3) as usize]
    }
}

/// What a story came to.
pub struct Told {
    pub kind: Kind,
    pub hours: f64,
    pub lives: u64,
    pub records: u64,
    pub used: u64,
    pub trouble: Trouble,
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

pub fn tell(seed: u64) -> Told {
    let mut story = Story::begin(seed);
    if let Err(violation) = story.run() {
        story.blame(&violation);
    }
    story.end()
}

/// The first is the invariant's number.
type Outcome = Result<(), (&'static str, String)>;

struct Story {
    kind: Kind,
    world: World,
    options: Options,
    trouble: Trouble,
    began_ms: i64,
    lives: u64,
    keys: u64,
    /// Records may be lost: somebody was away for too long, or the stream was replaced.
    loses: bool,
    replaced: bool,
    was_away: bool,
    buried: bool,
    /// Everything ever written is in what is read.
    whole: bool,
}

impl Story {
    fn begin(seed: u64) -> Self {
        let kind = Kind::of(seed);
        let mut world = world(kind, seed);
        make_awkward(&mut world);
        let options = draw_options(kind, &mut world);
        let mut checker = Checker::new(&options);
        if world.service == Service::Objects {
            checker.spoiled = |key| key == "k0";
        }
        world.checker = Some(checker);
        let loses = options.on_gap != OnGap::Fail;
        let whole = !matches!(options.start, Start::Latest | Start::Time(_));
        let (keys, began_ms) = (1 + world.dice.roll(12), world.aws.now_ms());
        let trouble = Trouble::default();
        Self {
            kind,
            world,
            options,
            trouble,
            began_ms,
            lives: 0,
            keys,
            loses,
            replaced: false,
            was_away: false,
            buried: false,
            whole,
        }
    }

    fn run(&mut self) -> Outcome {
        self.prepare();
        let mut session = self.live()?;
        if self.kind == Kind::Snapshot && self.world.dice.chance(40) {
            self.trouble.inject_into_the_scan(&mut self.world);
        }
        if self.buried {
            // A first listing that hides what was split a moment ago would take old history for new.
            session.run_for(&mut self.world, 3_000);
        }
        for _ in 0..3 + self.world.dice.roll(10) {
            self.change();
            self.disturb();
            let pause = self.pause();
            session.run_for(&mut self.world, pause);
            self.consume(&mut session);
            session = self.go_on(session)?;
        }
        if self.world.dice.chance(15) {
            session = self.live_through_an_outage(session)?;
        }
        self.trouble.end(&mut self.world);
        // What is pushed cannot be read rarely.
        if self.world.service != Service::Pushed && self.world.dice.chance(5) {
            session = self.rest_for_a_day(session)?;
        }
        if self.world.dice.chance(40) {
            session = self.live()?;
            if self.world.dice.chance(60) && !self.loses {
                self.read_to_the_end()?;
                session = self.live()?;
            }
        }
        self.come_to_rest(session)
    }

    /// What was there before anybody read.
    fn prepare(&mut self) {
        for _ in 0..self.world.dice.roll(4) {
            self.change();
            let pause = self.world.dice.roll(4_000);
            self.world.aws.advance(pause);
        }
        if self.kind == Kind::Snapshot && self.world.dice.chance(60) {
            bury(&mut self.world);
            self.world.aws.advance(10_000);
            self.buried = true;
        }
    }

    /// A process starts.
    fn live(&mut self) -> Result<Session, (&'static str, String)> {
        self.lives += 1;
        // Who starts a process asks again when it cannot describe the table.
        self.trouble.end(&mut self.world);
        let now_ms = self.world.aws.now_ms();
        if let (Start::Time(moment), None) = (&mut self.options.start, &self.world.durable.checkpoint) {
            let (written, long_ago) = (now_ms - self.began_ms, self.world.dice.chance(30));
            let back = if long_ago { HOUR } else { self.world.dice.roll(written as u64 + 1) as i64 };
            *moment = now_ms - back;
        }
        self.options.seed = self.world.dice.roll(u64::MAX);
        let options = self.options.clone();
        self.world.start(options).map_err(|error| ("I9", format!("a start failed: {error}")))
    }

    /// Writes, and what becomes of shards.
    fn change(&mut self) {
        for _ in 0..self.world.dice.roll(9) {
            match self.world.service {
                Service::Table => self.world.write(self.keys),
                _ => self.world.put(self.keys),
            }
        }
        if !self.world.dice.chance(22) {
            return;
        }
        let split = self.world.dice.chance(40);
        match self.kind {
            Kind::Kinesis => {
                self.world.reshard_any();
                self.trouble.count("split or merge", 1);
            }
            _ if split && self.world.aws.partitions(TABLE) < 6 => {
                self.world.split_any();
                self.trouble.count("split or merge", 1);
            }
            _ => {
                self.world.roll_over_any();
                self.trouble.count("rollover", 1);
            }
        }
    }

    fn disturb(&mut self) {
        if self.options.keeper == Keeper::Store && self.world.dice.chance(4) {
            self.trouble.fail_next_save(&mut self.world);
        }
        if self.world.dice.chance(5) {
            self.trouble.hide_a_finished_shard(&mut self.world);
        }
        if self.world.dice.chance(35) {
            self.trouble.inject_any(&mut self.world);
        } else if self.loses && self.kind != Kind::Kinesis && !self.replaced && self.world.dice.chance(10) {
            // Before the first checkpoint nobody knows that there was another stream.
            if self.world.durable.checkpoint.is_none() {
                return;
            }
            self.world.reenable_stream();
            self.replaced = true;
            let now_ms = self.world.aws.now_ms();
            self.world.checker.iter_mut().for_each(|checker| checker.replaced_ms = Some(now_ms));
            self.trouble.count("stream replaced", 1);
        }
    }

    /// Mostly moments; at times longer than a cursor lives.
    fn pause(&mut self) -> i64 {
        match self.world.dice.roll(40) {
            0 if self.options.poll_interval.as_secs() > 0 && (self.loses || self.is_young(12)) => {
                self.trouble.count("slower than a cursor lives", 1);
                if self.kind == Kind::Kinesis { 6 * 60_000 } else { 16 * 60_000 }
            }
            1..4 => 1 + self.world.dice.roll(30_000) as i64,
            _ => 1 + self.world.dice.roll(1_500) as i64,
        }
    }

    /// Whether the checkpoint knows that nothing was missing so many hours ago: of every shard that is
    /// open, and of every shard whose children it does not know.
    fn is_young(&self, hours: i64) -> bool {
        let oldest = self.world.aws.now_ms() - hours * HOUR;
        let Some(checkpoint) = &self.world.durable.checkpoint else { return false };
        let shards = &checkpoint.shards;
        let has_children = |id| shards.values().any(|state| state.parents.contains(id));
        let mut ends =
            shards.iter().filter(|(id, state)| state.finished.is_none() || !has_children(id)).peekable();
        ends.peek().is_some() && ends.all(|(_, state)| state.verified > Some(oldest))
    }

    fn consume(&mut self, session: &mut Session) {
        if self.world.dice.chance(25) || !session.run.is_open() {
            return;
        }
        let most = session.queue.len() as u64;
        let batches = if self.world.dice.chance(70) { most } else { self.world.dice.roll(most + 1) };
        session.take(batches as usize, &mut self.world);
        match self.world.dice.roll(10) {
            0..2 => {}
            2..5 if self.options.keeper == Keeper::Store && self.kind != Kind::Snapshot => {
                // What is done in another order makes no mirror.
                self.whole = false;
                session.commit_one(&mut self.world);
            }
            _ => session.commit(&mut self.world),
        }
    }

    fn consume_all(&mut self, session: &mut Session) {
        if session.run.is_open() {
            session.take_all(&mut self.world);
            session.commit(&mut self.world);
        }
    }

    /// The same process, or another one after a kill.
    fn go_on(&mut self, session: Session) -> Result<Session, (&'static str, String)> {
        if let Some(over) = &session.over {
            return self.after(over.as_ref().err().map(|error| (error.kind(), error.to_string())));
        }
        if !self.world.dice.chance(15) {
            return Ok(session);
        }
        drop(session);
        self.trouble.count("kill", 1);
        if self.world.dice.chance(40) && (self.loses || !self.was_away && self.is_young(10)) {
            self.was_away = true;
            self.stay_away();
        }
        self.live()
    }

    fn after(&mut self, error: Option<(ErrorKind, String)>) -> Result<Session, (&'static str, String)> {
        match error {
            Some((ErrorKind::CheckpointStore, _)) => self.live(),
            Some((_, said)) => Err(("I9", format!("reading ended: {said}"))),
            None => Err(("I9", "reading ended without an error".into())),
        }
    }

    /// Nobody reads: for less than the retention, or for longer where that may be.
    fn stay_away(&mut self) {
        self.trouble.end(&mut self.world);
        // What goes before anybody knows where reading began is nobody's loss.
        self.whole &= self.kind == Kind::Snapshot || self.world.durable.checkpoint.is_some();
        let mut left = self.world.dice.roll(14 * HOUR as u64) as i64;
        if self.loses && self.world.dice.chance(40) {
            left += 24 * HOUR;
            self.trouble.count("away for longer than the retention", 1);
        }
        while left > 0 {
            self.change();
            let step = (1 + self.world.dice.roll(6 * HOUR as u64) as i64).min(left);
            self.world.aws.advance(step as u64);
            left -= step;
        }
    }

    /// Nothing is written for longer than the retention, and somebody reads all the time, rarely.
    fn rest_for_a_day(&mut self, session: Session) -> Result<Session, (&'static str, String)> {
        self.come_to_rest(session)?;
        self.trouble.count("idle for longer than the retention", 1);
        let seldom = self.options.clone();
        let (poll_interval, discovery_interval) = (Duration::from_secs(200), Duration::from_secs(600));
        let options = Options { poll_interval, discovery_interval, ..seldom };
        let started = self.world.start(options);
        let mut session = started.map_err(|error| ("I9", format!("a start failed: {error}")))?;
        self.lives += 1;
        // A loader that saves nothing reads nothing, and a shard of which nothing was ever verified has
        // a quarter of an hour from its first start on: what a whole hour trims before it is read is lost.
        session.open(&mut self.world);
        for _ in 0..25 + self.world.dice.roll(3) {
            session.run_for(&mut self.world, HOUR);
            self.consume_all(&mut session);
            if let Some(Err(error)) = &session.over {
                return Err(("I9", format!("an idle stream ended reading with: {error}")));
            }
        }
        self.change();
        self.live()
    }

    /// The service refuses every page for longer than `stall_timeout`.
    fn live_through_an_outage(&mut self, mut session: Session) -> Result<Session, (&'static str, String)> {
        self.trouble.inject_outage(&mut self.world);
        for _ in 0..120 {
            session.run_for(&mut self.world, 1_000);
            self.consume_all(&mut session);
        }
        let asked = session.run.metrics(session.now(&self.world)).retries > 0;
        self.trouble.end(&mut self.world);
        match &session.over {
            Some(Err(error)) if matches!(error.kind(), ErrorKind::Stalled | ErrorKind::CheckpointStore) => {
                self.live()
            }
            Some(Err(error)) => Err(("I9", format!("an outage ended reading with: {error}"))),
            _ if asked && session.run.metrics(session.now(&self.world)).snapshot.is_none() => {
                Err(("I9", "no call succeeded for 120 s, twice stall_timeout, and nobody was told".into()))
            }
            _ => self.live(),
        }
    }

    /// A bounded run gives everything that was there when it began.
    fn read_to_the_end(&mut self) -> Outcome {
        for _ in 0..self.world.dice.roll(3) {
            self.change();
        }
        // A listing may be older than a child; then the child is no part of this run.
        let knobs = self.world.aws.knobs();
        let at_once = knobs.stale_ms == 0 && knobs.ending_late_ms == 0;
        self.world.aws.advance(if at_once { 1 } else { 15_000 });
        self.learn();
        let before = self.checker().written();
        let options = Options { follow: false, ..self.options.clone() };
        let started = self.world.start(options);
        let mut session = started.map_err(|error| ("I9", format!("a start failed: {error}")))?;
        self.lives += 1;
        let until = self.world.aws.now_ms() + 10 * 60_000;
        while session.over.is_none() || !session.queue.is_empty() {
            session.step(&mut self.world, 1_000);
            self.consume_all(&mut session);
            if self.world.aws.now_ms() > until {
                return Err(("I9", "a bounded run does not end within ten minutes".into()));
            }
        }
        session.commit(&mut self.world);
        for _ in 0..20 {
            session.step(&mut self.world, 1_000);
        }
        match (session.over, self.checker().first_missing(before)) {
            (Some(Err(error)), _) => Err(("I9", format!("a bounded run ended with: {error}"))),
            (_, Some(missing)) => Err(("I1", format!("a bounded run ended and {missing}"))),
            _ => Ok(()),
        }
    }

    /// With faults off everything comes within minutes, is saved, and then nothing more happens.
    fn come_to_rest(&mut self, mut session: Session) -> Outcome {
        let until = self.world.aws.now_ms() + 10 * 60_000;
        let mut still = 0;
        while still < 6 {
            session.run_for(&mut self.world, 500);
            self.consume_all(&mut session);
            self.learn();
            if let Some(over) = &session.over {
                let error = over.as_ref().err().map(|error| (error.kind(), error.to_string()));
                session = self.after(error)?;
            }
            still = if self.is_at_rest(&session) { still + 1 } else { 0 };
            if self.world.aws.now_ms() > until {
                return Err(self.unrest(&session));
            }
        }
        self.look_back(&session)
    }

    fn is_at_rest(&self, session: &Session) -> bool {
        let checker = self.checker();
        let read = session.run.is_ready() && session.is_caught_up(&self.world);
        let saved = self.world.durable.checkpoint.as_ref().is_some_and(|saved| checker.is_saved(saved));
        read && saved && checker.first_missing(usize::MAX).is_none()
    }

    fn unrest(&self, session: &Session) -> (&'static str, String) {
        let caught_up = session.run.is_ready() && session.is_caught_up(&self.world);
        match self.checker().first_missing(usize::MAX) {
            Some(missing) if caught_up => ("I1", missing),
            Some(missing) => {
                let metrics = session.run.metrics(session.now(&self.world));
                let shards = metrics
                    .shards
                    .iter()
                    .map(|(id, shard)| format!("{id} {} {}", shard.state, shard.position));
                let (shards, snapshot) = (shards.collect::<Vec<_>>().join(", "), metrics.snapshot);
                ("I9", format!("ten minutes without faults, and {missing}: {shards} {snapshot:?}"))
            }
            None if caught_up => ("I9", "ten minutes without faults, and what is done is not saved".into()),
            None => {
                let metrics = session.run.metrics(session.now(&self.world));
                let shards = metrics.shards.iter().map(|(id, shard)| format!("{id} is {}", shard.state));
                let shards = shards.collect::<Vec<_>>().join(", ");
                ("I9", format!("ten minutes without faults, and reading is not at the end: {shards}"))
            }
        }
    }

    fn look_back(&mut self, session: &Session) -> Outcome {
        let metrics = session.run.metrics(session.now(&self.world));
        let World { checker, .. } = &mut self.world;
        if let Some(checker) = checker {
            checker.expect_set_aside();
        }
        let limit = self.options.memory_limit + self.options.terms.page_bytes + self.options.batch_bytes;
        let in_flight = self.options.terms.page_bytes * (metrics.shards.len() + 1);
        if metrics.memory_peak > limit || metrics.memory > in_flight {
            let (now, peak) = (metrics.memory, metrics.memory_peak);
            return Err(("I11", format!("{now} bytes are held at rest, and {peak} were, of {limit}")));
        }
        let gaps = self.checker().gaps();
        if let Some(gap) = gaps.first().filter(|_| !self.loses) {
            return Err(("I10", format!("nothing was out of reach, and yet a gap is written down: {gap:?}")));
        }
        let told = gaps.iter().any(|gap| gap.cause.starts_with("the stream was replaced"));
        if self.replaced && !told {
            return Err(("I10", "the stream was replaced, and no gap says so".into()));
        }
        self.compare_tables()
    }

    /// I3. A gap that was only written down leaves the mirror as it is.
    fn compare_tables(&mut self) -> Outcome {
        let scanned_again = self.options.on_gap == OnGap::Resnapshot;
        let lost = !self.checker().gaps().is_empty() && !scanned_again;
        if self.world.service != Service::Table || !self.whole || lost {
            return Ok(());
        }
        let (table, mirror) = (self.world.table(), &self.world.durable.mirror);
        let differs = mirror.keys().chain(table.keys()).find(|key| mirror.get(*key) != table.get(*key));
        match differs {
            None => Ok(()),
            Some(key) => {
                let (is, should) = (mirror.get(key), table.get(key));
                Err(("I3", format!("key {key} is {is:?} in the mirror and {should:?} in the table")))
            }
        }
    }

    fn checker(&self) -> &Checker {
        self.world.checker.as_ref().unwrap()
    }

    fn learn(&mut self) {
        let World { checker, aws, .. } = &mut self.world;
        checker.iter_mut().for_each(|checker| checker.learn(aws));
    }

    fn blame(&mut self, (invariant, sentence): &(&str, String)) {
        self.world.checker.iter_mut().for_each(|checker| checker.blame(invariant, sentence));
    }

    fn end(mut self) -> Told {
        self.trouble.end(&mut self.world);
        let checker = self.checker();
        Told {
            kind: self.kind,
            hours: (self.world.aws.now_ms() - self.began_ms) as f64 / HOUR as f64,
            lives: self.lives,
            records: checker.written() as u64,
            used: checker.used,
            violations: checker.violations.clone(),
            trace: checker.trace.clone(),
            trouble: self.trouble,
        }
    }
}

fn world(kind: Kind, seed: u64) -> World {
    if kind != Kind::Kinesis {
        return World::new(seed, 1 + (seed / 3 % 3) as usize);
    }
    let mut aws = Aws::new(seed);
    aws.kinesis().create_stream(&CreateStream::with_shards(STREAM, 1 + (seed / 3 % 3) as u32)).unwrap();
    let service = [Service::Kinesis, Service::Objects, Service::Pushed][(seed / 9 % 3) as usize];
    World::of(aws, service, seed)
}

fn draw_options(kind: Kind, world: &mut World) -> Options {
    let mut roll = |below: u64| world.dice.roll(below);
    let start = match (kind, roll(4)) {
        (Kind::Snapshot, _) => Start::Snapshot,
        (_, 0) => Start::Latest,
        (Kind::Kinesis, 1) => Start::Time(0),
        _ => Start::Earliest,
    };
    let loses = roll(3) == 0;
    let snapshot = SnapshotOptions {
        segments: Some(1 + roll(3) as u32),
        slice: Duration::from_millis(1 + roll(400)),
        ..SnapshotOptions::default()
    };
    let terms = match world.service {
        Service::Table => Terms::of_pages(4 << 20, 4 << 20),
        Service::Kinesis | Service::Objects => TERMS,
        Service::Pushed => pushed::TERMS,
    };
    let pages = 1 + roll(4) as usize;
    let options = Options {
        start,
        snapshot,
        terms,
        keeper: if roll(2) == 0 { Keeper::Store } else { Keeper::Loader },
        on_gap: match kind {
            _ if !loses => OnGap::Fail,
            Kind::Snapshot => OnGap::Resnapshot,
            _ => OnGap::Continue,
        },
        commit_interval: Duration::from_millis(roll(2) * roll(2_000)),
        settle: Duration::from_millis(300 + roll(1_000)),
        batch_rows: 1 + roll(5) as usize * roll(10) as usize,
        batch_wait: Duration::from_millis(roll(3) * roll(200)),
        memory_limit: terms.page_bytes * pages + (1 << 20),
        poll_interval: Duration::from_millis([250, 1_000, 4_000][roll(3) as usize]),
        discovery_interval: Duration::from_secs([2, 5, 20][roll(3) as usize]),
        stall_timeout: Duration::from_secs(60),
        ..plain_options()
    };
    world.latency_ms = 1 + world.dice.roll(30);
    options
}
