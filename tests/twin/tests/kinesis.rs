//! Kinesis polled: records, iterators, retention, rates.
#![allow(clippy::unwrap_used)]

mod common;

use common::kinesis::{horizon, id, ids, orders, pages, stream, texts};
use common::{HOUR, MINUTE};
use serde_json::{Value, json};
use twin::kinesis::{
    CreateStream, GetShardIterator, IteratorType, KinesisOp, ListShards, Named, PutEntry, PutResult,
};
use twin::{Aws, AwsError, EndIterator, EndPage, Fault, Injection, Op};

fn code<T: std::fmt::Debug>(result: Result<T, AwsError>) -> String {
    result.unwrap_err().code
}

fn put(aws: &mut Aws, key: &str, data: &str) -> (String, String) {
    aws.kinesis().put("orders", key, data.as_bytes()).unwrap()
}

fn seen(aws: &mut Aws, request: &GetShardIterator) -> Vec<String> {
    let iterator = aws.kinesis().get_shard_iterator(request).unwrap();
    let page = aws.kinesis().get_records(&iterator, None).unwrap();
    page.records.iter().map(|record| String::from_utf8(record.data()).unwrap()).collect()
}

#[test]
fn a_record_keeps_its_bytes_its_key_and_its_time() {
    let mut aws = stream(1);
    aws.advance(1_234);
    let data = [0, 159, 146, 150, b'"', b'\n'];
    let (shard, sequence) = aws.kinesis().put("orders", "é\"\\\u{1}", &data).unwrap();
    let at = horizon(&mut aws, &shard);
    let record = aws.kinesis().get_records(&at, None).unwrap().records.remove(0);
    assert_eq!((record.data(), &*record.partition_key), (data.to_vec(), "é\"\\\u{1}"));

    let body: Value = serde_json::from_slice(&aws.kinesis().get_records_body(&at, None).unwrap()).unwrap();
    let sent = &body["Records"][0];
    assert_eq!((&sent["PartitionKey"], &sent["SequenceNumber"]), (&json!("é\"\\\u{1}"), &json!(sequence)));
    assert_eq!(sent["ApproximateArrivalTimestamp"], json!(1_767_225_601.234));
    assert_eq!((sequence.len(), &body["MillisBehindLatest"]), (56, &json!(0)));
}

#[test]
fn keys_go_to_shards_by_their_md5_unless_told() {
    let mut aws = stream(2);
    // MD5("a") is 0cc1…, MD5("e") is e167…: the first and the last eighth of the range.
    assert_eq!(put(&mut aws, "a", "1").0, id(0));
    assert_eq!(put(&mut aws, "e", "2").0, id(1));
    let explicit = |hash: &str| PutEntry { explicit_hash_key: Some(hash.into()), ..PutEntry::new("e", b"3") };
    assert_eq!(aws.kinesis().put_record(&orders(), &explicit("0")).unwrap().0, id(0));
    let last = u128::MAX.to_string();
    assert_eq!(aws.kinesis().put_record(&orders(), &explicit(&last)).unwrap().0, id(1));
    for bad in ["-1", "x", "340282366920938463463374607431768211456"] {
        let refused = aws.kinesis().put_record(&orders(), &explicit(bad));
        assert_eq!(code(refused), "InvalidArgumentException", "{bad}");
    }
}

#[test]
fn iterators_point_where_they_say() {
    let mut aws = stream(1);
    let mut numbers = Vec::new();
    for n in 0..4 {
        numbers.push(put(&mut aws, "a", &n.to_string()).1);
        aws.advance(1000);
    }
    let at = |kind| GetShardIterator::at("orders", &id(0), kind);
    use IteratorType::{AfterSequenceNumber, AtSequenceNumber, AtTimestamp, Latest, TrimHorizon};
    assert_eq!(seen(&mut aws, &at(TrimHorizon)), ["0", "1", "2", "3"]);
    assert_eq!(seen(&mut aws, &at(Latest)), [""; 0]);
    assert_eq!(seen(&mut aws, &at(AtSequenceNumber).sequence(&numbers[2])), ["2", "3"]);
    assert_eq!(seen(&mut aws, &at(AfterSequenceNumber).sequence(&numbers[2])), ["3"]);
    let now = aws.now_ms();
    assert_eq!(seen(&mut aws, &at(AtTimestamp).time(now - 2000)), ["2", "3"]);
    assert_eq!(seen(&mut aws, &at(AtTimestamp).time(now - 1999)), ["3"]);
    assert_eq!(seen(&mut aws, &at(AtTimestamp).time(now)), [""; 0]);
    assert_eq!(seen(&mut aws, &at(AtTimestamp).time(0)), ["0", "1", "2", "3"]);
    let refused = aws.kinesis().get_shard_iterator(&at(AtTimestamp).time(now + 1));
    assert_eq!(code(refused), "InvalidArgumentException");
}

