//! Scans: segments and pages, consistency, what a page costs, and what goes wrong.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{HOUR, attributes, key, orders, put};
use serde_json::{Value, json};
use twin::{
    Attributes, Aws, AwsError, CreateTable, Fault, Injection, Op, ScanMembers, ScanPage, ScanRequest,
    StreamSpecification, ViewType,
};

fn filled(count: i64) -> Aws {
    let (mut aws, _) = orders(1);
    (0..count).for_each(|n| put(&mut aws, &format!("k{n:03}"), n));
    aws
}

fn after(request: &ScanRequest, page: &ScanPage) -> Option<ScanRequest> {
    page.last_evaluated_key.as_ref().map(|last| request.clone().after(last))
}

/// The pages of a request up to its end.
fn pages(aws: &mut Aws, request: ScanRequest) -> Vec<ScanPage> {
    let (mut request, mut pages) = (request, Vec::new());
    for _ in 0..10_000 {
        let page = aws.scan(&request).unwrap();
        let next = after(&request, &page);
        pages.push(page);
        match next {
            Some(next) => request = next,
            None => return pages,
        }
    }
    panic!("the scan does not end");
}

fn items(pages: Vec<ScanPage>) -> Vec<Attributes> {
    pages.into_iter().flat_map(|page| page.items).collect()
}

fn ids(items: &[Attributes]) -> Vec<String> {
    items.iter().map(|item| item["id"]["S"].as_str().unwrap().to_owned()).collect()
}

fn refused(aws: &mut Aws, request: &ScanRequest) -> AwsError {
    aws.scan(request).unwrap_err()
}

#[test]
fn every_item_comes_exactly_once_over_any_segments_and_pages() {
    let mut aws = filled(200);
    let all = aws.items("orders").unwrap();
    for empty in [0, 2] {
        aws.knobs_mut().scan_empty_pages = empty;
        for (total, limit) in [(1, 1), (1, 7), (2, 1000), (3, 5), (16, 1), (300, 2), (1_000_000, 3)] {
            let segments = if total > 1000 { vec![0, 999_999] } else { (0..total).collect() };
            let scan = |at| pages(&mut aws, ScanRequest::of("orders").segment(at, total).limit(limit));
            let seen: Vec<_> = segments.into_iter().flat_map(scan).collect();
            assert!(seen.iter().all(|page| page.items.len() <= limit));
            if total <= 1000 {
                assert_eq!(items(seen), all, "{total} segments, limit {limit}, {empty} empty pages");
            }
        }
    }
    assert_eq!(items(pages(&mut aws, ScanRequest::of("orders"))), all);
}

#[test]
fn keys_of_every_type_are_scanned_with_empty_pages_between() {
    for kind in ["S", "N", "B"] {
        for range in [None, Some("S"), Some("N"), Some("B")] {
            let mut aws = Aws::new(5);
            let mut keys = vec![json!({"AttributeName": "h", "KeyType": "HASH"})];
            let mut types = vec![json!({"AttributeName": "h", "AttributeType": kind})];
            if let Some(range) = range {
                keys.push(json!({"AttributeName": "r", "KeyType": "RANGE"}));
                types.push(json!({"AttributeName": "r", "AttributeType": range}));
            }
            let request = json!({"TableName": "keyed", "KeySchema": keys, "AttributeDefinitions": types});
            aws.create_table(&serde_json::from_value::<CreateTable>(request).unwrap()).unwrap();
            let value = |kind: &str, n: u32| json!({ kind: if kind == "B" { format!("{:04}", n) } else { n.to_string() } });
            for n in 0..24 {
                let mut item = json!({"h": value(kind, n / 3)});
                item["r"] = range.map_or(json!({"N": "0"}), |range| value(range, n % 3));
                aws.put_item("keyed", &attributes(item)).unwrap();
            }
            aws.knobs_mut().scan_empty_pages = 1;
            let scan = |at| pages(&mut aws, ScanRequest::of("keyed").segment(at, 3).limit(2));
            let pages: Vec<_> = (0..3).flat_map(scan).collect();
            assert!(pages.iter().any(|page| page.items.is_empty() && page.last_evaluated_key.is_some()));
            assert_eq!(items(pages), aws.items("keyed").unwrap(), "{kind} {range:?}");
        }
    }
}

