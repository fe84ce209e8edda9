"""A table and then its changes, against the emulator: the scan, ready, reading, streams that are off."""

import asyncio
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

import shardarrow as sa
from services import Item, Tables
from shardarrow import ready as ready_module
from shardarrow.cli import main
from shardarrow.demo.emulator import Emulator

Make = Callable[..., sa.Source]


def item(number: int, **attributes: dict[str, Any]) -> Item:
    return {"pk": {"S": f"key {number}"}, "n": {"N": str(number)}, "x": {"S": "x" * 10}, **attributes}


@pytest.fixture
def orders(emulator: Emulator, tables: Tables) -> Make:
    """`orders(5, view=…)`: the source of a new table that holds items 0 to 4."""

    def orders(items: int = 0, view: str | None = "NEW_AND_OLD_IMAGES", **options: Any) -> sa.Source:
        table = tables.make(keys={"pk": "S"}, view=view)
        tables.write(table, ({"PutRequest": {"Item": item(number)}} for number in range(items)))
        return sa.dynamodb(table, endpoint_url=emulator.endpoint_url, **options)

    return orders


Calls = Callable[[Callable[[str], object]], list[dict[str, Any]]]


@pytest.fixture
def calls(emulator: Emulator) -> Calls:
    """`calls(work)`: what `work` asks of Scan, given an address that passes everything on."""

    def calls(work: Callable[[str], object]) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        class Passing(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["X-Amz-Target"].endswith(".Scan"):
                    asked.append(json.loads(body))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                request = urllib.request.Request(emulator.endpoint_url, data=body, headers=headers)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    said = answer.read()
                    self.send_response(answer.status)
                    for name in ("Content-Type", "X-Amz-Crc32"):
                        if answer.headers[name]:
                            self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as server:
            threading.Thread(target=server.serve_forever).start()
            try:
                work(f"http://127.0.0.1:{server.server_port}")
            finally:
                server.shutdown()
        assert asked, "nothing was scanned"
        return asked

    return calls


def rows(*batches: sa.Batch) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pyarrow().to_pylist()]


def scanned(*batches: sa.Batch) -> list[int]:
    return sorted(row["n"] for row in rows(*batches) if row["_op"] == "snapshot")


def state(*batches: sa.Batch) -> dict[str, int]:
    """What a consumer has that applies every row in order."""
    held: dict[str, int] = {}
    for row in rows(*batches):
        if row["_op"] == "remove":
            held.pop(row["pk"], None)
        else:
            held[row["pk"]] = row["n"]
    return held


# Streams


async def test_a_stream_gives_the_items_and_then_the_changes(orders: Make, tables: Tables) -> None:
    source = orders(20)
    async with source.stream(settle=0.3, poll_interval=0.05) as stream:
        batches = [await anext(stream)]
        while len(scanned(*batches)) < 20:
            batches.append(await anext(stream))
        assert scanned(*batches) == list(range(20))
        assert {batch.epoch for batch in batches} == {1}
        tables.put(source.table, item(3, n={"N": "333"}))
        while rows(batches[-1])[-1]["n"] != 333:
            batches.append(await anext(stream))
    assert rows(batches[-1])[-1]["_op"] == "modify"
    assert state(*batches)["key 3"] == 333


def test_a_bounded_stream_gives_the_items_then_the_changes_and_ends_ready(
    orders: Make, tables: Tables
) -> None:
    source = orders(30, segments=3)
    tables.dynamodb.delete_item(TableName=source.table, Key={"pk": {"S": "key 7"}})
    with source.stream(follow=False, settle=0.3) as stream:
        batches = list(stream)
        assert stream.ready
        found = stream.metrics()["snapshot"]
    assert scanned(*batches) == [number for number in range(30) if number != 7]
    assert state(*batches) == {f"key {n}": n for n in range(30) if n != 7}
    assert (found["segments"], found["segments_done"], found["ready"]) == (3, 3, True)
    assert (found["scanned"], found["slice"], found["seconds_left"]) == (29, "done", 0)
    assert sum(segment["scanned"] for segment in found["by_segment"]) == 29
    assert all(segment["done"] for segment in found["by_segment"])


