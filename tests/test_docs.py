"""Every example on every page runs, every command line parses, every link leads somewhere.

The Python blocks of a page run in order and share their names, as a reader would type them, in an
empty directory and with the AWS chain pointing at the emulator, where a table `orders` has three
orders, a Kinesis stream `clicks` three records and `orders-cdc` a change. A comment `<!-- setup … -->`
before a block holds what a reader need not see.
"""

import ast
import asyncio
import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from documents import Block, anchors, blocks, commands, links, pages
from services import ROOT, Tables
from shardarrow.demo.emulator import Emulator

LANGUAGES = {"python", "sh", "console", "sql", "text", "json", "toml", "rust"}
ORDERS = [
    {"id": {"S": f"order-{number}"}, "amount": {"N": f"{number}9.90"}, "paid": {"BOOL": number > 1}}
    for number in (1, 2, 3)
]


CLICKS = [b'{"page": "/", "ms": 12}', b'{"page": "/cart", "ms": 7.5}', b'{"page": "/", "user": "ann"}']
CHANGE = {
    "awsRegion": "us-east-1",
    "eventID": "b015b5f0-c095-4b50-8ad0-4279aa3d88c6",
    "eventName": "INSERT",
    "userIdentity": None,
    "recordFormat": "application/json",
    "tableName": "orders",
    "dynamodb": {
        "ApproximateCreationDateTime": 1720740233012995,
        "ApproximateCreationDateTimePrecision": "MICROSECOND",
        "Keys": {"id": {"S": "order-1"}},
        "NewImage": ORDERS[0],
        "SizeBytes": 30,
    },
    "eventSource": "aws:dynamodb",
}


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


def shell_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language in {"sh", "console"}]


@pytest.fixture
def reader(
    emulator: Emulator, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Stands where a reader stands: an empty directory, credentials in the environment, a table."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    tables.make("orders", {"id": "S"})
    tables.put("orders", *ORDERS)
    with streams(emulator, {"clicks": CLICKS, "orders-cdc": [json.dumps(CHANGE).encode()]}):
        yield


@contextmanager
def streams(emulator: Emulator, records: dict[str, list[bytes]]) -> Iterator[None]:
    """Kinesis streams with these records."""
    kinesis = emulator.client("kinesis")
    for name, datas in records.items():
        kinesis.create_stream(StreamName=name, ShardCount=2)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 0.1})
        kinesis.put_records(
            StreamName=name,
            Records=[{"PartitionKey": f"key {number}", "Data": data} for number, data in enumerate(datas)],
        )
    yield
    for name in records:
        kinesis.delete_stream(StreamName=name)


@pytest.fixture
def up_to_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples that follow for ever end when they have caught up."""
    import shardarrow
    from shardarrow.source import Source

    def bounded(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: call(
            *args, **({"settle": 0.5, "poll_interval": 0.05} | options | {"follow": False})
        )

    monkeypatch.setattr(Source, "stream", bounded(Source.stream))
    monkeypatch.setattr(shardarrow, "load", bounded(shardarrow.load))
    monkeypatch.setattr(shardarrow, "load_async", bounded(shardarrow.load_async))


def run(block: Block, names: dict[str, Any]) -> None:
    """Run one block; `await`, `async with` and `async for` may stand at its top, as in a notebook."""
    # Leading newlines make a traceback name the line of the page.
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)


@pytest.mark.parametrize("page", [page for page in pages() if python_blocks(page)], ids=page_name)
def test_the_examples_run(page: Path, reader: None, up_to_now: None) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in python_blocks(page):
        run(block, names)


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_block_names_its_language(page: Path) -> None:
    wrong = [f"{block} {block.language!r}" for block in blocks(page) if block.language not in LANGUAGES]
    assert not wrong, f"name one of {sorted(LANGUAGES)}: {wrong}"


@pytest.mark.parametrize("block", shell_blocks(), ids=str)
def test_every_command_line_exists(block: Block) -> None:
    from shardarrow.cli import build_parser

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands(block):
        program, *arguments = shlex.split(line, comments=True)
        if program == "shardarrow":
            build_parser().parse_args(arguments)
        elif program == "make":
            for target in arguments:
                assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"{block}: no {target}"


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page_name(page)} links to {link}"
        assert not fragment or fragment in anchors(target), (
            f"{page_name(page)}: {target.name} has no #{fragment}"
        )


def test_the_readme_states_the_figures_of_the_simulation() -> None:
    page = (ROOT / "docs/reference/simulation.md").read_text(encoding="utf-8")
    figures = dict(re.findall(r"^\| ([A-Z][a-z ]+) \| (.+) \|$", page, re.MULTILINE))
    assert figures["Violations"] == "0", "make sim-figures found what it must not find"
    sentence = (
        f"The core has lived through {figures['Seeds']} seeded stories,"
        f" {figures['Simulated hours']} simulated hours with {figures['Kills']} kills"
        f" and {figures['Faults and events']} faults and events, and kept every promise"
    )
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert sentence in readme, f"README.md says something else than: {sentence}"
