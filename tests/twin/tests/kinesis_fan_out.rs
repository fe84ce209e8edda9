//! Enhanced fan-out in-process: consumers, sessions, events.
#![allow(clippy::unwrap_used)]

mod common;

use common::kinesis::{id, orders, stream};
use serde_json::{Value, json};
use twin::kinesis::{
    ConsumerNamed, CreateStream, IteratorType, KinesisOp, Pushed, ShardEvent, SubscribeToShard, Subscription,
};
use twin::{Aws, AwsError, Fault, Injection, Op};

fn code<T: std::fmt::Debug>(result: Result<T, AwsError>) -> String {
    result.unwrap_err().code
}

/// The stream `orders` with the consumer `mirror`, and its ARN.
fn consumer() -> (Aws, String) {
    let mut aws = stream(1);
    let arn = stream_arn(&mut aws);
    let consumer = aws.kinesis().register_consumer(&arn, "mirror").unwrap();
    (aws, consumer.consumer_arn)
}

fn stream_arn(aws: &mut Aws) -> String {
    aws.kinesis().describe_stream_summary(&orders()).unwrap().stream_arn
}

fn horizon(arn: &str) -> SubscribeToShard {
    SubscribeToShard::at(arn, &id(0), IteratorType::TrimHorizon)
}

fn put(aws: &mut Aws, data: &str) {
    aws.kinesis().put("orders", "a", data.as_bytes()).unwrap();
}

