"""The payment service as a System: what runs, when it is ready, who coordinates, what to load it with."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pytest_coordchaos import Live, NodeProbe, Port, System, ready_when
from reference_systems.kit.asking import ask_probed
from reference_systems.payments_2pc.client import client
from reference_systems.payments_2pc.config import EACH, Config, Placement
from reference_systems.payments_2pc.messages import BACKGROUND, CLIENT_CLASSES, PEER_CLASSES, STATUS, STATUS_OK
from reference_systems.payments_2pc.workload import transfers

__all__ = ["status", "system"]


def system(nodes: int = 3, **options: Any) -> System:
    """A payment service of n nodes.

    Args:
        nodes: How many. With the coordinator alone on one of them (the default) the others hold the accounts.
        options: Knobs of `payments_2pc.config.Config`, such as `coordinator` or `presumed`.

    Raises:
        ValueError: An option that does not exist, or a value out of range.
    """
    config = Config.of(options)
    Placement([f"n{number}" for number in range(1, nodes + 1)], config)
    return System(
        name="payments_2pc",
        nodes=nodes,
        entry="reference_systems.payments_2pc.node:main",
        ports=(
            Port("peer", protocol="frames", classes=PEER_CLASSES, background=BACKGROUND),
            Port("client", protocol="frames", classes=CLIENT_CLASSES, background=frozenset({"status", "status_ok"})),
        ),
        options=options,
        ready=ready_when("answers", _answers),
        roles={} if config.coordinator == EACH else {"leader": partial(_coordinates, config.coordinator)},
        live=Live(nodes="all" if config.coordinator == EACH else partial(_with_most, config.coordinator), within_s=60.0),
        client=client,
        workloads={"transfers": partial(transfers, accounts=config.accounts)},
    )


def _with_most(coordinator: str, nodes: Sequence[str], rng: random.Random) -> list[str]:
    """The coordinator and most participants: what these hold can move. Without it some may be in doubt for ever."""
    others = [node for node in nodes if node != coordinator]
    return [coordinator, *rng.sample(others, len(others) // 2 + 1 if others else 0)]


async def status(probe: NodeProbe) -> Mapping[str, Any]:
    """What a node says of itself: name, incarnation, in_doubt (transaction -> seconds for which it has blocked), unacknowledged
    (decision -> participants that must still hear it), voting.

    Raises:
        OSError: It does not answer.
        ValueError: It answers nonsense.
    """
    return await ask_probed(probe, STATUS, STATUS_OK)


async def _answers(probe: NodeProbe) -> bool:
    return bool((await status(probe))["name"])


async def _coordinates(coordinator: str, probe: NodeProbe) -> int | None:
    return int((await status(probe))["incarnation"]) if probe.name == coordinator else None