def test_rows_of_a_scan_carry_the_attributes_of_changes(orders: Make) -> None:
    with orders(1).stream(follow=False, settle=0.3) as stream:
        [snapshot, insert] = rows(*stream)
    assert (snapshot["_op"], insert["_op"]) == ("snapshot", "insert")
    assert [snapshot[name] for name in ("pk", "n", "x")] == [insert[name] for name in ("pk", "n", "x")]
    assert snapshot["_sequence"] is None


def test_many_slices_give_the_same_items(orders: Make, tables: Tables) -> None:
    source = orders()
    big = {"S": "x" * 100_000}
    tables.write(source.table, ({"PutRequest": {"Item": item(n, x=big)}} for n in range(60)))
    with source.stream(follow=False, settle=0.1, snapshot_slice=0.001) as stream:
        batches = list(stream)
    assert scanned(*batches) == list(range(60))
    assert state(*batches) == {f"key {n}": n for n in range(60)}


def test_a_scan_goes_on_from_the_checkpoint(orders: Make, tables: Tables) -> None:
    source, store = orders(), sa.MemoryStore()
    big = {"S": "x" * 100_000}
    tables.write(source.table, ({"PutRequest": {"Item": item(n, x=big)}} for n in range(60)))
    options: dict[str, Any] = {"batch_rows": 5, "snapshot_slice": 0.001, "settle": 0.1, "commit": "manual"}
    with source.stream(store, follow=True, poll_interval=0.02, **options) as stream:
        first = next(stream)
        stream.commit(first)
    assert first.to_pyarrow()["_op"].to_pylist()[0] == "snapshot"
    with source.stream(store, follow=False, **options) as stream:
        rest = list(stream)
        stream.commit()
    assert sorted(scanned(first) + scanned(*rest)) == list(range(60))
    with source.stream(store, follow=False, **options) as stream:
        assert scanned(*stream) == []
        assert stream.ready


# Ready


async def test_ready_comes_without_a_further_record(orders: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shardarrow")
    async with orders(3).stream(settle=0.3, poll_interval=0.05) as stream:
        assert not stream.ready
        taking = asyncio.create_task(take_all(stream))
        async with asyncio.timeout(30):
            await stream.wait_ready()
        assert stream.ready
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    assert stream.ready
    said = [(r.levelname, r.getMessage()) for r in caplog.records if "ready" in r.getMessage()]
    assert [level for level, _ in said] == ["INFO"]


async def take_all(stream: sa.Stream) -> None:
    async for _ in stream:
        pass


@pytest.fixture
def taker() -> Iterator[Callable[[sa.Stream], None]]:
    """Takes the batches of a stream in a thread that ends with the stream."""
    threads: list[threading.Thread] = []

    def take(stream: sa.Stream) -> None:
        def all_there_are() -> None:
            with pytest.raises(sa.ClosedError):
                for _ in stream:
                    pass

        threads.append(threading.Thread(target=all_there_are))
        threads[-1].start()

    yield take
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_thread_waits_for_ready_beside_the_one_that_takes(
    orders: Make, taker: Callable[[sa.Stream], None]
) -> None:
    with orders(3).stream(settle=0.3, poll_interval=0.05) as stream:
        taker(stream)
        stream.wait_ready_blocking(timeout=30)
        assert stream.ready


def test_an_empty_table_is_ready_with_nobody_taking(orders: Make) -> None:
    with orders().stream(settle=0.3, poll_interval=0.05) as stream:
        stream.wait_ready_blocking(timeout=30)
        assert stream.metrics()["snapshot"]["scanned"] == 0


def test_waiting_for_ready_while_nobody_takes_says_so(
    orders: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready_module, "_PATIENCE", 0.05)
    with orders(3).stream(settle=0.1, poll_interval=0.01) as stream:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="batches are taken"):
            stream.wait_ready_blocking(timeout=0.5)
        assert time.monotonic() - began < 10
        assert not stream.ready
    said = [record.getMessage() for record in caplog.records if "nobody has taken" in record.getMessage()]
    assert len(said) == 1


async def test_waiting_for_ready_in_a_loop_says_so_as_well(
    orders: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready_module, "_PATIENCE", 0.05)
    async with orders(3).stream(settle=0.1, poll_interval=0.01) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stream.wait_ready()
    assert any("nobody has taken" in record.getMessage() for record in caplog.records)


