"""A link of the simulated network: two ways, how long packets take on each, and what faults do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.frame_formats import DatagramFormat, format_of
from pytest_coordchaos.runtimes.sim.fates import NOTHING, Meddling
from pytest_coordchaos.runtimes.sim.ledger import WayTally
from pytest_coordchaos.runtimes.sim.tape import Stream

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.transport import SimTransport

__all__ = ["Link", "NetworkModel", "Timing", "Way"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long packets take on one kind of link, in nanoseconds.

    Args:
        base_ns: The least.
        spread_ns: Each link adds a constant drawn below this.
        jitter_ns: Each packet adds a draw below this, mostly a small one.
        tail_ns: One packet in 4096 adds a draw below this.
    """

    base_ns: int
    spread_ns: int = 0
    jitter_ns: int = 0
    tail_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkModel:
    """The network of one simulation.

    Args:
        nodes, clients: Links between nodes, and from clients to nodes.
        resets: When a cut is lifted, one stream in so many that lost bytes is reset; the others go on where they were. 0: none.
        datagram_loss, datagram_copies: One datagram in so many is lost, or comes twice. 0: none.
        longest_retry_ns: After a cut, what was held comes within this.
    """

    nodes: Timing = Timing(base_ns=100_000, spread_ns=300_000, jitter_ns=600_000, tail_ns=20_000_000)
    clients: Timing = Timing(base_ns=50_000, spread_ns=50_000, jitter_ns=200_000, tail_ns=5_000_000)
    resets: int = 4
    datagram_loss: int = 50
    datagram_copies: int = 100
    longest_retry_ns: int = 200_000_000

    @classmethod
    def unit(cls, unit_ns: int = 1_000_000) -> NetworkModel:
        """Every message between nodes takes one unit, clients' none: latency in units counts sequential delays."""
        return cls(
            nodes=Timing(base_ns=unit_ns),
            clients=Timing(base_ns=0),
            resets=0,
            datagram_loss=0,
            datagram_copies=0,
            longest_retry_ns=0,
        )


class Way:
    """One direction of one link.

    Attributes:
        tally: Its counts in the ledger; None: not counted (a node to itself, and probes).
        blocked, refused: What faults say now.
        surely_held: What a cut holds back now goes on when it is lifted, whatever the draw.
        delay_ns: What faults add to each packet.
        meddling: What faults do to messages.
        holding: Receivers with packets that a cut holds back.
        kept: Datagrams that a cut with `hold` keeps, each as what sends it on.
    """

    __slots__ = (
        "_base_ns",
        "_draw",
        "_jitter_ns",
        "_tail_ns",
        "blocked",
        "delay_ns",
        "holding",
        "kept",
        "link",
        "meddling",
        "refused",
        "surely_held",
        "tally",
    )

    def __init__(self, link: Link, tally: WayTally | None, timing: Timing, draws: Stream) -> None:
        self.link = link
        self.tally = tally
        self.blocked = self.refused = self.surely_held = False
        self.delay_ns = 0
        self.meddling: Meddling = NOTHING
        self.holding: dict[SimTransport, None] = {}
        self.kept: list[Callable[[], None]] = []
        self._base_ns = timing.base_ns + (draws.below(timing.spread_ns) if timing.spread_ns else 0)
        self._jitter_ns = timing.jitter_ns
        self._tail_ns = timing.tail_ns
        self._draw = draws.below

    def latency_ns(self) -> int:
        """How long the next packet takes."""
        jitter = self._jitter_ns
        if not jitter:
            return self._base_ns + self.delay_ns
        chance = self._draw(4096)
        took = self._base_ns + self.delay_ns + (jitter * chance * chance >> 24)
        return took + self._draw(self._tail_ns) if chance == 4095 and self._tail_ns else took

    def set_state(self, state: DirectionState) -> None:
        """Put a fault state in force for what is under way and what comes."""
        self.delay_ns = round(state.delay_ms * 1e6)
        self.refused = state.mode is LinkMode.REFUSE
        self.blocked = state.mode is not LinkMode.PASS
        self.surely_held = state.mode is LinkMode.HOLD
        if self.blocked and not self.surely_held:
            self.kept.clear()
        meddling = (state.frames, state.replies_lost)
        if meddling != self.meddling:
            self.meddling = NOTHING if meddling == NOTHING else meddling


@dataclass(slots=True, eq=False)
class Link:
    """A directed edge: who dials, whom, which port; or what a node has with itself."""

    id: LinkId
    protocol: str = "bytes"
    classes: Mapping[int, str] = field(default_factory=dict)
    up: Way = field(init=False)
    down: Way = field(init=False)
    datagrams: DatagramFormat = field(init=False)
    connections: dict[SimTransport, None] = field(default_factory=dict)
    """The diallers' ends of open connections."""
    talker: Way | None = None
    """The way on which bytes went last."""

    def __post_init__(self) -> None:
        self.datagrams = DatagramFormat(format_of(self.protocol, self.classes))

    def turned(self, way: Way) -> None:
        """Bytes come from the other end than the last ones."""
        if self.talker is not None and self.up.tally is not None:
            self.up.tally.turns += 1
        self.talker = way
