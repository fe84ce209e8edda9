//! Random records against a service that refuses, loses requests and loses answers.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use proptest::prelude::*;

fn limits() -> Limits {
    Limits {
        records: 5,
        request_bytes: 100,
        requests: 3,
        memory: 1_000_000,
        patience: Duration::from_secs(300),
        ordered: true,
    }
}

fn entry(key: &str, row: u64, size: usize) -> Entry {
    Entry { partition_key: key.into(), explicit_hash_key: None, data: vec![b'x'; size].into(), row }
}

fn refusal(retryable: bool) -> Outcome {
    let code = if retryable { "ProvisionedThroughputExceededException" } else { "KMSDisabledException" };
    Outcome::Refused { code: code.into(), message: "no".into(), throttled: retryable, retryable }
}

fn lost() -> Error {
    Error::new(ErrorKind::Connection, "no answer")
}

/// What the service does with one request.
#[derive(Clone, Debug)]
enum Fate {
    /// Record by record: whether it is written.
    Answer(Vec<bool>),
    /// It never arrived.
    Lost,
    /// It was carried out, but nobody heard.
    ReplyLost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => prop::collection::vec(prop::bool::weighted(0.7), 5).prop_map(Fate::Answer),
        1 => Just(Fate::Lost),
        1 => Just(Fate::ReplyLost),
    ]
}

/// Sends everything; gives the rows in the order in which the stream has them.
fn deliver(limits: &Limits, entries: &[Entry], fates: &[Fate], replies_lost: &mut usize) -> Vec<Entry> {
    let mut plan = Plan::new(limits.clone(), 7);
    let (mut stream, mut flying, mut now) = (Vec::new(), Vec::<Request>::new(), Duration::ZERO);
    let (mut waiting, mut fates) = (entries.iter().cloned(), fates.iter().cloned());
    loop {
        for entry in waiting.by_ref().take(3) {
            plan.push(entry);
        }
        while let Some(request) = plan.next(now) {
            check(limits, &request, &flying);
            flying.push(request);
            assert!(flying.len() <= limits.requests);
        }
        if flying.is_empty() {
            if plan.is_empty() && waiting.len() == 0 {
                return stream;
            }
            now = plan.wake_at().unwrap_or(now).max(now);
            continue;
        }
        // The last sent is answered first: answers come in any order.
        let request = flying.pop().unwrap();
        match fates.next().unwrap_or(Fate::Answer(vec![true; 5])) {
            Fate::Lost => plan.unanswered(request.id, &lost(), now).unwrap(),
            Fate::ReplyLost => {
                *replies_lost += 1;
                stream.extend(request.entries.clone());
                plan.unanswered(request.id, &lost(), now).unwrap();
            }
            Fate::Answer(written) => {
                let known = request.entries.iter().zip(&written).map(|(_, written)| *written);
                let known = known.map(|written| if written { Outcome::Written } else { refusal(true) });
                let outcomes: Vec<_> = known.collect();
                let good = request.entries.iter().zip(&written).filter(|(_, written)| **written);
                stream.extend(good.map(|(entry, _)| entry.clone()));
                plan.answered(request.id, &outcomes, now).unwrap();
            }
        }
        now += Duration::from_millis(3);
    }
}

fn check(limits: &Limits, request: &Request, flying: &[Request]) {
    let bytes: usize = request.entries.iter().map(Entry::size).sum();
    assert!(!request.entries.is_empty() && request.entries.len() <= limits.records);
    assert!(bytes <= limits.request_bytes || request.entries.len() == 1);
    if limits.ordered {
        let keys = flying.iter().chain([request]).flat_map(|request| &request.entries);
        let keys: Vec<_> = keys.map(|entry| entry.partition_key.clone()).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "one record of a key at a time");
    }
}

fn records() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec((0u8..6, 0usize..60), 0..60).prop_map(|rows| {
        let rows = rows.into_iter().enumerate();
        rows.map(|(row, (key, size))| entry(&format!("key-{key}"), row as u64, size)).collect()
    })
}

proptest! {
    #[test]
    fn every_record_arrives_in_the_order_of_its_key(
        entries in records(), fates in prop::collection::vec(fate(), 0..60)
    ) {
        let mut replies_lost = 0;
        let stream = deliver(&limits(), &entries, &fates, &mut replies_lost);
        let mut by_key: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
        for entry in &stream {
            by_key.entry(entry.partition_key.clone()).or_default().push(entry.row);
        }
        for rows in by_key.values_mut() {
            prop_assert!(rows.is_sorted(), "{rows:?}");
            let all = rows.len();
            rows.dedup();
            prop_assert!(replies_lost > 0 || rows.len() == all, "twice without a lost reply");
        }
        let arrived: HashSet<u64> = by_key.into_values().flatten().collect();
        prop_assert_eq!(arrived, entries.iter().map(|entry| entry.row).collect::<HashSet<_>>());
    }

    #[test]
    fn without_order_only_what_failed_is_sent_again(
        entries in records(), fates in prop::collection::vec(fate(), 0..60)
    ) {
        let limits = Limits { ordered: false, ..limits() };
        let mut replies_lost = 0;
        let stream = deliver(&limits, &entries, &fates, &mut replies_lost);
        let mut times: HashMap<u64, usize> = HashMap::new();
        for entry in &stream {
            *times.entry(entry.row).or_default() += 1;
        }
        prop_assert_eq!(times.len(), entries.len());
        let extra: usize = times.values().map(|times| times - 1).sum();
        prop_assert!(extra <= replies_lost * limits.records);
    }
}

