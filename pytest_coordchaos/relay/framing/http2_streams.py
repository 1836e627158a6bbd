"""What both directions of an HTTP/2 connection share: its streams, and how far each half of one has come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import unpack

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES, Unframed

__all__ = ["REQUEST", "RESPONSE", "Half", "Session", "Stream"]

REQUEST, RESPONSE = 0, 1

_MAX_STREAMS = 10_000
_PREFIX_BYTES = 5  # of a gRPC message: compressed or not, and its length

_is_grpc = re.compile(rb"application/grpc(?:[+;].*)?", re.DOTALL).fullmatch
_is_method = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}").fullmatch
_is_path = re.compile(rb"/[!-~]{1,200}").fullmatch


class Half:
    """One direction of a stream.

    Attributes:
        name: Class of its messages.
        grpc: Its data are gRPC messages, each with a prefix.
        size: Bytes since its last message.
        told: It had a message.
        ended: Its sender is done.
    """

    __slots__ = ("_left", "_prefix", "ended", "grpc", "name", "size", "told")

    def __init__(self) -> None:
        self.name = "response"
        self.grpc = self.told = self.ended = False
        self.size = 0
        self._prefix = b""  # an unfinished one
        self._left = -1  # bytes of the open gRPC message still to come; -1: a prefix comes next

    def take(self, data: bytes, pos: int, end: int) -> int:
        """Take gRPC data; returns where the message ended, or -1 when all of it was taken without."""
        if self._left < 0:
            start, pos = pos, min(end, pos + _PREFIX_BYTES - len(self._prefix))
            self._prefix += data[start:pos]
            if len(self._prefix) < _PREFIX_BYTES:
                return -1
            compressed, self._left = unpack(">BI", self._prefix)
            self._prefix = b""
            if compressed > 1 or self._left > MAX_MESSAGE_BYTES:
                self.grpc = False  # something else after all: an error page of a proxy
                return -1
        taken = min(self._left, end - pos)
        self._left -= taken
        if self._left:
            return -1
        self._left = -1
        return pos + taken


class Stream:
    """A request and its response.

    Attributes:
        halves: By `REQUEST` and `RESPONSE`.
        named: The header fields of the request are known.
    """

    __slots__ = ("halves", "named")

    def __init__(self) -> None:
        self.halves = (Half(), Half())
        self.named = False

    def name(self, fields: Mapping[bytes, bytes]) -> None:
        """Take the request's header fields.

        Raises:
            Unframed: They are of no request.
        """
        self.named = True
        request, response = self.halves
        grpc, method = bool(_is_grpc(fields.get(b"content-type", b""))), _is_method(fields.get(b":method", b""))
        if method is None:
            raise Unframed
        if grpc:
            path = _is_path(fields.get(b":path", b""))
            request.name = response.name = path[0].decode("ascii") if path else "grpc"
        else:
            request.name, response.name = method[0].decode("ascii"), "response"
        request.grpc = response.grpc = grpc


@dataclass(slots=True)
class Session:
    """One connection.

    Attributes:
        streams: Those that both sides, or one, are not done with.
        last: The highest id a stream had.
        upkeep: Of each direction, bytes that are no message's own: they go with its next one.
        lost: Either direction is: they make no sense without each other.
    """

    streams: dict[int, Stream] = field(default_factory=dict)
    last: int = 0
    upkeep: list[int] = field(default_factory=lambda: [0, 0])
    lost: bool = False

    def open(self, number: int) -> Stream:
        """The client opens a stream.

        Raises:
            Unframed: Clients open no such streams, or not so many.
        """
        if number % 2 == 0 or len(self.streams) >= _MAX_STREAMS:
            raise Unframed
        self.last = number
        stream = self.streams[number] = Stream()
        return stream

    def end(self, number: int, way: int) -> None:
        """One half is done; what its last bytes were beside messages is upkeep."""
        stream = self.streams.get(number)
        if stream is None:
            return
        half = stream.halves[way]
        half.ended = True
        self.upkeep[way] += half.size
        half.size = 0
        if stream.halves[1 - way].ended:
            del self.streams[number]

    def reset(self, number: int) -> None:
        """A stream is given up: messages not ended are none."""
        stream = self.streams.pop(number, None)
        for way, half in enumerate(stream.halves if stream else ()):
            self.upkeep[way] += half.size
