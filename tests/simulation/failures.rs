//! Failures that other readers of change streams have met, one by one. docs/reference/failures.md names them.

use std::time::Duration;

use shardarrow::checkpoint::Gap;
use shardarrow::error::ErrorKind;
use shardarrow::page::Cursor;
use shardarrow::position::{Position, SequenceNumber};
use shardarrow::run::{Event, Keeper, OnGap, Options, Others, Start};
use twin::{Fault, Injection, Op, StreamSpecification};

use crate::snapshot::{assert_equal, until_ready};
use crate::world::{Session, TABLE, Unsaved, World, options};
use crate::{HOUR, assert_exact, assert_none_lost, assert_ordered, drain, seeds};

fn error(op: Op, code: &str, times: u64) -> Injection {
    let fault = Fault::Error { code: code.into(), status: 400, message: format!("{code} of the test") };
    Injection { op, shard: None, fault, times, skip: 0 }
}

fn write(world: &mut World, count: u32) {
    (0..count).for_each(|_| world.write(30));
}

/// Reads to the end of a bounded run.
fn to_the_end(world: &mut World, session: &mut Session) {
    for _ in 0..100_000 {
        if session.over.is_some() && session.queue.is_empty() {
            break;
        }
        session.step(world, 1_000);
        session.take_all(world);
        session.commit(world);
    }
    assert!(matches!(session.over, Some(Ok(()))), "{:?}", session.over);
}

#[test]
fn a_child_is_read_from_its_beginning_also_after_latest() {
    for seed in seeds(10) {
        let mut world = World::new(seed, 2);
        write(&mut world, 100);
        world.aws.advance(60_000);
        let mut session = world.start(Options { start: Start::Latest, ..options() }).unwrap();
        session.open(&mut world);
        let before = world.aws.history().len();
        for _ in 0..5 {
            world.roll_over_any();
            write(&mut world, 20);
            let unseen = world.dice.roll(60_000);
            world.aws.advance(unseen);
            session.run_for(&mut world, 100);
        }
        drain(&mut world, &mut session);
        assert_none_lost(&world, before);
        assert_ordered(&world);
    }
}

#[test]
fn an_expired_latest_cursor_skips_nothing() {
    let mut world = World::new(1, 2);
    write(&mut world, 50);
    world.aws.advance(60_000);
    let mut session = world.start(Options { start: Start::Latest, ..options() }).unwrap();
    session.open(&mut world);
    let before = world.aws.history().len();
    write(&mut world, 50);
    world.aws.inject(error(Op::GetRecords, "ExpiredIteratorException", 4));
    drain(&mut world, &mut session);
    assert_none_lost(&world, before);
}

#[test]
fn fifty_empty_pages_between_records_are_neither_an_end_nor_the_present() {
    let mut world = World::new(2, 1);
    world.aws.knobs_mut().empty_pages = 50;
    world.aws.knobs_mut().page_records = 3;
    write(&mut world, 10);
    world.roll_over_any();
    write(&mut world, 10);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
}

