"""What clients may ask, checked before anything is locked. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reference_systems.payments_2pc.messages import Leg

__all__ = ["REPORTS", "BadRequest", "Request", "parse"]

REPORTS = ("decisions", "accounts", "locks", "charges")
"""What a node says of itself; asked of that node, answered at once."""

_LARGEST = 2**53
_LONGEST_KEY = 200


class BadRequest(ValueError):
    """The request cannot be done; nothing happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked request.

    Args:
        f: "transfer", "balance", "total", or one of `REPORTS`.
        key: A transfer's idempotency key.
        legs: A transfer's accounts and what is added to each; they sum to 0.
        reads: The account of a balance. A total reads all.
    """

    f: str
    key: str | None = None
    legs: tuple[Leg, ...] = ()
    reads: tuple[str, ...] = ()


def parse(body: bytes, *, longest_bytes: int) -> Request:
    """Check the JSON body of a request frame.

    `{"f": "transfer", "key": …, "value": [[account, amount], …]}`, or a value
    `{"from": account, "to": account, "amount": n}`; `{"f": "balance", "key": account}`; `{"f": "total"}`; `{"f": "decisions"}` …

    Raises:
        BadRequest: What is wrong and what is allowed.
    """
    if len(body) > longest_bytes:
        raise BadRequest(f"a request of {len(body)} bytes is too long; allowed: at most {longest_bytes}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not JSON: {error}") from error
    f = document.get("f") if isinstance(document, dict) else None
    if f == "transfer":
        return Request(f=f, key=_key(document.get("key")), legs=_legs(document.get("value")))
    if f == "balance":
        account = document.get("key")
        if not isinstance(account, str):
            raise BadRequest(f"key={account!r} of a balance is not allowed: the name of an account")
        return Request(f=f, reads=(account,))
    if f == "total" or f in REPORTS:
        return Request(f=f)
    raise BadRequest(f"f={f!r} is not known; allowed: transfer, balance, total, {', '.join(REPORTS)}")


def _key(key: object) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise BadRequest(f"key={key!r} is not allowed: an idempotency key of 1 to {_LONGEST_KEY} characters")
    return key


def _legs(value: Any) -> tuple[Leg, ...]:
    if isinstance(value, dict) and {"from", "to", "amount"} == set(value):
        amount = value["amount"]
        value = [[value["from"], -amount if _whole(amount) else amount], [value["to"], amount]]
    pairs = value if isinstance(value, list) else ()
    fine = len(pairs) >= 2 and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and _whole(pair[1]) for pair in pairs
    )
    if not fine or len({account for account, _ in pairs}) != len(pairs) or sum(amount for _, amount in pairs):
        raise BadRequest(
            f"value={value!r} of a transfer is not allowed: [[account, amount], …] with two accounts or more, each once, and "
            'whole amounts that sum to 0; or {"from": account, "to": account, "amount": n}'
        )
    return tuple((account, amount) for account, amount in pairs)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST
