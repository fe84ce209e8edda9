"""A source as a URL, and the options in it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from shardarrow.checkpoint import Position, after, at
from shardarrow.checks import nearest, seconds
from shardarrow.errors import UsageError


def parse(url: str, schemes: Iterable[str]) -> tuple[str, str, dict[str, str]]:
    """The scheme, the name behind it and the options of a source's URL.

    A `+` stands for itself, because secret keys contain it; other reserved characters are written
    with `%`. Errors never show the URL: it may hold credentials.

    Raises:
        UsageError: It is not a source's URL.
    """
    scheme, found, rest = url.partition("://")
    known = list(schemes)
    if not found:
        raise UsageError(f'a source is written as a URL, such as "{known[0]}://orders?region=eu-west-1"')
    if scheme not in known:
        raise UsageError(
            f"there is no source {scheme!r}{nearest(scheme, known)} (there is {', '.join(known)})"
        )
    name, _, query = rest.partition("?")
    if "@" in name:
        raise UsageError(
            f"the name in a {scheme}:// URL contains '@'; give credentials as options or in the environment"
        )
    name = unquote(name).rstrip("/")
    if not name:
        what = "table" if scheme == "dynamodb" else "stream"
        raise UsageError(f'the {scheme}:// URL names no {what}; write "{scheme}://{what.upper()}"')
    return scheme, name, _query(query)


def _query(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        key = unquote(key)
        if not equals:
            raise UsageError(f"the option {key!r} of the URL has no value; write {key}=…")
        if key in options:
            raise UsageError(f"the option {key!r} stands twice in the URL")
        options[key] = unquote(value)
    return options


def convert(
    options: dict[str, str], converters: dict[str, Callable[[str, str], object]]
) -> dict[str, object]:
    """The options of a URL as the values that stand for them in Python.

    Raises:
        UsageError: An option is unknown, or its text is not a value for it.
    """
    for key in options:
        if key not in converters:
            known = ", ".join(sorted(converters))
            raise UsageError(
                f"the URL has an unknown option {key!r}{nearest(key, converters)} (known: {known})"
            )
    return {key: converters[key](key, text) for key, text in options.items()}


def text(_option: str, value: str) -> str:
    """The text itself."""
    return value


def flag(option: str, value: str) -> bool:
    """``true`` or ``false``."""
    match value.lower():
        case "true" | "1" | "yes":
            return True
        case "false" | "0" | "no":
            return False
    raise UsageError(f"{option}={value!r} in the URL must be true or false")


def whole(option: str, value: str) -> int:
    """A whole number."""
    if not (value.isascii() and value.isdigit()):
        raise UsageError(f"{option}={value!r} in the URL must be a whole number")
    return int(value)


def amount(option: str, value: str) -> float:
    """A number."""
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{option}={value!r} in the URL must be a number") from None


def number(option: str, value: str) -> float:
    """A number of seconds."""
    try:
        return seconds(option, float(value))
    except ValueError:
        raise UsageError(f"{option}={value!r} in the URL must be a number of seconds, 0 or more") from None


def names(_option: str, value: str) -> list[str]:
    """Names, separated by commas."""
    return [name for name in value.split(",") if name]


def types(option: str, value: str) -> dict[str, str]:
    """``name:type`` pairs, separated by commas; a comma within parentheses belongs to its type."""
    pairs = [pair.rpartition(":") for pair in re.split(r",(?![^(<\[]*[)>\]])", value) if pair]
    if not all(name and kind for name, _, kind in pairs):
        raise UsageError(f"{option} in the URL must be name:type pairs separated by commas")
    return {name: kind for name, _, kind in pairs}


def start(_option: str, value: str) -> "str | Position | dict[str, Position]":
    """A word, or ``at:SEQUENCE`` or ``after:SEQUENCE``, with ``@SHARD`` behind it; several with commas."""
    if not value.startswith(("at:", "after:")):
        return value
    positions = [_position(part) for part in value.split(",")]
    if len(positions) == 1:
        return positions[0]
    named = {position.shard: position for position in positions if position.shard is not None}
    if len(named) < len(positions):
        raise UsageError(
            "several positions in start=… of the URL must each name another shard: at:SEQUENCE@SHARD"
        )
    return named


def _position(text: str) -> Position:
    kind, _, place = text.partition(":")
    sequence, named, shard = place.partition("@")
    make = {"at": at, "after": after}.get(kind)
    if make is None:
        raise UsageError(f"start={text!r} in the URL must begin with at: or after:")
    if named and not shard:
        raise UsageError(f"start={text!r} in the URL names no shard behind the @")
    return make(sequence, shard=shard or None)


TOOLKIT_SCHEME = "kinesis+dynamodb+cdc"


@dataclass(frozen=True, repr=False)
class Toolkit:
    """What a URL in the form of CrateDB's toolkit says, in our words. It may hold credentials."""

    stream: str
    """The Kinesis stream."""
    source: dict[str, object]
    """Options of a source: the connection, `format` and `start`."""
    reading: dict[str, object]
    """Options of a stream: `batch_rows`, `poll_interval` and `batch_wait`."""
    create_shards: int | None
    """With how many shards the stream is made when it does not exist; `None`: it must exist."""