fn event(aws: &mut Aws, subscription: &Subscription) -> ShardEvent {
    match aws.kinesis().next_event(subscription) {
        Pushed::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

fn texts(event: &ShardEvent) -> Vec<String> {
    event.records.iter().map(|record| String::from_utf8(record.data()).unwrap()).collect()
}

#[test]
fn events_come_with_records_and_without() {
    let (mut aws, arn) = consumer();
    put(&mut aws, "1");
    put(&mut aws, "2");
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    assert_eq!(texts(&event(&mut aws, &session)), ["1", "2"]);
    let due = aws.now_ms() + 5_000;
    assert_eq!(aws.kinesis().next_event(&session), Pushed::Nothing { until_ms: due });
    put(&mut aws, "3");
    assert_eq!(texts(&event(&mut aws, &session)), ["3"]);
    aws.advance(5_000);
    let idle = event(&mut aws, &session);
    assert_eq!((idle.records.len(), idle.millis_behind_latest), (0, 0));
    assert_eq!(aws.count(Op::Kinesis(KinesisOp::SubscribeToShardEvent)).calls, 3);
}

#[test]
fn a_continuation_advances_and_loses_and_repeats_nothing() {
    let (mut aws, arn) = consumer();
    aws.knobs_mut().kinesis.event_records = 2;
    (1..=3).for_each(|n| put(&mut aws, &n.to_string()));
    let mut session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    let mut numbers = Vec::new();
    for expected in [vec!["1", "2"], vec!["3"], vec![], vec!["4"]] {
        let pushed = event(&mut aws, &session);
        assert_eq!(texts(&pushed), expected);
        numbers.push(pushed.continuation.unwrap());
        if numbers.len() == 3 {
            put(&mut aws, "4");
        }
        aws.advance(5_000);
        let after = SubscribeToShard::after(&arn, &id(0), numbers.last().unwrap());
        session = aws.kinesis().subscribe_to_shard(&after).unwrap();
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let at = |number: &str| {
        let mut request = SubscribeToShard::after(&arn, &id(0), number);
        request.starting_position.r#type = IteratorType::AtSequenceNumber;
        request
    };
    for (number, expected) in [(&numbers[2], vec!["4"]), (&numbers[1], vec!["3", "4"])] {
        aws.advance(5_000);
        let session = aws.kinesis().subscribe_to_shard(&at(number)).unwrap();
        assert_eq!(texts(&event(&mut aws, &session)), expected);
    }
}

#[test]
fn a_shard_ends_with_its_children() {
    let (mut aws, arn) = consumer();
    put(&mut aws, "1");
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    let (lower, _) = aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
    let last = event(&mut aws, &session);
    assert_eq!((texts(&last), &last.continuation, last.child_shards.len()), (vec!["1".to_owned()], &None, 2));
    let body: Value = serde_json::from_slice(&last.json()).unwrap();
    assert_eq!(body["ContinuationSequenceNumber"], Value::Null);
    assert_eq!(body["ChildShards"][0]["ShardId"], json!(lower));
    assert_eq!(body["Records"][0]["Data"], json!("MQ=="));
    assert_eq!(aws.kinesis().next_event(&session), Pushed::Ended);
}

#[test]
fn a_session_pushes_for_five_minutes() {
    let (mut aws, arn) = consumer();
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    for _ in 0..60 {
        event(&mut aws, &session);
        aws.advance(5_000);
    }
    put(&mut aws, "late");
    assert_eq!(aws.kinesis().next_event(&session), Pushed::Ended);
}

#[test]
fn a_second_subscription_is_refused_for_five_seconds_and_then_takes_over() {
    let (mut aws, arn) = consumer();
    let first = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    aws.advance(4_999);
    assert_eq!(code(aws.kinesis().subscribe_to_shard(&horizon(&arn))), "ResourceInUseException");
    aws.advance(1);
    let second = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    put(&mut aws, "1");
    let Pushed::Failed(error) = aws.kinesis().next_event(&first) else { panic!("it goes on") };
    assert_eq!(error.code, "ResourceInUseException");
    assert_eq!(aws.kinesis().next_event(&first), Pushed::Ended);
    assert_eq!(texts(&event(&mut aws, &second)), ["1"]);

    aws.kinesis().unsubscribe(&second);
    let soon = aws.kinesis().subscribe_to_shard(&horizon(&arn));
    assert_eq!(code(soon), "ResourceInUseException", "also when the first has hung up");
    aws.knobs_mut().kinesis.subscribe_per_second = Some(1.0);
    aws.advance(5_000);
    assert!(aws.kinesis().subscribe_to_shard(&horizon(&arn)).is_ok());
    assert_eq!(code(aws.kinesis().subscribe_to_shard(&horizon(&arn))), "LimitExceededException");
}

#[test]
fn consumers_come_and_go_within_their_limits() {
    let mut aws = stream(1);
    let arn = stream_arn(&mut aws);
    aws.knobs_mut().kinesis.consumer_creating_ms = 100;
    aws.knobs_mut().kinesis.consumer_deleting_ms = 100;
    for n in 0..5 {
        let made = aws.kinesis().register_consumer(&arn, &format!("c{n}")).unwrap();
        assert_eq!((made.consumer_status, made.stream_arn), ("CREATING", None));
    }
    assert_eq!(code(aws.kinesis().register_consumer(&arn, "c5")), "LimitExceededException");
    aws.advance(100);
    let named = ConsumerNamed::of(&arn, "c1");
    let first = aws.kinesis().describe_consumer(&named).unwrap();
    assert_eq!((first.consumer_status, first.stream_arn.as_deref()), ("ACTIVE", Some(&*arn)));
    assert_eq!(code(aws.kinesis().register_consumer(&arn, "c1")), "ResourceInUseException");
    assert_eq!(aws.kinesis().describe_consumer(&ConsumerNamed::arn(&first.consumer_arn)).unwrap(), first);

    aws.kinesis().deregister_consumer(&named).unwrap();
    assert_eq!(aws.kinesis().describe_consumer(&named).unwrap().consumer_status, "DELETING");
    assert_eq!(
        code(aws.kinesis().subscribe_to_shard(&horizon(&first.consumer_arn))),
        "ResourceInUseException"
    );
    aws.advance(100);
    assert_eq!(code(aws.kinesis().describe_consumer(&named)), "ResourceNotFoundException");
    let again = aws.kinesis().register_consumer(&arn, "c1").unwrap();
    assert_ne!(again.consumer_arn, first.consumer_arn);
    assert_eq!(
        code(aws.kinesis().subscribe_to_shard(&horizon(&first.consumer_arn))),
        "ResourceNotFoundException"
    );

    aws.knobs_mut().kinesis.consumers = 5;
    aws.advance(100);
    assert_eq!(code(aws.kinesis().register_consumer(&arn, "c9")), "LimitExceededException");
    let body = json!({"StreamARN": arn, "MaxResults": 3}).to_string();
    let page = aws.kinesis().request(KinesisOp::ListStreamConsumers, body.as_bytes()).unwrap();
    let page: Value = serde_json::from_slice(&page).unwrap();
    assert_eq!((page["Consumers"].as_array().unwrap().len(), page["NextToken"].is_string()), (3, true));
    let plain = json!({"StreamName": "orders"}).to_string();
    assert_eq!(
        code(aws.kinesis().request(KinesisOp::DeleteStream, plain.as_bytes())),
        "ResourceInUseException"
    );
    let enforced = json!({"StreamName": "orders", "EnforceConsumerDeletion": true}).to_string();
    assert!(aws.kinesis().request(KinesisOp::DeleteStream, enforced.as_bytes()).is_ok());
}

#[test]
fn what_is_gone_ends_its_sessions() {
    let (mut aws, arn) = consumer();
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    aws.kinesis().deregister_consumer(&ConsumerNamed::arn(&arn)).unwrap();
    let Pushed::Failed(error) = aws.kinesis().next_event(&session) else { panic!("it goes on") };
    assert_eq!(error.code, "ResourceNotFoundException");

    let (mut aws, arn) = consumer();
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    aws.kinesis().delete_stream(&orders()).unwrap();
    aws.kinesis().create_stream(&CreateStream::with_shards("orders", 1)).unwrap();
    let Pushed::Failed(error) = aws.kinesis().next_event(&session) else { panic!("it goes on") };
    assert_eq!(error.code, "ResourceNotFoundException");
}

#[test]
fn faults_strike_single_events() {
    let op = Op::Kinesis(KinesisOp::SubscribeToShardEvent);
    let kms = Fault::Error { code: "KMSInvalidStateException".into(), status: 400, message: "no key".into() };
    for (fault, expected) in [
        (kms, "KMSInvalidStateException"),
        (Fault::Reset, AwsError::RESET),
        (Fault::LostReply, AwsError::LOST_REPLY),
        (Fault::Truncated, AwsError::BAD_BODY),
        (Fault::WrongCrc, AwsError::BAD_BODY),
        (Fault::InvalidJson, AwsError::BAD_BODY),
    ] {
        let (mut aws, arn) = consumer();
        let shard = Some(format!("orders/{}", id(0)));
        aws.inject(Injection { op, shard, fault, times: 1, skip: 1 });
        put(&mut aws, "1");
        let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
        assert_eq!(texts(&event(&mut aws, &session)), ["1"]);
        put(&mut aws, "2");
        let Pushed::Failed(error) = aws.kinesis().next_event(&session) else { panic!("{expected}") };
        assert_eq!(error.code, expected);
        assert_eq!(aws.kinesis().next_event(&session), Pushed::Ended, "{expected}");
    }
}

#[test]
fn a_half_open_session_stays_silent_for_ever() {
    let (mut aws, arn) = consumer();
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    event(&mut aws, &session);
    aws.inject(Injection::once(Op::Kinesis(KinesisOp::SubscribeToShardEvent), Fault::Hang));
    put(&mut aws, "1");
    for _ in 0..3 {
        assert_eq!(aws.kinesis().next_event(&session), Pushed::Nothing { until_ms: i64::MAX });
        aws.advance(600_000);
    }
    let second = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    assert_eq!(texts(&event(&mut aws, &second)), ["1"]);
    assert_eq!(aws.kinesis().next_event(&session), Pushed::Nothing { until_ms: i64::MAX });
}

#[test]
fn empty_events_come_before_records_and_say_how_far_behind_they_are() {
    let (mut aws, arn) = consumer();
    aws.knobs_mut().kinesis.empty_pages = 2;
    put(&mut aws, "1");
    aws.advance(250);
    let session = aws.kinesis().subscribe_to_shard(&horizon(&arn)).unwrap();
    let read: Vec<_> = (0..3).map(|_| event(&mut aws, &session)).collect();
    let shapes: Vec<_> = read.iter().map(|event| (event.records.len(), event.millis_behind_latest)).collect();
    assert_eq!(shapes, [(0, 250), (0, 250), (1, 0)]);
}
