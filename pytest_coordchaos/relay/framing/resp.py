"""RESP2 and RESP3, the protocol of Redis and its kin: one message per command and per reply.

Client to node: arrays of bulks, or inline commands; class: the command's name in capitals. Back:
any value is a "reply", a RESP3 push or a published message a "push". To a replica, after its PSYNC
or SYNC, the node sends a "snapshot", then commands like a client's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_coordchaos.relay.framing.base import Frame, Unframed
from pytest_coordchaos.relay.framing.resp_values import ValuesFramer, number

__all__ = ["CommandFramer", "ReplyFramer", "Session"]

_ARRAY, _BULK, _PUSH, _LF = b"*$>\n"
_NAME_BYTES = 33  # one more than a name can have
_MAX_NAMES = 1000  # spellings remembered
_MARK_BYTES = 40

_command_head = re.compile(rb"\*([1-9][0-9]{0,5})\r\n\$([0-9]{1,7})\r\n").match
_next_bulk = re.compile(rb"\n\$([0-9]{1,7})\r\n").match
_is_name = re.compile(rb"[A-Za-z][A-Za-z0-9._-]{0,31}").fullmatch
_inline = re.compile(rb"[ \t]*([A-Za-z][A-Za-z0-9._-]{0,31})(?:[ \t][^\0]*)?\r?\n").fullmatch
_endless = re.compile(rb"\$EOF:([!-~]{%d})\r\n" % _MARK_BYTES).fullmatch
_PUBLISHED = frozenset({b"message", b"pmessage", b"smessage"})
_SUBSCRIBING = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"})
_FEEDING = frozenset({"PSYNC", "SYNC"})


@dataclass(slots=True)
class Session:
    """What the node's direction must know of the client's.

    Attributes:
        subscribed: The client subscribed once: published messages may come as arrays.
        replica: The client asked to be fed as a replica.
    """

    subscribed: bool = False
    replica: bool = False


class CommandFramer(ValuesFramer):
    """The client's direction."""

    __slots__ = ("_names", "_session")

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._names: dict[bytes, str] = {}

    def _whole(self, data: bytes, pos: int, out: list[Frame]) -> int:
        end = len(data)
        while head := _command_head(data, pos):
            bulk = head.end()
            stop = bulk + int(head[2]) + 2
            name = data[bulk : min(stop - 2, bulk + _NAME_BYTES)]
            for _ in range(int(head[1]) - 1):
                after = _next_bulk(data, stop - 1)
                if after is None:
                    return pos
                stop = after.end() + int(after[1]) + 2
            if stop > end or data[stop - 1] != _LF:
                return pos
            out.append((self._class_of(name), self._size + stop - pos, ()))
            self._size, pos = 0, stop
        return pos

    def _begin(self, line: bytes) -> bool:
        if line[0] == _ARRAY:
            if line not in (b"*0\r\n", b"*-1\r\n"):  # nobody answers those
                self._name_room = _NAME_BYTES
                self._open(number(line))
            return False
        if line in (b"\r\n", b"\n"):
            return False
        words = _inline(line)
        if words is None:
            raise Unframed
        self._name = words.group(1)
        return True

    def _value(self, line: bytes) -> bool:
        if line[0] != _BULK:
            raise Unframed
        self._open_bulk(number(line))
        return False

    def _end(self) -> str:
        return self._class_of(self._name)

    def _class_of(self, spelling: bytes) -> str:
        name = self._names.get(spelling)
        if name is None:
            name = command_class(spelling)
            if len(self._names) < _MAX_NAMES:
                self._names[spelling] = name
        if name in _SUBSCRIBING:
            self._session.subscribed = True
        elif name in _FEEDING:
            self._session.replica = True
        return name


class ReplyFramer(ValuesFramer):
    """The node's direction."""

    __slots__ = ("_fed", "_kind", "_mark", "_session", "_snapshot", "_tail")

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._kind = 0  # the message's first byte
        self._snapshot = False  # what is open is one
        self._mark = self._tail = b""  # how one of no stated size ends, and its last bytes so far
        self._fed = False  # it is over: commands come

    def _begin(self, line: bytes) -> bool:
        self._kind = line[0]
        if self._session.replica:
            if not self._fed and self._before_commands(line):
                return False
            self._name_room = _NAME_BYTES
        elif self._session.subscribed:
            self._name_room = _NAME_BYTES
        return self._value(line)

    def _end(self) -> str:
        if self._snapshot:
            self._snapshot, self._fed = False, True
            return "snapshot"
        if self._kind == _PUSH or (self._session.subscribed and self._name in _PUBLISHED):
            return "push"
        return command_class(self._name) if self._fed and self._kind == _ARRAY else "reply"

    def _before_commands(self, line: bytes) -> bool:
        """What only a replica is sent; returns whether the line was all used."""
        if line == b"\n":
            return True  # a sign of life while the snapshot is being made
        self._fed = line.startswith(b"+CONTINUE")
        if self._kind != _BULK:
            return False
        endless = _endless(line)
        self._snapshot = True
        self._mark = endless.group(1) if endless else b""
        self._left = 1 if endless else number(line)
        return True

    def _fill(self, data: bytes, pos: int) -> tuple[int, bool]:
        if not self._snapshot:
            return super()._fill(data, pos)
        if not self._mark:
            stop = min(pos + self._left, len(data))
            self._left -= stop - pos
            return stop, not self._left
        seen = self._tail + data[pos:]
        found = seen.find(self._mark)
        if found < 0:
            self._tail = seen[1 - _MARK_BYTES :]
            return len(data), False
        stop = pos + found + _MARK_BYTES - len(self._tail)
        self._left, self._tail = 0, b""
        return stop, True


def command_class(name: bytes) -> str:
    """A command's name in capitals; "command" where it is no name."""
    return name.decode("ascii").upper() if _is_name(name) else "command"