#[test]
fn a_start_key_is_good_for_its_own_segment_and_total_only() {
    let mut aws = filled(100);
    let request = ScanRequest::of("orders").segment(0, 2).limit(30);
    let last = aws.scan(&request).unwrap().last_evaluated_key.unwrap();
    let same = ScanRequest::of("orders").segment(0, 2).after(&last);
    assert!(aws.scan(&same).is_ok());
    let other = refused(&mut aws, &same.clone().segment(1, 2));
    assert_eq!(other.code, "ValidationException");
    assert!(other.message.contains("correct Segment. TotalSegments: 2 Segment: 1"), "{other}");
    // The key's place lies in one segment of four, and even that one is refused.
    for at in 0..4 {
        assert_eq!(refused(&mut aws, &same.clone().segment(at, 4)).code, "ValidationException");
    }
    let whole = ScanRequest::of("orders").after(&last);
    assert_eq!(refused(&mut aws, &whole).code, "ValidationException");
    aws.knobs_mut().scan_strict_keys = false;
    assert!(aws.scan(&whole).is_ok());
    let lenient = (0..4).filter(|at| aws.scan(&same.clone().segment(*at, 4)).is_ok()).count();
    assert_eq!(lenient, 1);
    // A key that no scan gave out, and that no item has, is good where it falls.
    let free = ScanRequest::of("orders").after(&key("nobody"));
    assert_eq!((0..4).filter(|at| aws.scan(&free.clone().segment(*at, 4)).is_ok()).count(), 1);
}

#[test]
fn other_requests_are_refused() {
    let mut aws = filled(1);
    let all = ScanRequest::of("orders");
    let bad = [
        ScanRequest { segment: Some(0), ..all.clone() },
        ScanRequest { total_segments: Some(2), ..all.clone() },
        all.clone().segment(2, 2),
        all.clone().segment(0, 0),
        all.clone().segment(0, 1_000_001),
        all.clone().limit(0),
        all.clone().after(&attributes(json!({"id": {"N": "1"}}))),
        all.clone().after(&attributes(json!({"id": {"S": "a"}, "n": {"N": "1"}}))),
        ScanRequest { select: Some("EVERYTHING".into()), ..all.clone() },
        ScanRequest { select: Some("SPECIFIC_ATTRIBUTES".into()), ..all.clone() },
        ScanRequest { return_consumed_capacity: Some("INDEXES".into()), ..all.clone() },
    ];
    for request in bad {
        assert_eq!(refused(&mut aws, &request).code, "ValidationException", "{request:?}");
    }
    assert_eq!(refused(&mut aws, &ScanRequest::of("none")).code, "ResourceNotFoundException");
}

#[test]
fn an_item_behind_the_cursor_is_not_seen_and_one_ahead_is() {
    let mut aws = filled(100);
    let request = ScanRequest::of("orders").segment(1, 2).limit(20);
    let page = aws.scan(&request).unwrap();
    let at_rest = ids(&items(pages(&mut aws, ScanRequest::of("orders").segment(1, 2))));
    let cursor = ids(&page.items).last().unwrap().clone();
    (0..100).for_each(|n| put(&mut aws, &format!("new{n}"), n));
    let behind_and_ahead = ids(&items(pages(&mut aws, ScanRequest::of("orders").segment(1, 2))));
    let cut = behind_and_ahead.iter().position(|id| *id == cursor).unwrap();
    let (behind, ahead) = behind_and_ahead.split_at(cut + 1);
    let new = |ids: &[String]| ids.iter().filter(|id| id.starts_with("new")).count();
    assert!(new(behind) > 0 && new(ahead) > 0);

    let rest = ScanRequest { limit: None, ..after(&request, &page).unwrap() };
    assert_eq!(ids(&items(pages(&mut aws, rest.clone()))), ahead);
    // The item under the cursor may go; the order stays what it was.
    aws.delete_item("orders", &key(&cursor)).unwrap();
    assert_eq!(ids(&items(pages(&mut aws, rest))), ahead);
    let kept: Vec<_> = behind_and_ahead.iter().filter(|id| !id.starts_with("new")).cloned().collect();
    assert_eq!(kept, at_rest);
}

