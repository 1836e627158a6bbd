"""The cart as a System: what runs, how to talk to it, what to load it with."""

from __future__ import annotations

from pytest_coordchaos import Live, Port, System, ready_port
from reference_systems.crdt_cart.client import client
from reference_systems.crdt_cart.config import Config
from reference_systems.crdt_cart.messages import BACKGROUND, CLIENT_CLASSES, PEER_CLASSES
from reference_systems.crdt_cart.workload import carts

__all__ = ["system"]


def system(nodes: int = 3, **options: float) -> System:
    """A cart with a replica on each of n nodes.

    Args:
        nodes: How many.
        options: Knobs of `crdt_cart.config.Config`, such as `sync_ms`.

    Raises:
        ValueError: An option that does not exist, or a value out of range.
    """
    Config.of(options)
    return System(
        name="crdt_cart",
        nodes=nodes,
        entry="reference_systems.crdt_cart.node:main",
        ports=(
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=BACKGROUND),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=frozenset()),
        ),
        options=options,
        ready=ready_port("client"),
        live=Live(nodes="any", within_s=5),
        client=client,
        workloads={"carts": carts},
    )
