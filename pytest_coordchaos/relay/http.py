"""A small HTTP/1.1 server for the control API: keep-alive, pipelined requests answered in order.

Sans-asyncio-streams, one task per connection with work to do; a slow or dead client costs nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

from pytest_coordchaos.relay.http_body import BadLength, find_body

__all__ = ["Handler", "HttpError", "HttpProtocol", "Request", "Response", "json_response"]

_MAX_HEAD_BYTES = 64 * 1024
_MAX_WAITING = 100


class HttpError(Exception):
    """Ends a request with a status and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are in lower case; `path` is decoded, without the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON. HttpError 400 when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"bad request body: {'EOF' if not self.body else error}") from None


Takeover = Callable[[asyncio.Transport | None], None]


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `takeover` is given the connection once the answer is written; None: nobody is there any more."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    takeover: Takeover | None = None

    def with_header(self, name: str, value: str) -> Response:
        """The same answer with one more header."""
        return replace(self, headers=(*self.headers, (name, value)))


Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(status, json.dumps(value, separators=(",", ":")).encode() + b"\n")


def _error(status: int, message: str) -> Response:
    return json_response({"error": message, "status": status}, status)


class HttpProtocol(asyncio.Protocol):
    """One control connection.

    Args:
        handler: Answers a request; HttpError becomes a JSON error body, anything else status 500.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: deque[Request | HttpError] = deque()
        self._task: asyncio.Task[None] | None = None
        self._paused = self._broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._broken:
            return
        self._buffer += data
        try:
            while (request := self._next_request()) is not None:
                self._waiting.append(request)
        except HttpError as error:
            self._broken = True
            self._waiting.append(error)
        self._throttle()
        if self._waiting and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. What it asked for is carried out all the same."""
        self._transport = None
        self._waiting.clear()

    def _throttle(self) -> None:
        full = len(self._waiting) > _MAX_WAITING
        if self._transport is not None and full is not self._paused:
            self._paused = full
            (self._transport.pause_reading if full else self._transport.resume_reading)()

    def _next_request(self) -> Request | None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _MAX_HEAD_BYTES:
                raise HttpError(431, "the request's head is too long")
            return None
        method, path, headers = _parse_head(bytes(buffer[:end]))
        try:
            found = find_body(buffer, end + 4, headers)
        except BadLength as error:
            raise HttpError(error.status, str(error)) from None
        if found is None:
            if headers.get("expect", "").lower() == "100-continue" and len(buffer) == end + 4 and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body, end = found
        del buffer[:end]
        return Request(method, path, headers, body)

    async def _answer_all(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            self._throttle()
            if isinstance(item, HttpError):
                self._send(_error(item.status, str(item)), close=True)
            else:
                self._send(await self._answer(item), close=item.headers.get("connection", "").lower() == "close")
        self._task = None

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except HttpError as error:
            return _error(error.status, str(error))
        except Exception as error:
            return _error(500, f"{type(error).__name__}: {error}")

    def _send(self, response: Response, *, close: bool) -> None:
        if self._transport is None:
            if response.takeover is not None:
                response.takeover(None)
            return
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        if response.status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        if response.body:
            lines.append(f"Content-Type: {response.content_type}")
        lines += [f"{name}: {value}" for name, value in response.headers]
        if close:
            lines.append("Connection: close")
        self._transport.writelines([("\r\n".join(lines) + "\r\n\r\n").encode(), response.body])
        if response.takeover is not None:
            response.takeover(self._transport)
        elif close:
            self._transport.close()


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise HttpError(400, "the request line is not HTTP/1.1")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise HttpError(400, "a header line has no colon")
        headers[name.strip().lower()] = value.strip()
    if words[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return words[0], unquote(words[1].partition("?")[0]), headers