#[test]
fn a_number_is_good_only_for_the_shard_it_came_from() {
    let mut aws = stream(2);
    let (_, of_first) = put(&mut aws, "a", "1");
    let request = |number: &str| {
        GetShardIterator::at("orders", &id(1), IteratorType::AfterSequenceNumber).sequence(number)
    };
    for bad in [&*of_first, "7", "x", ""] {
        let refused = aws.kinesis().get_shard_iterator(&request(bad)).unwrap_err();
        assert_eq!(refused.code, "InvalidArgumentException", "{bad}: {}", refused.message);
    }
    let (_, own) = put(&mut aws, "e", "2");
    aws.kinesis().delete_stream(&orders()).unwrap();
    aws.kinesis().create_stream(&CreateStream::with_shards("orders", 2)).unwrap();
    let refused = aws.kinesis().get_shard_iterator(&request(&own)).unwrap_err();
    assert!(refused.message.contains("did not come from this stream"), "{}", refused.message);
}

#[test]
fn an_iterator_lives_five_minutes_from_its_issue() {
    let mut aws = stream(1);
    let first = horizon(&mut aws, &id(0));
    aws.advance(5 * MINUTE);
    let second = aws.kinesis().get_records(&first, None).unwrap().next.unwrap();
    aws.advance(1);
    assert_eq!(code(aws.kinesis().get_records(&first, None)), "ExpiredIteratorException");
    assert!(aws.kinesis().get_records(&second, None).is_ok());
    assert_eq!(code(aws.kinesis().get_records("AAAA", None)), "InvalidArgumentException");
}

#[test]
fn trimmed_positions_go_on_at_the_horizon_in_silence() {
    let mut aws = stream(1);
    let (_, old) = put(&mut aws, "a", "old");
    aws.advance(24 * HOUR);
    put(&mut aws, "a", "new");
    let before = horizon(&mut aws, &id(0));
    aws.advance(1);
    let after = GetShardIterator::at("orders", &id(0), IteratorType::AfterSequenceNumber).sequence(&old);
    let at = GetShardIterator::at("orders", &id(0), IteratorType::AtSequenceNumber).sequence(&old);
    assert_eq!(seen(&mut aws, &after), ["new"]);
    assert_eq!(seen(&mut aws, &at), ["new"]);
    let sizes: Vec<_> = pages(&mut aws, before, 1).iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes, [1, 0], "and goes on from there");

    aws.kinesis().increase_retention(&orders(), 48).unwrap();
    aws.advance(48 * HOUR - 1);
    assert_eq!(texts(&mut aws, &id(0)), ["new"], "what was trimmed stays so, the rest lives on");
    aws.advance(1);
    assert_eq!(texts(&mut aws, &id(0)), [""; 0]);
    let refused = aws.kinesis().decrease_retention(&orders(), 72);
    assert_eq!(code(refused), "InvalidArgumentException");
    assert_eq!(aws.kinesis_history().len(), 2, "the oracle forgets nothing");
}

