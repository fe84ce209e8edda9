"""Reads the project's pages: what a reader could type, and where links lead."""

import re
from dataclasses import dataclass
from pathlib import Path

from services import ROOT

# ```language … ``` for the reader, <!-- setup … --> for the test alone.
PIECES = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$"
    r"|^<!-- setup\n(?P<setup>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<to>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block, or a hidden one that prepares the next."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted(ROOT.glob("docs/**/*.md")),
    ]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in PIECES.finditer(text):
        code = match["setup"] if match["setup"] is not None else match["code"]
        language = "python" if match["setup"] is not None else match["language"].strip()
        line = text.count("\n", 0, match.start()) + 2
        indent = match["indent"] or ""
        found.append(Block(page, line, language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE)))
    return found


def links(page: Path) -> list[str]:
    prose = PIECES.sub("", page.read_text(encoding="utf-8"))
    return [match["to"] for match in LINK.finditer(prose)]


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings answer to."""
    prose = PIECES.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block: Block) -> list[str]:
    """The command lines of a shell block, continued lines joined, output and comments left out."""
    text = block.code.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]
