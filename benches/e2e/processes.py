"""The processes of a run: servers, workers that measure on demand, readers that measure themselves."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
CHILDREN = Path(__file__).parent / "children"
CLOCK_TICKS = 100


class Process:
    """A process that answers on standard output and ends with its input."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended without an answer")
        return line.strip()

    def ask(self, question: str) -> str:
        assert self._process.stdin
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self.line()

    def cpu_seconds(self) -> float:
        """Of all its threads so far, as the kernel counts them."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / CLOCK_TICKS


class Server(Process):
    """A process that first says where it listens."""

    def __init__(self, *command: str | Path) -> None:
        super().__init__(*command)
        self.address = self.line().removeprefix("listening on ")

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class Worker(Process):
    """Measures what a line names."""

    def measure(self, workload: str, contender: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ask(f"{workload} {contender}"))
        return answer


def run_once(
    python: Path, child: str, *arguments: object, cores: str | None = None, timeout: float = 300
) -> dict[str, Any]:
    """Run a child to its end; its last line is its answer."""
    pinned = ["taskset", "--cpu-list", cores] if cores else []
    command = [*pinned, str(python), str(CHILDREN / child), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{child} {arguments} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def versions(python: Path, names: list[str]) -> Mapping[str, str]:
    """What is installed where a child runs."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True)
    found: Mapping[str, str] = json.loads(done.stdout)
    return found
