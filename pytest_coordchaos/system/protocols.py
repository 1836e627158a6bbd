"""The protocols a port can declare. A module of its own, because the relay starts with little else loaded."""

from __future__ import annotations

__all__ = ["PROTOCOLS"]

PROTOCOLS = ("bytes", "frames", "json-lines", "http1", "http2", "postgres", "resp")
"""Protocols the relay can frame; `bytes` is an undeclared one: bytes and turns only."""