async def test_waiting_for_ready_hears_that_the_stream_is_closed(orders: Make) -> None:
    stream = await orders(3).stream(settle=0.3).__aenter__()
    waiting = asyncio.create_task(stream.wait_ready())
    await asyncio.sleep(0)
    await stream.aclose()
    with pytest.raises(sa.ClosedError):
        await asyncio.wait_for(waiting, 20)


def test_a_stream_that_began_elsewhere_is_ready_when_it_is_open(orders: Make) -> None:
    with orders(1, start="earliest").stream() as stream:
        assert stream.ready
        assert stream.metrics()["snapshot"] is None


def test_ready_is_remembered_with_the_checkpoint(orders: Make) -> None:
    source, store = orders(3), sa.MemoryStore()
    with source.stream(store, follow=False, settle=0.3) as stream:
        assert len(scanned(*stream)) == 3
    with source.stream(store) as stream:
        assert stream.ready


# Reading


def test_read_is_the_table_without_its_changes(orders: Make, tables: Tables) -> None:
    source = orders(5)
    tables.put(source.table, item(2, n={"N": "22"}))
    table = source.read().to_pyarrow()
    assert sorted(table["n"].to_pylist()) == [0, 1, 3, 4, 22]
    assert set(table["_op"].to_pylist()) == {"snapshot"}


async def test_read_needs_no_stream(orders: Make) -> None:
    source = orders(5, view=None)
    assert len(source.read()) == len(await source.read_async()) == 5


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_read_does_not_mind_what_the_stream_carries(orders: Make, view: str) -> None:
    assert len(orders(2, view=view).read()) == 2


def test_read_of_an_empty_table_has_its_columns(orders: Make) -> None:
    table = orders(view=None).read()
    assert len(table) == 0
    assert {"_op", "pk"} <= set(table.schema.names)


@pytest.mark.parametrize("segments", [None, 1, 4])
@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_a_limit_is_the_most_rows(orders: Make, segments: int | None, limit: int) -> None:
    source = orders(20, segments=segments)
    assert len(source.read(limit=limit, batch_rows=3)) == min(limit, 20)


def test_a_limit_is_pushed_down_to_the_scan(orders: Make, calls: Calls) -> None:
    source = orders(20)
    asked = calls(lambda endpoint: sa.dynamodb(source.table, endpoint_url=endpoint).read(limit=4))
    assert {call["Limit"] for call in asked} == {4}


def test_a_limit_counts_changes_too(orders: Make) -> None:
    source = orders(9, start="earliest")
    table = source.read(limit=4, settle=0.2).to_pyarrow()
    assert (table.num_rows, set(table["_op"].to_pylist())) == (4, {"insert"})


def test_columns_are_pushed_down_to_the_scan_with_the_keys(orders: Make, calls: Calls) -> None:
    source = orders(2)

    def read(endpoint: str) -> None:
        table = sa.dynamodb(source.table, endpoint_url=endpoint, columns=["n"]).read().to_pyarrow()
        assert [name for name in table.column_names if not name.startswith("_")] == ["pk", "n"]
        assert sorted(table["pk"].to_pylist()) == ["key 0", "key 1"]

    for call in calls(read):
        assert set(call["ExpressionAttributeNames"].values()) == {"pk", "n"}
        assert call["ConsistentRead"] is True


def test_read_exports_itself_any_number_of_times(orders: Make) -> None:
    table = orders(3).read()
    assert [pyarrow.table(table).num_rows for _ in range(2)] == [3, 3]


# Streams that cannot follow


def test_a_table_without_a_stream_says_how_to_turn_it_on(orders: Make) -> None:
    with pytest.raises(sa.StreamUnusableError) as caught, orders(1, view=None).stream():
        pass
    for words in ("update-table", "StreamEnabled=true", "enable_stream=True", "--enable-stream", "read()"):
        assert words in str(caught.value)