#[test]
fn a_closed_shard_ends_in_every_variant_and_names_its_children() {
    for (page, iterator, sizes) in [
        (EndPage::WithRecords, EndIterator::Null, vec![2, 1]),
        (EndPage::Separate, EndIterator::Null, vec![2, 1, 0]),
        (EndPage::WithRecords, EndIterator::Absent, vec![2, 1]),
    ] {
        let mut aws = stream(1);
        (aws.knobs_mut().end_page, aws.knobs_mut().kinesis.end_iterator) = (page, iterator);
        (1..=3).for_each(|n| drop(put(&mut aws, "a", &n.to_string())));
        let (lower, upper) = aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
        let at = horizon(&mut aws, &id(0));
        let pages = pages(&mut aws, at.clone(), 2);
        assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), sizes, "{page:?}");
        let (last, earlier) = pages.split_last().unwrap();
        assert!(last.next.is_none() && earlier.iter().all(|page| page.child_shards.is_empty()));
        let children: Vec<_> = last.child_shards.iter().map(|child| &*child.shard_id).collect();
        assert_eq!(children, [&*lower, &*upper]);
        assert_eq!(last.child_shards[0].parent_shards, [id(0)]);

        aws.knobs_mut().end_page = EndPage::WithRecords;
        let body = aws.kinesis().get_records_body(&at, None).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.get("NextShardIterator"), (iterator == EndIterator::Null).then_some(&Value::Null));
        assert_eq!(body["ChildShards"][1]["ShardId"], json!(upper));
    }
}

#[test]
fn children_may_be_missing_from_the_end_at_first() {
    let mut aws = stream(1);
    aws.knobs_mut().kinesis.hide_children_ms = 1000;
    aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
    let at = horizon(&mut aws, &id(0));
    let page = aws.kinesis().get_records(&at, None).unwrap();
    assert!(page.next.is_none() && page.child_shards.is_empty());
    aws.advance(1000);
    assert_eq!(aws.kinesis().get_records(&at, None).unwrap().child_shards.len(), 2);
}

#[test]
fn empty_pages_go_on_and_say_how_far_behind_they_are() {
    let mut aws = stream(1);
    aws.knobs_mut().kinesis.empty_pages = 2;
    put(&mut aws, "a", "1");
    aws.advance(700);
    put(&mut aws, "a", "2");
    aws.advance(300);
    let mut at = horizon(&mut aws, &id(0));
    let mut read = Vec::new();
    for _ in 0..6 {
        let page = aws.kinesis().get_records(&at, Some(1)).unwrap();
        read.push((page.records.len(), page.millis_behind_latest));
        at = page.next.unwrap();
    }
    assert_eq!(read, [(0, 1000), (0, 1000), (1, 300), (0, 300), (0, 300), (1, 0)]);
}

#[test]
fn pages_end_at_their_records_and_their_bytes() {
    let mut aws = stream(1);
    let big = "x".repeat(700 * 1024);
    (0..20).for_each(|_| drop(put(&mut aws, "a", &big)));
    let at = horizon(&mut aws, &id(0));
    let sizes: Vec<_> = pages(&mut aws, at, 10_000).iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes, [14, 6, 0], "10 MiB hold fourteen");
    let at = horizon(&mut aws, &id(0));
    assert_eq!(code(aws.kinesis().get_records(&at, Some(10_001))), "ValidationException");
}

#[test]
fn entries_of_a_request_fail_alone() {
    let mut aws = stream(2);
    aws.knobs_mut().kinesis.written_records_per_second = Some(3.0);
    let entries: Vec<_> = ["a", "a", "a", "a", "e"].map(|key| PutEntry::new(key, b"x")).into();
    let results = aws.kinesis().put_records(&orders(), &entries).unwrap();
    assert_eq!(results.failed_record_count, 1);
    let PutResult::Failed { error_code, error_message } = &results.records[3] else { panic!("{results:?}") };
    assert_eq!(error_code, "ProvisionedThroughputExceededException");
    assert!(error_message.contains(&id(0)), "{error_message}");
    assert_eq!(aws.kinesis_history().len(), 4);
    let refused = aws.kinesis().put("orders", "a", b"x");
    assert_eq!(code(refused), "ProvisionedThroughputExceededException");
    aws.advance(1000);
    assert!(aws.kinesis().put("orders", "a", b"x").is_ok());

    aws.knobs_mut().kinesis.put_fail_share = 1.0;
    let results = aws.kinesis().put_records(&orders(), &entries).unwrap();
    assert_eq!(results.failed_record_count, 5);
    let shape = serde_json::to_value(&results).unwrap();
    assert_eq!(
        shape["Records"][0],
        json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"})
    );
}

