"""Tables, and the streams of their changes."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from targets import DYNAMODB

behaviour = pytest.mark.behaviour

Make = Callable[..., dict[str, Any]]
EVERY_TYPE: dict[str, Any] = {
    "s": {"S": 'é"\\\u0001'},
    "empty": {"S": ""},
    "n": {"N": "-123456789012345678901234567890.12345678"},
    "b": {"B": b"\x00\xff"},
    "flag": {"BOOL": False},
    "nothing": {"NULL": True},
    "list": {"L": [{"N": "1"}, {"M": {}}, {"L": []}]},
    "map": {"M": {"inner": {"S": "x"}}},
}


@pytest.fixture
def make(dynamodb: Any, name: str) -> Make:
    """`make(view)`: a table with the key `id` and a stream; its description."""

    def make(view: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
        made = dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        return made["TableDescription"]

    return make


def put(dynamodb: Any, table: str, key: str, **attributes: Any) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": key}} | attributes)


def shards(streams: Any, stream: str) -> list[dict[str, Any]]:
    listed, after = [], {}
    while True:
        page = streams.describe_stream(StreamArn=stream, **after)["StreamDescription"]
        listed += page["Shards"]
        if not (last := page.get("LastEvaluatedShardId")):
            return listed
        after = {"ExclusiveStartShardId": last}


def read(streams: Any, stream: str, **where: Any) -> list[dict[str, Any]]:
    """Every record of every shard, up to its end or its first empty page."""
    where.setdefault("ShardIteratorType", "TRIM_HORIZON")
    records = []
    for shard in shards(streams, stream):
        iterator = streams.get_shard_iterator(StreamArn=stream, ShardId=shard["ShardId"], **where)[
            "ShardIterator"
        ]
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            records += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return records


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


@behaviour(DYNAMODB, "documented")
def test_items_keep_every_type(dynamodb: Any, name: str, make: Make) -> None:
    """An item comes back with every type and value it was written with."""
    make()
    put(dynamodb, name, "a", **EVERY_TYPE)
    found = dynamodb.get_item(TableName=name, Key={"id": {"S": "a"}}, ConsistentRead=True)["Item"]
    assert found == {"id": {"S": "a"}} | EVERY_TYPE


@behaviour(DYNAMODB, "documented")
def test_numbers_are_normalised(dynamodb: Any, name: str, make: Make) -> None:
    """A number comes back without idle zeros and without an exponent."""
    make()
    put(dynamodb, name, "a", n={"N": "1.50e2"}, zero={"N": "-0"})
    found = dynamodb.get_item(TableName=name, Key={"id": {"S": "a"}})["Item"]
    assert (found["n"], found["zero"]) == ({"N": "150"}, {"N": "0"})


@behaviour(DYNAMODB, "documented")
def test_segments_hold_everything_once(dynamodb: Any, name: str, make: Make) -> None:
    """The segments of a scan, read page by page, hold every item once."""
    make()
    for n in range(40):
        put(dynamodb, name, f"k{n}")
    pages = dynamodb.get_paginator("scan")
    seen = [
        item["id"]["S"]
        for segment in range(4)
        for page in pages.paginate(TableName=name, Segment=segment, TotalSegments=4, Limit=3)
        for item in page["Items"]
    ]
    assert sorted(seen) == sorted(f"k{n}" for n in range(40))


@behaviour(DYNAMODB, "documented")
def test_a_limit_ends_a_page_with_a_key(dynamodb: Any, name: str, make: Make) -> None:
    """A scan that reaches its limit says where to go on, also where nothing follows."""
    make()
    put(dynamodb, name, "a")
    page = dynamodb.scan(TableName=name, Limit=1)
    assert page["LastEvaluatedKey"] == {"id": {"S": "a"}}
    assert "LastEvaluatedKey" not in dynamodb.scan(TableName=name, ExclusiveStartKey=page["LastEvaluatedKey"])


@behaviour(DYNAMODB, "documented")
def test_a_segment_needs_its_total(dynamodb: Any, name: str, make: Make) -> None:
    """A scan's segment without its total is refused."""
    make()
    assert refusal(dynamodb.scan, TableName=name, Segment=0) == "ValidationException"


@behaviour(DYNAMODB, "documented")
def test_a_batch_names_a_key_once(dynamodb: Any, name: str, make: Make) -> None:
    """A batch that writes one key twice is refused."""
    make()
    write = {"PutRequest": {"Item": {"id": {"S": "a"}}}}
    assert refusal(dynamodb.batch_write_item, RequestItems={name: [write, write]}) == "ValidationException"


