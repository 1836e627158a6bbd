"""What a probe sends to prove rules about frames, and what must arrive. Pure.

Chance is taken out: the probe's frames meet draws that were written down before, one just below the rate in force
(it strikes) and one exactly at it (it does not). So a whole, quick probe proves each rule and its rate.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_coordchaos.faults.model import FrameKind, FrameRule
from pytest_coordchaos.faults.rates import rate_of
from pytest_coordchaos.relay.frame_formats import DATAGRAM_CLASS

__all__ = ["Script", "script_of"]

_NEVER = 1.0
_BODY_BYTES = 16
_LINE_BYTES = 160
_KINDS = tuple(FrameKind)
_HARMED: Mapping[FrameKind, Callable[[int], list[tuple[int, bool]]]] = {
    FrameKind.LOSE: lambda i: [(i + 1, False)],
    FrameKind.DUPLICATE: lambda i: [(i, False), (i, False), (i + 1, False)],
    FrameKind.REORDER: lambda i: [(i + 1, False), (i, False)],
    FrameKind.CORRUPT: lambda i: [(i, True), (i + 1, False)],
}
"""What arrives of frame i, which is struck, and frame i + 1, which is spared: (number, whether it was corrupted)."""


@dataclass(frozen=True, slots=True)
class Script:
    """One probe.

    Args:
        frames: What is sent, in order.
        draws: What each of them meets.
        arrivals: What must arrive, in order: number of the frame, and whether one bit of it is to be wrong.
        words: The rules, for people.
    """

    frames: Sequence[bytes]
    draws: Sequence[Sequence[float]]
    arrivals: Sequence[tuple[int, bool]]
    words: str

    def next_draws(self) -> Callable[[], Sequence[float]]:
        """A source of these draws, once through; frames that come after them are spared."""
        waiting: Iterator[Sequence[float]] = iter(self.draws)
        return lambda: next(waiting, (_NEVER,) * (len(_KINDS) + 1))

    @property
    def arriving_bytes(self) -> int:
        """How many bytes must arrive."""
        return sum(len(self.frames[number]) for number, _ in self.arrivals)

    def wrong(self, came: bytes) -> str:
        """What is wrong with what arrived; "" when all of it is as drawn."""
        start = 0
        for place, (number, corrupted) in enumerate(self.arrivals, start=1):
            frame = self.frames[number]
            piece = came[start : start + len(frame)]
            start += len(frame)
            if len(piece) < len(frame):
                return f"{place - 1} of {len(self.arrivals)} frames arrived"
            if _bits_between(piece, frame) != corrupted:
                return f"frame {place} of {len(self.arrivals)} is not the one that was drawn"
        return ""


def script_of(protocol: str, classes: Mapping[int, str], rules: Sequence[FrameRule]) -> Script:
    """A probe of every rule, each with a frame of a class that it speaks of."""
    frames: list[bytes] = []
    draws: list[tuple[float, ...]] = []
    arrivals: list[tuple[int, bool]] = []
    words = []
    for rule in rules:
        name = rule.classes[0] if rule.classes else _any_class(protocol, classes)
        if (number := _number_of(protocol, classes, name)) is None:
            continue  # no frame of this port is of that class: there is nothing to prove
        rate = rate_of(rules, rule.kind, name)
        arrivals += _HARMED[rule.kind](len(frames))
        frames += [_frame(protocol, number, name, len(frames) + extra) for extra in (0, 1)]
        draws += [_only(rule.kind, math.nextafter(rate, 0.0)), _only(rule.kind, rate)]
        words.append(f"{rule.kind} {rate * 100:g} %")
    arrivals.append((len(frames), False))
    frames.append(_frame(protocol, 0, "", len(frames)))
    draws.append(_only(FrameKind.LOSE, _NEVER))
    return Script(frames, draws, arrivals, ", ".join(words) or "nothing")


def _only(kind: FrameKind, draw: float) -> tuple[float, ...]:
    return (*(draw if one is kind else _NEVER for one in _KINDS), 0.5)


def _any_class(protocol: str, classes: Mapping[int, str]) -> str:
    if protocol == "frames":
        return next(iter(classes.values()), "class-0")
    return "probe" if protocol == "json-lines" else DATAGRAM_CLASS


def _number_of(protocol: str, classes: Mapping[int, str], name: str) -> int | None:
    if protocol != "frames":
        return 0 if protocol == "json-lines" or name == DATAGRAM_CLASS else None
    plain = name.removeprefix("class-")
    unnamed = int(plain) if name != plain and plain.isdecimal() else None
    return next((number for number, text in classes.items() if text == name), unnamed)


def _frame(protocol: str, number: int, name: str, index: int) -> bytes:
    """A frame that is like no other of its probe."""
    if protocol == "frames":
        return struct.pack(">IHQH", 12 + _BODY_BYTES, number, 0, 0) + index.to_bytes(_BODY_BYTES, "big")
    if protocol == "json-lines":
        return json.dumps({"type": name, "probe": index}).encode().ljust(_LINE_BYTES) + b"\n"
    return index.to_bytes(_BODY_BYTES, "big")


def _bits_between(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
