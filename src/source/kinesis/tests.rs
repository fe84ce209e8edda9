#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::aws::scripted::{DATE_MILLIS, Reply, Scripted, refusal};
use crate::page::StreamStatus;

const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
const IDENTITY: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks:1700000000500";

fn kinesis(server: &Scripted) -> Kinesis {
    Kinesis::new("clicks", server.connection()).unwrap()
}

fn summary(created: f64, status: &str) -> Reply {
    let summary = json!({"StreamDescriptionSummary": {
        "StreamName": "clicks", "StreamARN": ARN, "StreamStatus": status, "RetentionPeriodHours": 48,
        "StreamCreationTimestamp": created, "OpenShardCount": 1, "EnhancedMonitoring": [],
    }});
    Reply::Say(200, summary.to_string())
}

fn listed(id: &str, parents: &[&str], ending: Option<&str>) -> Value {
    let mut shard = json!({
        "ShardId": id,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "340282366920938463463374607431768211455"},
        "SequenceNumberRange": {"StartingSequenceNumber": "49590338271490256608559692538361571095921575989136588898"},
    });
    for (member, parent) in ["ParentShardId", "AdjacentParentShardId"].iter().zip(parents) {
        shard[*member] = json!(parent);
    }
    if let Some(ending) = ending {
        shard["SequenceNumberRange"]["EndingSequenceNumber"] = json!(ending);
    }
    shard
}

fn shards(shards: &[Value], next: Option<&str>) -> Reply {
    let mut answer = json!({"Shards": shards});
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Reply::Say(200, answer.to_string())
}

async fn fetch(body: &str) -> Result<Page> {
    let server = Scripted::replies([Reply::Say(200, body.into())]);
    Source::fetch(&kinesis(&server), &"shard-1".into(), &Cursor("it-1".into())).await
}

#[tokio::test]
async fn a_stream_is_described_with_what_tells_it_from_another_of_its_name() {
    let server = Scripted::replies([summary(1_700_000_000.5, "ACTIVE")]);
    let found = kinesis(&server).describe().await.unwrap();
    assert_eq!((found.table.as_str(), found.table_arn.as_str()), ("clicks", ARN));
    assert_eq!(found.stream_arn, IDENTITY);
    assert_eq!((found.status, found.retention), (StreamStatus::Enabled, 48 * 3_600_000));
    assert_eq!(found.keys, []);
    assert_eq!(server.asked(), [("DescribeStreamSummary".into(), json!({"StreamName": "clicks"}))]);
}

