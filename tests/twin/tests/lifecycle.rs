//! Records, shards and streams through their lives.
#![allow(clippy::unwrap_used)]

mod common;

use common::{HOUR, attributes, horizon, key, orders, pages, put, shards};
use serde_json::{Value, json};
use twin::{
    AwsError, Condition, CreateTable, DescribeStream, EndIterator, EndPage, Event, IteratorType, ScanRequest,
    StreamSpecification, ViewType, Write,
};

fn code<T: std::fmt::Debug>(result: Result<T, AwsError>) -> String {
    result.unwrap_err().code
}

#[test]
fn writes_leave_records_and_no_op_writes_leave_none() {
    let (mut aws, stream) = orders(1);
    put(&mut aws, "a", 1);
    put(&mut aws, "a", 1);
    put(&mut aws, "a", 2);
    aws.delete_item("orders", &key("a")).unwrap();
    aws.delete_item("orders", &key("a")).unwrap();
    put(&mut aws, "b", 1);
    aws.expire("orders", &key("b")).unwrap();

    let shard = aws.open_shard("orders", 0).unwrap();
    let records = &pages(&mut aws, &stream, &shard, 1000)[0].records;
    let events: Vec<_> = records.iter().map(|record| record.event).collect();
    assert_eq!(events, [Event::Insert, Event::Modify, Event::Remove, Event::Insert, Event::Remove]);
    assert_eq!(
        records.iter().map(|record| record.ttl).collect::<Vec<_>>(),
        [false, false, false, false, true]
    );

    let modify: Value = serde_json::from_slice(&records[1].json).unwrap();
    assert_eq!(modify["dynamodb"]["OldImage"], json!({"id": {"S": "a"}, "n": {"N": "1"}}));
    assert_eq!(modify["dynamodb"]["NewImage"]["n"], json!({"N": "2"}));
    assert_eq!(modify["dynamodb"]["ApproximateCreationDateTime"], json!(aws.now_ms() / 1000));
    assert_eq!(modify["dynamodb"]["SizeBytes"], json!(3 + 2 * 6));
    let ttl: Value = serde_json::from_slice(&records[4].json).unwrap();
    assert_eq!(ttl["userIdentity"], json!({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}));
}

#[test]
fn a_write_waits_for_its_condition() {
    let (mut aws, _) = orders(1);
    let item = |n: i64| attributes(json!({"id": {"S": "a"}, "n": {"N": n.to_string()}}));
    let absent = Condition::new("attribute_not_exists(#k)").name("#k", "id");
    let counted = |n: i64| Condition::new("n = :n").value(":n", json!({"N": n.to_string()}));
    assert!(aws.put_item_if("orders", &item(1), &absent).is_ok());
    assert_eq!(code(aws.put_item_if("orders", &item(2), &absent)), "ConditionalCheckFailedException");
    assert!(aws.put_item_if("orders", &item(2), &counted(1)).is_ok());
    assert_eq!(code(aws.put_item_if("orders", &item(3), &counted(1))), "ConditionalCheckFailedException");
    assert_eq!(code(aws.delete_item_if("orders", &key("a"), &counted(1))), "ConditionalCheckFailedException");
    assert!(aws.delete_item_if("orders", &key("a"), &counted(2)).is_ok());
    assert_eq!(aws.history().len(), 3, "what fails leaves no record");
}

#[test]
fn equal_values_are_no_change_however_they_are_written() {
    let (mut aws, _) = orders(1);
    for (n, set) in [("1.50", ["b", "a"]), ("15e-1", ["a", "b"])] {
        let item = attributes(json!({"id": {"S": "a"}, "n": {"N": n}, "s": {"SS": set}}));
        aws.put_item("orders", &item).unwrap();
    }
    assert_eq!(aws.history().len(), 1);
    assert_eq!(aws.get_item("orders", &key("a")).unwrap().unwrap()["n"], json!({"N": "1.5"}));
}

#[test]
fn images_follow_the_view_type() {
    use ViewType::{KeysOnly, NewAndOldImages, NewImage, OldImage};
    let views = [
        (KeysOnly, false, false),
        (NewImage, true, false),
        (OldImage, false, true),
        (NewAndOldImages, true, true),
    ];
    for (view, new, old) in views {
        let mut aws = twin::Aws::new(1);
        aws.create_table(&CreateTable::with_key("orders", "id", Some(view))).unwrap();
        put(&mut aws, "a", 1);
        put(&mut aws, "a", 2);
        let record: Value = serde_json::from_slice(&aws.history()[1].json).unwrap();
        assert_eq!(record["dynamodb"].get("NewImage").is_some(), new, "{view:?}");
        assert_eq!(record["dynamodb"].get("OldImage").is_some(), old, "{view:?}");
        assert_eq!(record["dynamodb"]["StreamViewType"], json!(view.name()));
    }
}