#[test]
fn requests_have_their_documented_sizes() {
    let mut aws = stream(1);
    let entry = |bytes: usize| PutEntry::new("a", &vec![0; bytes]);
    let many = vec![entry(1); 501];
    assert_eq!(code(aws.kinesis().put_records(&orders(), &many)), "ValidationException");
    assert_eq!(code(aws.kinesis().put_record(&orders(), &entry(1 << 20))), "ValidationException");
    assert!(aws.kinesis().put_record(&orders(), &entry((1 << 20) - 1)).is_ok());
    let six = vec![entry(1_000_000); 6];
    assert_eq!(code(aws.kinesis().put_records(&orders(), &six)), "InvalidArgumentException");

    let large =
        CreateStream { max_record_size_in_kib: Some(10_240), ..CreateStream::with_shards("large", 1) };
    aws.kinesis().create_stream(&large).unwrap();
    assert!(aws.kinesis().put_records(&Named::of("large"), &six).is_ok());
    assert!(aws.kinesis().put_record(&Named::of("large"), &entry((10 << 20) - 1)).is_ok());
}

#[test]
fn reading_has_its_documented_rates() {
    let mut aws = stream(1);
    let rates = aws.knobs().kinesis.clone().with_documented_rates();
    let big = "x".repeat(1_000_000);
    (0..10).for_each(|_| drop(put(&mut aws, "a", &big)));
    aws.knobs_mut().kinesis = rates;
    let at = horizon(&mut aws, &id(0));
    let next = aws.kinesis().get_records(&at, None).unwrap().next.unwrap();
    let refused = aws.kinesis().get_records(&next, None);
    assert_eq!(code(refused), "ProvisionedThroughputExceededException");
    aws.advance(4_700);
    assert_eq!(code(aws.kinesis().get_records(&next, None)), "ProvisionedThroughputExceededException");
    aws.advance(100);
    let mut iterator = next;
    for _ in 0..5 {
        iterator = aws.kinesis().get_records(&iterator, None).unwrap().next.unwrap();
    }
    assert_eq!(code(aws.kinesis().get_records(&iterator, None)), "ProvisionedThroughputExceededException");
}

#[test]
fn any_operation_can_have_a_rate() {
    let mut aws = stream(1);
    let rates = json!({"Kinesis.DescribeStreamSummary": 2, "ListTables": 1});
    aws.knobs_mut().calls_per_second = serde_json::from_value(rates.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(aws.knobs()).unwrap()["calls_per_second"],
        json!({
            "Kinesis.DescribeStreamSummary": 2.0, "ListTables": 1.0,
        })
    );
    for _ in 0..2 {
        assert!(aws.kinesis().describe_stream_summary(&orders()).is_ok());
    }
    assert_eq!(code(aws.kinesis().describe_stream_summary(&orders())), "LimitExceededException");
    assert!(aws.kinesis().list_shards(&ListShards::of("orders")).is_ok());
    aws.advance(500);
    assert!(aws.kinesis().describe_stream_summary(&orders()).is_ok());
}

#[test]
fn a_recreated_stream_is_another_one() {
    let mut aws = stream(1);
    put(&mut aws, "a", "1");
    let first = aws.kinesis().describe_stream_summary(&orders()).unwrap();
    let old = horizon(&mut aws, &id(0));
    aws.kinesis().delete_stream(&orders()).unwrap();
    assert_eq!(code(aws.kinesis().describe_stream_summary(&orders())), "ResourceNotFoundException");
    assert_eq!(code(aws.kinesis().get_records(&old, None)), "ResourceNotFoundException");
    aws.kinesis().create_stream(&CreateStream::with_shards("orders", 1)).unwrap();
    let second = aws.kinesis().describe_stream_summary(&orders()).unwrap();
    assert_eq!(first.stream_arn, second.stream_arn);
    assert_ne!(first.stream_creation_timestamp, second.stream_creation_timestamp);
    assert_eq!(code(aws.kinesis().get_records(&old, None)), "ResourceNotFoundException");
    let stale = ListShards {
        stream_creation_timestamp: Some(first.stream_creation_timestamp),
        ..ListShards::of("orders")
    };
    assert_eq!(code(aws.kinesis().list_shards(&stale)), "ResourceNotFoundException");
    assert_eq!(ids(&mut aws, ListShards::of("orders")), [id(0)]);
    let again = CreateStream::with_shards("orders", 1);
    assert_eq!(code(aws.kinesis().create_stream(&again)), "ResourceInUseException");
}

