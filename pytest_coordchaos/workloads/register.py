"""The register workload: gets, puts and compare-and-sets on a few keys. Pure.

Every written value is new, so that a read names the one write it saw: that makes violations short to
show and checking fast (jepsen.tests.linearizable-register, and Elle's recoverability).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.workloads.model import Request, Workload

__all__ = ["register"]

_RECENT = 3
"""A compare-and-set expects one of so many last values of its key: old enough to fail at times."""

_RUN_STRIDE = 1_000_000
"""Distance of the values of two runs: a stale read from an earlier run on the cluster stays visible."""


def register(
    *,
    keys: Sequence[str] | int = ("x", "y", "z"),
    clients: int = 5,
    rate_per_s: float | None = None,
    read_share: float = 0.5,
    cas_share: float = 0.1,
    operations: int | None = None,
    timeout_s: float = 1.0,
) -> Workload:
    """Operations `get`, `put` and `cas` on independent registers, checked as linearizable key-value.

    Args:
        keys: Names, or a number n for k1 … k<n>.
        clients: Concurrent clients.
        rate_per_s: Operations per second of all clients (open loop); None: as fast as they are answered.
        read_share: Share of gets (0..1).
        cas_share: Share of compare-and-sets (0..1); the rest are puts. The first write of a key is a put.
        operations: Stop after so many; None: only the time limit.
        timeout_s: A call that takes longer is recorded as info.

    Raises:
        UsageError: A wrong argument: which, and what is allowed.
    """
    names = _key_names(keys)
    _check("clients", clients, _whole(clients, 1), "a whole number from 1")
    _check("rate_per_s", rate_per_s, rate_per_s is None or _number(rate_per_s, 0, 1e6), "a number above 0, or None")
    _check("read_share", read_share, _share(read_share), "a number from 0 to 1")
    _check("cas_share", cas_share, _share(cas_share), "a number from 0 to 1")
    _check("read_share + cas_share", read_share + cas_share, read_share + cas_share <= 1.0, "at most 1 together")
    _check("operations", operations, operations is None or _whole(operations, 1), "a whole number from 1, or None")
    _check("timeout_s", timeout_s, _number(timeout_s, 0, 3600), "seconds above 0, at most 3600")
    return Workload(
        name="register",
        requests=lambda rng: _requests(rng, names, read_share, cas_share),
        invariants=("linearizable",),
        model="key-value",
        clients=clients,
        rate_per_s=rate_per_s,
        operations=operations,
        timeout_s=timeout_s,
    )


def _requests(rng: random.Random, keys: Sequence[str], read_share: float, cas_share: float) -> Iterator[Request]:
    """Endless requests. Only `random()` is drawn from: the same stream on every Python version."""
    recent: dict[str, deque[int]] = {key: deque(maxlen=_RECENT) for key in keys}
    value = int(rng.random() * 1000) * _RUN_STRIDE
    while True:
        key, kind, which = keys[int(rng.random() * len(keys))], rng.random(), rng.random()
        if kind < read_share:
            yield Request(f="get", key=key)
            continue
        value += 1
        written = recent[key]
        if kind < read_share + cas_share and written:
            yield Request(f="cas", key=key, value=[written[int(which * len(written))], value])
        else:
            yield Request(f="put", key=key, value=value)
        written.append(value)


def _key_names(keys: Sequence[str] | int) -> tuple[str, ...]:
    allowed = "a number from 1, or a list of different names"
    if isinstance(keys, int):
        _check("keys", keys, _whole(keys, 1), allowed)
        return tuple(f"k{i}" for i in range(1, keys + 1))
    plain = not isinstance(keys, str) and all(isinstance(key, str) and key for key in keys)
    _check("keys", keys, plain and len(keys) > 0 and len(set(keys)) == len(keys), allowed)
    return tuple(keys)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object, above: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value <= most


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _check(name: str, value: object, fine: bool, allowed: str) -> None:
    if not fine:
        raise UsageError(f"register({name}={value!r}) is not allowed; allowed: {allowed}")
