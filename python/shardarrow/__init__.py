"""DynamoDB and Kinesis as Arrow record batches, with checkpoints."""

import atexit
from typing import TYPE_CHECKING, Any

from shardarrow import _native
from shardarrow.batch import Batch, Schema, Table
from shardarrow.by_url import source
from shardarrow.checkpoint import (
    Gap,
    MemoryStore,
    Position,
    QuarantinedRecord,
    Span,
    SqliteStore,
    after,
    at,
)
from shardarrow.dynamodb import dynamodb
from shardarrow.errors import (
    AccessDeniedError,
    BadPageError,
    BadRecordError,
    CheckpointBusyError,
    CheckpointCorruptError,
    CheckpointError,
    CheckpointMismatchError,
    CheckpointStoreError,
    ClosedError,
    CredentialsError,
    GapError,
    InternalError,
    InvalidRequestError,
    LoadError,
    NotFoundError,
    ServiceConnectionError,
    ServiceError,
    ShardArrowError,
    StalledError,
    StreamUnusableError,
    ThrottledError,
    UsageError,
)
from shardarrow.kinesis import kinesis
from shardarrow.shards import Shard
from shardarrow.source import Source
from shardarrow.stream import Stream
from shardarrow.writer import KinesisWriter, WriterReport

if TYPE_CHECKING:
    from shardarrow.loaders import load, load_async

__version__ = _native.VERSION

__all__ = [
    "AccessDeniedError",
    "BadPageError",
    "BadRecordError",
    "Batch",
    "CheckpointBusyError",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointMismatchError",
    "CheckpointStoreError",
    "ClosedError",
    "CredentialsError",
    "Gap",
    "GapError",
    "InternalError",
    "InvalidRequestError",
    "KinesisWriter",
    "LoadError",
    "MemoryStore",
    "NotFoundError",
    "Position",
    "QuarantinedRecord",
    "Schema",
    "ServiceConnectionError",
    "ServiceError",
    "Shard",
    "ShardArrowError",
    "Source",
    "Span",
    "SqliteStore",
    "StalledError",
    "Stream",
    "StreamUnusableError",
    "Table",
    "ThrottledError",
    "UsageError",
    "WriterReport",
    "__version__",
    "after",
    "at",
    "dynamodb",
    "kinesis",
    "load",
    "load_async",
    "source",
]

# The core's threads end before the interpreter does, also in the middle of a stream.
atexit.register(_native.shut_down)


def __getattr__(name: str) -> Any:
    """Loaders are imported when first used: most programs need none."""
    if name in {"load", "load_async"}:
        from shardarrow import loaders

        return getattr(loaders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