#[test]
fn a_stream_takes_its_time_to_come_and_go() {
    let mut aws = Aws::new(7);
    let knobs = &mut aws.knobs_mut().kinesis;
    (knobs.creating_ms, knobs.updating_ms, knobs.deleting_ms) = (10, 20, 30);
    aws.kinesis().create_stream(&CreateStream::on_demand("orders")).unwrap();
    let status = |aws: &mut Aws| aws.kinesis().describe_stream_summary(&orders()).unwrap().stream_status;
    assert_eq!(status(&mut aws), "CREATING");
    assert_eq!(code(aws.kinesis().list_shards(&ListShards::of("orders"))), "ResourceInUseException");
    assert_eq!(code(aws.kinesis().put("orders", "a", b"")), "ResourceNotFoundException");
    assert!(aws.kinesis().describe_stream(&orders(), None, None).unwrap().shards.is_empty());
    aws.advance(10);
    assert_eq!(status(&mut aws), "ACTIVE");
    assert_eq!(ids(&mut aws, ListShards::of("orders")).len(), 4, "on demand");
    assert_eq!(code(aws.kinesis().split_shard(&orders(), &id(0), None)), "ValidationException");
    aws.kinesis().increase_retention(&orders(), 48).unwrap();
    assert_eq!(status(&mut aws), "UPDATING");
    assert_eq!(code(aws.kinesis().increase_retention(&orders(), 72)), "ResourceInUseException");
    aws.advance(20);
    aws.kinesis().delete_stream(&orders()).unwrap();
    assert_eq!(status(&mut aws), "DELETING");
    assert!(aws.kinesis().put("orders", "a", b"").is_ok(), "it works on until it is gone");
    aws.advance(30);
    assert_eq!(code(aws.kinesis().describe_stream_summary(&orders())), "ResourceNotFoundException");
}

#[test]
fn streams_answer_to_their_arn_and_to_no_other() {
    let mut aws = stream(1);
    let arn = aws.kinesis().describe_stream_summary(&orders()).unwrap().stream_arn;
    let by_arn = |arn: &str| Named { name: None, arn: Some(arn.to_owned()) };
    assert_eq!(aws.kinesis().describe_stream_summary(&by_arn(&arn)).unwrap().stream_name, "orders");
    for other in [arn.replace("us-east-1", "eu-west-1"), "orders".into(), arn.replace("orders", "other")] {
        let refused = aws.kinesis().describe_stream_summary(&by_arn(&other)).unwrap_err().code;
        assert!(["ResourceNotFoundException", "InvalidArgumentException"].contains(&&*refused), "{other}");
    }
    for name in ["a", "b", "c"] {
        aws.kinesis().create_stream(&CreateStream::with_shards(name, 1)).unwrap();
    }
    let page = aws.kinesis().list_streams(Some("a"), Some(2)).unwrap();
    assert_eq!((page.stream_names, page.has_more_streams), (vec!["b".to_owned(), "c".into()], true));
}

#[test]
fn faults_and_counters_name_the_service_the_stream_and_the_shard() {
    let mut aws = stream(2);
    let op = Op::Kinesis(KinesisOp::GetRecords);
    let error = Fault::Error { code: "KMSDisabledException".into(), status: 400, message: "off".into() };
    let shard = Some(format!("orders/{}", id(1)));
    aws.inject(Injection { op, shard, fault: error, times: 1, skip: 0 });
    let [first, second] = [id(0), id(1)].map(|shard| horizon(&mut aws, &shard));
    assert!(aws.kinesis().get_records(&first, None).is_ok());
    assert_eq!(code(aws.kinesis().get_records(&second, None)), "KMSDisabledException");
    assert!(aws.kinesis().get_records(&second, None).is_ok());
    assert_eq!(aws.count(op).shards[&format!("orders/{}", id(1))], 2);

    aws.inject(Injection::once(Op::Kinesis(KinesisOp::PutRecord), Fault::LostReply));
    assert_eq!(code(aws.kinesis().put("orders", "a", b"x")), AwsError::LOST_REPLY);
    assert_eq!(aws.kinesis_history().len(), 1, "it took effect");
    let spelled: Injection =
        serde_json::from_value(json!({"op": "Kinesis.GetRecords", "fault": {"kind": "reset"}})).unwrap();
    assert_eq!(spelled.op, op);
    assert_eq!(serde_json::to_value(aws.counts()).unwrap()["Kinesis.PutRecord"]["errors"], json!(1));
}

