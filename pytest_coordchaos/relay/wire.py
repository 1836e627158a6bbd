"""What travels over the relay's control API: records, and their JSON. Shared by both ends; pure.

Reading checks everything, so that a bad request is one clear sentence and nothing half-applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import DirectionState
from pytest_coordchaos.relay.reading import (
    Address,
    BadRequest,
    read_address,
    read_classes,
    read_door,
    read_number,
    read_object,
    read_sources,
)
from pytest_coordchaos.relay.states import state_from_json, state_to_json
from pytest_coordchaos.system.protocols import PROTOCOLS, TRANSPORTS

__all__ = [
    "Address",
    "BadRequest",
    "LinkCounts",
    "LinkSpec",
    "Mark",
    "ProbeResult",
    "WayTotals",
    "is_loopback",
    "link_from_json",
    "link_to_json",
    "state_to_json",
    "states_from_json",
]

Json = dict[str, object]
WayTotals = tuple[int, int, int, int]
"""Bytes offered, delivered and framed, and turns, of one direction of one link since it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """What the relay must know of a link.

    Args:
        link: Its name.
        listen: Where to listen, a loopback address where there is no `listen_door`; port 0: the relay chooses one
            below the ephemeral range. Links with different `sources` may share one address.
        upstream: The node's real address.
        upstream_source: Local address the relay dials from; it marks the relay's own connections,
            so that anything else that reaches the node's port is a bypass. "" behind a `dial_door`: the one that leads there.
        protocol: How its bytes are cut into messages.
        classes: For `frames`: class number -> name.
        node: The node's own address where `upstream` is a second hop in front of it (Toxiproxy): the process that
            listens there may dial the node. None: `upstream` is the node's.
        listen_door, dial_door: Ambassadors' UNIX sockets: it listens, or dials, in their network namespaces
            (see `runtimes.doors`). "": in the relay's own.
        transport: "tcp" or "udp".
        sources: Addresses of those who dial this link; empty: everybody who is no other link's source.
    """

    link: LinkId
    listen: Address
    upstream: Address
    upstream_source: str
    protocol: str = "bytes"
    classes: Mapping[int, str] = field(default_factory=dict)
    node: Address | None = None
    listen_door: str = ""
    dial_door: str = ""
    sources: tuple[str, ...] = ()
    transport: str = "tcp"

    @property
    def counted(self) -> str:
        """The protocol by which its messages are counted: of datagrams each is one, whatever it holds."""
        return "datagrams" if self.transport == "udp" and self.protocol == "bytes" else self.protocol

    def to_json(self) -> Json:
        """As a JSON object."""
        return {
            "link": link_to_json(self.link),
            "listen": list(self.listen),
            "upstream": list(self.upstream),
            "upstream_source": self.upstream_source,
            "protocol": self.protocol,
            "classes": {str(number): name for number, name in self.classes.items()},
            "node": None if self.node is None else list(self.node),
            "listen_door": self.listen_door,
            "dial_door": self.dial_door,
            "sources": list(self.sources),
            "transport": self.transport,
        }

    @classmethod
    def from_json(cls, raw: object, where: str, *, loopback_only: bool = True) -> LinkSpec:
        """From a JSON object.

        Args:
            loopback_only: Without a door it may listen on loopback addresses only.

        Raises:
            BadRequest: What is wrong with it, and where.
        """
        item = read_object(raw, where)
        listen = read_address(item.get("listen"), f"{where}.listen", lowest_port=0)
        listen_door, dial_door = (read_door(item.get(name, ""), f"{where}.{name}") for name in ("listen_door", "dial_door"))
        if loopback_only and not listen_door and not is_loopback(listen[0]):
            raise BadRequest(f"{where}.listen: {listen[0]!r} is not a loopback address; allowed: 127.x.y.z and ::1")
        source = item.get("upstream_source")
        if not isinstance(source, str) or not (source or dial_door):
            raise BadRequest(f"{where}.upstream_source: {source!r} is not allowed; a numeric local address is")
        protocol = item.get("protocol", "bytes")
        if protocol not in PROTOCOLS:
            raise BadRequest(f"{where}.protocol: {protocol!r} is not known; allowed: {', '.join(PROTOCOLS)}")
        transport = item.get("transport", "tcp")
        if transport not in TRANSPORTS:
            raise BadRequest(f"{where}.transport: {transport!r} is not known; allowed: {', '.join(TRANSPORTS)}")
        return cls(
            link=link_from_json(item.get("link"), f"{where}.link"),
            listen=listen,
            upstream=read_address(item.get("upstream"), f"{where}.upstream", lowest_port=1),
            upstream_source=source,
            protocol=str(protocol),
            node=None if item.get("node") is None else read_address(item.get("node"), f"{where}.node", lowest_port=1),
            classes=read_classes(item.get("classes", {}), f"{where}.classes"),
            listen_door=listen_door,
            dial_door=dial_door,
            sources=read_sources(item.get("sources", []), f"{where}.sources"),
            transport=str(transport),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a probe saw of one direction of one link.

    Args:
        link: The link.
        direction: "upstream" (dialler to node) or "downstream".
        expected: The state that was to be proven.
        ok: It was.
        observed: One sentence: what was seen.
        took_ms: How long the link's probe took.
    """

    link: LinkId
    direction: str
    expected: DirectionState
    ok: bool
    observed: str
    took_ms: float

    def to_json(self) -> Json:
        """As a JSON object."""
        return {
            "link": link_to_json(self.link),
            "direction": self.direction,
            "expected": state_to_json(self.expected),
            "ok": self.ok,
            "observed": self.observed,
            "took_ms": self.took_ms,
        }

    @classmethod
    def from_json(cls, raw: object) -> ProbeResult:
        """From a JSON object of the relay's."""
        item = read_object(raw, "probe")
        return cls(
            link=link_from_json(item.get("link"), "probe.link"),
            direction=str(item.get("direction")),
            expected=state_from_json(item.get("expected"), "probe.expected"),
            ok=item.get("ok") is True,
            observed=str(item.get("observed")),
            took_ms=read_number(item.get("took_ms"), "probe.took_ms"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A position in the relay's ledger. Opaque: made by `mark`, given to `ledger`.

    Args:
        time_ns: When, CLOCK_MONOTONIC.
        row: Number of the next message.
        totals: By way: way 2k is the upstream direction of the k-th link, 2k + 1 its downstream one.
    """

    time_ns: int
    row: int
    totals: tuple[WayTotals, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounts:
    """Counts of one link since it was made, read while traffic flows.

    Args:
        link: The link.
        open_connections: Connections now.
        upstream_messages, downstream_messages: Messages offered.
        upstream_bytes, downstream_bytes: Bytes offered.
        delivered_bytes: Bytes passed on, both directions.
        saturated: How often a delay queue was full and the sender was held back.
    """

    link: LinkId
    open_connections: int
    upstream_messages: int
    downstream_messages: int
    upstream_bytes: int
    downstream_bytes: int
    delivered_bytes: int
    saturated: int

    @property
    def messages(self) -> int:
        """Messages offered, both directions."""
        return self.upstream_messages + self.downstream_messages

    @property
    def bytes(self) -> int:
        """Bytes offered, both directions."""
        return self.upstream_bytes + self.downstream_bytes


def states_from_json(raw: object, where: str) -> dict[LinkId, tuple[DirectionState, DirectionState]]:
    """Wanted states of links, (upstream, downstream) of each.

    Raises:
        BadRequest: What is wrong, and where.
    """
    if not isinstance(raw, list):
        raise BadRequest(f"{where}: a list of links is allowed, not {type(raw).__name__}")
    states: dict[LinkId, tuple[DirectionState, DirectionState]] = {}
    for number, entry in enumerate(raw):
        item = read_object(entry, f"{where}[{number}]")
        link = link_from_json(item.get("link"), f"{where}[{number}].link")
        if link in states:
            raise BadRequest(f"{where}[{number}]: link {link} is named twice")
        up, down = (state_from_json(item.get(name), f"{where}[{number}].{name}") for name in ("upstream", "downstream"))
        states[link] = (up, down)
    return states


def link_to_json(link: LinkId) -> list[str]:
    """A link's name as a JSON array."""
    return [link.source, link.target, link.port]


def link_from_json(raw: object, where: str) -> LinkId:
    """A link's name from a JSON array."""
    if not isinstance(raw, list) or len(raw) != 3 or not all(isinstance(part, str) and part for part in raw):
        raise BadRequest(f"{where}: {raw!r} is not a link; allowed: [source, target, port]")
    return LinkId(*raw)


def is_loopback(host: str) -> bool:
    """Whether a numeric address is one of this machine's own, reachable from nowhere else."""
    return host == "::1" or host.startswith("127.")
