"""What `help` and completion in a notebook say of functions that take `**options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def names_options(options: type, defaults: Mapping[str, object]) -> Callable[[_Function], _Function]:
    """The options of a `TypedDict` stand in the function's signature, each with its default.

    Type checkers read them from ``**options: Unpack[…]``; what asks a running interpreter would see
    nothing but ``**options``. Without a default an option is shown as `None`.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        named = {name: p for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=of)
            for name, of in inspect.get_annotations(options).items()
            if name not in named
        ]
        shown = signature.replace(parameters=[*named.values(), *added])
        setattr(function, "__signature__", shown)  # noqa: B010 - no attribute that a type checker knows
        return function

    return decorate
