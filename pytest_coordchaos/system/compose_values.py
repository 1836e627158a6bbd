"""Values of a compose file: lists, maps, words, sizes, durations, each with a sentence for what is none. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_text import as_text

__all__ = [
    "boolean",
    "duration_ns",
    "entries",
    "mapping",
    "number",
    "one_of",
    "pairs",
    "scalar",
    "size_bytes",
    "texts",
    "variables",
    "whole",
    "words",
]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|us|µs|ns|m|s))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_UNITS_NS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1}


def scalar(value: Any, where: str) -> str:
    """A text; numbers and truth values become what Compose makes of them."""
    if isinstance(value, str | int | float):
        return as_text(value)
    raise UsageError(f"{where}: {value!r} is not allowed; a text")


def mapping(value: Any, where: str) -> dict[str, Any]:
    """A mapping; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {value!r} is not allowed; a mapping")
    return value


def entries(value: Any, where: str) -> list[Any]:
    """A list; nothing is an empty one, and one text is a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str | int | float):
        return [value]
    raise UsageError(f"{where}: {value!r} is not allowed; a list")


def texts(value: Any, where: str) -> list[str]:
    """A list of texts."""
    return [scalar(item, f"{where}[{index}]") for index, item in enumerate(entries(value, where))]


def variables(value: Any, where: str) -> dict[str, str | None]:
    """`KEY=value` lines or a mapping. None: named without a value."""
    if isinstance(value, dict):
        return {key: None if item is None else scalar(item, f"{where}.{key}") for key, item in value.items()}
    parts = [item.partition("=") for item in texts(value, where)]
    return {key: item if equals else None for key, equals, item in parts}


def pairs(value: Any, where: str) -> dict[str, str]:
    """`variables`, where a missing value is an empty text (labels, options)."""
    return {key: item or "" for key, item in variables(value, where).items()}


def words(value: Any, where: str) -> list[str] | None:
    """A command: a list is taken word by word, a text is split as a shell would; None: not given."""
    if value is None:
        return None
    if isinstance(value, list):
        return texts(value, where)
    try:
        return shlex.split(scalar(value, where))
    except ValueError as error:
        raise UsageError(f"{where}: {value!r} cannot be split into words: {error}") from None


def boolean(value: Any, where: str) -> bool:
    """True or false, as a text too (after interpolation)."""
    given = {True: True, False: False, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
    known = value.lower() if isinstance(value, str) else value
    if known in ("1", "0", "y", "n", "t", "f"):
        return known in ("1", "y", "t")
    if not isinstance(known, bool | str) or known not in given:
        raise UsageError(f"{where}: {value!r} is not allowed; true or false")
    return given[known]


def whole(value: Any, where: str) -> int:
    """A whole number."""
    try:
        return int(value) if not isinstance(value, bool | float) else int("")
    except (TypeError, ValueError):
        raise UsageError(f"{where}: {value!r} is not allowed; a whole number") from None


def number(value: Any, where: str) -> float:
    """A number from 0."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1.0
    if isinstance(value, bool) or not 0 <= found < float("inf"):
        raise UsageError(f"{where}: {value!r} is not allowed; a number from 0")
    return found


def size_bytes(value: Any, where: str) -> int:
    """Bytes: 1024, "512m", "1.5gb"; -1 where the engine takes it as "no limit"."""
    text = scalar(value, where).strip()
    match = _SIZE.fullmatch(text)
    if match:
        return int(float(match[1]) * _SIZES[match[2].lower()])
    if text == "-1":
        return -1
    raise UsageError(f"{where}: {value!r} is not a size; allowed: bytes, or a number with b, k, m or g")


def duration_ns(value: Any, where: str) -> int:
    """Nanoseconds: "1m30s", "500ms"."""
    text = scalar(value, where)
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        raise UsageError(f"{where}: {value!r} is not a duration; allowed: numbers with h, m, s, ms or us, as in 1m30s")
    return sum(int(float(amount) * _UNITS_NS[unit]) for amount, unit in _DURATION_PART.findall(text))


def one_of(value: Any, allowed: Mapping[str, Any], where: str) -> Any:
    """What an allowed word stands for."""
    if value not in allowed:
        raise UsageError(f"{where}: {value!r} is not allowed; {', '.join(allowed)}")
    return allowed[value]
