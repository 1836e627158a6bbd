"""Invariants of a failure detector: complete, accurate, in time (Chandra & Toueg 1996; Das, Gupta, Motivala 2002 §1). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_coordchaos.checkers import spans
from pytest_coordchaos.checkers.detector_logs import GONE, Belief, Log, faults_of, logs_of, seconds, verdict, window_of
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.checkers.spans import FaultSpan, Span
from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["DETECTION_TIME", "DETECTOR_ACCURACY", "DETECTOR_COMPLETENESS", "check_accuracy", "check_completeness", "check_times"]

_SLACK_NS = 100_000_000
"""A busy machine is late."""

_REFUTATION_SHARE = 0.75
"""Of the suspicion time: undisturbed for so long, a member must have refuted."""

_SUSPICIONS_PER_S = 0.05
_ON_MESSAGES = ("lose", "duplicate", "reorder", "corrupt", "slow", "hold", "drop replies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One crash as one observer should have seen it."""

    node: str
    span: Span
    log: Log


def check_completeness(history: History, options: Options) -> Verdict:
    """Whether every crashed member was declared dead by every other that ran all the while (strong completeness).

    A crash is looked at if it lasted longer than `declaration_s`. Each observer must find out by then on its own,
    whomever it can reach; the time begins again when a last word of the dead ("alive", or a greater incarnation) reaches it.

    Args:
        history: With the members' last answers to `events` (see `detector_logs`).
        options: `declaration_s` (default: what the members promise); from the caller: `faults`, `window_start_ns`.
    """
    name = "detector-completeness"
    looked, wrong = 0, []
    for crash in _crashes(history, options):
        limit_ns = _patient(crash, "declaration_s", options)
        if limit_ns is None or crash.log.state_at(crash.node, crash.span[0]) is None:
            continue
        due_ns = _last_word_ns(crash) + limit_ns
        if due_ns > crash.span[1] or _stopped(crash.log.node, (crash.span[0], due_ns), options):
            continue
        looked += 1
        state = crash.log.state_at(crash.node, due_ns)
        if state not in GONE:
            wrong.append(
                f"{crash.log.node} still took {crash.node} for {state} at {seconds(due_ns, options)}: {_killed(crash, options)}"
            )
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} of {looked} crashes were not declared in time by an observer", wrong)
    if not looked:
        return verdict(name, Status.UNKNOWN, "nothing was observed (no crash outlasted the time to its declaration)")
    return verdict(name, Status.HELD, f"{looked} crashes (one for each observer) were declared in time")


def check_times(history: History, options: Options) -> Verdict:
    """Whether a crash was suspected within `detection_s` by each observer, and once declared, declared by all within `spread_s`.

    Only crashes are looked at beside which nothing else went wrong.

    Args:
        history: With the members' last answers to `events`.
        options: `detection_s`, `spread_s` (default: what the members promise); from the caller: `faults`, `window_start_ns`.
    """
    name = "detection-time"
    found: list[float] = []
    spread: list[float] = []
    wrong = []
    for crash in _crashes(history, options):
        if crash.log.state_at(crash.node, crash.span[0]) != "alive":
            continue
        for what, since_ns, promise, states, times in (
            ("suspected", crash.span[0], "detection_s", ("suspect", *GONE), found),
            ("declared", _first_declared_ns(crash, history, options), "spread_s", GONE, spread),
        ):
            limit_ns = _patient(crash, promise, options)
            if since_ns is None or limit_ns is None or _other_trouble(crash, since_ns + limit_ns, options):
                continue
            at_ns = min((b.at_ns for b in _beliefs(crash) if b.state in states), default=None)
            if at_ns is not None:
                times.append((at_ns - since_ns) / 1e9)
            if at_ns is None or at_ns > since_ns + limit_ns:
                late = "not at all" if at_ns is None else f"only at {seconds(at_ns, options)}"
                wrong.append(
                    f"{crash.log.node} {what} {crash.node} {late}, due at {seconds(since_ns + limit_ns, options)}: "
                    f"{_killed(crash, options)}"
                )
    return _timed(name, found, spread, wrong)