#[tokio::test]
async fn a_stream_named_by_its_arn_is_asked_for_by_it() {
    let server = Scripted::replies([summary(1.0, "CREATING")]);
    let kinesis = Kinesis::new(ARN, server.connection()).unwrap();
    assert_eq!(kinesis.describe().await.unwrap().status, StreamStatus::Enabling);
    assert_eq!(server.asked(), [("DescribeStreamSummary".into(), json!({"StreamARN": ARN}))]);
    let mut elsewhere = server.connection();
    elsewhere.region = Some("us-east-1".into());
    assert_eq!(Kinesis::new(ARN, elsewhere).unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_named_with_the_places_to_look() {
    let server = Scripted::serve(|_, _| refusal(400, "ResourceNotFoundException", "no"));
    let error = kinesis(&server).describe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for part in ["clicks", "eu-west-1", &server.endpoint, "endpoint_url"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_listing_has_every_page_and_both_parents_of_a_merge() {
    let server = Scripted::replies([
        shards(&[listed("a", &[], Some("9")), listed("b", &[], Some("9"))], Some("more")),
        shards(&[], Some("still more")),
        shards(&[listed("c", &["a", "b"], None)], None),
        summary(1_700_000_000.5, "UPDATING"),
    ]);
    let listing = kinesis(&server).list(IDENTITY, &Scope::Full).await.unwrap();
    let [a, _, c] = listing.shards.as_slice() else { panic!("{listing:?}") };
    assert!(a.is_closed() && !c.is_closed());
    assert_eq!(c.parents, ["a".into(), "b".into()]);
    assert_eq!(c.hash_keys, Some(HashKeys { first: 0, last: u128::MAX }));
    assert_eq!((listing.status, listing.complete), (StreamStatus::Enabled, true));
    assert_eq!(listing.server_time, Some(DATE_MILLIS));
    let asked: Vec<_> = server.asked().into_iter().map(|(_, request)| request).collect();
    assert_eq!(asked[..2], [json!({"StreamName": "clicks"}), json!({"NextToken": "more"})]);
}

#[tokio::test]
async fn another_stream_of_the_name_is_not_found_whatever_its_shards_are_called() {
    let server =
        Scripted::replies([shards(&[listed("a", &[], None)], None), summary(1_800_000_000.0, "ACTIVE")]);
    let error = kinesis(&server).list(IDENTITY, &Scope::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_expired_token_restarts_the_listing() {
    let server = Scripted::replies([
        shards(&[listed("a", &[], None)], Some("old")),
        refusal(400, "ExpiredNextTokenException", "too late"),
        shards(&[listed("a", &[], None), listed("b", &[], None)], None),
        summary(1_700_000_000.5, "ACTIVE"),
    ]);
    let listing = kinesis(&server).list(IDENTITY, &Scope::Full).await.unwrap();
    assert_eq!(listing.shards.len(), 2);
    let always = Scripted::serve(|_, request| match request.get("NextToken") {
        None => shards(&[], Some("old")),
        Some(_) => refusal(400, "ExpiredNextTokenException", "too late"),
    });
    let error = kinesis(&always).list(IDENTITY, &Scope::Full).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Service, true));
}

#[tokio::test]
async fn a_stream_that_is_being_made_has_no_shards_yet() {
    let refused = refusal(400, "ResourceInUseException", "not ACTIVE");
    let server = Scripted::replies([refused, summary(1_700_000_000.5, "CREATING")]);
    let listing = kinesis(&server).list(IDENTITY, &Scope::Full).await.unwrap();
    assert_eq!((listing.shards.len(), listing.status), (0, StreamStatus::Enabling));
}

#[tokio::test]
async fn a_listing_that_breaks_off_proves_nothing_and_one_in_circles_is_an_error() {
    let server = Scripted::replies([
        shards(&[listed("a", &[], None)], Some("more")),
        Reply::Say(500, String::new()),
        summary(1_700_000_000.5, "ACTIVE"),
    ]);
    assert!(!kinesis(&server).list(IDENTITY, &Scope::Full).await.unwrap().complete);
    let circles = Scripted::serve(|_, _| shards(&[], Some("again")));
    let error = kinesis(&circles).list(IDENTITY, &Scope::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadPage);
}

#[tokio::test]
async fn children_are_asked_for_by_a_filter_and_picked_also_where_it_is_ignored() {
    let tree = [listed("a", &[], Some("9")), listed("b", &["a"], None), listed("c", &["b"], None)];
    let server = Scripted::replies([shards(&tree, None)]);
    let listing = kinesis(&server).list(IDENTITY, &Scope::ChildrenOf("a".into())).await.unwrap();
    assert_eq!(listing.shards.iter().map(|shard| shard.id.as_str()).collect::<Vec<_>>(), ["b"]);
    let filter = json!({"Type": "AFTER_SHARD_ID", "ShardId": "a"});
    assert_eq!(
        server.asked(),
        [("ListShards".into(), json!({"StreamName": "clicks", "ShardFilter": filter}))]
    );
}

#[tokio::test]
async fn each_place_to_open_has_its_iterator() {
    let number = |text| SequenceNumber::parse(text).unwrap();
    let cases = [
        (OpenAt::Beginning, json!({"ShardIteratorType": "TRIM_HORIZON"})),
        (OpenAt::Latest, json!({"ShardIteratorType": "LATEST"})),
        (
            OpenAt::At(number("7")),
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}),
        ),
        (
            OpenAt::At(number("7:3")),
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}),
        ),
        (
            OpenAt::After(number("7")),
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}),
        ),
        (OpenAt::Time(1_500), json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1.5})),
    ];
    for (at, wanted) in cases {
        let server = Scripted::replies([Reply::Say(200, r#"{"ShardIterator":"it-1"}"#.into())]);
        let opened = Source::open(&kinesis(&server), IDENTITY, &"shard-1".into(), &at).await.unwrap();
        assert_eq!(opened, Opened { cursor: Cursor("it-1".into()), server_time: Some(DATE_MILLIS) });
        let (_, mut request) = server.asked().remove(0);
        for (member, value) in wanted.as_object().unwrap() {
            assert_eq!(request[member], *value, "{at:?}");
            request.as_object_mut().unwrap().remove(member);
        }
        assert_eq!(request, json!({"StreamName": "clicks", "ShardId": "shard-1"}), "{at:?}");
    }
}

#[tokio::test]
async fn a_page_is_the_bytes_the_service_sent_and_says_how_far_behind_it_is() {
    let body =
        r#"{"MillisBehindLatest":1500,"NextShardIterator":"next-1","Records":[{"Data":"eA=="},{"Data":""}]}"#;
    let page = fetch(body).await.unwrap();
    assert_eq!((&page.body[..], page.behind), (body.as_bytes(), Some(1500)));
    assert_eq!(&page.body[page.records.clone()], br#"{"Data":"eA=="},{"Data":""}"#);
    assert_eq!((page.next, page.server_time), (Some(Cursor("next-1".into())), Some(DATE_MILLIS)));
    assert_eq!(page.children, []);
}

/// What the service limits to 2 MB a second is data, not the text around it.
#[tokio::test]
async fn a_page_weighs_what_its_data_does() {
    let tricky = r#"{"Data":"QUJD","PartitionKey":"\"Data\":\"xxxxxxxxxxxx\""}"#;
    let body = format!(r#"{{"NextShardIterator":"n","Records":[{{"Data":"QUJDREVG"}},{tricky}]}}"#);
    assert_eq!(fetch(&body).await.unwrap().weight, 9);
    let spaced = r#"{"NextShardIterator":"n","Records":[{"Data" : "QUJDREVG"}]}"#;
    assert!(fetch(spaced).await.unwrap().weight >= 6);
    assert_eq!(fetch(r#"{"NextShardIterator":"n","Records":[]}"#).await.unwrap().weight, 0);
}

#[tokio::test]
async fn the_last_page_names_the_shards_that_go_on() {
    let body = r#"{"ChildShards":[{"ShardId":"c","ParentShards":["a","b"],"HashKeyRange":
        {"StartingHashKey":"0","EndingHashKey":"9"}}],"MillisBehindLatest":0,"Records":[{"Data":"eA=="}]}"#;
    let page = fetch(body).await.unwrap();
    assert_eq!((page.next, &page.body[page.records.clone()]), (None, &br#"{"Data":"eA=="}"#[..]));
    let [child] = page.children.as_slice() else { panic!("{:?}", page.children) };
    assert_eq!(child.parents, ["a".into(), "b".into()]);
    assert_eq!(child.hash_keys, Some(HashKeys { first: 0, last: 9 }));
}

#[tokio::test]
async fn a_page_that_goes_on_and_names_children_is_no_answer_to_go_by() {
    let child = r#"{"ShardId":"c","ParentShards":["a"]}"#;
    let bad = [
        format!(r#"{{"Records":[],"NextShardIterator":"n","ChildShards":[{child}]}}"#),
        format!(r#"{{"NextShardIterator":"n","ChildShards":[{child}],"Records":[]}}"#),
        r#"{"Records":[],"ChildShards":[{"ShardId":"c","ParentShards":[]}]}"#.into(),
        r#"{"Records":[],"ChildShards":[{"ShardId":"c"}]}"#.into(),
        r#"{"ChildShards":[]}"#.into(),
    ];
    for body in bad {
        let error = fetch(&body).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::BadPage, true), "{body}: {error}");
        assert_eq!(error.shard(), Some(&"shard-1".into()));
    }
    // Neither: the listing tells whether the shard has ended.
    assert_eq!(fetch(r#"{"Records":[],"ChildShards":[]}"#).await.unwrap().next, None);
    assert_eq!(fetch(r#"{"Records":[],"MillisBehindLatest":9}"#).await.unwrap().behind, Some(9));
}

/// A page with members that no service sends in this order is read the long way.
#[tokio::test]
async fn the_order_of_the_members_does_not_matter() {
    let members = [
        r#""Records":[{"Data":"]"}]"#,
        r#""NextShardIterator":"n""#,
        r#""MillisBehindLatest":7"#,
        r#""ChildShards":[]"#,
    ];
    for first in 0..4 {
        let turned: Vec<_> = (0..4).map(|at| members[(first + at) % 4]).collect();
        let page = fetch(&format!("{{{}}}", turned.join(","))).await.unwrap();
        assert_eq!(&page.body[page.records.clone()], br#"{"Data":"]"}"#);
        assert_eq!((page.behind, page.next), (Some(7), Some(Cursor("n".into()))));
    }
}

#[tokio::test]
async fn refusals_have_the_kind_of_their_code_and_say_what_to_do() {
    let cases = [
        ("ProvisionedThroughputExceededException", ErrorKind::Throttled, ""),
        ("ExpiredIteratorException", ErrorKind::IteratorExpired, ""),
        ("ResourceNotFoundException", ErrorKind::NotFound, ""),
        ("InvalidArgumentException", ErrorKind::InvalidRequest, ""),
        ("AccessDeniedException", ErrorKind::AccessDenied, "kinesis:GetRecords"),
        ("KMSThrottlingException", ErrorKind::Throttled, ""),
        ("KMSDisabledException", ErrorKind::Service, "enable the KMS key"),
        ("KMSAccessDeniedException", ErrorKind::Service, "kms:Decrypt"),
        ("InternalFailure", ErrorKind::Service, ""),
    ];
    for (code, kind, advice) in cases {
        let server = Scripted::serve(move |_, _| refusal(400, code, "what the service says"));
        let error =
            Source::fetch(&kinesis(&server), &"shard-1".into(), &Cursor("it".into())).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, Some(code)));
        assert!(
            error.message().contains("what the service says") && error.message().contains(advice),
            "{error}"
        );
        assert_eq!(server.asked().len(), 1, "{code}: a call is one attempt");
    }
}

#[tokio::test]
async fn a_page_of_ten_mebibytes_passes() {
    let data = "A".repeat((10 << 20) / 3 * 4);
    let page =
        fetch(&format!(r#"{{"NextShardIterator":"n","Records":[{{"Data":"{data}"}}]}}"#)).await.unwrap();
    assert!(page.body.len() < PAGE_BYTES);
}

#[tokio::test]
async fn a_stream_has_no_table_to_scan() {
    let server = Scripted::replies([]);
    let error = kinesis(&server).describe_table().await.unwrap_err();
    assert!(error.message().contains("clicks"), "{error}");
    assert_eq!(server.asked(), []);
}