@behaviour(DYNAMODB, "documented")
def test_writes_wait_for_their_condition(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """A write whose condition does not hold changes nothing and leaves no record."""
    stream = make()["LatestStreamArn"]
    item = {"id": {"S": "a"}, "n": {"N": "1"}}
    absent = {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": "id"}}
    dynamodb.put_item(TableName=name, Item=item, **absent)
    assert (
        refusal(dynamodb.put_item, TableName=name, Item=item, **absent) == "ConditionalCheckFailedException"
    )
    old = {"ConditionExpression": "n < :n", "ExpressionAttributeValues": {":n": {"N": "1.0"}}}
    failed = refusal(dynamodb.delete_item, TableName=name, Key={"id": {"S": "a"}}, **old)
    assert failed == "ConditionalCheckFailedException"
    assert len(read(streams, stream)) == 1


@behaviour(DYNAMODB, "documented")
def test_changes_become_records(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """Changes of an item become INSERT, MODIFY and REMOVE in their order, with both images."""
    stream = make()["LatestStreamArn"]
    put(dynamodb, name, "a", n={"N": "1"})
    put(dynamodb, name, "a", n={"N": "2"})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "a"}})
    records = read(streams, stream)
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    changes = [record["dynamodb"] for record in records]
    assert [change.get("OldImage", {}).get("n") for change in changes] == [None, {"N": "1"}, {"N": "2"}]
    assert [change.get("NewImage", {}).get("n") for change in changes] == [{"N": "1"}, {"N": "2"}, None]


@behaviour(DYNAMODB, "documented")
def test_a_no_op_leaves_no_record(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """A write that changes nothing leaves no record."""
    stream = make()["LatestStreamArn"]
    for _ in range(2):
        put(dynamodb, name, "a", n={"N": "1"})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "none"}})
    assert len(read(streams, stream)) == 1


@behaviour(DYNAMODB, "documented")
@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_images_follow_the_view(
    dynamodb: Any, streams: Any, name: str, make: Make, view: str, images: set[str]
) -> None:
    """A stream's view type decides which images its records have."""
    stream = make(view)["LatestStreamArn"]
    for n in "12":
        put(dynamodb, name, "a", n={"N": n})
    change = read(streams, stream)[1]["dynamodb"]
    assert change["StreamViewType"] == view
    assert {"NewImage", "OldImage"} & change.keys() == images


@behaviour(DYNAMODB, "documented")
def test_streams_carry_every_type(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """A stream's image has every type and value of the item."""
    stream = make()["LatestStreamArn"]
    put(dynamodb, name, "a", **EVERY_TYPE)
    (record,) = read(streams, stream)
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "a"}} | EVERY_TYPE


