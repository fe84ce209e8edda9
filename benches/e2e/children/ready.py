"""Times the turns of `async for` that find a batch ready.

ready.py URL TABLE

The batches are read ahead first, until as many wait as may. Then a loop takes them and keeps every one,
and the clock is read at its two ends alone: what is timed is the loop, not the clock and not the end of any
batch. What giving a batch back takes is timed on its own, and so is the consumer's import.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable

import shardarrow as sa

# Fewer than wait: what is timed is a loop that never waits. It is over before the core hears of those
# taken before it, to warm up, and reads again: giving them back would take longer than that.
BATCHES, WARM_UP = 200, 40


async def taken(url: str, table: str) -> tuple[float, list[sa.Batch]]:
    """Seconds for a turn, and the batches."""
    source = sa.dynamodb(
        table,
        start="earliest",
        endpoint_url=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
    )
    async with source.stream(batch_rows=20, memory_limit="64MiB") as stream:
        await until_full(stream)
        warm_up = [await anext(stream) for _ in range(WARM_UP)]
        kept: list[sa.Batch] = []
        begun = time.perf_counter()
        async for batch in stream:
            kept.append(batch)
            if len(kept) == BATCHES:
                break
        seconds = time.perf_counter() - begun
        warm_up.clear()
    return seconds / BATCHES, kept


async def until_full(stream: sa.Stream) -> None:
    """Until nothing is asked for any more."""
    pages = -1
    while (now := stream.metrics()["pages"]) != pages or not now:
        pages = now
        await asyncio.sleep(0.3)
    held = stream.metrics()["held"]
    assert held > 2 * BATCHES, f"only {held} batches wait"


def each(kept: list[sa.Batch], work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(len(kept)):
        work()
    return (time.perf_counter() - begun) / BATCHES


async def main() -> None:
    url, table = sys.argv[1:]
    turn, kept = await taken(url, table)
    batches = iter(kept)
    imported: list[object] = []
    importing = each(kept, lambda: imported.append(next(batches).to_pyarrow()))
    imported.clear()
    freeing = each(kept.copy(), kept.pop)
    print(json.dumps({"turn": turn, "import": importing, "free": freeing}))


asyncio.run(main())
