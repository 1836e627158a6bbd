"""What clients may ask, checked before anything of it reaches the log. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reference_systems.kit.frames import Frame

__all__ = ["BadRequest", "Request", "parse"]

_LONGEST_ITEM = 200
_MOST = 1_000_000
_READS = ("read", "state", "stats")


class BadRequest(ValueError):
    """The request cannot be carried out, now or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: `f` is add, remove, read, state (a read in the end) or stats."""

    f: str
    item: str = ""
    quantity: int = 1
    operation: int = 0


def parse(frame: Frame) -> Request:
    """The request in a frame.

    Raises:
        BadRequest: What is wrong, and what is allowed.
    """
    try:
        document = json.loads(frame.body)
        f, item, quantity = document["f"], document.get("item"), document.get("quantity", 1)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadRequest('the body is no request; wanted: {"f": …, "item": …, "quantity": …} as JSON') from None
    operation = frame.operations[0] if frame.operations else 0
    if f in _READS:
        return Request(f=f, operation=operation)
    if f not in ("add", "remove"):
        raise BadRequest(f"f={f!r} is not known; allowed: add, remove, {', '.join(_READS)}")
    if not isinstance(item, str) or not 0 < len(item) <= _LONGEST_ITEM:
        raise BadRequest(f"item={item!r} is not allowed: a text of 1 to {_LONGEST_ITEM} characters")
    if type(quantity) is not int or not 1 <= quantity <= _MOST:
        raise BadRequest(f"quantity={quantity!r} is not allowed: a whole number from 1 to {_MOST}")
    return Request(f=f, item=item, quantity=quantity, operation=operation)
