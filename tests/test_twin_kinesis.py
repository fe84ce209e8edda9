"""The fake Kinesis, spoken to by boto3: what a real client accepts and understands."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from services import Twin


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
