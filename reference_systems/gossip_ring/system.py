"""The group as a System: what runs, when it is ready, what to load it with."""

from __future__ import annotations

from pytest_coordchaos import Live, NodeProbe, Port, System, ready_when
from reference_systems.gossip_ring.client import client
from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.messages import (
    CLIENT_BACKGROUND,
    CLIENT_CLASSES,
    GOSSIP_CLASSES,
    PEER_BACKGROUND,
    PEER_CLASSES,
    STATUS,
    STATUS_OK,
)
from reference_systems.gossip_ring.workloads import lookups
from reference_systems.kit.asking import ask_probed

__all__ = ["system"]


def system(nodes: int = 5, **options: float) -> System:
    """A group of n members.

    Args:
        nodes: How many.
        options: Knobs of `gossip_ring.config.Config`, such as `period_ms` or `points`.

    Raises:
        ValueError: An option that does not exist, or a value out of range.
    """
    Config.of(options)
    return System(
        name="gossip_ring",
        nodes=nodes,
        entry="reference_systems.gossip_ring.node:main",
        ports=(
            Port(
                "gossip",
                transport="udp",
                protocol="frames",
                classes=GOSSIP_CLASSES,
                background=frozenset(GOSSIP_CLASSES.values()),
            ),
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=PEER_BACKGROUND),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=CLIENT_BACKGROUND),
        ),
        options=options,
        ready=ready_when("answers", _answers),
        client=client,
        live=Live(nodes="any", within_s=10.0),
        workloads={"lookups": lookups},
    )


async def _answers(probe: NodeProbe) -> bool:
    """It answers on its client port: also a member that nobody lets in yet is up."""
    return bool(await ask_probed(probe, STATUS, STATUS_OK))
