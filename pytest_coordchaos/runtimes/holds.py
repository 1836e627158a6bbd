"""Ports and loopback addresses that stay ours from first reservation to the end of the cluster.

Two layers, both of which vanish with the process that holds them (no file is left anywhere):

1. A *lock* per port or address: an abstract UNIX socket name. It lives in the same network
   namespace as the loopback device and keeps concurrent sessions of this tool apart at every
   instant, also those of other users.
2. A *holder* per port: a bound socket that never listens, and one for datagrams. Connections to it are
   refused, and strangers cannot bind it.

How a holder and its node get on, found by experiment on Linux 6.18 (server column: the options the
node's program sets before it binds; TIME_WAIT: former connections of the node are still dying):

| holder's options              | server: SO_REUSEADDR | SO_REUSEPORT | none | connect while nobody listens |
| ----------------------------- | -------------------- | ------------ | ---- | ---------------------------- |
| SO_REUSEADDR                  | binds                | in use       | in use | refused |
| SO_REUSEADDR + SO_REUSEPORT   | binds                | binds        | in use | refused |
| none                          | in use               | in use       | in use | refused |
| SO_REUSEADDR, then set to 0   | in use               | in use       | in use | refused; also binds beside TIME_WAIT |
| closed (lent)                 | binds                | binds        | binds, but not beside TIME_WAIT | refused |

No holder can stand beside a server without options (C programs, Python's `socketserver`), and a
holder that lets everybody with SO_REUSEADDR in also lets in whoever draws the same number. So a
port is held *strictly* (last but one line) while its node is down, and *lent*: let go just before
the node's exec, taken again when the node is gone. In between, the lock still keeps other sessions
away. A node started without saying on what it listens finds all holders of its cluster opened
(SO_REUSEADDR + SO_REUSEPORT) instead. A program without SO_REUSEADDR cannot be started again while
its old connections are in TIME_WAIT (60 s), here as on any other machine.
"""

from __future__ import annotations

import errno
import os
import socket

__all__ = ["Holds", "port_range"]

Address = tuple[str, int]

_RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range"
_LOWEST, _FEWEST = 10_000, 1_000  # below 10000 sit the usual numbers of databases and web servers
_FIRST_HOST, _LAST_HOST = 0x7F010001, 0x7FFEFFFE  # 127.1.0.1 … 127.254.255.254: never 127.0.0.0/16


class Holds:
    """What one scope (one cluster) has reserved."""

    def __init__(self) -> None:
        self._locks: list[socket.socket] = []
        self._holders: dict[Address, _Holder | None] = {}

    def reserve(self, count: int, host: str) -> list[Address]:
        """Take free ports of a host, outside the kernel's ephemeral range, from a random start upwards.

        Raises:
            OSError: There are not that many.
        """
        ports = port_range()
        start = _random_below(len(ports))
        taken: list[Address] = []
        for step in range(len(ports)):
            if len(taken) == count:
                break
            address = (host, ports[(start + step) % len(ports)])
            if self._take(address):
                taken.append(address)
        if len(taken) < count:
            raise OSError(errno.EADDRINUSE, f"only {len(taken)} of {count} ports are free on {host}")
        return taken

    def claim(self, count: int) -> list[str]:
        """Take loopback addresses that no other session uses, from a random start upwards."""
        size = _LAST_HOST - _FIRST_HOST + 1
        start = _random_below(size)
        claimed: list[str] = []
        for step in range(size):
            number = _FIRST_HOST + (start + step) % size
            host = socket.inet_ntoa(number.to_bytes(4, "big"))
            if len(claimed) == count:
                break
            if number & 0xFF not in (0, 255) and self._lock(f"host-{host}"):
                claimed.append(host)
        return claimed

    def lend(self, addresses: list[Address]) -> None:
        """Let go of ports whose node is about to start. Addresses that were never reserved are left alone."""
        for address in addresses:
            holder = self._holders.get(address)
            if holder is not None:
                holder.close()
                self._holders[address] = None

    def open_all(self) -> None:
        """Let programs with SO_REUSEADDR or SO_REUSEPORT in beside every holder."""
        for holder in filter(None, self._holders.values()):
            holder.open()

    def retake(self, addresses: list[Address]) -> None:
        """Hold ports again whose node is gone. One that cannot be bound yet stays locked, and is tried next time."""
        for address in addresses:
            if address in self._holders and self._holders[address] is None:
                self._holders[address] = _holder(address, reuse=True)

    def close(self) -> None:
        """Give everything back."""
        for holder in filter(None, self._holders.values()):
            holder.close()
        for lock in self._locks:
            lock.close()
        self._holders.clear()
        self._locks.clear()

    def _take(self, address: Address) -> bool:
        if address in self._holders:
            return False
        holder = _holder(address, reuse=False)
        if holder is None:
            return False
        if not self._lock(f"port-{address[0]}-{address[1]}"):
            holder.close()
            return False
        self._holders[address] = holder
        return True

    def _lock(self, name: str) -> bool:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0coordchaos-{name}")
        except OSError:
            lock.close()
            return False
        self._locks.append(lock)
        return True


def port_range() -> range:
    """Ports no kernel hands out by itself: below the ephemeral range, or above it where it starts too low."""
    try:
        with open(_RANGE_FILE, encoding="ascii") as file:
            low, high = map(int, file.read().split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    ranges = [range(_LOWEST, low), range(high + 1, 65536), range(1024, low)]
    return next((ports for ports in ranges if len(ports) >= _FEWEST), range(1024, 65536))


class _Holder:
    """The sockets that hold one port: one for connections, which never listens, and one for datagrams.

    Args:
        address: The port.
        reuse: Bind beside former connections that are still dying.

    Raises:
        OSError: It is taken.
    """

    def __init__(self, address: Address, *, reuse: bool) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._streams, self._datagrams = (socket.socket(family, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
        try:
            self._streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
            self._streams.bind(address)
            self._datagrams.bind(address)
        except OSError:
            self.close()
            raise
        _share(self._streams, 0)

    def open(self) -> None:
        """Let programs that share addresses in. Datagrams cannot be shared: whoever bound last would get them all."""
        _share(self._streams, 1)
        self._datagrams.close()

    def close(self) -> None:
        """Let go."""
        self._streams.close()
        self._datagrams.close()


def _holder(address: Address, *, reuse: bool) -> _Holder | None:
    """A holder that nobody can bind beside; None when the port is taken."""
    try:
        return _Holder(address, reuse=reuse)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise


def _share(sock: socket.socket, on: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, on)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, on)


def _random_below(limit: int) -> int:
    return int.from_bytes(os.urandom(4), "big") % limit
