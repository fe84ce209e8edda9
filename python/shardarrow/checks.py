"""Values of options as people write them, each checked with a sentence that says what is wrong."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from shardarrow.errors import UsageError

_LARGEST = 2**63 - 1

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
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise UsageError(f'{option}={value!r} is not a size; give bytes as an int, or text such as "256MiB"')
    return min(int(float(match[1]) * _UNITS[match[2].lower()]), _LARGEST)


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


def one_of(option: str, value: object, choices: Sequence[str]) -> None:
    """Checks that `value` is one of `choices`.

    Raises:
        UsageError: It is not; the sentence names them all.
    """
    if value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        raise UsageError(f"{option}={value!r} is not one of {known}{nearest(str(value), choices)}")


def count(option: str, value: object) -> int:
    """A whole number, 0 or more.

    Raises:
        UsageError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise UsageError(f"{option}={value!r} must be a whole number, 0 or more, below 2**63")
    return value


def at_least_one(option: str, value: object) -> int:
    """A whole number, 1 or more.

    Raises:
        UsageError: It is not.
    """
    if count(option, value) == 0:
        raise UsageError(f"{option}=0 must be 1 or more")
    return count(option, value)


def known_options(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Checks the names of options, as Python does where a function names them all.

    Raises:
        TypeError: `function` does not have one of them.
    """
    names = list(known)
    for option in given:
        if option not in names:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {option!r}{nearest(option, names)}"
            )
