"""Killed at any moment while its stream is split and merged, a load appends every record exactly once."""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clicks import Clicks, by_key
from mortal import Load
from services import Twin

RECORDS, SHARDS, RESHARDS, KILLS = 200_000, 8, 20, 20
SEED = 4


@pytest.mark.bulk
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fan_out", [None, "app"], ids=["polled", "pushed"])
def test_killed_again_and_again_every_record_is_appended_once(
    fan_out: str | None,
    twin: Twin,
    tmp_path: Path,
    scale: Callable[[int], int],
    start_process: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    clicks = Clicks(twin, shards=SHARDS, seed=SEED)
    # A process that follows one that was killed would wait for five seconds.
    clicks.knobs(kinesis={"takeover_ms": 200})
    url = clicks.url(**{"fan_out": fan_out} if fan_out else {})
    load = Load(url, tmp_path / "shop.duckdb", table="clicks", mode="append", start=start_process)
    kills = max(6, scale(KILLS))
    kill_while_resharding(load, clicks, scale(RECORDS), kills)
    load.finish()

    assert load.kills == kills
    assert load.kills_before_commit >= kills / 4
    rows = load.rows()
    assert len(rows) == load.changes() == scale(RECORDS) // (kills + 1) * (kills + 1)
    assert by_key(rows) == clicks.written()
    open_shards = len(clicks.open_shards())
    facts = {"records": len(rows), "shards": SHARDS, "splits and merges": RESHARDS, "kills": load.kills}
    for name, value in {**facts, "before a commit": load.kills_before_commit, "open": open_shards}.items():
        record_property(name, value)


def kill_while_resharding(load: Load, clicks: Clicks, records: int, kills: int) -> None:
    """One part of the records for each kill, put while the load runs that is killed."""
    moments = random.Random(SEED)
    part = records // (kills + 1)
    reshards = [kill * RESHARDS // (kills + 1) for kill in range(kills + 2)]
    for kill in range(kills + 1):
        writing = threading.Thread(target=put, args=(clicks, part, reshards[kill + 1] - reshards[kill]))
        writing.start()
        try:
            if kill == kills:
                continue
            if kill % 3 == 2:
                # Small batches, each a commit of its own: the one that is cut off is the second to fourth.
                few = {"batch_rows": max(1, part // 20), "load_interval": 0}
                load.run_until_it_dies(moments.randrange(2, 5), **few)
            else:
                load.run_until_killed(moments.random() * 0.3, "--load-interval", "0.05")
        finally:
            writing.join()


def put(clicks: Clicks, records: int, reshards: int) -> None:
    """So many records, with splits and merges between them."""
    parts = reshards + 1
    for number in range(parts):
        clicks.put(
            records // parts if number < reshards else records - records // parts * reshards, keys=1000
        )
        if number < reshards:
            clicks.reshard()
