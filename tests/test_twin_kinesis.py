"""The fake Kinesis, spoken to by boto3: what a real client accepts and understands."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from services import Twin

Subscribe = Callable[[str], Iterator[dict[str, Any]]]


@pytest.fixture
def kinesis(twin: Twin) -> Any:
    return twin.client("kinesis")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def drain(kinesis: Any, shard: str, **where: Any) -> list[dict[str, Any]]:
    """Every record of a shard of `orders` up to its end or its first empty page."""
    where.setdefault("ShardIteratorType", "TRIM_HORIZON")
    iterator = kinesis.get_shard_iterator(StreamName="orders", ShardId=shard, **where)["ShardIterator"]
    records: list[dict[str, Any]] = []
    while iterator:
        page = kinesis.get_records(ShardIterator=iterator)
        records += page["Records"]
        iterator = page.get("NextShardIterator") if page["Records"] else None
    return records


def test_records_make_the_round_trip(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="orders", ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName="orders")
    one = kinesis.put_record(StreamName="orders", PartitionKey="a", Data=b"\x00\xff")
    many = kinesis.put_records(
        StreamName="orders", Records=[{"PartitionKey": key, "Data": key.encode()} for key in ("a", "e", "é")]
    )
    assert many["FailedRecordCount"] == 0
    assert {record["ShardId"] for record in many["Records"]} == {f"shardId-{n:012}" for n in range(2)}
    first, *_ = drain(kinesis, one["ShardId"])
    assert (first["Data"], first["PartitionKey"], first["SequenceNumber"]) == (
        b"\x00\xff",
        "a",
        one["SequenceNumber"],
    )
    rest = drain(
        kinesis,
        one["ShardId"],
        ShardIteratorType="AT_TIMESTAMP",
        Timestamp=first["ApproximateArrivalTimestamp"],
    )
    assert rest[0] == first


def test_a_stream_splits_merges_and_lists_its_tree(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    summary = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
    arn = summary["StreamARN"]
    kinesis.split_shard(StreamARN=arn, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127))
    kinesis.merge_shards(
        StreamARN=arn,
        ShardToMerge="shardId-000000000001",
        AdjacentShardToMerge="shardId-000000000002",
    )
    page = kinesis.list_shards(StreamARN=arn, MaxResults=3)
    rest = kinesis.list_shards(NextToken=page["NextToken"])
    assert "NextToken" not in rest
    shards = page["Shards"] + rest["Shards"]
    assert [shard.get("ParentShardId") for shard in shards] == [
        None,
        "shardId-000000000000",
        "shardId-000000000000",
        "shardId-000000000001",
    ]
    pages = kinesis.get_paginator("list_shards").paginate(
        StreamName="orders", ShardFilter={"Type": "AT_LATEST"}
    )
    assert [shard["ShardId"] for page in pages for shard in page["Shards"]] == ["shardId-000000000003"]

    iterator = kinesis.get_shard_iterator(
        StreamARN=arn, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    end = kinesis.get_records(ShardIterator=iterator)
    assert end.get("NextShardIterator") is None
    assert [child["ShardId"] for child in end["ChildShards"]] == [
        "shardId-000000000001",
        "shardId-000000000002",
    ]


def test_errors_have_the_names_that_a_client_knows(twin: Twin, kinesis: Any) -> None:
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.describe_stream_summary(StreamName="none")
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    with pytest.raises(kinesis.exceptions.ResourceInUseException):
        kinesis.create_stream(StreamName="orders", ShardCount=1)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.get_records(ShardIterator="AAAA")
    iterator = kinesis.get_shard_iterator(
        StreamName="orders", ShardId="shardId-000000000000", ShardIteratorType="LATEST"
    )["ShardIterator"]
    twin.inject("Kinesis.GetRecords", {"kind": "error", "code": "KMSThrottlingException"})
    with pytest.raises(kinesis.exceptions.KMSThrottlingException):
        kinesis.get_records(ShardIterator=iterator)
    twin.control("advance", ms=300_001)
    with pytest.raises(kinesis.exceptions.ExpiredIteratorException):
        kinesis.get_records(ShardIterator=iterator)
    with pytest.raises(ClientError) as error:
        kinesis.tag_resource(ResourceARN="arn:aws:kinesis:us-east-1:000000000000:stream/orders", Tags={})
    assert code(error) == "UnknownOperationException"


def test_commands_reach_kinesis(twin: Twin, kinesis: Any) -> None:
    kinesis.create_stream(StreamName="orders", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    before = twin.control("knobs")["knobs"]["kinesis"]
    knobs = {"written_records_per_second": 1.0}
    assert twin.control("knobs", set={"kinesis": knobs})["knobs"]["kinesis"] == before | knobs
    twin.control("real_time", on=False)
    answer = kinesis.put_records(
        StreamName="orders",
        Records=[{"PartitionKey": "a", "Data": b"x"}, {"PartitionKey": "a", "Data": b"y"}],
    )
    assert answer["FailedRecordCount"] == 1
    assert answer["Records"][1]["ErrorCode"] == "ProvisionedThroughputExceededException"
    twin.control("scale", stream="orders", shards=8)
    summary = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 8
    (record,) = twin.control("kinesis_history", stream="orders")["records"]
    assert (record["data"], record["partition_key"]) == ("eA==", "a")
    counters = twin.control("counters")["counters"]
    assert counters["Kinesis.PutRecords"] == {"calls": 1, "errors": 0, "shards": {"orders": 1}}


@pytest.fixture
def subscribe(kinesis: Any) -> Iterator[Subscribe]:
    """`subscribe(consumer)`: the events of the stream's only shard from its horizon on."""
    opened: list[Any] = []

    def subscribe(arn: str) -> Iterator[dict[str, Any]]:
        answer = kinesis.subscribe_to_shard(
            ConsumerARN=arn, ShardId="shardId-000000000000", StartingPosition={"Type": "TRIM_HORIZON"}
        )
        opened.append(answer["EventStream"])
        return (event["SubscribeToShardEvent"] for event in answer["EventStream"])

    yield subscribe
    for stream in opened:
        stream.close()


