//! Listings as they really are, scripted faults, rates, counters.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{HOUR, horizon, key, orders, put, shards};
use twin::{AwsError, DescribeStream, Fault, Injection, Op};

fn ids(aws: &mut twin::Aws, stream: &str) -> Vec<String> {
    shards(aws, stream).into_iter().map(|shard| shard.shard_id).collect()
}

#[test]
fn a_listing_is_paged_and_may_come_in_any_order() {
    let (mut aws, stream) = orders(8);
    for _ in 0..30 {
        aws.advance(1);
        (0..8).for_each(|partition| drop(aws.roll_over("orders", partition).unwrap()));
    }
    let by_id = ids(&mut aws, &stream);
    assert_eq!(by_id.len(), 8 * 31);
    assert!(by_id.is_sorted());
    assert_eq!(aws.count(Op::DescribeStream).calls, 3);

    (aws.knobs_mut().permute, aws.knobs_mut().listing_page) = (Some(5), 7);
    let permuted = ids(&mut aws, &stream);
    assert!(!permuted.is_sorted());
    assert_eq!(permuted.iter().collect::<BTreeSet<_>>(), by_id.iter().collect());
    aws.knobs_mut().permute = Some(6);
    assert_ne!(ids(&mut aws, &stream), permuted);
}

#[test]
fn a_stale_listing_shows_the_past() {
    let (mut aws, stream) = orders(1);
    aws.advance(HOUR);
    let (parent, child) = aws.roll_over("orders", 0).unwrap();
    aws.knobs_mut().stale_ms = 60_000;
    let listed = shards(&mut aws, &stream);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].sequence_number_range.ending_sequence_number, None);
    aws.advance(60_000);
    assert_eq!(ids(&mut aws, &stream), [&*parent, &*child]);
}

#[test]
fn parents_children_and_endings_can_be_late() {
    let (mut aws, stream) = orders(1);
    aws.advance(1);
    let (parent, child) = aws.roll_over("orders", 0).unwrap();
    aws.knobs_mut().hide_parent_ms = 1000;
    assert_eq!(ids(&mut aws, &stream), [&*child]);
    (aws.knobs_mut().hide_parent_ms, aws.knobs_mut().hide_child_ms) = (0, 1000);
    assert_eq!(ids(&mut aws, &stream), [&*parent]);
    (aws.knobs_mut().hide_child_ms, aws.knobs_mut().ending_late_ms) = (0, 1000);
    let open = |aws: &mut twin::Aws| {
        let listed = shards(aws, &stream);
        listed.iter().filter(|shard| shard.sequence_number_range.ending_sequence_number.is_none()).count()
    };
    assert_eq!(open(&mut aws), 2, "parent open, child open");
    aws.advance(1000);
    assert_eq!(open(&mut aws), 1);
    aws.knobs_mut().omit = vec![child.to_string()];
    assert_eq!(ids(&mut aws, &stream), [&*parent]);
    aws.knobs_mut().omit_share = 1.0;
    aws.knobs_mut().listing_page = 1;
    let empty = aws.describe_stream(&DescribeStream::all(&stream)).unwrap();
    assert!(empty.shards.is_empty());
    assert_eq!(empty.last_evaluated_shard_id.as_deref(), Some(&*parent), "an empty page may go on");
}

#[test]
fn a_third_reader_is_refused_until_another_rests() {
    let (mut aws, stream) = orders(1);
    aws.knobs_mut().readers_per_shard = Some(2);
    let shard = aws.open_shard("orders", 0).unwrap();
    let [mut first, second, third] = [(); 3].map(|()| horizon(&mut aws, &stream, &shard));
    for _ in 0..3 {
        first = aws.get_records(&first, None).unwrap().next.unwrap();
    }
    assert!(aws.get_records(&second, None).is_ok());
    let refused = aws.get_records(&third, None).unwrap_err();
    assert_eq!(refused.code, "LimitExceededException");
    aws.advance(999);
    assert!(aws.get_records(&first, None).is_ok());
    assert!(aws.get_records(&third, None).is_err());
    aws.advance(1);
    assert!(aws.get_records(&third, None).is_ok(), "the second has not been here for a second");
}

#[test]
fn an_enabling_stream_lists_nothing_yet() {
    let (mut aws, stream) = orders(2);
    aws.knobs_mut().enabling_ms = 5000;
    let described = aws.describe_stream(&DescribeStream::all(&stream)).unwrap();
    assert_eq!((described.stream_status, described.shards.len()), ("ENABLING", 0));
    aws.advance(5000);
    let described = aws.describe_stream(&DescribeStream::all(&stream)).unwrap();
    assert_eq!((described.stream_status, described.shards.len()), ("ENABLED", 2));
}

