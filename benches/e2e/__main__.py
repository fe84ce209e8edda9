"""Measures everything and writes docs/benchmarks.md: `make bench`."""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import decode
import whole
from processes import CHILDREN, ROOT, Worker, versions
from report import Table, machine, write
from whole import Tools

SERVICES = ["streams", "scan"]
KINESIS = ["dynamodb", "json"]


def measures(
    tools: Tools, rounds: int, seconds: float, stack: ExitStack
) -> dict[str, Callable[[], list[Table]]]:
    """What can be measured, by name."""
    rust = stack.enter_context(Worker(tools.bench, "work"))
    boto3 = stack.enter_context(Worker(tools.ours, CHILDREN / "boto3_decode.py", tools.bench))
    few, fewer = max(rounds // 2, 3), max(rounds // 3, 3)
    return {
        "dom": lambda: [decode.against_dom(rust, rounds)],
        "sdk": lambda: [decode.against_sdk(rust, few, [*SERVICES, "dynamodb"])],
        "boto3": lambda: [decode.against_boto3(rust, boto3, few, [*SERVICES, *KINESIS])],
        "order": lambda: [decode.random_order(rust, rounds)],
        "fixed": lambda: [decode.fixed_cost(rust, rounds)],
        "shard": lambda: whole.one_shard(tools, fewer),
        "kinesis": lambda: [whole.kinesis(tools, fewer)],
        "shards": lambda: [whole.many_shards(tools, fewer)],
        "memory": lambda: [whole.memory(tools, seconds)],
        "ready": lambda: [whole.ready_batches(tools, fewer)],
        "latency": lambda: [whole.latency(tools)],
        "cost": lambda: [whole.cost(tools)],
        "mirror": lambda: [whole.mirror(tools, 2)],
    }


def headline(tables: list[Table]) -> str:
    """Cores and latency: the services limit a shard, so bytes a second are nobody's."""
    found = {(table.name, row.what): row for table in tables for row in table.rows}
    medium = found.get(("whole-cpu", "streams medium"))
    latency = found.get(("whole-latency", "from the answer"))
    if not medium or not latency:
        return "A part of the measurements."
    records, shards = medium.figures
    return (
        f"One core carries about **{shards} shards** at the 2 MB a second a shard gives at most, or "
        f"**{records} records** "
        f"of 28 attributes a second.\nA batch is in Python **{latency.figures[0]}** after its answer "
        f"(p50; p99 "
        f"{latency.text}). AWS limits what a shard gives, so what you gain\nis cores and latency, not "
        f"bytes a second."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True, help="Cargo's release folder")
    parser.add_argument("--ours", type=Path, required=True, help="Python with the wheel")
    parser.add_argument("--relay", type=Path, required=True, help="Python with cratedb-toolkit")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20, help="how long memory is watched")
    parser.add_argument("--only", help="names, with commas; nothing is written then")
    given = parser.parse_args()
    tools = Tools(
        given.target / "bench", given.target / "twin", given.ours.absolute(), given.relay.absolute()
    )
    begun = time.monotonic()
    tables: list[Table] = []
    with ExitStack() as stack:
        for name, measure in measures(tools, given.rounds, given.seconds, stack).items():
            if not given.only or name in given.only.split(","):
                print(name, flush=True)
                tables += measure()
    if given.only:
        return
    ours = versions(given.ours, ["boto3", "pyarrow", "duckdb"])
    relay = versions(given.relay, ["cratedb-toolkit", "commons-codec", "async-kinesis"])
    software = ", ".join(f"{name} {version}" for name, version in {**ours, **relay}.items())
    minutes = (time.monotonic() - begun) / 60
    write(tables, software, minutes, ROOT / "docs", headline(tables))
    print(f"{minutes:.1f} minutes on {machine()}")


main()
