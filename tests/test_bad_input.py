"""What is wrong outside is a typed error with a useful sentence, or follows a policy; nothing is lost."""

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

import shardarrow as sa
from forger import Forger
from lineages import Lineages, read, rows_of, written
from services import Tables, Twin
from shardarrow.demo.emulator import Emulator

# Nothing here may hang: most tests take a fraction of a second.
pytestmark = pytest.mark.timeout(60)

SECRETS = {
    "access_key_id": "AKIAHIDDENHIDDENHIDD",
    "secret_access_key": "hiddensecret",
    "session_token": "hiddentoken",
}
NO_MORE: dict[str, Any] = {"follow": False, "settle": 0.1}
MISSING = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2020-01-01T00:00:00.000"


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    """Two lineages with 60 changes."""
    orders = Lineages(twin)
    orders.write(60)
    return orders


@pytest.fixture
def forger(twin: Twin) -> Iterator[Forger]:
    with Forger(twin.endpoint_url) as forger:
        yield forger


def failure(source: sa.Source, kind: type[sa.ShardArrowError], **options: Any) -> str:
    """What a stream says when it fails, with all that lies below; secrets are never in it."""
    with pytest.raises(kind) as caught, source.stream(**NO_MORE | options) as stream:
        list(stream)
    said = str(caught.value)
    below: BaseException | None = caught.value
    while below is not None:
        assert "hidden" not in f"{below!r} {below}".lower()
        below = below.__cause__ or below.__context__
    assert "\n" not in said
    return said


# Where and what


@pytest.mark.parametrize("start", ["yesterday", "at:", "after:12@", "latest,earliest"])
def test_an_unknown_start_names_the_known_ones(start: str) -> None:
    with pytest.raises(sa.UsageError, match=r"earliest|sequence|shard"):
        sa.source(f"dynamodb://orders?start={start}").stream()


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
        "arn:aws:dynamodb:us-east-1:123456789012:index/orders",
        "arn:aws:dynamodb:us-east-1:123456789012",
        "arn:",
        "a table with spaces",
        "x" * 2000,
    ],
)
def test_a_name_that_is_no_table_is_refused_before_connecting(arn: str) -> None:
    source = sa.dynamodb(arn, start="earliest", region="us-east-1", endpoint_url="http://127.0.0.1:9")
    assert arn[:20] in failure(source, sa.UsageError)


def test_a_region_that_contradicts_the_arn_is_refused() -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    source = sa.dynamodb(arn, start="earliest", region="us-east-2", endpoint_url="http://127.0.0.1:9")
    said = failure(source, sa.UsageError)
    assert "us-east-2" in said
    assert "eu-west-1" in said


@pytest.mark.parametrize("table", ["missing", MISSING])
def test_what_does_not_exist_is_named(twin: Twin, table: str) -> None:
    source = sa.dynamodb(table, start="earliest", region="us-east-1", endpoint_url=twin.endpoint_url)
    assert table in failure(source, sa.NotFoundError)


def test_a_missing_table_leaves_no_destination(twin: Twin, tmp_path: Path) -> None:
    source = sa.dynamodb("missing", start="earliest", endpoint_url=twin.endpoint_url)
    with pytest.raises(sa.NotFoundError, match="missing"):
        sa.load(source, f"duckdb:///{tmp_path}/shop.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_a_stream_says_how_to_get_one(tables: Tables, emulator: Emulator) -> None:
    table = tables.make(view=None)
    source = sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url)
    said = failure(source, sa.StreamUnusableError)
    assert table in said
    assert "enable" in said


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_mirror_needs_new_images(twin: Twin, tmp_path: Path, view: str) -> None:
    orders = Lineages(twin, view=view)
    orders.write(20)
    destination = f"duckdb:///{tmp_path}/shop.duckdb"
    with pytest.raises(sa.StreamUnusableError, match="new image"):
        sa.load(orders.source(), destination, table="orders", **NO_MORE)
    report = sa.load(orders.source(), destination, table="changes", mode="append", **NO_MORE)
    assert report.rows == len(orders.history())


