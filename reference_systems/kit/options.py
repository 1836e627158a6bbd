"""Options of a system, as `env.options` has them, as the record that the system keeps of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

__all__ = ["from_options"]

T = TypeVar("T")


def from_options(make: type[T], system: str, options: Mapping[str, Any]) -> T:
    """`make(**options)`, a dataclass that checks its values.

    Args:
        make: The dataclass; its fields are the options.
        system: Whose they are, for messages.
        options: What was chosen.

    Raises:
        ValueError: An option that does not exist, or a value out of range.
    """
    known = [field.name for field in fields(make)]  # type: ignore[arg-type]  # a dataclass, as the docstring says
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(f"{system} has no option {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    return make(**options)
