"""The reaper: a small process that outlives pytest just long enough to remove its containers and networks.

A program of its own, run by file path with the standard library only (`python -I -S docker_reaper.py ADDRESS OWNER`). Its
standard input is a pipe that pytest holds. It learns of pytest's death by the end of that pipe, or by a pidfd, because
children that tests fork hold the pipe as well. `done` on the pipe means that pytest has tidied up by itself: then one look is
enough. Else what the engine was making at that moment may show up a little later, and is waited for.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import sys
import time
import urllib.parse

LABEL = "coordchaos.owner"
DONE = b"done"
POLL_S, QUIET_S, REFUSED_S, AT_MOST_S, CALL_S = 0.1, 3.0, 5.0, 60.0, 30.0
KINDS = (  # what to remove, in this order: list of, name of the list in the answer, key of one, query of its removal
    ("containers", None, "Id", "?force=1&v=1"),
    ("networks", None, "Id", ""),
    ("volumes", "Volumes", "Name", "?force=1"),
)


class EngineConnection(http.client.HTTPConnection):
    """HTTP to an engine: a UNIX socket, or plain TCP."""

    def __init__(self, address: str) -> None:
        scheme, _, self._place = address.partition("://")
        self._unix = scheme == "unix"
        super().__init__("localhost" if self._unix else self._place.rstrip("/"), timeout=CALL_S)

    def connect(self) -> None:
        """Connect."""
        if not self._unix:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_S)
        self.sock.connect(self._place)


def request(address: str, method: str, path: str) -> bytes:
    """One request; the body of the answer, or nothing where it was refused."""
    connection = EngineConnection(address)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status < 300 else b""
    finally:
        connection.close()


def left_of(address: str, owner: str) -> list[str]:
    """The paths by which everything that carries the owner's label is removed, in the order in which it can be."""
    filters = urllib.parse.quote(json.dumps({"label": [f"{LABEL}={owner}"]}))
    found = []
    for kind, inner, key, query in KINDS:
        path = f"/{kind}/json?all=1&filters={filters}" if kind == "containers" else f"/{kind}?filters={filters}"
        listed = json.loads(request(address, "GET", path) or b"null")
        items = (listed or {}).get(inner) if inner else listed
        found += [f"/{kind}/{urllib.parse.quote(item[key], safe='')}{query}" for item in items or []]
    return found


def reap(address: str, owner: str, quiet_s: float) -> None:
    """Remove what carries the owner's label until nothing of it was seen for a while, or it takes too long.

    What the engine has refused to remove for some seconds, while nothing else showed up, it will not remove.
    """
    started = quiet_since = same_since = time.monotonic()
    before: list[str] = []
    while time.monotonic() - started < AT_MOST_S:
        try:
            paths = left_of(address, owner)
            for path in paths:
                request(address, "DELETE", path)
        except (OSError, ValueError, http.client.HTTPException):
            paths = []  # no engine, nothing to remove; should it come back, the next run sweeps
        same_since, before = same_since if paths == before else time.monotonic(), paths
        if paths and time.monotonic() - same_since >= REFUSED_S:
            return
        if paths:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= quiet_s:
            return
        time.sleep(POLL_S)


def wait_for_the_end(pipe: int) -> bool:
    """Wait until pytest has ended, or says that it is done; True when it did."""
    poll, parent = select.poll(), os.getppid()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    try:
        pidfd = os.pidfd_open(parent)
        poll.register(pidfd, select.POLLIN)
    except (OSError, AttributeError):
        pidfd = -1  # before Linux 5.3: the parent's pid is polled
    while os.getppid() == parent:
        if poll.poll(None if pidfd >= 0 else POLL_S * 1000):
            break
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, len(DONE)) == DONE
    except BlockingIOError:
        return False


def main(address: str, owner: str) -> None:
    """Wait, then reap."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    reap(address, owner, 0.0 if wait_for_the_end(0) else QUIET_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
