"""Stages that meddle with messages instead of bytes: frames lost, doubled, late, corrupted; replies that never come. Pure.

A frame's fate is drawn when its last byte is there, before any of it went on. What is not yet a whole frame waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pytest_coordchaos.faults.model import FrameKind, FrameRule
from pytest_coordchaos.faults.rates import rate_of
from pytest_coordchaos.relay.frame_formats import FrameFormat
from pytest_coordchaos.relay.toxics.base import ABORT, MARKS, NEVER, Holding, Item

__all__ = ["LATEST_NS", "Draw", "FrameStage", "ReplyStage", "draws_of"]

LATEST_NS = 50_000_000
"""A frame that is to change places with the next one waits for it so long, then goes on."""

Draw = Callable[[], Sequence[float]]
"""The draws of one frame, each in [0, 1): one for each `FrameKind` in order, and one for the place of a corruption."""

_KINDS = tuple(FrameKind)


def draws_of(seed: str) -> Draw:
    """Draws that depend on the seed alone: the same frames meet the same fates, whatever rules come and go."""
    rng = random.Random(seed)
    count = len(_KINDS) + 1
    return lambda: [rng.random() for _ in range(count)]


class FrameStage(Holding):
    """Cuts bytes into frames and decides what becomes of each.

    Args:
        form: How frames look.
        draw: Where chance comes from.
        rules: What frames meet, and how likely.
        head: The beginning of a frame that has gone on already, as far as it is needed to find its end.
        rest: How many bytes are to come of a frame whose beginning has gone on already.
    """

    __slots__ = ("_buffer", "_form", "_gone", "_late", "_late_due", "_lost", "_rates", "_rest", "_rules", "_time", "draw")

    def __init__(self, form: FrameFormat, draw: Draw, rules: Sequence[FrameRule], *, head: bytes = b"", rest: int = 0) -> None:
        super().__init__()
        self.draw = draw
        self._form = form
        self._buffer = bytearray(head)
        self._gone = len(head)
        self._rest = rest
        self._lost = False
        self._late: list[Item] = []
        self._late_due = NEVER
        self._time = 0
        self.set_rules(rules)

    def set_rules(self, rules: Sequence[FrameRule]) -> None:
        """Draw by these rules from now on."""
        self._rules = rules
        self._rates: dict[str, tuple[float, ...]] = {}

    def put(self, item: Item, now_ns: int) -> None:
        """Take bytes, or a mark: what was said before a mark goes before it, whole or not."""
        self._time = time_ns = item[0]
        if id(item[1]) in MARKS:
            self._let_go()
            super().put(item, now_ns)
            return
        if self._lost:
            super().put(item, now_ns)
            return
        _, data, first, count = item
        if self._rest:
            data, first, count = self._pass_rest(item)
        buffer, start = self._buffer, 0
        buffer += data
        while start < len(buffer) and (end := self._form.end(buffer, start)) > 0:
            frame = bytes(buffer[start:end])
            start = end
            name = self._form.class_of(frame)
            row = (first, 1) if count and name is not None else (0, 0)
            first, count = first + row[1], count - row[1]
            self._meet((time_ns, frame, *row), name, now_ns)
        del buffer[:start]
        if buffer and self._form.end(buffer, 0) < 0:
            self._lost = True
            self._let_go()

    def take(self, now_ns: int) -> Item | None:
        """The next piece; a frame that waited too long for another."""
        if not self.queue and self._late and self._late_due <= now_ns:
            self._catch_up(now_ns)
        return self.pop() if self.queue else None

    def due_ns(self) -> int:
        """At once, or when a late frame has waited long enough."""
        return 0 if self.queue else self._late_due

    def flush(self) -> list[Item]:
        """Everything, also the beginning of a frame."""
        self._let_go()
        return super().flush()

    def _pass_rest(self, item: Item) -> tuple[bytes, int, int]:
        """Hand on what is left of a frame whose beginning went on before; returns what follows it."""
        time_ns, data, first, count = item
        rest = data[: self._rest]
        self._rest -= len(rest)
        row = (first, 1) if count and not self._rest else (0, 0)
        super().put((time_ns, rest, *row), time_ns)
        return data[len(rest) :], first + row[1], count - row[1]

    def _meet(self, item: Item, name: str | None, now_ns: int) -> None:
        time_ns, frame, first, count = item
        if self._gone or name is None:
            super().put((time_ns, frame[self._gone :], first, count), now_ns)
            self._gone = 0
            return
        draws = self.draw()
        struck = [draw < rate for draw, rate in zip(draws, self._rates_of(name), strict=False)]
        lose, duplicate, reorder, corrupt = struck
        if lose:
            return
        if corrupt:
            frame = self._form.corrupt(frame, draws[-1])
        pieces: list[Item] = [(time_ns, frame, first, count)] + [(time_ns, frame, 0, 0)] * duplicate
        if reorder and not self._late:
            self._late = pieces
            self._late_due = now_ns + LATEST_NS
            return
        for piece in pieces:
            super().put(piece, now_ns)
        self._catch_up(time_ns)

    def _catch_up(self, time_ns: int) -> None:
        """The late frame goes on."""
        late, self._late, self._late_due = self._late, [], NEVER
        for _, frame, first, count in late:
            super().put((time_ns, frame, first, count), time_ns)

    def _let_go(self) -> None:
        """Everything that waits for more goes on as it is."""
        self._catch_up(self._time)
        if len(self._buffer) > self._gone:
            super().put((self._time, bytes(self._buffer[self._gone :]), 0, 0), self._time)
        self._buffer.clear()
        self._gone = 0

    def _rates_of(self, name: str) -> tuple[float, ...]:
        rates = self._rates.get(name)
        if rates is None:
            rates = self._rates[name] = tuple(rate_of(self._rules, kind, name) for kind in _KINDS)
        return rates


class ReplyStage(Holding):
    """Lets no reply through: the connection is reset when one begins, or, where nodes greet, when one is whole.

    Args:
        greets: The node says things that are no replies (a handshake): they go on, and so does the beginning of the first
            reply. The host counts messages for it.
    """

    __slots__ = ("_done", "greets")

    def __init__(self, *, greets: bool) -> None:
        super().__init__()
        self.greets = greets
        self._done = False

    def put(self, item: Item, now_ns: int) -> None:
        """Take an item; the first reply becomes a reset, and nothing follows it."""
        if self._done:
            return
        if id(item[1]) not in MARKS and (item[3] or not self.greets):
            self._done = True
            item = (item[0], ABORT, 0, 0)
        super().put(item, now_ns)
