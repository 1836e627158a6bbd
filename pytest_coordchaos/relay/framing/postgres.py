"""PostgreSQL's protocol, version 3: what one side says before it waits for the other is one message.

To the server: the startup, a password, a simple query, extended queries up to a Sync or a Flush, the
data of a COPY, a cancel request, the end. Class: the (first) statement's first word in capitals, or
what it is. Back: everything up to ReadyForQuery, or up to where the server waits for the client:
"response". Notifications are one each, and so is each CopyData of a replication stream. Notices
belong to the message that ends next. After encryption was agreed on, nothing is framed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from pytest_coordchaos.relay.framing.base import NONE, Frame, Unframed
from pytest_coordchaos.relay.framing.postgres_packets import SYNC, PacketsFramer, Session
from pytest_coordchaos.relay.framing.postgres_statements import STATEMENT_BYTES, Statements, first_word

__all__ = ["ClientFramer", "ServerFramer"]

_STARTUP = 0  # the packets without a type
_STARTUP_HEADER_BYTES, _MAX_STARTUP_BYTES = 8, 10_000
_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_UNTYPED = {_CANCEL: "cancel", _SSL: "ssl-request", _GSS: "gss-request"}
_AUTHENTICATED = (b"\0\0\0\0", b"\0\0\0\x0c")  # ok, and the last word of SASL: more follows without an answer
_STREAMED = {b"w": "wal", b"k": "keepalive", b"r": "status", b"h": "feedback"}

_unpack_startup = Struct(">II").unpack_from


class ClientFramer(PacketsFramer):
    """The client's direction."""

    __slots__ = ("_answers", "_class", "_code", "_copied", "_extended", "_started", "_statements")

    wanted = dict.fromkeys(b"DEHSFcfpX", 0) | dict.fromkeys(b"QPBC", STATEMENT_BYTES) | {b"d"[0]: 1}

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._started = False
        self._code = 0  # what a packet without a type is
        self._class = ""  # of the open batch, as soon as it is known
        self._answers = 0  # what the server will send to the open batch
        self._copied = False  # the open batch is the end of a COPY
        self._extended = False  # the last batch was of the extended protocol
        self._statements = Statements()

    def _header(self, data: bytes, pos: int) -> int:
        if self._started:
            return super()._header(data, pos)
        if len(data) - pos < _STARTUP_HEADER_BYTES:
            return -1
        length, code = _unpack_startup(data, pos)
        if not _STARTUP_HEADER_BYTES <= length <= _MAX_STARTUP_BYTES or (code not in _UNTYPED and code >> 16 != 3):
            raise Unframed
        self._code = code
        self._open(_STARTUP, length, length - _STARTUP_HEADER_BYTES, 0)
        return pos + _STARTUP_HEADER_BYTES

    def _ended(self, kind: int, body: bytes) -> None:
        handle = _OF_CLIENT.get(kind)
        if handle is not None:
            handle(self, body)

    def _untyped(self, body: bytes) -> None:
        self._started = self._code not in _UNTYPED
        self.session.single = self._code in (_SSL, _GSS)
        if self._started:
            self._row = b"d"[0]
            self.session.owe(SYNC)
        self._emit(_UNTYPED.get(self._code, "startup"))

    def _query(self, body: bytes) -> None:
        self._extended = False
        self._send(first_word(body), SYNC)

    def _function(self, body: bytes) -> None:
        self._extended = False
        self._send("function", SYNC)

    def _part(self, body: bytes) -> None:
        self._answers += 1

    def _parse(self, body: bytes) -> None:
        self._answers += 1
        word = self._statements.parsed(body)
        self._class = self._class or word

    def _bind(self, body: bytes) -> None:
        self._answers += 1
        self._class = self._class or self._statements.bound(body)

    def _close(self, body: bytes) -> None:
        self._answers += 1
        self._statements.closed(body)

    def _flush(self, body: bytes) -> None:
        if self._answers:
            self._extended = True
            self._send(self._class or "extended", self._answers)

    def _sync(self, body: bytes) -> None:
        self._extended = True
        if self._copied and self.session.owed and self.session.owed[0] == SYNC:
            self.session.owed.popleft()  # the server ignored that Sync, because it was waiting for the data
        self._send(self._class or "extended", SYNC)

    def _copy_data(self, body: bytes) -> None:
        if self.session.streaming:
            self._emit(_STREAMED.get(body, "copy-data"))

    def _copy_end(self, body: bytes) -> None:
        if self.session.streaming:
            self._emit("copy-done")
        elif self._extended:  # a Sync follows
            self._class, self._copied = "copy", True
        else:
            self._emit("copy")

    def _password(self, body: bytes) -> None:
        self._emit("password")

    def _terminate(self, body: bytes) -> None:
        self._emit("terminate")

    def _send(self, message_class: str, answers: int) -> None:
        self.session.owe(answers)
        self._class, self._answers, self._copied = "", 0, False
        self._emit(message_class)


