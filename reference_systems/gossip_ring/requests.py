"""What clients may ask, checked. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = ["BadRequest", "Request", "parse"]

_ASKED = ("lookup", "members", "events", "ring", "leave")


class BadRequest(ValueError):
    """The request cannot be done; nothing happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked request. `f` is "lookup" (of `key`), "members", "events", "ring" or "leave"."""

    f: str
    key: str = ""
    hops: int = 0


def parse(body: bytes) -> Request:
    """Check the JSON body of a request, or of a hand-off: `{"f": "lookup", "key": "k1", "hops": 0}`.

    Raises:
        BadRequest: What is wrong and what is allowed.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not JSON: {error}") from error
    f = document.get("f") if isinstance(document, dict) else None
    if f not in _ASKED:
        raise BadRequest(f"f={f!r} is not known; allowed: {', '.join(_ASKED)}")
    if f != "lookup":
        return Request(f=f)
    key, hops = document.get("key"), document.get("hops", 0)
    if not isinstance(key, str):
        raise BadRequest(f"key={key!r} is not allowed: a string")
    if type(hops) is not int or hops < 0:
        raise BadRequest(f"hops={hops!r} is not allowed: a whole number from 0")
    return Request(f=f, key=key, hops=hops)
