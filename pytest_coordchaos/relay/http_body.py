"""Bodies of HTTP/1.1 requests: of a stated length, or in chunks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BadLength", "find_body"]

MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 1024
_MAX_TRAILER_BYTES = 64 * 1024


class BadLength(Exception):
    """A body without a length that can be read.

    Args:
        status: The status to answer with.
        message: One sentence.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_body(buffer: bytearray, start: int, headers: Mapping[str, str]) -> tuple[bytes, int] | None:
    """A request's body and where it ends; None: it is not all there yet.

    Args:
        buffer: What was received.
        start: Where the head ended.
        headers: Those of the request.

    Raises:
        BadLength: What is wrong.
    """
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise BadLength(501, f"Transfer-Encoding {headers['transfer-encoding']!r} is not known; allowed: chunked")
        return _chunks(buffer, start)
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdecimal()):
        raise BadLength(400, f"Content-Length {text!r} is no number")
    end = start + _checked(int(text))
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else None


def _chunks(buffer: bytearray, pos: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    total = 0
    while True:
        line_end = buffer.find(b"\r\n", pos)
        if line_end < 0:
            if len(buffer) - pos > _MAX_LINE_BYTES:
                raise BadLength(400, "a chunk's length is too long")
            return None
        size = _size(bytes(buffer[pos:line_end]))
        pos = line_end + 2
        if not size:
            end = _trailer_end(buffer, pos)
            return None if end is None else (b"".join(parts), end)
        total = _checked(total + size)
        if len(buffer) < pos + size + 2:
            return None
        parts.append(bytes(buffer[pos : pos + size]))
        pos += size + 2


def _size(line: bytes) -> int:
    word = line.partition(b";")[0].strip()
    if not word or word.strip(b"0123456789abcdefABCDEF"):
        raise BadLength(400, f"a chunk's length is no number: {line[:20]!r}")
    return int(word, 16)


def _trailer_end(buffer: bytearray, pos: int) -> int | None:
    if buffer.startswith(b"\r\n", pos):
        return pos + 2
    end = buffer.find(b"\r\n\r\n", pos)
    if end < 0 and len(buffer) - pos > _MAX_TRAILER_BYTES:
        raise BadLength(431, "the request's trailer is too long")
    return None if end < 0 else end + 4


def _checked(size: int) -> int:
    if size > MAX_BODY_BYTES:
        raise BadLength(413, f"a body may have at most {MAX_BODY_BYTES} bytes")
    return size
