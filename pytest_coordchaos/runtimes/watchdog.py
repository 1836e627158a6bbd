"""The watchdog: starts every local process of a pytest session, and ends them all when pytest dies.

A program of its own, run by file path with the standard library only (`python -I -S watchdog.py FD`),
one thread, its own session. FD is one end of a socket pair whose other end pytest's `Guard` holds
(messages: see `orders.py`). It learns of pytest's death in two ways, because each alone fails: the
end of file never comes while children forked by tests still hold the socket, and a pidfd needs
Linux 5.3 (before that, the parent's pid is polled). Signals meant for pytest's terminal do not
concern it. What it starts sits under one keeper each (see `keeper.py`); ports are held as `holds.py`
says. It is the subreaper of them all, so that even a keeper's sudden death leaves nothing.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # -I leaves out our own package; it goes last, so that it shadows nothing
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import select
import signal
import socket
import struct

from pytest_coordchaos.runtimes import procfs
from pytest_coordchaos.runtimes.holds import Holds
from pytest_coordchaos.runtimes.hosts import refusal
from pytest_coordchaos.runtimes.keeper import become_subreaper
from pytest_coordchaos.runtimes.trees import Tree, end_everything, end_strangers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]  # decoded JSON of our own other half

_POLL_S, _PARENT_POLL_S = 0.001, 0.1


class _Refused(Exception):
    """A request that cannot be met; the text goes to the guard."""


class Watchdog:
    """The loop. Everything it waits for is a descriptor, but for stopping processes, which is polled."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.setblocking(False)
        self._in, self._out = b"", b""
        self._trees: dict[tuple[str, str], Tree] = {}
        self._by_reports: dict[int, tuple[Tree, int]] = {}
        self._holds: dict[str, Holds] = {}
        self._ended: set[str] = set()
        self._pauses: list[tuple[int, tuple[str, str]]] = []
        self._poll = select.poll()
        self._pytest, self._pidfd = _parent(channel)

    def run(self) -> None:
        """Serve until pytest is gone or says close; returns when nothing is left."""
        self._poll.register(self._channel, select.POLLIN)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)
        self._send({"event": "ready", "pid": os.getpid()})
        try:
            while self._parent_lives() and self._turn():
                pass
        finally:
            self._end_everything()

    # -- the loop ------------------------------------------------------------------------------------

    def _parent_lives(self) -> bool:
        return os.getppid() == self._pytest

    def _turn(self) -> bool:
        """Wait for news and handle it; False when pytest is gone or wants us to end."""
        timeout_s = _POLL_S if self._pauses else None if self._pidfd is not None else _PARENT_POLL_S
        for fd, _ in self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            if fd == self._pidfd:
                return False
            if fd == self._channel.fileno():
                if not self._talk():
                    return False
            else:
                self._hear(*self._by_reports[fd])
        self._pauses = [pause for pause in self._pauses if not self._paused(*pause)]
        return True

    def _talk(self) -> bool:
        self._flush()
        try:
            data = self._channel.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._in = (self._in + data).split(b"\n")
        return bool(data) and all(self._handle(json.loads(line)) for line in lines)

    def _handle(self, message: Message) -> bool:
        if message["do"] == "close":
            self._end_everything()
            self._send({"id": message["id"], "ok": None})
            return False
        try:
            getattr(self, f"_do_{message['do']}")(**{key: value for key, value in message.items() if key != "do"})
        except (_Refused, OSError) as error:
            self._send({"id": message["id"], "error": str(error)})
        return True

    def _send(self, line: Message) -> None:
        self._out += json.dumps(line).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        """Never block: a pytest that is stopped itself does not read."""
        try:
            while self._out:
                self._out = self._out[self._channel.send(self._out, socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self._out = b""  # pytest is gone; the loop finds out
        self._poll.modify(self._channel, select.POLLIN | (select.POLLOUT if self._out else 0))

    def _ok(self, id: int, result: object = None) -> None:
        self._send({"id": id, "ok": result})

    # -- requests ------------------------------------------------------------------------------------

    def _do_spawn(self, id: int, **order: Any) -> None:
        scope, key = order["scope"], (order["scope"], order["name"])
        holds = self._scope(scope)
        if key in self._trees:
            raise _Refused(f"{order['name']} is running already")
        if order["lend"] is None:
            holds.open_all()
        else:
            order["lend"] = [(host, port) for host, port in order["lend"]]
            holds.lend(order["lend"])
        tree = Tree(order)  # type: ignore[arg-type]  # the guard sent an Order
        self._trees[key] = tree
        self._by_reports[tree.reports] = tree, id
        self._poll.register(tree.reports, select.POLLIN)

    def _do_kill(self, id: int, scope: str, name: str) -> None:
        tree = self._trees.get((scope, name))
        if tree is None:
            self._ok(id)
            return
        tree.when_gone.append(lambda: self._ok(id))
        tree.kill()

    def _do_pause(self, id: int, scope: str, name: str) -> None:
        self._tree(scope, name)
        self._pauses.append((id, (scope, name)))

    def _do_signal(self, id: int, scope: str, name: str, number: int) -> None:
        self._tree(scope, name).signal(number)
        self._ok(id)

    def _do_cpu(self, id: int, scope: str, name: str) -> None:
        tree = self._trees.get((scope, name))
        self._ok(id, tree.cpu_seconds() if tree else 0.0)

    def _do_reserve(self, id: int, scope: str, count: int, host: str) -> None:
        self._ok(id, self._scope(scope).reserve(count, host))

    def _do_claim(self, id: int, scope: str, count: int) -> None:
        self._ok(id, self._scope(scope).claim(count))

    def _do_end(self, id: int, scope: str) -> None:
        self._ended.add(scope)
        trees = [tree for (owner, _), tree in self._trees.items() if owner == scope]
        for tree in trees:
            tree.when_gone.append(lambda: self._end_scope(id, scope))
            tree.kill()
        if not trees:
            self._end_scope(id, scope)

    def _do_hosts(self, id: int) -> None:
        self._ok(id, refusal())

    def _do_stat(self, id: int) -> None:
        pids = {f"{scope}/{name}": tree.pid for (scope, name), tree in self._trees.items()}
        self._ok(id, {"processes": len(procfs.descendants(os.getpid())), "pids": pids})

    def _scope(self, scope: str) -> Holds:
        if scope in self._ended:
            raise _Refused("the cluster has been stopped")
        return self._holds.setdefault(scope, Holds())

    # -- process trees -------------------------------------------------------------------------------

    def _tree(self, scope: str, name: str) -> Tree:
        tree = self._trees.get((scope, name))
        if tree is None or not tree.alive:
            raise _Refused(f"{name} is dead")
        return tree

    def _paused(self, id: int, key: tuple[str, str]) -> bool:
        """Stop what is not stopped yet; True when the request has been answered."""
        try:
            if not self._tree(*key).stop():
                return False
            self._ok(id)
        except _Refused as error:
            self._send({"id": id, "error": str(error)})
        return True

    def _hear(self, tree: Tree, spawn_id: int) -> None:
        started_before = tree.pid is not None
        more = tree.hear()
        if tree.pid is not None and not started_before:
            self._ok(spawn_id, tree.pid)
        if not more:
            self._gone(tree, spawn_id)

    def _gone(self, tree: Tree, spawn_id: int) -> None:
        scope, name = tree.order["scope"], tree.order["name"]
        self._poll.unregister(tree.reports)
        del self._by_reports[tree.reports], self._trees[scope, name]
        if not tree.close():
            end_strangers(self._keepers())
        self._holds[scope].retake(tree.order["lend"] or [])
        if tree.pid is None:
            self._send({"id": spawn_id, "error": tree.error or "it was ended before it could start"})
        else:
            event = {"event": "exited", "scope": scope, "name": name, "pid": tree.pid}
            self._send({**event, "status": tree.status, "cpu_s": tree.cpu_s})
        for call in tree.when_gone:
            call()

    def _keepers(self) -> set[int]:
        return {tree.keeper for tree in self._trees.values()}

    def _end_scope(self, id: int, scope: str) -> None:
        """Give back what a scope held, once its last tree is gone."""
        if not any(owner == scope for owner, _ in self._trees):
            self._holds.pop(scope, Holds()).close()
            self._ok(id)

    def _end_everything(self) -> None:
        """Kill every descendant until none is left, then give back all ports."""
        end_everything(self._keepers())
        for holds in self._holds.values():
            holds.close()
        self._trees.clear()
        self._holds.clear()


def _parent(channel: socket.socket) -> tuple[int, int | None]:
    """Pid and pidfd of the process that made the channel; the pidfd is None where there is no such thing."""
    pid = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try:
        return pid, os.pidfd_open(pid)
    except (OSError, AttributeError):
        return pid, None


def main(fd: int) -> None:
    """Serve the channel `fd` until pytest is gone and nothing is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM])  # keepers are born with both blocked
    become_subreaper()
    Watchdog(socket.socket(fileno=fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