#[test]
fn a_rollover_closes_the_shard_and_opens_its_child() {
    let (mut aws, stream) = orders(2);
    put(&mut aws, "a", 1);
    let partition =
        (0..2).find(|p| aws.open_shard("orders", *p) == Some(aws.history()[0].shard.clone())).unwrap();
    let (parent, child) = aws.roll_over("orders", partition).unwrap();
    put(&mut aws, "a", 2);

    let listed = shards(&mut aws, &stream);
    let find = |id: &str| listed.iter().find(|shard| shard.shard_id == id).unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(find(&child).parent_shard_id.as_deref(), Some(&*parent));
    assert_eq!(find(&child).sequence_number_range.ending_sequence_number, None);
    let ending = find(&parent).sequence_number_range.ending_sequence_number.clone().unwrap();
    assert_eq!(ending, aws.history()[0].sequence.as_str());
    assert_eq!(*aws.history()[1].shard, *child);

    let children = aws.describe_stream(&DescribeStream::all(&stream).children_of(&parent)).unwrap().shards;
    assert_eq!(children.iter().map(|shard| &*shard.shard_id).collect::<Vec<_>>(), [&*child]);
}

#[test]
fn a_split_halves_the_keys() {
    let (mut aws, stream) = orders(1);
    let (parent, lower, upper) = aws.split("orders", 0).unwrap();
    for i in 0..200 {
        put(&mut aws, &format!("k{i}"), i);
    }
    let count = |id: &str| aws.history().iter().filter(|record| *record.shard == *id).count();
    assert_eq!(count(&lower) + count(&upper), 200);
    assert!(count(&lower) > 50 && count(&upper) > 50);
    let children = aws.describe_stream(&DescribeStream::all(&stream).children_of(&parent)).unwrap().shards;
    assert_eq!(children.len(), 2);
}