#[test]
fn a_missing_cursor_of_an_open_shard_is_not_its_end() {
    let mut world = World::new(3, 1);
    let mut answers = 0;
    world.tamper = Some(Box::new(move |event| {
        if let Event::Fetched { result: Ok(page), .. } = event {
            answers += 1;
            page.next = page.next.take().filter(|_| answers % 3 != 0);
        }
    }));
    let mut session = world.start(options()).unwrap();
    for _ in 0..20 {
        write(&mut world, 5);
        session.run_for(&mut world, 5_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    world.tamper = None;
    drain(&mut world, &mut session);
    assert_exact(&world);
    let metrics = session.run.metrics(session.now(&world));
    assert!(metrics.shards.values().all(|shard| shard.state == "reading"), "{metrics:#?}");
}

#[test]
fn a_bounded_run_leaves_open_shards_open_for_the_next() {
    let mut world = World::new(4, 3);
    for keeper in [Keeper::Loader, Keeper::Loader, Keeper::Loader] {
        write(&mut world, 60);
        world.roll_over_any();
        write(&mut world, 60);
        let bounded = Options { follow: false, keeper, ..options() };
        let mut session = world.start(bounded).unwrap();
        to_the_end(&mut world, &mut session);
        assert_exact(&world);
    }
}

#[test]
fn hundreds_of_rollovers_and_splits_before_anybody_reads() {
    let mut world = World::new(5, 2);
    for _ in 0..seeds(100).end {
        write(&mut world, 2);
        let partitions = world.aws.partitions(TABLE) as u64;
        if world.dice.chance(3) && partitions < 16 {
            let partition = world.dice.roll(partitions) as usize;
            world.aws.split(TABLE, partition).unwrap();
        } else {
            world.roll_over_any();
        }
    }
    world.aws.knobs_mut().permute = Some(7);
    let mut session = world.start(Options { follow: false, ..options() }).unwrap();
    to_the_end(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}

#[test]
fn a_child_that_no_listing_shows_for_two_hours_is_still_found() {
    let mut world = World::new(6, 1);
    world.aws.knobs_mut().hide_child_ms = 2 * HOUR;
    write(&mut world, 20);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    world.roll_over_any();
    write(&mut world, 20);
    session.run_for(&mut world, 119 * 60_000);
    session.take_all(&mut world);
    session.commit(&mut world);
    assert!(world.durable.seen.len() < world.aws.history().len());
    session.run_for(&mut world, 3 * 60_000);
    drain(&mut world, &mut session);
    assert_exact(&world);
}

#[test]
fn a_stream_that_is_still_being_enabled_is_waited_for() {
    for start in [Start::Earliest, Start::Latest, Start::Snapshot] {
        let mut world = World::new(7, 2);
        world.aws.knobs_mut().enabling_ms = 30_000;
        world.recreate_table();
        let mut session = world.start(Options { start, ..options() }).unwrap();
        session.run_for(&mut world, 10_000);
        assert!(!session.run.is_open() && session.over.is_none(), "{:?}", session.over);
        session.open(&mut world);
        let before = world.aws.history().len();
        write(&mut world, 20);
        drain(&mut world, &mut session);
        assert_none_lost(&world, before);
    }
}

#[test]
fn a_stream_that_is_turned_off_is_read_to_its_end_and_that_is_an_error() {
    let mut world = World::new(8, 2);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    write(&mut world, 100);
    let off = StreamSpecification { stream_enabled: false, stream_view_type: None };
    world.aws.update_table(TABLE, &off).unwrap();
    for _ in 0..600 {
        session.run_for(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    let Some(Err(error)) = &session.over else { panic!("{:?}", session.over) };
    assert_eq!(error.kind(), ErrorKind::StreamUnusable, "{error}");
    assert_exact(&world);
}

#[test]
fn a_shard_that_is_listed_but_not_found_is_asked_again_and_is_not_at_its_end() {
    for op in [Op::GetRecords, Op::GetShardIterator] {
        let mut world = World::new(9, 2);
        write(&mut world, 100);
        let mut session = world.start(options()).unwrap();
        session.open(&mut world);
        world.aws.inject(error(op, "ResourceNotFoundException", 10));
        drain(&mut world, &mut session);
        write(&mut world, 100);
        drain(&mut world, &mut session);
        assert_exact(&world);
    }
}

#[test]
fn too_many_readers_of_a_shard_slow_it_down_and_lose_nothing() {
    let mut world = World::new(10, 2);
    world.aws.knobs_mut().get_records_per_second = Some(1.0);
    world.aws.knobs_mut().page_records = 10;
    write(&mut world, 300);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
    let count = world.aws.count(Op::GetRecords);
    assert!(count.errors > 0 && count.errors * 3 < count.calls, "{count:?}");
}

#[test]
fn permission_and_credentials_that_come_back_lose_nothing() {
    let away = [
        ("AccessDeniedException", 2, false),
        ("ExpiredTokenException", 8, false),
        ("UnrecognizedClientException", 8, false),
        ("AccessDeniedException", 50, true),
    ];
    for (code, times, ends) in away {
        let mut world = World::new(11, 2);
        let mut session = world.start(options()).unwrap();
        session.open(&mut world);
        write(&mut world, 50);
        world.aws.inject(error(Op::GetRecords, code, times));
        if ends {
            session.run_for(&mut world, 60_000);
            assert!(matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::AccessDenied));
            world.aws.clear_faults();
            write(&mut world, 50);
            session = world.start(options()).unwrap();
        }
        drain(&mut world, &mut session);
        assert_exact(&world);
    }
}

#[test]
fn a_process_that_slept_for_ten_hours_goes_on() {
    let mut world = World::new(12, 2);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    for _ in 0..10 {
        write(&mut world, 20);
        world.roll_over_any();
        // Nothing of the session runs meanwhile: requests under way are answered late, cursors expire.
        world.aws.advance(HOUR as u64);
    }
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}

#[test]
fn a_crash_after_any_number_of_answers_loses_and_repeats_nothing() {
    for seed in seeds(120) {
        let mut world = World::new(seed, 3);
        crate::make_awkward(&mut world);
        write(&mut world, 60);
        world.roll_over_any();
        write(&mut world, 60);
        for _ in 0..3 {
            let mut session = world.start(options()).unwrap();
            // The seed is how many messages a process lives to hear.
            for _ in 0..=seed {
                session.step(&mut world, 1_000);
                if session.run.is_open() && world.dice.chance(30) {
                    session.take_all(&mut world);
                    session.commit(&mut world);
                }
            }
            assert!(!matches!(session.over, Some(Err(_))), "seed {seed}: {:?}", session.over);
            world.roll_over_any();
            write(&mut world, 10);
        }
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        assert_exact(&world);
        assert_ordered(&world);
    }
}

#[test]
fn a_child_whose_cursor_was_throttled_before_a_restart_is_not_forgotten() {
    for seed in seeds(10) {
        let mut world = World::new(seed, 2);
        write(&mut world, 30);
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        world.roll_over_any();
        write(&mut world, 30);
        world.aws.inject(error(Op::GetShardIterator, "ThrottlingException", 1_000));
        session.run_for(&mut world, 120_000);
        session.take_all(&mut world);
        session.commit(&mut world);
        drop(session);
        world.aws.clear_faults();
        write(&mut world, 30);
        let mut session = world.start(options()).unwrap();
        drain(&mut world, &mut session);
        assert_exact(&world);
    }
}

#[test]
fn a_page_of_which_everything_is_left_out_is_not_the_present() {
    let mut world = World::new(13, 1);
    world.aws.knobs_mut().page_records = 5;
    write(&mut world, 400);
    world.aws.advance(60_000);
    let latest = Options { start: Start::Latest, keeper: Keeper::Store, ..options() };
    let mut session = world.start(latest.clone()).unwrap();
    session.open(&mut world);
    let before = world.aws.history().len();
    // It dies before it committed a position: the shard is read again from its beginning.
    drop(session);
    write(&mut world, 20);
    let settle = Duration::from_millis(1);
    let mut session = world.start(Options { follow: false, settle, ..latest }).unwrap();
    to_the_end(&mut world, &mut session);
    session.commit(&mut world);
    assert_none_lost(&world, before);
}

#[test]
fn every_busy_shard_gets_its_turn() {
    let mut world = World::new(14, 20);
    world.aws.knobs_mut().page_records = 4;
    (0..4_000).for_each(|_| world.write(2_000));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    while session.run.metrics(session.now(&world)).records < 1_500 {
        session.step(&mut world, 1_000);
        session.take_all(&mut world);
        session.commit(&mut world);
    }
    let metrics = session.run.metrics(session.now(&world));
    let read: Vec<_> = metrics.shards.values().map(|shard| shard.records).collect();
    let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
    assert!(least * 3 > *most, "{read:?}");
}

#[test]
fn a_single_record_leaves_within_the_wait_for_others() {
    let mut world = World::new(15, 1);
    let waiting = Options { batch_wait: Duration::from_millis(300), ..options() };
    let mut session = world.start(waiting).unwrap();
    drain(&mut world, &mut session);
    for _ in 0..20 {
        let before = world.aws.history().len();
        while world.aws.history().len() == before {
            // Some writes change nothing.
            write(&mut world, 1);
        }
        let written = world.aws.now_ms();
        while session.queue.is_empty() {
            session.step(&mut world, 10);
        }
        // The longest pause between two empty answers, two messages each way, the wait.
        let took = world.aws.now_ms() - written;
        assert!(took <= 1_000 + 4 * 8 * 20 + 300 + 50, "{took} ms");
        session.take_all(&mut world);
        session.commit(&mut world);
    }
}

#[test]
fn a_gap_of_one_shard_is_counted_once_and_the_others_go_on() {
    let mut world = World::new(16, 3);
    let go_on = Options { on_gap: OnGap::Continue, ..options() };
    let mut session = world.start(go_on.clone()).unwrap();
    drain(&mut world, &mut session);
    drop(session);
    write(&mut world, 60);
    world.aws.advance(26 * HOUR as u64);
    let before = world.aws.history().len();
    write(&mut world, 60);
    let mut session = world.start(go_on).unwrap();
    drain(&mut world, &mut session);
    assert_none_lost(&world, before);
    let shards: Vec<_> = world.durable.gaps.iter().filter_map(|gap| gap.shard.clone()).collect();
    let mut unique = shards.clone();
    unique.sort();
    unique.dedup();
    assert!(!shards.is_empty() && shards.len() == unique.len(), "{:?}", world.durable.gaps);
}

/// A cursor of another shard would give another shard's records: the service refuses it.
#[test]
fn a_cursor_that_the_service_does_not_know_is_an_error_and_never_skipped() {
    let mut world = World::new(17, 1);
    write(&mut world, 20);
    world.tamper = Some(Box::new(|event| {
        if let Event::Opened { result: Ok(opened), .. } = event {
            opened.cursor = Cursor("of somebody else".into());
        }
    }));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    let Some(Err(error)) = &session.over else { panic!("{:?}", session.over) };
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    world.tamper = None;
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
}

/// The parent of a shard vanished before anybody saw it. A kill before that is written down, and a second
/// absence, must not make the shard look as if nothing of it could be missing.
#[test]
fn a_shard_whose_parent_nobody_saw_is_as_old_as_the_others() {
    let mut world = World::new(11, 1);
    write(&mut world, 10);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    drop(session);
    world.roll_over_any();
    write(&mut world, 10);
    world.roll_over_any();
    world.aws.advance(25 * HOUR as u64);
    let (child, _) = (world.aws.open_shard(TABLE, 0).unwrap(), write(&mut world, 10));
    let continues = Options { on_gap: OnGap::Continue, ..options() };
    let mut session = world.start(continues.clone()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 300);
    session.commit(&mut world);
    drop(session);
    assert!(world.durable.checkpoint.as_ref().unwrap().shards.contains_key(&child.as_ref().into()));
    world.aws.advance(25 * HOUR as u64);
    let mut session = world.start(continues).unwrap();
    drain(&mut world, &mut session);
    let of_child =
        world.durable.gaps.iter().any(|gap| gap.shard.as_ref().is_some_and(|id| id.as_str() == &*child));
    assert!(of_child, "{:?}", world.durable.gaps);
}

/// A snapshot of a table whose shards have parents that are long gone; then nobody comes for two days.
#[test]
fn shards_that_vanished_with_their_parents_hold_nothing_up() {
    let mut world = World::new(12, 1);
    write(&mut world, 10);
    world.roll_over_any();
    world.aws.advance(25 * HOUR as u64);
    write(&mut world, 10);
    let again = Options { start: Start::Snapshot, on_gap: OnGap::Resnapshot, ..options() };
    let mut session = world.start(again.clone()).unwrap();
    session.open(&mut world);
    drop(session);
    world.roll_over_any();
    world.aws.advance(50 * HOUR as u64);
    write(&mut world, 10);
    let mut session = world.start(again).unwrap();
    drain(&mut world, &mut session);
    assert!(session.run.is_ready());
}

/// The consumer has the rows of a second scan, and the checkpoint is still before it, when the process is
/// killed. What is deleted until it comes back is in no scan any more, and in no stream.
#[test]
pub(crate) fn a_scan_begun_again_after_a_kill_outdates_what_the_first_one_brought() {
    let again = Options {
        start: Start::Snapshot,
        on_gap: OnGap::Resnapshot,
        keeper: Keeper::Store,
        commit_interval: Duration::from_secs(3600),
        ..options()
    };
    let mut world = World::new(19, 1);
    (0..20).for_each(|key| world.write_to(key));
    let mut session = world.start(again.clone()).unwrap();
    until_ready(&mut world, &mut session);
    write(&mut world, 5);
    session.run_for(&mut world, 2_000);
    world.reenable_stream();
    session.run_for(&mut world, 120_000);
    assert!(session.queue.iter().any(|batch| batch.epoch == 2));
    session.take_all(&mut world);
    session.commit(&mut world);
    drop(session);
    let saved = world.durable.checkpoint.as_ref().unwrap();
    assert_eq!((saved.epoch, saved.epoch_begun), (1, 2));
    let gone = world.table().into_keys().next().unwrap();
    world.aws.delete_item(TABLE, &[("k".to_owned(), serde_json::json!({ "S": gone }))].into()).unwrap();
    world.aws.advance(25 * HOUR as u64);
    let mut session = world.start(again).unwrap();
    until_ready(&mut world, &mut session);
    world.aws.advance(HOUR as u64);
    drain(&mut world, &mut session);
    assert_equal(&mut world, 19);
    assert_eq!(world.durable.checkpoint.as_ref().unwrap().epoch, 3);
}

/// A shard without a record ended, and its process with it, before any listing showed the child. Hours
/// later nothing of the child is missing: its parent was seen open after the start.
#[test]
fn the_child_of_an_empty_shard_is_no_older_than_the_last_listing_that_shows_its_parent_open() {
    for (away, lost) in [(2, false), (23, false), (25, true)] {
        let mut world = World::new(18, 1);
        world.aws.knobs_mut().hide_child_ms = 60_000;
        let mut session = world.start(options()).unwrap();
        session.open(&mut world);
        let parent = world.aws.open_shard(TABLE, 0).unwrap();
        world.roll_over_any();
        write(&mut world, 10);
        session.run_for(&mut world, 2_000);
        session.commit(&mut world);
        drop(session);
        let saved = world.durable.checkpoint.as_ref().unwrap();
        assert!(saved.shards.len() == 1 && saved.shards[&parent.as_ref().into()].finished.is_some());
        world.aws.advance(away * HOUR as u64);
        let mut session = world.start(options()).unwrap();
        if lost {
            session.open(&mut world);
            session.run_for(&mut world, 60_000);
            assert!(matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::Gap));
            continue;
        }
        drain(&mut world, &mut session);
        assert_exact(&world);
        assert_eq!(world.durable.gaps, []);
    }
}

/// A save fails, the store works again, and what is in hand is committed at the end: the gap that the
/// first one took along is written with it.
#[test]
pub(crate) fn a_gap_that_a_failed_save_took_along_is_written_with_the_next() {
    let mut world = World::new(19, 1);
    let go_on = Options { on_gap: OnGap::Continue, keeper: Keeper::Store, ..options() };
    let mut session = world.start(go_on.clone()).unwrap();
    drain(&mut world, &mut session);
    drop(session);
    write(&mut world, 10);
    world.aws.advance(26 * HOUR as u64);
    write(&mut world, 10);
    let mut session = world.start(go_on).unwrap();
    session.open(&mut world);
    world.next_save_fails = Some(Unsaved::NotWritten);
    session.run_for(&mut world, 2_000);
    assert!(world.next_save_fails.is_none() && world.durable.gaps.is_empty());
    let Some(Err(error)) = &session.over else { panic!("{:?}", session.over) };
    assert_eq!(error.kind(), ErrorKind::CheckpointStore);
    session.take_all(&mut world);
    session.commit(&mut world);
    for _ in 0..10 {
        session.step(&mut world, 1_000);
    }
    let position = |world: &World| world.durable.checkpoint.as_ref().unwrap().shards.values().next().cloned();
    assert!(position(&world).unwrap().position.sequence().is_some(), "nothing was saved");
    assert_eq!(world.durable.gaps.len(), 1);
}

/// The checkpoint knows a shard that is not begun, and names its parent, which listings show late.
#[test]
pub(crate) fn a_parent_that_listings_show_late_after_a_restart_is_read_first() {
    let mut world = World::new(21, 1);
    write(&mut world, 20);
    let (parent, _) = world.aws.roll_over(TABLE, 0).unwrap();
    write(&mut world, 20);
    world.aws.knobs_mut().omit = vec![parent.to_string()];
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    drop(session);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 5_000);
    session.take_all(&mut world);
    session.commit(&mut world);
    world.aws.knobs_mut().omit.clear();
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}

/// The only shard that the checkpoint knows is finished, its child vanished unseen, and the process that
/// finds the child's child is killed before anything is proved.
#[test]
pub(crate) fn what_nobody_saw_is_as_old_as_the_shard_it_descends_from() {
    let mut world = World::new(22, 1);
    world.aws.knobs_mut().hide_child_ms = 60_000;
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    world.roll_over_any();
    session.run_for(&mut world, 2_000);
    session.commit(&mut world);
    drop(session);
    write(&mut world, 10);
    world.roll_over_any();
    write(&mut world, 10);
    world.aws.advance(27 * HOUR as u64);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 2_000);
    session.commit(&mut world);
    assert!(world.durable.checkpoint.as_ref().unwrap().shards.len() > 1 && session.over.is_none());
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    assert!(
        matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::Gap),
        "{:?}",
        session.over
    );
}

