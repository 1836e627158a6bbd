"""Why a test failed, in the words a reader needs first. Pure: runs in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_coordchaos.run import Run, RunFault
from pytest_coordchaos.verdicts import Status, Verdict, worst

__all__ = ["NOTHING_RECORDED", "failure_text", "run_text", "verdict_of"]

NOTHING_RECORDED = (
    "unknown: the test recorded no operation, so nothing can be said; call run(...) or record(...) of a cluster in it"
)
"""Said of a marked test that used no cluster."""

_FAULTS_SHOWN = 8
_NOTES_SHOWN = 5
ALLOW = "@pytest.mark.coordchaos(allow_unknown=True)"


def verdict_of(runs: Sequence[Run], *, allow_unknown: bool) -> Status:
    """What the runs of one test amount to; unknown counts as held where it is allowed, and so does asking for nothing."""
    given = [verdict.status for run in runs for verdict in run.verdicts]
    if Status.VIOLATED in given:
        return Status.VIOLATED
    return Status.UNKNOWN if Status.UNKNOWN in given and not allow_unknown else Status.HELD


def failure_text(runs: Sequence[Run], *, seed: int, allow_unknown: bool) -> str:
    """What is wrong first, then what was going on, then how to see it again; "" when nothing is wrong.

    Args:
        runs: The runs of one test.
        seed: The run's seed (each Run holds the seed of its test).
        allow_unknown: Unknown verdicts are no failure.
    """
    wrong = {Status.VIOLATED} if allow_unknown else {Status.VIOLATED, Status.UNKNOWN}
    blocks = [
        (number, run, verdict) for number, run in enumerate(runs, start=1) for verdict in run.verdicts if verdict.status in wrong
    ]
    if not blocks:
        return ""
    blocks.sort(key=lambda block: block[2].status is not Status.VIOLATED)
    lines = [line for number, run, verdict in blocks for line in _verdict_lines(verdict, _of_many(number, run, len(runs)))]
    for run in {id(run): run for _, run, _ in blocks}.values():
        lines += _circumstances(run) + ([f"Files: {run.directory}"] if run.directory else [])
    lines.append(f"Seed: {seed}")
    if runs[0].reproduce:
        lines.append(f"Reproduce: {runs[0].reproduce}")
    if worst(verdict for _, _, verdict in blocks) is Status.UNKNOWN:
        lines.append(f"Allow: {ALLOW}")
    return "\n".join(lines)


def run_text(run: Run) -> str:
    """Everything said of one run, held verdicts included, for the report's own section."""
    lines = [line for verdict in run.verdicts for line in _verdict_lines(verdict, "")] or ["no invariant or budget was asked for"]
    lines += _circumstances(run)
    return "\n".join(lines)


def _of_many(number: int, run: Run, count: int) -> str:
    workload = f", workload {run.workload}" if run.workload else ""
    return f" (run {number} of {count}{workload})" if count > 1 else ""


def _verdict_lines(verdict: Verdict, which: str) -> list[str]:
    return [verdict.summary + which, *(f"  {line}" for detail in verdict.details for line in detail.splitlines())]


def _circumstances(run: Run) -> list[str]:
    if not run.nodes:
        return []  # the test used no cluster
    figures = run.figures
    plural = "" if figures.operations == 1 else "s"
    ops = f"{figures.operations} operation{plural} ({figures.ok} ok, {figures.fail} fail, {figures.info} info)"
    load = f", workload {run.workload}" if run.workload else ""
    through = f", proxy {run.proxy}" if run.proxy != "relay" else ""
    where = f"{run.system}, {run.nodes} nodes, runtime {run.runtime}{through}{load}"
    lines = [f"Run: {where}; {ops} in {(run.end_ns - run.start_ns) / 1e9:.2f} s"]
    lines += _listed("Faults:", [_fault_line(fault, run) for fault in run.faults], _FAULTS_SHOWN)
    lines += _listed("Notes:", run.notes, _NOTES_SHOWN)
    return lines


def _listed(heading: str, entries: Sequence[str], shown: int) -> Iterable[str]:
    if not entries:
        return []
    more = [f"  ...and {len(entries) - shown} more"] if len(entries) > shown else []
    return [heading, *(f"  {entry}" for entry in entries[:shown]), *more]


def _fault_line(fault: RunFault, run: Run) -> str:
    """`partition {n1} | {n2,n3}, 0.52 s to 1.20 s`; what was in force before or after the run has no number there."""
    start = "the start" if fault.start_ns < run.start_ns else f"{(fault.start_ns - run.start_ns) / 1e9:.2f} s"
    end_ns = run.end_ns + 1 if fault.end_ns is None else fault.end_ns
    end = "the end" if end_ns > run.end_ns else f"{(end_ns - run.start_ns) / 1e9:.2f} s"
    words = f"{fault.words}, {start} to {end}"
    if not fault.verified:
        return f"{words}; NOT VERIFIED{': ' + fault.note if fault.note else ''}"
    return f"{words} ({fault.note})" if fault.note else words
