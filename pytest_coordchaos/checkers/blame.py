"""Whom to blame where one cluster serves several tests: what was broken before a test began is not its fault. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pytest_coordchaos.checkers.invariant import Options
from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["of_this_window"]

Check = Callable[[History, Options], Verdict]


def of_this_window(check: Check) -> Check:
    """The check, on the cluster's whole history; unknown where what came before the window was violated already."""
    return partial(_judged, check)


def _judged(check: Check, history: History, options: Options) -> Verdict:
    verdict, start_ns = check(history, options), options.get("window_start_ns")
    if verdict.status is not Status.VIOLATED or not isinstance(start_ns, int):
        return verdict
    past = History(tuple(op for op in history if op.invoke_ns < start_ns))
    if check(past, options).status is not Status.VIOLATED:
        return verdict
    summary = f"{verdict.name}: unknown, it was violated before this test began"
    return replace(verdict, status=Status.UNKNOWN, summary=summary, details=(f"now: {verdict.summary}",))
