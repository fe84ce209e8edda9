"""Where a DuckDB loader writes: a file opened for each write, or an open connection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from shardarrow.errors import LoadError, UsageError
from shardarrow.loaders.duckdb.sql import quoted, rows

if TYPE_CHECKING:
    import duckdb

SCHEME = "duckdb://"
_RETRY_EVERY = 0.05
_FIRST_VERSION = 2


class Destination(Protocol):
    """Gives a connection for one piece of work, with no transaction open."""

    @property
    def label(self) -> str:
        """How errors and reports name it."""
        ...

    @property
    def is_new(self) -> bool:
        """Nothing can be in it yet."""
        ...

    def connected(self, until: float) -> Any:
        """A context manager of a connection; waits for it until this ``time.monotonic()``."""
        ...


def destination(where: Any) -> Destination:
    """The destination named by ``duckdb:///file`` (relative), ``duckdb:////file`` or an open connection.

    Raises:
        UsageError: it is none of these.
        LoadError: the package is missing or too old.
    """
    package = library()
    if isinstance(where, str):
        return File(path_of(where))
    if isinstance(where, package.DuckDBPyConnection):
        return Connection(where)
    raise UsageError(
        f"destination must be a URL such as 'duckdb:///shop.duckdb' or an open DuckDB connection, "
        f"not {type(where).__name__}"
    )


def path_of(url: str) -> str:
    """The file a ``duckdb://`` URL names."""
    rest = url.removeprefix(SCHEME)
    if rest == url or not rest.startswith("/") or "?" in rest or "#" in rest:
        raise UsageError(
            f"destination {url!r} is not a DuckDB URL: write 'duckdb:///shop.duckdb' for a file here or "
            "'duckdb:////data/shop.duckdb' for an absolute path, without options"
        )
    path = unquote(rest[1:])
    if path in ("", ":memory:"):
        raise UsageError(
            f"destination {url!r} names no file; to load into a database in memory, "
            "give an open connection: duckdb.connect()"
        )
    return path


def library() -> Any:
    """The ``duckdb`` package.

    Raises:
        LoadError: it is not installed, or too old.
    """
    try:
        import duckdb
    except ImportError as error:
        raise LoadError("loading into DuckDB needs its package: pip install 'shardarrow[duckdb]'") from error
    # Before 2.0 it reads Arrow data only through pyarrow, and has no columns of unknown type.
    if int(duckdb.__version__.partition(".")[0]) < _FIRST_VERSION:
        raise LoadError(
            f"loading needs duckdb {_FIRST_VERSION}.0 or later but {duckdb.__version__} is installed: "
            "pip install --upgrade 'shardarrow[duckdb]' 'duckdb>=2.0'"
        )
    return duckdb


class File:
    """A database file, held only while it is written."""

    def __init__(self, path: str) -> None:
        # Fixed now: a later chdir must not move the destination.
        self.path = Path(path).absolute()
        self.label = path

    @property
    def is_new(self) -> bool:
        """Whether there is no such file."""
        return not self.path.exists()

    @contextmanager
    def connected(self, until: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own, closed afterwards."""
        connection = self._connect(until)
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self, until: float) -> duckdb.DuckDBPyConnection:
        errors = library()
        while True:
            try:
                if self.is_new:
                    self._create()
                connection: duckdb.DuckDBPyConnection = library().connect(self.path)
                return connection
            except errors.Error as error:
                if not _is_held(error):
                    raise LoadError(f"cannot open {self.label}: {first_line(error)}") from error
                if time.monotonic() >= until:
                    raise LoadError(
                        f"{self.label} is held by {_holder(error)}: close it there, "
                        "or give the loader a longer lock_timeout"
                    ) from error
            time.sleep(_RETRY_EVERY)

    def _create(self) -> None:
        """Makes the file beside its place and puts it there when it is whole.

        DuckDB refuses a file whose making was cut off, so a process killed meanwhile would leave one
        that nobody can open.

        Raises:
            LoadError: A log is left of a database that is gone, or the folder cannot be written.
        """
        log = self.path.with_name(f"{self.path.name}.wal")
        if log.exists() and self.is_new:
            raise LoadError(
                f"{log} is left of a database that is gone: restore {self.path.name}, or remove the log too"
            )
        draft = self.path.with_name(f"{self.path.name}.new-{os.getpid()}")
        try:
            draft.unlink(missing_ok=True)
            library().connect(draft).close()
            _place(draft, self.path)
        except OSError as error:
            raise LoadError(f"cannot create {self.label}: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)


def _place(draft: Path, path: Path) -> None:
    """Gives the draft its name, unless another process was first; durably."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links. Whoever was first there is not written over.
        if not path.exists():
            draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Connection:
    """A connection the caller opened; it stays open.

    The work goes through a cursor of it, so that neither a transaction nor a temporary table
    of the caller is touched.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.label = "the open DuckDB connection"
        self._connection = connection
        # Asked once: later the caller may be in the middle of a transaction of its own.
        self._home = self._current_schema()

    def _current_schema(self) -> tuple[str, str]:
        question = "SELECT current_database(), current_schema()"
        [(database, schema)] = self._ask(rows, self._connection, question)
        return database, schema

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except library().Error as error:
            raise LoadError(f"{self.label} cannot be used: {first_line(error)}") from error

    @property
    def is_new(self) -> bool:
        """An open database is never new: what is in it has to be looked at."""
        return False

    @contextmanager
    def connected(self, until: float) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
        """A cursor of the caller's connection, with the caller's schema."""
        cursor = self._ask(self._connection.cursor)
        try:
            # A cursor starts in the database's own schema, not where its parent is.
            self._ask(rows, cursor, "USE {}.{}".format(*map(quoted, self._home)))
            yield cursor
        finally:
            cursor.close()


def first_line(error: BaseException) -> str:
    """The error's own sentence, without DuckDB's drawing of the place below it."""
    return str(error).strip().partition("\n")[0]


def _is_held(error: BaseException) -> bool:
    """Another process holds the file, or this one does with other settings (such as read_only)."""
    text = str(error)
    return "Could not set lock" in text or "different configuration" in text


def _holder(error: BaseException) -> str:
    _, found, rest = str(error).partition("(PID ")
    return f"process {rest.partition(')')[0]}" if found else "another connection"
