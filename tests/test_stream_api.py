"""Streams from Python, against the emulator: iterating, committing, cancelling, reading."""

import asyncio
import itertools
import logging
import os
import random
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pytest
import uvloop

import shardarrow as sa
from services import Tables
from shardarrow import _native
from shardarrow.demo.emulator import Emulator

Orders = Callable[..., sa.Source]


@pytest.fixture
def put(tables: Tables) -> Callable[[str, range], None]:
    """Puts one item per number, in order."""

    def put(table: str, numbers: range) -> None:
        tables.put(table, *({"pk": {"S": "a"}, "n": {"N": str(number)}} for number in numbers))

    return put


@pytest.fixture
def orders(emulator: Emulator, make_table: Callable[..., str], put: Callable[..., None]) -> Orders:
    """`orders(5)`: the source of a new table with five changes, n = 0 to 4."""

    def orders(changes: int = 0, **options: Any) -> sa.Source:
        table = make_table(keys={"pk": "S", "n": "N"})
        put(table, range(changes))
        return sa.dynamodb(table, endpoint_url=emulator.endpoint_url, **{"start": "earliest", **options})

    return orders


def numbers(*batches: sa.Batch) -> list[int]:
    return [row["n"] for batch in batches for row in batch.to_pyarrow().to_pylist()]


def rest(source: sa.Source, checkpoint: Any) -> list[int]:
    """What a new stream with this checkpoint still gives."""
    with source.stream(checkpoint, follow=False, settle=0.2, commit="manual") as stream:
        return numbers(*stream)


# Iterating


async def test_async_iteration_gives_every_change_in_order(orders: Orders) -> None:
    async with orders(5).stream(follow=False, settle=0.2) as stream:
        batches = [batch async for batch in stream]
    assert numbers(*batches) == [0, 1, 2, 3, 4]


def test_plain_iteration_gives_every_change_in_order(orders: Orders) -> None:
    with orders(5).stream(follow=False, settle=0.2) as stream:
        batches = list(stream)
        with pytest.raises(StopIteration):
            next(stream)
    assert numbers(*batches) == [0, 1, 2, 3, 4]


async def test_both_forms_may_take_turns_inside_a_running_loop(orders: Orders) -> None:
    async with orders(4).stream(batch_rows=1) as stream:
        got = [await anext(stream), next(stream), await anext(stream), next(stream)]
    assert numbers(*got) == [0, 1, 2, 3]


async def test_plain_form_works_inside_a_running_loop(orders: Orders) -> None:
    with orders(2).stream() as stream:
        assert numbers(next(stream)) == [0, 1]


def test_uvloop(orders: Orders) -> None:
    source = orders(20)

    async def take() -> list[int]:
        async with source.stream(batch_rows=1, follow=False, settle=0.2) as stream:
            return numbers(*[batch async for batch in stream])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(take()) == list(range(20))


def test_one_stream_may_be_used_from_one_loop_after_another(orders: Orders) -> None:
    stream = orders(2).stream(batch_rows=1)
    with stream:
        assert numbers(asyncio.run(anext_of(stream))) == [0]
        assert numbers(asyncio.run(anext_of(stream))) == [1]


async def anext_of(stream: sa.Stream) -> sa.Batch:
    return await anext(stream)


async def is_waiting(stream: sa.Stream) -> None:
    async with asyncio.timeout(20):
        while stream._ear is None or not stream._waiting.locked():  # noqa: ASYNC110 (nobody sets an event)
            await asyncio.sleep(0)


async def all_are_ready(stream: sa.Stream, records: int) -> None:
    async with asyncio.timeout(20):
        while stream.metrics().get("records") != records:  # noqa: ASYNC110 (nobody sets an event)
            await asyncio.sleep(0)


async def test_closing_wakes_the_one_who_waits(orders: Orders) -> None:
    stream = await orders().stream().__aenter__()
    waiting = asyncio.create_task(anext_of(stream))
    await is_waiting(stream)
    await stream.aclose()
    with pytest.raises(sa.ClosedError):
        await asyncio.wait_for(waiting, 20)
    assert stream._ear is None


async def test_a_change_made_while_waiting_wakes_the_loop(orders: Orders, put: Callable[..., None]) -> None:
    source = orders()
    async with source.stream(poll_interval=0.01) as stream:
        waiting = asyncio.create_task(anext_of(stream))
        await is_waiting(stream)
        await asyncio.to_thread(put, source.table, range(1))
        assert numbers(await asyncio.wait_for(waiting, 20)) == [0]