#[test]
fn a_consistent_scan_sees_every_write_and_another_may_lag() {
    let mut aws = filled(0);
    aws.knobs_mut().scan_stale_ms = 1000;
    let ages = |aws: &mut Aws, request: ScanRequest| -> Vec<(String, String)> {
        let all = items(pages(aws, request.limit(2)));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut all: Vec<_> =
            all.iter().map(|item| (text(&item["id"]["S"]), text(&item["n"]["N"]))).collect();
        all.sort();
        all
    };
    let of = |ages: &[(&str, &str)]| -> Vec<(String, String)> {
        ages.iter().map(|(id, n)| ((*id).to_owned(), (*n).to_owned())).collect()
    };
    let eventual = || ScanRequest::of("orders").eventual();
    ["a", "b", "c"].into_iter().for_each(|id| put(&mut aws, id, 1));
    assert_eq!(ages(&mut aws, eventual()), []);
    aws.advance(1000);
    put(&mut aws, "a", 2);
    put(&mut aws, "a", 3);
    aws.delete_item("orders", &key("b")).unwrap();
    put(&mut aws, "d", 1);
    let now = of(&[("a", "3"), ("c", "1"), ("d", "1")]);
    assert_eq!(ages(&mut aws, ScanRequest::of("orders")), now);
    for _ in 0..2 {
        assert_eq!(ages(&mut aws, eventual()), of(&[("a", "1"), ("b", "1"), ("c", "1")]));
        aws.advance(499);
    }
    let default = ScanRequest { consistent_read: None, ..eventual() };
    assert_eq!(ages(&mut aws, default.clone()).len(), 3);
    assert_eq!(ages(&mut aws, default)[0].1, "1");
    aws.advance(2);
    assert_eq!(ages(&mut aws, eventual()), now);
}

#[test]
fn an_eventual_scan_is_the_table_as_it_was() {
    const STALE: usize = 5;
    let (mut aws, _) = orders(1);
    aws.knobs_mut().scan_stale_ms = 5;
    let mut state = 42_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut past = vec![Vec::new(); STALE];
    for step in 0..300 {
        for n in 0..below(4) {
            let id = format!("k{}", below(12));
            match below(3) {
                0 => drop(aws.delete_item("orders", &key(&id)).unwrap()),
                _ => put(&mut aws, &id, step * 10 + i64::try_from(n).unwrap()),
            }
        }
        past.push(aws.items("orders").unwrap());
        let (total, limit) = (1 + below(4), 1 + usize::try_from(below(5)).unwrap());
        let mut scan = |eventual: bool| -> Vec<Attributes> {
            let request = |at| ScanRequest {
                consistent_read: Some(!eventual),
                ..ScanRequest::of("orders").segment(at, total).limit(limit)
            };
            (0..total).flat_map(|at| items(pages(&mut aws, request(at)))).collect()
        };
        assert_eq!(scan(false), past[past.len() - 1], "step {step}");
        assert_eq!(scan(true), past[past.len() - 1 - STALE], "step {step}");
        aws.advance(1);
    }
}

#[test]
fn a_page_ends_at_its_bytes_its_items_and_its_limit() {
    let (mut aws, _) = orders(1);
    let body = "x".repeat(300_000);
    for n in 0..7 {
        let item = json!({"id": {"S": format!("k{n}")}, "b": {"S": body}});
        aws.put_item("orders", &attributes(item)).unwrap();
    }
    let counts = |aws: &mut Aws, request: ScanRequest| -> Vec<usize> {
        pages(aws, request).iter().map(|page| page.items.len()).collect()
    };
    let all = || ScanRequest::of("orders");
    assert_eq!(counts(&mut aws, all()), [3, 3, 1]);
    assert_eq!(counts(&mut aws, all().limit(2)), [2, 2, 2, 1]);
    // A limit that is reached ends the page with a key, also at the last item.
    assert_eq!(counts(&mut aws, all().limit(1)), [1, 1, 1, 1, 1, 1, 1, 0]);
    aws.knobs_mut().scan_page_items = Some(1);
    assert_eq!(counts(&mut aws, all()), [1; 7]);
    aws.knobs_mut().scan_page_items = Some(5);
    aws.knobs_mut().scan_page_bytes = 1;
    assert_eq!(counts(&mut aws, all()), [1; 7]);
}

#[test]
fn empty_pages_go_on_and_end() {
    let mut aws = filled(6);
    aws.knobs_mut().scan_empty_pages = 3;
    let counts: Vec<usize> =
        pages(&mut aws, ScanRequest::of("orders").limit(3)).iter().map(|page| page.items.len()).collect();
    assert_eq!(counts, [0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0]);
    let (mut empty, _) = orders(1);
    empty.knobs_mut().scan_empty_pages = 2;
    let found = pages(&mut empty, ScanRequest::of("orders").segment(1, 4));
    assert_eq!(found.len(), 3);
    let keys: BTreeSet<_> = found.iter().map(|page| format!("{:?}", page.last_evaluated_key)).collect();
    assert_eq!(keys.len(), 3, "an empty page ends further on than it started");
}

