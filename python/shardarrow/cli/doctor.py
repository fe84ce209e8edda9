"""`shardarrow doctor`: whether a table or a stream can be read from here, and what to do where it cannot."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from shardarrow.cli.arguments import add_common, add_source, source_of
from shardarrow.cli.screen import Screen
from shardarrow.cli.status import Found, find
from shardarrow.cli.values import as_json, span
from shardarrow.dynamodb import DynamoDB
from shardarrow.source import Source

_WELL, _ILL = 0, 1


@dataclass(frozen=True)
class _Action:
    """What a call of a source is to those who write policies."""

    name: str
    """Such as ``kinesis:GetRecords``."""
    of: Literal["table", "its stream", "kinesis"]
    """What it is asked of."""


# What each call of a source asks the service for. `describe` of a table asks for the table as well, and for
# more of the stream than its list of shards, but needs no other permission.
_OF_TABLE = {
    "describe_table": _Action("dynamodb:DescribeTable", "table"),
    "describe": _Action("dynamodb:DescribeStream", "its stream"),
    "list": _Action("dynamodb:DescribeStream", "its stream"),
    "open": _Action("dynamodb:GetShardIterator", "its stream"),
    "fetch": _Action("dynamodb:GetRecords", "its stream"),
    "scan": _Action("dynamodb:Scan", "table"),
}
_OF_KINESIS = {
    "describe": _Action("kinesis:DescribeStreamSummary", "kinesis"),
    "list": _Action("kinesis:ListShards", "kinesis"),
    "open": _Action("kinesis:GetShardIterator", "kinesis"),
    "fetch": _Action("kinesis:GetRecords", "kinesis"),
}

# Seconds. A signature is good for 5 minutes around the service's time (Signature Version 4); that time
# comes in whole seconds, so a difference of a few says nothing.
_MOST_SKEW = 60.0

# The developer guide of DynamoDB allows two readers for each shard and says that more are throttled; for
# Kinesis: API reference, GetRecords.
_READERS_OF_TABLE = "a shard serves two (Lambda functions count)"
_READERS_OF_KINESIS = (
    "those that poll a shard share five calls and 2 MB a second; fan_out= gives a reader its own"
)

# Shares of the retention.
_LATE, _TOO_LATE = 0.25, 0.5


@dataclass(frozen=True)
class Check:
    """One line of the result."""

    level: Literal["ok", "note", "FAIL"]
    name: str
    says: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.name:<16}  {self.says}"


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="check whether a source can be read from here, and say what to do where it cannot"
    )
    add_source(parser)
    parser.add_argument(
        "--checkpoint", metavar="…", help="a checkpoint file, or duckdb:///FILE: how much time is left for it"
    )
    parser.add_argument("--as-json", action="store_true", help="each check a JSON object")
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Tries each call once; nothing is changed. The exit code is 1 when something is to be done."""
    source = source_of(arguments)
    # Subscribing would register a consumer, which costs money.
    found = replace(source, fan_out=None)._examine()
    checks = [*diagnose(source, found)]
    if arguments.checkpoint:
        checks += of_checkpoints(list(find(arguments.checkpoint)), found)
    for check in checks:
        screen.say(as_json(vars(check)) if arguments.as_json else str(check))
    return _ILL if any(check.level == "FAIL" for check in checks) else _WELL


def diagnose(source: Source, found: Mapping[str, Any]) -> Iterator[Check]:
    """What the calls say about the source."""
    failures = {call["call"]: call["failure"] for call in found["calls"] if call["failure"]}
    yield _reached(failures)
    yield from _permissions(source, found, failures)
    yield from _stream(source, found, failures)
    yield from (Check("note", "table", caution) for caution in found["cautions"])
    if found["clock"]:
        yield _clock(found["clock"])


