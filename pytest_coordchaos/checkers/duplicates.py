"""At most one charge per idempotency key, and no acknowledged one lost. Pure.

The words are those of Jepsen's set checkers (lost, duplicated, unexpected, recovered), with duplicates really counted.
Clients perform an operation (`transfer`, or whatever the option `of` names) whose `key` is the idempotency key; nodes are asked
`charges`, and answer `{"applied": {key: times}}` (or a list of keys, each as often as it was applied), and optionally
`forgotten`: how many keys they dropped from their memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_coordchaos.checkers.blame import of_this_window
from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["NO_DUPLICATES", "check_duplicates"]

NAME = "no-duplicate-transactions"
_MOST_LINES = 12


def check_duplicates(history: History, options: Options) -> Verdict:
    """Compare what clients were told with what nodes say they have applied.

    Args:
        history: What was observed.
        options: `of`: the `f` of the operations (default "transfer").
    """
    asked = [op for op in history if op.f == _of(options) and op.key is not None]
    last = {node: op for node, op in last_answers(history, "charges").items() if isinstance(op.result, Mapping)}
    if not asked or not last:
        what = "no node answered 'charges'" if asked else f"no operation {_of(options)!r} with a key"
        return Verdict(name=NAME, status=Status.UNKNOWN, summary=f"{NAME}: unknown, nothing was observed ({what})")
    applied = {node: _counted(op.result.get("applied", ())) for node, op in last.items()}
    outcomes: dict[Any, set[Outcome]] = {}
    for op in asked:
        outcomes.setdefault(op.key, set()).add(op.outcome)
    found = [*_duplicated(applied), *_unexpected(applied, outcomes), *_lost(applied, asked, history, last)]
    if found:
        summary = f"{NAME} violated: {found[0]}" + (f"; and {len(found) - 1} more" if len(found) > 1 else "")
        return Verdict(name=NAME, status=Status.VIOLATED, summary=summary, details=tuple(found[:_MOST_LINES]))
    there = {key for counts in applied.values() for key in counts}
    recovered = sum(Outcome.OK not in seen and key in there for key, seen in outcomes.items())
    acknowledged = sum(Outcome.OK in seen for seen in outcomes.values())
    summary = f"{NAME}: held ({len(outcomes)} keys, {acknowledged} acknowledged, {recovered} recovered)"
    return Verdict(name=NAME, status=Status.HELD, summary=summary)


def _duplicated(applied: Mapping[str, Mapping[Any, int]]) -> list[str]:
    return [
        f"duplicated: {node} applied key {key!r} {times} times"
        for node, counts in applied.items()
        for key, times in counts.items()
        if times > 1
    ]


def _unexpected(applied: Mapping[str, Mapping[Any, int]], outcomes: Mapping[Any, set[Outcome]]) -> list[str]:
    """Applied although nobody asked for it, or although all who did were told that it surely did not happen."""
    found = []
    for node, counts in applied.items():
        for key in counts:
            seen = outcomes.get(key)
            if seen is None:
                found.append(f"unexpected: {node} applied key {key!r}, which nobody used")
            elif seen == {Outcome.FAIL}:
                found.append(f"unexpected: {node} applied key {key!r}, whose client was told that it did not happen")
    return found


def _lost(
    applied: Mapping[str, Mapping[Any, int]], asked: list[Operation], history: History, last: Mapping[str, Operation]
) -> list[str]:
    """Acknowledged before the nodes were asked, and nowhere; where a node is silent or forgot, nothing is concluded."""
    silent = {op.node for op in history if op.f == "charges" and op.node} - set(last)
    if silent or any(op.result.get("forgotten") for op in last.values()):
        return []
    there, asked_ns = {key for counts in applied.values() for key in counts}, min(op.invoke_ns for op in last.values())
    return [
        f"lost: key {op.key!r} was acknowledged (operation {op.id}), and no node has applied it"
        for op in asked
        if op.outcome is Outcome.OK and op.return_ns <= asked_ns and op.key not in there
    ]


def _counted(applied: Mapping[Any, int] | Iterable[Any]) -> Mapping[Any, int]:
    return applied if isinstance(applied, Mapping) else Counter(applied)


def _of(options: Options) -> str:
    of = options.get("of", "transfer")
    if not isinstance(of, str):
        raise UsageError(f"{NAME}: of={of!r} is not allowed; wanted: the f of the operations that carry keys")
    return of


NO_DUPLICATES = Invariant(
    name=NAME,
    check=of_this_window(check_duplicates),
    options=frozenset({"of"}),
    doc="at most one charge per idempotency key, and no acknowledged one lost",
    validate=lambda options: (_of(options), None)[1],
)
