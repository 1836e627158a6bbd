"""A port of a node, as pure data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.protocols import DATAGRAM_PROTOCOLS, INDEPENDENT, PROTOCOLS, TRANSPORTS

__all__ = ["NAME", "Port", "check_dialled", "port_records"]

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
"""What names of ports, and of nodes that are host names, look like."""


@dataclass(frozen=True, slots=True)
class Port:
    """One listening port: of every node of a system, or of the nodes that name it.

    Args:
        name: How links, placeholders and budgets speak of it ("peer", "client").
        number: The number the node must listen on; None: a free one is chosen. Matters only
            with `System(addresses="shared")`, where all members share one number.
        listens: False: it may be that nothing listens there, so nobody waits for it after a restart.
        transport: "tcp", or "udp": one datagram is one message.
        protocol: How its bytes are cut into messages; one of `PROTOCOLS`.
        classes: For `frames`: class number -> class name.
        background: Names of classes that no operation causes (heartbeats, elections). None:
            not declared, then the rate of an idle window is taken off and the report says so.
    """

    name: str
    _: KW_ONLY
    number: int | None = None
    transport: str = "tcp"
    protocol: str = "bytes"
    classes: Mapping[int, str] = field(default_factory=dict)
    background: frozenset[str] | None = None
    listens: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise UsageError(f"Port name {self.name!r} is not allowed: lower-case letters, digits and inner dashes, at most 32")
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"Port({self.name!r}): protocol {self.protocol!r} is not known; allowed: {', '.join(PROTOCOLS)}")
        if self.transport not in TRANSPORTS:
            raise UsageError(f"Port({self.name!r}): transport {self.transport!r} is not known; allowed: {', '.join(TRANSPORTS)}")
        if self.transport == "udp" and self.protocol not in DATAGRAM_PROTOCOLS:
            allowed = ", ".join(DATAGRAM_PROTOCOLS)
            raise UsageError(f"Port({self.name!r}): protocol {self.protocol!r} needs connections; over UDP allowed: {allowed}")
        if self.number is not None and not (isinstance(self.number, int) and 1 <= self.number <= 65535):
            raise UsageError(f"Port({self.name!r}): number {self.number!r} is not a port; allowed: 1 to 65535")
        if isinstance(self.background, str):
            raise UsageError(f"Port({self.name!r}): background={self.background!r} is one text; allowed: a set of class names")
        if self.background is not None:
            object.__setattr__(self, "background", frozenset(self.background))

    @property
    def accepts(self) -> bool:
        """A node that is up accepts connections there."""
        return self.listens and self.transport == "tcp"

    @property
    def independent(self) -> bool:
        """Its frames mean something one by one: faults on frames are possible."""
        return self.transport == "udp" or self.protocol in INDEPENDENT


def port_records(ports: Sequence[Port], where: str) -> tuple[Port, ...]:
    """The ports as a tuple, once each.

    Args:
        where: Where they were given, for sentences.
    """
    if isinstance(ports, str) or not all(isinstance(port, Port) for port in ports):
        raise UsageError(f"{where}: ports={ports!r} is not allowed; a list of Port(…)")
    names = [port.name for port in ports]
    if len(set(names)) != len(names):
        raise UsageError(f"{where}: two ports have one name: {', '.join(names)}")
    return tuple(ports)


def check_dialled(name: str, ports: Sequence[Port], where: str) -> None:
    """Check that a port which is waited for can accept: nothing does on a UDP port.

    Args:
        name: The port to which a readiness condition connects; "": to none.
        ports: The node's ports.
        where: What waits, for sentences.
    """
    if any(port.name == name and port.transport == "udp" for port in ports):
        raise UsageError(
            f"{where}: ready_port({name!r}): that port is UDP and accepts no connections; use ready_log(…) or ready_when(…)"
        )
