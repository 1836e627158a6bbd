"""Bytes of the protocols that are framed, made by hand, for tests of framers and of the relay."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import hpack

from pytest_coordchaos.relay.framing import Frame, Framer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x4, 0x8, 0x20

WAYS = {">": 0, "<": 1}
Talk = Sequence[tuple[str, bytes]]
"""What was said, in order: ">" by the client, "<" by the server."""


def listen(pair: tuple[Framer, Framer], talk: Talk, *, to_the_end: bool = True) -> tuple[list[Frame], list[Frame]]:
    """The messages each framer saw; to the end: both sides closed."""
    seen: tuple[list[Frame], list[Frame]] = ([], [])
    for way, data in talk:
        seen[WAYS[way]].extend(pair[WAYS[way]].feed(data))
    for framer, found in zip(pair if to_the_end else (), seen if to_the_end else (), strict=True):
        found.extend(framer.finish())
    return seen


def names(frames: Iterable[Frame]) -> list[str]:
    """Their classes."""
    return [name for name, _, _ in frames]


# -- RESP ----------------------------------------------------------------------------------------------


def command(*words: bytes) -> bytes:
    """A command as clients send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


# -- PostgreSQL ----------------------------------------------------------------------------------------

SSL_REQUEST, GSS_REQUEST = struct.pack(">II", 8, 80877103), struct.pack(">II", 8, 80877104)
CANCEL = struct.pack(">IIII", 16, 80877102, 7, 8)
SYNC, FLUSH, READY = b"S\0\0\0\4", b"H\0\0\0\4", b"Z\0\0\0\5I"


def packet(kind: bytes, body: bytes = b"") -> bytes:
    """A typed packet."""
    return kind + struct.pack(">I", len(body) + 4) + body


def startup(body: bytes = b"user\0me\0\0") -> bytes:
    """The first packet of a session."""
    return struct.pack(">II", len(body) + 8, 3 << 16) + body


def query(text: bytes) -> bytes:
    """A simple query."""
    return packet(b"Q", text + b"\0")


def parse(text: bytes, name: bytes = b"") -> bytes:
    """A statement is prepared."""
    return packet(b"P", name + b"\0" + text + b"\0\0\0")


def bind(name: bytes = b"", values: bytes = b"\0\0\0\0\0\0") -> bytes:
    """A prepared statement gets its values."""
    return packet(b"B", b"\0" + name + b"\0" + values)


def execute() -> bytes:
    """A bound statement is run."""
    return packet(b"E", b"\0\0\0\0\0")


WELCOME = packet(b"R", bytes(4)) + packet(b"S", b"a\0b\0") + packet(b"K", bytes(8)) + READY
ROWS = packet(b"T", b"columns") + packet(b"D", b"one") + packet(b"D", b"two") + packet(b"C", b"SELECT 2\0") + READY
DONE = packet(b"C", b"INSERT 0 1\0") + READY
OPEN: Talk = [(">", startup()), ("<", WELCOME)]


# -- HTTP/2 --------------------------------------------------------------------------------------------


def h2(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame."""
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def grpc(body: bytes, compressed: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(body)) + body


class H2Client:
    """What a client says: its header blocks build on each other."""

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()
        self.hello = PREFACE + h2(SETTINGS)

    def block(self, path: bytes = b"/kv", method: bytes = b"POST", content_type: bytes = b"application/grpc") -> bytes:
        """The header block of a request."""
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"n1")]
        block: bytes = self.encoder.encode([*fields, (b"content-type", content_type), (b"te", b"trailers")])
        return block

    def headers(self, stream: int, path: bytes = b"/kv", *, flags: int = 0, **fields: bytes) -> bytes:
        """A request's HEADERS, complete."""
        return h2(HEADERS, END_HEADERS | flags, stream, self.block(path, **fields))


def h2_response(stream: int, *data: bytes) -> bytes:
    """A response with trailers."""
    status, trailers = b"\x88", b"\x00\x0bgrpc-status\x010"
    frames = [h2(DATA, 0, stream, part) for part in data]
    return h2(HEADERS, END_HEADERS, stream, status) + b"".join(frames) + h2(HEADERS, END_HEADERS | END_STREAM, stream, trailers)
