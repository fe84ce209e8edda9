//! Sessions that end in every way, and what is read over their ends.

use super::service::DATE_MILLIS;
use super::*;

#[tokio::test]
async fn an_event_is_a_page_of_the_bytes_the_service_sent() {
    let service = Service::start([Answer::Session(vec![record(7), heartbeat(9), Step::Silence])]).await;
    let fan_out = fan_out(&service);
    let page = next(&fan_out, &beginning()).await.unwrap();
    assert_eq!(records(&page), ["7"]);
    assert!(page.body.starts_with(b"{\"Records\":[{"));
    assert_eq!((page.behind, page.server_time), (Some(0), Some(DATE_MILLIS)));
    let page = next(&fan_out, &page.next.unwrap()).await.unwrap();
    assert_eq!((records(&page).len(), page.behind), (0, Some(0)));
    let cursor = page.next.unwrap();
    assert_eq!(cursor, Cursor("AFTER_SEQUENCE_NUMBER 9".into()));
    let nothing = Source::fetch(&fan_out, &shard(), &cursor).await.unwrap();
    assert!(nothing.says_nothing());
    assert_eq!((nothing.next, nothing.behind, nothing.server_time), (Some(cursor), None, None));
    let asked = &service.calls()[0].request;
    assert_eq!(asked["ConsumerARN"], super::service::CONSUMER);
    assert_eq!(asked["ShardId"], shard().as_str());
    assert_eq!(service.calls().len(), 1);
}

