//! The real `Run` and decoder against the twin, in virtual time: seeded, single-threaded, no I/O.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod broken;
mod bugs;
mod checker;
mod failures;
mod failures_broken;
mod figures;
mod health;
mod kinesis;
mod kinesis_broken;
mod kinesis_service;
mod progress;
mod pushed;
mod seeds;
mod service;
mod snapshot;
mod story;
mod trouble;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shardarrow::error::ErrorKind;
use shardarrow::position::{Position, SequenceNumber};
use shardarrow::run::{Keeper, OnGap, Options, Others, Start};
use world::{Session, World, options};

const HOUR: i64 = 3_600_000;

/// Seconds without a change after which every listing has been looked at again.
const QUIET: u32 = 70;

/// This many seeds, ten times as many in a long run (`SHARDARROW_FULL=1`).
fn seeds(count: u64) -> std::ops::Range<u64> {
    let full = std::env::var("SHARDARROW_FULL").is_ok_and(|full| full == "1");
    0..if full { count * 10 } else { count }
}

/// Every change exactly once.
fn assert_exact(world: &World) {
    let written: Vec<_> = world.aws.history().iter().map(|record| record.sequence.to_string()).collect();
    let seen: Vec<_> = world.durable.seen.iter().map(|seen| seen.sequence.clone()).collect();
    let unique: BTreeSet<_> = seen.iter().cloned().collect();
    let lost: Vec<_> = written.iter().filter(|sequence| !unique.contains(*sequence)).collect();
    assert!(lost.is_empty(), "{} of {} changes lost: {lost:?}", lost.len(), written.len());
    assert_eq!(seen.len(), unique.len(), "changes came twice");
}

fn assert_none_lost(world: &World, from: usize) {
    let unique: BTreeSet<_> = world.durable.seen.iter().map(|seen| seen.sequence.clone()).collect();
    let lost =
        world.aws.history()[from..].iter().filter(|record| !unique.contains(&record.sequence.to_string()));
    assert_eq!(lost.count(), 0);
}

/// I2: for each key, in the order in which it was changed (first sightings, when changes repeat).
fn assert_ordered(world: &World) {
    let mut last: BTreeMap<&str, SequenceNumber> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for seen in world.durable.seen.iter().filter(|seen| known.insert(seen.sequence.clone())) {
        let number = SequenceNumber::parse(&seen.sequence).unwrap();
        if let Some(before) = last.insert(&seen.key, number.clone()) {
            assert!(before < number, "key {} went from {before} to {number}", seen.key);
        }
    }
}