/// The run before read a shard to its end; no listing shows its child yet.
#[test]
fn a_bounded_run_waits_for_the_children_of_what_ended_in_the_run_before() {
    let mut world = World::new(24, 1);
    write(&mut world, 10);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    world.aws.knobs_mut().hide_child_ms = 5_000;
    world.roll_over_any();
    write(&mut world, 10);
    session.run_for(&mut world, 2_000);
    session.commit(&mut world);
    let mut session = world.start(Options { follow: false, ..options() }).unwrap();
    to_the_end(&mut world, &mut session);
    assert_exact(&world);
}

/// That a parent is gone takes some listings to prove, once.
#[test]
fn a_restart_does_not_wait_for_parents_that_were_gone_before() {
    let mut world = World::new(23, 1);
    world.roll_over_any();
    world.aws.advance(25 * HOUR as u64);
    let mut session = world.start(options()).unwrap();
    drain(&mut world, &mut session);
    write(&mut world, 10);
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 3_000);
    session.take_all(&mut world);
    session.commit(&mut world);
    assert_exact(&world);
}

/// A page is good up to its middle, and a batch of it has left before that shows.
#[test]
pub(crate) fn a_page_that_is_damaged_in_its_middle_is_read_on_behind_what_was_used() {
    let mut world = World::new(25, 1);
    write(&mut world, 30);
    let mut damaged = false;
    world.tamper = Some(Box::new(move |event| {
        if let Event::Fetched { result: Ok(page), .. } = event
            && page.records.len() > 1
            && !std::mem::replace(&mut damaged, true)
        {
            let (mut body, middle) = (page.body.to_vec(), page.records.start + page.records.len() / 2);
            body[middle..page.records.end].fill(b'{');
            page.body = body.into();
        }
    }));
    let mut session = world.start(Options { batch_rows: 1, ..options() }).unwrap();
    drain(&mut world, &mut session);
    assert_exact(&world);
}