def _reached(failures: Mapping[str, Any]) -> Check:
    """No call works without this, so the first failure of the kind speaks for all."""
    for failure in failures.values():
        if failure["kind"] == "credentials":
            return Check("FAIL", "credentials", failure["message"])
        if failure["kind"] == "connection":
            return Check("FAIL", "connection", failure["message"])
    return Check("ok", "credentials", "the service was reached and accepts them")


def _permissions(source: Source, found: Mapping[str, Any], failures: Mapping[str, Any]) -> Iterator[Check]:
    """One line for each action that was tried and did what it should, or was refused."""
    known: dict[str, Check] = {}
    for call in found["calls"]:
        action, failure = _action(source, call["call"]), failures.get(call["call"])
        name = action.name.partition(":")[2]
        if failure and failure["kind"] == "not_found" and call["call"] == "describe":
            # All calls of `describe` are allowed: what is missing is no permission.
            name = "stream"
        if failure is None:
            known.setdefault(name, Check("ok", name, "allowed"))
        elif failure["kind"] == "access_denied":
            statement = json.dumps(_statement(source, found, action))
            known[name] = Check("FAIL", name, f"not allowed; add to the policy: {statement}")
        elif failure["kind"] == "throttled":
            known[name] = Check("note", name, f"allowed, but throttled: {failure['message']}")
        elif failure["kind"] not in ("credentials", "connection", "stream_unusable"):
            known[name] = Check("FAIL", name, failure["message"])
    yield from known.values()
    if source.fan_out:
        yield Check(
            "note", "SubscribeToShard", "not tried: it would begin a session, and may register a consumer"
        )
    if isinstance(source, DynamoDB) and source.enable_stream:
        yield Check("note", "UpdateTable", "not tried: it would change the table; needed to turn a stream on")


def _action(source: Source, call: str) -> _Action:
    """Whose changes come through Kinesis asks the table's service for the table alone."""
    actions = _OF_TABLE if source._kinesis_stream is None else {**_OF_TABLE, **_OF_KINESIS}
    return actions[call]


def _statement(source: Source, found: Mapping[str, Any], action: _Action) -> dict[str, str]:
    """What IAM needs. Where the ARN is not known, a pattern that holds nothing but the table or stream."""
    match action.of:
        case "table":
            resource = _table_arn(source, found)
        case "its stream":
            resource = f"{_table_arn(source, found)}/stream/*"
        case "kinesis":
            resource = _kinesis_arn(source)
    return {"Effect": "Allow", "Action": action.name, "Resource": resource}


def _table_arn(source: Source, found: Mapping[str, Any]) -> str:
    if source._name.startswith("arn:"):
        return source._name.partition("/stream/")[0]
    if found["stream"]:
        return str(found["stream"]["table_arn"])
    return f"arn:aws:dynamodb:{source.region or '*'}:*:table/{source._name}"


def _kinesis_arn(source: Source) -> str:
    name = str(source._kinesis_stream)
    return name if name.startswith("arn:") else f"arn:aws:kinesis:{source.region or '*'}:*:stream/{name}"


def _stream(source: Source, found: Mapping[str, Any], failures: Mapping[str, Any]) -> Iterator[Check]:
    unusable = failures.get("describe", {})
    if unusable.get("kind") == "stream_unusable":
        yield Check("FAIL", "stream", unusable["message"])
    stream = found["stream"]
    if stream is None:
        return
    yield _status(source, stream)
    if isinstance(source, DynamoDB) and source.changes is None:
        yield _view(source, stream)
    if found["shards"]:
        yield Check("ok", "shards", "{} open, {} closed".format(*found["shards"]))
    yield _readers(source, failures)


def _status(source: Source, stream: Mapping[str, Any]) -> Check:
    status, arn = stream["status"], stream["arn"]
    if status == "ENABLED":
        return Check("ok", "stream", f"{status}, {arn}")
    if status == "ENABLING":
        return Check("note", "stream", f"{status}, {arn}: it can be read in a moment")
    if source._kinesis_stream is not None:
        return Check("FAIL", "stream", f"{arn} is being deleted, and its records with it")
    return Check(
        "FAIL",
        "stream",
        f"{status}, {arn}: no changes come any more; turn it on with --enable-stream, or aws dynamodb "
        "update-table --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
    )