# Credentials and the way there


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, twin: Twin) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    source = sa.dynamodb("orders", start="earliest", endpoint_url=twin.endpoint_url)
    began = time.monotonic()
    said = failure(source, sa.CredentialsError)
    assert time.monotonic() - began < 15
    assert "access_key_id" in said
    assert "profile" in said


def test_no_region(monkeypatch: pytest.MonkeyPatch, twin: Twin) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    said = failure(sa.dynamodb("orders", start="earliest", endpoint_url=twin.endpoint_url), sa.UsageError)
    assert "region" in said


def test_a_profile_that_is_not_there(twin: Twin) -> None:
    source = sa.dynamodb("orders", start="earliest", profile="nobody", endpoint_url=twin.endpoint_url)
    assert "nobody" in failure(source, sa.ShardArrowError)


@pytest.mark.parametrize("answers", ["refuses", "is silent"])
def test_an_endpoint_that_does_not_answer_fails_within_seconds(answers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if answers == "refuses":
            listener.close()
        source = sa.dynamodb(
            "orders",
            start="earliest",
            endpoint_url=f"http://127.0.0.1:{port}",
            attempt_timeout=0.5,
            operation_timeout=2,
            **SECRETS,
        )
        began = time.monotonic()
        said = failure(source, sa.ServiceConnectionError)
    assert time.monotonic() - began < 15
    assert f"127.0.0.1:{port}" in said


def test_an_endpoint_that_is_no_url() -> None:
    source = sa.dynamodb("orders", start="earliest", endpoint_url="127.0.0.1:8000", **SECRETS)
    assert "endpoint_url" in failure(source, sa.UsageError)


# Checkpoints


def test_a_checkpoint_below_a_file_names_the_path(orders: Lineages, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    said = failure(orders.source(), sa.CheckpointStoreError, checkpoint=file / "orders.ckpt")
    assert str(file / "orders.ckpt") in said


def test_a_database_of_somebody_else_is_left_alone(orders: Lineages, tmp_path: Path) -> None:
    path = tmp_path / "songs.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE songs (title TEXT)")
        database.execute("INSERT INTO songs VALUES ('one')")
    before = path.read_bytes()
    assert str(path) in failure(orders.source(), sa.CheckpointError, checkpoint=path)
    assert path.read_bytes() == before


def checkpointed(orders: Lineages, path: Path) -> None:
    with orders.source().stream(path, **NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history())


@pytest.mark.parametrize("keep", [10, 100, 2000, 5000])
def test_a_checkpoint_that_was_cut_off(orders: Lineages, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "orders.ckpt"
    checkpointed(orders, path)
    path.write_bytes(path.read_bytes()[:keep])
    said = failure(orders.source(), sa.CheckpointCorruptError, checkpoint=path)
    assert str(path) in said
    assert path.stat().st_size == keep


def damage(path: Path, old: str, new: str) -> None:
    """Replaces text in what the checkpoint's rows say."""
    with closing(sqlite3.connect(path)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        changed = 0
        for table in tables:
            for _, column, kind, *_ in list(database.execute(f'PRAGMA table_info("{table}")')):
                if kind.upper() in {"TEXT", "BLOB", "ANY"}:
                    replaced = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'
                    where = f'WHERE instr("{column}", ?)'
                    changed += database.execute(f"{replaced} {where}", (old, new, old)).rowcount
        assert changed, f"{old} is nowhere in the checkpoint"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"shards"', '"sherds"'),
        ('{"after":"', '{"after":"x'),
        ('"finished"', '"surprise"'),
        ('"format":1', '"format":99'),
        ("{", "["),
    ],
)
def test_a_checkpoint_is_read_strictly(orders: Lineages, tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "orders.ckpt"
    orders.roll_over(0)
    checkpointed(orders, path)
    damage(path, old, new)
    said = failure(orders.source(), sa.CheckpointCorruptError, checkpoint=path)
    assert "checkpoint" in said


# Attributes


def test_an_attribute_named_like_a_metadata_column_is_kept_in_rest(
    tables: Tables, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    table = tables.make(keys={"id": "S"})
    for number in range(3):
        tables.put(table, {"id": {"S": str(number)}, "_op": {"S": "mine"}, "_rest": {"N": "1"}})
    source = sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url)
    rows = source.read(settle=0.2).to_pyarrow().to_pylist()
    assert [row["_op"] for row in rows] == ["insert"] * 3
    assert [json.loads(row["_rest"]) for row in rows] == [{"_op": {"S": "mine"}, "_rest": {"N": "1"}}] * 3
    warnings = [record.getMessage() for record in caplog.records if '"_op"' in record.getMessage()]
    assert len(warnings) == 1
    assert "metadata_prefix" in warnings[0]

    other = sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url, metadata_prefix="meta_")
    rows = other.read(settle=0.2).to_pyarrow().to_pylist()
    assert [(row["meta_op"], row["_op"], row["_rest"]) for row in rows] == [("insert", "mine", 1)] * 3


def test_a_key_named_like_a_metadata_column_is_refused(tables: Tables, emulator: Emulator) -> None:
    table = tables.make(keys={"_time": "S"})
    tables.put(table, {"_time": {"S": "noon"}})
    source = sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url)
    said = failure(source, sa.UsageError)
    assert "_time" in said
    assert "metadata_prefix" in said


