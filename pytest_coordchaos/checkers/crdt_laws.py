"""The laws of a replicated data type that merges, tried on reachable states. Pure.

A merge is right when it is the least upper bound of an order in which updates only go up (Shapiro et al. 2011).
The order is asked for: one that is derived from `merge` calls a merge that overwrites inflationary.
States must be reachable: two states that no run can bring about together may rightly break a law.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_coordchaos.errors import UsageError, VerdictError

__all__ = ["assert_crdt_laws", "reachable_states"]

T = TypeVar("T")
Merge = Callable[[Any, Any], Any]
_MOST_STATES = 40
_SMALL = 6
_TRIPLES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """What is under test: how to merge (as it was given, and whether that works in place), compare and order; the updates."""

    raw: Merge
    leq: Callable[[Any, Any], bool]
    equal: Callable[[Any, Any], bool]
    updates: Sequence[Callable[[Any], Any]]

    in_place: bool

    def merge(self, one: Any, other: Any) -> Any:
        return _merged(self.raw, one, other) if self.in_place else self.raw(one, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """A law and the states that break it."""

    law: str
    states: tuple[Any, ...]
    said: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(len(repr(state)) for state in self.states)


def assert_crdt_laws(
    kind: type[T],
    *,
    states: Iterable[T] | Callable[[random.Random], Iterable[T]],
    leq: Callable[[T, T], bool],
    merge: Callable[[T, T], T] | None = None,
    equal: Callable[[T, T], bool] | None = None,
    updates: Iterable[Callable[[T], T]] = (),
    seed: int = 0,
) -> None:
    """Check that a type's merge is commutative, associative, idempotent, inflationary and pure, and its updates inflationary.

    Args:
        kind: The type.
        states: Reachable ones (`reachable_states` makes them), or a function that makes them from a `random.Random`.
        leq: The type's order: whether the second state contains all that the first has seen.
        merge: `(state, state)` -> state; default: the method `merge`. One that works in place and returns None is
            tried on copies.
        equal: Default: `==`.
        updates: `(state)` -> state: local updates, which must go up in the order too. In place: return the state.
        seed: For states made by a function, and for the choice among many triples.

    Raises:
        VerdictError: A law is broken (an AssertionError): which, and the smallest counterexample found.
        UsageError: Fewer than two different states, or a state that is not of the type.
    """
    rng = random.Random(f"{seed}:crdt laws")
    join: Merge = merge or kind.merge  # type: ignore[attr-defined]  # as the docstring says
    same = equal or _same
    tried = _different(kind, states(rng) if callable(states) else states, same)
    in_place = join(copy.deepcopy(tried[0]), copy.deepcopy(tried[0])) is None
    trial = _Type(raw=join, leq=leq, equal=same, updates=tuple(updates), in_place=in_place)
    broken: dict[str, _Broken] = {}
    for found in _search(trial, tried, rng):
        if found.law not in broken or found.size < broken[found.law].size:
            broken[found.law] = found
    if broken:
        raise VerdictError(_text(kind.__name__, list(broken.values()), len(tried)))


def reachable_states(
    initial: T | Callable[[str], T],
    operations: Sequence[Callable[[T, str, random.Random], T | None]],
    *,
    replicas: Sequence[str] = ("a", "b", "c"),
    steps: int = 60,
    seed: int = 0,
    merge: Callable[[T, T], T] | None = None,
) -> tuple[T, ...]:
    """States that replicas come to by random operations and by merging states of others, old ones too.

    Args:
        initial: Where each replica begins: a state, or a function of the replica's name.
        operations: `(state, replica, rng)` -> the state after it; None: the state was changed in place.
        replicas: Their names.
        steps: Operations and merges in all.
        seed: The same seed gives the same states.
        merge: Default: the method `merge`.
    """
    rng = random.Random(f"{seed}:reachable states")
    join: Merge = merge or (lambda one, other: one.merge(other))
    now = {name: copy.deepcopy(initial(name) if callable(initial) else initial) for name in replicas}
    seen = [copy.deepcopy(state) for state in now.values()]
    for _ in range(steps):
        name = replicas[int(rng.random() * len(replicas))]
        if rng.random() < 0.5:
            state = copy.deepcopy(now[name])
            after = operations[int(rng.random() * len(operations))](state, name, rng)
            now[name] = state if after is None else after
        else:
            now[name] = _merged(join, now[name], seen[int(rng.random() * len(seen))])
        seen.append(copy.deepcopy(now[name]))
    return tuple(seen)


def _merged(merge: Merge, one: Any, other: Any) -> Any:
    """What merging gives, also where it works in place and returns nothing."""
    mine = copy.deepcopy(one)
    result = merge(mine, copy.deepcopy(other))
    return mine if result is None else result


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _different(kind: type[Any], states: Iterable[Any], equal: Callable[[Any, Any], bool]) -> list[Any]:
    """The smallest different states, smallest first."""
    found: list[Any] = []
    for state in sorted(states, key=lambda state: len(repr(state))):
        if not isinstance(state, kind):
            raise UsageError(f"assert_crdt_laws({kind.__name__}): {state!r} is no {kind.__name__}; states must be of the type")
        if not any(equal(state, known) for known in found):
            found.append(state)
    if len(found) < 2:
        raise UsageError(f"assert_crdt_laws({kind.__name__}): {len(found)} different states; at least 2 are needed")
    return found[:_MOST_STATES]


def _search(trial: _Type, states: Sequence[Any], rng: random.Random) -> Iterator[_Broken]:
    some = [tuple(states[int(rng.random() * len(states))] for _ in range(3)) for _ in range(_TRIPLES)]
    triples = [*itertools.product(states[:_SMALL], repeat=3), *some]
    impure = [broken for triple in triples for broken in _changed(trial, *triple)]
    if impure:
        yield from impure
        return  # what a merge gives that changes its inputs says nothing of the other laws
    for state in states:
        yield from _of_one(trial, state)
    for pair in itertools.product(states, repeat=2):
        yield from _of_two(trial, *pair)
    for triple in triples:
        yield from _of_three(trial, *triple)


def _of_one(trial: _Type, state: Any) -> Iterator[_Broken]:
    twice = trial.merge(state, state)
    if not trial.equal(twice, state):
        yield _Broken(law="idempotent: merge(a, a) == a", states=(state,), said=(f"merge(a, a) = {twice!r}",))
    if not trial.leq(state, state):
        yield _Broken(law="the order is reflexive: leq(a, a)", states=(state,), said=("leq(a, a) is false",))
    for update in trial.updates:
        after = update(copy.deepcopy(state))
        if not trial.leq(state, after):
            yield _Broken(law="updates are inflationary: leq(a, update(a))", states=(state,), said=(f"update(a) = {after!r}",))


def _of_two(trial: _Type, one: Any, two: Any) -> Iterator[_Broken]:
    ab, ba = trial.merge(one, two), trial.merge(two, one)
    said = (f"merge(a, b) = {ab!r}", f"merge(b, a) = {ba!r}")
    if not trial.equal(ab, ba):
        yield _Broken(law="commutative: merge(a, b) == merge(b, a)", states=(one, two), said=said)
    if not (trial.leq(one, ab) and trial.leq(two, ab)):
        yield _Broken(law="inflationary: leq(a, merge(a, b)) and leq(b, merge(a, b))", states=(one, two), said=said[:1])
    if trial.leq(one, two) and trial.leq(two, one) and not trial.equal(one, two):
        law = "the order is antisymmetric: leq(a, b) and leq(b, a) only if a == b"
        yield _Broken(law=law, states=(one, two), said=("leq(a, b) and leq(b, a), but a != b",))


def _of_three(trial: _Type, one: Any, two: Any, three: Any) -> Iterator[_Broken]:
    left, right = trial.merge(trial.merge(one, two), three), trial.merge(one, trial.merge(two, three))
    if not trial.equal(left, right):
        said = (f"merge(merge(a, b), c) = {left!r}", f"merge(a, merge(b, c)) = {right!r}")
        law = "associative: merge(merge(a, b), c) == merge(a, merge(b, c))"
        yield _Broken(law=law, states=(one, two, three), said=said)


def _changed(trial: _Type, *given: Any) -> Iterator[_Broken]:
    """Going on from a result must not reach through it into what it was made of."""
    a, b, c = (copy.deepcopy(state) for state in given)
    result = trial.raw(a, b)
    after = a if trial.in_place else result
    for update in trial.updates:
        after = update(after)
    trial.raw(after, c)
    for name, now, before in zip("abc", (a, b, c), given, strict=True):
        if not trial.equal(now, before) and not (trial.in_place and name == "a"):
            said = (f"{name} is {now!r} after merge(merge(a, b), c)",)
            yield _Broken(law=f"pure: merge does not change {name}, then or later", states=given, said=said)


def _text(name: str, broken: Sequence[_Broken], tried: int) -> str:
    lines = [f"{name} is not a replicated data type: {len(broken)} laws are broken ({tried} states tried)"]
    if len(broken) == 1:
        lines[0] = lines[0].replace("1 laws are", "a law is")
    for found in broken:
        lines += [f"not {found.law}", *(f"    {letter} = {state!r}" for letter, state in zip("abc", found.states, strict=False))]
        lines += [f"    {line}" for line in found.said]
    return "\n".join(lines)
