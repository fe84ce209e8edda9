"""The flags several commands share: where records come from, and how they are read."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from shardarrow.by_url import source as from_url
from shardarrow.source import Source

# Flag → what it means. They are the options of a source's URL. Keys and tokens are no flags:
# a command line can be read by every user of the machine.
_SOURCE = {
    "start": "snapshot, earliest, latest, at:SEQUENCE@SHARD or after:SEQUENCE@SHARD; "
    "for Kinesis no snapshot, but a moment such as 2026-11-21T12:00:00Z",
    "others": "where shards start that --start does not name: earliest or latest",
    "region": "such as eu-west-1",
    "endpoint_url": "where the service is, if not at AWS",
    "profile": "a profile of the AWS configuration files",
    "role_arn": "a role to assume",
    "external_id": "what the role's trust policy asks for",
    "connect_timeout": "seconds until a connection stands",
    "read_timeout": "seconds without a byte of the answer",
    "attempt_timeout": "seconds for one request and its answer",
    "operation_timeout": "seconds for a call with its retries",
    "segments": "into how many parts a scan is cut (default: by the size of the table)",
    "max_read_units": "the most read capacity units a scan uses per second",
    "enable_stream": "turns the table's stream on when it is off",
    "changes": "kinesis:STREAM, when the table's changes come through a Kinesis stream",
    "late_margin": "with --changes: seconds before the snapshot from which that stream is read (3600)",
    "format": "what the records of a Kinesis stream are: bytes, json or dynamodb",
    "fan_out": "a consumer's name or ARN: the Kinesis stream pushes to it instead of being polled",
    "create_shards": "with how many shards a Kinesis stream is made that is not there",
    "keys": "name:type pairs with commas: the keys of the table whose changes come through Kinesis",
    "changes_of": "the table whose changes are taken, where several send theirs to one Kinesis stream",
    "schema": "name:type pairs with commas: fixes the columns",
    "columns": "names with commas: only these attributes besides the keys",
    "numbers": "exact (never rounded) or float64",
    "nested": "maps and lists as json text or as struct",
    "json": "how JSON columns are marked: text or arrow.json",
    "images": "columns, or json: key and images as DynamoDB JSON",
    "old_image": "true adds what the item was before",
    "metadata_prefix": "what the names of metadata columns begin with",
    "max_columns": "the most attributes that become columns",
}
_READING: dict[str, tuple[type, str]] = {
    "settle": (float, "with an end: seconds an open shard must stay silent"),
    "batch_rows": (int, "the most rows of a batch"),
    "batch_bytes": (str, "a batch is handed out at this size, such as 16MiB"),
    "batch_wait": (float, "the longest seconds a row waits for others"),
    "memory_limit": (str, "for pages and batches, such as 256MiB"),
    "on_gap": (str, "when records are known to be lost: fail, resnapshot or continue"),
    "snapshot_slice": (float, "seconds of scanning before the changes made meanwhile are read"),
    "poll_interval": (float, "seconds between two empty answers of a shard"),
    "discovery_interval": (float, "seconds between listings of all shards"),
    "stall_timeout": (float, "seconds without a successful call that are an error"),
}


def add_common(parser: argparse.ArgumentParser) -> None:
    """The flags of every command."""
    parser.add_argument("--verbose", action="store_true", help="say what lies below an error")


def add_source(parser: argparse.ArgumentParser) -> None:
    """SOURCE and the flags that describe it."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a table's name, an ARN, dynamodb://TABLE?region=…&start=…, kinesis://STREAM?format=… "
        "or kinesis+dynamodb://STREAM?keys=…",
    )
    group = parser.add_argument_group(
        "source", "also as options of the URL; credentials come from AWS's own chain"
    )
    for name, meaning in _SOURCE.items():
        # An error message proposes this one as it stands, to be put behind the rest.
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if name == "enable_stream" else {}
        group.add_argument(_flag(name), metavar="…", help=meaning, **bare)


def source_of(arguments: argparse.Namespace, start: str | None = None) -> Source:
    """The source that SOURCE and its flags describe; `start` is used when none is given.

    Raises:
        UsageError: They describe none.
    """
    text = arguments.source
    if "://" not in text:
        scheme = "kinesis" if text.startswith("arn:") and ":kinesis:" in text else "dynamodb"
        text = f"{scheme}://{quote(text, safe='')}"
    given = {name: value for name in _SOURCE if (value := getattr(arguments, name)) is not None}
    if start is not None and "start" not in given and "start=" not in text:
        given["start"] = start
    flags = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    joint = "&" if "?" in text else "?"
    return from_url(f"{text}{joint}{flags}")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """The flags of a stream."""
    group = parser.add_argument_group("reading")
    for name, (kind, meaning) in _READING.items():
        group.add_argument(_flag(name), type=kind, metavar="…", help=meaning)


def reading_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of a stream that were given."""
    return {name: value for name in _READING if (value := getattr(arguments, name)) is not None}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
