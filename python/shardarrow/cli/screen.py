"""What a person sees: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

_REDRAW_SECONDS = 0.2
_PLAIN_SECONDS = 10.0
_CLEAR = "\r\x1b[K"


class Screen:
    """The two streams of a command, and the line of progress that is rewritten on a terminal."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._rewrites = sys.stderr.isatty()
        self._drawn = False
        self._next = 0.0
        self._log = logging.getLogger("shardarrow")
        self._handler = _Lines(self)

    def __enter__(self) -> Self:
        self._log.addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._log.removeHandler(self._handler)

    @property
    def width(self) -> int | None:
        """Columns of the terminal that stdout is, or None when it is none."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def say(self, text: str) -> None:
        """A line of the result."""
        self._clear()
        sys.stdout.write(f"{text}\n")

    def flush(self) -> None:
        """Lets the reader have what was said."""
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line about how it goes."""
        self._clear()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def progress(self, text: str) -> None:
        """How far it is: one line rewritten on a terminal, elsewhere a plain line now and then."""
        now = time.monotonic()
        if now < self._next:
            return
        if not self._rewrites:
            self._next = now + _PLAIN_SECONDS
            self.note(text)
            return
        self._next = now + _REDRAW_SECONDS
        columns = shutil.get_terminal_size().columns
        sys.stderr.write(_CLEAR + text[: columns - 1])
        sys.stderr.flush()
        self._drawn = True

    def fail(self, error: BaseException) -> None:
        """The error as one line, and with --verbose what lies below it."""
        self.note(f"shardarrow: {_one_line(error)}")
        if self._verbose:
            for cause in _causes(error):
                self.note(f"  because: {_one_line(cause)}")

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write(_CLEAR)
            self._drawn = False


class _Lines(logging.Handler):
    """The library's warnings as lines that do not run into the progress."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.note(f"shardarrow: {record.getMessage()}")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if not isinstance(error, OSError) or error.strerror is None else f"{error.filename}: {text}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: Any = error
    while (seen := seen.__cause__ or seen.__context__) is not None:
        yield seen
