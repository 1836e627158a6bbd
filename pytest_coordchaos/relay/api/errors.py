"""Refusals of the API, with the status and the text that Toxiproxy gives. Pure."""

from __future__ import annotations

__all__ = [
    "INVALID_STREAM",
    "INVALID_TYPE",
    "PROXY_EXISTS",
    "PROXY_NOT_FOUND",
    "TOXIC_EXISTS",
    "TOXIC_NOT_FOUND",
    "ApiError",
    "bad_body",
    "missing",
]


class ApiError(Exception):
    """Ends a request.

    Args:
        message: The text of the error object.
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def to_json(self) -> dict[str, object]:
        """The error object."""
        return {"error": self.message, "status": self.status}


PROXY_NOT_FOUND = ("proxy not found", 404)
PROXY_EXISTS = ("proxy already exists", 409)
TOXIC_NOT_FOUND = ("toxic not found", 404)
TOXIC_EXISTS = ("toxic already exists", 409)
INVALID_TYPE = ("invalid toxic type", 400)
INVALID_STREAM = ("stream was invalid, can be either upstream or downstream", 400)


def bad_body(reason: object) -> ApiError:
    """The body is not what it should be."""
    return ApiError(f"bad request body: {reason}", 400)


def missing(field: str) -> ApiError:
    """A field that must be there is not, or is empty."""
    return ApiError(f"missing required field: {field}", 400)