#[tokio::test]
async fn a_session_that_ends_is_followed_by_one_behind_its_last_event() {
    let sessions = [vec![record(1), heartbeat(5)], vec![record(6), record(7)], vec![record(8)]];
    let service = Service::start(sessions.map(Answer::Session)).await;
    let (found, errors) = numbers(&fan_out(&service), 4).await;
    assert_eq!((found, errors), (["1", "6", "7", "8"].map(str::to_owned).into(), Vec::new()));
    assert_eq!(service.positions(), ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 5", "AFTER_SEQUENCE_NUMBER 7"]);
}

#[tokio::test]
async fn a_session_that_brings_nothing_is_begun_again_where_it_began() {
    let sessions = [vec![], vec![], vec![record(1)]].map(Answer::Session);
    let service = Service::start(sessions).await;
    assert_eq!(numbers(&fan_out(&service), 1).await.0, ["1"]);
    assert_eq!(service.positions(), ["TRIM_HORIZON"; 3]);
}

#[tokio::test]
async fn whatever_breaks_a_session_nothing_is_lost_and_nothing_comes_twice() {
    let half = |number| Step::Send(record_bytes(number)[..40].to_vec());
    let mut wrong = record_bytes(3);
    *wrong.last_mut().unwrap() ^= 1;
    let failure = |code| Step::Send(frames::exception(code, "as the test says"));
    let cases: [(Vec<Step>, Option<ErrorKind>); 8] = [
        (vec![], None),
        (vec![Step::Break], Some(ErrorKind::Connection)),
        (vec![half(3)], Some(ErrorKind::Connection)),
        (vec![half(3), Step::Break], Some(ErrorKind::Connection)),
        (vec![Step::Send(wrong)], Some(ErrorKind::BadPage)),
        (vec![Step::Silence], Some(ErrorKind::Connection)),
        (vec![failure("InternalFailureException")], Some(ErrorKind::Service)),
        (vec![failure("KMSDisabledException")], Some(ErrorKind::Service)),
    ];
    for http2 in [false, true] {
        for (number, (end, expected)) in cases.clone().into_iter().enumerate() {
            let first = [vec![record(1), record(2)], end].concat();
            let service = Service::start([first, vec![record(3), record(4)]].map(Answer::Session)).await;
            let fan_out = if http2 { over_http2(&service).await } else { fan_out(&service) };
            let (found, errors) = numbers(&fan_out, 4).await;
            assert_eq!(found, ["1", "2", "3", "4"], "case {number}");
            assert_eq!(errors, expected.into_iter().collect::<Vec<_>>(), "case {number}");
            assert_eq!(service.positions(), ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 2"], "case {number}");
            assert!(service.calls().iter().all(|call| call.http2 == http2));
        }
    }
}

#[tokio::test]
async fn a_session_that_nobody_listened_to_is_not_silent() {
    let service = Service::start([Answer::Session(vec![record(1), Step::Silence])]).await;
    let fan_out = fan_out(&service);
    let cursor = next(&fan_out, &beginning()).await.unwrap().next.unwrap();
    // A consumer that takes no batch: nothing is fetched meanwhile.
    tokio::time::sleep(RULES.silence * 2).await;
    assert!(Source::fetch(&fan_out, &shard(), &cursor).await.unwrap().says_nothing());
    let error = next(&fan_out, &cursor).await.unwrap_err();
    assert!(error.message().contains("fell silent"), "{error}");
}

/// Sessions of some events each, which end in any way; some calls are refused.
#[tokio::test]
async fn any_order_of_ends_gives_every_record_once() {
    const RECORDS: u32 = 60;
    for seed in 1..=12 {
        let mut dice = Jitter::new(seed * 7919);
        let mut roll = move |below: u32| (dice.draw() * f64::from(below)) as u32;
        let service = Service::answering(move |request| {
            if roll(4) == 0 {
                let codes = ["ResourceInUseException", "LimitExceededException", "InternalFailure"];
                return Answer::Refusal(400, codes[roll(3) as usize]);
            }
            let after = request["StartingPosition"]["SequenceNumber"].as_str();
            let mut number = after.map_or(0, |number| number.parse().unwrap());
            let mut steps = Vec::new();
            for _ in 0..roll(8) {
                if roll(4) == 0 || number == RECORDS {
                    steps.push(heartbeat(number));
                } else {
                    number += 1;
                    steps.push(record(number));
                }
            }
            let cut = roll(record_bytes(number + 1).len() as u32) as usize;
            let mut spoiled = record_bytes(number + 1);
            spoiled[cut] ^= 1;
            steps.extend(match roll(6) {
                0 => vec![Step::Break],
                1 => vec![Step::Send(record_bytes(number + 1)[..cut].to_vec())],
                2 => vec![Step::Send(spoiled)],
                3 => vec![in_use()],
                4 => vec![Step::Send(frames::exception("KMSThrottlingException", "no"))],
                _ => vec![],
            });
            Answer::Session(steps)
        })
        .await;
        let fan_out = if seed % 2 == 0 { over_http2(&service).await } else { fan_out(&service) };
        let fan_out = FanOut { rules: HURRIED, ..fan_out };
        let (found, _) = numbers(&fan_out, RECORDS as usize).await;
        let expected: Vec<_> = (1..=RECORDS).map(|number| number.to_string()).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// So that many sessions end within a test.
const HURRIED: Rules =
    Rules { between_calls: Duration::from_millis(1), after_success: Duration::from_millis(2), ..RULES };

#[tokio::test]
async fn the_service_is_not_called_again_before_it_allows_it() {
    let answers = [
        Answer::Session(vec![record(1)]),
        Answer::Session(vec![]),
        Answer::Refusal(500, "InternalFailure"),
        Answer::Refusal(400, "LimitExceededException"),
        Answer::Refusal(400, "ResourceInUseException"),
        Answer::Session(vec![record(2)]),
    ];
    let service = Service::start(answers).await;
    let (found, errors) = numbers(&fan_out(&service), 2).await;
    assert_eq!(found, ["1", "2"]);
    assert_eq!(errors, [ErrorKind::Service, ErrorKind::Throttled]);
    let calls = service.calls();
    let apart: Vec<_> = calls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let least = [
        RULES.after_success,
        RULES.after_success,
        RULES.between_calls,
        RULES.between_calls,
        RULES.after_success,
    ];
    for (apart, least) in apart.iter().zip(least) {
        assert!(*apart >= least, "{apart:?} between two calls, at least {least:?}");
    }
}

#[tokio::test]
async fn another_reader_is_reported_when_it_comes_back() {
    let sessions = [
        Answer::Session(vec![record(1), in_use()]),
        Answer::Session(vec![record(2), in_use()]),
        Answer::Refusal(400, "ResourceInUseException"),
        Answer::Session(vec![record(3)]),
    ];
    let service = Service::start(sessions).await;
    let fan_out = fan_out(&service);
    let (found, errors) = numbers(&fan_out, 3).await;
    assert_eq!(found, ["1", "2", "3"]);
    assert_eq!(errors, [ErrorKind::InUse, ErrorKind::InUse]);
    assert_eq!(service.positions()[1..3], ["AFTER_SEQUENCE_NUMBER 1", "AFTER_SEQUENCE_NUMBER 2"]);
}

#[tokio::test]
async fn who_was_alone_for_long_takes_one_takeover_for_a_trace_of_itself() {
    let session = || Answer::Session(vec![record(1), in_use()]);
    let service = Service::start([session(), session(), session(), Answer::Session(vec![record(2)])]).await;
    let mut fan_out = fan_out(&service);
    fan_out.rules.alone = Duration::ZERO;
    let (found, errors) = numbers(&fan_out, 4).await;
    assert_eq!(found, ["1", "1", "1", "2"]);
    assert_eq!(errors, []);
}

#[tokio::test]
async fn a_shard_ends_with_its_children_and_its_last_records() {
    let end = r#"{"Records":[{"SequenceNumber":"3"}],"MillisBehindLatest":0,"ChildShards":[
        {"ShardId":"c-1","ParentShards":["p"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}},
        {"ShardId":"c-2","ParentShards":["p","q"],"HashKeyRange":{"StartingHashKey":"10","EndingHashKey":"19"}}]}"#;
    let service = Service::start([Answer::Session(vec![Step::Send(frames::event(end))])]).await;
    let fan_out = fan_out(&service);
    let page = next(&fan_out, &beginning()).await.unwrap();
    assert_eq!((records(&page), page.next), (vec!["3".to_owned()], None));
    assert_eq!(page.children[1].parents, ["p".into(), "q".into()]);
    assert_eq!(page.children[0].hash_keys.unwrap().last, 9);
    assert!(lock(&fan_out.subscriptions).is_empty(), "what has ended takes no memory");
}

#[tokio::test]
async fn children_without_parents_are_no_answer_to_go_by() {
    let end = r#"{"Records":[],"MillisBehindLatest":0,"ChildShards":[{"ShardId":"c","ParentShards":[]}]}"#;
    let service = Service::start([Answer::Session(vec![Step::Send(frames::event(end))])]).await;
    let error = next(&fan_out(&service), &beginning()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadPage);
}

#[tokio::test]
async fn a_reader_that_goes_back_is_subscribed_where_it_is() {
    let sessions = [vec![record(1), record(2), record(3), Step::Silence], vec![record(2)]];
    let service = Service::start(sessions.map(Answer::Session)).await;
    let fan_out = fan_out(&service);
    let first = next(&fan_out, &beginning()).await.unwrap();
    let back = first.next.unwrap();
    assert_eq!(records(&next(&fan_out, &back).await.unwrap()), ["2"]);
    assert_eq!(records(&next(&fan_out, &back).await.unwrap()), ["2"]);
    assert_eq!(service.positions(), ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 1"]);
}

#[tokio::test]
async fn a_call_without_an_answer_does_not_hold_up_a_fetch() {
    let service = Service::start([Answer::Nothing, Answer::Session(vec![record(1)])]).await;
    let mut connection = service.connection();
    connection.attempt_timeout = Some(0.5);
    let fan_out = FanOut { rules: RULES, ..FanOut::new(kinesis(connection), "app").unwrap() };
    let page = Source::fetch(&fan_out, &shard(), &beginning()).await.unwrap();
    assert!(page.says_nothing());
    let error = next(&fan_out, &beginning()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains("attempt_timeout"), "{error}");
    assert_eq!(records(&next(&fan_out, &beginning()).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn many_shards_have_their_turn_as_often_as_few() {
    let service = Service::start([]).await;
    let fan_out = fan_out(&service);
    for (shards, wait) in [(1, RULES.wait), (64, RULES.wait), (640, RULES.wait / 10)] {
        (0..shards).for_each(|number| drop(fan_out.subscription(&format!("{number}").as_str().into())));
        assert_eq!(fan_out.wait(), wait, "{shards} shards");
    }
}

#[tokio::test]
async fn a_session_that_never_ends_is_ended() {
    let sessions = [vec![record(1), heartbeat(2), Step::Silence], vec![record(3)]];
    let service = Service::start(sessions.map(Answer::Session)).await;
    let mut fan_out = fan_out(&service);
    fan_out.rules.longest = Duration::from_millis(200);
    assert_eq!(numbers(&fan_out, 2).await, (vec!["1".to_owned(), "3".to_owned()], Vec::new()));
    assert_eq!(service.positions()[1], "AFTER_SEQUENCE_NUMBER 2");
}
