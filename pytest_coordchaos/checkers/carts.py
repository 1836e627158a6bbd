"""Carts that replicas keep: no add is lost, and a remove takes away what it saw and nothing else. Pure.

Operations: `add` (key the item, value the quantity, default 1), `remove` (key the item; its result may be the list of ids of
the add operations that it took away), `read`, and `state` in the end: item -> quantity. A look must lie between what was
surely added and not removed, and what may have been added and was not surely removed.

What a look at a node surely sees are the operations that the same node has acknowledged before; in the end those of all.
A remove without a list may have taken any add that began before it returned, and surely took those its node had acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_coordchaos.checkers.counterexample import timeline
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["CART"]

_FINAL, _LOOKS = "state", ("read", "state")
_MOST_LINES = 24


@dataclass(slots=True, kw_only=True)
class _Item:
    """All that was asked of one item."""

    adds: list[Operation] = field(default_factory=list)
    removes: list[Operation] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """What a look shows that cannot be."""

    said: str
    look: Operation
    item: _Item


def _check(history: History, options: Options) -> Verdict:
    start_ns = options.get("window_start_ns")
    looks = [op for op in history if op.f in _LOOKS and op.outcome is Outcome.OK and isinstance(op.result, dict)]
    looks = [op for op in looks if not isinstance(start_ns, int) or op.invoke_ns >= start_ns]
    if not looks:
        return _verdict(Status.UNKNOWN, "cart unknown: nothing was observed, no read was answered")
    items = _by_item(history)
    last = {op.node: op.id for op in looks if op.f == _FINAL}
    looks = [op for op in looks if op.f != _FINAL or last[op.node] == op.id]
    wrong = next((found for look in looks for found in _of_look(look, items)), None)
    if wrong is None:
        adds = sum(len(item.adds) for item in items.values())
        return _verdict(Status.HELD, f"cart held ({adds} adds, {len(looks)} reads)")
    shown = [op for op in (*wrong.item.adds, *wrong.item.removes) if op.invoke_ns < wrong.look.return_ns]
    lines = timeline([*shown, wrong.look], start_ns=start_ns if isinstance(start_ns, int) else None)
    return _verdict(Status.VIOLATED, f"cart violated: {wrong.said}", lines[-_MOST_LINES:])


def _by_item(history: History) -> dict[Any, _Item]:
    items: dict[Any, _Item] = {}
    for op in history:
        if op.f in ("add", "remove") and op.outcome is not Outcome.FAIL:
            item = items.setdefault(op.key, _Item())
            (item.adds if op.f == "add" else item.removes).append(op)
    return items


def _of_look(look: Operation, items: dict[Any, _Item]) -> Iterator[_Wrong]:
    for name in dict.fromkeys([*items, *look.result]):
        item, found = items.get(name, _Item()), look.result.get(name, 0)
        least, most = _bounds(item, look)
        where = f"{name!r} at {look.node} is {found!r}"
        if found < least:
            yield _Wrong(said=f"{where}, but {least} were acknowledged and not removed", look=look, item=item)
        elif found > most:
            yield _Wrong(said=f"{where}, but at most {most} were added and not removed", look=look, item=item)


def _bounds(item: _Item, look: Operation) -> tuple[int, int]:
    """The least and the most that the look may show."""
    begun = [remove for remove in item.removes if remove.invoke_ns < look.return_ns]
    seen = [remove for remove in begun if _surely_seen(remove, look)]
    maybe = [add for add in item.adds if add.invoke_ns < look.return_ns]
    least = [add for add in maybe if _surely_seen(add, look) and not any(_may_take(remove, add) for remove in begun)]
    most = [add for add in maybe if not any(_surely_takes(remove, add) for remove in seen)]
    return _total(least), _total(most)


def _surely_seen(op: Operation, look: Operation) -> bool:
    return op.outcome is Outcome.OK and op.return_ns < look.invoke_ns and (look.f == _FINAL or op.node == look.node)


def _may_take(remove: Operation, add: Operation) -> bool:
    if remove.outcome is Outcome.OK and isinstance(remove.result, list):
        return add.id in remove.result
    return remove.return_ns > add.invoke_ns


def _surely_takes(remove: Operation, add: Operation) -> bool:
    if isinstance(remove.result, list):
        return add.id in remove.result
    return add.outcome is Outcome.OK and add.node == remove.node and add.return_ns < remove.invoke_ns


def _total(adds: Sequence[Operation]) -> int:
    return sum(1 if add.value is None else add.value for add in adds)


def _verdict(status: Status, summary: str, details: tuple[str, ...] = ()) -> Verdict:
    return Verdict(name="cart", status=status, summary=summary, details=details)


CART = Invariant(
    name="cart",
    check=_check,
    options=frozenset(),
    doc="no acknowledged add is lost, a remove takes away what it saw and nothing else",
    eventual=True,
)
