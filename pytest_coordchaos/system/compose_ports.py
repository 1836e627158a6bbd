"""Ports of a compose service: which become links, and where the host expects them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import check_keys
from pytest_coordchaos.system.compose_values import entries, scalar, whole
from pytest_coordchaos.system.model import Port
from pytest_coordchaos.system.protocols import TRANSPORTS

__all__ = ["Numbered", "Published", "exposed", "linked_ports", "published", "with_exposed"]

_SHORT = re.compile(
    r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):)??(?:(?P<published>\d*(?:-\d+)?):)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?"
)
_ANYWHERE = ("", "0.0.0.0", "::", "[::]", "127.0.0.1", "localhost")
LOOPBACK = "127.0.0.1"

Numbered = tuple[int, str]
"""A port's number and its transport: the same number of another transport is another port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A port of the container that the host is to find.

    Args:
        target: What it is in the container.
        host: (address, number) on the host; None: no number was asked for.
    """

    target: Numbered
    host: tuple[str, int] | None


def published(service: Mapping[str, Any], where: str) -> list[Published]:
    """What `ports` say. Host addresses are loopback whatever they say: only there is listened."""
    found: list[Published] = []
    for item in entries(service.get("ports"), f"{where}: ports"):
        found += _long(item, where) if isinstance(item, dict) else _short(scalar(item, f"{where}: ports"), where)
    return found


def exposed(service: Mapping[str, Any], where: str) -> list[Numbered]:
    """What `expose` gives."""
    found: list[Numbered] = []
    for item in entries(service.get("expose"), f"{where}: expose"):
        text, _, protocol = scalar(item, f"{where}: expose").partition("/")
        transport = _transport(protocol or "tcp", f"{where}: expose {item!r}")
        found += [(number, transport) for number in _numbers(text, f"{where}: expose")]
    return found


def linked_ports(declared: Sequence[Port], numbers: Sequence[Numbered], where: str) -> tuple[Port, ...]:
    """The declared ports, then one of undeclared protocol for each number that none of them has.

    Raises:
        UsageError: A declared port has no number, or two have one.
    """
    for port in declared:
        if port.number is None:
            raise UsageError(f"{where}: Port({port.name!r}) needs number=…, the one the service listens on")
    known = [(port.number, port.transport) for port in declared]
    if len(set(known)) < len(known):
        raise UsageError(f"{where}: two declared ports have one number: {', '.join(str(number) for number, _ in known)}")
    return with_exposed(tuple(declared), numbers)


def with_exposed(ports: tuple[Port, ...], numbers: Sequence[Numbered]) -> tuple[Port, ...]:
    """Ports with those numbers added that they lack, named by their number ("53-udp"); nobody waits for them to accept."""
    known = {(port.number, port.transport) for port in ports}
    more = [number for number in dict.fromkeys(numbers) if number not in known]
    return (*ports, *(Port(_name(one), number=one[0], transport=one[1], listens=False) for one in more))


def _name(one: Numbered) -> str:
    number, transport = one
    return str(number) if transport == "tcp" else f"{number}-{transport}"


def _long(item: Mapping[str, Any], where: str) -> list[Published]:
    where = f"{where}: ports {dict(item)!r}"
    check_keys(item, "ports", where)
    if item.get("target") is None:
        raise UsageError(f"{where}: target is missing")
    host = "" if item.get("host_ip") is None else scalar(item["host_ip"], where)
    number = "" if item.get("published") is None else scalar(item["published"], where)
    return _pairs(host, number, str(whole(item["target"], where)), str(item.get("protocol", "tcp")), where)


def _short(item: str, where: str) -> list[Published]:
    where = f"{where}: ports {item!r}"
    match = _SHORT.fullmatch(item)
    if match is None:
        raise UsageError(f"{where}: it is no port; allowed: [[HOST:]PUBLISHED:]TARGET[/tcp|/udp]")
    return _pairs(match["host"] or "", match["published"] or "", match["target"], match["protocol"] or "tcp", where)


def _pairs(host: str, number: str, target: str, protocol: str, where: str) -> list[Published]:
    transport = _transport(protocol, where)
    if host not in _ANYWHERE and not host.startswith("127."):
        raise UsageError(f"{where}: host address {host!r} is not supported; ports are published on loopback only")
    address = host if host.startswith("127.") else LOOPBACK
    targets = [(one, transport) for one in _numbers(target, where)]
    if number in ("", "0"):
        return [Published(target=one, host=None) for one in targets]
    numbers = _numbers(number, where)
    if len(numbers) != len(targets):
        raise UsageError(f"{where}: a range of host ports needs a range of targets of the same length")
    return [Published(target=one, host=(address, other)) for one, other in zip(targets, numbers, strict=True)]


def _numbers(text: str, where: str) -> list[int]:
    first, _, last = text.partition("-")
    low, high = whole(first, where), whole(last or first, where)
    if not 1 <= low <= high <= 65535:
        raise UsageError(f"{where}: {text!r} is no port; allowed: 1 to 65535, or a range of them")
    return list(range(low, high + 1))


def _transport(protocol: str, where: str) -> str:
    if protocol.lower() not in TRANSPORTS:
        raise UsageError(f"{where}: {protocol!r} is not supported; links carry {' and '.join(TRANSPORTS)}")
    return protocol.lower()
