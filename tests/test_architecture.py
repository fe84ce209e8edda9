"""The stages stand in one order and a module imports only from those before it.

The sources are read as text: nothing is imported, so this runs without the built module.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUST = ROOT / "src"
PYTHON = ROOT / "python" / "shardarrow"

RUST_STAGES = [
    "broken",
    "position",
    "error",
    "page",
    "lineage",
    "frontier",
    "budget",
    "aws",
    "source",
    "reader",
    "decode",
    "batch",
    "checkpoint",
    "snapshot",
    "run",
    "stream",
    "writer",
    "python",
]
PYTHON_STAGES = [
    "_native",
    "errors",
    "checks",
    "signatures",
    "checkpoint",
    "options",
    "url",
    "batch",
    "waiting",
    "lifetime",
    "ready",
    "shards",
    "stream",
    "source",
    "dynamodb",
    "kinesis",
    "by_url",
    "writer",
    "loaders",
    "demo",
    "cli",
]

# What stands beside the loaders in their folder and is not one.
SERVES_ALL_LOADERS = {"base", "report", "snapshot", "stop"}

# Which stages may use a foreign crate; a stage that is not named here may not.
CRATE_ROOMS = {
    "aws_": {"aws", "source", "writer"},
    "tokio": {"aws", "source", "stream", "writer", "python"},
    "pyo3": {"python"},
    "rusqlite": {"checkpoint"},
}
# Decided by plain values: no clock, no waiting, no randomness of their own.
PURE_STAGES = {
    "position",
    "error",
    "page",
    "lineage",
    "frontier",
    "budget",
    "reader",
    "decode",
    "batch",
    "snapshot",
    "run",
}
# The same holds for single files of other stages.
PURE_FILES = {
    RUST / "writer" / name
    for name in ("plan.rs", "rows.rs", "change.rs", "json.rs", "moment.rs", "template.rs")
}
IMPURE = re.compile(r"\.await\b|\basync\s+(?:fn|move)\b|\bInstant::now\b|\bSystemTime\b|\bthread::|\brand::")


def rust_code(text: str) -> str:
    """The code without comments and without the contents of string literals."""
    pattern = re.compile(
        r"""//[^\n]*|/\*.*?\*/|b?r(?P<hash>#+)".*?"(?P=hash)|b?r?"(?:\\.|[^"\\])*"|b?'(?:\\.|[^'\\])'""",
        re.DOTALL,
    )
    return pattern.sub(lambda match: "" if match[0].startswith("/") else '""', text)


def without_tests(code: str) -> str:
    """The code up to its test modules, which stand at the end of a file."""
    return re.split(r"#\[cfg\(test\)\]\s*mod\s", code, maxsplit=1)[0]


def rust_stage(path: Path) -> str:
    return path.relative_to(RUST).parts[0].removesuffix(".rs")


def rust_files() -> list[Path]:
    return [path for path in sorted(RUST.rglob("*.rs")) if path != RUST / "lib.rs"]


def heads_of_group(group: str) -> set[str]:
    """`a::X, b::{c, d}` → {a, b}: the first name of each path of a `{…}` group."""
    while "{" in group:
        shorter = re.sub(r"\{[^{}]*\}", "", group)
        assert shorter != group, f"unbalanced braces in {group!r}"
        group = shorter
    return {match[0] for path in group.split(",") if (match := re.match(r"\w+", path.strip()))}


def rust_imports(code: str, path: Path) -> set[str]:
    """First path segments behind `crate::` (and behind `super::` where that is the crate's root)."""
    if path.parent == RUST or (path.parent.parent == RUST and path.name == "mod.rs"):
        # Inside `mod tests { … }` the lines are indented and `super` is the file itself.
        code = re.sub(r"^((?:pub(?:\([^)]*\))? )?use )super::", r"\1crate::", code, flags=re.MULTILINE)
    found = set(re.findall(r"\bcrate::(\w+)", code))
    for start in re.finditer(r"\bcrate::\{", code):
        found |= heads_of_group(balanced(code, start.end()))
    return found


def balanced(code: str, start: int) -> str:
    """The text from `start` to the brace that closes the one before it."""
    depth = 1
    for offset, character in enumerate(code[start:]):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return code[start : start + offset]
    raise AssertionError(f"a brace is never closed: {code[start - 30 : start + 30]!r}")


