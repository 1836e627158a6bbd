"""What the ring is loaded with, and what members are asked in the end. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_coordchaos import Final, Request, Workload

__all__ = ["agree", "lookups"]

PRESENT = ("alive", "suspect")


def lookups(*, clients: int = 3, rate_per_s: float = 20.0, within_s: float = 15.0) -> Workload:
    """Lookups of keys at any member, a look at a whole ring now and then, and in the end every member's view, log and ring.

    Args:
        clients: Concurrent clients.
        rate_per_s: Operations per second of all clients.
        within_s: How long members have to agree, once everything is healed.
    """
    return Workload(
        name="lookups",
        requests=_requests,
        invariants=("membership-agreement", "detector-accuracy", "no-resurrection", "ring-balance", "lookups-agree"),
        clients=clients,
        rate_per_s=rate_per_s,
        final=Final(requests=tuple(Request(f=f) for f in ("members", "events", "ring")), until=agree, within_s=within_s),
    )


def agree(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all members that did not leave see the same ones present, themselves among them."""
    views = {node: {n: v for n, v in answer["members"].items() if v[0] in PRESENT} for node, answer in answers.items()}
    stayed = [view for node, view in views.items() if node in view]
    alive = all(state == "alive" for view in stayed for state, _ in view.values())
    return alive and all(view == stayed[0] and set(view) == {n for n in views if n in views[n]} for view in stayed)


def _requests(rng: random.Random) -> Iterator[Request]:
    while True:
        if rng.random() < 0.1:
            yield Request(f="ring")
        else:
            yield Request(f="lookup", key=f"key-{int(rng.random() * 256)}")
