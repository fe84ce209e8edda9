"""The table of failures names tests that exist, and every number has its row."""

import re

from services import ROOT

PAGE = ROOT / "docs" / "reference" / "failures.md"
ROW = re.compile(r"^\| (?P<number>\d+) \| .+ \| .+ \| (?P<tests>.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(?P<path>[\w./]+)::(?P<name>\w+)`")
MARK = r"#\[(?:tokio::)?test(?:\([^)]*\))?\]\s*(?:#\[[^\]]*\]\s*)*"
LEFT_OUT = {*range(58, 68), *range(89, 101)}
"""Numbers that the page explains above its tables."""


def rows() -> dict[int, str]:
    return {int(row["number"]): row["tests"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}


def test_every_number_has_its_row() -> None:
    assert set(rows()) == set(range(1, 109)) - LEFT_OUT


def test_every_row_names_a_test() -> None:
    for number, tests in rows().items():
        assert TEST.search(tests), f"{number} names no test"


def test_every_test_that_is_named_exists() -> None:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        number = line.split("|")[1].strip() if line.startswith("|") else line
        for test in TEST.finditer(line):
            path, name = ROOT / test["path"], test["name"]
            assert path.is_file(), f"{number}: there is no {test['path']}"
            defined = re.search(
                rf"^\s*(?:pub\(crate\) )?(?:async )?(?:fn|def) {name}\b", path.read_text("utf-8"), re.M
            )
            assert defined, f"{number}: {test['path']} has no {name}"
            assert is_a_test(test["path"], name), f"{number}: {name} is no test"


def is_a_test(path: str, name: str) -> bool:
    """Marked as one, found as one, or a target of the fuzzer, whose corpus is replayed."""
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".py"):
        return name.startswith("test_")
    if path == "tests/fuzz/targets.rs":
        return f'("{name}", {name})' in text
    return bool(
        re.search(rf"{MARK}(?:pub\(crate\) )?(?:async )?fn {name}\b", text)
        or re.search(rf"proptest! \{{.*fn {name}\b", text, re.S)
    )
