"""A table's changes in a Kinesis stream."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from targets import CHANNEL

behaviour = pytest.mark.behaviour

Eventually = Callable[[Callable[[], Any]], Any]
Stream = Callable[..., None]


@pytest.fixture
def stream(dynamodb: Any, kinesis: Any, name: str, eventually: Eventually) -> Stream:
    """`stream(precision)`: a table whose changes go to a stream of the same name."""

    def stream(**configuration: str) -> None:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        kinesis.create_stream(StreamName=name, ShardCount=1)

        def summary() -> dict[str, Any]:
            return dict(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"])

        eventually(lambda: summary()["StreamStatus"] == "ACTIVE")
        dynamodb.enable_kinesis_streaming_destination(
            TableName=name,
            StreamArn=summary()["StreamARN"],
            EnableKinesisStreamingConfiguration=configuration,
        )

        def active() -> bool:
            described = dynamodb.describe_kinesis_streaming_destination(TableName=name)
            (destination,) = described["KinesisDataStreamDestinations"]
            return bool(destination["DestinationStatus"] == "ACTIVE")

        eventually(active)

    return stream


def changes(kinesis: Any, name: str) -> list[dict[str, Any]]:
    at = kinesis.get_shard_iterator(
        StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return [json.loads(record["Data"]) for record in kinesis.get_records(ShardIterator=at)["Records"]]


@behaviour(CHANNEL, "recorded")
def test_changes_have_their_shape(
    dynamodb: Any, kinesis: Any, name: str, stream: Stream, eventually: Eventually
) -> None:
    """A change has the members of the channel, a UUID, both images and no sequence number."""
    stream()
    for n in "12":
        dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}, "n": {"N": n}})
    change = eventually(lambda: changes(kinesis, name)[1:])[0]
    assert str(uuid.UUID(change["eventID"])) == change["eventID"]
    members = {"awsRegion", "eventID", "eventName", "userIdentity", "recordFormat", "tableName", "dynamodb"}
    assert change.keys() == members | {"eventSource"}
    assert (change["eventName"], change["recordFormat"]) == ("MODIFY", "application/json")
    assert (change["tableName"], change["userIdentity"]) == (name, None)
    images = change["dynamodb"]
    assert (images["OldImage"]["n"], images["NewImage"]["n"]) == ({"N": "1"}, {"N": "2"})
    assert not {"SequenceNumber", "StreamViewType"} & images.keys()


@behaviour(CHANNEL, "recorded")
def test_times_have_milliseconds(
    dynamodb: Any, kinesis: Any, name: str, stream: Stream, eventually: Eventually
) -> None:
    """A change's time is in milliseconds."""
    stream()
    dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}})
    (change,) = eventually(lambda: changes(kinesis, name))
    assert len(str(change["dynamodb"]["ApproximateCreationDateTime"])) == 13


@behaviour(CHANNEL, "recorded")
def test_times_may_have_microseconds(
    dynamodb: Any, kinesis: Any, name: str, stream: Stream, eventually: Eventually
) -> None:
    """With the precision MICROSECOND a change's time is in microseconds, and says so."""
    stream(ApproximateCreationDateTimePrecision="MICROSECOND")
    dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}})
    (change,) = eventually(lambda: changes(kinesis, name))
    assert len(str(change["dynamodb"]["ApproximateCreationDateTime"])) == 16
    assert change["dynamodb"]["ApproximateCreationDateTimePrecision"] == "MICROSECOND"
