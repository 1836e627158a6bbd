"""What the store is loaded with: registers, and in the end the question of what each node believes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_coordchaos import Final, Request, Workload
from pytest_coordchaos import register as registers
from reference_systems.raft_kv.client import client, client_at_home

__all__ = ["reconfigure", "register"]

_INVARIANTS = ("linearizable", "election-safety", "replicas-agree", "caught-up")
_WITHIN_S = 10.0


def register(*, state_share: float = 0.0, at_home: bool = False, **options: Any) -> Workload:
    """The built-in `register` workload; in the end every node is asked for its state until all agree.

    Args:
        state_share: Share of operations that ask a node for its state during the load too (0..1).
        at_home: Every operation is first asked of the client's own node, wherever the leader is.
        options: Those of `pytest_coordchaos.register`.
    """
    workload = registers(**options)
    return dataclasses.replace(
        workload,
        requests=lambda rng: _mixed(workload.requests(rng), rng, state_share),
        invariants=_INVARIANTS,
        client=client_at_home if at_home else client,
        final=Final(requests=(Request(f="state"),), until=_agree, within_s=_WITHIN_S),
    )


def reconfigure(*, nodes: Sequence[str], admin_share: float = 0.03, **options: Any) -> Workload:
    """`register`, while the leader is told to hand over, and one node or another to vote no more, or again.

    Args:
        nodes: All nodes; at least three.
        admin_share: Share of such operations (0..1).
        options: Those of `register`.
    """
    workload = register(**options)
    return dataclasses.replace(
        workload, name="reconfigure", requests=lambda rng: _administered(workload.requests(rng), rng, nodes, admin_share)
    )


def _administered(requests: Iterator[Request], rng: random.Random, nodes: Sequence[str], admin_share: float) -> Iterator[Request]:
    """Every other membership is all nodes: so each is one server away from the one before it."""
    everybody = True
    for request in requests:
        yield request
        chance, which = rng.random(), nodes[int(rng.random() * len(nodes))]
        if chance < admin_share / 2:
            yield Request(f="transfer", value=which)
        elif chance < admin_share:
            everybody = not everybody
            yield Request(f="reconfigure", value=[node for node in nodes if everybody or node != which])


def _mixed(requests: Iterator[Request], rng: random.Random, state_share: float) -> Iterator[Request]:
    for request in requests:
        yield request
        while state_share and rng.random() < state_share:
            yield Request(f="state")


def _agree(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    """All nodes follow one leader and have applied the same."""
    told = [answer["state"] for answer in answers.values()]
    first = told[0]
    return first["leader"] is not None and all(
        state[what] == first[what] for state in told for what in ("leader", "term", "applied")
    )