@behaviour(DYNAMODB, "documented, growth recorded")
def test_sequence_numbers_grow(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """Sequence numbers have 21 to 40 digits and grow as numbers."""
    stream = make()["LatestStreamArn"]
    for n in range(20):
        put(dynamodb, name, "a", n={"N": str(n)})
    texts = [record["dynamodb"]["SequenceNumber"] for record in read(streams, stream)]
    assert all(21 <= len(text) <= 40 for text in texts)
    assert [int(text) for text in texts] == sorted({int(text) for text in texts})


@behaviour(DYNAMODB, "documented")
def test_records_say_their_size_and_second(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """A record has its size in bytes, and its time in whole seconds."""
    stream = make()["LatestStreamArn"]
    put(dynamodb, name, "a", n={"N": "1"})
    change = read(streams, stream)[0]["dynamodb"]
    assert change["SizeBytes"] >= 1
    assert change["ApproximateCreationDateTime"].microsecond == 0


@behaviour(DYNAMODB, "documented")
def test_iterators_point_where_they_say(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """AT a sequence number begins with its record, AFTER it with the next."""
    stream = make()["LatestStreamArn"]
    for n in "123":
        put(dynamodb, name, "a", n={"N": n})
    numbers = [record["dynamodb"]["SequenceNumber"] for record in read(streams, stream)]
    for kind, expected in [("AT_SEQUENCE_NUMBER", numbers[1:]), ("AFTER_SEQUENCE_NUMBER", numbers[2:])]:
        found = read(streams, stream, ShardIteratorType=kind, SequenceNumber=numbers[1])
        assert [record["dynamodb"]["SequenceNumber"] for record in found] == expected


@behaviour(DYNAMODB, "documented")
def test_latest_sees_what_comes(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """LATEST sees what is written afterwards."""
    stream = make()["LatestStreamArn"]
    (shard,) = shards(streams, stream)
    iterator = streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="LATEST"
    )["ShardIterator"]
    put(dynamodb, name, "a")
    assert len(streams.get_records(ShardIterator=iterator)["Records"]) == 1


@behaviour(DYNAMODB, "documented")
def test_an_open_shard_has_no_end(streams: Any, make: Make) -> None:
    """An open shard has no EndingSequenceNumber."""
    (shard,) = shards(streams, make()["LatestStreamArn"])
    assert "EndingSequenceNumber" not in shard["SequenceNumberRange"]


@behaviour(DYNAMODB, "documented")
def test_children_are_asked_for(streams: Any, make: Make) -> None:
    """DescribeStream with CHILD_SHARDS lists the children of a shard and nothing else."""
    stream = make()["LatestStreamArn"]
    (shard,) = shards(streams, stream)
    found = streams.describe_stream(
        StreamArn=stream, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard["ShardId"]}
    )
    assert found["StreamDescription"]["Shards"] == []


@behaviour(DYNAMODB, "documented, the missing member recorded")
def test_a_disabled_stream_drains(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """Disabling a stream closes its shards; they stay readable and end without a next iterator."""
    stream = make()["LatestStreamArn"]
    put(dynamodb, name, "a")
    dynamodb.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    (shard,) = shards(streams, stream)
    assert shard["SequenceNumberRange"]["EndingSequenceNumber"]
    iterator = streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found, pages = 0, 0
    while iterator and pages < 10:
        page = streams.get_records(ShardIterator=iterator)
        found, pages, iterator = found + len(page["Records"]), pages + 1, page.get("NextShardIterator")
    assert (found, iterator) == (1, None)


@behaviour(DYNAMODB, "documented")
def test_an_enabled_stream_is_a_new_one(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """Enabling a stream again gives another ARN; the old one is listed and readable beside it."""
    old = make()["LatestStreamArn"]
    put(dynamodb, name, "a")
    dynamodb.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    specification = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    new = dynamodb.update_table(TableName=name, StreamSpecification=specification)
    assert new["TableDescription"]["LatestStreamArn"] != old
    assert len(read(streams, old)) == 1
    assert len(streams.list_streams(TableName=name)["Streams"]) == 2


@behaviour(DYNAMODB, "documented")
def test_a_deleted_tables_stream_stays(dynamodb: Any, streams: Any, name: str, make: Make) -> None:
    """The stream of a deleted table stays readable."""
    stream = make()["LatestStreamArn"]
    put(dynamodb, name, "a")
    dynamodb.delete_table(TableName=name)
    assert len(read(streams, stream)) == 1


@behaviour(DYNAMODB, "documented")
def test_pages_have_their_limits(streams: Any, make: Make) -> None:
    """GetRecords refuses a limit above 1,000."""
    stream = make()["LatestStreamArn"]
    (shard,) = shards(streams, stream)
    iterator = streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    code = refusal(streams.get_records, ShardIterator=iterator, Limit=1001)
    assert code in {"LimitExceededException", "ValidationException"}


@behaviour(DYNAMODB, "documented")
def test_what_is_not_there_is_not_found(streams: Any, make: Make) -> None:
    """A stream or a shard that does not exist is a ResourceNotFoundException."""
    stream = make()["LatestStreamArn"]
    assert refusal(streams.describe_stream, StreamArn=stream[:-4] + "0000") == "ResourceNotFoundException"
    where = {"StreamArn": stream, "ShardIteratorType": "LATEST"}
    shard = "shardId-00000000000000000001-00000000"
    assert refusal(streams.get_shard_iterator, ShardId=shard, **where) == "ResourceNotFoundException"


@behaviour(DYNAMODB, "documented")
def test_a_large_item_is_refused(dynamodb: Any, name: str, make: Make) -> None:
    """An item above 400 KB, or a number of more than 38 digits, is refused."""
    make()
    item = {"id": {"S": "a"}, "text": {"S": "x" * 409_600}}
    assert refusal(dynamodb.put_item, TableName=name, Item=item) == "ValidationException"
    number = {"id": {"S": "a"}, "n": {"N": str(10**38 + 1)}}
    assert refusal(dynamodb.put_item, TableName=name, Item=number) == "ValidationException"