# Pages that are damaged on their way


DAMAGE: dict[str, dict[str, Any]] = {
    "truncated": {"kind": "truncated"},
    "invalid JSON": {"kind": "invalid_json"},
    "a wrong checksum": {"kind": "wrong_crc"},
    "a lost reply": {"kind": "lost_reply"},
    "a reset": {"kind": "reset"},
    "silence": {"kind": "hang"},
    "a server error": {"kind": "error", "code": "InternalServerError", "status": 500},
    "an unavailable service": {"kind": "error", "code": "ServiceUnavailable", "status": 503},
    "an error of a proxy": {"kind": "error", "code": "", "status": 502},
    "throttling": {"kind": "error", "code": "ThrottlingException"},
    "a limit": {"kind": "error", "code": "LimitExceededException"},
    "an exceeded throughput": {"kind": "error", "code": "ProvisionedThroughputExceededException"},
}
QUICK_CALLS: dict[str, Any] = {"attempt_timeout": 1, "operation_timeout": 5}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_passing_fault_loses_nothing(orders: Lineages, damage: str) -> None:
    # Opening is tried twice, so that it neither fails for one lost answer nor hides that nobody is there.
    for call, times in {"GetRecords": 2, "GetShardIterator": 2, "DescribeStream": 1}.items():
        orders.twin.inject(call, DAMAGE[damage], times=times)
    with orders.source(**QUICK_CALLS).stream(**NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history())
    assert orders.twin.control("counters")["pending_faults"] == []


@pytest.mark.parametrize("damage", ["silence", "throttling"])
def test_a_passing_fault_of_the_table_is_no_fault(orders: Lineages, damage: str) -> None:
    orders.twin.inject("DescribeTable", DAMAGE[damage], times=2)
    with orders.source(**QUICK_CALLS).stream(**NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history())


def test_faults_of_every_kind_in_one_stream_lose_nothing(orders: Lineages) -> None:
    for skip, fault in enumerate(DAMAGE.values()):
        for call in ("GetRecords", "GetShardIterator", "DescribeStream"):
            orders.twin.inject(call, fault, skip=skip % 3)
    orders.twin.inject("GetRecords", {"kind": "error", "code": "ExpiredIteratorException"}, skip=4)
    orders.twin.control("knobs", set={"page_records": 3, "empty_pages": 1})
    orders.roll_over(0)
    orders.write(60, roll_over=0.1)
    with orders.source(**QUICK_CALLS).stream(**NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history())


@pytest.mark.parametrize("damage", ["invalid JSON", "a wrong checksum", "truncated"])
def test_a_page_that_stays_damaged_fails_and_is_never_skipped(orders: Lineages, damage: str) -> None:
    orders.twin.inject("GetRecords", DAMAGE[damage], times=10**6)
    kind = sa.ShardArrowError if damage == "truncated" else sa.BadPageError
    said = failure(orders.source(**QUICK_CALLS, **SECRETS), kind, stall_timeout=2)
    assert "shardId-" in said


