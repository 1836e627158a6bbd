"""Atomic commitment, AC1 to AC5, from what nodes say of their transactions. Pure.

Numbering and wording of Bernstein, Hadzilacos, Goodman: Concurrency Control and Recovery in Database Systems (1987), §7.3.
Nodes are asked `decisions`, during the load and at the end; each answers with a mapping of

- `decided`: transaction -> "commit" or "abort", and `coordinated`, the same as its coordinator (optional),
- `votes`: transaction -> "yes", "no", or "read-only": what this node said,
- `enlisted`: committed transaction -> the nodes whose yes was counted; aborted transaction -> all that were asked (optional),
- `in_doubt`: transactions for which it said yes and knows no decision,
- `forgotten`: how many it has dropped from its memory (optional; nothing is concluded from silence then).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.checkers.blame import of_this_window
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.checkers.lasting import check_within, lasting_of
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["ATOMIC_COMMIT", "check_ac1", "check_ac2", "check_ac3", "check_ac4", "check_ac5"]

F = "decisions"
_MOST_LINES = 12
_WORDS = ("commit", "abort")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """One decision, as one node told it in one of its roles."""

    node: str
    role: str
    tx: str
    said: str
    op: Operation


def check_ac1(history: History, options: Options) -> Verdict:
    """AC1: all processes that reach a decision reach the same one."""
    reports = _reports(history)
    first: dict[str, _Word] = {}
    found = []
    for word in _words(reports):
        other = first.setdefault(word.tx, word)
        if other.said != word.said and (other.node, other.role) != (word.node, word.role):
            found.append(f"{word.tx}: {_told(other)}; {_told(word)}")
    return _verdict("ac1-agreement", reports, found, "transactions decided both ways", f"{len(first)} transactions")


def check_ac2(history: History, options: Options) -> Verdict:
    """AC2: a process cannot reverse its decision after it has reached one."""
    reports = _reports(history)
    first: dict[tuple[str, str, str], _Word] = {}
    found = []
    for word in _words(reports):
        other = first.setdefault((word.node, word.role, word.tx), word)
        if other.said != word.said:
            found.append(f"{word.tx}: {_told(other)}; then {_told(word)}")
    return _verdict("ac2-irrevocable", reports, found, "decisions reversed", f"{len(first)} decisions in {len(reports)} answers")


def check_ac3(history: History, options: Options) -> Verdict:
    """AC3: the commit decision can only be reached if all processes voted yes."""
    reports = _reports(history)
    committed: dict[str, _Word] = {}
    for word in _words(reports):
        if word.said == "commit":
            committed.setdefault(word.tx, word)
    found = [
        f"{tx}: {_told(committed[tx])}; {op.node} voted no (its answer {op.id})"
        for op in reports
        for tx, vote in _part(op, "votes").items()
        if tx in committed and vote == "no"
    ]
    found += _never_said_yes(reports, committed)
    return _verdict("ac3-validity", reports, found, "commits without everybody's yes", f"{len(committed)} commits")


def _never_said_yes(reports: list[Operation], committed: Mapping[str, _Word]) -> Iterator[str]:
    """Nodes whose yes was counted, that still answer in the end, have forgotten nothing, and never said it."""
    last = {str(op.node): op for op in reports}
    agreed = {(str(op.node), tx) for op in reports for tx, vote in _part(op, "votes").items() if vote in ("yes", "read-only")}
    agreed |= {(word.node, word.tx) for word in _words(reports) if word.said == "commit" and word.role == "participant"}
    counted = {(node, tx) for op in reports for tx, nodes in _part(op, "enlisted").items() if tx in committed for node in nodes}
    for node, tx in sorted(counted - agreed):
        asked_after = node in last and last[node].invoke_ns >= committed[tx].op.return_ns
        if asked_after and not last[node].result.get("forgotten"):
            yield f"{tx}: {_told(committed[tx])}; {node} never voted yes (its answer {last[node].id})"


def check_ac4(history: History, options: Options) -> Verdict:
    """AC4: if there are no failures and all processes voted yes, then the decision is to commit."""
    name, reports = "ac4-no-needless-abort", _reports(history)
    faults = options.get("faults") or ()
    if faults:
        summary = f"{name}: held, it promises nothing of a run with failures"
        return Verdict(name=name, status=Status.HELD, summary=summary)
    votes: dict[str, dict[str, str]] = {}
    for op in reports:
        for tx, vote in _part(op, "votes").items():
            votes.setdefault(tx, {})[str(op.node)] = vote
    aborted = {word.tx: word for word in _words(reports) if word.said == "abort"}
    enlisted = {tx: nodes for op in reports for tx, nodes in _part(op, "enlisted").items()}
    found = [
        f"{tx}: {_told(word)}; all voted yes: {', '.join(enlisted[tx])}"
        for tx, word in aborted.items()
        if enlisted.get(tx) and all(votes.get(tx, {}).get(node) in ("yes", "read-only") for node in enlisted[tx])
    ]
    return _verdict(name, reports, found, "aborts without failure or no", f"{len(aborted)} aborts")


def check_ac5(history: History, options: Options) -> Verdict:
    """AC5: if all failures are repaired and no new ones happen for long enough, all processes reach a decision."""
    reports = _reports(history)
    lasting = lasting_of(reports, lambda op: _names(op.result.get("in_doubt", ())), options)
    found = [
        f"{node} was in doubt about {tx} for {seconds:.1f} s after the last fault (answers {first.id} to {last.id})"
        for node, tx, seconds, first, last in lasting.stuck
    ]
    name = "ac5-termination"
    if not found and lasting.open:
        node, tx = lasting.open[0]
        summary = f"{name}: unknown, {node} was in doubt about {tx} when last asked, too soon to say for ever"
        return Verdict(name=name, status=Status.UNKNOWN, summary=summary)
    return _verdict(
        name, reports, found, "transactions undecided", f"{len({op.node for op in reports})} nodes in doubt of nothing"
    )


def _reports(history: History) -> list[Operation]:
    """The answers, in the order in which they came."""
    answers = [op for op in history if op.f == F and op.outcome is Outcome.OK and isinstance(op.result, Mapping) and op.node]
    return sorted(answers, key=lambda op: op.return_ns)


def _part(op: Operation, name: str) -> Mapping[str, Any]:
    part = op.result.get(name)
    return part if isinstance(part, Mapping) else {}


def _words(reports: Iterable[Operation]) -> Iterator[_Word]:
    for op in reports:
        for part, role in (("coordinated", "coordinator"), ("decided", "participant")):
            for tx, said in _part(op, part).items():
                if said in _WORDS:
                    yield _Word(node=str(op.node), role=role, tx=tx, said=said, op=op)


def _names(said: Any) -> frozenset[str]:
    return frozenset(map(str, said))


def _told(word: _Word) -> str:
    return f"{word.node} ({word.role}) says {word.said} in its answer {word.op.id} at {word.op.return_ns / 1e9:.3f} s"


def _verdict(name: str, reports: list[Operation], found: list[str], what: str, seen: str) -> Verdict:
    if not reports:
        summary = f"{name}: unknown, nothing was observed (no node answered {F!r})"
        return Verdict(name=name, status=Status.UNKNOWN, summary=summary)
    if not found:
        return Verdict(name=name, status=Status.HELD, summary=f"{name}: held ({seen})")
    lines = list(dict.fromkeys(found))
    more = (f"… {len(lines) - _MOST_LINES} more",) if len(lines) > _MOST_LINES else ()
    summary = f"{name} violated: {len(lines)} {what}; {lines[0]}"
    return Verdict(name=name, status=Status.VIOLATED, summary=summary, details=(*lines[:_MOST_LINES], *more))


_CHECKS: tuple[tuple[str, Callable[[History, Options], Verdict], str, frozenset[str], frozenset[str]], ...] = (
    ("ac1-agreement", check_ac1, "no transaction is decided both ways", frozenset(), frozenset()),
    ("ac2-irrevocable", check_ac2, "no node reverses a decision", frozenset(), frozenset()),
    ("ac3-validity", check_ac3, "a commit has everybody's yes", frozenset(), frozenset()),
    ("ac4-no-needless-abort", check_ac4, "without failures, all yes means commit", frozenset(), frozenset({"faults"})),
    (
        "ac5-termination",
        check_ac5,
        "once failures are repaired, everybody decides",
        frozenset({"within_s"}),
        frozenset({"faults"}),
    ),
)
ATOMIC_COMMIT = tuple(
    Invariant(
        name=name,
        check=of_this_window(check),
        options=options,
        doc=doc,
        needs=needs,
        validate=check_within,
        eventual=name == "ac5-termination",
    )
    for name, check, doc, options, needs in _CHECKS
)
"""The five properties of atomic commitment."""
