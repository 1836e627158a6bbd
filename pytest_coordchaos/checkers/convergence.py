"""Whether replicas agree in the end, how soon, and whether what they keep for it stays bounded. Pure.

Both look at what nodes answer when load and faults are over (`Workload.final`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.checkers.spans import FaultSpan, downtimes
from pytest_coordchaos.checkers.values import freeze
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["CONVERGED", "METADATA_BOUNDED"]

_STATE, _STATS = "state", "stats"
_PER_LIVE, _PER_NODE = 1.0, 8.0
_MOST_LINES = 24


def _check_converged(history: History, options: Options) -> Verdict:
    f = str(options.get("f", _STATE))
    window = _window(history, options)
    last, faults = last_answers(window, f), _faults(options)
    down = {node for node, spans in downtimes(faults).items() if spans[-1][1] == INFINITY_NS}
    asked = {op.node for op in window if op.node is not None} - down
    if len({freeze(op.result) for op in last.values()}) > 1:
        return _verdict(Status.VIOLATED, f"converged violated: {_sides(last)}", _differences(last))
    silent = sorted(asked - set(last))
    if len(last) < 2 or silent:
        why = f"{', '.join(silent)} never answered {f!r}" if silent else f"{len(last)} nodes answered {f!r}; 2 are needed"
        return _verdict(Status.UNKNOWN, f"converged unknown: {why}")
    took_s, since = _time_to_converge(window, f, last, faults)
    limit_s = options.get("within_s")
    if isinstance(limit_s, int | float) and took_s > limit_s:
        return _verdict(Status.VIOLATED, f"converged exceeded: {took_s:.3f} > {limit_s:g} s (after {since}, {len(last)} nodes)")
    return _verdict(Status.HELD, f"converged held ({len(last)} nodes equal at most {took_s:.3f} s after {since})")


def _window(history: History, options: Options) -> History:
    start_ns = options.get("window_start_ns")
    return History(tuple(op for op in history if op.invoke_ns >= start_ns)) if isinstance(start_ns, int) else history


def _time_to_converge(window: History, f: str, last: Mapping[str, Operation], faults: Iterable[FaultSpan]) -> tuple[float, str]:
    """Seconds until the last node gave its last answer for the first time, and since when: the end of load and faults."""
    looks = [op for op in window if op.f == f and op.outcome is Outcome.OK and op.node in last]
    settled_ns = max(_settled_ns([op for op in looks if op.node == node]) for node in last)
    first_ns = min(op.invoke_ns for op in looks)
    load_ns = max((op.ended_ns for op in window if op.f != f and op.invoke_ns < first_ns), default=first_ns)
    healed_ns = max((fault.end_ns for fault in faults if fault.end_ns is not None), default=0)
    since = "the last fault" if healed_ns > load_ns else "the last operation"
    return max(0, settled_ns - max(load_ns, healed_ns)) / 1e9, since


def _settled_ns(looks: list[Operation]) -> int:
    """When a node first gave the answer that it went on to give."""
    settled = looks[-1]
    for op in reversed(looks):
        if freeze(op.result) != freeze(settled.result):
            break
        settled = op
    return settled.return_ns


def _faults(options: Options) -> Sequence[FaultSpan]:
    faults = options.get("faults", ())
    return faults if isinstance(faults, tuple | list) else ()


def _sides(last: Mapping[str, Operation]) -> str:
    """Who agrees with whom."""
    groups: dict[object, list[str]] = {}
    for node, op in sorted(last.items()):
        groups.setdefault(freeze(op.result), []).append(node)
    return "in the end " + " | ".join(f"{{{','.join(nodes)}}}" for nodes in groups.values()) + " differ"


def _differences(last: Mapping[str, Operation]) -> tuple[str, ...]:
    """What each node says of what they disagree on."""
    results = {node: op.result for node, op in sorted(last.items())}
    if not all(isinstance(result, dict) for result in results.values()):
        return tuple(f"{node}: {result!r}" for node, result in results.items())[:_MOST_LINES]
    keys = dict.fromkeys(key for result in results.values() for key in result)
    apart = [key for key in keys if len({freeze(result.get(key)) for result in results.values()}) > 1]
    lines = [f"{key!r}: " + ", ".join(f"{node} {result.get(key)!r}" for node, result in results.items()) for key in apart]
    return tuple(lines[:_MOST_LINES])


def _verdict(status: Status, summary: str, details: tuple[str, ...] = ()) -> Verdict:
    return Verdict(name="converged", status=status, summary=summary, details=details)


def _check_metadata(history: History, options: Options) -> Verdict:
    f = str(options.get("f", _STATS))
    last = last_answers(_window(history, options), f)
    kept = {node: op.result for node, op in last.items() if _is_stats(op.result)}
    if not kept:
        summary = f"metadata-bounded unknown: no node answered {f!r} with numbers 'live' and 'metadata'"
        return Verdict(name="metadata-bounded", status=Status.UNKNOWN, summary=summary)
    per_live, constant = _number(options, "per_live", _PER_LIVE), _number(options, "constant", _PER_NODE * len(kept))
    node, worst = max(kept.items(), key=lambda one: one[1]["metadata"] - per_live * one[1]["live"])
    limit = per_live * worst["live"] + constant
    said = f"{worst['metadata']:g} {'>' if worst['metadata'] > limit else '<='} {limit:g} numbers"
    scope = f"({node}: {per_live:g} for each of {worst['live']:g} that are there, and {constant:g})"
    exceeded = worst["metadata"] > limit
    return Verdict(
        name="metadata-bounded",
        status=Status.VIOLATED if exceeded else Status.HELD,
        summary=f"metadata-bounded {'exceeded' if exceeded else 'held'}: {said} {scope}",
        measured=worst["metadata"],
        limit=limit,
        unit="numbers",
    )


def _is_stats(result: Any) -> bool:
    return isinstance(result, dict) and all(isinstance(result.get(name), int | float) for name in ("live", "metadata"))


def _number(options: Options, name: str, default: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UsageError(f"{name}={value!r} is not allowed; wanted: a number from 0")
    return float(value)


def _validate(options: Options, *names: str) -> None:
    for name in names:
        _number(options, name, 0.0)


CONVERGED = Invariant(
    name="converged",
    check=_check_converged,
    options=frozenset({"f", "within_s"}),
    doc="in the end all nodes give the same answer",
    needs=frozenset({"faults"}),
    eventual=True,
    validate=lambda options: _validate(options, "within_s"),
)
METADATA_BOUNDED = Invariant(
    name="metadata-bounded",
    check=_check_metadata,
    options=frozenset({"f", "per_live", "constant"}),
    doc="what a node keeps grows with what is there, not with what was ever done",
    validate=lambda options: _validate(options, "per_live", "constant"),
)
