"""Invariants of a group's membership as its members see it: one view in the end, and no belief that goes back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pytest_coordchaos.checkers.detector_logs import PRESENT, Log, logs_of, seconds, verdict, window_of
from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["MEMBERSHIP_AGREEMENT", "NO_RESURRECTION", "check_agreement", "check_no_resurrection"]

View = Mapping[str, Any]


def check_agreement(history: History, options: Options) -> Verdict:
    """Whether all members see the same group in the end: who is present, alive, and under which incarnation.

    Args:
        history: With the members' last answers to `members`: `{name: [state, incarnation]}`. A member that left judges
            nothing, and nobody may miss it.
        options: From the caller: `window_start_ns`.
    """
    name = "membership-agreement"
    answers = last_answers(window_of(history, options), "members")
    views = {node: _present(op.result) for node, op in answers.items()}
    stayed = {node: view for node, view in views.items() if node in view}
    if len(stayed) < 2:
        return verdict(name, Status.UNKNOWN, f"nothing was observed ({len(stayed)} members told their view)")
    wrong = [line for node, view in stayed.items() for line in _differences(node, view, stayed)]
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} beliefs differ from what their subjects say", wrong)
    return verdict(name, Status.HELD, f"{len(stayed)} members see the same group")


def _present(view: View) -> dict[str, tuple[str, int]]:
    return {name: (state, incarnation) for name, (state, incarnation) in view.items() if state in PRESENT}


def _differences(node: str, view: Mapping[str, tuple[str, int]], stayed: Mapping[str, View]) -> list[str]:
    """What one member believes otherwise than its subject."""
    wrong = [f"{node} does not see {name}, which is there" for name in stayed if name not in view]
    for name, (state, incarnation) in view.items():
        if name not in stayed:
            wrong.append(f"{node} takes {name} for {state} (incarnation {incarnation}), which is gone")
        elif (state, incarnation) != stayed[name][name]:
            own_state, own = stayed[name][name]
            wrong.append(f"{node} takes {name} for {state} (incarnation {incarnation}); it is {own_state} ({own})")
    return wrong


def check_no_resurrection(history: History, options: Options) -> Verdict:
    """Whether no observer ever took back a belief without the subject's own word.

    Only the subject raises its incarnation; under one incarnation alive < suspect < dead. A belief that ranks at or below
    the one before it is an old one that came back: somebody dead that is taken for alive again.

    Args:
        history: With the members' last answers to `events` (see `detector_logs`).
        options: From the caller: `window_start_ns`.
    """
    name = "no-resurrection"
    logs = logs_of(window_of(history, options))
    count = sum(len(log.beliefs) for log in logs)
    if not count:
        return verdict(name, Status.UNKNOWN, "nothing was observed (no member told of any event)")
    wrong = [line for log in logs for line in _went_back(log, options)]
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} of {count} beliefs went back to what was overridden", wrong)
    return verdict(name, Status.HELD, f"{count} beliefs of {len(logs)} members only went forward")


def _went_back(log: Log, options: Options) -> list[str]:
    return [
        f"at {seconds(after.at_ns, options)} {log.node} took {subject} for {after.state} (incarnation {after.incarnation}, "
        f"told by {after.by}); it had been {before.state} ({before.incarnation}) since {seconds(before.at_ns, options)}"
        for subject in dict.fromkeys(belief.name for belief in log.beliefs)
        for before, after in pairwise(log.of(subject))
        if after.rank <= before.rank
    ]


MEMBERSHIP_AGREEMENT = Invariant(
    name="membership-agreement",
    check=check_agreement,
    options=frozenset(),
    doc="in the end all members see the same group: who is present, and under which incarnation",
    eventual=True,
)
NO_RESURRECTION = Invariant(
    name="no-resurrection",
    check=check_no_resurrection,
    options=frozenset(),
    doc="no member goes back to a belief that was overridden, unless the subject itself says so",
)
