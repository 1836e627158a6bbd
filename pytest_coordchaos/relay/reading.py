"""Pieces of JSON that came over the control API, read with care: what is wrong, where, and what is allowed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

__all__ = [
    "Address",
    "BadRequest",
    "read_address",
    "read_classes",
    "read_door",
    "read_number",
    "read_object",
    "read_sources",
    "read_watched",
]

Address = tuple[str, int]
"""(numeric host, port)."""


class BadRequest(ValueError):
    """A request's body is not allowed; the message is one sentence."""


def read_door(raw: object, where: str) -> str:
    """The path of an ambassador's UNIX socket, or ""."""
    if not isinstance(raw, str) or (raw and not raw.startswith("/")):
        raise BadRequest(f"{where}: {raw!r} is not allowed; the absolute path of a UNIX socket, or an empty text")
    return raw


def read_sources(raw: object, where: str) -> tuple[str, ...]:
    """Numeric addresses of diallers."""
    if not isinstance(raw, list) or not all(isinstance(host, str) and host for host in raw):
        raise BadRequest(f"{where}: {raw!r} is not allowed; a list of numeric addresses")
    return tuple(raw)


def read_object(raw: object, where: str) -> Mapping[str, object]:
    """A JSON object."""
    if not isinstance(raw, dict):
        raise BadRequest(f"{where}: an object is allowed, not {type(raw).__name__}")
    return raw


def read_number(raw: object, where: str) -> float:
    """A finite number."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise BadRequest(f"{where}: {raw!r} is not a number")
    return float(raw)


def read_address(raw: object, where: str, *, lowest_port: int) -> Address:
    """A numeric host and a port."""
    if not isinstance(raw, list) or len(raw) != 2:
        raise BadRequest(f"{where}: {raw!r} is not an address; allowed: [host, port]")
    host, port = raw
    if host == "localhost":
        host = "127.0.0.1"
    if not isinstance(host, str) or not host or host.strip("0123456789abcdefABCDEF.:"):
        raise BadRequest(f"{where}: host {host!r} is not allowed; a numeric address is")
    if isinstance(port, bool) or not isinstance(port, int) or not lowest_port <= port <= 65535:
        raise BadRequest(f"{where}: port {port!r} is not allowed; {lowest_port} to 65535 are")
    return host, port


def read_classes(raw: object, where: str) -> dict[int, str]:
    """Class numbers and their names."""
    classes: dict[int, str] = {}
    for key, name in read_object(raw, where).items():
        if not key.isdecimal() or int(key) > 0xFFFF or not isinstance(name, str) or not name:
            raise BadRequest(f"{where}: {key!r}: {name!r} is not allowed; class numbers 0 to 65535 and their names are")
        classes[int(key)] = name
    return classes


class Watched(TypedDict):
    """A node whose network namespace is to be watched: its name, a process in it, its address, and those that are the relay's."""

    node: str
    pid: int
    host: str
    ours: tuple[str, ...]


def read_watched(raw: object) -> Watched:
    """What is to be watched."""
    item = read_object(raw, "the body")
    node, pid, host = item.get("node"), item.get("pid"), item.get("host")
    if not isinstance(node, str) or not isinstance(host, str) or type(pid) is not int or pid < 0:
        raise BadRequest(f"the body must be an object with 'node', 'pid' and 'host', not {dict(item)!r}")
    return Watched(node=node, pid=pid, host=host, ours=read_sources(item.get("ours", []), "ours"))
