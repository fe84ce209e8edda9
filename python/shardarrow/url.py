"""Values as people write them: sizes, durations, and a source as a URL."""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from urllib.parse import unquote

from shardarrow.checkpoint import Position, after, at
from shardarrow.errors import UsageError

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}


def size(option: str, value: int | str) -> int:
    """A number of bytes: an int, or text such as ``"256MiB"``.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise UsageError(f'{option}={value!r} is not a size; give bytes as an int, or text such as "256MiB"')
    return int(float(match[1]) * _UNITS[match[2].lower()])


def seconds(option: str, value: float | timedelta) -> float:
    """A duration in seconds: a number, or a `timedelta`.

    Raises:
        UsageError: It is neither, or negative, or not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{option}={value!r} is not a duration; give seconds or a timedelta")
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{option}={value!r} must be a number of seconds, 0 or more")
    return float(value)


def nearest(word: str, words: Iterable[str]) -> str:
    """`"; did you mean …?"` with the most similar of `words`, or the empty text."""
    similar = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"; did you mean {similar[0]!r}?" if similar else ""


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
        raise UsageError(f"there is no source {scheme!r}{nearest(scheme, known)} (there is {', '.join(known)})")
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


def convert(options: dict[str, str], converters: dict[str, Callable[[str, str], object]]) -> dict[str, object]:
    """The options of a URL as the values that stand for them in Python.

    Raises:
        UsageError: An option is unknown, or its text is not a value for it.
    """
    for key in options:
        if key not in converters:
            known = ", ".join(sorted(converters))
            raise UsageError(f"the URL has an unknown option {key!r}{nearest(key, converters)} (known: {known})")
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
        raise UsageError("several positions in start=… of the URL must each name another shard: at:SEQUENCE@SHARD")
    return named


def _position(text: str) -> Position:
    kind, _, place = text.partition(":")
    sequence, _, shard = place.partition("@")
    make = {"at": at, "after": after}.get(kind)
    if make is None:
        raise UsageError(f"start={text!r} in the URL must begin with at: or after:")
    return make(sequence, shard=shard or None)