def _timed(name: str, found: Sequence[float], spread: Sequence[float], wrong: Sequence[str]) -> Verdict:
    said = f"suspected after at most {max(found, default=0):.2f} s ({len(found)} looked at), "
    said += f"declared by all within {max(spread, default=0):.2f} s of the first ({len(spread)} looked at)"
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} observers were late: {said}", wrong)
    if not found and not spread:
        return verdict(name, Status.UNKNOWN, "nothing was observed (no crash without other trouble lasted long enough)")
    return verdict(name, Status.HELD, said)


def check_accuracy(history: History, options: Options) -> Verdict:
    """Whether no member was declared dead that ran and could be reached, and few were suspected.

    A declaration counts for whoever made it, not for those who were told. It is false if the subject and its observer ran,
    in no partition from each other, for three quarters of the suspicion time before it: long enough to refute. A suspicion
    is false if nothing that hinders a probe touched the two seconds before it: no stop, no partition, and no fault on messages.

    Args:
        history: With the members' last answers to `events`.
        options: `suspicion_s` (default: what the members promise), `suspicions_per_s` (false suspicions that one observer
            may have per second; default 0.05); from the caller: `faults`, `window_start_ns`.
    """
    name = "detector-accuracy"
    window = window_of(history, options)
    logs = logs_of(window)
    if not any(log.beliefs for log in logs):
        return verdict(name, Status.UNKNOWN, "nothing was observed (no member told of any event)")
    deaths = [line for log in logs for line in _false_deaths(log, options)]
    if deaths:
        return verdict(name, Status.VIOLATED, f"{len(deaths)} members were declared dead that were not", deaths)
    suspicions = [line for log in logs for line in _false_suspicions(log, options)]
    watched_s = sum((log.told_ns - window.operations[0].invoke_ns) / 1e9 for log in logs)
    allowed = options.get("suspicions_per_s", _SUSPICIONS_PER_S)
    assert isinstance(allowed, int | float)
    if len(suspicions) > 1 + allowed * watched_s:
        said = (
            f"{len(suspicions)} false suspicions in {watched_s:.0f} s of {len(logs)} observers > {allowed:g} per second of each"
        )
        return verdict(name, Status.VIOLATED, said, suspicions)
    return verdict(
        name, Status.HELD, f"no false declaration, {len(suspicions)} false suspicions in {watched_s:.0f} s of watching"
    )


def _false_deaths(log: Log, options: Options) -> Iterator[str]:
    suspicion_ns = log.promise_ns("suspicion_s", options)
    for belief in log.beliefs:
        if suspicion_ns is None or belief.state != "dead" or belief.by != log.node:
            continue
        within = (belief.at_ns - suspicion_ns, belief.at_ns)
        blur_ns = log.blur_ns(belief.at_ns, faults_of(options))
        trouble = [(start_ns - blur_ns, end_ns + blur_ns) for start_ns, end_ns in _between(log.node, belief.name, options)]
        quiet_ns = spans.longest_quiet_ns(trouble, within)
        if quiet_ns >= _REFUTATION_SHARE * suspicion_ns:
            yield (
                f"at {seconds(belief.at_ns, options)} {log.node} declared {belief.name} dead (incarnation {belief.incarnation}), "
                f"which had {quiet_ns / 1e9:.2f} s without trouble to refute"
            )


def _false_suspicions(log: Log, options: Options) -> Iterator[str]:
    messages = [_span(fault) for fault in faults_of(options) if fault.words.startswith(_ON_MESSAGES)]
    for belief in log.beliefs:
        if belief.state == "suspect" and belief.by == log.node:
            within = (belief.at_ns - 2_000_000_000, belief.at_ns)
            if not spans.overlap([*_between(log.node, belief.name, options), *messages], within):
                yield f"at {seconds(belief.at_ns, options)} {log.node} suspected {belief.name} without trouble between them"


