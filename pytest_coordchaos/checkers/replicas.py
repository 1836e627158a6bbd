"""Replicated state machines, as their nodes tell: who led which term, what was applied, who is behind in the end. Pure.

Operations with `f` "state" are asked of one node; their result is a mapping with `name`, `term`, `role` ("leader" of its
term, or something else), `leader` (whom the node takes for the leader of its term, None: nobody), `applied` (the last
entry it applied) and `digests` (pairs of an entry and the digest of all that was applied up to it).
Election Safety and State Machine Safety are those of Ongaro & Ousterhout 2014, figure 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["CAUGHT_UP", "ELECTION_SAFETY", "LEADER_SOON", "REPLICAS_AGREE"]

_WITHIN_S = 2.0


def check_election_safety(history: History, options: Options) -> Verdict:
    """Whether any two answers name different leaders of one term."""
    leaders: dict[int, tuple[str, Operation]] = {}
    for op, state in _states(history):
        leader = state["name"] if state["role"] == "leader" else state["leader"]
        if leader is None:
            continue
        first, seen = leaders.setdefault(state["term"], (leader, op))
        if first != leader:
            said = f"{first} and {leader} both led term {state['term']}"
            return _violated("election-safety", said, (seen, op), _since_ns(options))
    return _held_or_unknown("election-safety", len(leaders), f"{len(leaders)} terms, one leader each")


def check_replicas_agree(history: History, options: Options) -> Verdict:
    """Whether any two answers give different digests of what was applied up to the same entry."""
    digests: dict[int, tuple[int, Operation]] = {}
    compared = 0
    for op, state in _states(history):
        for index, digest in state["digests"]:
            first, seen = digests.setdefault(index, (digest, op))
            compared += seen.node != op.node
            if first != digest:
                said = f"{seen.node} and {op.node} differ in what they applied up to entry {index}"
                return _violated("replicas-agree", said, (seen, op), _since_ns(options))
    return _held_or_unknown("replicas-agree", compared, f"{compared} pairs of digests of different nodes are equal")


def check_caught_up(history: History, options: Options) -> Verdict:
    """Whether the last answers of all nodes name one leader, one term and one last applied entry."""
    start_ns = _since_ns(options)
    last = last_answers(History(tuple(op for op in history if op.invoke_ns >= start_ns)), "state")
    for what in ("leader", "term", "applied"):
        told = {op.result[what] for op in last.values()}
        if len(told) > 1 or None in told:
            each = ", ".join(f"{node} {op.result[what]}" for node, op in last.items())
            return _violated("caught-up", f"nodes differ in the end, {what}: {each}", tuple(last.values()), start_ns)
    return _held_or_unknown("caught-up", len(last), f"{len(last)} nodes follow one leader and have applied the same")


def check_leader_soon(history: History, options: Options) -> Verdict:
    """Whether nodes knew of a leader again within `within_s` (default 2) seconds, as their answers in order of time tell."""
    within_s, start_ns = _within_s(options), _since_ns(options)
    answers = sorted(
        ((op, state) for op, state in _states(history) if op.invoke_ns >= start_ns), key=lambda answer: answer[0].return_ns
    )
    since: Operation | None = None
    longest: tuple[int, tuple[Operation, ...]] = (0, ())
    for op, state in answers:
        since = (since or op) if state["leader"] is None else None
        if since is not None:
            longest = max(longest, (op.return_ns - since.return_ns, (since, op)), key=lambda span: span[0])
    if longest[0] > within_s * 1e9:
        return _violated(
            "leader-soon", f"nobody knew a leader for {longest[0] / 1e9:.3f} s > {within_s:g} s", longest[1], start_ns
        )
    return _held_or_unknown("leader-soon", len(answers), f"nobody knew a leader for {longest[0] / 1e9:.3f} s at most")


def _within_s(options: Options) -> float:
    within_s = options.get("within_s", _WITHIN_S)
    if isinstance(within_s, bool) or not isinstance(within_s, int | float) or not within_s > 0:
        raise UsageError(f"leader-soon: within_s={within_s!r} is not allowed; wanted: a number of seconds above 0")
    return float(within_s)


def _validate(options: Options) -> None:
    _within_s(options)


def _states(history: History) -> Iterator[tuple[Operation, Mapping[str, Any]]]:
    return ((op, op.result) for op in history if op.f == "state" and op.outcome is Outcome.OK and isinstance(op.result, Mapping))


def _since_ns(options: Options) -> int:
    start_ns = options.get("window_start_ns")
    return start_ns if isinstance(start_ns, int) else 0


def _held_or_unknown(name: str, observed: int, said: str) -> Verdict:
    if observed:
        return Verdict(name=name, status=Status.HELD, summary=f"{name}: held ({said})")
    return Verdict(name=name, status=Status.UNKNOWN, summary=f"{name}: unknown, nothing was observed (no two answers to `state`)")


def _violated(name: str, said: str, operations: tuple[Operation, ...], start_ns: int) -> Verdict:
    details = tuple(f"{(op.return_ns - start_ns) / 1e9:.3f} s, {op.node}: {_shown(op.result)}" for op in operations)
    return Verdict(name=name, status=Status.VIOLATED, summary=f"{name}: violated, {said}", details=details)


def _shown(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{what} {state[what]}" for what in ("role", "term", "leader", "applied"))


def _invariant(name: str, check: Any, doc: str) -> Invariant:
    return Invariant(name=name, check=check, options=frozenset(), doc=doc)


ELECTION_SAFETY = _invariant("election-safety", check_election_safety, "no term has two leaders, as nodes asked for `state` tell")
REPLICAS_AGREE = _invariant(
    "replicas-agree", check_replicas_agree, "nodes that applied the log up to the same entry have applied the same"
)
LEADER_SOON = Invariant(
    name="leader-soon",
    check=check_leader_soon,
    options=frozenset({"within_s"}),
    doc="nodes asked for `state` are never without a leader for long",
    validate=_validate,
)
CAUGHT_UP = Invariant(
    name="caught-up",
    check=check_caught_up,
    options=frozenset(),
    doc="in the end all nodes follow one leader and have applied the same entries",
    eventual=True,
)
