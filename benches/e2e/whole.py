"""The whole way, over HTTP on the loopback interface."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from processes import Server, run_once
from report import Table

# How many times the single page of each table is sent to each reader.
PAGES = 1000
PEER_PAGES = {"small": 4, "medium": 3, "wide": 6}


@dataclass
class Tools:
    """The programs of a run."""

    bench: Path
    twin: Path
    ours: Path
    relay: Path

    def page(self, workload: str) -> bytes:
        return subprocess.run([self.bench, "page", workload], capture_output=True, check=True).stdout

    def page_size(self, workload: str) -> int:
        return len(self.page(workload))

    def rows(self, table: str) -> int:
        """How many a table of the server has; it names its workload, shards and pages."""
        workload, shards, pages = table.split(".")
        page = self.page(workload.replace("_", "/"))
        return page.count(b'"SequenceNumber"') * int(shards) * int(pages)


def read_ours(
    tools: Tools, url: str, table: str, cores: str | None = None, timeout: float = 300, **options: Any
) -> dict[str, Any]:
    if table.count(".") == 2:
        options["until"] = tools.rows(table)
    words = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    return run_once(tools.ours, "stream.py", url, table, *words, cores=cores, timeout=timeout)


def read_raw(tools: Tools, address: str, table: str) -> dict[str, Any]:
    done = subprocess.run(
        [tools.bench, "raw", address, table], capture_output=True, text=True, check=True, timeout=300
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one_shard(tools: Tools, rounds: int) -> list[Table]:
    boto3 = Table(
        "whole-boto3",
        "One shard, from HTTP to Python",
        "`async for batch in stream` with the default options beside a loop over boto3's `get_records`, its\n"
        "`TypeDeserializer` and pyarrow. Wall time, with everything from the first request on.",
        ["ours MB/s", "boto3 MB/s"],
        "times",
    )
    raw = Table(
        "whole-raw",
        "One shard, beside nothing but HTTP and the decoder",
        "The same, beside a loop in Rust over hyper and the same decoder: no SDK, no checkpoint, no "
        "Python. It shows\n"
        "too that the server sends faster than we read.",
        ["ours MB/s", "raw MB/s"],
        "ratio",
    )
    cpu = Table(
        "whole-cpu",
        "Processor time",
        "Of the reading process, all threads and the start of the stream included, over plain HTTP; "
        "the records of a\n"
        "processor second are what a core can carry. A shard of DynamoDB Streams or Kinesis gives at "
        "most 2 MB a second.",
        ["records per CPU second", "shards of 2 MB/s a core"],
        "CPU seconds a GB",
    )
    with Server(tools.bench, "serve") as server:
        for shape, target in [("small", 100.0), ("medium", 100.0), ("wide", 60.0)]:
            size = tools.page_size(f"streams/{shape}")
            mine, theirs, plain, used, rows = [], [], [], [], 0
            for _ in range(rounds):
                ours = read_ours(tools, server.url, f"streams_{shape}.1.{PAGES}")
                mine.append(PAGES * size / ours["wall"] / 1e6)
                used.append(ours["cpu"] / (PAGES * size / 1e9))
                rows = ours["rows"]
                found = read_raw(tools, server.address, f"streams_{shape}.1.{PAGES}")
                plain.append(found["bytes"] / found["wall"] / 1e6)
                pages = PEER_PAGES[shape]
                peer = run_once(tools.ours, "boto3_stream.py", server.url, f"streams_{shape}.1.{pages}")
                theirs.append(pages * size / peer["wall"] / 1e6)
            name = f"streams {shape}"
            times = median(a / b for a, b in zip(mine, theirs, strict=True))
            boto3.add(
                name, [f"{median(mine):.0f}", f"{median(theirs):.1f}"], times, f"{times:.0f}", target=target
            )
            share = median(a / b for a, b in zip(mine, plain, strict=True))
            raw.add(name, [f"{median(mine):.0f}", f"{median(plain):.0f}"], share, f"{share:.2f}", target=0.85)
            per_gb = median(used)
            records = rows / (per_gb * PAGES * size / 1e9)
            cpu.add(
                name,
                [f"{records:,.0f}", f"{500 / per_gb:.0f}"],
                per_gb,
                f"{per_gb:.2f}",
                target=1.2,
                most=True,
            )
    return [boto3, raw, cpu]


# Enough shards that their 2 MB a second each, which the reader keeps to, are more than it can read; and
# pages of all of them together. The shards have no end.
KINESIS_SHARDS, KINESIS_PAGES = 1024, 4096


def kinesis(tools: Tools, rounds: int) -> Table:
    table = Table(
        "whole-kinesis",
        "Kinesis, from HTTP to Python",
        "A table's changes through Kinesis, in the same way. AWS gives 2 MB a second of a shard, and the\n"
        f"reader asks for no more: so it reads {KINESIS_SHARDS} shards here, from the first batch on, and\n"
        "boto3's loop reads one without a pause. Wall time; ours decodes while it reads, on two cores, so\n"
        "the same in processor time is told beside it.",
        ["ours MB/s", "boto3 MB/s", "ours CPU s/GB", "boto3 CPU s/GB", "times in CPU seconds"],
        "times",
    )
    with Server(tools.bench, "serve") as server:
        for shape in ["small", "medium", "wide"]:
            size = tools.page_size(f"dynamodb/{shape}")
            rows = tools.rows(f"dynamodb_{shape}.1.{KINESIS_PAGES}")
            mine, theirs, used, peers = [], [], [], []
            for _ in range(rounds):
                name = f"dynamodb_{shape}.{KINESIS_SHARDS}"
                ours = read_ours(tools, server.url, name, until=rows, follow=True)
                steady = ours["rows_steady"] / rows * KINESIS_PAGES * size
                mine.append(steady / ours["wall_steady"] / 1e6)
                used.append(ours["cpu_steady"] / (steady / 1e9))
                pages = PEER_PAGES[shape]
                peer = run_once(tools.ours, "boto3_stream.py", server.url, f"dynamodb_{shape}.1.{pages}")
                theirs.append(pages * size / peer["wall"] / 1e6)
                peers.append(peer["cpu"] / (pages * size / 1e9))
            times = median(a / b for a, b in zip(mine, theirs, strict=True))
            cheaper = median(b / a for a, b in zip(used, peers, strict=True))
            figures = [
                f"{median(mine):.0f}",
                f"{median(theirs):.1f}",
                f"{median(used):.2f}",
                f"{median(peers):.0f}",
                f"{cheaper:.0f}",
            ]
            table.add(f"dynamodb {shape}", figures, times, f"{times:.0f}", target=35.0)
    return table


# Pages in a measurement of many shards, all of them together. The shards have no end.
MANY_PAGES = 3072


def many_shards(tools: Tools, rounds: int) -> Table:
    table = Table(
        "whole-shards",
        "Many shards",
        "Medium records, from the first batch on; how long a start takes is told. The reader may use as many "
        "cores as the\n"
        "row says; the server runs beside it on all of the machine's, and its share is told, since it takes "
        "part of the\n"
        "same processor.",
        ["MB/s", "reader's cores busy", "server's cores busy", "start"],
        "beside 16 shards",
    )
    for cores in range(1, 5):
        found: dict[int, list[dict[str, float]]] = {16: [], 256: []}
        for _ in range(rounds):
            for shards, turns in found.items():
                turns.append(of_many(tools, shards, cores))
        for shards, turns in found.items():
            beside = median(turn["speed"] / few["speed"] for turn, few in zip(turns, found[16], strict=True))
            speed, busy, served, start = (
                median(turn[name] for turn in turns) for name in ["speed", "busy", "served", "start"]
            )
            table.add(
                f"{shards} shards, {cores} core{'s' if cores > 1 else ''}",
                [f"{speed:.0f}", f"{busy:.1f}", f"{served:.1f}", f"{start:.2f} s"],
                beside,
                f"{beside:.2f}",
                target=0.95 if shards == 256 else None,
            )
    return table


def of_many(tools: Tools, shards: int, cores: int) -> dict[str, float]:
    """One turn of reading so many shards."""
    rows = tools.rows(f"streams_medium.1.{MANY_PAGES}")
    pinned = "0" if cores == 1 else f"0-{cores - 1}"
    with Server(tools.bench, "serve") as server:
        table = f"streams_medium.{shards}"
        found = read_ours(tools, server.url, table, cores=pinned, until=rows, follow=True)
        served = server.cpu_seconds()
    size = tools.page_size("streams/medium") * MANY_PAGES
    steady = found["rows_steady"] / rows * size
    return {
        "speed": steady / found["wall_steady"] / 1e6,
        "busy": found["cpu_steady"] / found["wall_steady"],
        "served": served / found["wall"],
        "start": found["wall"] - found["wall_steady"],
    }


def memory(tools: Tools, seconds: float) -> Table:
    table = Table(
        "whole-memory",
        "Memory",
        f"256 shards without end, read for {seconds:.0f} seconds at a `memory_limit` of 256 MiB by a "
        f"consumer that keeps\n"
        "nothing. The peak is of the whole process, the Python interpreter included.",
        ["after a quarter of the time", "after half", "after three quarters"],
        "MiB",
    )
    for name, workload in [("1 MB pages", "streams_medium.256"), ("10 MB pages", "bytes_medium_10MB.256")]:
        with Server(tools.bench, "serve") as server:
            ours = read_ours(tools, server.url, workload, timeout=seconds + 120, follow=True, seconds=seconds)
            quarters = [f"{peak / 2**20:.0f} MiB" for peak in ours["peaks"][:3]]
            end = ours["peak"] / 2**20
            table.add(name, quarters, end, f"{end:.0f}", target=320.0, most=True)
    return table


def ready_batches(tools: Tools, rounds: int) -> Table:
    table = Table(
        "whole-ready",
        "A batch that is ready",
        "A loop of `async for` over 200 batches of 20 rows that were all read before, which keeps every "
        "batch: the time\n"
        "of the loop, divided by its turns. Giving a batch back to the allocator is not in it and depends on "
        "its columns,\n"
        "and the consumer's import, `batch.to_pyarrow()`, is not in it either: both are told beside it.",
        ["to_pyarrow", "giving it back"],
        "microseconds",
    )
    with Server(tools.bench, "serve") as server:
        for shape in ["small", "medium", "wide"]:
            found = [
                run_once(tools.ours, "ready.py", server.url, f"streams_{shape}.1") for _ in range(rounds)
            ]
            turn, imported, freed = (
                1e6 * median(one[name] for one in found) for name in ["turn", "import", "free"]
            )
            figures = [f"{imported:.0f} µs", f"{freed:.0f} µs"]
            table.add(shape, figures, turn, f"{turn:.1f} µs", target=2.0, most=True)
    return table


def latency(tools: Tools) -> Table:
    table = Table(
        "whole-latency",
        "Latency",
        "With `batch_wait=0` and caught up. First from the moment the server makes an answer until "
        "its batch is in\n"
        "Python; then from the write of an item in the twin until its row is in Python, by `poll_interval`.",
        ["p50"],
        "p99",
    )
    with Server(tools.bench, "serve") as server:
        found = run_once(tools.ours, "latency.py", "answers", server.url, "streams_medium_1.1")
        p50, p99 = found["p50"] * 1e3, found["p99"] * 1e3
        table.add("from the answer", [f"{p50:.1f} ms"], p99, f"{p99:.1f} ms", target=5.0, most=True)
    for interval in [0.1, 0.5, 1.0]:
        with Server(tools.twin, "--until-stdin-closes") as server:
            found = run_once(tools.ours, "latency.py", "writes", server.url, interval)
            p50, p99 = found["p50"] * 1e3, found["p99"] * 1e3
            table.add(f"from the write, poll_interval={interval:g}", [f"{p50:.0f} ms"], p99, f"{p99:.0f} ms")
    return table


# DynamoDB Streams, us-east-1: dollars for a GetRecords call, beyond the free 2.5 million a month.
DOLLARS_PER_CALL = 0.02 / 100_000


def cost(tools: Tools) -> Table:
    table = Table(
        "whole-cost",
        "Cost",
        "Calls of `GetRecords` counted at the server. A shard that is caught up is asked once every "
        "`poll_interval`;\n"
        "a longer one costs less and later rows. At the list price of DynamoDB Streams in us-east-1, "
        "0.02 dollars for\n"
        "100,000 calls, without the free ones.",
        ["calls", "dollars"],
        "calls an hour and idle shard",
    )
    for interval in [0.25, 1.0, 5.0]:
        with Server(tools.twin, "--until-stdin-closes") as server:
            found = run_once(tools.ours, "idle.py", server.url, interval)
            calls = found["calls"] / found["shards"] / found["seconds"] * 3600
            dollars = calls * DOLLARS_PER_CALL
            table.add(
                f"poll_interval={interval:g}",
                [f"{found['calls']}", f"{dollars:.5f} an hour, {dollars * 730:.2f} a month"],
                calls,
                f"{calls:.0f}",
            )
    with Server(tools.bench, "serve") as server:
        for shape in ["small", "medium", "wide"]:
            ours = read_ours(tools, server.url, f"streams_{shape}.1.50")
            pages = ours["pages"]
            per_million = pages / ours["rows"] * 1e6
            table.add(
                f"{shape} records, busy: calls a million",
                [f"{pages}", f"{per_million * DOLLARS_PER_CALL:.5f} a million"],
                per_million,
                f"{per_million:.0f}",
            )
    return table


# Pages of each shard in two loads: what the start and the end of a load take is in both and falls out.
LOADED = (20, 220)


def mirror(tools: Tools, rounds: int) -> Table:
    table = Table(
        "whole-mirror",
        "Into a database",
        "`sa.load` mirrors a table's changes into a DuckDB file, with its place in the same "
        "transaction, beside the relay\n"
        "of cratedb-toolkit, which writes the same changes to a stand-in for CrateDB that answers at "
        "once. The relay reads\n"
        "them from Kinesis, the only stream it knows; we read them from DynamoDB Streams. The page that the\n"
        "server repeats has about a thousand items, so the mirror's rows are changed again and again.",
        ["ours rows/s", "relay rows/s"],
        "times",
    )
    with Server(tools.bench, "serve") as server:
        for shape in ["small", "medium"]:
            mine, theirs = [], []
            for _ in range(rounds):
                some, more = (
                    run_once(tools.ours, "load.py", server.url, f"streams_{shape}.4.{pages}")
                    for pages in LOADED
                )
                mine.append((more["rows"] - some["rows"]) / (more["wall"] - some["wall"]))
                peer = run_once(tools.relay, "relay.py", server.url, f"dynamodb_{shape}.1.1")
                theirs.append(peer["rows"] / peer["wall"])
            times = median(a / b for a, b in zip(mine, theirs, strict=True))
            figures = [f"{median(mine):,.0f}", f"{median(theirs):,.0f}"]
            table.add(f"{shape} records", figures, times, f"{times:.0f}", target=100.0)
    return table