async def test_a_second_waiter_is_refused(orders: Orders) -> None:
    async with orders().stream() as stream:
        first = asyncio.create_task(anext_of(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already waiting"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="already waiting"):
            next(stream)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


def test_a_second_thread_is_refused(orders: Orders) -> None:
    with orders().stream() as stream:
        refused: list[BaseException] = []
        inside = threading.Event()

        def wait() -> None:
            inside.set()
            with pytest.raises(sa.ClosedError):
                next(stream)

        thread = threading.Thread(target=wait)
        thread.start()
        inside.wait()
        deadline = time.monotonic() + 20
        while not stream._waiting.locked():
            assert time.monotonic() < deadline
        try:
            next(stream)
        except RuntimeError as error:
            refused.append(error)
        stream.close()
        thread.join(20)
        assert not thread.is_alive()
    assert "already waiting" in str(refused[0])


async def test_cancelling_loses_nothing_and_repeats_nothing(
    orders: Orders, tmp_path: Path, scale: Callable[[int], int]
) -> None:
    changes, cancellations = scale(1000), 0
    source = orders(changes)
    chance = random.Random(7)
    got: list[int] = []
    async with source.stream(tmp_path / "c", batch_rows=1, commit="manual", poll_interval=0.001) as stream:
        while len(got) < changes or cancellations < changes:
            try:
                async with asyncio.timeout(chance.random() * 0.002):
                    batch = await anext(stream)
            except TimeoutError:
                cancellations += 1
                continue
            got += numbers(batch)
            await stream.commit_async(batch)
    assert got == list(range(changes))
    assert rest(source, tmp_path / "c") == []


async def test_a_timeout_fires_while_batches_are_always_ready(orders: Orders) -> None:
    taken = 0
    async with orders(300).stream(batch_rows=1) as stream:
        await all_are_ready(stream, 300)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                async for _ in stream:
                    time.sleep(0.001)  # a body that never lets the loop run  # noqa: ASYNC251
                    taken += 1
    assert taken < 300, "the timeout was heard only when no batch was left"


async def test_other_tasks_get_turns_while_batches_are_always_ready(orders: Orders) -> None:
    turns: list[float] = []

    async def tick() -> None:
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0)

    async with orders(300).stream(batch_rows=1) as stream:
        await all_are_ready(stream, 300)
        ticking = asyncio.create_task(tick())
        for _ in range(250):
            await anext(stream)
            time.sleep(0.0005)  # noqa: ASYNC251
        ticking.cancel()
    pauses = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert len(turns) > 10
    assert sorted(pauses)[len(pauses) * 9 // 10] < 0.02


# Committing


async def test_asking_for_the_next_finishes_a_batch(orders: Orders) -> None:
    source, store = orders(3), sa.MemoryStore()
    with pytest.raises(ValueError, match="stop"):
        async with source.stream(store, batch_rows=1) as stream:
            async for batch in stream:
                if numbers(batch) == [2]:
                    raise ValueError("stop")
    assert rest(source, store) == [2]


async def test_leaving_without_an_exception_finishes_the_batch_in_hand(orders: Orders) -> None:
    source, store = orders(3), sa.MemoryStore()
    async with source.stream(store, batch_rows=1) as stream:
        async for _ in stream:
            break
    assert rest(source, store) == [1, 2]

    def first() -> list[int]:
        with source.stream(again, batch_rows=1) as stream:
            for batch in stream:
                return numbers(batch)
        raise AssertionError

    again = sa.MemoryStore()
    assert first() == [0]
    assert rest(source, again) == [1, 2]


def test_the_end_of_the_loop_finishes_the_last_batch(orders: Orders) -> None:
    source, store = orders(3), sa.MemoryStore()
    with source.stream(store, batch_rows=1, follow=False, settle=0.2) as stream:
        for _ in stream:
            pass
    assert rest(source, store) == []


async def test_cancellation_leaves_the_batch_in_hand_undone(orders: Orders) -> None:
    source, store = orders(2), sa.MemoryStore()
    inside = asyncio.Event()

    async def consume() -> None:
        async with source.stream(store, batch_rows=1) as stream:
            async for _ in stream:
                inside.set()
                await asyncio.sleep(60)

    task = asyncio.create_task(consume())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rest(source, store) == [0, 1]


def test_manual_commit_of_a_batch_covers_all_before_it(orders: Orders, tmp_path: Path) -> None:
    source, path = orders(4), tmp_path / "orders.ckpt"
    with source.stream(path, batch_rows=1, commit="manual") as stream:
        _first, second, _third = next(stream), next(stream), next(stream)
        stream.commit(second)
    assert rest(source, path) == [2, 3]


def test_manual_commit_without_a_batch_covers_all_handed_out(orders: Orders) -> None:
    source, store = orders(3), sa.MemoryStore()
    with source.stream(store, batch_rows=1, commit="manual") as stream:
        stream.commit()
        next(stream)
        next(stream)
        stream.commit()
    assert rest(source, store) == [2]


def test_what_is_committed_alone_is_saved_when_the_front_is_unbroken(orders: Orders) -> None:
    source, store = orders(3), sa.MemoryStore()
    with source.stream(store, batch_rows=1, commit="manual") as stream:
        first, second = next(stream), next(stream)
        stream.commit(second, alone=True)
        assert stream.metrics()["held"] >= 2
    assert rest(source, store) == [0, 1, 2]
    with source.stream(store, batch_rows=1, commit="manual") as stream:
        first, second = next(stream), next(stream)
        stream.commit(second, alone=True)
        stream.commit(first, alone=True)
    assert rest(source, store) == [2]


def test_manual_leaves_what_was_not_committed(orders: Orders) -> None:
    source, store = orders(2), sa.MemoryStore()
    with source.stream(store, commit="manual") as stream:
        next(stream)
    assert rest(source, store) == [0, 1]


def test_a_commit_is_durable_when_it_returns(orders: Orders, tmp_path: Path) -> None:
    source, path = orders(2), tmp_path / "orders.ckpt"
    with source.stream(path, batch_rows=1, commit="manual", commit_interval=3600) as stream:
        stream.commit(next(stream))
        copy = tmp_path / "copy.ckpt"
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert rest(source, copy) == [1]


def test_a_commit_that_cannot_be_meant_is_refused(orders: Orders) -> None:
    source = orders(2)
    with source.stream(batch_rows=1) as stream, pytest.raises(sa.UsageError, match="manual"):
        stream.commit(next(stream))
    with (
        source.stream(batch_rows=1, commit="manual") as stream,
        source.stream(batch_rows=1, commit="manual") as other,
    ):
        with pytest.raises(sa.UsageError, match="this stream"):
            stream.commit(next(other))
        with pytest.raises(sa.UsageError, match="alone"):
            stream.commit(alone=True)


def test_done_batches_become_durable_when_no_batch_is_ready(orders: Orders, tmp_path: Path) -> None:
    source, path = orders(1), tmp_path / "orders.ckpt"

    def consume(stream: sa.Stream) -> None:
        with pytest.raises(sa.ClosedError):
            next(stream)

    with source.stream(path, commit_interval=3600, poll_interval=0.01) as stream:
        next(stream)
        waiting = threading.Thread(target=consume, args=[stream])
        waiting.start()
        deadline = time.monotonic() + 20
        while '"after"' not in position_in(path):
            assert time.monotonic() < deadline, "it never became durable"
        stream.close()
        waiting.join(20)


def position_in(path: Path) -> str:
    return "".join(checkpoint for _, checkpoint, *_ in _native.inspect_checkpoints(path))


# Checkpoints


def test_consumers_share_a_store_by_name(orders: Orders, tmp_path: Path) -> None:
    source, path = orders(2), tmp_path / "orders.ckpt"
    options: dict[str, Any] = {"batch_rows": 1}
    with source.stream(path, "one", **options) as one, source.stream(path, "two", **options) as two:
        assert numbers(next(one), next(two)) == [0, 0]
        with pytest.raises(sa.CheckpointBusyError), source.stream(path, "one"):
            pass


def test_a_name_is_free_again_after_closing(orders: Orders, tmp_path: Path) -> None:
    source = orders()
    for _ in range(3):
        with source.stream(tmp_path / "orders.ckpt"):
            pass


def test_another_table_under_a_used_name_is_refused(orders: Orders, tmp_path: Path) -> None:
    path = tmp_path / "orders.ckpt"
    with orders().stream(path):
        pass
    with pytest.raises(sa.CheckpointMismatchError, match="another"), orders().stream(path):
        pass


def test_a_corrupt_checkpoint_is_an_error_and_stays_as_it_is(orders: Orders, tmp_path: Path) -> None:
    path = tmp_path / "orders.ckpt"
    path.write_bytes(b"this is not a database, it is far too friendly" * 100)
    before = path.read_bytes()
    with pytest.raises(sa.CheckpointCorruptError), orders().stream(path):
        pass
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(orders: Orders, tmp_path: Path) -> None:
    source = orders()
    with (
        pytest.raises(sa.CheckpointStoreError, match="missing") as caught,
        source.stream(tmp_path / "missing" / "orders.ckpt"),
    ):
        pass
    assert isinstance(caught.value, OSError)


def test_a_folder_nobody_may_write_to_is_an_error(orders: Orders, tmp_path: Path) -> None:
    folder = tmp_path
    if os.geteuid() == 0:  # who may write to every folder of a disk
        folder = Path("/proc")
    else:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(sa.CheckpointStoreError), orders().stream(folder / "orders.ckpt"):
        pass


# Failing


async def test_a_missing_table_fails_at_once(emulator: Emulator) -> None:
    source = sa.dynamodb("there-is-none", start="earliest", endpoint_url=emulator.endpoint_url)
    began = time.monotonic()
    for opening in (source.stream().__aenter__(), asyncio.to_thread(source.stream().__enter__)):
        with pytest.raises(sa.NotFoundError, match="there-is-none"):
            await opening
    with pytest.raises(sa.NotFoundError):
        source.shards()
    assert time.monotonic() - began < 5


def test_a_table_without_a_stream_says_so(emulator: Emulator, make_table: Callable[..., str]) -> None:
    source = sa.dynamodb(make_table(view=None), start="earliest", endpoint_url=emulator.endpoint_url)
    with pytest.raises(sa.StreamUnusableError, match="stream"), source.stream():
        pass


def test_an_endpoint_that_is_not_there_is_a_connection_error() -> None:
    source = sa.dynamodb("orders", start="earliest", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(sa.ServiceConnectionError) as caught, source.stream():
        pass
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.retryable


def test_without_credentials_it_says_so(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    source = sa.dynamodb("orders", start="earliest", endpoint_url=emulator.endpoint_url)
    with pytest.raises(sa.CredentialsError), source.stream():
        pass


def test_an_arn_of_another_region_is_refused_before_connecting(emulator: Emulator) -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    source = sa.dynamodb(arn, start="earliest", region="us-east-1", endpoint_url=emulator.endpoint_url)
    with pytest.raises(sa.UsageError, match="eu-west-1"), source.stream():
        pass


def test_a_table_may_be_named_by_the_arn_of_its_stream(orders: Orders, emulator: Emulator) -> None:
    table = orders(2).table
    [stream] = emulator.client("dynamodbstreams").list_streams(TableName=table)["Streams"]
    arn = stream["StreamArn"]
    source = sa.dynamodb(arn, start="earliest", region=None, endpoint_url=emulator.endpoint_url)
    assert len(source.read(settle=0.2)) == 2


@pytest.mark.parametrize("kind", ["at", "after"])
def test_a_stream_may_start_at_a_record(orders: Orders, kind: str) -> None:
    source = orders(4)
    numbers_of = source.read(settle=0.2).to_pyarrow().column("_sequence").to_pylist()
    start = sa.at(numbers_of[2]) if kind == "at" else sa.after(numbers_of[2])
    later = sa.dynamodb(source.table, start=start, endpoint_url=source.endpoint_url)
    with later.stream(follow=False, settle=0.2) as stream:
        assert numbers(*stream) == ([2, 3] if kind == "at" else [3])


def test_latest_gives_only_what_comes_later(orders: Orders, put: Callable[..., None]) -> None:
    source = orders(0, start="latest")
    with source.stream(poll_interval=0.01) as stream:
        put(source.table, range(3))
        got: list[int] = []
        while len(got) < 3:
            got += numbers(next(stream))
    assert got == [0, 1, 2]


def test_a_stream_is_opened_once(orders: Orders) -> None:
    stream = orders().stream()
    with stream, pytest.raises(sa.ClosedError):
        stream.__enter__()
    with pytest.raises(sa.ClosedError):
        next(stream)
    with pytest.raises(sa.ClosedError):
        stream.__enter__()
    assert "closed" in repr(stream)


async def test_an_exception_in_the_block_is_the_one_that_comes_out(orders: Orders) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with orders(1).stream() as stream:
            async for _ in stream:
                raise KeyError("mine")


# Looking


def test_metrics_gaps_and_quarantine_can_be_asked_for_at_any_time(orders: Orders) -> None:
    stream = orders(3).stream(follow=False, settle=0.2)
    with stream:
        list(stream)
        inside = stream.metrics()
        assert (inside["state"], inside["records"], inside["batches"]) == ("ended", 3, 1)
        [shard] = inside["shards"].values()
        assert shard["records"] == 3
        assert (stream.gaps(), stream.quarantined()) == ([], [])
    after = stream.metrics()
    assert (after["state"], after["records"]) == ("closed", 3)
    assert (stream.gaps(), stream.quarantined()) == ([], [])


async def test_shards(orders: Orders) -> None:
    source = orders(1)
    [shard] = source.shards()
    assert await source.shards_async() == [shard]
    assert (shard.parents, shard.is_closed) == ((), False)


def test_notices_go_to_pythons_logging(
    orders: Orders, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    source = orders()
    tables.put(source.table, {"pk": {"S": "a"}, "n": {"N": "1"}, "_op": {"S": "mine"}})
    with caplog.at_level(logging.WARNING, "shardarrow"), source.stream() as stream:
        next(stream)
        stream.metrics()
    assert any("_op" in record.getMessage() for record in caplog.records)
    assert {record.threadName for record in caplog.records} == {threading.current_thread().name}


# Arrow


def test_a_batch_opens_everywhere(orders: Orders) -> None:
    with orders(3).stream() as stream:
        batch = next(stream)
    assert len(batch) == batch.num_rows == 3
    assert batch.num_columns == len(batch.schema) == len(batch.schema.names)
    assert batch.nbytes > 0
    assert batch.epoch == 1
    assert "n" in batch.schema.names
    assert batch.to_pyarrow().schema == pyarrow.schema(batch.schema)
    assert batch.to_pyarrow().column("n").to_pylist() == [0, 1, 2]
    assert polars.DataFrame(batch)["n"].to_list() == batch.to_polars()["n"].to_list() == [0, 1, 2]
    assert batch.to_pandas()["n"].to_list() == pandas.DataFrame.from_arrow(batch)["n"].to_list() == [0, 1, 2]
    assert duckdb.sql("SELECT sum(n) FROM batch").fetchall() == [(3,)]


def test_taking_a_batch_into_pyarrow_copies_nothing(orders: Orders) -> None:
    with orders(3).stream() as stream:
        batch = next(stream)
    one, other = (batch.to_pyarrow().column("n").buffers()[1].address for _ in range(2))
    assert one == other


def test_spans_say_what_a_batch_covers(orders: Orders) -> None:
    with orders(3).stream(batch_rows=2) as stream:
        first, second = next(stream), next(stream)
    [(shard, one)], [(same, other)] = first.spans.items(), second.spans.items()
    assert shard == same
    assert one.start.kind == "beginning"
    assert one.end == other.start
    assert one.end.kind == "after"
    assert one.end.sequence == first.to_pyarrow().column("_sequence").to_pylist()[-1]


def test_reprs_are_short_and_show_no_values(orders: Orders, tables: Tables) -> None:
    source = orders()
    tables.put(source.table, {"pk": {"S": "<b>secret</b>"}, "n": {"N": "1"}, "<i>": {"S": "secret"}})
    with source.stream() as stream:
        batch = next(stream)
        shown = [batch, batch.schema, stream, source.read(settle=0.2)]
    for thing in shown:
        page = thing._repr_html_()  # type: ignore[attr-defined]
        assert "secret" not in repr(thing) + page
        assert "<i>" not in page
    assert repr(batch).startswith("Batch(1 row")


def test_a_stream_is_one_arrow_stream_only_when_its_schema_is_fixed(orders: Orders) -> None:
    with orders(1).stream() as stream, pytest.raises(sa.UsageError, match="schema="):
        pyarrow.RecordBatchReader.from_stream(stream)


@pytest.mark.parametrize("options", [{"images": "json"}, {"schema": {"extra": "utf8"}}])
def test_a_stream_with_a_fixed_schema_exports_itself_once(orders: Orders, options: dict[str, Any]) -> None:
    source, store = orders(3, **options), sa.MemoryStore()
    with source.stream(store, batch_rows=1, follow=False, settle=0.2) as stream:
        table = pyarrow.RecordBatchReader.from_stream(stream).read_all()
        with pytest.raises(sa.ClosedError, match="consumed"):
            pyarrow.RecordBatchReader.from_stream(stream)
    assert table.num_rows == 3
    assert rest(source, store) == []


def test_a_stream_whose_batches_were_taken_does_not_export_the_rest(orders: Orders) -> None:
    with orders(2, images="json").stream(batch_rows=1) as stream:
        next(stream)
        with pytest.raises(sa.ClosedError, match="consumed"):
            pyarrow.RecordBatchReader.from_stream(stream)


def test_an_arrow_schema_fixes_the_columns(orders: Orders) -> None:
    schema = pyarrow.schema([("n", pyarrow.int64()), ("extra", pyarrow.string())])
    batch = orders(1, schema=schema).read(settle=0.2).to_pyarrow()
    assert batch.schema.field("extra").type == pyarrow.string()


# Reading


async def test_read_gives_a_table_that_can_be_read_again(orders: Orders) -> None:
    source = orders(5)
    whole = await source.read_async(settle=0.2, batch_rows=2)
    assert len(whole) == whole.num_rows == 5
    for _ in range(2):
        assert pyarrow.table(whole).column("n").to_pylist() == [0, 1, 2, 3, 4]
        assert polars.DataFrame(whole)["n"].to_list() == [0, 1, 2, 3, 4]
        assert duckdb.sql("SELECT count(*) FROM whole").fetchall() == [(5,)]
    assert whole.to_pandas()["n"].to_list() == whole.to_polars()["n"].to_list()
    assert whole.to_pyarrow().schema == pyarrow.schema(whole.schema)


def test_read_brings_every_row_to_the_last_schema(orders: Orders, tables: Tables) -> None:
    source = orders()
    values = [{"N": "1"}, {"N": "1.5"}, {"N": "1" * 38}]
    for number, value in enumerate(values):
        item = {"pk": {"S": "a"}, "n": {"N": str(number)}, "v": value, f"c{number}": {"S": "x"}}
        tables.put(source.table, item)
    table = source.read(settle=0.2, batch_rows=1).to_pyarrow()
    assert table.column("v").to_pylist() == ["1", "1.5", "1" * 38]
    assert table.column("c0").to_pylist() == ["x", None, None]
    assert table.column("c2").to_pylist() == [None, None, "x"]


def test_a_table_beyond_its_limit_rests_in_a_file_and_reads_the_same(orders: Orders) -> None:
    source, resting, held = orders(9), _native.Table(1), _native.Table(1 << 30)
    with source.stream(batch_rows=2, follow=False, settle=0.2) as stream:
        for batch in stream:
            resting.push(batch._native)
            held.push(batch._native)
    assert (resting.is_resting, held.is_resting) == (True, False)
    assert resting.nbytes == 0
    for _ in range(2):
        assert pyarrow.table(sa.Table(resting)).equals(pyarrow.table(sa.Table(held)), check_metadata=True)


def test_reading_an_empty_table_gives_its_columns(orders: Orders) -> None:
    table = orders().read(settle=0.2)
    assert len(table) == 0
    assert {"_op", "pk", "n"} <= set(table.schema.names)
    assert pyarrow.table(table).num_rows == 0


# For loaders


def test_a_loader_keeps_the_state_itself(orders: Orders) -> None:
    source = orders(3)
    with source._stream_for_loader(None, batch_rows=1) as stream:
        assert stream._keys == [("pk", "S"), ("n", "N")]
        assert stream._view_has_new_image
        first = stream._state()
        stream._saved(first.through)
        batches = [take(stream), take(stream)]
        state = stream._state()
        assert state.through > first.through
        assert (state.gaps, state.quarantined) == ([], [])
        assert numbers(*batches) == [0, 1]
    with source._stream_for_loader(state.checkpoint, follow=False, settle=0.2) as stream:
        stream._saved(stream._state().through)
        assert numbers(take(stream)) == [2]
        while not stream._ended:
            assert stream._take(1.0) in {None, sa.Stream.ENDED}
        assert stream._take(0) is sa.Stream.ENDED


def take(stream: sa.Stream) -> sa.Batch:
    batch = stream._take(20)
    assert isinstance(batch, sa.Batch)
    return batch


def test_nothing_is_read_before_a_loader_kept_the_first_state(orders: Orders) -> None:
    with orders(1)._stream_for_loader(None) as stream:
        assert stream._take(0.3) is None
        stream._saved(stream._state().through)
        assert numbers(take(stream)) == [0]
