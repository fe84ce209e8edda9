"""The demo as a story in order: a writer, a loader that is killed once, a comparison."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

from .compare import differences
from .emulator import Emulator
from .orders import Orders

TABLE = "orders"
CHANGES = 4_000
# A slow machine makes fewer changes, so that the story stays a short one.
WRITE_SECONDS = 25.0
KEYS = 400
SEED = 20
REPORT_SECONDS = 2.0
BUSY_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
NEEDS = ("boto3", "duckdb", "ministack")


def run() -> int:
    """Run the demo on the screen.

    Returns:
        The exit code: 0 when the mirror equals the table, 1 when it does not or something failed.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        print(f"The demo needs {', '.join(missing)}: pip install 'shardarrow[demo]'")
        return 1
    with tempfile.TemporaryDirectory(prefix="shardarrow-demo-") as folder, Emulator() as emulator:
        return Demo(emulator, Path(folder)).run()


class DemoError(Exception):
    """What went wrong, in a sentence for the screen."""


class Writer(threading.Thread):
    """Changes the table until all changes are made, the time is up or `stop` is called."""

    def __init__(self, orders: Orders) -> None:
        super().__init__(name="writer", daemon=True)
        self.orders = orders
        self.written = 0
        self.progress = 0.0
        self.failure: Exception | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Make the changes one by one; a failure is kept for the thread that waits."""
        began = time.monotonic()
        try:
            while self.progress < 1 and not self._stopping.is_set():
                self.orders.change(self.progress)
                self.written += 1
                self.progress = max(self.written / CHANGES, (time.monotonic() - began) / WRITE_SECONDS)
        except Exception as failure:  # noqa: BLE001
            self.failure = failure

    def stop(self) -> None:
        """End between two changes."""
        self._stopping.set()
        self.join()


class Loader:
    """`shardarrow load` as a process of its own, which can be killed and started again."""

    def __init__(self, emulator: Emulator, file: Path, log: Path) -> None:
        source, destination = f"dynamodb://{TABLE}", f"duckdb:///{file}"
        self.arguments = ["load", source, destination, "--table", TABLE]
        self._environment = emulator.process_environment()
        self._log = log
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = Path(sysconfig.get_path("scripts")) / "shardarrow"
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(command), *self.arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Raise `DemoError` if the process has ended by itself."""
        if self._process.poll() is not None:
            raise DemoError(f"the loader ended with exit code {self._process.returncode}\n{self._said()}")

    def kill_and_restart(self) -> None:
        """SIGKILL: the process gets no chance to finish anything."""
        self.kill()
        self._process = self._start()

    def kill(self) -> None:
        """End it for good."""
        self._process.kill()
        self._process.wait()

    def leave(self) -> None:
        """SIGTERM: it finishes the batch in hand, commits and leaves."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the loader did not leave when it was asked to\n{self._said()}") from None

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


class Demo:
    """One run: the writer changes the table, the loader follows, this process looks on and compares."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.began = time.monotonic()
        self.endpoint_url = emulator.endpoint_url
        self.file = folder / "shop.duckdb"
        self.orders = Orders(emulator.client("dynamodb"), TABLE, KEYS, SEED)
        self.orders.create()
        self.writer = Writer(self.orders)
        self.loader = Loader(emulator, self.file, folder / "loader.log")

    def run(self) -> int:
        """Tell the story; 0 when the mirror equals the table."""
        self._introduce()
        self.writer.start()
        try:
            self._follow_and_kill()
            self._catch_up()
            return self._compare()
        except DemoError as failure:
            print(f"\n{failure}")
            return 1
        finally:
            self.writer.stop()
            self.loader.kill()

    def _introduce(self) -> None:
        print(f"DynamoDB  an emulator at {self.endpoint_url}; a table {TABLE!r} with a stream")
        print(f"writer    up to {CHANGES:,} changes of {KEYS} orders: inserts, updates, deletes; 38 digits")
        print(f"loader    shardarrow {shlex.join(self.loader.arguments)}")
        print("reader    this process, which queries the mirror while it is followed\n", flush=True)

    def _follow_and_kill(self) -> None:
        """Look into the mirror until all is written; kill the loader when the work is half done."""
        killed = False
        while self.writer.is_alive():
            self.writer.join(REPORT_SECONDS)
            self._check()
            rows = self._query(f"SELECT count(*) FROM {TABLE}")
            self._say(f"{self.writer.written:5,} changes written, {rows:3} orders in the mirror")
            if rows and not killed and self.writer.progress >= 0.5:
                self._kill()
                killed = True
        self._check()
        if not killed:
            self._kill()

    def _kill(self) -> None:
        self.loader.kill_and_restart()
        self._say("the loader is killed (SIGKILL) and started again")

    def _catch_up(self) -> None:
        """Write one last order, wait until the mirror has it, and let the loader go."""
        self.orders.finish()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._query(f"SELECT count(*) FROM {TABLE} WHERE id = '{self.orders.LAST}'"):
            self._check()
            if time.monotonic() > deadline:
                raise DemoError(f"the mirror did not catch up within {PATIENCE_SECONDS:.0f} s")
            # The file is all there is to see, and nothing tells another process that it has changed.
            time.sleep(0.1)
        self._say("everything is written and the mirror has it; the loader may leave")
        self.loader.leave()

    def _compare(self) -> int:
        import duckdb

        items = self.orders.items()
        with duckdb.connect(str(self.file), read_only=True) as mirror:
            result = mirror.execute(f"SELECT * FROM {TABLE}")
            names = [column[0] for column in result.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        found = differences(items, rows)
        attributes = sum(map(len, items))
        verdict = f"{len(found)} DIFFERENCES" if found else "equal, to the last digit"
        print(f"\ncompared  {len(items)} orders with {attributes:,} attributes, row by row: {verdict}")
        for difference in found[:10]:
            print(f"          {difference}")
        print(f"          in {time.monotonic() - self.began:.0f} seconds", flush=True)
        return 1 if found else 0

    def _query(self, sql: str) -> int:
        """One number from the mirror, 0 while there is none; waits while the loader holds the file."""
        import duckdb

        deadline = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < deadline and self.file.exists():
            try:
                with duckdb.connect(str(self.file), read_only=True) as mirror:
                    [number] = mirror.execute(sql).fetchone() or [0]
                    return int(number)
            except duckdb.CatalogException:
                return 0
            except duckdb.IOException:
                time.sleep(0.02)
        return 0

    def _check(self) -> None:
        if self.writer.failure:
            raise DemoError(f"the writer failed: {self.writer.failure!r}")
        self.loader.check()

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s   {text}", flush=True)
