"""Kinesis pushed: consumers and subscriptions."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from targets import FAN_OUT, Target

behaviour = pytest.mark.behaviour

FIRST = "shardId-000000000000"
Eventually = Callable[[Callable[[], Any]], Any]
Subscribe = Callable[..., Iterator[dict[str, Any]]]


@pytest.fixture
def consumer(kinesis: Any, name: str, eventually: Eventually) -> str:
    """The ARN of an active consumer of a stream of one shard."""
    kinesis.create_stream(StreamName=name, ShardCount=1)

    def summary() -> dict[str, Any]:
        return dict(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"])

    eventually(lambda: summary()["StreamStatus"] == "ACTIVE")
    stream = summary()["StreamARN"]
    arn = kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="mirror")["Consumer"]["ConsumerARN"]

    def active() -> bool:
        described = kinesis.describe_stream_consumer(ConsumerARN=arn)["ConsumerDescription"]
        return bool(described["ConsumerStatus"] == "ACTIVE")

    eventually(active)
    return str(arn)


@pytest.fixture
def subscribe(kinesis: Any) -> Iterator[Subscribe]:
    """`subscribe(consumer, Type="LATEST")`: the events; by default from the horizon on."""
    opened: list[Any] = []

    def subscribe(arn: str, **position: Any) -> Iterator[dict[str, Any]]:
        position.setdefault("Type", "TRIM_HORIZON")
        answer = kinesis.subscribe_to_shard(ConsumerARN=arn, ShardId=FIRST, StartingPosition=position)
        opened.append(answer["EventStream"])
        return (event["SubscribeToShardEvent"] for event in answer["EventStream"])

    yield subscribe
    for stream in opened:
        stream.close()


def put(kinesis: Any, name: str, text: str) -> None:
    kinesis.put_record(StreamName=name, PartitionKey="a", Data=text.encode())


def texts(event: dict[str, Any]) -> list[str]:
    return [record["Data"].decode() for record in event["Records"]]


def until(events: Iterator[dict[str, Any]], *wanted: str) -> dict[str, Any]:
    """The event with the last of the texts; they come in order, with empty events between them."""
    seen: list[str] = []
    for event in events:
        seen += texts(event)
        assert seen == list(wanted)[: len(seen)]
        if len(seen) == len(wanted):
            return event
    raise AssertionError(f"the stream ended behind {seen}")


@behaviour(FAN_OUT, "documented")
def test_a_consumers_arn_ends_in_its_creation(kinesis: Any, consumer: str) -> None:
    """A consumer's ARN ends in the second of its creation, and its name is taken once."""
    stream, _, rest = consumer.partition("/consumer/")
    described = kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]
    assert rest == f"mirror:{int(described['ConsumerCreationTimestamp'].timestamp())}"
    with pytest.raises(ClientError) as error:
        kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="mirror")
    assert error.value.response["Error"]["Code"] == "ResourceInUseException"


@behaviour(FAN_OUT, "documented")
def test_a_consumer_goes(kinesis: Any, consumer: str, eventually: Eventually) -> None:
    """A deregistered consumer is gone."""
    kinesis.deregister_stream_consumer(ConsumerARN=consumer)
    stream, _, _ = consumer.partition("/consumer/")
    eventually(lambda: not kinesis.list_stream_consumers(StreamARN=stream)["Consumers"])


@behaviour(FAN_OUT, "documented")
def test_records_are_pushed(kinesis: Any, name: str, consumer: str, subscribe: Subscribe) -> None:
    """A subscription pushes what is there and what comes."""
    put(kinesis, name, "1")
    events = subscribe(consumer)
    until(events, "1")
    put(kinesis, name, "2")
    until(events, "2")


@behaviour(FAN_OUT, "documented")
def test_a_subscription_goes_on(
    kinesis: Any, name: str, consumer: str, subscribe: Subscribe, target: Target
) -> None:
    """AFTER a continuation number comes what had not come, and nothing twice."""
    put(kinesis, name, "1")
    number = until(subscribe(consumer), "1")["ContinuationSequenceNumber"]
    put(kinesis, name, "2")
    target.pass_time(5.1)
    until(subscribe(consumer, Type="AFTER_SEQUENCE_NUMBER", SequenceNumber=number), "2")


@behaviour(FAN_OUT, "documented")
def test_an_idle_shard_says_so(consumer: str, subscribe: Subscribe) -> None:
    """An event comes also where there is nothing, with a continuation number."""
    event = next(subscribe(consumer, Type="LATEST"))
    assert (event["Records"], event["MillisBehindLatest"]) == ([], 0)
    assert int(event["ContinuationSequenceNumber"]) > 0


@behaviour(FAN_OUT, "documented")
def test_a_second_subscription_waits(consumer: str, subscribe: Subscribe) -> None:
    """A second subscription within five seconds is a ResourceInUseException."""
    next(subscribe(consumer))
    with pytest.raises((ClientError, EventStreamError)) as error:
        next(subscribe(consumer))
    assert error.value.response["Error"]["Code"] == "ResourceInUseException"


@behaviour(FAN_OUT, "documented")
def test_a_later_subscription_takes_over(consumer: str, subscribe: Subscribe, target: Target) -> None:
    """After five seconds a second subscription takes over, and the first ends with an error."""
    older = subscribe(consumer)
    next(older)
    target.pass_time(5.1)
    next(subscribe(consumer))
    with pytest.raises(EventStreamError) as error:
        for _, _ in zip(older, range(20), strict=False):
            pass
    assert error.value.response["Error"]["Code"] == "ResourceInUseException"


@behaviour(FAN_OUT, "documented")
def test_a_shard_ends_with_its_children(kinesis: Any, name: str, consumer: str, subscribe: Subscribe) -> None:
    """The last event of a closed shard names its children, and the subscription ends."""
    put(kinesis, name, "1")
    events = subscribe(consumer)
    until(events, "1")
    kinesis.split_shard(StreamName=name, ShardToSplit=FIRST, NewStartingHashKey=str(1 << 127))
    last: dict[str, Any] = {}
    for event, _ in zip(events, range(100), strict=False):
        last = event
    assert [child["ParentShards"] for child in last.get("ChildShards", [])] == [[FIRST], [FIRST]]
    assert last.get("ContinuationSequenceNumber") is None
