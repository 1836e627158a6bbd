"""The grammar of fault words: `verb` or `verb:target`, as one table, and `@trigger`. Pure.

A word is what a marker says ("pause:leader"); `plan.draw` turns words into events at times, the
nemesis turns events into faults. A new verb is a new row of `VERBS` (and of `steps.STEPS`).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults import shapes
from pytest_coordchaos.faults.chance import pick, uniform
from pytest_coordchaos.faults.model import Partition
from pytest_coordchaos.faults.triggers import Trigger, check_trigger, parse_trigger

__all__ = ["VERBS", "Aim", "FaultWord", "Verb", "check_nodes", "parse"]

SLOW_MS = 50.0
"""One-way delay of a bare `slow` (Jepsen's default, without its jitter)."""

FRAME_RATE = 0.2
"""Share of frames that a bare `lose`, `duplicate`, `reorder` or `corrupt` strikes (Jepsen's default)."""

SYNC_MS = 100.0
"""How much longer a forced write takes under a `slow-disk` that names no milliseconds."""

_SKEW_S, _JUMP_S, _DRIFT = (0.1, 60.0), (60.0, 3600.0), (0.01, 0.05)
"""Least and most that is drawn, either way: a clock nobody set right, one that somebody set wrong, a bad crystal."""

_MAX_SLOW_MS = 60_000.0
_MAX_PERCENT = 100.0
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class FaultWord:
    """One parsed word.

    Args:
        text: As it was written.
        verb: A key of `VERBS`.
        target: What follows the colon; "" where nothing does.
        trigger: What begins it; None: a drawn time.
    """

    text: str
    verb: str
    target: str = ""
    trigger: Trigger | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Whom a word hits, once drawn. A role is resolved when the event begins, not before."""

    nodes: tuple[str, ...] = ()
    role: str | None = None
    groups: tuple[frozenset[str], ...] = ()
    one_way_ms: float | None = None
    rate: float | None = None
    offset_s: float | None = None
    clock_rate: float | None = None
    sync_ms: float | None = None


Draw = Callable[[Sequence[str], random.Random], Aim]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One named target of a verb: the fewest nodes it makes sense for, and how it is drawn."""

    least_nodes: int
    draw: Draw
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One row of the grammar.

    Args:
        doc: What it does, for people.
        choices: Named targets; "" is the bare verb.
        nodes: A node's name is a target too.
        milliseconds, percent: A number of milliseconds, or a percentage, is a target too.
        least_nodes: For targets that are not named choices.
        frames: It needs a port whose frames are independent of each other.
        amount: Draws how much, once it is known whom.
        needs: The capability of a runtime without which it cannot be done; "": every runtime can.
    """

    doc: str
    choices: Mapping[str, Choice] = field(default_factory=dict)
    nodes: bool = False
    milliseconds: bool = False
    percent: bool = False
    least_nodes: int = 1
    frames: bool = False
    amount: Callable[[Aim, random.Random], Aim] = lambda aim, rng: aim
    needs: str = ""

    def allowed(self, verb: str, nodes: Iterable[str] = ()) -> str:
        """The words of this verb, for messages."""
        words = [f"{verb}:{choice}" if choice else verb for choice in self.choices]
        words += [f"{verb}:{node}" for node in nodes] or ([f"{verb}:<node>"] if self.nodes else [])
        words += [f"{verb}:<milliseconds>"] if self.milliseconds else []
        return ", ".join(words + ([f"{verb}:<percent>"] if self.percent else []))


def _shape(draw: Callable[[Sequence[str], random.Random], Partition], least_nodes: int) -> Choice:
    return Choice(least_nodes=least_nodes, draw=lambda nodes, rng: Aim(groups=draw(nodes, rng).groups))


def _who(least_nodes: int) -> dict[str, Choice]:
    """The named targets of verbs that hit nodes."""
    return {
        "leader": Choice(least_nodes=least_nodes, draw=lambda nodes, rng: Aim(role="leader"), role="leader"),
        "one": Choice(least_nodes=least_nodes, draw=lambda nodes, rng: Aim(nodes=(pick(rng, nodes),))),
        "minority": Choice(least_nodes=3, draw=lambda nodes, rng: Aim(nodes=shapes.minority(nodes, rng))),
    }


def _clock(doc: str, amount: Callable[[Aim, random.Random], Aim]) -> Verb:
    """A verb that makes clocks of nodes wrong."""
    return Verb(doc=doc, choices=_who(1), nodes=True, amount=amount, needs="clocks")


def _offset(least_s: float, most_s: float) -> Callable[[Aim, random.Random], Aim]:
    return lambda aim, rng: replace(aim, offset_s=_either_way(rng, least_s, most_s))


def _either_way(rng: random.Random, least: float, most: float) -> float:
    return round(uniform(rng, least, most) * pick(rng, (1, -1)), 3)


def _frames(doc: str) -> Verb:
    """A verb that strikes frames on every link between nodes."""
    return Verb(
        doc=doc,
        choices={"": Choice(least_nodes=2, draw=lambda nodes, rng: Aim(rate=FRAME_RATE))},
        percent=True,
        least_nodes=2,
        frames=True,
    )


_SHAPES = {
    "halves": _shape(shapes.halves, 2),
    "majority": _shape(shapes.majority, 3),
    "majorities-ring": _shape(shapes.majorities_ring, 3),
}

VERBS: dict[str, Verb] = {
    "partition": Verb(doc="cut the network between groups of nodes, both ways", choices=_SHAPES),
    "hold": Verb(doc="hold all bytes between groups of nodes, both ways, and let them go afterwards", choices=_SHAPES),
    "isolate": Verb(doc="cut nodes off from every other node", choices=_who(2), nodes=True, least_nodes=2),
    "pause": Verb(doc="stop the processes of nodes (SIGSTOP), then let them go on", choices=_who(1), nodes=True),
    "kill": Verb(doc="kill the processes of nodes (SIGKILL), then start them again", choices=_who(1), nodes=True),
    "power-loss": Verb(
        doc="kill nodes, lose what they did not sync, then start them again", choices=_who(1), nodes=True, needs="disk-faults"
    ),
    "slow": Verb(
        doc="delay every byte between nodes, one way",
        choices={"": Choice(least_nodes=2, draw=lambda nodes, rng: Aim(one_way_ms=SLOW_MS))},
        milliseconds=True,
        least_nodes=2,
    ),
    "lose": _frames("lose messages between nodes"),
    "duplicate": _frames("deliver messages between nodes twice"),
    "reorder": _frames("let messages between nodes change places with the next"),
    "corrupt": _frames("flip a bit in the body of messages between nodes"),
    "drop-replies": Verb(
        doc="let what other nodes ask reach nodes, but reset the connection when they reply",
        choices=_who(2),
        nodes=True,
        least_nodes=2,
    ),
    "skew": _clock("set the wall clocks of nodes wrong by up to a minute, either way", _offset(*_SKEW_S)),
    "jump": _clock("let the wall clocks of nodes jump by up to an hour, forward or back", _offset(*_JUMP_S)),
    "drift": _clock(
        "let the clocks of nodes run too fast or too slow, timers too",
        lambda aim, rng: replace(aim, clock_rate=round(1 + _either_way(rng, *_DRIFT), 4)),
    ),
    "slow-disk": Verb(
        doc="let forced writes of nodes take longer",
        choices=_who(1),
        nodes=True,
        milliseconds=True,
        amount=lambda aim, rng: aim if aim.sync_ms else replace(aim, sync_ms=SYNC_MS),
        needs="disk-faults",
    ),
    "full-disk": Verb(doc="let nodes find their disk full when they write", choices=_who(1), nodes=True, needs="disk-faults"),
}
"""Verb -> what may follow it. The whole grammar."""


def parse(word: str) -> FaultWord:
    """A word of the grammar.

    Raises:
        UsageError: It is none; says which are.
    """
    if not isinstance(word, str):
        raise UsageError(f"Fault word {word!r} is not a string; allowed: {_everything()}")
    what, at, trigger = word.partition("@")
    name, colon, target = what.partition(":")
    verb = VERBS.get(name)
    if verb is None:
        raise UsageError(f"Fault word {word!r} is not known; allowed: {_everything()}")
    if (colon and not target) or not _fits(verb, target):
        raise UsageError(f"Fault word {word!r} is not allowed; after {name!r} allowed: {verb.allowed(name)}")
    return FaultWord(word, name, target, parse_trigger(trigger) if at else None)


def check_nodes(words: Iterable[FaultWord | str], nodes: Sequence[str], roles: Collection[str] | None = None) -> None:
    """Check words against a system.

    Args:
        words: Parsed or not.
        nodes: The system's node names.
        roles: The roles it declares; None: not checked.

    Raises:
        UsageError: A word names no node of the system, needs more nodes, or a role that is not declared.
    """
    for word in map(as_word, words):
        if word.trigger is not None:
            check_trigger(word.trigger, nodes, roles)
        verb = VERBS[word.verb]
        choice = verb.choices.get(word.target)
        least = choice.least_nodes if choice else verb.least_nodes
        if choice is None and verb.nodes and not _is_delay(verb, word.target) and word.target not in nodes:
            raise UsageError(f"Fault word {word.text!r} names no node of the system; allowed: {verb.allowed(word.verb, nodes)}")
        if len(nodes) < least:
            raise UsageError(f"Fault word {word.text!r} needs at least {least} nodes; the system has {len(nodes)}")
        if choice and choice.role and roles is not None and choice.role not in roles:
            declared = ", ".join(sorted(roles)) or "none"
            raise UsageError(
                f"Fault word {word.text!r} needs the role {choice.role!r}; the system declares: {declared}"
                f" (give System(roles={{{choice.role!r}: probe}}))"
            )


def aim(word: FaultWord, nodes: Sequence[str], rng: random.Random) -> Aim:
    """Draw whom a word hits, and how much."""
    verb = VERBS[word.verb]
    choice = verb.choices.get(word.target)
    whom = _named(verb, word.target, nodes) if choice is None else choice.draw(nodes, rng)
    return verb.amount(whom, rng)


def _named(verb: Verb, target: str, nodes: Sequence[str]) -> Aim:
    if verb.percent:
        return Aim(rate=float(target) / 100.0)
    if not _is_delay(verb, target):
        return Aim(nodes=(target,))
    return Aim(nodes=tuple(nodes), sync_ms=float(target)) if verb.nodes else Aim(one_way_ms=float(target))


def as_word(word: FaultWord | str) -> FaultWord:
    """The word, parsed if it was not."""
    return word if isinstance(word, FaultWord) else parse(word)


def _fits(verb: Verb, target: str) -> bool:
    if target in verb.choices:
        return True
    if _is_delay(verb, target) or (verb.percent and _is_number(target, _MAX_PERCENT)):
        return True
    return verb.nodes and _NODE_NAME.fullmatch(target) is not None


def _is_delay(verb: Verb, target: str) -> bool:
    return verb.milliseconds and _is_number(target, _MAX_SLOW_MS)


def _is_number(text: str, most: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and 0 < number <= most


def _everything() -> str:
    return ", ".join(verb.allowed(name) for name, verb in VERBS.items())