#[test]
fn a_projection_gives_only_what_it_names() {
    let (mut aws, _) = orders(1);
    let item = json!({"id": {"S": "a"}, "odd name": {"N": "1"}, "rest": {"S": "r"}});
    aws.put_item("orders", &attributes(item)).unwrap();
    aws.put_item("orders", &key("b")).unwrap();
    let request = |expression: &str, name: &str| ScanRequest {
        projection_expression: Some(expression.to_owned()),
        expression_attribute_names: [("#n".to_owned(), name.to_owned())].into(),
        ..ScanRequest::of("orders")
    };
    let mut found = aws.scan(&request("id, #n", "odd name")).unwrap().items;
    found.sort_by_key(|item| format!("{item:?}"));
    assert_eq!(found, [attributes(json!({"id": {"S": "a"}, "odd name": {"N": "1"}})), key("b")]);
    let missing = aws.scan(&request("#n", "rest")).unwrap();
    assert_eq!(missing.items.iter().filter(|item| item.is_empty()).count(), 1);
    assert_eq!(refused(&mut aws, &request("id", "unused")).code, "ValidationException");
    // A start key is asked for whole and comes whole, whatever is projected.
    let page = aws.scan(&request("#n", "rest").limit(1)).unwrap();
    assert!(page.last_evaluated_key.unwrap().contains_key("id"));
}

