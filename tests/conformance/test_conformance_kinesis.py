"""Kinesis streams: written and polled."""

import datetime as dt
import hashlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError
from targets import KINESIS, Target

behaviour = pytest.mark.behaviour

Make = Callable[..., str]
Eventually = Callable[[Callable[[], Any]], Any]

ALL_KEYS = 1 << 128
FIRST = "shardId-000000000000"


@pytest.fixture
def make(kinesis: Any, name: str, eventually: Eventually) -> Make:
    """`make(ShardCount=2)`: an active stream; its ARN."""

    def make(**options: Any) -> str:
        kinesis.create_stream(StreamName=name, **(options or {"ShardCount": 1}))
        return str(eventually(lambda: active(kinesis, name)))

    return make


def active(kinesis: Any, name: str) -> str | None:
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    return summary["StreamARN"] if summary["StreamStatus"] == "ACTIVE" else None


def shards(kinesis: Any, name: str, **options: Any) -> list[dict[str, Any]]:
    page = kinesis.list_shards(StreamName=name, **options)
    listed = page["Shards"]
    while token := page.get("NextToken"):
        page = kinesis.list_shards(NextToken=token)
        listed += page["Shards"]
    return sorted(listed, key=lambda shard: shard["ShardId"])


def put(kinesis: Any, name: str, *texts: str, key: str = "a") -> list[str]:
    """Puts texts one by one; their sequence numbers."""
    return [
        kinesis.put_record(StreamName=name, PartitionKey=key, Data=text.encode())["SequenceNumber"]
        for text in texts
    ]


def iterator(kinesis: Any, name: str, shard: str = FIRST, kind: str = "TRIM_HORIZON", **where: Any) -> str:
    found = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType=kind, **where)
    return str(found["ShardIterator"])


def read(kinesis: Any, name: str, shard: str = FIRST, kind: str = "TRIM_HORIZON", **where: Any) -> list[str]:
    """The texts from a place on, up to the shard's end or its first empty page."""
    at, texts = iterator(kinesis, name, shard, kind, **where), []
    while at:
        page = kinesis.get_records(ShardIterator=at)
        texts += [record["Data"].decode() for record in page["Records"]]
        at = page.get("NextShardIterator") if page["Records"] else None
    return texts


