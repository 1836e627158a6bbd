"""A proxy as it is asked for and shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ProxySpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySpec:
    """A proxy as it is asked for.

    Args:
        name: Its name.
        listen: `host:port`; "": anywhere.
        upstream: `host:port`.
        enabled: It is to listen.
        protocol: How to count its messages.
    """

    name: str
    listen: str
    upstream: str
    enabled: bool
    protocol: str = "bytes"
