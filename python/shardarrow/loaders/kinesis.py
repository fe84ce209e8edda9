"""Loading into a Kinesis stream: every row becomes a record.

Kinesis has no transaction, so the data and the checkpoint cannot be one write. The checkpoint is saved in
a file of its own, and only after the service has acknowledged every record that it covers: a killed load
repeats what was written since the last save, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shardarrow import _native, url
from shardarrow.dynamodb import DynamoDB
from shardarrow.errors import UsageError
from shardarrow.loaders.base import Key, State, Written
from shardarrow.options import PLACE, TIMEOUTS
from shardarrow.source import Source
from shardarrow.writer import KinesisWriter

SCHEME = "kinesis"


def _key(_option: str, text: str) -> str | list[str]:
    """A template, a column, or columns separated by commas."""
    return text.split(",") if "," in text and "{" not in text else text


_OPTIONS: Mapping[str, Callable[[str, str], object]] = {
    **dict.fromkeys(PLACE, url.text),
    **dict.fromkeys(TIMEOUTS, url.number),
    "partition_key": _key,
    "explicit_hash_key": url.text,
    "format": url.text,
    "changes_of": url.text,
    "data": url.text,
    "create": url.flag,
    "shards": url.whole,
    "ordered": url.flag,
    "max_requests": url.whole,
    "memory_limit": url.text,
    "stall_timeout": url.number,
    "checkpoint": url.text,
}


class KinesisLoader:
    """Writes every row into a stream, in the order of its partition key.

    Args:
        destination: ``kinesis://clicks?partition_key=user&checkpoint=clicks.ckpt&region=…``: the options of
            `KinesisWriter`, and ``checkpoint`` for the file in which the position is kept.
        quarantine: Whether records that cannot be decoded are to be kept with the checkpoint.

    Raises:
        UsageError: The URL or an option cannot work.
    """

    mode = "append"

    def __init__(self, destination: str, *, quarantine: bool = False) -> None:
        _, self._stream, given = url.parse(destination, [SCHEME])
        options = url.convert(given, dict(_OPTIONS))
        self._takes_changes = options.get("format") == "dynamodb"
        self._path = options.pop("checkpoint", None)
        if quarantine and self._path is None:
            raise UsageError(
                'on_bad_record="quarantine" keeps records with the checkpoint; '
                "add checkpoint=FILE to the destination's URL"
            )
        self._writer = KinesisWriter(self._stream, **options)  # type: ignore[arg-type]
        self._file: _native.CheckpointFile | None = None

    @property
    def label(self) -> str:
        """The stream, for sentences. The URL may hold credentials."""
        return f"Kinesis stream {self._stream}"

    def check(self, source: Source) -> None:
        """Whether what the source gives can be written so.

        Raises:
            UsageError: It cannot; the sentence says what can be done.
        """
        if not self._takes_changes:
            return
        if source.images != "json":
            raise UsageError(
                'format="dynamodb" in the destination\'s URL writes changes as they came; give the source '
                'images="json"'
            )
        if isinstance(source, DynamoDB) and source.start == "snapshot":
            raise UsageError(
                'format="dynamodb" in the destination\'s URL takes changes, and the items of a snapshot are '
                'none; give the source start="earliest" or start="latest"'
            )

    def resume(self) -> str | None:
        """The checkpoint in the file, after the stream was found; see `Loader`."""
        if self._path is not None:
            self._file = _native.CheckpointFile(str(self._path), self._stream)
        self._writer.__enter__()
        return self._file.load() if self._file is not None else None

    def opened(self, stream: Any) -> None:
        """Nothing has to be known of the stream; see `Loader`."""

    def write(self, batches: Sequence[Any], state: State, keys: Sequence[Key]) -> Written:  # noqa: ARG002
        """Writes the rows, waits for their acknowledgement, then saves the state; see `Loader`."""
        rows = 0
        for batch in batches:
            self._writer.write(batch)
            rows += batch.num_rows
        self._writer.flush()
        if self._file is not None:
            self._file.save(state.through, state.checkpoint, list(state.gaps), list(state.quarantined))
        return Written(inserted=rows)

    def close(self) -> None:
        """Ends the writer, without what was not acknowledged, and lets the file go."""
        self._writer.__exit__(GeneratorExit, None, None)
        if self._file is not None:
            self._file.close()

    @property
    def notes(self) -> list[str]:
        """What a reader of the stream has to know."""
        unanswered = self._writer.report.unanswered
        twice = f"{unanswered} requests were not answered, so their records may be in the stream twice"
        forgotten = (
            "no checkpoint was kept: a later load begins anew, and what it writes again is there twice"
        )
        return [*([twice] if unanswered else []), *([forgotten] if self._path is None else [])]
