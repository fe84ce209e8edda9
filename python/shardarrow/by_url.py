"""A source by its URL."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import fields

from shardarrow import url
from shardarrow.dynamodb import DynamoDB
from shardarrow.errors import UsageError
from shardarrow.kinesis import Kinesis
from shardarrow.options import TIMEOUTS
from shardarrow.source import Source

_Converters = Mapping[str, Callable[[str, str], object]]


def source(text: str) -> Source:
    """The source that a URL names.

    ``dynamodb://orders?region=eu-west-1&segments=8`` is a table, ``kinesis://clicks?format=json`` a Kinesis
    stream, and ``kinesis+dynamodb://orders-cdc`` one with a table's changes. A URL takes every option of
    `dynamodb` or `kinesis`: ``schema`` and ``keys`` as ``name:type`` pairs and ``columns`` as names, with
    commas; ``start`` also as ``after:SEQUENCE@SHARD``, and for Kinesis as a moment such as
    ``2026-11-21T12:00:00Z``. The form of CrateDB's toolkit is understood too:
    ``kinesis+dynamodb+cdc://KEY:SECRET@host:port/stream?region=…&batch-size=…``.

    Raises:
        UsageError: It is not such a URL. The error never shows credentials.
    """
    if text.startswith(f"{url.TOOLKIT_SCHEME}://"):
        return _of_toolkit(text)
    scheme, name, options = url.parse(text, ["dynamodb", "kinesis", "kinesis+dynamodb", url.TOOLKIT_SCHEME])
    if scheme == "dynamodb":
        return DynamoDB(table=name, **url.convert(options, _OF_TABLE))  # type: ignore[arg-type]
    if scheme == "kinesis+dynamodb" and options.setdefault("format", "dynamodb") != "dynamodb":
        raise UsageError(f"a {scheme}:// URL has the format dynamodb; write kinesis:// for another one")
    return Kinesis(name=name, **url.convert(options, _OF_STREAM))  # type: ignore[arg-type]


def _of_toolkit(text: str) -> Source:
    """The form of CrateDB's toolkit; see `url.toolkit`."""
    said = url.toolkit(text)
    reading, shards = said.reading or None, said.create_shards
    return Kinesis(name=said.stream, reading=reading, create_shards=shards, **said.source)  # type: ignore[arg-type]


def _start_of_stream(option: str, value: str) -> object:
    """As for a table, or a moment."""
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return url.start(option, value)
    if moment.tzinfo is None:
        raise UsageError(
            f"{option}={value} in the URL has no time zone; say which it is, such as {moment.isoformat()}Z"
        )
    return moment


def _converters(kind: type[Source], named: str) -> dict[str, Callable[[str, str], object]]:
    return {
        **{field.name: url.text for field in fields(kind) if field.name not in (named, "reading")},
        **dict.fromkeys(TIMEOUTS, url.number),
        "schema": url.types,
        "columns": url.names,
        "old_image": url.flag,
        "max_columns": url.whole,
    }


_OF_TABLE: _Converters = {
    **_converters(DynamoDB, "table"),
    "start": _start_of_stream,
    "segments": url.whole,
    "max_read_units": url.amount,
    "enable_stream": url.flag,
    "late_margin": url.number,
}
_OF_STREAM: _Converters = {
    **_converters(Kinesis, "name"),
    "start": _start_of_stream,
    "keys": url.types,
    "create_shards": url.whole,
}
