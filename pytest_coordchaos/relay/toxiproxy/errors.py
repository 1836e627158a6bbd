"""What can go wrong with a Toxiproxy server, by kind."""

from __future__ import annotations

from pytest_coordchaos.errors import RelayError

__all__ = ["AlreadyExists", "NoAnswer", "NotAllowed", "NotFound", "ServerFailed", "ToxiproxyError", "Unreachable", "error_of"]


class ToxiproxyError(RelayError):
    """Toxiproxy refused a call, or is gone.

    Args:
        message: One sentence with the server's own words.
        status: The HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotAllowed(ToxiproxyError):
    """The request's content is not allowed (400, and every other 4xx without a class of its own)."""


class NotFound(ToxiproxyError):
    """There is no such proxy, toxic or path (404)."""


class AlreadyExists(ToxiproxyError):
    """A proxy or toxic of that name exists (409)."""


class ServerFailed(ToxiproxyError):
    """The server could not do it: a port is taken, an address is wrong, a proxy hangs (5xx)."""


class Unreachable(ToxiproxyError):
    """No connection could be made, or it broke."""


class NoAnswer(ToxiproxyError):
    """The server took the request and did not answer within the deadline."""


_BY_STATUS = {404: NotFound, 409: AlreadyExists}


def error_of(status: int, what: str) -> ToxiproxyError:
    """The error of a status >= 400."""
    kind = _BY_STATUS.get(status, NotAllowed if status < 500 else ServerFailed)
    return kind(what, status)