/// Runs until all changes are read, with nothing else happening.
fn drain(world: &mut World, session: &mut Session) {
    let mut quiet = 0;
    for _ in 0..2_000 {
        if session.over.is_some() {
            break;
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
    if let Some(Err(error)) = &session.over {
        panic!("{error:?}");
    }
    panic!("never caught up: {:#?}", session.run.metrics(session.now(world)));
}

/// Eight lineages that roll over at random moments, an awkward service, a reader killed twenty times.
fn rollovers(seed: u64, keeper: Keeper, rollovers: u32, kills: u32) -> World {
    let mut world = World::new(seed, 8);
    make_awkward(&mut world);
    let options = Options { keeper, seed, ..options() };
    let mut session = world.start(options.clone()).unwrap();
    let (mut rolled, mut killed) = (0, 0);
    while rolled < rollovers || killed < kills {
        for _ in 0..world.dice.roll(40) {
            world.write(30);
        }
        if rolled < rollovers && world.dice.chance(60) {
            world.roll_over_any();
            rolled += 1;
        }
        let pause = 1 + world.dice.roll(3_000) as i64;
        session.run_for(&mut world, pause);
        consume_some(&mut world, &mut session);
        if killed < kills && world.dice.chance(25) {
            session = world.start(options.clone()).unwrap();
            killed += 1;
        }
        if let Some(Err(error)) = &session.over {
            panic!("seed {seed}: {error:?}");
        }
    }
    drain(&mut world, &mut session);
    world
}

#[test]
fn a_parent_that_the_first_listing_left_out_is_no_gap_after_a_kill() {
    let mut world = World::new(39, 1);
    (0..20).for_each(|_| world.write(10));
    let (parent, _) = world.aws.roll_over(world::TABLE, 0).unwrap();
    (0..20).for_each(|_| world.write(10));
    world.aws.knobs_mut().omit = vec![parent.to_string()];
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    world.aws.knobs_mut().omit.clear();
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}

/// The listing leaves out a parent whose own parent has been trimmed, and has it later.
#[test]
fn what_lies_before_history_is_no_gap() {
    for killed in [false, true] {
        let mut world = World::new(40, 1);
        (0..20).for_each(|_| world.write(10));
        world.aws.roll_over(world::TABLE, 0).unwrap();
        world.aws.advance(25 * HOUR as u64);
        let written = world.aws.history().len();
        (0..20).for_each(|_| world.write(10));
        let (parent, _) = world.aws.roll_over(world::TABLE, 0).unwrap();
        (0..20).for_each(|_| world.write(10));
        world.aws.knobs_mut().omit = vec![parent.to_string()];
        let mut session = world.start(options()).unwrap();
        session.open(&mut world);
        world.aws.knobs_mut().omit.clear();
        if killed {
            session = world.start(options()).unwrap();
        }
        drain(&mut world, &mut session);
        assert_none_lost(&world, written);
        assert_eq!(world.durable.gaps, []);
    }
}

/// The first listing leaves out two generations, a later one has them.
#[test]
fn what_lies_before_the_parent_of_history_is_no_gap() {
    let mut world = World::new(41, 1);
    let roll_over = |world: &mut World| {
        (0..20).for_each(|_| world.write(10));
        world.aws.roll_over(world::TABLE, 0).unwrap().0.to_string()
    };
    roll_over(&mut world);
    world.aws.advance(25 * HOUR as u64);
    let written = world.aws.history().len();
    let (older, younger) = (roll_over(&mut world), roll_over(&mut world));
    (0..20).for_each(|_| world.write(10));
    world.aws.knobs_mut().omit = vec![older, younger];
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.commit(&mut world);
    world.aws.knobs_mut().omit.clear();
    drain(&mut world, &mut session);
    assert_none_lost(&world, written);
    assert_eq!(world.durable.gaps, []);
}

fn make_awkward(world: &mut World) {
    let drawn = (world.dice.roll(1 << 32), world.dice.roll(4), world.dice.roll(5_000), world.dice.roll(3));
    let knobs = world.aws.knobs_mut();
    knobs.permute = Some(drawn.0);
    knobs.listing_page = 1 + drawn.1 as usize * 3;
    knobs.stale_ms = drawn.2 as i64;
    knobs.hide_parent_ms = 400;
    knobs.empty_pages = drawn.3 as u32;
    knobs.end_page = twin::EndPage::Mixed;
    knobs.page_records = 1 + drawn.1 as usize * 10;
}

fn consume_some(world: &mut World, session: &mut Session) {
    if world.dice.chance(30) {
        return;
    }
    session.take_all(world);
    if world.dice.chance(70) {
        session.commit(world);
    }
}

#[test]
fn every_change_once_and_in_order_through_rollovers_and_kills() {
    for seed in seeds(8) {
        let world = rollovers(seed, Keeper::Loader, 50, 20);
        assert_exact(&world);
        assert_ordered(&world);
    }
}

#[test]
fn a_plain_consumer_loses_nothing_through_rollovers_and_kills() {
    for seed in seeds(8).map(|seed| seed + 1000) {
        let world = rollovers(seed, Keeper::Store, 50, 20);
        assert_none_lost(&world, 0);
        assert_ordered(&world);
    }
}

#[test]
fn an_idle_table_has_no_gap_through_two_days_of_rollovers_and_kills() {
    for seed in seeds(3) {
        let mut world = World::new(seed, 4);
        world.aws.knobs_mut().roll_every_ms = Some(4 * HOUR);
        let poll_interval = Duration::from_secs(15);
        let options = Options { keeper: Keeper::Store, poll_interval, ..options() };
        world.start(options.clone()).unwrap().run_for(&mut world, 200_000);
        let end = world.aws.now_ms() + 48 * HOUR;
        while world.aws.now_ms() < end {
            let mut session = world.start(options.clone()).unwrap();
            let alive = 10_000 + world.dice.roll(2 * HOUR as u64) as i64;
            session.run_for(&mut world, alive);
            assert!(session.over.is_none(), "seed {seed}: {:?}", session.over);
            let down = world.dice.roll(5 * HOUR as u64);
            world.aws.advance(down);
        }
        world.write(5);
        let mut session = world.start(options).unwrap();
        drain(&mut world, &mut session);
        assert_exact(&world);
        assert_eq!(world.durable.gaps, []);
    }
}

#[test]
fn latest_killed_before_its_first_record_loses_nothing_written_meanwhile() {
    for seed in seeds(10) {
        let mut world = World::new(seed, 3);
        (0..200).for_each(|_| world.write(20));
        world.aws.advance(60_000);
        let options = Options { start: Start::Latest, keeper: Keeper::Store, ..options() };
        let mut session = world.start(options.clone()).unwrap();
        session.open(&mut world);
        let before = world.aws.history().len();
        drop(session);
        for _ in 0..30 {
            world.write(20);
            if world.dice.chance(20) {
                world.roll_over_any();
            }
            world.aws.advance(100);
        }
        let mut session = world.start(options).unwrap();
        drain(&mut world, &mut session);
        assert_none_lost(&world, before);
        assert!(world.durable.seen.len() < 200, "latest read the past: {}", world.durable.seen.len());
        assert_ordered(&world);
    }
}

#[test]
fn a_checkpoint_older_than_the_retention_is_a_gap() {
    for refused in [true, false] {
        let mut world = World::new(3, 2);
        world.aws.knobs_mut().refuse_after_trimmed = refused;
        (0..50).for_each(|_| world.write(10));
        let options = options();
        let mut session = world.start(options.clone()).unwrap();
        drain(&mut world, &mut session);
        (0..50).for_each(|_| world.write(10));
        world.aws.advance(25 * HOUR as u64);
        (0..5).for_each(|_| world.write(10));
        let mut session = world.start(options.clone()).unwrap();
        session.open(&mut world);
        session.run_for(&mut world, 60_000);
        match &session.over {
            Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Gap),
            other => panic!("{other:?}"),
        }
        let mut session = world.start(Options { on_gap: OnGap::Continue, ..options.clone() }).unwrap();
        drain(&mut world, &mut session);
        let gaps = world.durable.gaps.len();
        assert_eq!(gaps, 2, "one for each shard: {:?}", world.durable.gaps);
        assert_none_lost(&world, 100);
        let mut session = world.start(options).unwrap();
        drain(&mut world, &mut session);
        assert_eq!(world.durable.gaps.len(), gaps, "a gap is reported once");
    }
}

#[test]
fn a_stream_that_was_switched_off_and_on_is_a_gap_and_then_goes_on() {
    let mut world = World::new(4, 2);
    (0..40).for_each(|_| world.write(10));
    let options = options();
    let mut session = world.start(options.clone()).unwrap();
    drain(&mut world, &mut session);
    world.reenable_stream();
    (0..40).for_each(|_| world.write(10));
    session.run_for(&mut world, 200_000);
    assert!(
        matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::Gap),
        "{:?}",
        session.over
    );
    let mut session = world.start(Options { on_gap: OnGap::Continue, ..options }).unwrap();
    for _ in 0..300 {
        session.run_for(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    assert!(session.over.is_none(), "{:?}", session.over);
    assert_eq!(world.durable.gaps.len(), 1);
    assert_exact(&world);
}

#[test]
fn a_parent_that_was_trimmed_before_the_first_start_is_history_after_a_restart_too() {
    let mut world = World::new(14, 2);
    (0..40).for_each(|_| world.write(10));
    (0..2).for_each(|partition| drop(world.aws.roll_over(world::TABLE, partition).unwrap()));
    world.aws.advance(25 * HOUR as u64);
    let written = world.aws.history().len();
    (0..40).for_each(|_| world.write(10));
    for _ in 0..2 {
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        assert_none_lost(&world, written);
        assert_eq!(world.durable.gaps, []);
    }
}

#[test]
fn a_bounded_run_notices_that_the_stream_was_replaced_while_nobody_looked() {
    let mut world = World::new(13, 1);
    (0..40).for_each(|_| world.write(10));
    let options = Options { follow: false, ..options() };
    run_to_its_end(&mut world, &options).unwrap();
    world.reenable_stream();
    (0..10).for_each(|_| world.write(10));
    let over = run_to_its_end(&mut world, &options);
    assert!(matches!(&over, Err(error) if error.kind() == ErrorKind::Gap), "{over:?}");
    let over = run_to_its_end(&mut world, &Options { on_gap: OnGap::Continue, ..options });
    assert!(over.is_ok(), "{over:?}");
    assert_eq!(world.durable.gaps.len(), 1);
    assert_exact(&world);
}

fn run_to_its_end(world: &mut World, options: &Options) -> Result<(), shardarrow::error::Error> {
    let mut session = world.start(options.clone()).unwrap();
    for _ in 0..100_000 {
        if let Some(over) = session.over.take() {
            session.take_all(world);
            session.commit(world);
            return over;
        }
        session.step(world, 1_000);
        session.take_all(world);
        session.commit(world);
    }
    panic!("no end: {:#?}", session.run.metrics(session.now(world)));
}

#[test]
fn cursors_that_expire_behind_a_slow_consumer_are_renewed_without_loss() {
    let mut world = World::new(5, 2);
    let options = Options { batch_rows: 10, memory_limit: 9 * 1024 * 1024, ..options() };
    let mut session = world.start(options).unwrap();
    session.open(&mut world);
    for round in 0..6 {
        (0..400).for_each(|_| world.write(20));
        session.run_for(&mut world, 20 * 60_000);
        assert!(session.run.metrics(session.now(&world)).memory_peak <= 13 * 1024 * 1024);
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
fn a_bounded_run_ends_with_everything_that_was_there() {
    let mut world = World::new(6, 4);
    (0..300).for_each(|_| world.write(40));
    (0..6).for_each(|_| world.roll_over_any());
    (0..300).for_each(|_| world.write(40));
    let mut session = world.start(Options { follow: false, ..options() }).unwrap();
    while session.over.is_none() {
        session.step(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    assert!(matches!(session.over, Some(Ok(()))), "{:?}", session.over);
    session.take_all(&mut world);
    session.commit(&mut world);
    assert_exact(&world);
    assert!(session.now(&world).as_secs() < 60);
}

#[test]
fn a_last_record_that_was_trimmed_behind_an_idle_reader_is_no_gap() {
    let mut world = World::new(8, 2);
    (0..20).for_each(|_| world.write(10));
    let options = Options { keeper: Keeper::Store, poll_interval: Duration::from_secs(20), ..options() };
    let mut session = world.start(options.clone()).unwrap();
    drain(&mut world, &mut session);
    session.run_for(&mut world, 30 * HOUR);
    assert!(session.over.is_none(), "{:?}", session.over);
    let mut session = world.start(options).unwrap();
    (0..20).for_each(|_| world.write(10));
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_eq!(world.durable.gaps, []);
}

#[test]
fn faults_of_every_kind_lose_nothing() {
    for seed in seeds(6) {
        let mut world = World::new(seed, 3);
        make_awkward(&mut world);
        let mut session = world.start(options()).unwrap();
        for _ in 0..150 {
            (0..world.dice.roll(30)).for_each(|_| world.write(20));
            if world.dice.chance(10) {
                world.roll_over_any();
            }
            inject_any(&mut world);
            let pause = 1 + world.dice.roll(3_000) as i64;
            session.run_for(&mut world, pause);
            consume_some(&mut world, &mut session);
            if let Some(Err(error)) = &session.over {
                panic!("seed {seed}: {error:?}");
            }
        }
        world.aws.clear_faults();
        drain(&mut world, &mut session);
        assert_exact(&world);
        assert_ordered(&world);
    }
}

fn inject_any(world: &mut World) {
    use twin::{Fault, Injection, Op};
    // One after the other: a page that stays damaged is an error by design.
    world.aws.clear_faults();
    let ops = [Op::GetRecords, Op::GetShardIterator, Op::DescribeStream];
    let op = ops[world.dice.roll(3) as usize];
    let error = |code: &str, status| Fault::Error { code: code.into(), status, message: "scripted".into() };
    let fault = match world.dice.roll(8) {
        0 => error("InternalServerError", 500),
        1 => error("ThrottlingException", 400),
        2 => error("LimitExceededException", 400),
        3 if op == Op::GetRecords => error("ExpiredIteratorException", 400),
        4 if op != Op::DescribeStream => error("ResourceNotFoundException", 400),
        5 if op == Op::GetRecords => Fault::InvalidJson,
        6 if op == Op::GetRecords => Fault::WrongCrc,
        _ => Fault::LostReply,
    };
    world.aws.inject(Injection { times: 1 + world.dice.roll(3), ..Injection::once(op, fault) });
}

#[test]
fn a_start_in_one_shard_leaves_out_its_past_and_follows_its_descendants() {
    let mut world = World::new(9, 2);
    (0..60).for_each(|_| world.write(20));
    (0..2).for_each(|partition| drop(world.aws.roll_over(world::TABLE, partition).unwrap()));
    (0..60).for_each(|_| world.write(20));
    let from = world.aws.history()[80].clone();
    let shard = Some(from.shard.as_ref().into());
    let position = Position::At(SequenceNumber::parse(&from.sequence.to_string()).unwrap());
    world.aws.roll_over(world::TABLE, 0).unwrap();
    (0..60).for_each(|_| world.write(20));
    let start = Start::Positions { positions: vec![(shard, position)], others: Others::Earliest };
    let mut session = world.start(Options { start, ..options() }).unwrap();
    session.open(&mut world);
    drain(&mut world, &mut session);
    let seen: BTreeSet<_> = world.durable.seen.iter().map(|seen| seen.sequence.as_str()).collect();
    let of_shard = |record: &&std::sync::Arc<twin::Record>| record.shard == from.shard;
    for record in world.aws.history().iter().filter(of_shard) {
        let wanted = record.sequence >= from.sequence;
        assert_eq!(seen.contains(record.sequence.to_string().as_str()), wanted);
    }
    assert_none_lost(&world, 120);
    assert_ordered(&world);
}

#[test]
fn a_start_that_several_shards_can_hold_names_them() {
    let mut world = World::new(10, 2);
    (0..20).for_each(|_| world.write(20));
    let position = Position::After(SequenceNumber::parse("9".repeat(30).as_str()).unwrap());
    let start = Start::Positions { positions: vec![(None, position)], others: Others::Earliest };
    let mut session = world.start(Options { start, ..options() }).unwrap();
    session.open(&mut world);
    match &session.over {
        Some(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(error.message().matches("shardId-").count(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_shard_is_asked_no_more_often_than_its_poll_interval() {
    let mut world = World::new(7, 1);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    world.aws.reset_calls();
    session.run_for(&mut world, 600_000);
    let calls = world.aws.count(twin::Op::GetRecords).calls;
    assert!(calls <= 600, "{calls} calls in 600 seconds");
    assert!(calls >= 500, "{calls} calls in 600 seconds");
}
