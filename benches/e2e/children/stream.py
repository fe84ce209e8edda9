"""Reads a stream with `async for` until it has `until` rows or `seconds` are over, and tells what that took.

stream.py URL TABLE [OPTION=JSON …]; options of the stream, or those that begin with `source.`, of its source.
"""

import asyncio
import json
import resource
import sys
import time
from typing import Any

import shardarrow as sa


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def source_of(url: str, table: str, options: dict[str, Any]) -> sa.Source:
    place: dict[str, Any] = {
        "endpoint_url": url,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": "secret",
        "start": "earliest",
    }
    service = table.partition("_")[0]
    if service == "streams":
        return sa.dynamodb(table, **place, **options)
    return sa.kinesis(table, format=service, **place, **options)


async def main() -> None:
    url, table, *words = sys.argv[1:]
    given = {name: json.loads(value) for name, _, value in (word.partition("=") for word in words)}
    for_source = {name[7:]: value for name, value in given.items() if name.startswith("source.")}
    options = {name: value for name, value in given.items() if not name.startswith("source.")}
    seconds = options.pop("seconds", None)
    until = options.pop("until", None)
    peaks = []
    rows = batches = 0
    begun, used = time.perf_counter(), cpu()
    last = begun
    first: tuple[float, float, int] | None = None
    async with source_of(url, table, for_source).stream(**{"follow": False, **options}) as stream:
        async for batch in stream:
            rows += len(batch)
            batches += 1
            last = time.perf_counter()
            first = first or (last, cpu(), rows)
            if seconds and last - begun > (len(peaks) + 1) * seconds / 4:
                peaks.append(peak())
            if (seconds and last - begun > seconds) or (until and rows >= until):
                break
        ended, metrics = cpu(), stream.metrics()
    since, used_before, rows_before = first or (last, ended, rows)
    print(
        json.dumps(
            {
                "rows": rows,
                "batches": batches,
                "wall": last - begun,
                "cpu": cpu() - used,
                # From the first batch on.
                "rows_steady": rows - rows_before,
                "wall_steady": last - since,
                "cpu_steady": ended - used_before,
                "peak": peak(),
                "peaks": peaks,
                "pages": metrics["pages"],
            }
        )
    )


def peak() -> int:
    """Bytes of memory it ever had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


asyncio.run(main())
