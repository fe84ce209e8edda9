"""Loading a source into a destination: `load`, `load_async` and the report they give."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Literal, Unpack

from shardarrow.checks import one_of, seconds
from shardarrow.errors import UsageError
from shardarrow.loaders.base import Loader, Loop, Progress, Saved
from shardarrow.loaders.report import Report
from shardarrow.loaders.stop import Stop, on_signals
from shardarrow.options import STREAM_DEFAULTS, StreamOptions
from shardarrow.signatures import names_options

if TYPE_CHECKING:
    from datetime import timedelta

    import duckdb

    from shardarrow.source import Source

__all__ = ["Report", "Saved", "load", "load_async", "saved"]


@names_options(StreamOptions, STREAM_DEFAULTS)
def load(
    source: Source,
    destination: str | duckdb.DuckDBPyConnection,
    *,
    table: str | None = None,
    mode: Literal["mirror", "append"] = "mirror",
    load_interval: float | timedelta = 1.0,
    lock_timeout: float | timedelta = 30.0,
    progress: Progress | None = None,
    **options: Unpack[StreamOptions],
) -> Report:
    """Loads the source and its changes into a table, each exactly once, whenever the process is killed.

    With ``start="snapshot"`` the source is scanned first; `Report.ready` says when the mirror is whole.
    With ``on_gap="resnapshot"`` it is scanned again after a loss, under the next epoch, and rows which
    that scan did not see leave the mirror when it is complete.

    The checkpoint is kept in the destination, in the transaction of the data; a later call goes on
    where it ends. In the main thread SIGINT and SIGTERM finish the batch in hand, commit and return;
    a second one leaves at once, and what was not committed is loaded by the next call.

    Args:
        source: What `dynamodb`, `kinesis` or `source` gave.
        destination: ``duckdb:///file`` (relative), ``duckdb:////file`` or an open DuckDB connection; or
            ``kinesis://stream?checkpoint=FILE&…`` with the options of `KinesisWriter`, which needs
            ``mode="append"`` and writes each row at least once.
        table: ``name`` or ``schema.name``, a part with dots in double quotes; the source's table by default.
        mode: ``"mirror"`` makes the table equal to the source, by key; ``"append"`` makes every change, and
            every item of every scan, a row.
        load_interval: How long changes are collected before they are written.
        lock_timeout: How long to wait while somebody else holds the file.
        progress: Called about every `load_interval` with the report so far and the stream.
        **options: Those of `Source.stream` but ``checkpoint``, ``name`` and ``commit``; with ``follow=False``
            it ends when everything there is now is loaded.

    Raises:
        UsageError: An option has a value that cannot work.
        LoadError: The destination cannot be written, or table and checkpoint do not belong together.
        StreamUnusableError: The mode is ``"mirror"`` and the stream carries no new image.
        CheckpointBusyError: Another loader writes to the same table.
        ShardArrowError: Whatever the stream raises.
    """
    stop = Stop()
    _check(options)
    loader = _loader(source, destination, table, mode, lock_timeout, options)
    loop = Loop(loader, load_interval=seconds("load_interval", load_interval), stop=stop, progress=progress)
    with on_signals(stop):
        return loop.run(source, **options)


def saved(destination: str | duckdb.DuckDBPyConnection, lock_timeout: float | timedelta = 5.0) -> list[Saved]:
    """What the destination remembers of every table loaded into it.

    Raises:
        LoadError: There is no such destination, or somebody holds it for longer than `lock_timeout`.
    """
    from shardarrow.loaders.duckdb import saved_in

    _require_known(destination)
    return saved_in(destination, seconds("lock_timeout", lock_timeout))


@names_options(StreamOptions, STREAM_DEFAULTS)
async def load_async(
    source: Source,
    destination: str | duckdb.DuckDBPyConnection,
    *,
    table: str | None = None,
    mode: Literal["mirror", "append"] = "mirror",
    load_interval: float | timedelta = 1.0,
    lock_timeout: float | timedelta = 30.0,
    progress: Progress | None = None,
    **options: Unpack[StreamOptions],
) -> Report:
    """As `load`, for an event loop: the work is done in a thread of its own, which also calls `progress`.

    No signal is touched: cancel the task to stop. It finishes the batch in hand and commits before
    the cancellation goes on; cancelled a second time it leaves at once.
    """
    stop = Stop()
    _check(options)
    loader = _loader(source, destination, table, mode, lock_timeout, options)
    loop = Loop(loader, load_interval=seconds("load_interval", load_interval), stop=stop, progress=progress)
    done = _in_thread(loop, source, options)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.request("cancellation")
        await asyncio.shield(done)
        raise


def _check(options: StreamOptions) -> None:
    for name in ("checkpoint", "name", "commit"):
        if name in options:
            raise UsageError(
                f"load() takes no {name}=; the checkpoint is kept in the destination, with the data"
            )


def _loader(
    source: Source,
    destination: Any,
    table: str | None,
    mode: str,
    lock_timeout: float | timedelta,
    options: StreamOptions,
) -> Loader:
    from shardarrow.loaders.duckdb import DuckDBLoader
    from shardarrow.loaders.duckdb.target import parse_name

    one_of("mode", mode, ("mirror", "append"))
    if isinstance(destination, str) and destination.startswith("kinesis://"):
        return _into_kinesis(source, destination, table, mode, options)
    source._check_mode(mode)
    _require_known(destination)
    # A name that nobody typed is taken as it is: a table's own name may contain dots.
    parts = (source._default_table,) if table is None else parse_name(table)
    patience = seconds("lock_timeout", lock_timeout)
    return DuckDBLoader(destination, parts, mode, patience, unordered=source._is_unordered)


def _into_kinesis(
    source: Source, destination: str, table: str | None, mode: str, options: StreamOptions
) -> Loader:
    from shardarrow.loaders.kinesis import KinesisLoader

    if mode != "append":
        raise UsageError(
            "a Kinesis stream cannot be a mirror, because nothing in it can be replaced: pass mode='append'"
        )
    if table is not None:
        raise UsageError(f"table={table!r} has no place in a Kinesis stream; the URL names the stream")
    loader = KinesisLoader(destination, quarantine=options.get("on_bad_record") == "quarantine")
    loader.check(source)
    return loader


def _require_known(destination: Any) -> None:
    if isinstance(destination, str) and not destination.startswith("duckdb://"):
        # It may hold credentials.
        named = destination.partition("?")[0].rpartition("@")[2]
        raise UsageError(
            f"destination {named!r} is not known; write a URL such as 'duckdb:///shop.duckdb' or "
            "'kinesis://clicks'"
        )


def _in_thread(loop: Loop, source: Source, options: StreamOptions) -> asyncio.Future[Report]:
    """Runs the loop in a thread that a process does not wait for when it leaves."""
    home = asyncio.get_running_loop()
    done: asyncio.Future[Report] = home.create_future()

    def settle(report: Report | None, error: BaseException | None) -> None:
        if report is not None and not done.cancelled():
            done.set_result(report)
        elif error is not None and not done.cancelled():
            done.set_exception(error)

    def work() -> None:
        report, error = None, None
        try:
            report = loop.run(source, **options)
        except BaseException as raised:  # noqa: BLE001 - handed to the waiter, whatever it is
            error = raised
        # The event loop may be closed by now: then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            home.call_soon_threadsafe(settle, report, error)

    threading.Thread(target=work, name="shardarrow-load", daemon=True).start()
    return done
