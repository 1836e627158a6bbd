"""Random small histories, and the verdict by brute force: what the checker is compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

OUTCOMES = (Outcome.OK, Outcome.INFO, Outcome.FAIL)


def op(
    number: int,
    f: str,
    begin: int,
    end: int | None,
    *,
    value: Any = None,
    result: Any = None,
    key: Any = None,
    outcome: Outcome = Outcome.OK,
    node: str | None = None,
) -> Operation:
    """An operation from `begin` to `end`; without an end it crashed."""
    outcome = Outcome.INFO if end is None else outcome
    return Operation(
        id=number,
        process=number,
        f=f,
        key=key,
        value=value,
        result=result if outcome is Outcome.OK else None,
        outcome=outcome,
        intended_ns=begin,
        invoke_ns=begin,
        return_ns=INFINITY_NS if end is None else end,
        ended_ns=begin + 1 if end is None else end,
        node=node,
    )


def explained(operations: Sequence[Operation], model: Model) -> bool:
    """Whether one object's operations are linearizable, by trying every order. Closed intervals."""
    alive = [one for one in operations if one.outcome is not Outcome.FAIL]
    needed = sum(1 << at for at, one in enumerate(alive) if one.outcome is Outcome.OK)
    seen: set[tuple[int, Any]] = set()
    todo: list[tuple[int, Any]] = [(0, model.initial)]
    while todo:
        done, state = todo.pop()
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if done & needed == needed:
            return True
        waiting = [one.return_ns for at, one in enumerate(alive) if needed & ~done & 1 << at]
        for at, one in enumerate(alive):
            if not done & 1 << at and one.invoke_ns <= min(waiting):
                legal, after = model.step(state, one)
                if legal:
                    todo.append((done | 1 << at, after))
    return False


def in_order(operations: Sequence[Operation]) -> list[Operation]:
    """Sorted by invocation."""
    return sorted(operations, key=lambda one: (one.invoke_ns, one.id))


class Draw:
    """A random history of one kind of object: first what is asked and when, then what is answered."""

    def __init__(self, rng: random.Random, kind: str, model: Model) -> None:
        self._rng = rng
        self._kind = kind
        self._model = model
        self._unique = rng.random() < 0.5
        self._values = rng.choice([1, 2, 3])
        self._written = 0

    def history(self) -> list[Operation]:
        """Between one and eight operations; often legal or nearly so, sometimes wild."""
        asked = [self._asked(number) for number in range(1, self._rng.randint(1, 8) + 1)]
        if self._rng.random() < 0.7:
            asked = self._answered(asked)
        return in_order(asked)

    def _asked(self, number: int) -> Operation:
        rng = self._rng
        begin = rng.randint(0, 12)
        f, value, result = _ASKERS[self._kind](self)
        outcome = rng.choices(OUTCOMES, [8, 2, 0.5])[0]
        end = None if outcome is Outcome.INFO else begin + rng.choice([0, 1, 2, 5, 10])
        key = rng.choice("aaab") if self._kind in ("key-value", "text", "list") else None
        return op(number, f, begin, end, value=value, result=result, key=key, outcome=outcome)

    def _fresh(self) -> int:
        self._written += 1
        return self._written if self._unique else self._rng.randrange(self._values)

    def _known(self) -> int | None:
        top = self._written + 1 if self._unique else self._values
        choices: list[int | None] = [None, *range(top)]
        return self._rng.choice(choices)

    def ask_register(self) -> tuple[str, Any, Any]:
        """read, write, cas."""
        return self._register("read", "write", ("read", "write", "cas"))

    def ask_key_value(self) -> tuple[str, Any, Any]:
        """get, put, cas, delete."""
        return self._register("get", "put", ("get", "get", "put", "put", "cas", "delete"))

    def _register(self, read: str, write: str, allowed: Sequence[str]) -> tuple[str, Any, Any]:
        f = self._rng.choice(allowed)
        if f == "cas":
            return f, [self._known(), self._fresh()], self._rng.choice([True, True, None, False])
        return f, self._fresh() if f == write else None, self._known() if f == read else None

    def ask_text(self) -> tuple[str, Any, Any]:
        """append, get, and now and then put and delete, of letters."""
        f = self._rng.choices(["append", "get", "put", "delete"], [5, 5, 1, 1])[0]
        letters = [chr(97 + self._fresh() % 26) for _ in range(self._rng.randint(0, 3))]
        if f == "get":
            return f, None, self._rng.choice([None, "", "".join(letters)])
        return f, None if f == "delete" else chr(97 + self._fresh() % 26), None

    def ask_list(self) -> tuple[str, Any, Any]:
        """append and get of lists."""
        if self._rng.random() < 0.5:
            return "append", self._fresh(), None
        return "get", None, self._rng.choice([None, [self._fresh() for _ in range(self._rng.randint(0, 3))]])

    def ask_mutex(self) -> tuple[str, Any, Any]:
        """acquire and release."""
        return self._rng.choice(["acquire", "release"]), None, None

    def ask_transaction(self) -> tuple[str, Any, Any]:
        """Up to three reads and writes of x and y at once."""
        steps = [
            ["w", self._rng.choice("xy"), self._rng.randrange(self._values)]
            if self._rng.random() < 0.5
            else ["r", self._rng.choice("xy"), None]
            for _ in range(self._rng.randint(1, 3))
        ]
        seen = [[kind, key, value if kind == "w" else self._rng.choice([None, 0, 1])] for kind, key, value in steps]
        return "txn", steps, seen

    def _answered(self, asked: Sequence[Operation]) -> list[Operation]:
        """The answers a correct object gives at random moments; then perhaps one operation is moved in time."""
        states: dict[Any, Any] = {}
        answered: dict[int, Operation] = {}
        rng = self._rng
        for one in sorted(asked, key=lambda one: rng.uniform(one.invoke_ns, min(one.return_ns, one.ended_ns + 5))):
            object_key = self._model.partition(one) if self._model.partition else None
            state = states.get(object_key, self._model.initial)
            told = self._told(one, state)
            legal, after = self._model.step(state, told)
            if one.outcome is not Outcome.FAIL and legal and (one.outcome is Outcome.OK or rng.random() < 0.6):
                states[object_key] = after
            if legal or one.outcome is not Outcome.OK:
                answered[one.id] = told
        kept = [answered[one.id] for one in asked if one.id in answered]
        if kept and rng.random() < 0.5:
            at, shift = rng.randrange(len(kept)), rng.randint(1, 4)
            moved = kept[at]
            if moved.outcome is Outcome.OK:
                kept[at] = replace(moved, invoke_ns=moved.invoke_ns + shift, return_ns=moved.return_ns + shift)
        return kept

    def _told(self, one: Operation, state: Any) -> Operation:
        if one.outcome is not Outcome.OK:
            return one
        if one.f in ("read", "get"):
            return replace(one, result=list(state) if isinstance(state, tuple) else state)
        if one.f == "cas":
            asked = one if self._rng.random() < 0.6 else replace(one, value=[state, one.value[1]])
            return replace(asked, result=asked.value[0] == state)
        if one.f == "txn":
            values = dict(state)
            seen: list[list[Any]] = []
            for kind, key, value in one.value:
                if kind == "w":
                    values[key] = value
                seen.append([kind, key, values.get(key, 0)])
            return replace(one, result=seen)
        return one


