"""The kernel's table of TCP sockets, and who owns them. Linux: /proc."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ANY", "Owner", "TcpSocket", "listener_pid", "owned_by", "owners_of", "parse_table", "read_tables"]

_line = re.compile(
    rb"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +\d+ +\d+ (\d+)", re.MULTILINE
)
ANY = ("0.0.0.0", "::")
"""Hosts that mean every address of the machine."""

_LISTEN = 0x0A
_MAPPED = b"0000000000000000FFFF0000"  # an IPv4 address inside an IPv6 one


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One line of the table; addresses are (host, port), an IPv4-mapped host is IPv4."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    inode: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that has a socket open."""

    pid: int
    group: int
    program: str


def read_tables(pid: int | None = None) -> bytes:
    """The IPv4 and IPv6 tables of this process's network namespace, or of that of another process.

    OSError where this platform has none, the process is gone, or may not be looked at.
    """
    place = Path("/proc/net" if pid is None else f"/proc/{pid}/net")
    tables = (place / "tcp").read_bytes()
    try:
        return tables + (place / "tcp6").read_bytes()
    except OSError:  # IPv6 is switched off
        return tables


def parse_table(text: bytes, ports: Iterable[int] | None) -> list[TcpSocket]:
    """The sockets that have one of these ports at one of their ends; None: all."""
    wanted = None if ports is None else {b"%04X" % port for port in ports}
    return [
        TcpSocket((_host(local), int(local_port, 16)), (_host(remote), int(remote_port, 16)), int(state, 16), int(inode))
        for local, local_port, remote, remote_port, state, inode in _line.findall(text)
        if wanted is None or local_port in wanted or remote_port in wanted
    ]


def listener_pid(address: tuple[str, int]) -> int:
    """The process that listens there on this machine; 0 where that cannot be known."""
    try:
        table = parse_table(read_tables(), [address[1]])
    except OSError:
        return 0
    places = [address, *((host, address[1]) for host in ANY)]
    inodes = {sock.inode for sock in table if sock.state == _LISTEN and sock.local in places}
    return min((owner.pid for owner in owners_of(inodes).values()), default=0)


def owned_by(pid: int, inodes: set[int]) -> set[int]:
    """Those of the sockets that this process has open."""
    return set(_open_sockets(str(pid), {f"socket:[{inode}]": inode for inode in inodes})) if inodes else set()


def owners_of(inodes: set[int]) -> dict[int, Owner]:
    """The owners of sockets by inode, as far as this user may know them."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, Owner] = {}
    for entry in os.listdir("/proc"):
        if len(found) == len(wanted):
            break
        if entry.isdecimal():
            for inode in _open_sockets(entry, wanted):
                owner = _owner(int(entry))
                if owner is not None:
                    found.setdefault(inode, owner)
    return found


def _open_sockets(pid: str, wanted: dict[str, int]) -> list[int]:
    found = []
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # gone, or not ours
        return []
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if target in wanted:
            found.append(wanted[target])
    return found


def _owner(pid: int) -> Owner | None:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").partition(" (")[2].rpartition(") ")
        return Owner(pid, int(rest.split()[2]), name)
    except (OSError, ValueError, IndexError):
        return None


def _host(text: bytes) -> str:
    if text.startswith(_MAPPED):
        text = text[len(_MAPPED) :]
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)
