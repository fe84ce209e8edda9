"""Loading a source into a destination: ``load``, ``load_async`` and the report they give."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

from ..errors import UsageError
from .base import Loader, Loop, Progress
from .report import Report
from .stop import Stop, on_signals

__all__ = ["Report", "load", "load_async"]

MODES = ("mirror", "append")


def load(
    source: Any,
    destination: Any,
    *,
    table: str | None = None,
    mode: str = "mirror",
    follow: bool = True,
    load_interval: float = 1.0,
    lock_timeout: float = 30.0,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Loads the source's changes into a table, each exactly once, whenever the process is killed.

    The checkpoint is kept in the destination, in the transaction of the data; a later call goes on
    where it ends. In the main thread SIGINT and SIGTERM finish the batch in hand, commit and return;
    a second one leaves at once.

    Args:
        source: what ``shardarrow.dynamodb`` or ``shardarrow.source`` gave.
        destination: ``duckdb:///file`` (relative), ``duckdb:////file`` or an open DuckDB connection.
        table: ``name`` or ``schema.name``, a part with dots in double quotes; the source's table by default.
        mode: ``mirror`` makes the table equal to the source, by key; ``append`` makes every change a row.
        follow: go on until stopped; False ends as ``stream(follow=False)`` does.
        load_interval: seconds for which changes are collected before they are written.
        lock_timeout: seconds to wait while somebody else holds the file.
        progress: called about every ``load_interval`` with the report so far and the stream.
        options: every option of ``stream`` but ``checkpoint`` and ``commit``.

    Raises:
        UsageError: an option has a value that cannot work.
        LoadError: the destination cannot be written, or table and checkpoint do not belong together.
        StreamUnusableError: the mode is ``mirror`` and the stream carries no new image.
        CheckpointBusyError: another loader writes to the same table.
        ShardArrowError: whatever the stream raises.
    """
    stop = Stop()
    loader = loader_for(source, destination, table, mode, lock_timeout)
    _check(load_interval, options)
    loop = Loop(loader, load_interval=load_interval, stop=stop, progress=progress)
    with on_signals(stop):
        return loop.run(source, follow=follow, **options)


async def load_async(
    source: Any,
    destination: Any,
    *,
    table: str | None = None,
    mode: str = "mirror",
    follow: bool = True,
    load_interval: float = 1.0,
    lock_timeout: float = 30.0,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """``load`` for an event loop: the work is done in a thread of its own, which also calls ``progress``.

    No signal is touched: cancel the task to stop. It finishes the batch in hand and commits before
    the cancellation goes on; cancelled a second time it leaves at once.
    """
    stop = Stop()
    loader = loader_for(source, destination, table, mode, lock_timeout)
    _check(load_interval, options)
    loop = Loop(loader, load_interval=load_interval, stop=stop, progress=progress)
    done = _in_thread(loop, source, {"follow": follow, **options})
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.request("cancellation")
        await asyncio.shield(done)
        raise


def loader_for(source: Any, destination: Any, table: str | None, mode: str, lock_timeout: float) -> Loader:
    """The loader of a destination."""
    from .duckdb import DuckDBLoader
    from .duckdb.target import parse_name

    if mode not in MODES:
        raise UsageError(f"mode must be 'mirror' or 'append', not {mode!r}")
    _check_seconds("lock_timeout", lock_timeout)
    if isinstance(destination, str) and not destination.startswith("duckdb://"):
        raise UsageError(f"destination {destination!r} is not known: write a URL such as 'duckdb:///shop.duckdb'")
    # A name that was not typed is taken as it is: a table's own name may contain dots.
    parts = (source.table_name,) if table is None else parse_name(table)
    return DuckDBLoader(destination, parts, mode, lock_timeout)


def _check(load_interval: float, options: dict[str, Any]) -> None:
    _check_seconds("load_interval", load_interval)
    for name in ("checkpoint", "commit"):
        if name in options:
            raise UsageError(f"{name} is no option of load: the checkpoint lives in the destination, with the data")


def _check_seconds(name: str, value: Any) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if not good:
        raise UsageError(f"{name} must be a number of seconds, 0 or more, not {value!r}")


def _in_thread(loop: Loop, source: Any, options: dict[str, Any]) -> asyncio.Future[Report]:
    """Runs the loop in a thread that a process does not wait for when it leaves."""
    home = asyncio.get_running_loop()
    done: asyncio.Future[Report] = home.create_future()

    def settle(report: Report | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        elif report is not None:
            done.set_result(report)

    def work() -> None:
        report, error = None, None
        try:
            report = loop.run(source, **options)
        except BaseException as raised:  # Handed to the waiter, whatever it is.
            error = raised
        try:
            home.call_soon_threadsafe(settle, report, error)
        except RuntimeError:
            pass  # The event loop was closed: nobody waits any more.

    threading.Thread(target=work, name="shardarrow-load", daemon=True).start()
    return done
