//! What the run says of its health: the share of the retention it has used, and stalls instead of idling.

use std::time::Duration;

use shardarrow::error::ErrorKind;
use shardarrow::run::{Options, Start};
use twin::{Fault, Injection, Op};

use crate::world::{Session, World, options};

const HOUR: i64 = 3_600_000;
const FOR_EVER: u64 = 1_000_000;

/// The warnings about age.
fn marks(session: &Session) -> Vec<&str> {
    let warnings = session.warnings.iter().map(String::as_str);
    warnings.filter(|line| line.contains("of the 24 hours")).collect()
}

fn used(session: &Session, world: &World) -> f64 {
    session.run.metrics(session.now(world)).retention_used.unwrap()
}

/// Reads everything there is, and keeps it.
fn catch_up(world: &mut World, session: &mut Session) {
    session.open(world);
    for _ in 0..3 {
        session.run_for(world, 120_000);
        session.take_all(world);
        session.commit(world);
    }
}

fn always(op: Op, code: &str) -> Injection {
    let fault = Fault::Error { code: code.into(), status: 400, message: format!("{code} of the test") };
    Injection { op, shard: None, fault, times: FOR_EVER, skip: 0 }
}

#[test]
fn a_resumed_stream_far_behind_warns_once_for_each_mark_and_again_after_it_recovered() {
    let mut world = World::new(1, 1);
    for _ in 0..20 {
        world.write(30);
    }
    let mut session = world.start(options()).unwrap();
    catch_up(&mut world, &mut session);
    assert!(marks(&session).is_empty() && used(&session, &world) < 0.01);

    for (away, share) in [(7, "29 %"), (13, "54 %"), (7, "29 %")] {
        world.write(30);
        world.aws.advance((away * HOUR) as u64);
        session = world.start(options()).unwrap();
        session.open(&mut world);
        assert_eq!(marks(&session).len(), 1, "{:?}", session.warnings);
        assert!(marks(&session)[0].contains(share), "{:?}", session.warnings);
        catch_up(&mut world, &mut session);
        assert!(used(&session, &world) < 0.01);
        assert_eq!(marks(&session).len(), 1, "said again");
    }
}

#[test]
fn a_shard_that_gives_no_pages_grows_late_mark_by_mark_and_recovers() {
    let mut world = World::new(2, 1);
    let patient = Options { stall_timeout: Duration::from_secs(86_400), ..options() };
    let mut session = world.start(patient).unwrap();
    catch_up(&mut world, &mut session);
    for _ in 0..2 {
        session.warnings.clear();
        world.aws.inject(always(Op::GetRecords, "InternalServerError"));
        session.run_for(&mut world, 5 * HOUR);
        assert!(marks(&session).is_empty(), "{:?}", session.warnings);
        session.run_for(&mut world, 2 * HOUR);
        assert_eq!(marks(&session).len(), 1);
        session.run_for(&mut world, 6 * HOUR);
        assert_eq!(marks(&session).len(), 2);
        assert!((0.5..0.6).contains(&used(&session, &world)));
        world.aws.clear_faults();
        session.run_for(&mut world, 10 * 60_000);
        assert!(used(&session, &world) < 0.01);
    }
}

#[test]
fn a_first_start_at_the_oldest_records_is_no_reason_to_warn() {
    let mut world = World::new(3, 1);
    world.write(30);
    world.aws.advance(20 * HOUR as u64);
    world.write(30);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 120_000);
    assert!(marks(&session).is_empty(), "{:?}", session.warnings);
}

#[test]
fn a_child_of_a_shard_that_was_reported_is_not_reported_again() {
    let mut world = World::new(4, 1);
    let mut session = world.start(options()).unwrap();
    catch_up(&mut world, &mut session);
    for _ in 0..3 {
        world.write(30);
        world.roll_over_any();
    }
    world.aws.advance(7 * HOUR as u64);
    session = world.start(options()).unwrap();
    session.open(&mut world);
    world.aws.inject(always(Op::GetRecords, "InternalServerError"));
    session.run_for(&mut world, 150_000);
    assert_eq!(session.run.metrics(session.now(&world)).shards.len(), 4);
    assert_eq!(marks(&session).len(), 1, "{:?}", session.warnings);
}

/// What a stream ends with that gets no further, and how long that took.
fn stalls(world: &mut World, session: &mut Session, least: i64) -> String {
    let began = world.aws.now_ms();
    session.run_for(world, HOUR);
    let waited = world.aws.now_ms() - began;
    let Some(Err(error)) = &session.over else { panic!("it idles: {:?}", session.over) };
    assert_eq!(error.kind(), ErrorKind::Stalled, "{error}");
    assert!((least..2 * least).contains(&waited), "after {waited} ms");
    error.message().to_owned()
}

#[test]
fn no_successful_call_for_the_stall_timeout_is_an_error() {
    for op in [Op::GetRecords, Op::GetShardIterator, Op::DescribeStream] {
        let mut world = World::new(5, 1);
        if op == Op::GetShardIterator {
            world.aws.inject(always(op, "InternalServerError"));
        }
        let mut session = world.start(options()).unwrap();
        session.open(&mut world);
        if op != Op::GetShardIterator {
            session.run_for(&mut world, 60_000);
            world.aws.inject(always(op, "InternalServerError"));
        }
        let said = stalls(&mut world, &mut session, 300_000);
        assert!(said.contains("stall_timeout") && said.contains("InternalServerError"), "{said}");
    }
}

#[test]
fn cursors_that_are_always_expired_are_a_stall_without_a_storm_of_requests() {
    let mut world = World::new(6, 1);
    world.aws.inject(always(Op::GetRecords, "ExpiredIteratorException"));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    let said = stalls(&mut world, &mut session, 300_000);
    assert!(said.contains("ExpiredIterator"), "{said}");
    assert!(world.aws.count(Op::GetRecords).calls < 200);
}

#[test]
fn positions_that_are_always_trimmed_are_a_stall_without_a_storm_of_requests() {
    let mut world = World::new(7, 1);
    world.aws.inject(always(Op::GetRecords, "TrimmedDataAccessException"));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    stalls(&mut world, &mut session, 300_000);
    assert!(world.aws.count(Op::GetRecords).calls < 200);
}

#[test]
fn a_stream_that_stays_enabling_is_a_stall() {
    let mut world = World::new(8, 1);
    world.aws.knobs_mut().enabling_ms = 24 * HOUR;
    world.recreate_table();
    for start in [Start::Earliest, Start::Snapshot] {
        let mut session = world.start(Options { start, ..options() }).unwrap();
        let said = stalls(&mut world, &mut session, 300_000);
        assert!(said.contains("ENABLING"), "{said}");
    }
}
