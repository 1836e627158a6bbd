"""What an invariant is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Verdict

__all__ = ["Invariant", "Options"]

Options = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A promise that can be checked on a history.

    Args:
        name: As markers say it.
        check: `(history, options)` -> verdict. Raises UsageError for options that are off.
        options: Names of the options a marker may give.
        doc: One line for people.
        needs: What else `check` is given among its options: "faults" (the run's `RunFault`s: `words`, `start_ns`, `end_ns`).
        eventual: It promises something of the end ("all nodes agree"), so it is judged only when no fault is in force any more.
        validate: Raises UsageError for options that are off, before anything runs; None: nothing to check.
    """

    name: str
    check: Callable[[History, Options], Verdict]
    options: frozenset[str]
    doc: str
    needs: frozenset[str] = frozenset()
    eventual: bool = False
    validate: Callable[[Options], None] | None = None