/// The age of a place that the user names is not known: the service says that it is trimmed.
#[test]
pub(crate) fn a_start_behind_a_trimmed_record_is_a_gap() {
    let mut world = World::new(26, 1);
    write(&mut world, 30);
    let first = world.aws.history()[0].clone();
    world.aws.advance(25 * HOUR as u64);
    write(&mut world, 10);
    let position = Position::After(SequenceNumber::parse(&first.sequence.to_string()).unwrap());
    let positions = vec![(Some(first.shard.as_ref().into()), position)];
    let start = Start::Positions { positions, others: Others::Earliest };
    let mut session = world.start(Options { start, ..options() }).unwrap();
    session.open(&mut world);
    session.run_for(&mut world, 60_000);
    assert!(
        matches!(&session.over, Some(Err(error)) if error.kind() == ErrorKind::Gap),
        "{:?}",
        session.over
    );
}

/// Two generations end while nobody reads; the younger of them nobody has ever seen.
#[test]
pub(crate) fn a_shard_that_vanished_unseen_is_named() {
    let mut world = World::new(27, 1);
    let go_on = Options { on_gap: OnGap::Continue, ..options() };
    let mut session = world.start(go_on.clone()).unwrap();
    drain(&mut world, &mut session);
    drop(session);
    world.roll_over_any();
    write(&mut world, 10);
    let (unseen, _) = world.aws.roll_over(TABLE, 0).unwrap();
    world.aws.advance(25 * HOUR as u64);
    let mut session = world.start(go_on).unwrap();
    drain(&mut world, &mut session);
    let named = |gap: &Gap| gap.shard.as_ref().is_some_and(|id| id.as_str() == &*unseen);
    assert!(world.durable.gaps.iter().any(named), "{:?}", world.durable.gaps);
}