def later_imports(stage: str, imports: set[str], stages: list[str]) -> list[str]:
    assert stage in stages, f"{stage} is not a stage; name it in tests/test_architecture.py or move it"
    unknown = imports - set(stages)
    assert not unknown, f"{stage} imports {sorted(unknown)}, which are not stages"
    return sorted(name for name in imports if stages.index(name) > stages.index(stage))


@pytest.mark.parametrize("path", rust_files(), ids=lambda path: str(path.relative_to(RUST)))
def test_a_rust_module_imports_only_from_stages_before_it(path: Path) -> None:
    code = rust_code(path.read_text(encoding="utf-8"))
    later = later_imports(rust_stage(path), rust_imports(code, path), RUST_STAGES)
    assert not later, f"{path.relative_to(ROOT)} imports from later stages: {', '.join(later)}"


def test_lib_rs_lists_the_stages_in_order() -> None:
    code = rust_code((RUST / "lib.rs").read_text(encoding="utf-8"))
    assert re.findall(r"^(?:pub )?mod (\w+);", code, flags=re.MULTILINE) == RUST_STAGES


@pytest.mark.parametrize("path", rust_files(), ids=lambda path: str(path.relative_to(RUST)))
def test_a_foreign_crate_stays_in_its_room(path: Path) -> None:
    code = without_tests(rust_code(path.read_text(encoding="utf-8")))
    for crate, rooms in CRATE_ROOMS.items():
        used = re.search(rf"(?<!::)\b{crate}\w*::", code)
        assert not used or rust_stage(path) in rooms, (
            f"{path.relative_to(ROOT)} uses {used[0]}… outside {sorted(rooms)}"
        )


@pytest.mark.parametrize(
    "path",
    [path for path in rust_files() if rust_stage(path) in PURE_STAGES or path in PURE_FILES],
    ids=lambda path: str(path.relative_to(RUST)),
)
def test_a_pure_stage_has_no_clock_and_never_waits(path: Path) -> None:
    code = without_tests(rust_code(path.read_text(encoding="utf-8")))
    found = IMPURE.search(code)
    assert not found, f"{path.relative_to(ROOT)} is a pure stage but has {found[0]!r}"


def test_the_twin_does_not_depend_on_the_crate() -> None:
    manifest = tomllib.loads((ROOT / "tests" / "twin" / "Cargo.toml").read_text(encoding="utf-8"))
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        assert "shardarrow" not in manifest.get(table, {})


def python_stage(path: Path) -> str:
    return path.relative_to(PYTHON).parts[0].split(".")[0]


def python_files() -> list[Path]:
    return [path for path in sorted(PYTHON.rglob("*.py")) if path != PYTHON / "__init__.py"]


def python_imports(path: Path) -> set[str]:
    """Dotted names inside the package that a file imports, wherever in the file, types included."""
    package = ["shardarrow", *path.relative_to(PYTHON).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import x` names the module x; `from .x import y` may name a module or a name in x.
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "shardarrow"}


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PYTHON)))
def test_a_python_module_imports_only_from_stages_before_it(path: Path) -> None:
    names = python_imports(path)
    bare = {name for name in names if len(name.split(".")) < 2}
    assert not bare, f"{path.relative_to(ROOT)} imports the whole package; import the stage it needs"
    stages = {name.split(".")[1] for name in names}
    later = later_imports(python_stage(path), stages, PYTHON_STAGES)
    assert not later, f"{path.relative_to(ROOT)} imports from later stages: {', '.join(later)}"


def loader_files() -> list[Path]:
    """A loader is one file or one folder of `loaders`."""
    return [
        path
        for path in python_files()
        if python_stage(path) == "loaders" and loader(path) not in {"__init__", *SERVES_ALL_LOADERS}
    ]


def loader(path: Path) -> str:
    return path.relative_to(PYTHON / "loaders").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", loader_files(), ids=lambda path: str(path.relative_to(PYTHON)))
def test_loaders_never_import_each_other(path: Path) -> None:
    parts = [name.split(".") for name in python_imports(path)]
    others = {name[2] for name in parts if name[1] == "loaders" and len(name) > 2}
    others -= {loader(path), *SERVES_ALL_LOADERS}
    assert not others, f"{path.relative_to(ROOT)} imports {sorted(others)}"
