"""The rate limiter as a System, and its load."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from pytest_coordchaos import Port, Request, System, Workload, ready_port
from reference_systems.rate_limiter.client import client
from reference_systems.rate_limiter.node import CLIENT_CLASSES, PEER_CLASSES

__all__ = ["acquire", "system"]


def system(nodes: int = 3) -> System:
    """A rate limiter of n nodes.

    Args:
        nodes: How many.
    """
    return System(
        name="rate_limiter",
        nodes=nodes,
        entry="reference_systems.rate_limiter.node:main",
        ports=(
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=frozenset()),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=frozenset()),
        ),
        ready=ready_port("client"),
        client=client,
        workloads={"acquire": acquire},
    )


def acquire(*, limit: int = 20, keys: int = 2, clients: int = 6, rate_per_s: float | None = 90.0) -> Workload:
    """Admissions asked for faster than the limit lets them, checked as `rate-limit`.

    Args:
        limit: Admissions of one key in any second.
        keys: How many.
        clients: Concurrent clients, spread over the nodes.
        rate_per_s: Requests a second, for all keys together.
    """
    return Workload(
        name="acquire",
        requests=partial(_requests, limit, keys),
        invariants=("rate-limit",),
        clients=clients,
        rate_per_s=rate_per_s,
    )


def _requests(limit: int, keys: int, rng: random.Random) -> Iterator[Request]:
    while True:
        yield Request(f="acquire", key=f"k{1 + int(rng.random() * keys)}", value=limit)
