"""The carts workload: adds, removes and reads of a few items at all replicas, and what each holds in the end. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_coordchaos import Final, Request, UsageError, Workload

__all__ = ["carts", "item_names"]

INVARIANTS = ("cart", "converged", "metadata-bounded")
_ITEMS = 12
_MOST_AT_ONCE = 3


def carts(
    *,
    items: int = _ITEMS,
    clients: int = 5,
    rate_per_s: float | None = 40.0,
    remove_share: float = 0.15,
    read_share: float = 0.25,
    operations: int | None = None,
    timeout_s: float = 1.0,
    converge_s: float = 10.0,
) -> Workload:
    """Operations `add`, `remove` and `read`; in the end each node's `stats` and `state`, until all carts are equal.

    Args:
        items: How many different ones.
        clients: Concurrent clients; each shops at one node.
        rate_per_s: Operations per second of all clients (open loop); None: as fast as they are answered.
        remove_share, read_share: Shares of removes and reads (0..1); the rest are adds.
        operations: Stop after so many; None: only the time limit.
        timeout_s: A call that takes longer is recorded as info.
        converge_s: For how long to ask in the end.

    Raises:
        UsageError: No item, or shares that are not shares.
    """
    if items < 1:
        raise UsageError(f"carts(items={items!r}) is not allowed; allowed: a whole number from 1")
    if min(remove_share, read_share) < 0 or remove_share + read_share > 1:
        raise UsageError(
            f"carts(remove_share={remove_share!r}, read_share={read_share!r}) is not allowed; from 0, at most 1 together"
        )
    names = item_names(items)
    return Workload(
        name="carts",
        requests=lambda rng: _requests(rng, names, remove_share, read_share),
        invariants=INVARIANTS,
        clients=clients,
        rate_per_s=rate_per_s,
        operations=operations,
        timeout_s=timeout_s,
        final=Final(requests=(Request(f="stats"), Request(f="state")), until=_equal, within_s=converge_s),
    )


def item_names(items: int = _ITEMS) -> tuple[str, ...]:
    """The items of the workload."""
    return tuple(f"item{number}" for number in range(1, items + 1))


def _requests(rng: random.Random, items: tuple[str, ...], remove_share: float, read_share: float) -> Iterator[Request]:
    """Endless requests. Only `random()` is drawn from: the same stream on every Python version."""
    while True:
        item, kind, quantity = items[int(rng.random() * len(items))], rng.random(), 1 + int(rng.random() * _MOST_AT_ONCE)
        if kind < read_share:
            yield Request(f="read")
        elif kind < read_share + remove_share:
            yield Request(f="remove", key=item)
        else:
            yield Request(f="add", key=item, value=quantity)


def _equal(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    """All nodes have seen the same adds and removes: quantities alone may be equal while each node lacks another add."""
    told = [(answer["stats"]["digest"], answer["state"]) for answer in answers.values()]
    return all(one == told[0] for one in told)
