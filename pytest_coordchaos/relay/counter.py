"""What one direction of one connection puts into the store: its bytes cut into messages by its framer."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_coordchaos.relay.framing.base import Frame, Framer

if TYPE_CHECKING:
    from pytest_coordchaos.relay.store import Store, Tally

__all__ = ["Counter"]


class Counter:
    """Counts the messages of one flow.

    Attributes:
        tally: Where its bytes are counted.
        framer: Cuts them.
        feed: The framer's `feed`; None: nothing is framed (any more).
    """

    __slots__ = ("_beside", "_store", "feed", "framer", "tally")

    def __init__(self, framer: Framer, store: Store, tally: Tally) -> None:
        self.tally = tally
        self.framer = framer
        self.feed: Callable[[bytes], Sequence[Frame]] | None = None if framer.lost else framer.feed
        self._beside: Callable[[], int] | None = getattr(framer, "beside", None)
        self._store = store

    def stop(self, tally: Tally) -> None:
        """Frame nothing, and count bytes on a tally of no ledger (a probe's connection)."""
        self.tally = tally
        self.feed = None

    def count(self, data: bytes, offered_ns: int, delivered_ns: int) -> tuple[int, int]:
        """Put the messages that end in `data` into the store; returns the first one's number, and how many."""
        frames = self.cut(data)
        return (self._store.add(frames, self.tally, offered_ns, delivered_ns), len(frames)) if frames else (0, 0)

    def cut(self, data: bytes) -> Sequence[Frame]:
        """The messages that end in `data`."""
        if self.feed is None:
            return ()
        try:
            frames = self.feed(data)
        except Exception:  # counting must never cost anybody a byte
            traceback.print_exc(file=sys.stderr)
            self.feed = None
            return ()
        if self._beside is not None:
            self.tally.framed += self._beside()
        if not frames and self.framer.lost:
            self.feed = None
        return frames

    def unfinished(self) -> tuple[bytes, int] | None:
        """Where in a message the bytes seen so far end, as `FrameStage` takes it; None: it is not known."""
        ask = getattr(self.framer, "unfinished", None)
        return ask() if ask is not None and not self.framer.lost else None

    def finish(self, *, delivered: bool) -> None:
        """The sender closed its side: count a message that only this ends."""
        if self.feed is not None:
            frames = self.framer.finish()
            if frames:
                now = monotonic_ns()
                self._store.add(frames, self.tally, now, now if delivered else 0)