# Credentials that are refused in the middle of a stream may be renewed by then, so reading tries on.
@pytest.mark.parametrize(
    ("code", "kind", "later"),
    [
        ("UnrecognizedClientException", sa.CredentialsError, sa.StalledError),
        ("InvalidSignatureException", sa.CredentialsError, sa.StalledError),
        ("ExpiredTokenException", sa.CredentialsError, sa.StalledError),
        ("IncompleteSignature", sa.CredentialsError, sa.CredentialsError),
        ("AccessDeniedException", sa.AccessDeniedError, sa.AccessDeniedError),
        ("ValidationException", sa.InvalidRequestError, sa.InvalidRequestError),
        ("SerializationException", sa.InvalidRequestError, sa.InvalidRequestError),
    ],
)
@pytest.mark.parametrize("call", ["DescribeTable", "GetRecords"])
def test_an_error_that_stays_has_its_class_and_names_the_call(
    orders: Lineages, call: str, code: str, kind: type[sa.ShardArrowError], later: type[sa.ShardArrowError]
) -> None:
    fault = {"kind": "error", "code": code, "status": 400, "message": "as the service says it"}
    orders.twin.inject(call, fault, times=10**6)
    expected = kind if call == "DescribeTable" else later
    said = failure(orders.source(**SECRETS), expected, stall_timeout=1)
    assert call in said
    assert code in said
    assert "as the service says it" in said


@pytest.mark.parametrize("fault", ["a server error", "throttling", "a reset"])
def test_a_shard_that_always_fails_stalls_within_its_time(orders: Lineages, fault: str) -> None:
    orders.twin.inject("GetRecords", DAMAGE[fault], times=10**6)
    began = time.monotonic()
    said = failure(orders.source(), sa.StalledError, stall_timeout=1)
    assert time.monotonic() - began < 30
    assert "shardId-" in said
    assert "stall_timeout" in said


# Records that are no records