class ServerFramer(PacketsFramer):
    """The server's direction."""

    __slots__ = ("_failed",)

    wanted = dict.fromkeys(b"KSZENATDCI123tnsGHWcVv", 0) | {b"R"[0]: 4, b"d"[0]: 1}

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._row = b"D"[0]
        self._failed = False  # an error was reported since the last message

    def finish(self) -> Sequence[Frame]:
        """The error with which a server ends a connection."""
        if self.session.lost or not self._failed:
            return NONE
        self._failed = False
        return (("response", self._size, ()),)

    def _scan(self, data: bytes) -> None:
        if self.session.single and data:
            self.session.single = False
            if data[:1] != b"E":
                self._size += 1
                self._emit("response")
                if data[:1] != b"N":
                    raise Unframed
                data = data[1:]
        super()._scan(data)

    def _ended(self, kind: int, body: bytes) -> None:
        handle = _OF_SERVER.get(kind)
        if handle is not None:
            handle(self, body)

    def _respond(self) -> None:
        self._failed = False
        self._emit("response")

    def _ready(self, body: bytes) -> None:
        owed = self.session.owed
        while owed and owed.popleft() != SYNC:
            pass
        self.session.streaming = False
        self._respond()

    def _answered(self, body: bytes) -> None:
        owed = self.session.owed
        if owed and owed[0] != SYNC:
            owed[0] -= 1
            if not owed[0]:
                owed.popleft()
                self._respond()

    def _error(self, body: bytes) -> None:
        """It answers a flushed batch, and all batches up to the next Sync are skipped."""
        self._failed = True
        if self._take_flushed():
            self._respond()

    def _take_flushed(self) -> bool:
        owed = self.session.owed
        before = len(owed)
        while owed and owed[0] != SYNC:
            owed.popleft()
        return len(owed) < before

    def _authentication(self, body: bytes) -> None:
        if body not in _AUTHENTICATED:
            self._respond()

    def _copy_in(self, body: bytes) -> None:
        self._take_flushed()
        self._respond()

    def _copy_both(self, body: bytes) -> None:
        self.session.streaming = True
        self._respond()

    def _copy_data(self, body: bytes) -> None:
        if self.session.streaming:
            self._emit(_STREAMED.get(body, "copy-data"))

    def _copy_done(self, body: bytes) -> None:
        if self.session.streaming:
            self._emit("copy-done")

    def _notification(self, body: bytes) -> None:
        self._out.append(("notification", self._packet, ()))
        self._size -= self._packet


_OF_CLIENT: dict[int, Callable[[ClientFramer, bytes], None]] = {
    _STARTUP: ClientFramer._untyped,
    b"Q"[0]: ClientFramer._query,
    b"F"[0]: ClientFramer._function,
    b"P"[0]: ClientFramer._parse,
    b"B"[0]: ClientFramer._bind,
    b"D"[0]: ClientFramer._part,
    b"E"[0]: ClientFramer._part,
    b"C"[0]: ClientFramer._close,
    b"H"[0]: ClientFramer._flush,
    b"S"[0]: ClientFramer._sync,
    b"d"[0]: ClientFramer._copy_data,
    b"c"[0]: ClientFramer._copy_end,
    b"f"[0]: ClientFramer._copy_end,
    b"p"[0]: ClientFramer._password,
    b"X"[0]: ClientFramer._terminate,
}

_OF_SERVER: dict[int, Callable[[ServerFramer, bytes], None]] = {
    **dict.fromkeys(b"123TnCIs", ServerFramer._answered),
    b"Z"[0]: ServerFramer._ready,
    b"E"[0]: ServerFramer._error,
    b"R"[0]: ServerFramer._authentication,
    b"G"[0]: ServerFramer._copy_in,
    b"W"[0]: ServerFramer._copy_both,
    b"d"[0]: ServerFramer._copy_data,
    b"c"[0]: ServerFramer._copy_done,
    b"A"[0]: ServerFramer._notification,
}
