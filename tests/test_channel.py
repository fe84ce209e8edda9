"""A mirror of changes that come repeated and out of order, against a model in Python."""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from loading import Moment, Source, run
from shardarrow.errors import LoadError
from shardarrow.loaders import saved
from shardarrow.loaders.duckdb import DuckDBLoader

HOUR = 3600 * 1_000_000
START = 1_700_000_000_000_000
"""Microseconds since 1970."""
KEYS = [("id", "S"), ("part", "N")]
Key = tuple[str, int]
Item = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change of one key: the attributes before and behind it; None is an item that is not there."""

    key: Key
    time: int | None
    before: Item | None
    after: Item | None
    scanned: bool = False

    @property
    def op(self) -> str:
        if self.scanned:
            return "snapshot"
        if self.after is None:
            return "remove"
        return "insert" if self.before is None else "modify"


def hash_of(key: Key, item: Item | None) -> bytes | None:
    """Of the whole image, its key included."""
    text = repr((key, sorted(item.items()))) if item is not None else None
    return text and hashlib.md5(text.encode()).digest()  # type: ignore[return-value]


def batch(changes: Sequence[Change], names: Sequence[str] = ("value", "note")) -> pa.RecordBatch:
    hashes = pa.binary(16)
    columns = {
        "_op": pa.array([change.op for change in changes]).dictionary_encode(),
        "_time": pa.array([change.time for change in changes], pa.timestamp("us", "UTC")),
        "_shard": pa.array(["shard-0"] * len(changes)).dictionary_encode(),
        "_sequence": pa.array([str(place) for place in range(len(changes))]),
        "_event_id": pa.nulls(len(changes), pa.string()),
        "_ttl": pa.array([False] * len(changes)),
        "_new_hash": pa.array([hash_of(change.key, change.after) for change in changes], hashes),
        "_old_hash": pa.array([hash_of(change.key, change.before) for change in changes], hashes),
        "id": pa.array([change.key[0] for change in changes]),
        "part": pa.array([change.key[1] for change in changes], pa.int64()),
    }
    for name in names:
        kind = pa.int64() if name == "value" else pa.string()
        columns[name] = pa.array([(change.after or {}).get(name) for change in changes], kind)
    columns["_rest"] = pa.nulls(len(changes), pa.string())
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


class Weak(Source):
    """A source whose stream keeps its records for so many hours; later scans begin at `since`."""

    def __init__(
        self, batches: Sequence[Any], *, hours: float = 24, since: int = 0, keys: Any = KEYS
    ) -> None:
        super().__init__(batches, keys)
        self.hours, self.since = hours, since

    def _stream_for_loader(self, saved: str | None, *, mode: str = "append", **options: Any) -> Any:
        stream = super()._stream_for_loader(saved, mode=mode, **options)
        stream._retention = self.hours * 3600.0
        told, opened = stream._state, {"created_before": self.since // 1000 - 60_000}

        def state() -> SimpleNamespace:
            found = told()
            checkpoint = json.loads(found.checkpoint)
            checkpoint["shards"] = {"shard-0": opened if checkpoint["epoch"] > 1 else {}}
            found.checkpoint = json.dumps(checkpoint)
            return found

        stream._state = state
        return stream


def load(file: Path, batches: Sequence[Any], **options: Any) -> Any:
    """One load that takes the batches behind those it took before, each in a write of its own."""
    loader = DuckDBLoader(f"duckdb:///{file}", ("orders",), "mirror", unordered=True)
    return run(loader, Weak(batches, **options))


def mirror(file: Path) -> dict[Key, Item]:
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.sql("SELECT id, part, value, note FROM orders").fetchall()
    assert len({(id_, part) for id_, part, *_ in rows}) == len(rows)
    return {
        (id_, part): {name: found for name, found in (("value", value), ("note", note)) if found is not None}
        for id_, part, value, note in rows
    }


def story(chance: random.Random, *, keys: int, changes: int, moments: int) -> list[Change]:
    """What happened to some keys. Many changes share a moment; no image of a key comes twice."""
    state: dict[Key, Item | None] = {}
    told = []
    for place in range(changes):
        key = (f"k{chance.randrange(keys)}", chance.randrange(2))
        before = state.get(key)
        after: Item | None = {"value": place, **({"note": f"n{place}"} if chance.random() < 0.5 else {})}
        if before is not None and chance.random() < 0.25:
            after = None
        state[key] = after
        told.append(Change(key, START + place * moments // changes * 1000, before, after))
    return told


def circles(told: Sequence[Change]) -> set[Key]:
    """Keys whose last moment leads in a circle: it ends as it began, and nobody can order it."""
    last = {change.key: change.time for change in told}
    final = {key: [one for one in told if one.key == key and one.time == time] for key, time in last.items()}
    return {key for key, changes in final.items() if changes[0].before == changes[-1].after}


def at_rest(told: Sequence[Change]) -> dict[Key, Item]:
    items = {change.key: change.after for change in told}
    return {key: item for key, item in items.items() if item is not None}


def disorder(chance: random.Random, told: Sequence[Change]) -> list[Change]:
    """Every change at least once, in any order."""
    sent = [*told, *chance.choices(told, k=len(told) // 5)]
    chance.shuffle(sent)
    return sent


def cut(chance: random.Random, sent: Sequence[Change]) -> Iterator[pa.RecordBatch]:
    rest = list(sent)
    while rest:
        size = chance.choice([1, 2, 3, 10, 50])
        yield batch(rest[:size])
        rest = rest[size:]


@pytest.mark.parametrize("seed", range(12))
def test_any_order_and_any_repetition_give_the_table(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = story(chance, keys=chance.choice([2, 8, 30]), changes=160, moments=chance.choice([1, 5, 40, 160]))
    batches = list(cut(chance, disorder(chance, told)))
    report = load(tmp_path / "shop.duckdb", batches)
    check(tmp_path / "shop.duckdb", told, report)


@pytest.mark.parametrize("seed", range(4))
def test_a_load_that_begins_anew_at_any_place_goes_on(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = story(chance, keys=5, changes=80, moments=10)
    batches = list(cut(chance, disorder(chance, told)))
    for end in sorted(chance.sample(range(len(batches)), k=min(5, len(batches)))):
        load(tmp_path / "shop.duckdb", batches[:end])
    report = load(tmp_path / "shop.duckdb", batches)
    check(tmp_path / "shop.duckdb", told, report)


def check(file: Path, told: Sequence[Change], report: Any) -> None:
    """The mirror equals the table, and what it cannot know it says."""
    doubtful = circles(told)
    found, expected = mirror(file), at_rest(told)
    for key in {change.key for change in told} - doubtful:
        assert found.get(key) == expected.get(key), key
    notes = [note for note in report.notes if "same moment" in note]
    assert notes == (
        [f"the order of changes of the same moment is not known for {len(doubtful)} keys"] if doubtful else []
    )


def chain(*values: int | None, time: int = START, key: Key = ("a", 0)) -> list[Change]:
    items = [None if value is None else {"value": value} for value in values]
    return [Change(key, time, before, after) for before, after in pairwise(items)]


def test_a_missing_link_shows_another_end(tmp_path: Path) -> None:
    """3→4 and 1→2 came: two ends. The link 2→3 says that 4 was right, though 2 was shown meanwhile."""
    first, middle, last = chain(1, 2, 3, 4)
    file = tmp_path / "shop.duckdb"
    parts = [batch([last]), batch([first]), batch([middle])]
    load(file, parts[:1])
    assert mirror(file) == {("a", 0): {"value": 4}}
    report = load(file, parts[:2])
    assert mirror(file) == {("a", 0): {"value": 2}}
    assert "the order of changes of the same moment is not known for 1 keys" in repr(report)
    assert any("same moment" in note for note in saved(f"duckdb:///{file}")[0].notes)
    report = load(file, parts)
    assert mirror(file) == {("a", 0): {"value": 4}}
    assert "same moment" not in repr(report)


def test_changes_that_lead_in_a_circle_are_told_of(tmp_path: Path) -> None:
    born, gone = chain(None, 1, None)
    later = chain(None, 5, time=START + 1, key=("b", 1))
    for order, last in (([born, gone], gone), ([gone, born], born), ([gone, born, gone], born)):
        file = tmp_path / f"{len(order)}{order[0].op}.duckdb"
        report = load(file, [batch([change]) for change in order] + [batch(later)])
        # In a circle nobody can tell where it began: what came last as news is shown, and it is said.
        shown = {} if last is gone else {("a", 0): {"value": 1}}
        assert mirror(file) == {**shown, ("b", 1): {"value": 5}}
        assert "not known for 1 keys" in repr(report)


def test_a_later_change_ends_every_doubt(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    report = load(file, [batch(chain(1, 2, 1)), batch(chain(1, 7, time=START + 1))])
    assert mirror(file) == {("a", 0): {"value": 7}}
    assert "same moment" not in repr(report)


def test_a_late_change_of_a_removed_item_does_not_bring_it_back(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    born, changed, gone = (replace(one, time=START + n) for n, one in enumerate(chain(None, 1, 2, None)))
    load(file, [batch([gone]), batch([changed]), batch([born, changed])])
    assert mirror(file) == {}


def test_scanned_items_rank_below_every_change(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"

    def scanned(key: str, value: int) -> Change:
        return Change((key, 0), START + 99, None, {"value": value}, scanned=True)

    gone = Change(("gone", 0), START, {"value": 1}, None)
    early = Change(("early", 0), START, {"value": 1}, {"value": 2})
    late = Change(("late", 0), START, {"value": 1}, {"value": 2})
    rows = [scanned(key, 1) for key in ("gone", "early", "late", "quiet", "quiet")]
    load(file, [batch([gone, early]), batch(rows), batch([late]), batch([scanned("quiet", 3)])])
    assert {key: item["value"] for (key, _), item in mirror(file).items()} == {
        "early": 2,
        "late": 2,
        "quiet": 3,
    }


def test_a_later_epoch_ranks_above_what_was_known_before(tmp_path: Path) -> None:
    """Changes were lost: a new scan says what there is, also of keys whose changes are remembered."""
    file = tmp_path / "shop.duckdb"
    at = START + 10 * HOUR

    def scanned(key: str, value: int) -> Change:
        return Change((key, 0), at, None, {"value": value}, scanned=True)

    old = chain(1, 2, key=("kept", 0)) + chain(None, 3, key=("gone", 0)) + chain(None, 4, key=("back", 0))
    late = chain(2, 8, time=START + 5, key=("kept", 0))
    young = chain(4, 5, time=at, key=("back", 0))
    batches = [
        Moment(1, ready=True),
        batch(old),
        Moment(2),
        batch([scanned("kept", 7), scanned("back", 4)]),
        batch(late + young),
        Moment(2, ready=True),
        batch(chain(None, 6, time=at + 1, key=("new", 0))),
    ]
    report = load(file, batches, since=START + HOUR)
    assert {key: item["value"] for (key, _), item in mirror(file).items()} == {"kept": 7, "back": 5, "new": 6}
    assert (report.epoch, report.swept) == (2, 1)


def versions(file: Path) -> int:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.sql("SELECT count(*) FROM _shardarrow_versions_orders").fetchall()[0][0]


def test_versions_are_forgotten_after_the_retention(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    circle = chain(1, 2, 1, key=("doubt", 0))
    old = chain(None, 1, key=("old", 0))
    young = chain(None, 1, time=START + 26 * HOUR, key=("young", 0))
    late = chain(1, 9, time=START + 1, key=("old", 0))
    report = load(file, [batch(circle + old), batch(young)], hours=24)
    assert versions(file) == 1
    assert mirror(file).keys() == {("doubt", 0), ("old", 0), ("young", 0)}
    assert "not known for 1 keys" in repr(report), "what was in doubt when it was forgotten stays so"
    report = load(file, [batch(circle + old), batch(young), batch(late)], hours=24)
    assert "1 did so" in repr(report) and "25 hours" in repr(report)


def test_a_change_from_the_future_forgets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    now = int(time.time() * 1_000_000)
    load(file, [batch(chain(1, 2, time=now)), batch(chain(1, 2, time=now + 1000 * HOUR, key=("b", 0)))])
    assert versions(file) == 2


def test_key_columns_widen_beside_the_mirror(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    first = batch(chain(None, 1))
    wide = batch(
        chain(1, 2, time=START + 1) + chain(3, 4, time=START + 1) + chain(1, 2, time=START + 1, key=("c", 2))
    )
    text = pa.array(["0", "0", "1234567890123456789012345678901234567"])
    wide = wide.set_column(wide.schema.get_field_index("part"), "part", text)
    load(file, [first, wide, wide])
    with duckdb.connect(str(file), read_only=True) as connection:
        found = dict(connection.sql("SELECT part, value FROM orders").fetchall())
    assert found == {"0": 4, "1234567890123456789012345678901234567": 2}
    assert versions(file) == 3


def test_a_change_without_a_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="has no time"):
        load(tmp_path / "shop.duckdb", [batch([replace(chain(1, 2)[0], time=None)])])


def test_lost_versions_are_not_made_up(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    parts = [batch(chain(1, 2)), batch(chain(2, 3, time=START + 1))]
    load(file, parts[:1])
    with duckdb.connect(str(file)) as connection:
        connection.execute("DROP TABLE _shardarrow_versions_orders")
    with pytest.raises(LoadError, match=r"_shardarrow_versions_orders is gone"):
        load(file, parts)


def test_the_report_and_the_file_say_what_the_channel_cannot_promise(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    report = load(file, [batch(chain(1, 2))])
    for said in (repr(report), " ".join(saved(f"duckdb:///{file}")[0].notes)):
        assert "FailedToReplicateRecordCount" in said and "25 hours" in said
    assert "did not start with a snapshot" in repr(report)