def toolkit(url: str) -> Toolkit:
    """Reads ``kinesis+dynamodb+cdc://KEY:SECRET@host:port/stream?region=…&start=…``.

    The host ``aws`` is the real service, any other one is reached by ``http``. Without ``KEY:SECRET@``
    the standard AWS chain gives the credentials. What an option of that form does not say is left to
    our defaults.

    Raises:
        UsageError: It is not such a URL. The error never shows credentials.
    """
    rest = url.removeprefix(f"{TOOLKIT_SCHEME}://")
    place, _, query = rest.partition("?")
    if rest == url:
        raise UsageError(f"the URL does not begin with {TOOLKIT_SCHEME}://")
    # A secret key may contain a slash; neither a host nor a stream can contain an @.
    credentials, _, address = place.rpartition("@")
    host, _, stream = address.partition("/")
    stream = unquote(stream).rstrip("/")
    if not (host and stream):
        raise UsageError(
            f"a {TOOLKIT_SCHEME}:// URL names a host and a stream: "
            f"{TOOLKIT_SCHEME}://localhost:4566/orders-cdc, or {TOOLKIT_SCHEME}://aws/orders-cdc at AWS"
        )
    given = _query(query)
    for option in given:
        if option in _TOOLKIT_ELSEWHERE:
            raise UsageError(f"{option}=… in the URL has no place here: {_TOOLKIT_ELSEWHERE[option]}")
    options = convert(given, _TOOLKIT)
    source: dict[str, object] = {"format": "dynamodb", **_keys(credentials), **_endpoint(host)}
    if "region" in options:
        source["region"] = options["region"]
    if (begin := _toolkit_start(options)) is not None:
        source["start"] = begin
    reading = {ours: options[theirs] for theirs, ours in _TOOLKIT_READING.items() if theirs in options}
    return Toolkit(stream, source, reading, _create_shards(options))


# What that tool has and a URL here has not.
_TOOLKIT_ELSEWHERE = {
    "once": "pass follow=False, or --once on the command line",
    "checkpointer": "a load keeps its checkpoint with the data, and stream() in checkpoint=FILE",
    "checkpointer-name": "pass name= to stream(); a load keeps its checkpoint with the data",
    "checkpointer-schema": "a load keeps its checkpoint with the data",
    "checkpointer-interval": "pass commit_interval= to stream(), or load_interval= to load()",
    "describe-timeout": "a stream that is being made is waited for; operation_timeout= bounds one call",
}
# batch-size: how many records are handed on at once; idle-sleep: the pause when a shard has nothing;
# buffer-time: how long records are collected.
_TOOLKIT_READING = {"batch-size": "batch_rows", "idle-sleep": "poll_interval", "buffer-time": "batch_wait"}


def _keys(credentials: str) -> dict[str, object]:
    if not credentials:
        return {}
    key, _, secret = credentials.partition(":")
    if not (key and secret):
        raise UsageError(
            f"credentials in a {TOOLKIT_SCHEME}:// URL are written KEY:SECRET@; leave them out to use those "
            "of the standard AWS chain"
        )
    return {"access_key_id": unquote(key), "secret_access_key": unquote(secret)}


def _endpoint(host: str) -> dict[str, object]:
    return {} if host == "aws" else {"endpoint_url": f"http://{host}"}


def _toolkit_start(options: dict[str, object]) -> object:
    word, sequence = options.get("start"), options.get("seqno")
    if word in ("seqno-at", "seqno-after"):
        if sequence is None:
            raise UsageError(f"start={word} in the URL needs the sequence number: add seqno=…")
        return (at if word == "seqno-at" else after)(str(sequence))
    if sequence is not None:
        raise UsageError("seqno=… in the URL needs start=seqno-at or start=seqno-after")
    return word


def _start_word(option: str, value: str) -> str:
    known = ("earliest", "latest", "seqno-at", "seqno-after")
    if value not in known:
        raise UsageError(
            f"{option}={value!r} in the URL is not one of {', '.join(known)}{nearest(value, known)}"
        )
    return value


def _create_shards(options: dict[str, object]) -> int | None:
    shards = options.get("create-shards", 1)
    return shards if options.get("create") and isinstance(shards, int) else None


def _count(option: str, value: str) -> int:
    number = whole(option, value)
    if number < 1:
        raise UsageError(f"{option}={value} in the URL must be 1 or more")
    return number


_TOOLKIT: dict[str, Callable[[str, str], object]] = {
    "region": text,
    "batch-size": _count,
    "create": flag,
    "create-shards": _count,
    "start": _start_word,
    "seqno": text,
    "idle-sleep": number,
    "buffer-time": number,
}