@pytest.fixture
def consumer(kinesis: Any) -> str:
    """The ARN of a consumer of the stream `orders`, which has one shard."""
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
    registered = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="mirror")["Consumer"]
    described = kinesis.describe_stream_consumer(ConsumerARN=registered["ConsumerARN"])
    assert described["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE"
    (listed,) = kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
    assert listed == registered
    return str(registered["ConsumerARN"])


def test_events_are_pushed_until_the_shard_ends(kinesis: Any, consumer: str, subscribe: Subscribe) -> None:
    kinesis.put_record(StreamName="orders", PartitionKey="a", Data=b"1")
    events = subscribe(consumer)
    first = next(events)
    assert [record["Data"] for record in first["Records"]] == [b"1"]
    kinesis.put_record(StreamName="orders", PartitionKey="a", Data=b"2")
    second = next(events)
    assert [record["Data"] for record in second["Records"]] == [b"2"]
    assert int(second["ContinuationSequenceNumber"]) > int(first["ContinuationSequenceNumber"])
    kinesis.split_shard(
        StreamName="orders", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127)
    )
    last = next(events)
    assert last.get("ContinuationSequenceNumber") is None
    assert len(last["ChildShards"]) == 2
    assert list(events) == []


def test_a_takeover_ends_the_older_subscription(
    twin: Twin, kinesis: Any, consumer: str, subscribe: Subscribe
) -> None:
    older = subscribe(consumer)
    next(older)
    with pytest.raises(kinesis.exceptions.ResourceInUseException):
        subscribe(consumer)
    twin.control("advance", ms=5_000)
    younger = subscribe(consumer)
    with pytest.raises(EventStreamError) as error:
        list(older)
    assert error.value.response["Error"]["Code"] == "ResourceInUseException"
    assert next(younger)["Records"] == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "error", "code": "KMSDisabledException"}, EventStreamError),
        ({"kind": "truncated"}, ProtocolError),
        ({"kind": "lost_reply"}, ProtocolError),
        ({"kind": "reset"}, ProtocolError),
        ({"kind": "wrong_crc"}, ChecksumMismatch),
    ],
)
def test_a_subscription_breaks_in_every_way(
    twin: Twin,
    kinesis: Any,
    consumer: str,
    subscribe: Subscribe,
    fault: dict[str, Any],
    expected: type[Exception],
) -> None:
    twin.inject("Kinesis.SubscribeToShardEvent", fault, skip=1, shard="orders/shardId-000000000000")
    kinesis.put_record(StreamName="orders", PartitionKey="a", Data=b"1")
    events = subscribe(consumer)
    assert len(next(events)["Records"]) == 1
    kinesis.put_record(StreamName="orders", PartitionKey="a", Data=b"2")
    with pytest.raises(expected):
        next(events)


def test_a_session_ends_in_virtual_time(twin: Twin, consumer: str, subscribe: Subscribe) -> None:
    twin.control("knobs", set={"kinesis": {"fan_out_session_ms": 60_000}})
    events = subscribe(consumer)
    next(events)
    twin.control("advance", ms=60_000)
    assert list(events) == []


def test_a_table_streams_into_kinesis(twin: Twin, kinesis: Any) -> None:
    dynamodb = twin.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
    target = {"TableName": "orders", "StreamArn": arn}
    enabled = dynamodb.enable_kinesis_streaming_destination(
        **target,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    assert enabled["DestinationStatus"] == "ACTIVE"
    dynamodb.put_item(TableName="orders", Item={"id": {"S": "a"}, "b": {"B": b"\xff"}})
    dynamodb.update_kinesis_streaming_destination(
        **target,
        UpdateKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MILLISECOND"},
    )
    dynamodb.delete_item(TableName="orders", Key={"id": {"S": "a"}})
    dynamodb.disable_kinesis_streaming_destination(**target)
    (described,) = dynamodb.describe_kinesis_streaming_destination(TableName="orders")[
        "KinesisDataStreamDestinations"
    ]
    assert (described["StreamArn"], described["DestinationStatus"]) == (arn, "DISABLED")
    insert, remove = (json.loads(record["Data"]) for record in drain(kinesis, "shardId-000000000000"))
    assert insert["dynamodb"]["NewImage"] == {"id": {"S": "a"}, "b": {"B": "/w=="}}
    assert insert["dynamodb"]["ApproximateCreationDateTimePrecision"] == "MICROSECOND"
    assert (remove["eventName"], remove["dynamodb"]["OldImage"]) == ("REMOVE", insert["dynamodb"]["NewImage"])
    changes = twin.control("channel_history", table="orders")["changes"]
    assert [change["event_id"] for change in changes] == [insert["eventID"], remove["eventID"]]


@pytest.mark.parametrize(
    ("seconds", "said"), [(-301, "Signature expired"), (301, "Signature not yet current")]
)
def test_a_distant_clock_is_refused(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, seconds: int, said: str
) -> None:
    twin.control("knobs", set={"signature_ms": 300_000})
    calls = [twin.client("dynamodb").list_tables, twin.client("kinesis").list_streams]
    assert [call()["ResponseMetadata"]["HTTPStatusCode"] for call in calls] == [200, 200]
    then = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: then)
    for call in calls:
        with pytest.raises(ClientError) as error:
            call()
        assert code(error) == "InvalidSignatureException"
        assert said in str(error.value)