_ASKERS: dict[str, Callable[[Draw], tuple[str, Any, Any]]] = {
    "register": Draw.ask_register,
    "key-value": Draw.ask_key_value,
    "text": Draw.ask_text,
    "list": Draw.ask_list,
    "mutex": Draw.ask_mutex,
    "transaction": Draw.ask_transaction,
}


def long_history(
    operations: int,
    clients: int,
    keys: int,
    *,
    crashed: int = 0,
    cas: float = 0.2,
    deletes: float = 0.0,
    mismatches: bool = False,
    seed: int = 1,
) -> list[Operation]:
    """A linearizable history of get, put, cas with unique values, as a run under faults leaves it.

    Half of the crashed operations took effect. Failed compare-and-sets are dropped, or completed
    mismatches where `mismatches` says so.
    """
    rng = random.Random(seed)
    free_at = [rng.random() * 10 for _ in range(clients)]
    spans: list[tuple[float, float, float, int]] = []
    for _ in range(operations):
        client = min(range(clients), key=free_at.__getitem__)
        begin, length = free_at[client], rng.expovariate(0.1) + 0.5
        free_at[client] = begin + length + rng.random() * 0.3
        spans.append((begin + rng.random() * length, begin, begin + length, client))
    crashes = set(rng.sample(range(operations), crashed))
    states: dict[str, Any] = {}
    done: list[Operation] = []
    for number, (_, begin, end, _) in enumerate(sorted(spans), start=1):
        key = f"k{rng.randrange(keys)}"
        f = rng.choices(["cas", "delete", "put", "get"], [cas, deletes, 0.35, 0.65 - cas - deletes])[0]
        state = states.get(key)
        value: Any = {"put": number, "cas": [state if rng.random() < 0.6 else rng.randrange(number), number]}.get(f)
        matches = f != "cas" or value[0] == state
        crash = number - 1 in crashes
        result = state if f == "get" else matches if f == "cas" else None
        outcome = Outcome.OK if matches or mismatches else Outcome.FAIL
        times = (round(begin * 1e6), None if crash else round(end * 1e6))
        done.append(op(number, f, *times, value=value, result=result, key=key, outcome=outcome))
        if f != "get" and matches and (not crash or rng.random() < 0.5):
            states[key] = value[1] if f == "cas" else value
    return in_order(done)