/// Of the two children of a split the listings show one, and then fail at their second page.
#[test]
fn one_child_of_a_split_does_not_end_a_bounded_run_that_lacks_the_other() {
    for seed in seeds(10) {
        let mut world = World::new(seed, 1);
        write(&mut world, 20);
        world.aws.split(TABLE, 0).unwrap();
        write(&mut world, 40);
        (world.aws.knobs_mut().hide_child_ms, world.aws.knobs_mut().listing_page) = (1_000, 1);
        world.aws.knobs_mut().permute = Some(seed);
        let mut session = world.start(Options { follow: false, ..options() }).unwrap();
        session.open(&mut world);
        for _ in 0..100 {
            world.aws.inject(Injection { skip: 1, ..error(Op::DescribeStream, "InternalServerError", 1) });
        }
        to_the_end(&mut world, &mut session);
        assert_exact(&world);
    }
}

/// Shards that are not found have everything listed at once, three times before a hidden parent shows.
#[test]
fn a_parent_that_a_first_look_misses_for_a_moment_is_read_first() {
    let mut world = World::new(28, 4);
    world.latency_ms = 1;
    world.aws.knobs_mut().hide_parent_ms = 400;
    (0..40).for_each(|_| world.write(8));
    world.aws.roll_over(TABLE, 0).unwrap();
    (0..40).for_each(|_| world.write(8));
    world.aws.inject(error(Op::GetRecords, "ResourceNotFoundException", 3));
    let mut session = world.start(options()).unwrap();
    session.open(&mut world);
    drain(&mut world, &mut session);
    assert_exact(&world);
    assert_ordered(&world);
}
