"""Asks every target about every behaviour and writes the page that compares them.

`python tests/conformance/table.py docs/reference/conformance.md` (see `make conformance`).
"""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
TARGETS = ("twin", "ministack", "ferrokinesis", "kinesis-local")
#: What each emulator is asked about; the fake AWS has everything.
OFFERS = {
    "ministack": {"DYNAMODB", "KINESIS", "FAN_OUT", "CHANNEL"},
    "ferrokinesis": {"KINESIS", "FAN_OUT"},
    "kinesis-local": {"KINESIS", "FAN_OUT"},
}
TITLES = {
    "DYNAMODB": "DynamoDB and its streams",
    "KINESIS": "Kinesis, polled",
    "FAN_OUT": "Kinesis, pushed",
    "CHANNEL": "Tables streamed into Kinesis",
}
HEAD = """# What the services do, and who does it

The behaviours that this package rests on, as tests: `tests/conformance` runs them against the fake AWS of
its own tests (`tests/twin`) and against emulators. The fake AWS has all of them. A *no* says that the
emulator answered otherwise, in the version named here, not that it is of no use: do not test against it
what stands in that row.

*Documented* is what AWS writes about the service, *recorded* what others saw it do. AWS itself was not
asked.

Written by `make conformance`. Emulators: ministack {ministack}, ferrokinesis {ferrokinesis},
kinesis-local {kinesis_local}. A dash: the emulator does not offer the service.
"""


@dataclass(frozen=True)
class Behaviour:
    """One test: what it says, and how that is known."""

    name: str
    service: str
    sentence: str
    provenance: str


def behaviours() -> list[Behaviour]:
    """All of them, in the order of the page."""
    found = [one for path in sorted(FOLDER.glob("test_*.py")) for one in _in_file(path)]
    return sorted(found, key=lambda one: list(TITLES).index(one.service))


def _in_file(path: Path) -> Iterator[Behaviour]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            mark = next(call for call in node.decorator_list if ast.unparse(call).startswith("behaviour("))
            assert isinstance(mark, ast.Call)
            service, provenance = mark.args
            assert isinstance(service, ast.Name) and isinstance(provenance, ast.Constant)
            sentence = (ast.get_docstring(node) or "").strip()
            yield Behaviour(f"{path.name}::{node.name}", service.id, sentence, str(provenance.value))


def ask(target: str) -> dict[str, str | None]:
    """What each behaviour came to: `None` where it holds, otherwise what was seen instead."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes.json"
        # A client that gives up on an emulator may leave its connection behind.
        quiet = ["-W", "ignore::pytest.PytestUnraisableExceptionWarning", "-W", "ignore::ResourceWarning"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=no", "-o", "timeout=60", *quiet, str(FOLDER)],
            env=os.environ | {"SHARDARROW_TARGET": target, "SHARDARROW_OUTCOMES": str(outcomes)},
            cwd=FOLDER.parent.parent,
            check=False,
        )
        seen: dict[str, str | None] = {}
        for test, outcome in json.loads(outcomes.read_text()).items():
            name = test.partition("[")[0]
            seen[name] = seen.get(name) or outcome
        return seen


def page(outcomes: dict[str, dict[str, str | None]], versions: dict[str, str]) -> str:
    """The page, from what each target came to."""
    parts = [HEAD.format(**{name.replace("-", "_"): version for name, version in versions.items()})]
    for service, title in TITLES.items():
        rows = [_row(one, outcomes) for one in behaviours() if one.service == service]
        heads = f"| {' | '.join(['behaviour', 'known', *TARGETS])} |"
        parts.append("\n".join([f"## {title}\n", heads, "|---|---|" + "---|" * len(TARGETS), *rows]) + "\n")
    parts.append("## What was seen instead\n")
    for target in TARGETS:
        if differs := [one for one in behaviours() if outcomes[target].get(one.name)]:
            lines = [f"- {one.sentence} Seen: {_brief(str(outcomes[target][one.name]))}" for one in differs]
            parts.append("\n".join([f"### {target}\n", *lines]) + "\n")
    return "\n".join(parts)


def _row(one: Behaviour, outcomes: dict[str, dict[str, str | None]]) -> str:
    cells = [_cell(one, target, outcomes[target]) for target in TARGETS]
    return f"| {' | '.join([one.sentence, one.provenance, *cells])} |"


def _cell(one: Behaviour, target: str, seen: dict[str, str | None]) -> str:
    if one.service not in OFFERS.get(target, set(TITLES)):
        return "–"
    # A test that did not run proves nothing.
    return "**no**" if seen.get(one.name, "did not run") else "yes"


def _brief(seen: str) -> str:
    """One line without what differs from run to run, as code."""
    seen = re.sub(r"botocore\.\w+\.|^AssertionError: |^Failed: ", "", seen)
    seen = re.sub(r"An error occurred \(\w+\) when calling the (\w+) operation( \(.*?\))?", r"\1", seen)
    seen = re.sub(r"\d{5,}", "…", seen).replace("`", "'").replace("|", "/")
    return f"`{seen[:110].strip()}`"


def versions() -> dict[str, str]:
    """The pinned versions, from where they are pinned."""
    root = FOLDER.parent.parent
    pins = {
        "ministack": (root / "requirements" / "emulator.txt", r"^ministack==(\S+)"),
        "ferrokinesis": (FOLDER / "ferrokinesis" / "Cargo.toml", r'^ferrokinesis = .*"=([\d.]+)"'),
        "kinesis-local": (root / "Makefile", r"^KINESIS_LOCAL := (\S+)"),
    }
    found = {
        name: re.search(pattern, path.read_text(), re.MULTILINE) for name, (path, pattern) in pins.items()
    }
    return {name: match[1] for name, match in found.items() if match}


def main() -> None:
    out = Path(sys.argv[1])
    out.write_text(page({target: ask(target) for target in TARGETS}, versions()))


if __name__ == "__main__":
    main()
