"""Addresses as Toxiproxy writes them, `host:port`, and sockets that listen on them."""

from __future__ import annotations

import asyncio
import os
import socket

__all__ = ["AddressError", "listen_on", "resolve", "split"]

_BACKLOG = 1024


class AddressError(ValueError):
    """An address is none, or nobody can listen there; the message is Toxiproxy's, without "listen tcp: "."""


def split(address: str) -> tuple[str, str]:
    """Host and port of an address; both may be empty.

    Raises:
        AddressError: It has no port, or too many colons.
    """
    host, colon, port = address.rpartition(":")
    if not colon or (address.startswith("[") and address.endswith("]")):
        raise AddressError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host:
        raise AddressError(f"address {address}: too many colons in address")
    return host, port


async def resolve(address: str) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """The addresses a name stands for, IPv4 first. An empty host is every address of this machine.

    Raises:
        AddressError: It is no address, or nobody knows the name.
    """
    if not address:
        return [(socket.AF_INET6, ("::", 0))]
    host, port = split(address)
    number = _port(port)
    if host in ("", "0.0.0.0", "::"):
        return [(socket.AF_INET6, ("::", number))]
    numeric = _numeric(host)
    if numeric is not None:
        return [(numeric, (host, number))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, number, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise AddressError(f"lookup {host}: no such host") from None
    known = [(family, (str(there[0]), int(there[1]))) for family, _, _, _, there in found]
    return sorted(known, key=lambda one: one[0] is not socket.AF_INET)


async def listen_on(address: str) -> socket.socket:
    """A socket that listens. Its errors are Toxiproxy's.

    Raises:
        AddressError: Why nobody can listen there.
    """
    try:
        family, there = (await resolve(address))[0]
    except AddressError as error:
        raise AddressError(f"listen tcp: {error}") from None
    try:
        return _listener(family, there)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise AddressError(f"listen tcp {shown(there)}: bind: {reason}") from None


def shown(address: tuple[str, int]) -> str:
    """An address as it is written."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listener(family: socket.AddressFamily, there: tuple[str, int]) -> socket.socket:
    everywhere = there[0] == "::"
    if everywhere and not socket.has_dualstack_ipv6():
        family, there = socket.AF_INET, ("0.0.0.0", there[1])
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not everywhere)
        sock.bind(there)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _numeric(host: str) -> socket.AddressFamily | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return None


def _port(port: str) -> int:
    if not port:
        return 0
    if port.isascii() and port.isdecimal():
        if int(port) > 65535:
            raise AddressError(f"address {port}: invalid port")
        return int(port)
    try:
        return socket.getservbyname(port, "tcp")
    except (OSError, UnicodeError):
        raise AddressError(f"lookup tcp/{port}: unknown port") from None
