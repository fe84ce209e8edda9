//! A Kinesis stream that is split and merged while it is read: each record once, in the order of its key.

use std::collections::BTreeSet;
use std::time::Duration;

use shardarrow::error::ErrorKind;
use shardarrow::position::{Position, SequenceNumber};
use shardarrow::run::{Keeper, OnGap, Options, Others, Start};
use shardarrow::source::kinesis::TERMS;
use twin::kinesis::{CreateStream, KinesisKnobs, KinesisOp, ListShards, Named, ShardDescription};
use twin::{Aws, EndPage, Fault, Injection, Op};

use crate::kinesis_service::STREAM;
use crate::service::Service;
use crate::world::{Session, World, options as table_options};
use crate::{HOUR, consume_some, run_to_its_end, seeds};

/// Seconds for which an idle stream is watched for records that come twice.
const QUIET: u32 = 15;

fn options() -> Options {
    Options { terms: TERMS, ..table_options() }
}

fn world(seed: u64, shards: u32) -> World {
    let mut aws = Aws::new(seed);
    aws.kinesis().create_stream(&CreateStream::with_shards(STREAM, shards)).unwrap();
    World::of(aws, Service::Kinesis, seed)
}

impl World {
    /// Puts one record under a random key; its data is its number.
    pub fn put(&mut self, keys: u64) {
        let key = format!("k{}", self.dice.roll(keys));
        let number = self.aws.kinesis_history().len();
        let data = match self.service {
            // One key's data is no object.
            Service::Objects if key != "k0" => format!(r#"{{"data": {number}}}"#),
            _ => number.to_string(),
        };
        self.aws.kinesis().put(STREAM, &key, data.as_bytes()).unwrap();
    }

    /// The open shards in the order of their hash keys, whatever listings say at the moment.
    fn open_shards(&mut self) -> Vec<ShardDescription> {
        self.aws.clear_faults();
        let awkward = std::mem::take(self.aws.knobs_mut());
        let mut open = self.aws.kinesis().list_shards(&ListShards::of(STREAM).limit(10_000)).unwrap().shards;
        *self.aws.knobs_mut() = awkward;
        open.retain(|shard| shard.sequence_number_range.ending_sequence_number.is_none());
        open.sort_by_key(|shard| shard.hash_key_range.starting_hash_key.parse::<u128>().unwrap());
        open
    }

    /// Splits an open shard, or merges two neighbours. A shard too small for it stays as it is.
    pub fn reshard_any(&mut self) {
        let (stream, open) = (Named::of(STREAM), self.open_shards());
        let at = self.dice.roll(open.len() as u64) as usize;
        match open.get(at + 1).filter(|_| open.len() > 2 && self.dice.chance(50)) {
            Some(next) => drop(self.aws.kinesis().merge_shards(&stream, &open[at].shard_id, &next.shard_id)),
            None => drop(self.aws.kinesis().split_shard(&stream, &open[at].shard_id, None)),
        }
    }

    fn recreate_stream(&mut self, shards: u32) {
        self.aws.kinesis().delete_stream(&Named::of(STREAM)).unwrap();
        self.aws.advance(2_000);
        self.aws.kinesis().create_stream(&CreateStream::with_shards(STREAM, shards)).unwrap();
    }

    fn make_kinesis_awkward(&mut self) {
        let mut roll = |below: u64| self.dice.roll(below);
        let kinesis = KinesisKnobs {
            listing_page: 1 + roll(4) as usize * 3,
            page_records: 1 + roll(4) as usize * 10,
            empty_pages: roll(3) as u32,
            hide_children_ms: roll(2) as i64 * 300,
            arrival_jitter_ms: roll(2) * 200,
            ..KinesisKnobs::default()
        };
        let rates = roll(2) == 0;
        let (permute, stale) = (roll(1 << 32), roll(5_000) as i64);
        let knobs = self.aws.knobs_mut();
        knobs.kinesis = if rates { kinesis.with_documented_rates() } else { kinesis };
        (knobs.permute, knobs.stale_ms, knobs.end_page) = (Some(permute), stale, EndPage::Mixed);
    }

    fn inject_any_of_kinesis(&mut self) {
        // One after the other: a page that stays damaged is an error by design.
        self.aws.clear_faults();
        let ops = [KinesisOp::GetRecords, KinesisOp::GetShardIterator, KinesisOp::ListShards];
        let op = ops[self.dice.roll(3) as usize];
        let error =
            |code: &str, status| Fault::Error { code: code.into(), status, message: "scripted".into() };
        let fault = match self.dice.roll(8) {
            0 => error("InternalFailure", 500),
            1 => error("ProvisionedThroughputExceededException", 400),
            2 => error("LimitExceededException", 400),
            3 if op == KinesisOp::GetRecords => error("ExpiredIteratorException", 400),
            4 if op != KinesisOp::ListShards => error("ResourceNotFoundException", 400),
            5 if op == KinesisOp::GetRecords => Fault::InvalidJson,
            6 => error("KMSThrottlingException", 400),
            _ => Fault::LostReply,
        };
        let times = 1 + self.dice.roll(3);
        self.aws.inject(Injection { times, ..Injection::once(Op::Kinesis(op), fault) });
    }

    fn put_records(&self) -> Vec<(String, String)> {
        let history = self.aws.kinesis_history().iter();
        history.map(|record| (record.sequence.to_string(), record.partition_key.clone())).collect()
    }
}

pub fn assert_exact(world: &World) {
    let put = world.put_records();
    let seen: Vec<_> = world.durable.seen.iter().map(|seen| seen.sequence.as_str()).collect();
    let unique: BTreeSet<_> = seen.iter().copied().collect();
    let lost: Vec<_> = put.iter().filter(|(number, _)| !unique.contains(number.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} records lost: {lost:?}", lost.len(), put.len());
    assert_eq!(seen.len(), unique.len(), "records came twice");
}

fn assert_none_lost(world: &World, from: usize) {
    let unique: BTreeSet<_> = world.durable.seen.iter().map(|seen| seen.sequence.as_str()).collect();
    let put = world.put_records();
    let lost = put[from..].iter().filter(|(number, _)| !unique.contains(number.as_str())).count();
    assert_eq!(lost, 0, "of {}", put.len() - from);
}

/// For each key, in the order in which its records were put (first sightings, when records repeat).
pub fn assert_ordered(world: &World) {
    let mut last = std::collections::BTreeMap::new();
    let mut known = BTreeSet::new();
    for seen in world.durable.seen.iter().filter(|seen| known.insert(seen.sequence.as_str())) {
        let number: u64 = seen.version.parse().unwrap();
        if let Some(before) = last.insert(seen.key.as_str(), number) {
            assert!(before < number, "key {} went from record {before} to {number}", seen.key);
        }
    }
}

/// Runs until every record is there, and then for a while with nothing else happening.
fn drain(world: &mut World, session: &mut Session) {
    let mut quiet = 0;
    for _ in 0..2_000 {
        if let Some(Err(error)) = &session.over {
            panic!("{error:?}");
        }
        let before = world.durable.seen.len();
        session.run_for(world, 1_000);
        session.take_all(world);
        session.commit(world);
        quiet = if world.durable.seen.len() == before { quiet + 1 } else { 0 };
        if quiet > QUIET && session.is_caught_up(world) {
            return;
        }
    }
    panic!("never caught up: {:#?}", session.run.metrics(session.now(world)));
}

/// A stream resharded at random moments, an awkward service with faults, a reader that is killed.
pub fn reshards(seed: u64, keeper: Keeper, reshards: u32, kills: u32) -> World {
    let shards = 1 + (seed % 4) as u32;
    let mut world = world(seed, shards);
    world.make_kinesis_awkward();
    let options = Options { keeper, seed, ..options() };
    let mut session = world.start(options.clone()).unwrap();
    let (mut resharded, mut killed) = (0, 0);
    while resharded < reshards || killed < kills {
        (0..world.dice.roll(20)).for_each(|_| world.put(30));
        if resharded < reshards && world.dice.chance(60) {
            world.reshard_any();
            resharded += 1;
        }
        if world.dice.chance(30) {
            world.inject_any_of_kinesis();
        }
        let pause = 1 + world.dice.roll(3_000) as i64;
        session.run_for(&mut world, pause);
        consume_some(&mut world, &mut session);
        if killed < kills && world.dice.chance(40) {
            session = world.start(options.clone()).unwrap();
            killed += 1;
        }
        if let Some(Err(error)) = &session.over {
            panic!("seed {seed}: {error:?}");
        }
    }
    world.aws.clear_faults();
    drain(&mut world, &mut session);
    world
}

#[test]
fn every_record_once_and_in_order_through_splits_merges_faults_and_kills() {
    for seed in seeds(700) {
        let world = reshards(seed, Keeper::Loader, 6, 4);
        assert_exact(&world);
        assert_ordered(&world);
        assert_eq!(world.durable.gaps, []);
    }
}

#[test]
fn a_plain_consumer_of_a_stream_loses_nothing_through_splits_merges_faults_and_kills() {
    for seed in seeds(300).map(|seed| seed + 10_000) {
        let world = reshards(seed, Keeper::Store, 6, 4);
        assert_none_lost(&world, 0);
        assert_ordered(&world);
        assert_eq!(world.durable.gaps, []);
    }
}

#[test]
fn a_long_story_of_reshards() {
    for seed in seeds(3).map(|seed| seed + 20_000) {
        let world = reshards(seed, Keeper::Loader, 60, 20);
        assert_exact(&world);
        assert_ordered(&world);
    }
}

/// The service's limits are kept by waiting: it has nothing to refuse.
#[test]
fn a_backlog_is_read_without_a_single_refusal() {
    backlog();
}

pub fn backlog() {
    let mut world = world(1, 2);
    let kinesis = KinesisKnobs { page_records: 40, ..KinesisKnobs::default() };
    world.aws.knobs_mut().kinesis = kinesis;
    for _ in 0..400 {
        world.put(50);
    }
    let large = vec![b'x'; 900_000];
    (0..12).for_each(|_| drop(world.aws.kinesis().put(STREAM, "large", &large).unwrap()));
    let knobs = world.aws.knobs_mut();
    knobs.kinesis = KinesisKnobs { page_records: 40, ..KinesisKnobs::default() }.with_documented_rates();
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    let metrics = session.run.metrics(session.now(&world));
    assert_eq!((metrics.throttles, metrics.retries), (0, 0));
    assert_eq!(metrics.records, 412);
}

#[test]
fn children_named_by_the_last_page_are_read_without_a_listing() {
    let mut world = world(2, 1);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 3_000);
    let mut listed = 0;
    for _ in 0..5 {
        world.reshard_any();
        (0..20).for_each(|_| world.put(30));
        let before = world.aws.count(Op::Kinesis(KinesisOp::ListShards)).calls;
        session.run_for(&mut world, 5_000);
        session.take_all(&mut world);
        session.commit(&mut world);
        listed += world.aws.count(Op::Kinesis(KinesisOp::ListShards)).calls - before;
    }
    assert_exact(&world);
    assert_eq!(listed, 0, "listings within 25 seconds");
}

#[test]
fn latest_is_a_moment_that_a_kill_before_the_first_record_does_not_move() {
    seeds(10).for_each(latest);
}

pub fn latest(seed: u64) {
    {
        let mut world = world(seed, 3);
        (0..200).for_each(|_| world.put(20));
        (0..3).for_each(|_| world.reshard_any());
        world.aws.advance(60_000);
        let options = Options { start: Start::Latest, keeper: Keeper::Store, ..options() };
        let mut session = world.start(options.clone()).unwrap();
        session.open(&mut world);
        let before = world.aws.kinesis_history().len();
        drop(session);
        for _ in 0..30 {
            world.put(20);
            if world.dice.chance(20) {
                world.reshard_any();
            }
            world.aws.advance(100);
        }
        let mut session = world.start(options).unwrap();
        drain(&mut world, &mut session);
        assert_none_lost(&world, before);
        assert_eq!(world.durable.seen.len(), 30, "latest read the past");
        assert_ordered(&world);
        assert!(world.aws.count(Op::Kinesis(KinesisOp::GetShardIterator)).calls > 0);
    }
}

#[test]
fn a_moment_is_where_every_shard_begins_exactly() {
    let mut world = world(5, 2);
    let mut from = 0;
    let mut moment = 0;
    for round in 0..6 {
        (0..30).for_each(|_| world.put(20));
        world.aws.advance(5_000);
        world.reshard_any();
        if round == 2 {
            moment = world.aws.now_ms();
            from = world.aws.kinesis_history().len();
        }
    }
    world.aws.advance(5_000);
    let options = Options { start: Start::Time(moment), follow: false, ..options() };
    run_to_its_end(&mut world, &options).unwrap();
    assert_none_lost(&world, from);
    assert_eq!(world.durable.seen.len(), world.aws.kinesis_history().len() - from);
    assert_ordered(&world);
}

#[test]
fn a_moment_in_the_future_is_an_error_and_one_before_the_retention_is_the_earliest() {
    let mut world = world(5, 2);
    (0..30).for_each(|_| world.put(20));
    world.aws.advance(5_000);
    let ahead = Start::Time(world.aws.now_ms() + 60_000);
    let error = run_to_its_end(&mut world, &Options { start: ahead, ..options() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("ahead of the service's clock"), "{error}");
    let long_ago = Start::Time(world.aws.now_ms() - 1000 * HOUR);
    run_to_its_end(&mut world, &Options { start: long_ago, follow: false, ..options() }).unwrap();
    assert_exact(&world);
    assert_eq!(world.durable.gaps, []);
}

/// No shard is watched for `settle`: one page with nothing behind it is enough.
#[test]
fn a_bounded_run_ends_as_soon_as_nothing_is_behind() {
    let mut world = world(6, 4);
    (0..300).for_each(|_| world.put(40));
    (0..6).for_each(|_| world.reshard_any());
    (0..300).for_each(|_| world.put(40));
    let begun = world.aws.now_ms();
    run_to_its_end(&mut world, &Options { follow: false, ..options() }).unwrap();
    assert_exact(&world);
    assert_ordered(&world);
    assert!(world.aws.now_ms() - begun < 9_000, "{} ms", world.aws.now_ms() - begun);
}

#[test]
fn a_stream_that_is_being_made_is_waited_for() {
    let mut aws = Aws::new(1);
    aws.knobs_mut().kinesis.creating_ms = 20_000;
    aws.kinesis().create_stream(&CreateStream::with_shards(STREAM, 2)).unwrap();
    let mut world = World::of(aws, Service::Kinesis, 1);
    let mut session = world.start(options()).unwrap();
    session.run_for(&mut world, 25_000);
    (0..50).for_each(|_| world.put(40));
    drain(&mut world, &mut session);
    assert_exact(&world);
}

/// What it costs to wait for records: one call a second for each shard, one listing a minute.
#[test]
fn an_idle_stream_costs_little() {
    let mut world = world(1, 4);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    let calls = |world: &World| {
        let ops = [KinesisOp::GetRecords, KinesisOp::ListShards, KinesisOp::GetShardIterator];
        ops.map(|op| world.aws.count(Op::Kinesis(op)).calls)
    };
    let before = calls(&world);
    session.run_for(&mut world, 600_000);
    let after = calls(&world);
    let [pages, listings, iterators] = [0, 1, 2].map(|op| after[op] - before[op]);
    assert!(pages <= 4 * 600 && listings <= 10 && iterators == 0, "{pages} {listings} {iterators}");
}

/// A listing may be older than the stream.
#[test]
fn a_bounded_run_does_not_take_a_stale_listing_for_an_empty_stream() {
    let mut world = world(6, 2);
    world.aws.knobs_mut().stale_ms = 3_000;
    (0..50).for_each(|_| world.put(40));
    run_to_its_end(&mut world, &Options { follow: false, ..options() }).unwrap();
    assert_exact(&world);
}

/// Empty pages with something behind them are no end.
#[test]
fn a_bounded_run_goes_through_empty_pages() {
    empty_pages();
}

pub fn empty_pages() {
    let mut world = world(6, 2);
    world.aws.knobs_mut().kinesis.empty_pages = 40;
    (0..50).for_each(|_| world.put(40));
    run_to_its_end(&mut world, &Options { follow: false, ..options() }).unwrap();
    assert_exact(&world);
}

/// Listings show neither a shard that closed a moment ago nor its children, and its last page is still to
/// come: that nothing is behind what was read says nothing of the children.
#[test]
fn a_bounded_run_ends_behind_shards_that_closed_before_it_began() {
    for seed in seeds(10) {
        let mut world = world(seed, 3);
        (0..20).for_each(|_| world.put(40));
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        drop(session);
        let knobs = world.aws.knobs_mut();
        (knobs.hide_parent_ms, knobs.hide_child_ms) = (400, 1_200);
        knobs.end_page = EndPage::Separate;
        (knobs.kinesis.empty_pages, knobs.kinesis.hide_children_ms) = (3, 400);
        (0..20).for_each(|_| world.put(40));
        world.reshard_any();
        (0..40).for_each(|_| world.put(40));
        run_to_its_end(&mut world, &Options { follow: false, ..options() }).unwrap();
        assert_exact(&world);
    }
}

#[test]
fn the_service_tells_the_lag() {
    let mut world = world(7, 1);
    world.aws.knobs_mut().kinesis.page_records = 10;
    (0..40).for_each(|_| world.put(10));
    world.aws.advance(90_000);
    (0..40).for_each(|_| world.put(10));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 300);
    let lag = session.run.metrics(session.now(&world)).lag_seconds.unwrap();
    assert!((80.0..100.0).contains(&lag), "{lag}");
    drain(&mut world, &mut session);
    assert_eq!(session.run.metrics(session.now(&world)).lag_seconds, Some(0.0));
}

/// Kinesis goes on at the oldest record left, without a word.
#[test]
fn a_checkpoint_older_than_the_retention_of_a_stream_is_a_gap() {
    retention();
}

pub fn retention() {
    let mut world = world(3, 2);
    (0..50).for_each(|_| world.put(10));
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    (0..50).for_each(|_| world.put(10));
    world.aws.advance(25 * HOUR as u64);
    (0..5).for_each(|_| world.put(10));
    let error = run_to_its_end(&mut world, &Options { follow: false, ..options() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap);
    assert!(error.message().contains("24 hours") && !error.message().contains("resnapshot"), "{error}");
    let mut session = world.start(Options { on_gap: OnGap::Continue, ..options() }).unwrap();
    drain(&mut world, &mut session);
    assert_eq!(world.durable.gaps.len(), 2, "one for each shard: {:?}", world.durable.gaps);
    assert_none_lost(&world, 100);
}

/// At the first start a shard that was just split is in no listing, and neither are its children. It is
/// hours old all the same, and what is trimmed of it while nobody reads is a gap.
#[test]
fn a_lineage_that_the_first_listing_leaves_out_is_as_old_as_the_start() {
    left_out();
}

pub fn left_out() {
    let mut world = world(12, 2);
    (0..50).for_each(|_| world.put(10));
    world.aws.advance(10 * HOUR as u64);
    world.aws.kinesis().split_shard(&Named::of(STREAM), "shardId-000000000001", None).unwrap();
    world.aws.knobs_mut().omit = (1..4).map(|shard| format!("shardId-00000000000{shard}")).collect();
    let refused = Fault::Error { code: "InternalFailure".into(), status: 500, message: "refused".into() };
    let shard = Some(format!("{STREAM}/shardId-000000000001"));
    let op = Op::Kinesis(KinesisOp::GetRecords);
    world.aws.inject(Injection { times: 1 << 20, shard, ..Injection::once(op, refused) });
    let options = Options { discovery_interval: Duration::from_secs(5), ..options() };
    let mut session = world.start(options.clone()).unwrap();
    for _ in 0..40 {
        session.run_for(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
        world.aws.knobs_mut().omit.clear();
    }
    assert!(world.durable.checkpoint.as_ref().unwrap().shards.len() >= 2, "shard 1 was never found");
    drop(session);
    world.aws.clear_faults();
    world.aws.advance(20 * HOUR as u64);
    let error = run_to_its_end(&mut world, &Options { follow: false, ..options }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap);
    assert!(error.message().contains("shardId-000000000001"), "{error}");
}

/// Some imitations of the service give some hashes to no shard.
#[test]
fn hashes_that_belong_to_nobody_hold_a_start_up_for_a_minute() {
    let mut world = world(13, 2);
    (0..50).for_each(|_| world.put(10));
    world.aws.knobs_mut().omit = vec!["shardId-000000000001".to_owned()];
    let mut session = world.start(options()).unwrap();
    session.run_for(&mut world, 1_000);
    assert!(session.warnings.is_empty(), "{:?}", session.warnings);
    session.run_for(&mut world, 58_000);
    assert!(!session.run.is_open());
    let told: Vec<_> = session.warnings.iter().filter(|line| line.contains("hash keys")).collect();
    assert!(matches!(told[..], [line] if line.contains("60 s")), "{:?}", session.warnings);
    session.run_for(&mut world, 3_000);
    assert!(session.run.is_open());
}

#[test]
fn a_longer_retention_keeps_an_old_checkpoint_good() {
    let mut world = world(3, 2);
    world.aws.kinesis().increase_retention(&Named::of(STREAM), 48).unwrap();
    (0..50).for_each(|_| world.put(10));
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    (0..50).for_each(|_| world.put(10));
    world.aws.advance(25 * HOUR as u64);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_eq!(world.durable.gaps, []);
}

#[test]
fn a_retention_that_is_cut_trims_at_once_and_that_is_a_gap() {
    let mut world = world(3, 1);
    let stream = Named::of(STREAM);
    world.aws.kinesis().increase_retention(&stream, 72).unwrap();
    world.aws.knobs_mut().kinesis.page_records = 5;
    let mut session = world.start(Options { batch_rows: 5, memory_limit: 16 << 20, ..options() }).unwrap();
    drain(&mut world, &mut session);
    (0..20).for_each(|_| world.put(10));
    // The consumer takes nothing, so the reader stops.
    session.run_for(&mut world, 2_000);
    world.aws.advance(30 * HOUR as u64);
    (0..20).for_each(|_| world.put(10));
    world.aws.kinesis().decrease_retention(&stream, 24).unwrap();
    session.run_for(&mut world, 70_000);
    session.take_all(&mut world);
    session.run_for(&mut world, 1_000);
    match &session.over {
        Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Gap),
        other => panic!("{other:?}"),
    }
}

/// One parent of a merge is read to its end, the other is not, and then nobody reads for two days, in
/// which the merged shard is split and vanishes.
#[test]
pub(crate) fn the_child_of_a_merge_does_not_wait_for_a_parent_that_aged_out() {
    let mut world = world(11, 2);
    (0..20).for_each(|_| world.put(10));
    let go_on = Options { on_gap: OnGap::Continue, ..options() };
    let mut session = world.start(go_on.clone()).unwrap();
    drain(&mut world, &mut session);
    let refused = Fault::Error { code: "InternalFailure".into(), status: 500, message: "refused".into() };
    let op = Op::Kinesis(KinesisOp::GetRecords);
    let shard = Some(format!("{STREAM}/shardId-000000000001"));
    world.aws.inject(Injection { times: 1 << 20, shard, ..Injection::once(op, refused) });
    world
        .aws
        .kinesis()
        .merge_shards(&Named::of(STREAM), "shardId-000000000000", "shardId-000000000001")
        .unwrap();
    session.run_for(&mut world, 90_000);
    session.commit(&mut world);
    let saved = world.durable.checkpoint.as_ref().unwrap();
    let finished: Vec<_> = saved.shards.values().map(|state| state.finished.is_some()).collect();
    assert_eq!(finished, [true, false, false]);
    drop(session);
    world.aws.clear_faults();
    world.reshard_any();
    world.aws.advance(50 * HOUR as u64);
    let before = world.aws.kinesis_history().len();
    (0..20).for_each(|_| world.put(10));
    let mut session = world.start(go_on).unwrap();
    drain(&mut world, &mut session);
    assert_none_lost(&world, before);
}

/// A reader whose consumer sleeps for a day is overtaken by the trimming, whatever its cursor's age.
#[test]
fn a_running_reader_overtaken_by_the_retention_says_so() {
    let mut world = world(4, 1);
    world.aws.knobs_mut().kinesis.page_records = 10;
    let options = Options { batch_rows: 10, ..options() };
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    (0..30).for_each(|_| world.put(10));
    session.run_for(&mut world, 60_000);
    session.take_all(&mut world);
    session.commit(&mut world);
    (0..30).for_each(|_| world.put(10));
    world.aws.advance(25 * HOUR as u64);
    (0..30).for_each(|_| world.put(10));
    session.run_for(&mut world, 60_000);
    match &session.over {
        Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Gap),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_stream_under_the_name_is_a_gap_and_then_goes_on() {
    for running in [true, false] {
        let mut world = world(8, 2);
        (0..40).for_each(|_| world.put(10));
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        let before = world.aws.kinesis_history().len();
        world.recreate_stream(2);
        (0..40).for_each(|_| world.put(10));
        if !running {
            session = world.start(options()).unwrap();
        }
        session.run_for(&mut world, 200_000);
        match &session.over {
            Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Gap, "{error:?}"),
            other => panic!("{other:?}"),
        }
        let mut session = world.start(Options { on_gap: OnGap::Continue, ..options() }).unwrap();
        drain(&mut world, &mut session);
        assert_eq!(world.durable.gaps.len(), 1, "{:?}", world.durable.gaps);
        assert_none_lost(&world, before);
    }
}

#[test]
fn an_idle_stream_has_no_gap_through_two_days_of_reshards_and_kills() {
    for seed in seeds(3) {
        let mut world = world(seed, 2);
        let poll_interval = Duration::from_secs(15);
        let options = Options { keeper: Keeper::Store, poll_interval, ..options() };
        world.start(options.clone()).unwrap().run_for(&mut world, 200_000);
        let end = world.aws.now_ms() + 48 * HOUR;
        while world.aws.now_ms() < end {
            let mut session = world.start(options.clone()).unwrap();
            let alive = 10_000 + world.dice.roll(2 * HOUR as u64) as i64;
            session.run_for(&mut world, alive);
            assert!(session.over.is_none(), "seed {seed}: {:?}", session.over);
            world.reshard_any();
            let down = world.dice.roll(5 * HOUR as u64);
            world.aws.advance(down);
        }
        world.put(5);
        let mut session = world.start(options).unwrap();
        drain(&mut world, &mut session);
        assert_exact(&world);
        assert_eq!(world.durable.gaps, []);
    }
}

#[test]
fn cursors_that_expire_behind_a_slow_consumer_of_a_stream_are_renewed_without_loss() {
    let mut world = world(5, 2);
    world.aws.knobs_mut().kinesis.page_records = 50;
    let options = Options { batch_rows: 10, memory_limit: 40 << 20, ..options() };
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    for round in 0..6 {
        (0..400).for_each(|_| world.put(20));
        session.run_for(&mut world, 20 * 60_000);
        if round % 2 == 1 {
            session.take_all(&mut world);
            session.commit(&mut world);
        }
    }
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}

#[test]
fn a_start_behind_a_record_leaves_out_what_is_before_it_in_its_lineage() {
    let mut world = world(9, 1);
    (0..60).for_each(|_| world.put(20));
    world.reshard_any();
    (0..60).for_each(|_| world.put(20));
    let from = world.aws.kinesis_history()[30].clone();
    let position = Position::After(SequenceNumber::parse(&from.sequence.to_string()).unwrap());
    let start = Start::Positions { positions: vec![(None, position)], others: Others::Latest };
    run_to_its_end(&mut world, &Options { start, follow: false, ..options() }).unwrap();
    let seen: Vec<u64> = world.durable.seen.iter().map(|seen| seen.version.parse().unwrap()).collect();
    assert_eq!(seen.iter().min(), Some(&31));
    assert_eq!(seen.len(), 120 - 31);
}

/// What stands in the way is put in order by people, within the time that is allowed for it.
#[test]
fn a_key_that_is_disabled_for_a_minute_only_makes_the_reader_wait() {
    let mut world = world(10, 1);
    (0..20).for_each(|_| world.put(10));
    let disabled =
        Fault::Error { code: "KMSDisabledException".into(), status: 400, message: "disabled".into() };
    let op = Op::Kinesis(KinesisOp::GetRecords);
    world.aws.inject(Injection { times: 12, ..Injection::once(op, disabled.clone()) });
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
    world.aws.inject(Injection { times: 1 << 20, ..Injection::once(op, disabled) });
    session.run_for(&mut world, 400_000);
    match &session.over {
        Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Stalled),
        other => panic!("{other:?}"),
    }
}