def _view(source: DynamoDB, stream: Mapping[str, Any]) -> Check:
    view = stream["view"]
    if view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        return Check("ok", "view type", view)
    needs = "a mirror and a snapshot need new images"
    if source.start == "snapshot":
        return Check(
            "FAIL",
            "view type",
            f"{view}: {needs}; turn the stream off and on again with NEW_AND_OLD_IMAGES, or read changes "
            "alone with --start earliest",
        )
    return Check("note", "view type", f"{view}: changes can be read, but {needs}")


def _readers(source: Source, failures: Mapping[str, Any]) -> Check:
    readers = _READERS_OF_TABLE if source._kinesis_stream is None else _READERS_OF_KINESIS
    says = f"the service does not tell how many there are; {readers}"
    if failures.get("fetch", {}).get("kind") == "throttled":
        return Check("FAIL", "readers", f"GetRecords was throttled, so others read as well: {says}")
    return Check("note", "readers", f"{says}; GetRecords was not throttled now")


def _clock(clock: Mapping[str, int]) -> Check:
    ahead = (clock["local"] - clock["service"]) / 1000
    if abs(ahead) > _MOST_SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        return Check(
            "FAIL",
            "clock",
            f"this machine is {span(abs(ahead))} {way} the service, which refuses requests from 5 minutes "
            "on: set the clock, and let NTP keep it",
        )
    return Check("ok", "clock", f"within {_MOST_SKEW:.0f} s of the service's")


def of_checkpoints(checkpoints: list[Found], found: Mapping[str, Any]) -> Iterator[Check]:
    """Whether each checkpoint belongs to what was examined, and how long it stays good."""
    if not checkpoints:
        yield Check("note", "checkpoint", "there is none yet")
    for one in checkpoints:
        yield Check(*_checkpoint(one, found["stream"], found["clock"]))


def _checkpoint(
    one: Found, stream: Mapping[str, Any] | None, clock: Mapping[str, int] | None
) -> tuple[Literal["ok", "note", "FAIL"], str, str]:
    name = "checkpoint"
    if stream is None or clock is None:
        return "note", name, f"{one.name}: not compared, because the stream could not be asked"
    if one.checkpoint["table_arn"] != stream["table_arn"]:
        return "FAIL", name, f"{one.name}: it belongs to another source, {one.checkpoint['table_arn']}"
    if one.checkpoint["stream_arn"] != stream["arn"]:
        return (
            "FAIL",
            name,
            f"{one.name}: it belongs to a stream that was replaced, {one.checkpoint['stream_arn']}; changes "
            'between the two are lost, and on_gap="resnapshot" scans the table again',
        )
    if one.verified is None:
        return "note", name, f"{one.name}: some shard was not read up to its end yet, so its age is unknown"
    retention = stream["retention"] / 1000
    return _age(one.name, clock["service"] / 1000 - one.verified, retention)


def _age(consumer: str, behind: float, retention: float) -> tuple[Literal["ok", "note", "FAIL"], str, str]:
    used = behind / retention
    if used >= 1:
        return (
            "FAIL",
            "checkpoint",
            f"{consumer}: it is {span(behind)} old and the stream keeps {span(retention)}: changes may be "
            'lost; resume with on_gap="resnapshot" or "continue"',
        )
    says = f"{consumer}: {used:.0%} of the retention used, {span(retention - behind)} left"
    if used < _LATE:
        return "ok", "checkpoint", says
    level: Literal["note", "FAIL"] = "note" if used < _TOO_LATE else "FAIL"
    return level, "checkpoint", f"{says}: start its consumer, or find out why it lags"