#[test]
fn the_body_is_what_a_server_sends() {
    let (mut aws, _) = orders(1);
    put(&mut aws, "é\"\\", 1);
    let request = ScanRequest::of("orders").limit(1);
    let key = r#"{"id":{"S":"é\"\\"}}"#;
    let item = r#"{"id":{"S":"é\"\\"},"n":{"N":"1"}}"#;
    let text = |aws: &mut Aws, request: &ScanRequest| {
        String::from_utf8(aws.scan_body(request).unwrap().to_vec()).unwrap()
    };
    let capacity = r#""ConsumedCapacity":{"CapacityUnits":1.0,"TableName":"orders"},"#;
    let tail = format!(r#""LastEvaluatedKey":{key},"ScannedCount":1}}"#);
    assert_eq!(text(&mut aws, &request), format!(r#"{{{capacity}"Count":1,"Items":[{item}],{tail}"#));
    let count = ScanRequest { select: Some("COUNT".into()), ..request.clone() }.eventual();
    let half = capacity.replace("1.0", "0.5");
    assert_eq!(text(&mut aws, &count), format!(r#"{{{half}"Count":1,{tail}"#));
    let plain = ScanRequest { return_consumed_capacity: None, limit: None, ..request.clone() };
    assert_eq!(text(&mut aws, &plain), format!(r#"{{"Count":1,"Items":[{item}],"ScannedCount":1}}"#));

    let whole: Value = serde_json::from_str(&text(&mut aws, &request)).unwrap();
    for (members, start, end) in [
        (ScanMembers::ItemsFirst, r#"{"Items":["#, r#""ScannedCount":1}"#),
        (ScanMembers::ItemsLast, r#"{"ConsumedCapacity""#, "]}"),
        (ScanMembers::Mixed, "{", "}"),
    ] {
        aws.knobs_mut().scan_members = members;
        let body = text(&mut aws, &request);
        assert!(body.starts_with(start) && body.ends_with(end), "{members:?}: {body}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), whole);
    }
    let orders: BTreeSet<_> = (0..20).map(|_| text(&mut aws, &request)).collect();
    assert!(orders.len() > 5);
}

#[test]
fn read_capacity_is_counted_and_may_run_out() {
    let (mut aws, _) = orders(1);
    let item = json!({"id": {"S": "a"}, "b": {"S": "x".repeat(9_000)}});
    aws.put_item("orders", &attributes(item)).unwrap();
    let request = ScanRequest::of("orders");
    assert_eq!(aws.scan(&request).unwrap().capacity_units, 3.0);
    assert_eq!(aws.scan(&request.clone().eventual()).unwrap().capacity_units, 1.5);
    aws.knobs_mut().scan_units_per_second = Some(4.0);
    // The second page overdraws the bucket by two units.
    assert!(aws.scan(&request).is_ok() && aws.scan(&request).is_ok());
    let error = refused(&mut aws, &request);
    assert_eq!((error.code.as_str(), error.status), ("ProvisionedThroughputExceededException", 400));
    aws.advance(500);
    assert_eq!(refused(&mut aws, &request).code, "ProvisionedThroughputExceededException");
    aws.advance(1);
    assert!(aws.scan(&request).is_ok());
}

#[test]
fn faults_strike_scans_by_segment() {
    let mut aws = filled(20);
    let request = ScanRequest::of("orders").segment(1, 4);
    let whole = aws.scan_body(&request).unwrap();
    let throttle =
        Fault::Error { code: "ThrottlingException".into(), status: 400, message: "Rate exceeded".into() };
    aws.inject(Injection { shard: Some("1/4".into()), ..Injection::once(Op::Scan, throttle) });
    assert!(
        aws.scan(&ScanRequest::of("orders").segment(0, 4)).is_ok()
            && aws.scan(&ScanRequest::of("orders")).is_ok()
    );
    assert_eq!(refused(&mut aws, &request).code, "ThrottlingException");
    aws.inject(Injection::once(Op::Scan, Fault::InvalidJson));
    let cut = aws.scan_body(&request).unwrap();
    assert!(whole.starts_with(&cut) && cut.len() < whole.len());
    for (fault, code) in [
        (Fault::Truncated, AwsError::BAD_BODY),
        (Fault::WrongCrc, AwsError::BAD_BODY),
        (Fault::LostReply, AwsError::LOST_REPLY),
        (Fault::Hang, AwsError::HANG),
        (Fault::Reset, AwsError::RESET),
    ] {
        aws.inject(Injection::once(Op::Scan, fault.clone()));
        assert_eq!(aws.scan_body(&request).unwrap_err().code, code);
        aws.inject(Injection::once(Op::Scan, fault));
        assert_eq!(refused(&mut aws, &request).code, code);
    }
    assert_eq!(aws.scan_body(&request).unwrap(), whole);
    assert_eq!(aws.count(Op::Scan).shards["0/4"], 1);
}

#[test]
fn a_table_is_counted_now_and_then() {
    let mut aws = filled(10);
    let size = |aws: &mut Aws| {
        let described = aws.describe_table("orders").unwrap();
        (described.item_count, described.table_size_bytes)
    };
    assert_eq!(size(&mut aws), (0, 0));
    aws.advance(6 * HOUR - 1);
    assert_eq!(size(&mut aws), (0, 0));
    aws.advance(1);
    let counted = size(&mut aws);
    // Each item: id and k000 (6), n and one digit (3).
    assert_eq!(counted, (10, 90));
    aws.delete_item("orders", &key("k000")).unwrap();
    put(&mut aws, "k001", 12_345);
    assert_eq!(size(&mut aws), counted);
    aws.advance(3 * 6 * HOUR + 5);
    put(&mut aws, "late", 1);
    assert_eq!(size(&mut aws), (9, 83), "as it was at the counting, not as it is");
    aws.advance(6 * HOUR - 6);
    assert_eq!(size(&mut aws), (9, 83));
    aws.advance(1);
    assert_eq!(size(&mut aws).0, 10, "six hours after the last counting, not after the last write");
    aws.delete_item("orders", &key("late")).unwrap();
    aws.knobs_mut().count_every_ms = 0;
    assert_eq!(size(&mut aws).0, 9);
}

#[test]
fn a_stream_is_enabled_after_a_while() {
    let mut aws = Aws::new(1);
    aws.create_table(&CreateTable::with_key("orders", "id", None)).unwrap();
    aws.advance(1);
    aws.knobs_mut().enabling_ms = 5000;
    aws.knobs_mut().enabling_drops = true;
    let view = StreamSpecification::view(ViewType::NewAndOldImages);
    let updated = aws.update_table("orders", &view).unwrap();
    assert_eq!(updated.table_status, "UPDATING");
    let stream = updated.latest_stream_arn.unwrap();
    put(&mut aws, "early", 1);
    assert_eq!(aws.update_table("orders", &view).unwrap_err().code, "ResourceInUseException");
    assert!(common::shards(&mut aws, &stream).is_empty());
    aws.advance(5000);
    assert_eq!(aws.describe_table("orders").unwrap().table_status, "ACTIVE");
    assert_eq!(common::shards(&mut aws, &stream).len(), 1);
    put(&mut aws, "late", 1);
    let keys: Vec<_> = aws.history().iter().map(|record| record.key.to_string()).collect();
    assert_eq!(keys, [r#"{"id":{"S":"late"}}"#]);
}
