"""The relay's role inside a simulation: fault states of links, their proof, and the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from pytest_coordchaos.cost.ledger import Ledger, LinkId
from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger
from pytest_coordchaos.relay.link_control import NothingHeld
from pytest_coordchaos.relay.wire import Address, LinkCounts, LinkSpec, Mark, ProbeResult
from pytest_coordchaos.runtimes.sim.awaited import Awaited
from pytest_coordchaos.runtimes.sim.link import Way
from pytest_coordchaos.runtimes.sim.network import Network

__all__ = ["SimRelay"]


class SimRelay:
    """Implements `relay.link_control.LinkControl`.

    Args:
        network: Where the links are.
        numbers: (node, port name) -> port number.
    """

    def __init__(self, network: Network, numbers: Mapping[tuple[str, str], int]) -> None:
        self._network = network
        self._numbers = numbers

    @property
    def proxy(self) -> str:
        """ "relay": links apply their states themselves."""
        return "relay"

    async def add_links(self, specs: Iterable[LinkSpec]) -> dict[LinkId, Address]:
        """Links are made when they are first dialled, at the nodes' own addresses."""
        return {spec.link: spec.upstream for spec in specs}

    async def apply(self, states: Mapping[LinkId, tuple[DirectionState, DirectionState]]) -> tuple[ProbeResult, ...]:
        """Put (upstream, downstream) states in force, and look at the links to prove it."""
        self._network.apply(states)
        found = []
        for link_id, pair in states.items():
            link = self._network.link(link_id.source, link_id.target, self._numbers[link_id.target, link_id.port])
            ways = (("upstream", link.up), ("downstream", link.down))
            found += [_proof(link_id, name, way, wanted) for (name, way), wanted in zip(ways, pair, strict=True)]
        return tuple(found)

    async def reset_node(self, node: str) -> int:
        """0: killing a simulated node resets its connections, or leaves them silent."""
        return 0

    async def hold_at(self, trigger: MessageTrigger | SyncTrigger, timeout_s: float) -> NothingHeld | None:
        """Wait for a message or a forced write. Nothing need be held: who waits goes on at the instant at which it is sent."""
        loop, ledger = self._network.loop, self._network.ledger
        awaited = Awaited(trigger, self._network.hosts, loop.create_future())
        ledger.awaited.append(awaited)
        try:
            async with asyncio.timeout(timeout_s):
                await awaited.came
        except TimeoutError:
            return None
        finally:
            ledger.awaited.remove(awaited)
        return NothingHeld()

    async def node_is_back(self, node: str) -> None:
        """Nothing to do: nobody dials on behalf of the node's peers."""

    async def watch(self, node: str, pid: int, host: str, ours: Iterable[str]) -> None:
        """Nothing to look at: nothing can go round the links of a simulation."""

    async def live(self) -> dict[LinkId, LinkCounts]:
        """Not counted apart from the ledger."""
        return {}

    def notes(self, since_ns: int) -> tuple[str, ...]:
        """None."""
        return ()

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        return self._network.ledger.mark(self._network.loop.now_ns)

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links between two marks, or until now."""
        return self._network.ledger.between(since, until or await self.mark())

    async def close(self) -> None:
        """Nothing to let go of."""


def _proof(link: LinkId, direction: str, way: Way, wanted: DirectionState) -> ProbeResult:
    refused, blocked = wanted.mode is LinkMode.REFUSE, wanted.mode is not LinkMode.PASS
    ok = (way.refused, way.blocked, way.delay_ns) == (refused, blocked, round(wanted.delay_ms * 1e6))
    rules, unanswered = way.meddling
    ok = ok and (rules, unanswered) == (wanted.frames, wanted.replies_lost)
    seen = "refuses connections" if way.refused else "holds packets" if way.blocked else "lets packets pass"
    more = f" after {way.delay_ns / 1e6:g} ms" if way.delay_ns else ""
    more += "".join(f", {rule.kind} {rule.rate:g} of messages {' '.join(rule.classes)}".rstrip() for rule in rules)
    more += ", reset when a reply begins" if unanswered else ""
    return ProbeResult(link=link, direction=direction, expected=wanted, ok=ok, observed=f"the link {seen}{more}", took_ms=0.0)
