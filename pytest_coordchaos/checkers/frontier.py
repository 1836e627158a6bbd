"""Just-in-time linearizability search for any model. Pure.

A configuration is (which running operations took effect, crashed operations used, state). The
frontier holds all configurations that explain everything that has returned so far; when an
operation returns, those in which it has not taken effect are extended until it has (Lowe, Testing
for linearizability, 2017). What keeps the frontier small, none of it losing an explanation:

- a running read whose answer is the state takes effect at once;
- of running operations that are alike, the one that returns first takes effect first, and before
  any crashed one that is alike;
- crashed operations are counted by kind; only the smallest counts are kept;
- states that no remaining operation can tell apart are one state, and the worst of states is
  dropped beside any other;
- writes that nobody looks at take effect just before the next overwriting one;
- once nothing that could be illegal remains, the rest is explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_coordchaos.checkers.calls import Call, Calls
from pytest_coordchaos.checkers.models import Model, State
from pytest_coordchaos.checkers.values import DEAD
from pytest_coordchaos.history.model import INFINITY_NS, Operation

__all__ = ["Frontier"]

Configurations = dict[tuple[int, State], list[int]]


class Frontier:
    """The search over the operations of one object.

    Args:
        operations: Completed and crashed operations, sorted by invocation; no failed ones.
        model: The model.

    Attributes:
        configurations: How many were looked at so far.
        certified_ns: Everything that returned up to then is explained.
        failed_at: The operation at whose return no explanation was left, once the search has ended so.
        failed_by_ns: What was invoked later has no part in the failure (`INFINITY_NS`: it may have).
    """

    def __init__(self, operations: Sequence[Operation], model: Model) -> None:
        self._calls = Calls(operations, model)
        self.configurations = 0
        self.certified_ns = -1
        self.failed_at: Operation | None = None
        self.failed_by_ns = INFINITY_NS
        self._foresaw = False

    def run(self) -> Iterator[None]:
        """The search, in slices: yields now and then; it has ended when the iterator is exhausted."""
        calls, frontier = self._calls, {(0, self._calls.initial): [0]}
        for call, returns in calls.events():
            if not returns:
                calls.invoked(call)
                continue
            calls.begin(call.op.return_ns)
            found: Configurations = {}
            yield
            for _ in self._extend(frontier, call, found):
                yield
            calls.returned(call)
            frontier = self._without_worst(found)
            if not frontier:
                self.failed_at = call.op
                self.failed_by_ns = INFINITY_NS if self._foresaw else call.op.return_ns
                return
            self.certified_ns = call.op.return_ns
            if calls.nothing_to_judge():
                return

    def _extend(self, frontier: Configurations, target: Call, found: Configurations) -> Iterator[None]:
        """Fill `found` with the configurations in which the target has taken effect."""
        calls, bit = self._calls, target.bit
        levels: list[list[tuple[int, State, int]]] = [[]]
        seen: Configurations = {}
        for (old_mask, old_state), vectors in frontier.items():
            state = calls.collapse(old_state)
            mask = old_mask | calls.absorbed(state)
            for vector in map(calls.relevant, vectors):
                if mask & bit:
                    _keep_least(found, (mask & ~bit, state), vector, calls.guards)
                elif _keep_least(seen, (mask, state), vector, calls.guards):
                    levels[0].append((mask, state, vector))
        self.configurations += len(frontier)
        while levels:
            level = levels[0]
            if not level:
                levels.pop(0)
                continue
            mask, state, vector = level.pop()
            self.configurations += 1
            if self.configurations % 1024 == 0:
                yield
            for next_mask, next_state, next_vector, crashed in calls.successors(mask, state, vector):
                if next_mask & bit:
                    _keep_least(found, (next_mask & ~bit, next_state), next_vector, calls.guards)
                elif _keep_least(seen, (next_mask, next_state), next_vector, calls.guards):
                    if crashed and len(levels) == 1:
                        levels.append([])
                    levels[crashed].append((next_mask, next_state, next_vector))

    def _without_worst(self, found: Configurations) -> Configurations:
        """Drop the worst state where it is hopeless, or stands beside a better one."""
        calls = self._calls
        if calls.worst is not DEAD:
            return found
        better: dict[int, list[int]] = {}
        for (mask, state), vectors in found.items():
            if state is not DEAD:
                better.setdefault(mask, []).extend(vectors)
        kept: Configurations = {}
        for (mask, state), vectors in found.items():
            if state is DEAD and self._beaten(better.get(mask), vectors):
                continue
            if state is DEAD and calls.worst_is_hopeless(mask):
                self._foresaw = True  # it would have failed at a later return
                continue
            kept[mask, state] = vectors
        return kept

    def _beaten(self, better: list[int] | None, vectors: list[int]) -> bool:
        guards = self._calls.guards
        return better is not None and all(any(_at_most(one, vector, guards) for one in better) for vector in vectors)


def _at_most(one: int, other: int, guards: int) -> bool:
    """Whether every count packed in `one` is at most the same count of `other`."""
    return ((other | guards) - one) & guards == guards


def _keep_least(configurations: Configurations, key: tuple[int, Any], vector: int, guards: int) -> bool:
    """Add a vector unless one that uses no more is there; drop those that use more. Whether it was added."""
    known = configurations.get(key)
    if known is None:
        configurations[key] = [vector]
        return True
    if any(_at_most(one, vector, guards) for one in known):
        return False
    known[:] = [one for one in known if not _at_most(vector, one, guards)]
    known.append(vector)
    return True