#[test]
fn injected_faults_strike_the_calls_they_wait_for() {
    let (mut aws, stream) = orders(2);
    let [a, b] = [0, 1].map(|partition| aws.open_shard("orders", partition).unwrap());
    let fault = Fault::Error { code: "InternalServerError".into(), status: 500, message: "sorry".into() };
    let injection = Injection { op: Op::GetRecords, shard: Some(b.to_string()), fault, times: 2, skip: 1 };
    aws.inject(injection);
    let [at_a, at_b] = [horizon(&mut aws, &stream, &a), horizon(&mut aws, &stream, &b)];
    let outcomes: Vec<_> = (0..4).map(|_| aws.get_records(&at_b, None).is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, true]);
    assert!(aws.get_records(&at_a, None).is_ok());
    assert!(aws.pending_faults().is_empty());

    let count = aws.count(Op::GetRecords);
    assert_eq!((count.calls, count.errors, count.shards[&*b], count.shards[&*a]), (5, 2, 4, 1));
    let failed: Vec<_> = aws.calls().filter(|call| call.error.is_some()).collect();
    assert!(failed.iter().all(|call| call.error.as_deref() == Some("InternalServerError")));
    assert!(failed.iter().all(|call| call.shard.as_deref() == Some(&*b) && call.at_ms == twin::START));
    assert_eq!(failed.len(), 2);
}

#[test]
fn a_lost_reply_took_effect_and_a_reset_did_not() {
    let (mut aws, _) = orders(1);
    aws.inject(Injection::once(Op::PutItem, Fault::LostReply));
    let item = common::key("a");
    assert_eq!(aws.put_item("orders", &item).unwrap_err().code, AwsError::LOST_REPLY);
    assert!(aws.get_item("orders", &key("a")).unwrap().is_some());
    aws.inject(Injection::once(Op::DeleteItem, Fault::Reset));
    assert_eq!(aws.delete_item("orders", &item).unwrap_err().code, AwsError::RESET);
    assert_eq!(aws.history().len(), 1);
}

#[test]
fn a_body_can_be_damaged() {
    let (mut aws, stream) = orders(1);
    put(&mut aws, "a", 1);
    let shard = aws.open_shard("orders", 0).unwrap();
    let iterator = horizon(&mut aws, &stream, &shard);
    let whole = aws.get_records_body(&iterator, None).unwrap();
    aws.inject(Injection::once(Op::GetRecords, Fault::InvalidJson));
    let cut = aws.get_records_body(&iterator, None).unwrap();
    assert!(whole.starts_with(&cut) && cut.len() < whole.len());
    for fault in [Fault::Truncated, Fault::WrongCrc] {
        aws.inject(Injection::once(Op::GetRecords, fault));
        assert_eq!(aws.get_records_body(&iterator, None).unwrap_err().code, AwsError::BAD_BODY);
    }
    assert_eq!(aws.get_records_body(&iterator, None).unwrap(), whole);

    assert!(whole.starts_with(b"{\"NextShardIterator\":\"arn:aws:dynamodb:"));
    aws.knobs_mut().records_first = true;
    let other = aws.get_records_body(&iterator, None).unwrap();
    assert!(other.starts_with(b"{\"Records\":[{"));
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    assert_eq!(read(&whole), read(&other));
}

#[test]
fn describe_stream_can_be_limited_to_a_rate() {
    let (mut aws, stream) = orders(1);
    aws.knobs_mut().describe_stream_per_second = Some(10.0);
    let request = DescribeStream::all(&stream);
    let granted = |aws: &mut twin::Aws| (0..30).filter(|_| aws.describe_stream(&request).is_ok()).count();
    assert_eq!(granted(&mut aws), 10);
    assert_eq!(aws.describe_stream(&request).unwrap_err().code, "ThrottlingException");
    aws.advance(500);
    assert_eq!(granted(&mut aws), 5);
}

#[test]
fn a_page_is_bounded_by_bytes_but_never_empty_for_it() {
    let (mut aws, stream) = orders(1);
    (0..10).for_each(|n| put(&mut aws, &format!("k{n}"), n));
    aws.knobs_mut().page_bytes = 30;
    let shard = aws.open_shard("orders", 0).unwrap();
    let iterator = horizon(&mut aws, &stream, &shard);
    let page = aws.get_records(&iterator, None).unwrap();
    assert!((1..10).contains(&page.records.len()));
    assert!(page.records.iter().map(|record| record.size_bytes).sum::<usize>() <= 30);
    aws.knobs_mut().page_bytes = 1;
    assert_eq!(aws.get_records(&iterator, None).unwrap().records.len(), 1);
    assert_eq!(aws.get_records(&iterator, Some(1001)).unwrap_err().code, "LimitExceededException");
    assert_eq!(aws.get_records(&iterator, Some(0)).unwrap_err().code, "ValidationException");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (mut aws, _) = orders(4);
        for n in 0..40 {
            put(&mut aws, &format!("k{}", n % 9), n);
            drop(aws.roll_over("orders", usize::try_from(n % 4).unwrap()).unwrap());
        }
        aws.history().iter().map(|record| record.json.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
