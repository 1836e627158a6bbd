"""Systems whose nodes are coroutines of the user's own: what is allowed. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from pytest_coordchaos.errors import UsageError

__all__ = ["Main", "check_alone", "checked_mains"]

Main = Callable[[], Awaitable[Any]]
"""A node's program: a coroutine function without arguments."""


def checked_mains(mains: Mapping[str, Main]) -> dict[str, Main]:
    """The mains as given.

    Raises:
        UsageError: One of them cannot be called (a coroutine, say, instead of its function).
    """
    for name, main in mains.items():
        if not callable(main):
            raise UsageError(f"from_coroutines: {name}={main!r} is not allowed; a coroutine function without arguments")
    return dict(mains)


def check_alone(system: str, mains: Mapping[str, Main], nodes: Iterable[str], *, other: object) -> bool:
    """Whether the nodes are coroutines: then one main for each node, and nothing else that would start it.

    Raises:
        UsageError: There is an entry, a command or an image too, or the names differ.
    """
    if not mains:
        return False
    if other:
        raise UsageError(f"System({system!r}): coroutines go with neither entry, command nor image")
    if set(mains) != set(nodes):
        raise UsageError(f"System({system!r}): coroutines={', '.join(mains)} must be one for each node")
    return True
