"""The operations of one object as the frontier search sees them: numbered, grouped, remembered. Pure."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.checkers.models import Horizon, Model, State
from pytest_coordchaos.checkers.values import DEAD
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

__all__ = ["Call", "Calls"]

_ILLEGAL = object()
_NO_STATE = object()
_USELESS = -1


@dataclass(slots=True, eq=False)
class Call:
    """One operation.

    Args:
        op: It.
        kind: Number of its signature.
        completed: It returned; otherwise it crashed.
        observes_only, overwrites: As the model says.
        judged: It completed and could be illegal in some state.
        blind: It overwrites, with something nobody looks at.
        bit: Its place in masks while it runs.
    """

    op: Operation
    kind: int
    completed: bool
    observes_only: bool
    overwrites: bool
    judged: bool = False
    blind: bool = False
    bit: int = 0


class Calls:
    """What is running, what has crashed, and where a step leads, as the search walks through time."""

    def __init__(self, operations: Sequence[Operation], model: Model) -> None:
        self._model = model
        self._kinds: dict[Hashable, int] = {}
        self._examples: list[Operation] = []
        self._to_dead: set[int] = set()
        calls = [self._call(op) for op in operations]
        self._calls = [call for call in calls if call.completed or not call.observes_only]
        horizon = model.horizon([call.op for call in self._calls]) if model.horizon else None
        self._horizon = horizon or Horizon(collapse=lambda state, now_ns: state)
        self.initial = model.initial
        self.worst: object = DEAD if self._horizon.dead_is_worst else _NO_STATE
        self._steps: dict[tuple[State, int], Any] = {}
        self._absorbed: dict[State, int] = {}
        self._running: dict[int, list[Call]] = {}
        self._reads: dict[int, int] = {}
        self._blind_bits = 0
        self._free_bits: list[int] = []
        self._bits = 0
        self._now_ns = -1
        self._prepare_crashed()
        self._prepare_judging()

    def _call(self, op: Operation) -> Call:
        model = self._model
        signature: Hashable = op.id if model.signature is None else model.signature(op)
        kind = self._kind(signature, op)
        observes = model.observes_only is not None and model.observes_only(op)
        overwrites = model.overwrites is not None and model.overwrites(op)
        return Call(op, kind, op.outcome is Outcome.OK, observes, overwrites)

    def _kind(self, signature: Hashable, op: Operation) -> int:
        kind = self._kinds.setdefault(signature, len(self._kinds))
        if kind == len(self._examples):
            self._examples.append(op)
        return kind

    def _prepare_crashed(self) -> None:
        """Give each kind of crashed operation a field of bits, with one guard bit above it."""
        crashed = [call for call in self._calls if not call.completed]
        self._next_kind: dict[int, tuple[int, int | None]] = {}
        counts: Counter[int] = Counter()
        for call in crashed:
            kinds = self._kinds_in_time(call)
            call.kind = kinds[0] if kinds else _USELESS
            counts.update(kinds)
        self._overwriting = {kind for kind in counts if self._model.overwrites and self._model.overwrites(self._examples[kind])}
        self._units: dict[int, int] = {}
        self._fields: dict[int, int] = {}
        self.guards = shift = 0
        for kind, count in counts.items():
            width = count.bit_length()
            self._units[kind], self._fields[kind] = 1 << shift, ((1 << width) - 1) << shift
            shift += width + 1
            self.guards |= 1 << (shift - 1)
        self._available: dict[int, int] = {}
        self._moves: list[tuple[int, int | None]] = []

    def _kinds_in_time(self, call: Call) -> list[int]:
        """The kinds a crashed call goes through; each lasts as `_next_kind` says."""
        kinds: list[int] = []
        now_ns = call.op.invoke_ns
        while self._horizon.recast is not None:
            signature, until_ns = self._horizon.recast(call.op, now_ns)
            kind = None if signature is None else self._kind(signature, call.op)
            if kind is not None and kind != call.kind:
                self._to_dead.add(kind)  # recast: what it leaves is no longer told apart, whichever operation it was
            if kinds:
                self._next_kind[kinds[-1]] = (now_ns - 1, kind)
            if kind is None:
                return kinds
            kinds.append(kind)
            if until_ns == INFINITY_NS:
                return kinds
            now_ns = until_ns + 1
        return [call.kind]

    def _prepare_judging(self) -> None:
        """Find the calls that could be illegal, and until when one that leaves the worst state can still come."""
        for call in self._calls:
            call.judged = call.completed and not call.overwrites and self._in_worst(call) is _ILLEGAL
        self._judged_left = self._judged_ahead = sum(call.judged for call in self._calls)
        self._rescue_ns = max(
            (self._useful_ns(call) for call in self._calls if self._in_worst(call) not in (DEAD, _ILLEGAL)), default=-1
        )

    def _in_worst(self, call: Call) -> Any:
        """Where the call leads from the worst state; `_ILLEGAL` too where there is no worst state."""
        return self._step(DEAD, call.kind) if self._horizon.dead_is_worst and call.kind != _USELESS else _ILLEGAL

    def _useful_ns(self, call: Call) -> int:
        """The last time at which the call can take effect with any use."""
        if call.completed:
            return call.op.return_ns
        kind, until_ns = call.kind, -1
        while kind != _USELESS:
            until_ns, after = self._next_kind.get(kind, (INFINITY_NS, None))
            kind = _USELESS if after is None else after
        return until_ns

    def events(self) -> Iterator[tuple[Call, bool]]:
        """Invocations (False) and returns (True) in order of time; at one time invocations come first."""
        events = [(call.op.invoke_ns, False, call) for call in self._calls]
        events += [(call.op.return_ns, True, call) for call in self._calls if call.completed]
        events.sort(key=lambda event: event[:2])
        return ((call, returns) for _, returns, call in events)

    def invoked(self, call: Call) -> None:
        """The call runs from now on, or may take effect from now on."""
        if not call.completed:
            if call.kind != _USELESS:
                self._available[call.kind] = self._available.get(call.kind, 0) + 1
            return
        if not self._free_bits:
            self._free_bits.append(1 << self._bits)
            self._bits += 1
        call.bit = self._free_bits.pop()
        self._judged_ahead -= call.judged
        if call.observes_only:
            self._reads[call.kind] = self._reads.get(call.kind, 0) | call.bit
            return
        bisect.insort(self._running.setdefault(call.kind, []), call, key=lambda other: other.op.return_ns)
        call.blind = self._horizon.dead_is_worst and call.overwrites and self._leads_to_worst(call)
        self._blind_bits |= call.bit if call.blind else 0

    def _leads_to_worst(self, call: Call) -> bool:
        return self._horizon.collapse(self._step(self.initial, call.kind), call.op.invoke_ns) is self.worst

    def returned(self, call: Call) -> None:
        """The call is over; its bit may be given to another."""
        self._free_bits.append(call.bit)
        self._judged_left -= call.judged
        self._blind_bits &= ~call.bit
        if call.observes_only:
            self._reads[call.kind] &= ~call.bit
            if not self._reads[call.kind]:
                del self._reads[call.kind]
            return
        self._running[call.kind].remove(call)
        if not self._running[call.kind]:
            del self._running[call.kind]

    def begin(self, now_ns: int) -> None:
        """Time has moved on; crashed operations whose effect nobody will look at any more are forgotten."""
        self._absorbed.clear()
        self._moves = []
        self._now_ns = now_ns
        late = [kind for kind in self._available if self._next_kind.get(kind, (INFINITY_NS, None))[0] < now_ns]
        while late:
            kind = late.pop()
            after = self._next_kind[kind][1]
            self._moves.append((kind, after))
            count = self._available.pop(kind)
            if after is not None:
                self._available[after] = self._available.get(after, 0) + count
                late += [after] if self._next_kind.get(after, (INFINITY_NS, None))[0] < now_ns else []

    def relevant(self, vector: int) -> int:
        """The counts of crashed operations, as kinds are from now on."""
        for kind, after in self._moves if vector else ():
            field, unit = self._fields[kind], self._units[kind]
            count = (vector & field) // unit
            vector &= ~field
            if after is not None:
                vector += count * self._units[after]
        return vector

    def collapse(self, state: State) -> State:
        """The state, as far as anybody can still tell it apart."""
        collapsed: State = self._horizon.collapse(state, self._now_ns)
        return collapsed

    def absorbed(self, state: State) -> int:
        """Bits of the running reads whose answer the state is."""
        bits = self._absorbed.get(state)
        if bits is None:
            bits = 0
            for kind, of_kind in self._reads.items():
                if self._step(state, kind) is not _ILLEGAL:
                    bits |= of_kind
            self._absorbed[state] = bits
        return bits

    def successors(self, mask: int, state: State, vector: int) -> Iterator[tuple[int, State, int, bool]]:
        """Configurations one step on: (mask, state, vector, whether a crashed operation was used)."""
        waiting = set()
        for kind, calls in self._running.items():
            call = next((call for call in calls if not call.bit & mask), None)
            if call is None:
                continue
            waiting.add(kind)
            reached = self._step(state, kind)
            if reached is not _ILLEGAL:
                yield (*self._reach(mask | call.bit, reached, call.overwrites), vector, False)
        for kind, available in self._available.items():
            unit = self._units[kind]
            if kind in waiting or (vector & self._fields[kind]) >= available * unit:
                continue
            reached = self._step(state, kind)
            if reached is _ILLEGAL:
                continue
            next_mask, next_state = self._reach(mask, reached, kind in self._overwriting)
            if next_state is not self.worst and (next_state != state or next_mask != mask):
                yield next_mask, next_state, vector + unit, True

    def _reach(self, mask: int, state: State, overwrites: bool) -> tuple[int, State]:
        """Take along reads that see the new state, and blind writes that it overwrites."""
        state = self._horizon.collapse(state, self._now_ns)
        return mask | (self._blind_bits if overwrites else 0) | self.absorbed(state), state

    def _step(self, state: State, kind: int) -> Any:
        reached = self._steps.get((state, kind), self)
        if reached is self:
            legal, after = self._model.step(state, self._examples[kind])
            reached = self._steps[state, kind] = (DEAD if kind in self._to_dead else after) if legal else _ILLEGAL
        return reached

    def nothing_to_judge(self) -> bool:
        """Whether all that has not returned yet is legal whatever the state."""
        return self._judged_left == 0

    def worst_is_hopeless(self, mask: int) -> bool:
        """Whether an operation that is illegal in the worst state must still come, and none that leaves it can."""
        if self.worst is _NO_STATE or self._now_ns <= self._rescue_ns:
            return False
        running = (call for calls in self._running.values() for call in calls if call.judged and not call.bit & mask)
        return self._judged_ahead > 0 or next(running, None) is not None
