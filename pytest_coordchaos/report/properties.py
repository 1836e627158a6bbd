"""Runs as plain properties, and back to what the summary needs. Pure.

Properties travel with pytest's reports: into JUnit files, and from xdist's workers to its controller.
Only strings and numbers may. The keys of a test's first run begin with `coordchaos.`, those of its
second with `coordchaos.2.` and so on; what is unknown has no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_coordchaos.run import Run
from pytest_coordchaos.verdicts import Verdict

__all__ = ["PREFIX", "Row", "properties_of", "rows_of"]

PREFIX = "coordchaos."
"""What every key begins with."""

Plain = str | int | float
_FIGURES = ("operations", "ok", "fail", "info")
_COSTS = ("messages_per_op", "bytes_per_op", "p50_ms", "p99_ms", "background_messages_per_s", "framed_share", "attributed_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the summary.

    Args:
        test: Node id.
        operations, ok, fail, info: Operations invoked, and how they ended.
        messages_per_op, p99_ms: None: unknown.
        faults, faults_verified: Faults carried out; those whose probe proved that they took effect.
        invariants: (name, status).
        budgets: (name, status, measured, limit); None: unknown.
    """

    test: str
    operations: int = 0
    ok: int = 0
    fail: int = 0
    info: int = 0
    messages_per_op: float | None = None
    p99_ms: float | None = None
    faults: int = 0
    faults_verified: int = 0
    invariants: tuple[tuple[str, str], ...] = ()
    budgets: tuple[tuple[str, str, float | None, float | None], ...] = ()


def properties_of(runs: Sequence[Run], *, seed: int) -> list[tuple[str, Plain]]:
    """The properties of a test: the run's seed, then those of each Run."""
    found: list[tuple[str, Plain]] = [(f"{PREFIX}seed", seed), (f"{PREFIX}runs", len(runs))]
    for number, run in enumerate(runs, start=1):
        prefix = PREFIX if number == 1 else f"{PREFIX}{number}."
        found += [(prefix + key, value) for key, value in _of_run(run)]
    return found


def _of_run(run: Run) -> Iterable[tuple[str, Plain]]:
    yield from (
        ("system", run.system),
        ("runtime", run.runtime),
        ("proxy", run.proxy),
        ("nodes", run.nodes),
        ("test_seed", run.seed),
    )
    yield from ((name, getattr(run, name)) for name in ("workload", "directory") if getattr(run, name) is not None)
    yield "verdict", str(run.status)
    for name in _FIGURES:
        yield name, getattr(run.figures, name)
    for name in _COSTS:
        value: float | None = getattr(run.figures, name)
        if value is not None:
            yield name, value
    yield "faults", len(run.faults)
    yield "faults_verified", sum(fault.verified for fault in run.faults)
    for key, verdict in _numbered(run.verdicts):
        yield from _of_verdict(key, verdict)


def _numbered(verdicts: Iterable[Verdict]) -> Iterable[tuple[str, Verdict]]:
    """Verdicts under keys that are unique, should two have one name."""
    seen: dict[str, int] = {}
    for verdict in verdicts:
        key = f"{verdict.kind}.{verdict.name}"
        seen[key] = seen.get(key, 0) + 1
        yield (key if seen[key] == 1 else f"{key}#{seen[key]}"), verdict


def _of_verdict(key: str, verdict: Verdict) -> Iterable[tuple[str, Plain]]:
    yield key, str(verdict.status)
    if verdict.measured is not None:
        yield f"{key}.measured", verdict.measured
    if verdict.limit is not None:
        yield f"{key}.limit", verdict.limit


def rows_of(test: str, properties: Iterable[tuple[str, object]]) -> list[Row]:
    """The summary's rows of one test, from the properties of its report; [] where there are none of ours."""
    mine = {key.removeprefix(PREFIX): value for key, value in properties if key.startswith(PREFIX)}
    rows = []
    for number in range(1, _whole(mine.get("runs")) + 1):
        start = "" if number == 1 else f"{number}."
        rows.append(_row(test, {key.removeprefix(start): value for key, value in mine.items() if key.startswith(start)}))
    return rows


def _row(test: str, values: dict[str, object]) -> Row:
    verdicts = {
        key: str(value) for key, value in values.items() if key.startswith(("invariant.", "budget.")) and _is_status(value)
    }
    return Row(
        test=test,
        **{name: _whole(values.get(name)) for name in (*_FIGURES, "faults", "faults_verified")},
        messages_per_op=_number(values.get("messages_per_op")),
        p99_ms=_number(values.get("p99_ms")),
        invariants=tuple((key.removeprefix("invariant."), v) for key, v in verdicts.items() if key.startswith("invariant.")),
        budgets=tuple(
            (key.removeprefix("budget."), v, _number(values.get(f"{key}.measured")), _number(values.get(f"{key}.limit")))
            for key, v in verdicts.items()
            if key.startswith("budget.")
        ),
    )


def _is_status(value: object) -> bool:
    return value in ("held", "unknown", "violated")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
