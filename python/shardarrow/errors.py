"""What can go wrong, as exception classes.

Every error is a `ShardArrowError`; where it fits, it is a builtin exception too, so that code which
knows nothing of this library still catches it.
"""

from collections.abc import Sequence


class ShardArrowError(Exception):
    """Any error of this library.

    Attributes:
        kind: The kind in one word, such as ``"not_found"``.
        retryable: Whether the same may work later without anybody changing anything.
        code: The service's own name for the error, if it came from the service.
        shard: The shard it happened in, if in one.
        position: Where in the shard, in words, if known.
    """

    kind: str = "error"
    retryable: bool = False
    code: str | None = None
    shard: str | None = None
    position: str | None = None

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        code: str | None = None,
        shard: str | None = None,
        position: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code
        self.shard = shard
        self.position = position


class UsageError(ShardArrowError, ValueError):
    """An option has a value that cannot work; nothing was contacted."""

    kind = "usage"


class NotFoundError(ShardArrowError, LookupError):
    """The table, its stream or a shard does not exist here, under these credentials."""

    kind = "not_found"


class StreamUnusableError(ShardArrowError):
    """The table has no stream, or its stream carries no new image."""

    kind = "stream_unusable"


class CredentialsError(ShardArrowError):
    """There are no credentials, or the service does not accept them."""

    kind = "credentials"


class AccessDeniedError(ShardArrowError, PermissionError):
    """The credentials are good but may not do this."""

    kind = "access_denied"


class ServiceConnectionError(ShardArrowError, ConnectionError):
    """The service was not reached, or did not answer in time."""

    kind = "connection"


class ThrottledError(ShardArrowError):
    """The service asked for fewer requests."""

    kind = "throttled"


class ServiceError(ShardArrowError):
    """The service failed on its side."""

    kind = "service"


class InvalidRequestError(ShardArrowError):
    """The service refused the request as malformed."""

    kind = "invalid_request"


class BadPageError(ShardArrowError):
    """The answer is not what the service's protocol promises, several times in a row."""

    kind = "bad_page"


class BadRecordError(ShardArrowError, ValueError):
    """One record cannot be decoded."""

    kind = "bad_record"


class GapError(ShardArrowError):
    """Records are known to be lost."""

    kind = "gap"


class StalledError(ShardArrowError, TimeoutError):
    """A shard made no successful call for too long."""

    kind = "stalled"


class CheckpointError(ShardArrowError):
    """The checkpoint cannot be used; the subclass says why."""

    kind = "checkpoint"


class CheckpointCorruptError(CheckpointError):
    """The checkpoint cannot be read, or a newer format wrote it."""

    kind = "checkpoint_corrupt"


class CheckpointMismatchError(CheckpointError):
    """The checkpoint belongs to another table."""

    kind = "checkpoint_mismatch"


class CheckpointBusyError(CheckpointError):
    """Another consumer holds the checkpoint."""

    kind = "checkpoint_busy"


class CheckpointStoreError(CheckpointError, OSError):
    """The checkpoint store failed to read or write."""

    kind = "checkpoint_store"


class ClosedError(ShardArrowError, RuntimeError):
    """The stream is used after it was closed, or in a process that did not open it."""

    kind = "closed"


class InternalError(ShardArrowError):
    """A bug in this library; please report it."""

    kind = "internal"


class LoadError(ShardArrowError):
    """The destination of a load cannot be used as it is, or failed."""

    kind = "load"


class Cause(Exception):  # noqa: N818 (it is no error by itself)
    """What lies below a `ShardArrowError`, as text: the ``__cause__`` chain of errors of the core."""


_CLASSES: dict[str, type[ShardArrowError]] = {
    cls.kind: cls
    for cls in (
        UsageError,
        NotFoundError,
        StreamUnusableError,
        CredentialsError,
        AccessDeniedError,
        ServiceConnectionError,
        ThrottledError,
        ServiceError,
        InvalidRequestError,
        BadPageError,
        BadRecordError,
        GapError,
        StalledError,
        CheckpointCorruptError,
        CheckpointMismatchError,
        CheckpointBusyError,
        CheckpointStoreError,
        ClosedError,
        InternalError,
    )
}
# Kinds that are decided on inside the core; should one come out, it is the nearest of these.
_CLASSES["trimmed"] = GapError
_CLASSES["iterator_expired"] = ServiceError
_CLASSES["in_use"] = ServiceError


def _from_native(
    kind: str,
    message: str,
    retryable: bool,
    code: str | None,
    shard: str | None,
    position: str | None,
    causes: Sequence[str],
) -> ShardArrowError:
    """The exception for an error of the core."""
    error = _CLASSES.get(kind, InternalError)(
        message, retryable=retryable, code=code, shard=shard, position=position
    )
    below: BaseException = error
    for text in causes:
        below.__cause__ = Cause(text)
        below = below.__cause__
    return error