def _between(observer: str, subject: str, options: Options) -> list[Span]:
    """When one of the two did not run, or a partition lay between them."""
    faults = faults_of(options)
    stopped = spans.stops(faults)
    return [*stopped.get(observer, ()), *stopped.get(subject, ()), *spans.apart(faults, observer, subject)]


def _crashes(history: History, options: Options) -> Iterator[Crash]:
    """Every crash, once for each other member's log."""
    logs = logs_of(window_of(history, options))
    for node, downs in spans.downtimes(faults_of(options)).items():
        for span in downs:
            for log in logs:
                if log.node != node:
                    yield Crash(node=node, span=(span[0], min(span[1], log.told_ns)), log=log)


def _beliefs(crash: Crash) -> list[Belief]:
    """What the observer came to believe of the subject while it was down."""
    return [belief for belief in crash.log.of(crash.node) if crash.span[0] <= belief.at_ns <= crash.span[1]]


def _last_word_ns(crash: Crash) -> int:
    """When the observer last heard what only the subject can have said: it is alive, or its incarnation is greater."""
    words, known = [crash.span[0]], -1
    for belief in crash.log.of(crash.node):
        if crash.span[0] <= belief.at_ns <= crash.span[1] and (belief.state == "alive" or belief.incarnation > known >= 0):
            words.append(belief.at_ns)
        known = belief.incarnation
    return words[-1]


def _first_declared_ns(crash: Crash, history: History, options: Options) -> int | None:
    logs = logs_of(window_of(history, options))
    declared = [
        belief.at_ns
        for log in logs
        for belief in log.of(crash.node)
        if belief.state == "dead" and crash.span[0] <= belief.at_ns <= crash.span[1]
    ]
    return min(declared, default=None)


def _stopped(node: str, within: Span, options: Options) -> bool:
    return bool(spans.overlap(spans.stops(faults_of(options)).get(node, ()), within))


def _other_trouble(crash: Crash, until_ns: int, options: Options) -> bool:
    """Something else went wrong from two seconds before the crash, or it was over by then."""
    within = (crash.span[0] - 2_000_000_000, until_ns)
    others = [_span(fault) for fault in faults_of(options) if fault.start_ns != crash.span[0]]
    return until_ns > crash.span[1] or bool(spans.overlap(others, within))


def _span(fault: FaultSpan) -> Span:
    return fault.start_ns, fault.start_ns if fault.end_ns is None else fault.end_ns


def _killed(crash: Crash, options: Options) -> str:
    return f"{crash.node} was down from {seconds(crash.span[0], options)} to {seconds(crash.span[1], options)}"


def _patient(crash: Crash, promise: str, options: Options) -> int | None:
    """A promise of the observer in nanoseconds, and what its clock and a busy machine add."""
    limit_ns, blur_ns = crash.log.promise_ns(promise, options), crash.log.blur_ns(crash.span[0], faults_of(options))
    return None if limit_ns is None else limit_ns + max(_SLACK_NS, blur_ns)


def _invariant(name: str, check: object, options: frozenset[str], doc: str) -> Invariant:
    assert callable(check)
    return Invariant(name=name, check=check, options=options, doc=doc, needs=frozenset({"faults"}))


DETECTOR_COMPLETENESS = _invariant(
    "detector-completeness",
    check_completeness,
    frozenset({"declaration_s"}),
    "every crashed member is declared dead by every other that runs, in time",
)
DETECTION_TIME = _invariant(
    "detection-time",
    check_times,
    frozenset({"detection_s", "spread_s"}),
    "a crash is suspected in time by everybody, and declared by all soon after the first",
)
DETECTOR_ACCURACY = _invariant(
    "detector-accuracy",
    check_accuracy,
    frozenset({"suspicion_s", "suspicions_per_s"}),
    "nobody who runs and can be reached is declared dead, and few are suspected",
)
