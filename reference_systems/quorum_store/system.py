"""The quorum store as a System: what runs, when it is ready, what to load it with."""

from __future__ import annotations

from functools import partial

from pytest_coordchaos import Port, System, ready_port, register
from reference_systems.quorum_store.client import client
from reference_systems.quorum_store.node import CLIENT_CLASSES, PEER_CLASSES

__all__ = ["system"]


def system(nodes: int = 3) -> System:
    """A quorum store of n nodes.

    Args:
        nodes: How many; a minority of them may be away.
    """
    return System(
        name="quorum_store",
        nodes=nodes,
        entry="reference_systems.quorum_store.node:main",
        ports=(
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=frozenset()),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=frozenset()),
        ),
        ready=ready_port("client"),
        client=client,
        workloads={"register": partial(register, cas_share=0.0)},
    )
