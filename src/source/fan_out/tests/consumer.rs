//! Finding, registering and losing the consumer.

use serde_json::{Value, json};

use super::service::{CONSUMER, STREAM, consumer, usual};
use super::*;

/// Looks that the service gives one after the other, the last one for ever.
async fn looks(consumer_name: &str, looks: &'static [Result<&str, &'static str>]) -> (Service, FanOut) {
    let service = Service::start([]).await;
    let mut number = 0;
    service.answer_others(move |operation, request: &Value| match operation {
        "DescribeStreamConsumer" => {
            let look = looks[number.min(looks.len() - 1)];
            number += 1;
            look.map(consumer).map_err(|code| (400, code))
        }
        "RegisterStreamConsumer" => {
            assert_eq!(*request, json!({"StreamARN": STREAM, "ConsumerName": "app"}));
            Ok(json!({"Consumer": consumer("CREATING")["ConsumerDescription"]}))
        }
        _ => Ok(usual(operation)),
    });
    let fan_out = fan_out_as(consumer_name, &service);
    (service, fan_out)
}

const MISSING: Result<&str, &str> = Err("ResourceNotFoundException");

#[tokio::test]
async fn a_consumer_that_is_there_is_used() {
    for name in ["app", CONSUMER] {
        let (service, fan_out) = looks(name, &[Ok("ACTIVE")]).await;
        let (one, other) = tokio::join!(fan_out.active_consumer(), fan_out.active_consumer());
        assert_eq!((&*one.unwrap(), &*other.unwrap()), (CONSUMER, CONSUMER));
        assert_eq!(service.asked(), ["DescribeStreamSummary", "DescribeStreamConsumer"]);
    }
}

#[tokio::test]
async fn looking_at_the_stream_registers_nobody() {
    let (service, fan_out) = looks("app", &[MISSING]).await;
    let description = Source::describe(&fan_out).await.unwrap();
    assert_eq!((description.table.as_str(), description.table_arn.as_str()), ("clicks", STREAM));
    Source::open(&fan_out, STREAM, &shard(), &OpenAt::Beginning).await.unwrap();
    assert_eq!(service.asked(), ["DescribeStreamSummary"]);
}

#[tokio::test]
async fn a_consumer_that_is_missing_is_registered_and_waited_for() {
    let (service, fan_out) = looks("app", &[MISSING, Ok("CREATING"), Ok("ACTIVE")]).await;
    fan_out.active_consumer().await.unwrap();
    let registered = service.asked().iter().filter(|asked| *asked == "RegisterStreamConsumer").count();
    assert_eq!(registered, 1);
}

#[tokio::test]
async fn a_consumer_on_its_way_out_is_registered_again_when_it_is_gone() {
    let (service, fan_out) = looks("app", &[Ok("DELETING"), MISSING, Ok("ACTIVE")]).await;
    fan_out.active_consumer().await.unwrap();
    assert_eq!(
        service.asked()[1..],
        [
            "DescribeStreamConsumer",
            "DescribeStreamConsumer",
            "RegisterStreamConsumer",
            "DescribeStreamConsumer"
        ]
    );
}

#[tokio::test]
async fn an_arn_without_a_consumer_is_not_registered() {
    let (service, fan_out) = looks(CONSUMER, &[MISSING]).await;
    let error = fan_out.active_consumer().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StreamUnusable);
    assert!(error.message().contains(CONSUMER) && error.message().contains("fan_out"), "{error}");
    assert!(!service.asked().contains(&"RegisterStreamConsumer".into()));
}

#[tokio::test]
async fn a_stream_without_room_for_a_consumer_says_so() {
    let service = Service::start([]).await;
    service.answer_others(|operation, _| match operation {
        "DescribeStreamConsumer" => Err((400, "ResourceNotFoundException")),
        "RegisterStreamConsumer" => Err((400, "LimitExceededException")),
        _ => Ok(usual(operation)),
    });
    let error = fan_out(&service).active_consumer().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StreamUnusable);
    assert!(error.message().contains("20 consumers") && error.message().contains("app"), "{error}");
}

#[tokio::test]
async fn a_consumer_that_never_becomes_active_is_given_up() {
    let (_service, mut fan_out) = looks("app", &[Ok("CREATING")]).await;
    fan_out.rules.registration = Duration::from_millis(200);
    let error = fan_out.active_consumer().await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Service, true));
    assert!(error.message().contains("consumer app of stream clicks is still CREATING"), "{error}");
}

#[tokio::test]
async fn it_is_deregistered_only_on_request() {
    let service = Service::start([Answer::Session(vec![record(1), Step::Silence])]).await;
    let fan_out = fan_out(&service);
    next(&fan_out, &beginning()).await.unwrap();
    assert!(!service.asked().contains(&"DeregisterStreamConsumer".into()));
    fan_out.deregister().await.unwrap();
    assert_eq!(service.asked().last().unwrap(), "DeregisterStreamConsumer");
    service.answer_others(|operation, _| match operation {
        "DeregisterStreamConsumer" => Err((400, "ResourceNotFoundException")),
        _ => Ok(usual(operation)),
    });
    fan_out.deregister().await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_is_removed_under_way_is_registered_again() {
    let gone = Step::Send(frames::exception("ResourceNotFoundException", "as the test says"));
    let sessions = [
        Answer::Session(vec![record(1), gone]),
        Answer::Refusal(400, "ResourceNotFoundException"),
        Answer::Session(vec![record(2)]),
    ];
    let service = Service::start(sessions).await;
    let mut looks = [true, false, false].into_iter();
    service.answer_others(move |operation, _| match operation {
        "DescribeStreamConsumer" if !looks.next().unwrap_or(true) => Err((400, "ResourceNotFoundException")),
        _ => Ok(usual(operation)),
    });
    let (found, errors) = numbers(&fan_out(&service), 2).await;
    assert_eq!((found, errors), (vec!["1".to_owned(), "2".to_owned()], Vec::new()));
    assert!(service.asked().contains(&"RegisterStreamConsumer".into()));
}

#[tokio::test]
async fn a_shard_that_is_missing_is_not_the_consumers_fault() {
    let service = Service::start([Answer::Refusal(400, "ResourceNotFoundException")]).await;
    let error = next(&fan_out(&service), &beginning()).await.unwrap_err();
    assert_eq!((error.kind(), error.shard()), (ErrorKind::NotFound, Some(&shard())));
}
