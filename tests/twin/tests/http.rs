//! The server, spoken to with hand-made requests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use twin::{Aws, Server, serve};

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the body is as long and as sound as its headers say.
    fn is_sound(&self) -> bool {
        self.headers["x-amz-crc32"] == crc32fast::hash(&self.body).to_string()
    }
}

async fn server() -> Server {
    serve(SocketAddr::from(([127, 0, 0, 1], 0)), Aws::new(3)).await.unwrap()
}

/// Sends one request on a connection of its own and reads until the server closes it.
async fn send(addr: SocketAddr, head: &str, body: &Value) -> Result<Reply, Error> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(addr).await?;
    let length = body.len();
    let text = format!("{head}\r\nHost: twin\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(Reply { status, headers, body: answer[end + 4..].to_vec() })
}

async fn call(addr: SocketAddr, target: &str, body: Value) -> Result<Reply, Error> {
    let head = format!(
        "POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: {target}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x"
    );
    send(addr, &head, &body).await
}

async fn db(addr: SocketAddr, op: &str, body: Value) -> Value {
    let reply = call(addr, &format!("DynamoDB_20120810.{op}"), body).await.unwrap();
    assert_eq!(reply.status, 200, "{op}: {}", String::from_utf8_lossy(&reply.body));
    assert!(reply.is_sound());
    reply.json()
}