#[test]
fn a_closed_shard_ends_in_every_variant() {
    for (page, iterator, sizes) in [
        (EndPage::WithRecords, EndIterator::Absent, vec![2, 1]),
        (EndPage::Separate, EndIterator::Absent, vec![2, 1, 0]),
        (EndPage::WithRecords, EndIterator::Null, vec![2, 1]),
    ] {
        let (mut aws, stream) = orders(1);
        (aws.knobs_mut().end_page, aws.knobs_mut().end_iterator) = (page, iterator);
        (1..=3).for_each(|n| put(&mut aws, "a", n));
        let (parent, _) = aws.roll_over("orders", 0).unwrap();
        let pages = pages(&mut aws, &stream, &parent, 2);
        assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), sizes, "{page:?}");
        assert!(pages.last().unwrap().next.is_none());

        let first = horizon(&mut aws, &stream, &parent);
        aws.knobs_mut().end_page = EndPage::WithRecords;
        let body: Value = serde_json::from_slice(&aws.get_records_body(&first, None).unwrap()).unwrap();
        assert_eq!(body.get("NextShardIterator"), (iterator == EndIterator::Null).then_some(&Value::Null));
        assert_eq!(body["Records"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn empty_pages_come_before_records_and_before_the_end() {
    let (mut aws, stream) = orders(1);
    aws.knobs_mut().empty_pages = 2;
    aws.knobs_mut().end_page = EndPage::Separate;
    put(&mut aws, "a", 1);
    let (parent, _) = aws.roll_over("orders", 0).unwrap();
    let sizes: Vec<_> = pages(&mut aws, &stream, &parent, 10).iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes, [0, 0, 1, 0, 0, 0]);
}

#[test]
fn sequences_grow_as_numbers_over_fifty_rollovers_and_get_wider() {
    let (mut aws, _) = orders(1);
    for i in 0..50 {
        (0..5).for_each(|n| put(&mut aws, "a", i * 5 + n));
        aws.roll_over("orders", 0).unwrap();
    }
    let texts: Vec<_> = aws.history().iter().map(|record| record.sequence.as_str().to_owned()).collect();
    let stripped = |text: &str| (text.len(), text.to_owned());
    assert_eq!(texts.len(), 250);
    assert!(texts.windows(2).all(|pair| stripped(&pair[0]) < stripped(&pair[1])));
    assert!(texts.windows(2).any(|pair| pair[0] > pair[1]), "text order must be wrong somewhere");
    assert!(texts.iter().all(|text| (21..=40).contains(&text.len()) && !text.starts_with('0')));
    let (least, most) = (texts[0].len(), texts[249].len());
    assert!(least <= 22 && most >= 30, "{least} to {most} digits");
}

#[test]
fn text_order_is_wrong_within_one_shard_too() {
    let (mut aws, _) = orders(1);
    (0..100).for_each(|n| put(&mut aws, "a", n));
    let texts: Vec<_> = aws.history().iter().map(|record| record.sequence.as_str()).collect();
    assert!(texts.windows(2).any(|pair| pair[0] > pair[1]));
    assert!(aws.history().is_sorted_by(|a, b| a.sequence < b.sequence));
}

#[test]
fn many_rollovers_never_exceed_forty_digits() {
    let (mut aws, _) = orders(1);
    for i in 0..500 {
        aws.roll_over("orders", 0).unwrap();
        put(&mut aws, "a", i);
    }
    assert_eq!(aws.history().iter().map(|record| record.sequence.as_str().len()).max(), Some(40));
}

#[test]
fn records_are_trimmed_and_closed_shards_vanish_after_a_day() {
    let (mut aws, stream) = orders(1);
    put(&mut aws, "a", 1);
    aws.advance(20 * HOUR);
    put(&mut aws, "a", 2);
    let [first, second] = [0, 1].map(|i| aws.history()[i].sequence.to_string());
    let (parent, child) = aws.roll_over("orders", 0).unwrap();
    let before = horizon(&mut aws, &stream, &parent);
    aws.advance(4 * HOUR + 1);

    let mut at = |kind, sequence: &str| aws.get_shard_iterator(&stream, &parent, kind, Some(sequence));
    assert_eq!(code(at(IteratorType::AtSequenceNumber, &first)), "TrimmedDataAccessException");
    assert_eq!(code(at(IteratorType::AfterSequenceNumber, &first)), "TrimmedDataAccessException");
    assert!(at(IteratorType::AtSequenceNumber, &second).is_ok());
    aws.knobs_mut().refuse_after_trimmed = false;
    assert!(
        aws.get_shard_iterator(&stream, &parent, IteratorType::AfterSequenceNumber, Some(&first)).is_ok()
    );
    let left = &pages(&mut aws, &stream, &parent, 10)[0].records;
    assert_eq!(left.iter().map(|record| record.sequence.to_string()).collect::<Vec<_>>(), [second]);
    assert_eq!(code(aws.get_records(&before, None)), "ExpiredIteratorException");

    aws.advance(20 * HOUR);
    let listed: Vec<_> = shards(&mut aws, &stream).into_iter().map(|shard| shard.shard_id).collect();
    assert_eq!(listed, [&*child]);
    let gone = aws.get_shard_iterator(&stream, &parent, IteratorType::TrimHorizon, None);
    assert_eq!(code(gone), "ResourceNotFoundException");
}

#[test]
fn a_young_iterator_into_trimmed_records_is_refused() {
    let (mut aws, stream) = orders(1);
    put(&mut aws, "a", 1);
    let shard = aws.open_shard("orders", 0).unwrap();
    aws.advance(24 * HOUR);
    let iterator = horizon(&mut aws, &stream, &shard);
    aws.advance(1);
    assert_eq!(code(aws.get_records(&iterator, None)), "TrimmedDataAccessException");
}

#[test]
fn an_iterator_lives_fifteen_minutes_from_its_issue() {
    let (mut aws, stream) = orders(1);
    let shard = aws.open_shard("orders", 0).unwrap();
    let first = horizon(&mut aws, &stream, &shard);
    aws.advance(15 * common::MINUTE);
    let second = aws.get_records(&first, None).unwrap().next.unwrap();
    aws.advance(1);
    assert_eq!(code(aws.get_records(&first, None)), "ExpiredIteratorException");
    aws.advance(14 * common::MINUTE);
    assert!(aws.get_records(&second, None).is_ok());
}

#[test]
fn latest_points_behind_the_last_record_less_its_slack() {
    let (mut aws, stream) = orders(1);
    (1..=3).for_each(|n| put(&mut aws, "a", n));
    let shard = aws.open_shard("orders", 0).unwrap();
    for (slack, seen) in [(0, 0), (2, 2), (9, 3)] {
        aws.knobs_mut().latest_slack = slack;
        let iterator = aws.get_shard_iterator(&stream, &shard, IteratorType::Latest, None).unwrap();
        assert_eq!(aws.get_records(&iterator, None).unwrap().records.len(), seen);
    }
}

#[test]
fn a_disabled_stream_drains_and_a_new_one_has_a_new_arn() {
    let (mut aws, old) = orders(2);
    put(&mut aws, "a", 1);
    aws.update_table("orders", &StreamSpecification { stream_enabled: false, stream_view_type: None })
        .unwrap();
    put(&mut aws, "a", 2);
    let described = aws.describe_stream(&DescribeStream::all(&old)).unwrap();
    assert_eq!(described.stream_status, "DISABLED");
    assert!(
        described.shards.iter().all(|shard| shard.sequence_number_range.ending_sequence_number.is_some())
    );

    let again = aws.update_table("orders", &StreamSpecification::view(ViewType::NewImage)).unwrap();
    let new = again.latest_stream_arn.unwrap();
    assert_ne!(old, new);
    put(&mut aws, "a", 3);
    assert_eq!(aws.history().iter().map(|record| &*record.stream).collect::<Vec<_>>(), [&*old, &*new]);
    assert_eq!(aws.list_streams(Some("orders"), None, None).unwrap().streams.len(), 2);

    aws.advance(24 * HOUR);
    assert_eq!(code(aws.describe_stream(&DescribeStream::all(&old))), "ResourceNotFoundException");
    assert_eq!(aws.describe_stream(&DescribeStream::all(&new)).unwrap().stream_status, "ENABLED");
}

#[test]
fn a_recreated_table_has_another_stream_and_the_old_one_stays_readable() {
    let (mut aws, old) = orders(1);
    put(&mut aws, "a", 1);
    let shard = aws.open_shard("orders", 0).unwrap();
    aws.delete_table("orders").unwrap();
    assert_eq!(code(aws.describe_table("orders")), "ResourceNotFoundException");
    let request = CreateTable::with_key("orders", "id", Some(ViewType::NewAndOldImages));
    let new = aws.create_table(&request).unwrap().latest_stream_arn.unwrap();
    assert_ne!(old, new);
    assert_eq!(pages(&mut aws, &old, &shard, 10)[0].records.len(), 1);
    assert_eq!(code(aws.create_table(&request)), "ResourceInUseException");
}

#[test]
fn shards_roll_over_by_age_at_their_own_moments() {
    let (mut aws, stream) = orders(3);
    aws.knobs_mut().roll_every_ms = Some(4 * 3_600_000);
    aws.advance(48 * HOUR);
    let listed = shards(&mut aws, &stream);
    // Of twelve generations the six that closed 24 hours ago or more are gone; one is open.
    assert_eq!(listed.len(), 3 * (6 + 1));
    assert!(listed.iter().all(|shard| shard.parent_shard_id.is_some()));
}

#[test]
fn a_table_at_rest_is_what_was_written() {
    let (mut aws, _) = orders(4);
    (0..60).for_each(|n| put(&mut aws, &format!("k{n:02}"), n));
    let delete = ("orders".to_owned(), Write::Delete(key("k00")));
    let fresh = ("orders".to_owned(), Write::Put(attributes(json!({"id": {"S": "new"}}))));
    aws.batch_write_item(&[delete.clone(), fresh]).unwrap();
    assert_eq!(code(aws.batch_write_item(&[delete.clone(), delete])), "ValidationException");
    assert_eq!(aws.get_item("orders", &key("k00")).unwrap(), None);
    assert_eq!(aws.get_item("orders", &key("k01")).unwrap().unwrap()["n"], json!({"N": "1"}));

    let (mut seen, mut start) = (Vec::new(), None);
    for _ in 0..100 {
        let request = ScanRequest { exclusive_start_key: start, ..ScanRequest::of("orders").limit(7) };
        let page = aws.scan(&request).unwrap();
        assert!(page.items.len() <= 7);
        seen.extend(page.items);
        start = page.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(seen, aws.items("orders").unwrap());
    assert_eq!(seen.len(), 60);
}
