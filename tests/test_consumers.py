"""Batches in pyarrow, polars, pandas and DuckDB, without a copy where the consumer allows it."""

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pytest

import shardarrow as sa
from services import Item, Tables
from shardarrow.demo.emulator import Emulator

ITEMS: list[Item] = [
    {
        "id": {"S": f"key {number}"},
        "n": {"N": str(number)},
        "price": {"N": f"{number}.25"},
        "huge": {"N": "9" * 38},
        "text": {"S": "a text that is longer than an inlined one"},
        "flag": {"BOOL": number % 2 == 0},
        "bytes": {"B": bytes([number])},
        "words": {"SS": ["a", "b"]},
        "map": {"M": {"deep": {"N": "1.10"}}},
    }
    for number in range(50)
]


@pytest.fixture(scope="module", params=["json", "struct"])
def batch(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[sa.Batch]:
    """A batch with every kind of column; the stream it came from is closed."""
    tables = Tables(emulator)
    table = tables.make(keys={"id": "S"})
    tables.put(table, *ITEMS)
    source = sa.dynamodb(
        table, start="earliest", endpoint_url=emulator.endpoint_url, nested=request.param, old_image=True
    )
    with source.stream(follow=False, settle=0.2) as stream:
        [batch] = list(stream)
    yield batch
    tables.close()


def column(name: str) -> list[Any]:
    return [item[name] for item in ITEMS]


def test_pyarrow(batch: sa.Batch) -> None:
    rows = batch.to_pyarrow()
    rows.validate(full=True)
    assert rows.column("n").to_pylist() == list(range(50))
    assert [str(price) for price in rows.column("price").to_pylist()] == [f"{n}.250000000" for n in range(50)]
    assert rows.column("huge").to_pylist() == ["9" * 38] * 50
    assert rows.column("bytes").to_pylist() == [value["B"] for value in column("bytes")]
    assert rows.column("words").to_pylist() == [["a", "b"]] * 50
    assert set(rows.column("_op").to_pylist()) == {"insert"}


def test_polars(batch: sa.Batch) -> None:
    frame = polars.DataFrame(batch)
    assert frame.shape == (batch.num_rows, batch.num_columns)
    assert frame["n"].to_list() == list(range(50))
    assert frame["price"].cast(polars.String).to_list() == [f"{n}.250000000" for n in range(50)]
    assert frame["flag"].to_list() == [value["BOOL"] for value in column("flag")]
    assert frame["words"].to_list() == [["a", "b"]] * 50
    assert frame.to_arrow().num_rows == 50


def test_pandas(batch: sa.Batch) -> None:
    frame = batch.to_pandas()
    assert frame.shape == (batch.num_rows, batch.num_columns)
    assert frame["n"].tolist() == list(range(50))
    assert frame["huge"].tolist() == ["9" * 38] * 50
    assert frame["bytes"].tolist() == [value["B"] for value in column("bytes")]
    assert pandas.api.types.is_bool_dtype(frame["flag"])


def test_duckdb(batch: sa.Batch) -> None:
    rows = duckdb.sql(
        "SELECT n, price::VARCHAR, huge, flag, bytes, words, _op::VARCHAR FROM batch ORDER BY n"
    )
    expected = [
        (n, f"{n}.250000000", "9" * 38, n % 2 == 0, bytes([n]), ["a", "b"], "insert") for n in range(50)
    ]
    assert rows.fetchall() == expected


def addresses(array: pyarrow.Array) -> list[int]:
    return [buffer.address for buffer in array.buffers() if buffer is not None and buffer.size]


def test_pyarrow_copies_no_buffer_of_any_column(batch: sa.Batch) -> None:
    one, other = pyarrow.record_batch(batch), pyarrow.record_batch(batch)
    for name in one.schema.names:
        assert addresses(one.column(name)) == addresses(other.column(name)), name
        assert addresses(one.column(name)), name


# polars keeps texts, decimals and dictionaries in forms of its own, and pandas all but single columns;
# what has one form is taken as it is.
@pytest.mark.parametrize("name", ["n", "_time"])
def test_polars_copies_no_values_of_plain_columns(batch: sa.Batch, name: str) -> None:
    where = batch.to_pyarrow().column(name).buffers()[1].address
    values = polars.DataFrame(batch)[name].to_physical().to_numpy(allow_copy=False)
    assert values.__array_interface__["data"][0] == where


def test_duckdb_reads_the_batch_where_it_is(batch: sa.Batch) -> None:
    before = pyarrow.total_allocated_bytes()
    assert duckdb.sql("SELECT count(*), sum(n) FROM batch").fetchall() == [(50, sum(range(50)))]
    assert pyarrow.total_allocated_bytes() == before


def test_a_batch_lives_as_long_as_who_looks_at_it(batch: sa.Batch) -> None:
    rows = pyarrow.record_batch(sa.Batch(batch._native))
    frame = polars.DataFrame(sa.Batch(batch._native))
    assert rows.column("text").to_pylist() == frame["text"].to_list() == [v["S"] for v in column("text")]


def test_a_consumer_may_ask_for_another_schema(batch: sa.Batch) -> None:
    """The Arrow PyCapsule protocol lets a producer answer with its own schema when it cannot cast."""
    wanted = pyarrow.schema([("n", pyarrow.int64())])
    capsules: Callable[..., tuple[object, object]] = batch.__arrow_c_array__
    assert len(capsules(wanted.__arrow_c_schema__())) == 2
