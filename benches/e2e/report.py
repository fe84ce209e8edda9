"""What was found, as tables of a page and a plot for each."""

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from plot import Bar, svg


@dataclass
class Row:
    """A figure beside what it is measured against."""

    what: str
    figures: list[str]
    value: float
    text: str
    target: float | None = None
    most: bool = False

    @property
    def reach(self) -> str:
        if self.target is None:
            return ""
        return f"{'≤' if self.most else '≥'} {self.target:g}"

    @property
    def met(self) -> str:
        if self.target is None:
            return ""
        return "yes" if (self.value <= self.target if self.most else self.value >= self.target) else "**no**"


@dataclass
class Table:
    name: str
    title: str
    text: str
    figures: list[str]
    measure: str
    rows: list[Row] = field(default_factory=list)

    def add(
        self, what: str, figures: list[str], value: float, text: str, **reach: float | bool | None
    ) -> None:
        row = Row(what, figures, value, text, **reach)  # type: ignore[arg-type]
        print(f"  {what:44} {text:>14}  {row.reach:>8} {row.met}", flush=True)
        self.rows.append(row)

    def markdown(self) -> str:
        head = ["", *self.figures, self.measure, "to reach", "reached"]
        lines = [f"## {self.title}", "", self.text, "", "| " + " | ".join(head) + " |"]
        lines.append("|" + "-|" * len(head))
        for row in self.rows:
            cells = [row.what, *row.figures, row.text, row.reach, row.met]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", f"![{self.title}](benchmarks/{self.name}.svg)", ""])

    def plot(self) -> str:
        bars = [Bar(row.what, row.value, row.text, row.target) for row in self.rows]
        return svg(f"{self.title}: {self.measure}", bars)


def machine() -> str:
    """The processor and the system, in one sentence."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"{rust}, Python {platform.python_version()}"
    )


def write(tables: list[Table], software: str, minutes: float, folder: Path, headline: str) -> None:
    """Write the page and its plots."""
    plots = folder / "benchmarks"
    plots.mkdir(exist_ok=True)
    for table in tables:
        (plots / f"{table.name}.svg").write_text(table.plot())
    load = os.getloadavg()[2]
    parts = [
        "# Benchmarks",
        "",
        headline,
        "",
        f"Measured on {datetime.now(UTC):%d %B %Y} by `make bench` in {minutes:.0f} minutes: "
        f"{machine()}; {software}.",
        f"The load of the machine was {load:.1f} over the last quarter of an hour, this run included.",
        "",
        "Figures of one row come from the same run: each side is measured in turn, again and again, "
        "and a ratio is the",
        "median of the ratios of the turns. Both sides are built with the same flags: the release "
        "profile of the wheel,",
        "for every x86-64 processor, with SIMD chosen at run time where a library does so. MB are "
        "10⁶ bytes of the",
        "answers' JSON. Wherever processor time is meant the table says so.",
        "What is compared and why, where the time goes, and why a row is missed: "
        "[decision 18](decisions/0018-what-the-benchmarks-compare.md).",
        "",
        *(table.markdown() for table in tables),
    ]
    (folder / "benchmarks.md").write_text("\n".join(parts).rstrip() + "\n")
