"""What clients may ask, checked before it enters the log. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reference_systems.raft_kv.state_machine import WRITES

__all__ = ["BadRequest", "Request", "parse"]


_DEEPEST = 64


class BadRequest(ValueError):
    """The request cannot be done; nothing happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked request. `f` is "get", "put", "cas", "delete", "register", "transfer" or "reconfigure".

    Args:
        nodes: Of "transfer" the successor, of "reconfigure" the voters.
    """

    f: str
    key: str = ""
    nodes: tuple[str, ...] = ()


def parse(body: bytes, *, longest_bytes: int) -> Request:
    """Check the JSON body of a request frame.

    `{"f": "register"}`, `{"f": "get", "key": …}`, or a write
    `{"f": "put" | "cas" | "delete", "key": …, "value": …, "session": …, "number": …}`. For who runs the store:
    `{"f": "transfer", "value": node}` and `{"f": "reconfigure", "value": [nodes that shall vote]}`.

    Raises:
        BadRequest: What is wrong and what is allowed.
    """
    if len(body) > longest_bytes:
        raise BadRequest(f"a request of {len(body)} bytes is too long; allowed: at most {longest_bytes}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not JSON: {error}") from error
    if _too_deep(document):
        raise BadRequest(f"the request is nested too deeply; allowed: {_DEEPEST} levels")
    f = document.get("f") if isinstance(document, dict) else None
    if f == "register":
        return Request(f=f)
    if f in ("transfer", "reconfigure"):
        return Request(f=f, nodes=_nodes(f, document.get("value")))
    if f != "get" and f not in WRITES:
        raise BadRequest(f"f={f!r} is not known; allowed: register, get, {', '.join(WRITES)}, transfer, reconfigure")
    key = document.get("key")
    if not isinstance(key, str):
        raise BadRequest(f"key={key!r} is not allowed: a string")
    if f != "get":
        _check_write(f, document)
    return Request(f=f, key=key)


def _nodes(f: str, value: object) -> tuple[str, ...]:
    names = [value] if f == "transfer" else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and "," not in name for name in names):
        raise BadRequest(f"value={value!r} of a {f} is not allowed: {'a node' if f == 'transfer' else 'a list of nodes'}")
    return tuple(dict.fromkeys(names))


def _too_deep(document: object) -> bool:
    """A command that one node can read and the next cannot would poison the log."""
    level: list[object] = [document]
    for _ in range(_DEEPEST + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _check_write(f: str, document: dict[str, Any]) -> None:
    for name in ("session", "number"):
        if type(document.get(name)) is not int or document[name] < 1:
            raise BadRequest(f"{name}={document.get(name)!r} is not allowed: a whole number from 1")
    value = document.get("value")
    if f == "cas" and not (isinstance(value, list) and len(value) == 2):
        raise BadRequest(f"value={value!r} of a cas is not allowed: [expected, new]")
