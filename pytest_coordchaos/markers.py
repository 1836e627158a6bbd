"""What the three markers may say, and the request that the markers of one test add up to. Pure.

`coordchaos`: per argument the closest marker wins (function over class over module).
`invariants` and `coordination_budget` accumulate, in reading order: module, class, then the
function's decorators from top to bottom. What is said twice (the same invariant; the same limit
for the same `op`) is overridden by the closest, so that a module can set what one test replaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from pytest_coordchaos.settings import PROXIES, RUNTIMES, SEED_MAX, Settings

if TYPE_CHECKING:
    from pytest_coordchaos.checkers.invariant import Invariant

__all__ = ["NAMES", "Mark", "request_from"]

NAMES = ("coordchaos", "invariants", "coordination_budget")
"""The markers of this plugin."""

Check = Callable[[Any], bool]


class Mark(Protocol):
    """The part of `pytest.Mark` that is read here."""

    @property
    def name(self) -> str:
        """Name of the marker."""
        ...

    @property
    def args(self) -> tuple[object, ...]:
        """Positional arguments."""
        ...

    @property
    def kwargs(self) -> Mapping[str, object]:
        """Keyword arguments."""
        ...


def request_from(
    marks: Iterable[Mark], *, test: str, path: str, settings: Settings, extra_invariants: Mapping[str, Invariant] = {}
) -> TestRequest:
    """The request of one test.

    Args:
        marks: All markers of the test, closest first (as `item.iter_markers()` gives them).
        test: The test's node id.
        path: The test's file, absolute.
        settings: The run's options; a marker's own value wins over them.
        extra_invariants: Invariants that plugins add to the built-in ones.

    Raises:
        UsageError: A marker is wrong: which one, which argument, what is allowed.
    """
    outermost_first = [mark for mark in marks if mark.name in NAMES][::-1]
    merged: dict[str, Any] = {}
    invariants: dict[str, InvariantRequest] = {}
    budgets: dict[str | None, dict[str, float]] = {}
    for mark in outermost_first:
        if mark.name == "coordchaos":
            merged.update(_coordchaos(mark))
        elif mark.name == "invariants":
            invariants.update({one.name: one for one in _invariants(mark, extra_invariants)})
        else:
            op, limits = _budget(mark)
            budgets.setdefault(op, {}).update(limits)
    return TestRequest(
        test=test,
        seed=settings.seed_of(test, path) if merged.get("seed") is None else merged["seed"],
        nodes=merged.get("nodes"),
        faults=merged.get("faults", ()),
        seconds=merged.get("seconds"),
        runtime=merged.get("runtime", ""),
        proxy=merged.get("proxy", ""),
        allow_unknown=bool(merged.get("allow_unknown", False)),
        invariants=tuple(invariants.values()),
        budgets=tuple(BudgetRequest(op=op, limits=limits) for op, limits in budgets.items()),
        reproduce=settings.reproduce(test, path),
    )


def _coordchaos(mark: Mark) -> dict[str, object]:
    """The checked arguments of one `coordchaos` marker."""
    _no_positional(mark)
    _known(mark, (*_CHECKS, "faults"))
    given = {name: value for name, value in mark.kwargs.items() if value is not None}
    for name, value in given.items():
        if name in _CHECKS and not _CHECKS[name][1](value):
            raise _refused(mark, f"{name}={value!r}", _CHECKS[name][0])
    if "faults" in given:
        given["faults"] = _faults(mark, given["faults"])
    return given


def _faults(mark: Mark, words: object) -> tuple[str, ...]:
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise _refused(mark, f"faults={words!r}", "a list of fault words, such as ['partition:halves', 'pause:leader']")
    from pytest_coordchaos.faults.words import parse

    for word in words:
        try:
            parse(word)
        except UsageError as error:
            raise UsageError(f"marker coordchaos(faults=…): {error}") from None
    return tuple(words)


def _invariants(mark: Mark, extra: Mapping[str, Invariant]) -> list[InvariantRequest]:
    """The invariants one `invariants` marker names; each gets those of the marker's options that it has."""
    if not mark.args:
        raise UsageError("marker invariants(...) names no invariant; allowed: one or more names, such as 'linearizable'")
    from pytest_coordchaos.checkers.registry import INVARIANTS

    known = {**INVARIANTS, **extra}
    for name in mark.args:
        if not isinstance(name, str) or name not in known:
            raise _refused(mark, repr(name), ", ".join(sorted(known)), hint=_closest(name, known))
    named = [known[str(name)] for name in mark.args]
    _known(mark, sorted({option for invariant in named for option in invariant.options}))
    return [_asked(name, invariant, mark) for name, invariant in zip(mark.args, named, strict=True)]


def _asked(name: object, invariant: Invariant, mark: Mark) -> InvariantRequest:
    options = {option: value for option, value in mark.kwargs.items() if option in invariant.options}
    if invariant.validate is not None:
        try:
            invariant.validate(options)
        except UsageError as error:
            raise UsageError(f"marker invariants({name!r}, …): {error}") from None
    return InvariantRequest(name=str(name), options=options)


def _budget(mark: Mark) -> tuple[str | None, dict[str, float]]:
    """The operation and the limits of one `coordination_budget` marker."""
    from pytest_coordchaos.cost.budgets import LIMITS

    _no_positional(mark)
    _known(mark, ("op", *LIMITS))
    op = mark.kwargs.get("op")
    if op is not None and not (isinstance(op, str) and op):
        raise _refused(mark, f"op={op!r}", "the name of an operation, such as 'put'")
    limits = {name: value for name, value in mark.kwargs.items() if name != "op" and value is not None}
    for name, value in limits.items():
        if not _number(value) or float(str(value)) < 0:
            raise _refused(mark, f"{name}={value!r}", f"a finite number of {LIMITS[name].unit} from 0")
    if not limits:
        raise UsageError(f"marker coordination_budget(...) sets no limit; allowed: one or more of {', '.join(LIMITS)}")
    return op, {name: float(str(value)) for name, value in limits.items()}


def _no_positional(mark: Mark) -> None:
    if mark.args:
        raise UsageError(f"marker {mark.name}({mark.args[0]!r}, …): positional arguments are not allowed; give them by name")


def _known(mark: Mark, names: Sequence[str]) -> None:
    for name in mark.kwargs:
        if name not in names:
            raise _refused(mark, f"{name}=", ", ".join(names) or "no option", hint=_closest(name, names))


def _refused(mark: Mark, what: str, allowed: str, hint: str = "") -> UsageError:
    return UsageError(f"marker {mark.name}({what}) is not allowed; allowed: {allowed}{hint}")


def _closest(name: object, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(str(name), names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_CHECKS: dict[str, tuple[str, Check]] = {
    "nodes": ("a whole number from 1", lambda value: _whole(value, 1)),
    "seconds": ("a number above 0, at most 86400", lambda value: _number(value) and 0 < value <= 86_400),
    "seed": (f"a whole number from 0 to {SEED_MAX}", lambda value: _whole(value, 0) and value <= SEED_MAX),
    "runtime": (", ".join(RUNTIMES), lambda value: value in RUNTIMES),
    "proxy": (", ".join(PROXIES), lambda value: value in PROXIES),
    "allow_unknown": ("True or False", lambda value: isinstance(value, bool)),
}
"""Argument of `coordchaos` (but faults) -> what is allowed, in words, and the test of it."""