def split(kinesis: Any, name: str, eventually: Eventually, at: int = ALL_KEYS // 2) -> None:
    kinesis.split_shard(StreamName=name, ShardToSplit=FIRST, NewStartingHashKey=str(at))
    eventually(lambda: active(kinesis, name) and len(shards(kinesis, name)) > 1)


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


@behaviour(KINESIS, "documented")
def test_shards_hold_every_hash_key_once(kinesis: Any, name: str, make: Make) -> None:
    """The open shards of a stream hold every hash key once."""
    make(ShardCount=3)
    ranges = sorted(
        (int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"]))
        for shard in shards(kinesis, name)
    )
    edges = [(low, high + 1) for low, high in ranges]
    assert (edges[0][0], edges[-1][1]) == (0, ALL_KEYS)
    assert all(one[1] == other[0] for one, other in pairwise(edges))


@behaviour(KINESIS, "documented")
def test_records_make_the_round_trip(kinesis: Any, name: str, make: Make) -> None:
    """A record comes back with its bytes, its partition key and its sequence number."""
    make()
    sent = kinesis.put_record(StreamName=name, PartitionKey='é"\\', Data=b"\x00\xff\n")
    (record,) = kinesis.get_records(ShardIterator=iterator(kinesis, name))["Records"]
    assert (record["Data"], record["PartitionKey"]) == (b"\x00\xff\n", 'é"\\')
    assert record["SequenceNumber"] == sent["SequenceNumber"]


@behaviour(KINESIS, "documented")
def test_arrival_times_are_fine(kinesis: Any, name: str, make: Make) -> None:
    """Arrival times have milliseconds."""
    make()
    put(kinesis, name, *map(str, range(10)))
    records = kinesis.get_records(ShardIterator=iterator(kinesis, name))["Records"]
    assert any(record["ApproximateArrivalTimestamp"].microsecond for record in records)


@behaviour(KINESIS, "recorded")
def test_sequence_numbers_grow(kinesis: Any, name: str, make: Make) -> None:
    """Sequence numbers have 56 digits and grow within a shard."""
    make()
    numbers = put(kinesis, name, *map(str, range(20)))
    assert {len(number) for number in numbers} == {56}
    assert [int(number) for number in numbers] == sorted({int(number) for number in numbers})


@behaviour(KINESIS, "documented")
def test_keys_are_hashed_with_md5(kinesis: Any, name: str, make: Make) -> None:
    """A record's shard is the one whose range holds the MD5 of its partition key."""
    make(ShardCount=4)
    ranges = {shard["ShardId"]: shard["HashKeyRange"] for shard in shards(kinesis, name)}
    for key in "abcdefgh":
        shard = kinesis.put_record(StreamName=name, PartitionKey=key, Data=b"x")["ShardId"]
        place = int(hashlib.md5(key.encode()).hexdigest(), 16)
        assert int(ranges[shard]["StartingHashKey"]) <= place <= int(ranges[shard]["EndingHashKey"])


@behaviour(KINESIS, "documented")
def test_a_hash_key_can_be_given(kinesis: Any, name: str, make: Make) -> None:
    """ExplicitHashKey takes the place of the partition key's MD5."""
    make(ShardCount=2)
    for place, shard in [(0, FIRST), (ALL_KEYS - 1, "shardId-000000000001")]:
        sent = kinesis.put_record(StreamName=name, PartitionKey="a", Data=b"x", ExplicitHashKey=str(place))
        assert sent["ShardId"] == shard


@behaviour(KINESIS, "documented")
def test_iterators_point_where_they_say(kinesis: Any, name: str, make: Make) -> None:
    """AT a sequence number begins with its record, AFTER it with the next, LATEST with what comes."""
    make()
    numbers = put(kinesis, name, "1", "2", "3")
    at = {"StartingSequenceNumber": numbers[1]}
    assert read(kinesis, name, kind="AT_SEQUENCE_NUMBER", **at) == ["2", "3"]
    assert read(kinesis, name, kind="AFTER_SEQUENCE_NUMBER", **at) == ["3"]
    latest = iterator(kinesis, name, kind="LATEST")
    put(kinesis, name, "4")
    (record,) = kinesis.get_records(ShardIterator=latest)["Records"]
    assert record["Data"] == b"4"


@behaviour(KINESIS, "documented")
def test_times_point_where_they_say(kinesis: Any, name: str, make: Make, target: Target) -> None:
    """AT_TIMESTAMP begins with the first record that did not arrive earlier, to the millisecond."""
    make()
    for text in "123":
        put(kinesis, name, text)
        target.pass_time(0.05)
    records = kinesis.get_records(ShardIterator=iterator(kinesis, name))["Records"]
    times = [record["ApproximateArrivalTimestamp"] for record in records]
    millisecond = dt.timedelta(milliseconds=1)
    assert read(kinesis, name, kind="AT_TIMESTAMP", Timestamp=times[1]) == ["2", "3"]
    assert read(kinesis, name, kind="AT_TIMESTAMP", Timestamp=times[1] + millisecond) == ["3"]


@behaviour(KINESIS, "documented")
def test_a_time_behind_the_last_record_has_none(kinesis: Any, name: str, make: Make, target: Target) -> None:
    """AT_TIMESTAMP behind the last record gives no record."""
    make()
    put(kinesis, name, "1")
    target.pass_time(0.05)
    (record,) = kinesis.get_records(ShardIterator=iterator(kinesis, name))["Records"]
    later = record["ApproximateArrivalTimestamp"] + dt.timedelta(milliseconds=1)
    assert read(kinesis, name, kind="AT_TIMESTAMP", Timestamp=later) == []


@behaviour(KINESIS, "recorded")
def test_a_number_belongs_to_its_shard(kinesis: Any, name: str, make: Make) -> None:
    """A sequence number of another shard is an InvalidArgumentException."""
    make(ShardCount=2)
    sent = kinesis.put_record(StreamName=name, PartitionKey="a", Data=b"x", ExplicitHashKey="0")
    where = {
        "StreamName": name,
        "ShardId": "shardId-000000000001",
        "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
    }
    code = refusal(kinesis.get_shard_iterator, StartingSequenceNumber=sent["SequenceNumber"], **where)
    assert code == "InvalidArgumentException"


@behaviour(KINESIS, "documented")
def test_requests_have_their_limits(kinesis: Any, name: str, make: Make) -> None:
    """PutRecords refuses 501 records, GetRecords a limit of 10,001."""
    make()
    many = [{"PartitionKey": "a", "Data": b"x"}] * 501
    assert refusal(kinesis.put_records, StreamName=name, Records=many)
    assert refusal(kinesis.get_records, ShardIterator=iterator(kinesis, name), Limit=10_001)


@behaviour(KINESIS, "documented")
def test_records_have_their_limit(kinesis: Any, name: str, make: Make) -> None:
    """A record above 1 MiB is refused, and taken where MaxRecordSizeInKiB allows it."""
    make(ShardCount=1, MaxRecordSizeInKiB=2048)
    kinesis.put_record(StreamName=name, PartitionKey="a", Data=b"x" * 2_000_000)
    too_large = b"x" * (2048 * 1024 + 1)
    assert refusal(kinesis.put_record, StreamName=name, PartitionKey="a", Data=too_large)


@behaviour(KINESIS, "documented")
def test_a_page_has_its_size(kinesis: Any, name: str, make: Make, target: Target) -> None:
    """A page of GetRecords holds at most 10 MiB."""
    make()
    for _ in range(13):
        kinesis.put_record(StreamName=name, PartitionKey="a", Data=b"x" * 1_000_000)
        target.pass_time(1.0)
    page = kinesis.get_records(ShardIterator=iterator(kinesis, name))
    assert sum(len(record["Data"]) for record in page["Records"]) <= 10 << 20


@behaviour(KINESIS, "documented")
def test_lag_is_told(kinesis: Any, name: str, make: Make, target: Target) -> None:
    """MillisBehindLatest is above zero while records are left, and zero when none is."""
    make()
    put(kinesis, name, "1", "2")
    target.pass_time(0.05)
    first = kinesis.get_records(ShardIterator=iterator(kinesis, name), Limit=1)
    second = kinesis.get_records(ShardIterator=first["NextShardIterator"])
    assert first["MillisBehindLatest"] > 0
    assert (second["MillisBehindLatest"], len(second["Records"])) == (0, 1)


@behaviour(KINESIS, "documented")
def test_entries_fail_alone(kinesis: Any, name: str, make: Make) -> None:
    """Of a burst beyond 1,000 records a second some entries fail, each by itself and with its code."""
    make()
    results: list[dict[str, Any]] = []
    for _ in range(6):
        entries = [{"PartitionKey": "a", "Data": b"x"}] * 500
        results += kinesis.put_records(StreamName=name, Records=entries)["Records"]
    codes = sorted({result.get("ErrorCode", "put") for result in results})
    assert codes == ["ProvisionedThroughputExceededException", "put"]


@behaviour(KINESIS, "documented")
def test_a_split_keeps_its_parent(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """A split shard is closed, keeps its records, and is the parent of two."""
    make()
    (number,) = put(kinesis, name, "before")
    split(kinesis, name, eventually)
    parent, *children = shards(kinesis, name)
    assert int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) >= int(number)
    assert [child["ParentShardId"] for child in children] == [FIRST, FIRST]
    assert read(kinesis, name) == ["before"]


@behaviour(KINESIS, "documented")
def test_writes_go_to_the_children(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """What is written behind a split goes to its children."""
    make()
    split(kinesis, name, eventually)
    sent = {kinesis.put_record(StreamName=name, PartitionKey=key, Data=b"x")["ShardId"] for key in "abcdefgh"}
    assert sent == {"shardId-000000000001", "shardId-000000000002"}


@behaviour(KINESIS, "documented")
def test_a_merge_has_two_parents(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """A merged shard names both its parents, and they keep their records."""
    make(ShardCount=2)
    put(kinesis, name, "low", key="a")
    put(kinesis, name, "high", key="e")
    second = "shardId-000000000001"
    kinesis.merge_shards(StreamName=name, ShardToMerge=FIRST, AdjacentShardToMerge=second)
    eventually(lambda: active(kinesis, name))
    *_, merged = shards(kinesis, name)
    assert {merged["ParentShardId"], merged["AdjacentParentShardId"]} == {FIRST, second}
    assert [read(kinesis, name, shard) for shard in (FIRST, second)] == [["low"], ["high"]]


@behaviour(KINESIS, "documented")
def test_a_closed_shard_ends(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """A closed shard that has been read has no next iterator."""
    make()
    put(kinesis, name, "1")
    split(kinesis, name, eventually)
    assert _end(kinesis, name).get("NextShardIterator") is None


@behaviour(KINESIS, "documented")
def test_the_end_names_the_children(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """The end of a closed shard names its children and their parents."""
    make()
    split(kinesis, name, eventually)
    children = _end(kinesis, name)["ChildShards"]
    assert [child["ParentShards"] for child in children] == [[FIRST], [FIRST]]


def _end(kinesis: Any, name: str) -> dict[str, Any]:
    """The last page of the first shard, or the tenth."""
    page = kinesis.get_records(ShardIterator=iterator(kinesis, name))
    for _ in range(10):
        if at := page.get("NextShardIterator"):
            page = kinesis.get_records(ShardIterator=at)
    return dict(page)


@behaviour(KINESIS, "documented")
def test_scaling_loses_nothing(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """UpdateShardCount doubles the open shards, and every record stays readable."""
    make(ShardCount=2)
    for key in map(str, range(20)):
        put(kinesis, name, key, key=key)
    kinesis.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    eventually(lambda: active(kinesis, name))
    found = [text for shard in shards(kinesis, name) for text in read(kinesis, name, shard["ShardId"])]
    assert sorted(found) == sorted(map(str, range(20)))


@behaviour(KINESIS, "documented")
def test_listings_are_paged(kinesis: Any, name: str, make: Make) -> None:
    """A listing goes on by its token alone; a token beside a stream's name is refused."""
    make(ShardCount=5)
    assert len(shards(kinesis, name, MaxResults=2)) == 5
    token = kinesis.list_shards(StreamName=name, MaxResults=2)["NextToken"]
    assert refusal(kinesis.list_shards, StreamName=name, NextToken=token) == "InvalidArgumentException"


@behaviour(KINESIS, "documented")
def test_listings_are_filtered(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """ShardFilter selects the open shards, or those behind an id."""
    make()
    split(kinesis, name, eventually)
    latest = shards(kinesis, name, ShardFilter={"Type": "AT_LATEST"})
    behind = shards(kinesis, name, ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001"})
    assert [shard["ShardId"] for shard in latest] == ["shardId-000000000001", "shardId-000000000002"]
    assert [shard["ShardId"] for shard in behind] == ["shardId-000000000002"]


@behaviour(KINESIS, "documented")
def test_on_demand_needs_no_count(kinesis: Any, name: str, make: Make) -> None:
    """An on-demand stream is made without a count and has four shards."""
    make(StreamModeDetails={"StreamMode": "ON_DEMAND"})
    assert len(shards(kinesis, name)) == 4


@behaviour(KINESIS, "documented")
def test_a_stream_answers_to_its_arn(kinesis: Any, name: str, make: Make) -> None:
    """A stream's ARN does in place of its name."""
    arn = make()
    kinesis.put_record(StreamARN=arn, PartitionKey="a", Data=b"1")
    at = kinesis.get_shard_iterator(StreamARN=arn, ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")
    assert len(kinesis.get_records(StreamARN=arn, ShardIterator=at["ShardIterator"])["Records"]) == 1
    assert len(kinesis.list_shards(StreamARN=arn)["Shards"]) == 1


@behaviour(KINESIS, "documented")
def test_retention_has_its_bounds(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """Retention is raised and reduced between a day and a year."""
    make()
    kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    eventually(lambda: active(kinesis, name))
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 48
    too_long = {"StreamName": name, "RetentionPeriodHours": 8761}
    assert refusal(kinesis.increase_stream_retention_period, **too_long)
    too_short = {"StreamName": name, "RetentionPeriodHours": 23}
    assert refusal(kinesis.decrease_stream_retention_period, **too_short)


@behaviour(KINESIS, "documented")
def test_what_is_not_there_is_not_found(kinesis: Any, name: str, make: Make, eventually: Eventually) -> None:
    """A shard or a stream that does not exist, or was deleted, is a ResourceNotFoundException."""
    make()
    where = {"StreamName": name, "ShardIteratorType": "LATEST"}
    missing = refusal(kinesis.get_shard_iterator, ShardId="shardId-000000000009", **where)
    assert missing == "ResourceNotFoundException"
    kinesis.delete_stream(StreamName=name)
    gone = lambda: name not in kinesis.list_streams()["StreamNames"]  # noqa: E731
    eventually(gone)
    assert refusal(kinesis.describe_stream_summary, StreamName=name) == "ResourceNotFoundException"


@behaviour(KINESIS, "documented")
def test_an_iterator_is_not_made_up(kinesis: Any, make: Make) -> None:
    """An iterator that was not given out is an InvalidArgumentException."""
    make()
    assert refusal(kinesis.get_records, ShardIterator="A" * 64) == "InvalidArgumentException"