def replacing(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


def bad_key(body: bytes) -> bytes:
    """The attribute `n` of key 7 has a type nobody knows, wherever it comes."""
    page = json.loads(body)
    for record in page["Records"]:
        image = record["dynamodb"].get("NewImage", {})
        if record["dynamodb"]["Keys"]["id"]["S"] == "key 7" and "n" in image:
            image["n"] = {"XX": "unknown"}
    return json.dumps(page).encode()


@pytest.fixture
def with_seven(orders: Lineages, forger: Forger) -> sa.Source:
    """A source in which one record has an attribute of an unknown type."""
    orders.dynamodb.put_item(TableName=orders.name, Item={"id": {"S": "key 7"}, "n": {"N": "70000"}})
    orders.write(20)
    forger.change = bad_key
    return orders.source(endpoint_url=forger.endpoint_url)


def is_seven(record: dict[str, Any]) -> bool:
    return json.loads(record["key"])["id"]["S"] == "key 7" and record["event"] != "REMOVE"


def test_an_unknown_attribute_type_fails_at_its_record(with_seven: sa.Source, orders: Lineages) -> None:
    with pytest.raises(sa.BadRecordError, match="XX") as caught, with_seven.stream(**NO_MORE) as stream:
        list(stream)
    bad = [record for record in orders.history() if is_seven(record)]
    assert any(record["sequence"] in str(caught.value) for record in bad)
    assert caught.value.shard in {record["shard"] for record in bad}


def test_an_unknown_attribute_type_may_be_set_aside(
    with_seven: sa.Source, orders: Lineages, tmp_path: Path
) -> None:
    path = tmp_path / "orders.ckpt"
    with with_seven.stream(path, on_bad_record="quarantine", **NO_MORE) as stream:
        rows = rows_of(stream)
        set_aside = stream.quarantined()
    bad = [record for record in orders.history() if is_seven(record)]
    good = [record for record in orders.history() if not is_seven(record)]
    assert read(rows) == written(good)
    assert {record.sequence for record in set_aside} == {record["sequence"] for record in bad}
    assert all(json.loads(record.raw)["dynamodb"]["NewImage"]["n"] for record in set_aside)
    assert all("XX" in record.reason for record in set_aside)


def test_a_load_keeps_what_it_sets_aside_with_the_data(
    with_seven: sa.Source, orders: Lineages, tmp_path: Path
) -> None:
    file = tmp_path / "shop.duckdb"
    options: dict[str, Any] = {"mode": "append", "table": "changes", "on_bad_record": "quarantine"}
    report = sa.load(with_seven, f"duckdb:///{file}", **options, **NO_MORE)
    bad = [record for record in orders.history() if is_seven(record)]
    assert report.quarantined == len(bad)
    assert report.rows == len(orders.history()) - len(bad)
    with duckdb.connect(str(file), read_only=True) as connection:
        kept = connection.execute("SELECT shard, sequence FROM _shardarrow_quarantine").fetchall()
    assert sorted(kept) == sorted((record["shard"], record["sequence"]) for record in bad)


@pytest.mark.parametrize(
    "change",
    {
        "no JSON": lambda body: body[:-2],
        "no records": replacing(b'"Records"', b'"Rekords"'),
        "records that are a number": lambda body: b'{"Records": 7}',
        "a list": lambda body: b"[]",
        "an empty body": lambda body: b"",
        "bytes that are no text": replacing(b"key", b"\xff\xfe\x00"),
        "a page of HTML": lambda body: b"<html>Sign in to the hotel's network</html>",
    }.items(),
    ids=lambda change: change[0],
)
def test_a_page_that_is_no_page_fails_and_is_never_skipped(
    orders: Lineages, forger: Forger, change: tuple[str, Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    forger.change = change[1]
    path = tmp_path / "orders.ckpt"
    source = orders.source(endpoint_url=forger.endpoint_url)
    failure(source, sa.ShardArrowError, checkpoint=path, stall_timeout=2)
    forger.change = lambda body: body
    with source.stream(path, **NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history())
        assert stream.gaps() == []


NESTED = b'{"L": [' * 5_000 + b'{"S": "deep"}' + b"]}" * 5_000


@pytest.mark.parametrize(
    "damage",
    {
        "neither keys nor image": lambda record: record.update(dynamodb={"SequenceNumber": "1"}),
        "no sequence number": lambda record: record["dynamodb"].pop("SequenceNumber"),
        "a sequence number that is none": lambda record: record["dynamodb"].update(SequenceNumber="x"),
        "an unknown event": lambda record: record.update(eventName="UPSERT"),
        "no body": lambda record: record.pop("dynamodb"),
        "a number that is none": lambda record: record["dynamodb"]["NewImage"].update(n={"N": "1,5"}),
        "two types": lambda record: record["dynamodb"]["NewImage"].update(n={"N": "1", "S": "1"}),
        "a key of another type": lambda record: record["dynamodb"]["Keys"].update(id={"N": "1"}),
        "no base64": lambda record: record["dynamodb"]["NewImage"].update(b={"B": "%%%"}),
        "nesting without end": lambda record: record["dynamodb"]["NewImage"].update(n="@nested@"),
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_record_that_is_none_is_set_aside_or_fails_and_the_others_are_kept(
    orders: Lineages, forger: Forger, damage: tuple[str, Callable[[Any], object]], tmp_path: Path
) -> None:
    orders.dynamodb.put_item(TableName=orders.name, Item={"id": {"S": "the last"}, "n": {"N": "1"}})
    history = orders.history()

    def change(body: bytes) -> bytes:
        page = json.loads(body)
        for record in page["Records"]:
            if record["dynamodb"]["Keys"]["id"]["S"] == "the last":
                damage[1](record)
        return json.dumps(page).encode().replace(b'"@nested@"', NESTED)

    forger.change = change
    source = orders.source(endpoint_url=forger.endpoint_url)
    failure(source, sa.ShardArrowError)
    with source.stream(tmp_path / "c", on_bad_record="quarantine", **NO_MORE) as stream:
        rows = rows_of(stream)
        assert len(stream.quarantined()) == 1
    assert read(rows) == written(history[:-1])