def test_the_stream_is_turned_on_on_request(orders: Make, tables: Tables) -> None:
    source = orders(3, view=None, enable_stream=True)
    with source.stream(settle=0.3, poll_interval=0.05) as stream:
        batches = [next(stream)]
        tables.put(source.table, item(9))
        while 9 not in (row["n"] for row in rows(*batches)):
            batches.append(next(stream))
    assert scanned(*batches)[:3] == [0, 1, 2]
    described = tables.dynamodb.describe_table(TableName=source.table)["Table"]
    assert described["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_a_stream_that_is_on_is_left_as_it_is(orders: Make, tables: Tables) -> None:
    source = orders(1, view="NEW_IMAGE", enable_stream=True)
    before = tables.dynamodb.describe_table(TableName=source.table)["Table"]["LatestStreamArn"]
    with source.stream(follow=False, settle=0.2) as stream:
        assert scanned(*stream) == [0]
    table = tables.dynamodb.describe_table(TableName=source.table)["Table"]
    assert (table["LatestStreamArn"], table["StreamSpecification"]["StreamViewType"]) == (before, "NEW_IMAGE")


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_stream_without_new_images_cannot_follow_a_snapshot(orders: Make, view: str) -> None:
    source = orders(1, view=view)
    with pytest.raises(sa.StreamUnusableError, match=view), source.stream():
        pass
    changes = sa.dynamodb(source.table, start="earliest", endpoint_url=source.endpoint_url)
    with pytest.raises(sa.StreamUnusableError, match="resnapshot"), changes.stream(on_gap="resnapshot"):
        pass
    with changes.stream(follow=False, settle=0.2) as stream:
        assert len(rows(*stream)) == 1


def test_a_stream_named_by_its_arn_follows_a_snapshot_of_its_table(orders: Make, tables: Tables) -> None:
    source = orders(3)
    arn = tables.dynamodb.describe_table(TableName=source.table)["Table"]["LatestStreamArn"]
    named = sa.dynamodb(arn, endpoint_url=source.endpoint_url)
    with named.stream(follow=False, settle=0.3) as stream:
        assert scanned(*stream) == [0, 1, 2]
    assert len(named.read()) == 3


def test_an_older_stream_of_a_table_cannot_follow_its_snapshot(orders: Make, tables: Tables) -> None:
    source = orders(1)
    arn = renew_stream(tables, source.table)
    older = sa.dynamodb(arn, endpoint_url=source.endpoint_url)
    with pytest.raises(sa.UsageError, match="name the table"), older.stream():
        pass


def renew_stream(tables: Tables, table: str) -> str:
    """Turns the stream off and on again, and gives the ARN of the one that was."""
    arn: str = tables.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    off, on = {"StreamEnabled": False}, {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    tables.dynamodb.update_table(TableName=table, StreamSpecification=off)
    tables.dynamodb.update_table(TableName=table, StreamSpecification=on)
    return arn


# Gaps


def test_a_table_is_scanned_again_after_its_stream_was_replaced(orders: Make, tables: Tables) -> None:
    source, store = orders(3), sa.MemoryStore()
    options: dict[str, Any] = {"follow": False, "settle": 0.3}
    with source.stream(store, **options) as stream:
        assert scanned(*stream) == [0, 1, 2]
    off = {"StreamEnabled": False}
    tables.dynamodb.update_table(TableName=source.table, StreamSpecification=off)
    tables.put(source.table, item(7))
    tables.dynamodb.delete_item(TableName=source.table, Key={"pk": {"S": "key 0"}})
    renew_stream(tables, source.table)
    with pytest.raises(sa.GapError, match="resnapshot"), source.stream(store, **options) as stream:
        list(stream)
    with source.stream(store, on_gap="resnapshot", **options) as stream:
        batches = list(stream)
        assert stream.ready
        assert len(stream.gaps()) >= 1
    assert scanned(*batches) == [1, 2, 7]
    assert {batch.epoch for batch in batches if scanned(batch)} == {2}
    with source.stream(store, **options) as stream:
        assert scanned(*stream) == []
        assert stream.ready


# The command line


def test_the_command_reads_a_table_without_a_stream(
    orders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = orders(9, view=None)
    url, out = f"dynamodb://{source.table}?endpoint_url={source.endpoint_url}", tmp_path / "out.parquet"
    assert main(["read", url, str(out)]) == 0
    assert sorted(parquet.read_table(out)["n"].to_pylist()) == list(range(9))
    assert main(["read", url, "--limit", "4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 4
    assert main(["tail", url, "--start", "earliest", "--once"]) == 1
    assert "--enable-stream" in capsys.readouterr().err
    assert main(["tail", url, "--start", "earliest", "--once", "--settle", "0.2", "--enable-stream"]) == 0
    assert main(["read", url, "--limit", "0"]) == 2
    assert "limit=0" in capsys.readouterr().err