#[test]
fn arrival_times_may_lie_before_the_write_and_out_of_order() {
    let mut aws = stream(1);
    aws.knobs_mut().kinesis.arrival_jitter_ms = 500;
    (0..50).for_each(|n| {
        put(&mut aws, "a", &n.to_string());
        aws.advance(10);
    });
    let arrived: Vec<_> = aws.kinesis_history().iter().map(|record| record.arrived_ms).collect();
    assert!(!arrived.is_sorted());
    assert!(
        aws.kinesis_history()
            .iter()
            .all(|record| (0..500).contains(&(record.written_ms - record.arrived_ms)))
    );
}

#[test]
fn nonsense_is_refused_and_never_more() {
    let mut aws = stream(1);
    let at = horizon(&mut aws, &id(0));
    let bodies = [
        "".to_owned(),
        "[]".into(),
        "{".into(),
        "{}".into(),
        json!({"StreamName": "", "StreamARN": ":stream/"}).to_string(),
        json!({"StreamName": "é".repeat(300), "ShardId": "x", "ShardIteratorType": "LATEST"}).to_string(),
        json!({"StreamName": "orders", "ShardId": id(0), "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1e300})
            .to_string(),
        json!({"StreamName": "orders", "ShardId": id(0), "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "StartingSequenceNumber": "9".repeat(128)})
        .to_string(),
        json!({"ShardIterator": at, "Limit": -1}).to_string(),
        json!({"ShardIterator": "é", "Limit": u64::MAX}).to_string(),
        json!({"StreamName": "orders", "Limit": 0, "MaxResults": 0, "ShardFilter": {"Type": ""}}).to_string(),
        json!({"StreamName": "orders", "ShardToSplit": id(0), "NewStartingHashKey": u128::MAX.to_string()})
            .to_string(),
        json!({"StreamName": "orders", "ShardToMerge": id(0), "AdjacentShardToMerge": id(0)}).to_string(),
        json!({"StreamName": "orders", "TargetShardCount": u32::MAX, "ScalingType": "?"}).to_string(),
        json!({"StreamName": "orders", "RetentionPeriodHours": u32::MAX}).to_string(),
        json!({"StreamName": "orders", "Data": "=", "PartitionKey": ""}).to_string(),
        json!({"StreamName": "orders", "Records": []}).to_string(),
        json!({"ConsumerARN": "/consumer/", "ShardId": "", "StartingPosition": {"Type": "LATEST"}}).to_string(),
        json!({"StreamName": "n", "ShardCount": 0}).to_string(),
    ];
    for op in [
        KinesisOp::CreateStream,
        KinesisOp::DecreaseStreamRetentionPeriod,
        KinesisOp::DescribeStreamConsumer,
        KinesisOp::GetRecords,
        KinesisOp::GetShardIterator,
        KinesisOp::ListShards,
        KinesisOp::ListStreamConsumers,
        KinesisOp::MergeShards,
        KinesisOp::PutRecord,
        KinesisOp::PutRecords,
        KinesisOp::RegisterStreamConsumer,
        KinesisOp::SplitShard,
        KinesisOp::SubscribeToShard,
        KinesisOp::UpdateShardCount,
    ] {
        for body in &bodies {
            let answer = aws.kinesis().request(op, body.as_bytes());
            // What parses may be a sound request to another operation.
            assert!(
                answer.is_err() || [KinesisOp::ListShards, KinesisOp::ListStreamConsumers].contains(&op),
                "{op:?} took {body}"
            );
        }
    }
    assert_eq!(ids(&mut aws, ListShards::of("orders")), [id(0)]);
    assert!(aws.kinesis_history().is_empty());
}
