"""Traces as files: a head that says what they are of, then one line a step; and where two of them differ first."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UsageError

__all__ = ["Difference", "compare", "first_difference", "read", "write"]

_MARK = "# coordchaos trace 1 "
_END = "(the end)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two traces differ first.

    Args:
        number: Which line, from 1.
        before: The lines before it, the same in both.
        one, other: The lines from there on.
    """

    number: int
    before: tuple[str, ...]
    one: tuple[str, ...]
    other: tuple[str, ...]


def first_difference(one: Iterable[str], other: Iterable[str], *, before: int = 0, after: int = 1) -> Difference | None:
    """Compare two traces; None: they are the same.

    Args:
        one, other: Their lines.
        before, after: How many lines to show before the difference, and of each from it on.
    """
    left, right = iter(one), iter(other)
    same: deque[str] = deque(maxlen=before)
    for number, (a, b) in enumerate(zip_longest(left, right, fillvalue=_END), start=1):
        if a != b:
            rest_a, rest_b = islice(left, after - 1), islice(right, after - 1)
            return Difference(number=number, before=tuple(same), one=(a, *rest_a), other=(b, *rest_b))
        same.append(a)
    return None


def write(file: Path, head: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Write a trace; `head` says which test and seed it is of, and in what environment."""
    with file.open("w") as out:
        out.write(_MARK + json.dumps(head) + "\n")
        out.writelines(line + "\n" for line in lines)


def read(file: Path) -> tuple[dict[str, Any], Iterator[str]]:
    """The head of a trace, and its lines as they are read.

    Raises:
        UsageError: It cannot be read, or is no trace.
    """
    try:
        stream = file.open()
        first = stream.readline()
        head: dict[str, Any] = json.loads(first.removeprefix(_MARK)) if first.startswith(_MARK) else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as a trace: {error}") from None
    if not head:
        stream.close()
        raise UsageError(f"{file} is no trace; write one with `coordchaos campaign TEST --seeds N --trace {file}`")
    return head, _lines(stream)


def _lines(stream: Any) -> Iterator[str]:
    with stream:
        for line in stream:
            yield line.rstrip("\n")


def compare(one: Path, other: Path, *, context: int) -> tuple[str, bool]:
    """What is to be said of two trace files, and whether they are the same run.

    Raises:
        UsageError: One cannot be read.
    """
    (head, lines), (other_head, other_lines) = read(one), read(other)
    told = [f"{name}: {head.get(name)} | {other_head.get(name)}" for name in head if head.get(name) != other_head.get(name)]
    found = first_difference(lines, other_lines, before=context, after=context + 1)
    if found is None:
        return "\n".join([*told, "the same run"]), True
    told.append(f"first difference at step {found.number}:")
    told += [f"  {line}" for line in found.before]
    told += [f"- {line}" for line in found.one]
    told += [f"+ {line}" for line in found.other]
    return "\n".join(told), False
