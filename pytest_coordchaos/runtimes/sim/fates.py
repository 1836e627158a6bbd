"""What faults on messages do inside a simulation: the relay's own stages, on virtual time, their chance from the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

from pytest_coordchaos.faults.model import FrameKind, FrameRule
from pytest_coordchaos.relay.frame_formats import FrameFormat, format_of
from pytest_coordchaos.relay.frame_stage import FrameStage, ReplyStage
from pytest_coordchaos.relay.toxics.base import ABORT, NEVER, Item
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.tape import Stream
from pytest_coordchaos.system.protocols import GREETING

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.transport import SimTransport

__all__ = ["NOTHING", "Fates", "Meddling", "Packet", "fitted"]

Packet = tuple[bytes, int, int, int]
"""(data or mark, its messages' first row, how many, the row that caused it)"""

Meddling = tuple[tuple[FrameRule, ...], bool]
"""(what frames meet, whether replies are lost)"""

NOTHING: Meddling = ((), False)

_DRAWS = len(FrameKind) + 1
_GRAIN = 1 << 30


class Fates:
    """The stages that the bytes of one sender go through before they become packets.

    Args:
        loop: The kernel.
        draws: The stream of chance; asked only while frames meet something.
        protocol: The port's.
        form: How its frames look; None: they are not independent, and meet nothing.
        pass_on: Takes what goes on.
        abort: Resets the connection.
    """

    __slots__ = (
        "_abort",
        "_cause",
        "_draws",
        "_due_ns",
        "_form",
        "_frames",
        "_loop",
        "_pass_on",
        "_protocol",
        "_replies",
        "wanted",
    )

    def __init__(
        self,
        loop: Kernel,
        draws: Stream,
        protocol: str,
        form: FrameFormat | None,
        pass_on: Callable[[Packet], None],
        abort: Callable[[], None],
    ) -> None:
        self.wanted = NOTHING
        self._loop = loop
        self._draws = draws
        self._protocol = protocol
        self._form = form
        self._pass_on = pass_on
        self._abort = abort
        self._frames: FrameStage | None = None
        self._replies: ReplyStage | None = None
        self._cause = 0
        self._due_ns = NEVER

    def fit(self, wanted: Meddling, begun: tuple[bytes, int] | None) -> None:
        """Have the stages that faults ask for now, and no others.

        Args:
            wanted: What they ask for.
            begun: Where in a frame the bytes so far end, as `FrameStage` takes it; None: not known, and frames pass.
        """
        self.wanted = wanted
        rules, replies_lost = wanted
        if not replies_lost:
            self._replies = None  # it holds nothing
        elif self._replies is None:
            self._replies = ReplyStage(greets=self._protocol in GREETING)
        if self._frames is not None:
            self._frames.set_rules(rules)
            if not rules:
                left, self._frames = self._frames.remove(self._loop.now_ns), None
                self._send(left)
        elif rules and self._form is not None and begun is not None:
            self._frames = FrameStage(self._form, self._fate, rules, head=begun[0], rest=begun[1])

    def put(self, packet: Packet) -> None:
        """Take data or a mark."""
        data, first, number, self._cause = packet
        items: Sequence[Item] = [(self._loop.now_ns, data, first, number)]
        if self._replies is not None:
            self._replies.put(items[0], self._loop.now_ns)
            items = self._replies.flush()
        if self._frames is None:
            self._send(items)
        else:
            for item in items:
                self._frames.put(item, self._loop.now_ns)
            self._advance()

    def _advance(self) -> None:
        """What is due goes on; a frame that waits for another one is looked at again in time."""
        frames, now_ns = self._frames, self._loop.now_ns
        if self._due_ns <= now_ns:
            self._due_ns = NEVER
        if frames is None:
            return
        while (item := frames.take(now_ns)) is not None:
            self._send((item,))
        due_ns = frames.due_ns()
        if due_ns < self._due_ns:
            self._due_ns = due_ns
            self._loop.call_at_ns(due_ns, self._advance, context=Context())

    def _send(self, items: Sequence[Item]) -> None:
        for _, data, first, number in items:
            if data is ABORT:
                self._abort()
            else:
                self._pass_on((data, first, number, first + number - 1 if number else self._cause))

    def _fate(self) -> list[float]:
        return [self._draws.below(_GRAIN) / _GRAIN for _ in range(_DRAWS)]


def fitted(end: SimTransport, fates: Fates | None) -> Fates:
    """What messages of one end of a stream meet, by what faults say now. Asked before its framer sees what is sent next."""
    link, framer, wanted = end.way.link, end.framer, end.way.meddling
    if fates is None:
        form = format_of(link.protocol, link.classes)
        fates = Fates(end.network.loop, end.network.draws, link.protocol, form, end.transmit, end.reset_both)
    if fates.wanted is not wanted:
        ask = getattr(framer, "unfinished", None)
        fates.fit(wanted, ask() if ask is not None and framer is not None and not framer.lost else None)
    return fates
