"""The Raft store as a System: what runs, when it is ready, who leads, what to load it with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pytest_coordchaos import Live, NodeProbe, Port, System, ready_when
from reference_systems.kit.asking import ask_probed
from reference_systems.raft_kv.client import client
from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.wire import BACKGROUND, CLIENT_CLASSES, PEER_CLASSES, STATUS, STATUS_OK
from reference_systems.raft_kv.workloads import reconfigure, register

__all__ = ["status", "system"]


def system(nodes: int = 3, **options: float) -> System:
    """A Raft cluster of n nodes.

    Args:
        nodes: How many.
        options: Knobs of `raft_kv.config.Config`, such as `election_min_ms` or `snapshot_every_entries`.

    Raises:
        ValueError: An option that does not exist, or a value out of range.
    """
    Config.of(options)
    return System(
        name="raft_kv",
        nodes=nodes,
        entry="reference_systems.raft_kv.node:main",
        ports=(
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=BACKGROUND),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=frozenset({"status", "status_ok"})),
        ),
        options=options,
        ready=ready_when("knows a leader", _knows_leader),
        roles={"leader": _leads},
        client=client,
        workloads={"register": register, "reconfigure": partial(reconfigure, nodes=[f"n{i}" for i in range(1, nodes + 1)])},
        live=Live(nodes="majority", within_s=10.0),
    )


async def status(probe: NodeProbe) -> Mapping[str, Any]:
    """What a node says of itself: name, role, term, leader, commit, applied, last_index, snapshot_index, voters, digests.

    Raises:
        OSError: It does not answer.
        ValueError: It answers nonsense.
    """
    return await ask_probed(probe, STATUS, STATUS_OK)


async def _knows_leader(probe: NodeProbe) -> bool:
    return (await status(probe))["leader"] is not None


async def _leads(probe: NodeProbe) -> int | None:
    """The term, if the node says that it leads; of two who say so, the higher term is the leader."""
    answer = await status(probe)
    return int(answer["term"]) if answer["role"] == "leader" else None
