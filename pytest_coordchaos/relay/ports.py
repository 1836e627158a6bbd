"""Ports that stay ours: below the kernel's ephemeral range, held while nobody listens on them."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

__all__ = ["HeldPort", "PortChooser"]

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE = (32768, 60999)
_LOWEST = 10_000
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


class HeldPort:
    """An address bound by a socket that never listens: connections to it are refused.

    The holder is bound without any sharing option, so nobody else can bind the port; only for the
    moment in which our own listener is bound beside it does it allow that.

    Args:
        host: A numeric address.
        port: The port; 0 is not chosen from below the ephemeral range (see `PortChooser`).
        sock: What to bind: a fresh socket of another network namespace (the caller closes it when this fails); None: one of
            this process's own.

    Raises:
        OSError: It is taken.
    """

    def __init__(self, host: str, port: int, sock: socket.socket | None = None) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._holder = sock or socket.socket(self._family, socket.SOCK_STREAM)
        try:
            self._holder.bind((host, port))
        except OSError:
            if sock is None:
                self._holder.close()
            raise
        self.address: tuple[str, int] = self._holder.getsockname()[:2]

    def listener(self, sock: socket.socket | None = None) -> socket.socket:
        """A socket on the address that can be made to listen (once at a time).

        Args:
            sock: A fresh socket of the holder's network namespace; None: one of this process's own.

        Raises:
            OSError: Somebody took the port by force.
        """
        sock = sock or socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self.address)
            sock.listen(1)  # from here on nobody else can bind it, whatever its options
        except OSError:
            sock.close()
            raise
        finally:
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return sock

    def close(self) -> None:
        """Give the port back."""
        self._holder.close()


class PortChooser:
    """Chooses free ports below the ephemeral range, from a start drawn at random upwards.

    Args:
        seed: Seed of the start.
    """

    def __init__(self, seed: str) -> None:
        low, high = _ephemeral_range()
        self._ports = range(_LOWEST, low) if low > _LOWEST + 1000 else range(high + 1, 65536)
        self._next = random.Random(seed).randrange(max(1, len(self._ports)))

    def hold(self, host: str, sock: socket.socket | None = None) -> HeldPort:
        """Take a free port of that host.

        Args:
            sock: As for `HeldPort`.

        Raises:
            OSError: None is free.
        """
        for _ in self._ports:
            port = self._ports[self._next]
            self._next = (self._next + 1) % len(self._ports)
            try:
                return HeldPort(host, port, sock)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
        return HeldPort(host, 0, sock)  # nothing outside the ephemeral range: better held there than not at all


def _ephemeral_range() -> tuple[int, int]:
    try:
        low, high = _RANGE.read_text().split()
    except (OSError, ValueError):
        return _DEFAULT_RANGE
    return int(low), int(high)
