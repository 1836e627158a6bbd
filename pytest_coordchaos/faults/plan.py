"""Plans: which faults happen when. Pure; drawn from a seed, carried out by `nemesis`.

`plan_file` writes and reads them. A plan says what to do, never what happened: that is `RunFault`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.chance import shuffled, uniform
from pytest_coordchaos.faults.triggers import RoleTrigger, Trigger
from pytest_coordchaos.faults.words import Aim, FaultWord, aim, as_word, check_nodes, parse

__all__ = ["MIN_SLOT_S", "Plan", "PlanEvent", "checked_seconds", "draw", "usual_events"]

MIN_SLOT_S = 0.25
"""Least seconds for one fault and the gap after it; less proves nothing on a real cluster."""

_DEFAULT_SECONDS = 5.0

_SLOT_S = 1.8
"""Usual seconds of a fault and its gap: long enough to elect a leader under it and after it."""

_LEAD_MAX, _TAIL_MAX = 0.10, 0.20
"""Largest shares of a run that are quiet before the first fault and after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEvent:
    """One fault of a plan.

    Args:
        id: Stable name in the plan, "1-partition:halves".
        word: The fault word it came from.
        start_s, duration_s: When it begins, from the start of the run, and for how long it is in force.
        wait_s: For how long its trigger is waited for, from `start_s`; `duration_s` counts from the trigger.
        aim: Whom it hits; a role is resolved when the event begins.
    """

    id: str
    word: str
    start_s: float
    duration_s: float
    aim: Aim
    wait_s: float = 0.0

    @property
    def trigger(self) -> Trigger | None:
        """What begins it; None: its time."""
        return parse(self.word).trigger

    @property
    def end_s(self) -> float:
        """When it is undone at the latest, from the start of the run."""
        return self.start_s + self.wait_s + self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Fault events in order of their beginning.

    Args:
        seed: The seed it was drawn from; None: from a random source that was handed over.
        seconds: Length of the run it was drawn for.
        nodes: The nodes it was drawn for.
        events: What happens.
    """

    seed: int | None = None
    seconds: float
    nodes: tuple[str, ...] = ()
    events: tuple[PlanEvent, ...] = ()


def checked_seconds(seconds: float | None) -> float:
    """The length of a run's load; None: the default.

    Raises:
        UsageError: It is not above 0, or more than a day.
    """
    if seconds is None:
        return _DEFAULT_SECONDS
    if not isinstance(seconds, int | float) or not 0 < seconds <= 86_400:
        raise UsageError(f"seconds={seconds!r} is not allowed; more than 0, at most 86400")
    return float(seconds)


def usual_events(seconds: float) -> int:
    """How many faults of usual length, and the gaps after them, a run of that length has room for."""
    return round(seconds / _SLOT_S)


def draw(words: Iterable[FaultWord | str], nodes: Sequence[str], seconds: float, rng: random.Random | int) -> Plan:
    """Draw a plan: one fault at a time, with quiet between.

    After 5 to 10 % of quiet (something to compare with), the words occur in rounds: each round holds
    every word once, in random order, so every word occurs. Faults and gaps have random lengths. The
    last 10 to 15 % (up to a second more in short runs) is free of faults, so that recovery is seen.
    The flip-flop of start and stop is Jepsen's (nemesis/combined.clj); one fault at a time keeps what
    happened attributable, and keeps kills and pauses from taking a majority together.

    Args:
        words: Fault words; none: a plan without events.
        nodes: The system's node names.
        seconds: Length of the run.
        rng: The seed, or a random source. The same seed draws the same plan on every Python version.

    Raises:
        UsageError: A word does not fit the nodes, or the run is too short for all words.
    """
    wanted = [as_word(word) for word in words]
    check_nodes(wanted, nodes)
    seed = rng if isinstance(rng, int) else None
    source = rng if isinstance(rng, random.Random) else random.Random(f"{rng}:plan")
    events = _events(wanted, nodes, seconds, source) if wanted else ()
    return Plan(seed=seed, seconds=seconds, nodes=tuple(nodes), events=events)


def _events(words: Sequence[FaultWord], nodes: Sequence[str], seconds: float, rng: random.Random) -> tuple[PlanEvent, ...]:
    _check_length(words, seconds)
    begin_s = seconds * uniform(rng, 0.05, _LEAD_MAX)
    tail_s = max(seconds * uniform(rng, 0.10, 0.15), min(1.0, _TAIL_MAX * seconds))
    room_s = seconds - begin_s - tail_s
    order = _rounds(words, max(len(words), usual_events(room_s)), rng)
    lengths = [uniform(rng, 1.0, 2.0) for _ in order]
    gaps = [uniform(rng, 0.2, 1.2) for _ in order[1:]] + [0.0]  # the tail is the last one's gap
    scale = room_s / (sum(lengths) + sum(gaps))
    slots, at_s = [], begin_s
    for length, gap in zip(lengths, gaps, strict=True):
        slots.append((at_s, at_s + length * scale))
        at_s += (length + gap) * scale
    events = []
    for number, word in enumerate(order):
        first = number // len(words) * len(words)
        if isinstance(word.trigger, RoleTrigger) and first + len(words) > len(order):
            continue  # the last round is not whole: what would change the role may be missing
        times = _times(word, slots[number], (slots[first][0], slots[first : first + len(words)][-1][1]))
        events.append(PlanEvent(id=f"{number + 1}-{word.text}", word=word.text, aim=aim(word, nodes, rng), **times))
    return tuple(events)


def _times(word: FaultWord, slot: tuple[float, float], whole_round: tuple[float, float]) -> dict[str, float]:
    """When an event begins, waits and ends: with a trigger it has half of its slot. Roles change because of other faults."""
    start_s, end_s = slot
    if word.trigger is None:
        return {"start_s": round(start_s, 3), "duration_s": round(end_s - start_s, 3)}
    duration_s = round((end_s - start_s) / 2, 3)
    if isinstance(word.trigger, RoleTrigger):
        start_s, end_s = whole_round
    return {"start_s": round(start_s, 3), "wait_s": round(end_s - start_s - duration_s, 3), "duration_s": duration_s}


def _check_length(words: Sequence[FaultWord], seconds: float) -> None:
    least_s = len(words) * MIN_SLOT_S / (1.0 - _LEAD_MAX - _TAIL_MAX)
    if seconds < least_s:
        listed = ", ".join(word.text for word in words)
        raise UsageError(
            f"seconds={seconds:g} is too short for every fault of faults=[{listed}] to occur; "
            f"allowed: {math.ceil(least_s * 10) / 10:g} s or more, or fewer words"
        )


def _rounds(words: Sequence[FaultWord], count: int, rng: random.Random) -> list[FaultWord]:
    order: list[FaultWord] = []
    while len(order) < count:
        order += shuffled(rng, words)
    return order[:count]