async fn streams(addr: SocketAddr, op: &str, body: Value) -> Value {
    let reply = call(addr, &format!("DynamoDBStreams_20120810.{op}"), body).await.unwrap();
    assert_eq!(reply.status, 200, "{op}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

async fn control(addr: SocketAddr, command: Value) -> Value {
    let reply = send(addr, "POST /__twin HTTP/1.1", &command).await.unwrap();
    assert_eq!(reply.status, 200, "{command}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// Creates `orders` with one item and gives the stream's ARN and an iterator at its horizon.
async fn orders(addr: SocketAddr) -> (String, String) {
    let created = db(
        addr,
        "CreateTable",
        json!({
            "TableName": "orders",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
        }),
    )
    .await;
    let stream = created["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned();
    db(addr, "PutItem", json!({"TableName": "orders", "Item": {"id": {"N": "1"}, "s": {"S": "é\"\\"}}}))
        .await;
    let described = streams(addr, "DescribeStream", json!({ "StreamArn": stream })).await;
    let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
    let at = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = streams(addr, "GetShardIterator", at).await;
    (stream, iterator["ShardIterator"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_record_makes_the_round_trip() {
    let server = server().await;
    let addr = server.addr();
    let (stream, iterator) = orders(addr).await;
    let reply = call(addr, "DynamoDBStreams_20120810.GetRecords", json!({ "ShardIterator": iterator }))
        .await
        .unwrap();
    assert_eq!(reply.headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(reply.headers["date"], "Thu, 01 Jan 2026 00:00:00 GMT");
    assert!(reply.is_sound() && reply.headers.contains_key("x-amzn-requestid"));
    let page = reply.json();
    assert_eq!(page["Records"][0]["eventName"], "INSERT");
    assert_eq!(page["Records"][0]["dynamodb"]["NewImage"]["s"], json!({"S": "é\"\\"}));
    assert!(page["NextShardIterator"].as_str().unwrap().starts_with(&stream));

    let got = db(addr, "GetItem", json!({"TableName": "orders", "Key": {"id": {"N": "1"}}})).await;
    assert_eq!(got["Item"]["id"], json!({"N": "1"}));
    let batch = json!({"RequestItems": {"orders": [
        {"PutRequest": {"Item": {"id": {"N": "2"}}}}, {"DeleteRequest": {"Key": {"id": {"N": "1"}}}},
    ]}});
    assert_eq!(db(addr, "BatchWriteItem", batch).await, json!({"UnprocessedItems": {}}));
    let scanned = db(addr, "Scan", json!({"TableName": "orders", "ConsistentRead": true})).await;
    assert_eq!(scanned, json!({"Count": 1, "ScannedCount": 1, "Items": [{"id": {"N": "2"}}]}));
    let listed = streams(addr, "ListStreams", json!({"TableName": "orders"})).await;
    assert_eq!(listed["Streams"][0]["StreamArn"], json!(stream));
    server.stop().await;
}

#[tokio::test]
async fn a_table_is_scanned_in_segments() {
    let server = server().await;
    let addr = server.addr();
    orders(addr).await;
    for n in 2..=40 {
        db(
            addr,
            "PutItem",
            json!({"TableName": "orders", "Item": {"id": {"N": n.to_string()}, "x": {"S": "y"}}}),
        )
        .await;
    }
    let mut seen = Vec::new();
    for segment in 0..3 {
        let mut request = json!({
            "TableName": "orders", "Segment": segment, "TotalSegments": 3, "Limit": 5, "ConsistentRead": true,
            "ProjectionExpression": "#k", "ExpressionAttributeNames": {"#k": "id"},
            "ReturnConsumedCapacity": "TOTAL",
        });
        loop {
            let page = db(addr, "Scan", request.clone()).await;
            assert_eq!(page["ConsumedCapacity"], json!({"CapacityUnits": 1.0, "TableName": "orders"}));
            seen.extend(page["Items"].as_array().unwrap().iter().map(|item| item["id"]["N"].to_string()));
            assert!(page["Items"].as_array().unwrap().iter().all(|item| item["x"].is_null()));
            match page.get("LastEvaluatedKey") {
                Some(last) => request["ExclusiveStartKey"] = last.clone(),
                None => break,
            }
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (40, 40));

    let whole = json!({"TableName": "orders", "Segment": 0, "TotalSegments": 3, "Limit": 1});
    let last = db(addr, "Scan", whole).await["LastEvaluatedKey"].clone();
    let other = json!({"TableName": "orders", "Segment": 1, "TotalSegments": 3, "ExclusiveStartKey": last});
    let refused = call(addr, "DynamoDB_20120810.Scan", other).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.json()["message"].as_str().unwrap().contains("TotalSegments: 3 Segment: 1"));
    let filter = json!({"TableName": "orders", "FilterExpression": "x"});
    assert_eq!(call(addr, "DynamoDB_20120810.Scan", filter).await.unwrap().status, 400);
    let get = json!({"TableName": "orders", "Key": {"id": {"N": "1"}}, "ProjectionExpression": "id"});
    assert_eq!(call(addr, "DynamoDB_20120810.GetItem", get).await.unwrap().status, 400);

    let throttle = json!({"kind": "error", "code": "ProvisionedThroughputExceededException"});
    control(addr, json!({"do": "inject", "op": "Scan", "shard": "2/3", "fault": throttle})).await;
    let scan = |segment: u64| json!({"TableName": "orders", "Segment": segment, "TotalSegments": 3});
    db(addr, "Scan", scan(1)).await;
    let throttled = call(addr, "DynamoDB_20120810.Scan", scan(2)).await.unwrap();
    let code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
    assert_eq!((throttled.status, throttled.json()["__type"].as_str()), (400, Some(code)));
    let calls = control(addr, json!({"do": "calls", "last": 1})).await;
    assert_eq!(calls["calls"][0]["shard"], "2/3");
    server.stop().await;
}

#[tokio::test]
async fn refusals_have_the_services_shape() {
    let server = server().await;
    let addr = server.addr();
    let refused = |reply: Reply| (reply.status, reply.json()["__type"].as_str().unwrap().to_owned());
    let missing = call(addr, "DynamoDB_20120810.DescribeTable", json!({"TableName": "none"})).await.unwrap();
    let namespace = "com.amazonaws.dynamodb.v20120810";
    assert_eq!(refused(missing), (400, format!("{namespace}#ResourceNotFoundException")));
    let crossed = call(addr, "DynamoDB_20120810.GetRecords", json!({})).await.unwrap();
    assert_eq!(refused(crossed).1, "com.amazon.coral.service#UnknownOperationException");
    let head = "POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables";
    let unsigned = send(addr, head, &json!({})).await.unwrap();
    assert_eq!(refused(unsigned).1, "com.amazon.coral.service#MissingAuthenticationTokenException");
    let condition = json!({"TableName": "t", "Item": {}, "ReturnValuesOnConditionCheckFailure": "x"});
    let condition = call(addr, "DynamoDB_20120810.PutItem", condition).await.unwrap();
    assert_eq!(refused(condition).1, "com.amazon.coral.validate#ValidationException");
    for bad in [json!({"do": "dance"}), json!({"do": "advance"}), json!({"do": "now", "x": 1})] {
        assert_eq!(send(addr, "POST /__twin HTTP/1.1", &bad).await.unwrap().status, 400, "{bad}");
    }
}

#[tokio::test]
async fn control_commands_act_on_the_service() {
    let server = server().await;
    let addr = server.addr();
    control(addr, json!({"do": "partitions", "table": "orders", "count": 2})).await;
    let (stream, iterator) = orders(addr).await;
    let rolled = control(addr, json!({"do": "roll_over", "table": "orders", "partition": 0})).await;
    assert_eq!(rolled["children"].as_array().unwrap().len(), 1);
    let split = control(addr, json!({"do": "split", "table": "orders", "partition": 1})).await;
    assert_eq!(split["children"].as_array().unwrap().len(), 2);
    let filter = json!({"Type": "CHILD_SHARDS", "ShardId": split["parent"]});
    let described =
        streams(addr, "DescribeStream", json!({"StreamArn": stream, "ShardFilter": filter})).await;
    assert_eq!(described["StreamDescription"]["Shards"].as_array().unwrap().len(), 2);

    control(addr, json!({"do": "expire", "table": "orders", "key": {"id": {"N": "1"}}})).await;
    let history = control(addr, json!({"do": "history", "table": "orders"})).await;
    assert_eq!(history["records"][1]["event"], "REMOVE");
    let knobs =
        control(addr, json!({"do": "knobs", "set": {"records_first": true, "end_page": "separate"}})).await;
    assert_eq!(
        (&knobs["knobs"]["end_page"], &knobs["knobs"]["retention_ms"]),
        (&json!("separate"), &json!(86_400_000))
    );
    let bad = json!({"do": "knobs", "set": {"no_such_knob": 1}});
    assert_eq!(send(addr, "POST /__twin HTTP/1.1", &bad).await.unwrap().status, 400);

    let before = control(addr, json!({"do": "now"})).await["now_ms"].as_i64().unwrap();
    let after = control(addr, json!({"do": "advance", "ms": 900_001})).await["now_ms"].as_i64().unwrap();
    assert_eq!(after - before, 900_001);
    let expired = call(addr, "DynamoDBStreams_20120810.GetRecords", json!({ "ShardIterator": iterator }))
        .await
        .unwrap();
    assert!(expired.json()["__type"].as_str().unwrap().ends_with("#ExpiredIteratorException"));
    let counters = control(addr, json!({"do": "counters"})).await;
    assert_eq!(counters["counters"]["GetRecords"]["errors"], 1);
    let calls = control(addr, json!({"do": "calls", "last": 1})).await;
    assert_eq!(calls["calls"][0]["error"], "ExpiredIteratorException");
    control(addr, json!({"do": "real_time", "on": true})).await;
    control(addr, json!({"do": "reset_calls"})).await;
    assert_eq!(control(addr, json!({"do": "counters"})).await["counters"], json!({}));
}

#[tokio::test]
async fn faults_reach_the_wire() {
    let server = server().await;
    let addr = server.addr();
    let (_, iterator) = orders(addr).await;
    let get = || call(addr, "DynamoDBStreams_20120810.GetRecords", json!({ "ShardIterator": iterator }));
    let inject = |fault: Value| control(addr, json!({"do": "inject", "op": "GetRecords", "fault": fault}));
    let whole = get().await.unwrap();

    inject(json!({"kind": "error", "code": "InternalServerError", "status": 500})).await;
    let failed = get().await.unwrap();
    assert_eq!(failed.status, 500);
    assert!(failed.json()["__type"].as_str().unwrap().ends_with("#InternalServerError"));

    inject(json!({"kind": "truncated"})).await;
    let cut = get().await.unwrap();
    assert_eq!(cut.headers["content-length"], whole.body.len().to_string());
    assert_eq!(cut.body, whole.body[..whole.body.len() / 2]);

    inject(json!({"kind": "invalid_json"})).await;
    let invalid = get().await.unwrap();
    assert!(invalid.is_sound() && serde_json::from_slice::<Value>(&invalid.body).is_err());

    inject(json!({"kind": "wrong_crc"})).await;
    let wrong = get().await.unwrap();
    assert!(wrong.body == whole.body && !wrong.is_sound());

    inject(json!({"kind": "lost_reply"})).await;
    assert_eq!(get().await.err().unwrap().kind(), ErrorKind::UnexpectedEof);
    inject(json!({"kind": "reset"})).await;
    assert_eq!(get().await.err().unwrap().kind(), ErrorKind::ConnectionReset);

    inject(json!({"kind": "delay", "ms": 60})).await;
    let start = Instant::now();
    assert_eq!(get().await.unwrap().body, whole.body);
    assert!(start.elapsed() >= Duration::from_millis(60));

    inject(json!({"kind": "hang"})).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), get()).await.is_err());
    assert_eq!(get().await.unwrap().body, whole.body);
    server.stop().await;
}

#[tokio::test]
async fn stopping_ends_connections_that_hang() {
    let server = server().await;
    let addr = server.addr();
    let (_, iterator) = orders(addr).await;
    control(addr, json!({"do": "inject", "op": "GetRecords", "fault": {"kind": "hang"}})).await;
    let hanging =
        tokio::spawn(call(addr, "DynamoDBStreams_20120810.GetRecords", json!({"ShardIterator": iterator})));
    while server.aws().count(twin::Op::GetRecords).calls == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    assert!(hanging.await.unwrap().is_err());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn only_loopback_is_served() {
    let refused = serve(SocketAddr::from(([0, 0, 0, 0], 0)), Aws::new(1)).await;
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::InvalidInput);
}
