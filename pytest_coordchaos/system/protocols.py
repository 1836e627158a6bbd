"""The protocols a port can declare. A module of its own, because the relay starts with little else loaded."""

from __future__ import annotations

__all__ = ["DATAGRAM_PROTOCOLS", "GREETING", "INDEPENDENT", "PROTOCOLS", "TRANSPORTS"]

PROTOCOLS = ("bytes", "frames", "json-lines", "http1", "http2", "postgres", "resp")
"""Protocols the relay can frame; `bytes` is an undeclared one: bytes and turns only."""

INDEPENDENT = frozenset({"frames", "json-lines"})
"""Protocols whose messages mean something one by one: faults on frames are for these, and for datagrams. Without one
frame of HTTP/2 or PostgreSQL the rest of the connection is a history that TCP forbids."""

GREETING = frozenset({"http2", "postgres"})
"""Protocols in which the node says things that answer nothing (settings, a handshake)."""

TRANSPORTS = ("tcp", "udp")
"""What carries a port's bytes: connections, or datagrams of one message each."""

DATAGRAM_PROTOCOLS = ("bytes", "frames", "json-lines")
"""Protocols that datagrams can hold."""
