"""Linearizability of a history under a model, object by object. Pure.

Herlihy & Wing 1990: a history is linearizable when every operation can be given one moment between
its invocation and its return, such that the operations in order of their moments are legal. Objects
are checked apart. For each, cheapest first: the order of returns, tried as a proof; blocks, where
values are unique; the frontier search, one slice per object in turn, until one object fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_coordchaos.checkers.block_order import contradiction_of, order_of, stuck_mismatch
from pytest_coordchaos.checkers.blocks import Contradiction, blocks_of
from pytest_coordchaos.checkers.certificate import by_completion, is_certificate
from pytest_coordchaos.checkers.frontier import Frontier
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome
from pytest_coordchaos.verdicts import Status

__all__ = ["CONFIGURATIONS_PER_S", "Budget", "Finding", "examine", "objects_of"]

CONFIGURATIONS_PER_S = 100_000
"""What a second of budget buys where no clock is given: the verdict is then the same on every machine."""

_SLICE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long to search.

    Args:
        seconds: Of the clock `now_s`; without a clock, `CONFIGURATIONS_PER_S` configurations each.
        configurations: At most so many, whatever the clock says.
        now_s: A clock, in seconds.
    """

    seconds: float = 30.0
    configurations: int | None = None
    now_s: Callable[[], float] | None = None

    def meter(self) -> Callable[[int], bool]:
        """A function that tells, from the configurations looked at so far, whether the budget is used up."""
        limit = self.configurations
        if limit is None and self.now_s is None:
            limit = int(self.seconds * CONFIGURATIONS_PER_S)
        if self.now_s is None:
            return lambda done: limit is not None and done >= limit
        now_s, end_s = self.now_s, self.now_s() + self.seconds
        return lambda done: (limit is not None and done >= limit) or now_s() >= end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What can be said of a history.

    Args:
        status: Linearizable (held), not (violated), or the budget was used up first (unknown).
        objects, operations: How many were checked (operations: completed or crashed).
        key: The object that failed, or was not finished; None also where there is only one.
        contradiction: The operations that contradict each other, where values were unique.
        failed_by_ns: Where they were not: what was invoked later has no part in the failure.
        certified: Completed operations of the unfinished object explained before the budget was used up.
        configurations: Configurations looked at.
    """

    status: Status
    objects: int
    operations: int
    key: Hashable = None
    contradiction: Contradiction | None = None
    failed_by_ns: int = INFINITY_NS
    certified: int = 0
    configurations: int = 0


@dataclass(frozen=True, slots=True)
class _Search:
    key: Hashable
    frontier: Frontier
    slices: Iterator[None]


def objects_of(operations: Iterable[Operation], model: Model) -> dict[Hashable, list[Operation]]:
    """Operations that may have happened, by object, each in order of invocation."""
    objects: dict[Hashable, list[Operation]] = {}
    for op in operations:
        if op.outcome is not Outcome.FAIL:
            objects.setdefault(model.partition(op) if model.partition else None, []).append(op)
    for of_key in objects.values():
        of_key.sort(key=lambda op: (op.invoke_ns, op.id))
    return objects


def examine(operations: Iterable[Operation], model: Model, budget: Budget) -> Finding:
    """Whether the operations are linearizable. Stops at the first object that is not."""
    spent = budget.meter()
    objects = objects_of(operations, model)
    size = sum(map(len, objects.values()))
    searches: deque[_Search] = deque()
    for key, of_key in objects.items():
        decided = _decided_cheaply(of_key, model)
        if isinstance(decided, Contradiction):
            return Finding(status=Status.VIOLATED, objects=len(objects), operations=size, key=key, contradiction=decided)
        if not decided:
            frontier = Frontier(of_key, model)
            searches.append(_Search(key, frontier, frontier.run()))
    status, last, done = _in_turn(searches, spent)
    return Finding(
        status=status,
        objects=len(objects),
        operations=size,
        key=last.key if last else None,
        failed_by_ns=last.frontier.failed_by_ns if last else INFINITY_NS,
        certified=_certified(objects[last.key], last.frontier) if last and status is Status.UNKNOWN else 0,
        configurations=done,
    )


def _decided_cheaply(operations: Sequence[Operation], model: Model) -> Contradiction | bool:
    """A contradiction, True (linearizable), or False (not decided)."""
    if is_certificate(by_completion([op for op in operations if op.outcome is Outcome.OK]), model):
        return True
    cut = blocks_of(operations, model)
    if cut is None:
        return False
    contradiction = contradiction_of(cut)
    if contradiction:
        return contradiction
    order = order_of(cut) if cut.whole else None
    return (order is not None and is_certificate(order, model)) or stuck_mismatch(cut) or False


def _in_turn(searches: deque[_Search], spent: Callable[[int], bool]) -> tuple[Status, _Search | None, int]:
    """Run the searches side by side. The status, the search that decided it, and the configurations looked at."""
    finished = 0
    while searches:
        search = searches.popleft()
        begin = search.frontier.configurations
        running = False
        for _ in search.slices:
            if search.frontier.configurations - begin >= _SLICE:
                running = True
                break
        done = finished + search.frontier.configurations + sum(other.frontier.configurations for other in searches)
        if search.frontier.failed_at:
            return Status.VIOLATED, search, done
        if not running:
            finished += search.frontier.configurations
        elif spent(done):
            return Status.UNKNOWN, search, done
        else:
            searches.append(search)
    return Status.HELD, None, finished


def _certified(operations: Sequence[Operation], frontier: Frontier) -> int:
    return sum(op.outcome is Outcome.OK and op.return_ns <= frontier.certified_ns for op in operations)