#[test]
fn requests_are_filled_up_to_their_limits() {
    let mut plan = Plan::new(Limits { requests: 10, ..limits() }, 1);
    (0..7).for_each(|row| plan.push(entry(&format!("k{row}"), row, 10)));
    (7..10).for_each(|row| plan.push(entry(&format!("k{row}"), row, 48)));
    let sizes: Vec<_> =
        std::iter::from_fn(|| plan.next(Duration::ZERO)).map(|request| request.entries.len()).collect();
    assert_eq!(sizes, [5, 3, 2]);
}

#[test]
fn a_key_with_a_failure_waits_and_the_others_go_on() {
    let mut plan = Plan::new(limits(), 1);
    for (row, key) in ["a", "a", "b"].into_iter().enumerate() {
        plan.push(entry(key, row as u64, 1));
    }
    let first = plan.next(Duration::ZERO).unwrap();
    let rows = |request: &Request| request.entries.iter().map(|entry| entry.row).collect::<Vec<_>>();
    assert_eq!(rows(&first), [0, 2]);
    plan.answered(first.id, &[refusal(true), Outcome::Written], Duration::ZERO).unwrap();
    plan.push(entry("b", 3, 1));
    let second = plan.next(Duration::ZERO).unwrap();
    assert_eq!(rows(&second), [3]);
    let wake = plan.wake_at().unwrap();
    assert!(wake > Duration::ZERO && wake <= FIRST_PAUSE);
    assert_eq!(rows(&plan.next(wake).unwrap()), [0]);
    assert!(plan.next(wake).is_none(), "row 1 waits for row 0");
    let counts = plan.counts();
    assert_eq!((counts.rows, counts.written, counts.retried, counts.throttled), (4, 1, 1, 1));
}

#[test]
fn a_refusal_for_good_is_an_error_that_names_row_and_key() {
    let mut plan = Plan::new(limits(), 1);
    // The first rows of two writes.
    plan.push(entry("customer-6", 0, 1));
    plan.push(entry("customer-7", 0, 1));
    let request = plan.next(Duration::ZERO).unwrap();
    let outcomes = [Outcome::Written, refusal(false)];
    let error = plan.answered(request.id, &outcomes, Duration::ZERO).unwrap_err();
    for part in ["row 1 (of everything written)", "customer-7", "KMSDisabledException"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert!(!plan.is_empty(), "what was not written is not forgotten");
}

#[test]
fn patience_ends() {
    let mut plan = Plan::new(limits(), 1);
    plan.push(entry("a", 0, 1));
    let mut now = Duration::ZERO;
    let error = loop {
        now = plan.wake_at().unwrap().max(now);
        let request = plan.next(now).unwrap();
        if let Err(error) = plan.answered(request.id, &[refusal(true)], now) {
            break error;
        }
    };
    assert!(now > limits().patience && now < limits().patience + 2 * LONGEST_PAUSE);
    assert!(error.message().contains("for 300 s"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Throttled);

    let mut plan = Plan::new(limits(), 1);
    plan.push(entry("a", 0, 1));
    let mut now = Duration::ZERO;
    let error = loop {
        now = plan.wake_at().unwrap().max(now);
        let request = plan.next(now).unwrap();
        if let Err(error) = plan.unanswered(request.id, &lost(), now) {
            break error;
        }
    };
    assert!(error.message().contains("no answer"), "{error}");
}

#[test]
fn an_answer_for_other_records_is_no_answer() {
    let mut plan = Plan::new(limits(), 1);
    plan.push(entry("a", 0, 1));
    let request = plan.next(Duration::ZERO).unwrap();
    plan.answered(request.id, &[Outcome::Written, Outcome::Written], Duration::ZERO).unwrap();
    assert_eq!((plan.counts().written, plan.counts().unanswered), (0, 1));
    assert!(!plan.is_empty());
}

#[test]
fn room_counts_what_waits_and_what_is_under_way() {
    let mut plan = Plan::new(Limits { memory: 20, ..limits() }, 1);
    plan.push(entry("a", 0, 10));
    assert!(plan.has_room());
    plan.push(entry("b", 1, 10));
    let request = plan.next(Duration::ZERO).unwrap();
    assert!(!plan.has_room() && plan.is_asking());
    plan.answered(request.id, &[Outcome::Written, Outcome::Written], Duration::ZERO).unwrap();
    assert!(plan.has_room() && plan.is_empty() && !plan.is_asking());
}
