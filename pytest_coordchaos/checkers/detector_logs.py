"""What members of a group tell of their own beliefs, put on the run's clock. Pure.

The answer to `events` is `{"now": s, "events": [[at, name, state, incarnation, by] …], "promises": {…}}`, with times of
the member's own monotonic clock. It was given between the operation's start and its end, so that every event can be
placed within that uncertainty, whatever the member's clock shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.checkers.invariant import Options
from pytest_coordchaos.checkers.spans import FaultSpan
from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["GONE", "PRESENT", "Belief", "Log", "faults_of", "logs_of", "seconds", "verdict", "window_of"]

PRESENT, GONE = ("alive", "suspect"), ("dead", "left")
_RANK = {"alive": 0, "suspect": 1, "dead": 2, "left": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What an observer believed from a moment on.

    Args:
        at_ns: When, on the run's clock; the middle of what is possible.
        name: Of whom.
        state: "alive", "suspect", "dead" or "left".
        incarnation: The number that the subject gave itself.
        by: Whose word it was; the observer's own name: it found out itself.
    """

    at_ns: int
    name: str
    state: str
    incarnation: int
    by: str

    @property
    def rank(self) -> tuple[int, int]:
        """Of two beliefs about one member the greater counts."""
        return self.incarnation, _RANK.get(self.state, 0)


_DRIFT, _DRIFTING = 0.005, 0.06
"""Share by which a member's clock may be off the run's: as machines are, and under the fault `drift`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One observer's beliefs in order.

    Args:
        node: The observer.
        beliefs: All since it started, or as many as it remembers.
        told_ns: When it told them.
        promises: What it promises, in seconds.
    """

    node: str
    beliefs: tuple[Belief, ...]
    told_ns: int
    promises: Mapping[str, float]

    def blur_ns(self, at_ns: int, faults: Iterable[FaultSpan]) -> int:
        """By how much the time of a belief may be wrong: it was counted back from when it was told, on the member's clock."""
        drifted = any(fault.words.startswith(f"drift clock of {self.node} ") for fault in faults)
        return round((self.told_ns - at_ns) * (_DRIFTING if drifted else _DRIFT))

    def of(self, name: str) -> tuple[Belief, ...]:
        """Its beliefs about one member."""
        return tuple(belief for belief in self.beliefs if belief.name == name)

    def state_at(self, name: str, at_ns: int) -> str | None:
        """What it believed of a member then; None: it knew of none."""
        states = [belief.state for belief in self.of(name) if belief.at_ns <= at_ns]
        return states[-1] if states else None

    def promise_ns(self, name: str, options: Options) -> int | None:
        """A promise in nanoseconds: as the options have it, else as the observer says; None: neither does."""
        value = options.get(name, self.promises.get(name))
        return round(value * 1e9) if isinstance(value, int | float) else None


def logs_of(history: History) -> tuple[Log, ...]:
    """The last log of each node."""
    return tuple(
        _log(node, op.result, (op.invoke_ns + op.return_ns) // 2) for node, op in last_answers(history, "events").items()
    )


def _log(node: str, told: Mapping[str, Any], told_ns: int) -> Log:
    beliefs = tuple(
        Belief(at_ns=told_ns - round((told["now"] - at) * 1e9), name=name, state=state, incarnation=incarnation, by=by)
        for at, name, state, incarnation, by in told["events"]
    )
    return Log(node=node, beliefs=beliefs, told_ns=told_ns, promises=told.get("promises", {}))


def window_of(history: History, options: Options) -> History:
    """The operations of this run only."""
    start_ns = options.get("window_start_ns")
    return History(tuple(op for op in history if not isinstance(start_ns, int) or op.invoke_ns >= start_ns))


def faults_of(options: Options) -> tuple[FaultSpan, ...]:
    """The run's faults."""
    faults = options.get("faults", ())
    return tuple(faults) if isinstance(faults, Iterable) else ()


def seconds(ns: int, options: Options) -> str:
    """A time for people, from the window's start."""
    start_ns = options.get("window_start_ns")
    return f"{(ns - (start_ns if isinstance(start_ns, int) else 0)) / 1e9:.3f} s"


def verdict(name: str, status: Status, said: str, details: Iterable[str] = ()) -> Verdict:
    """A verdict in the words of this family."""
    return Verdict(name=name, status=status, summary=f"{name}: {status}, {said}", details=tuple(details)[:8])
