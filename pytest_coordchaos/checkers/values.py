"""Values of operations as states: hashable, and equal exactly when a client would call them equal. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

__all__ = ["DEAD", "Dead", "freeze"]


class Dead:
    """A state that no remaining operation can tell from any other such state."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a value nobody reads again"


DEAD: Final = Dead()


def freeze(value: Any) -> Hashable:
    """The value, hashable. Lists and tuples are equal; True is not 1; 1 is 1.0."""
    if value is None or type(value) is str or type(value) is int:
        return value
    if isinstance(value, bool):
        return ("bool", str(value))
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, dict):
        return ("map", frozenset((freeze(key), freeze(item)) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return ("set", frozenset(freeze(item) for item in value))
    try:
        hash(value)
    except TypeError:
        return ("repr", repr(value))
    return value  # type: ignore[no-any-return]  # hash() has just succeeded
