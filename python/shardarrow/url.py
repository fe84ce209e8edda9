"""A source as a URL, and the options in it."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from shardarrow.checkpoint import Position, after, at
from shardarrow.errors import UsageError
from shardarrow.options import nearest, seconds


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
        raise UsageError(f'the {scheme}:// URL names no table; write "{scheme}://orders"')
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
