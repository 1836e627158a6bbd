"""Carts that replicas keep: no add is lost, and a remove takes away what it saw and nothing else. Pure.

Operations: `add` (key the item, value the quantity, default 1), `remove` (key the item; its result may be the list of ids of
the add operations that it took away), `read`, and `state` in the end: item -> quantity. A look must lie between what was
surely added and not removed, and what may have been added and was not surely removed.

What a look at a node surely sees are the operations that the same node has acknowledged before; in the end those of all.
A remove without a list may have taken any add that began before it returned, and surely took those its node had acknowledged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from pytest_coordchaos.checkers.counterexample import timeline
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["CART"]

_FINAL, _LOOKS = "state", ("read", "state")
_MOST_LINES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """What a look shows that cannot be."""

    said: str
    look: Operation
    operations: Sequence[Operation]


class _Tally:
    """Quantities by time, summed up."""

    def __init__(self, dated: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(dated)
        self._times = [time_ns for time_ns, _ in ordered]
        self._sums = [0, *accumulate(quantity for _, quantity in ordered)]

    def before(self, time_ns: int) -> int:
        """The sum of all with an earlier time."""
        return self._sums[bisect_left(self._times, time_ns)]


class _Earliest:
    """Of things that last from a time to a time: the earliest begin, or end, among those that reach beyond a time."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        """Of (what is compared, what is wanted)."""
        ordered = sorted(spans)
        self._keys = [key for key, _ in ordered]
        self._least = [*accumulate((wanted for _, wanted in reversed(ordered)), min, initial=INFINITY_NS)][::-1]

    def beyond(self, time_ns: int) -> int:
        """The least wanted one whose key is later."""
        return self._least[bisect_left(self._keys, time_ns + 1)]


@dataclass(slots=True, kw_only=True)
class _Item:
    """All that was asked of one item, and since when each add may be, and surely is, taken away."""

    adds: list[Operation] = field(default_factory=list)
    removes: list[Operation] = field(default_factory=list)
    may_be_gone_ns: dict[int, int] = field(default_factory=dict)
    begun: _Tally = field(default_factory=lambda: _Tally(()))
    gone: dict[str | None, _Tally] = field(default_factory=dict)
    gone_anywhere: _Tally = field(default_factory=lambda: _Tally(()))

    def settle(self) -> None:
        """Work out the times, once all operations are there."""
        named = [op for op in self.removes if op.outcome is Outcome.OK and isinstance(op.result, list)]
        blind = [op for op in self.removes if op.outcome is Outcome.INFO or not isinstance(op.result, list)]
        may = _Earliest((op.return_ns, op.invoke_ns) for op in blind)
        self.may_be_gone_ns = {add.id: may.beyond(add.invoke_ns) for add in self.adds}
        for op in named:
            for number in op.result:
                if number in self.may_be_gone_ns:
                    self.may_be_gone_ns[number] = min(op.invoke_ns, self.may_be_gone_ns[number])
        self.begun = _Tally((add.invoke_ns, _quantity(add)) for add in self.adds)
        sure = {node: self._surely_gone(node, named, blind) for node in {op.node for op in self.removes}}
        self.gone = {node: self._tally(times) for node, times in sure.items()}
        everywhere: dict[int, int] = {}
        for times in sure.values():
            for number, time_ns in times.items():
                everywhere[number] = min(time_ns, everywhere.get(number, INFINITY_NS))
        self.gone_anywhere = self._tally(everywhere)

    def _surely_gone(self, node: str | None, named: Sequence[Operation], blind: Sequence[Operation]) -> dict[int, int]:
        """Add -> when a remove at that node that took it had returned."""
        own = [op for op in blind if op.node == node and op.outcome is Outcome.OK]
        later = _Earliest((op.invoke_ns, op.return_ns) for op in own)
        acknowledged = [add for add in self.adds if add.node == node and add.outcome is Outcome.OK]
        times = {add.id: later.beyond(add.return_ns) for add in acknowledged}
        for op in named:
            if op.node == node:
                times |= {number: min(op.return_ns, times.get(number, INFINITY_NS)) for number in op.result}
        return times

    def _tally(self, times: Mapping[int, int]) -> _Tally:
        return _Tally((max(times[add.id], add.invoke_ns), _quantity(add)) for add in self.adds if add.id in times)

    def most(self, look: Operation) -> int:
        """The most that the look may show."""
        gone = self.gone_anywhere if look.f == _FINAL else self.gone.get(look.node)
        return self.begun.before(look.return_ns) - (gone.before(look.invoke_ns) if gone else 0)

    def least(self, looks: Sequence[Operation], adds: Sequence[Operation]) -> Iterator[int]:
        """The least that each of the looks, in order of invocation, may show of these adds."""
        waiting = sorted((op for op in adds if op.outcome is Outcome.OK), key=lambda op: op.return_ns, reverse=True)
        there: list[Operation] = []
        for look in looks:
            while waiting and waiting[-1].return_ns < look.invoke_ns:
                there.append(waiting.pop())
            there = [add for add in there if self.may_be_gone_ns[add.id] >= look.invoke_ns]
            yield sum(_quantity(add) for add in there if self.may_be_gone_ns[add.id] >= look.return_ns)


def _check(history: History, options: Options) -> Verdict:
    start_ns = options.get("window_start_ns")
    looks = [op for op in history if op.f in _LOOKS and op.outcome is Outcome.OK and isinstance(op.result, dict)]
    looks = [op for op in looks if not isinstance(start_ns, int) or op.invoke_ns >= start_ns]
    if not looks:
        return _verdict(Status.UNKNOWN, "cart unknown: nothing was observed, no read was answered")
    last = {op.node: op.id for op in looks if op.f == _FINAL}
    looks = [op for op in looks if op.f != _FINAL or last[op.node] == op.id]
    items = _by_item(history, looks)
    wrong = [found for name, item in items.items() for found in _of_item(name, item, looks)]
    if not wrong:
        adds = sum(len(item.adds) for item in items.values())
        return _verdict(Status.HELD, f"cart held ({adds} adds, {len(looks)} reads)")
    first = min(wrong, key=lambda found: found.look.invoke_ns)
    shown = [op for op in first.operations if op.invoke_ns < first.look.return_ns and op is not first.look]
    lines = timeline([*shown, first.look], start_ns=start_ns if isinstance(start_ns, int) else None)
    return _verdict(Status.VIOLATED, f"cart violated: {first.said}", lines[-_MOST_LINES:])


def _by_item(history: History, looks: Iterable[Operation]) -> dict[Any, _Item]:
    items: dict[Any, _Item] = {name: _Item() for look in looks for name in look.result}
    for op in history:
        if op.f in ("add", "remove") and op.outcome is not Outcome.FAIL:
            item = items.setdefault(op.key, _Item())
            (item.adds if op.f == "add" else item.removes).append(op)
    for item in items.values():
        item.settle()
    return items


def _of_item(name: Any, item: _Item, looks: Sequence[Operation]) -> Iterator[_Wrong]:
    """What is wrong with an item: reads know of the adds of their own node, the last answers of all."""
    operations = (*item.adds, *item.removes)
    begun_ns = {add.id: add.invoke_ns for add in item.adds}
    for op in item.removes:
        unseen = [number for number in _named(op) if begun_ns.get(number, INFINITY_NS) > op.return_ns]
        if unseen:
            said = f"a remove of {name!r} at {op.node} took {unseen[0]}, which was no add of it that had begun"
            yield _Wrong(said=said, look=op, operations=operations)
    for node in dict.fromkeys(look.node for look in looks):
        for final in (False, True):
            mine = [look for look in looks if look.node == node and (look.f == _FINAL) == final]
            adds = item.adds if final else [add for add in item.adds if add.node == node]
            for look, least in zip(mine, item.least(mine, adds), strict=True):
                said = _said(name, look, least, item.most(look))
                if said:
                    yield _Wrong(said=said, look=look, operations=operations)


def _said(name: Any, look: Operation, least: int, most: int) -> str:
    found = look.result.get(name, 0)
    where = f"{name!r} at {look.node} is {found!r}"
    if found < least:
        return f"{where}, but {least} were acknowledged and not removed"
    return f"{where}, but at most {most} were added and not removed" if found > most else ""


def _named(remove: Operation) -> Sequence[int]:
    """The adds that it says it took; () when it does not say."""
    return remove.result if remove.outcome is Outcome.OK and isinstance(remove.result, list) else ()


def _quantity(add: Operation) -> int:
    return 1 if add.value is None else int(add.value)


def _verdict(status: Status, summary: str, details: tuple[str, ...] = ()) -> Verdict:
    return Verdict(name="cart", status=status, summary=summary, details=details)


CART = Invariant(
    name="cart",
    check=_check,
    options=frozenset(),
    doc="no acknowledged add is lost, a remove takes away what it saw and nothing else",
    eventual=True,
)
