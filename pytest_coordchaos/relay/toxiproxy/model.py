"""Proxies and toxics as Toxiproxy's API tells of them, and names that are safe in its URLs. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_coordchaos.relay.wire import Address

__all__ = ["Proxy", "Toxic", "host_port", "safe_name"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """One toxic of a proxy.

    Args:
        type: Its kind, such as "latency".
        stream: "upstream" (dialler to node) or "downstream".
        name: Unique within the proxy; "": Toxiproxy's own, `<type>_<stream>`.
        attributes: By name, whole numbers (milliseconds, bytes, KB/s).
        toxicity: Share of connections it takes hold of, from 0 to 1.
    """

    type: str
    stream: str = "downstream"
    name: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict)
    toxicity: float = 1.0

    @property
    def full_name(self) -> str:
        """The name in force."""
        return self.name or f"{self.type}_{self.stream}"

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "name": self.full_name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, object]) -> Toxic:
        """From a JSON object of the server's."""
        attributes = raw.get("attributes") or {}
        return cls(
            type=str(raw["type"]),
            stream=str(raw["stream"]),
            name=str(raw["name"]),
            attributes={str(k): int(v) for k, v in attributes.items()},  # type: ignore[attr-defined]  # an object, as sent
            toxicity=float(str(raw["toxicity"])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One proxy.

    Args:
        name: Unique on its server.
        listen: host:port it listens on; port 0: the server chooses.
        upstream: host:port it leads to.
        enabled: It listens.
        toxics: In order, upstream ones first.
    """

    name: str
    upstream: str
    listen: str = "127.0.0.1:0"
    enabled: bool = True
    toxics: tuple[Toxic, ...] = ()

    @property
    def address(self) -> Address:
        """Where it listens, taken apart."""
        return host_port(self.listen)

    def to_json(self) -> dict[str, object]:
        """As a JSON object; toxics travel by calls of their own."""
        return {"name": self.name, "listen": self.listen, "upstream": self.upstream, "enabled": self.enabled}

    @classmethod
    def from_json(cls, raw: Mapping[str, object]) -> Proxy:
        """From a JSON object of the server's; keys that we do not know are left out."""
        toxics = raw.get("toxics") or ()
        return cls(
            name=str(raw["name"]),
            upstream=str(raw["upstream"]),
            listen=str(raw["listen"]),
            enabled=raw["enabled"] is True,
            toxics=tuple(Toxic.from_json(toxic) for toxic in toxics),  # type: ignore[attr-defined]  # a list, as sent
        )


def host_port(text: str) -> Address:
    """`127.0.0.1:80` or `[::1]:80` taken apart.

    Raises:
        ValueError: It is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def safe_name(*parts: str) -> str:
    """A name of these parts that needs no quoting in a URL; two different lists of parts give two different names."""
    plain = ".".join(_UNSAFE.sub("-", part) for part in parts)
    if plain == ".".join(parts) and not any("." in part for part in parts):
        return plain
    return f"{plain}-{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=4).hexdigest()}"
