"""Transcripts of one fault-free operation of each reference system, as kept in `fixtures/traces/`.

python -m tests.sim.golden            say which differ
python -m tests.sim.golden --write    write them anew, to be read before they are committed
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytest_coordchaos import Call, Client, Request, System
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.cost.transcript import transcript
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.simulation.world import Model, World
from reference_systems.crdt_cart.system import system as crdt_cart
from reference_systems.gossip_ring.system import system as gossip_ring
from reference_systems.payments_2pc.system import system as payments_2pc
from reference_systems.quorum_store.system import system as quorum_store
from reference_systems.raft_kv.system import system as raft_kv
from reference_systems.rate_limiter.system import system as rate_limiter
from reference_systems.skeleton.system import system as skeleton

__all__ = ["GOLDEN", "TRACES", "Golden", "fresh"]

TRACES = Path(__file__).parents[2] / "fixtures" / "traces"
_UNIT_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One transcript.

    Args:
        title: Its first line.
        system: Makes the System.
        request: The operation; None: the system by itself.
        before: Done first, by the same client, so that what only the first operation needs is out of the way.
        at: Role of the node that the client asks, and what the others are called; None: the first node, and names stay.
        quiet_s, window_s: How long the system is left alone before each operation, and watched after it.
        hidden: Classes left out; None: what ports declare as background.
    """

    title: str
    system: Callable[[], System]
    request: Request | None = None
    before: Sequence[Request] = ()
    at: tuple[str, str] | None = None
    quiet_s: float = 2.0
    window_s: float = 0.02
    hidden: Collection[str] | None = None


_PUT = Request(f="put", key="x", value=1)
_ADD = Request(f="add", key="book", value=2)
_ALONE = partial(crdt_cart, sync_ms=60_000)  # nobody hears of it meanwhile
_FIVE = partial(raft_kv, 5)
_RAFT = ("leader", "follower")

GOLDEN: dict[str, Golden] = {
    "quorum_store-put": Golden(title="quorum_store, three nodes: a put", system=quorum_store, request=_PUT, before=(_PUT,)),
    "raft_kv-put": Golden(title="raft_kv, five nodes: a put", system=_FIVE, request=_PUT, before=(_PUT,), at=_RAFT),
    "raft_kv-get": Golden(
        title="raft_kv, five nodes: a get", system=_FIVE, request=Request(f="get", key="x"), before=(_PUT,), at=_RAFT
    ),
    "rate_limiter-acquire": Golden(
        title="rate_limiter, three nodes: an acquire at a node that does not own the key",
        system=rate_limiter,
        request=Request(f="acquire", key="k1", value=5),
        before=(Request(f="acquire", key="k1", value=5),),
    ),
    "crdt_cart-add": Golden(title="crdt_cart, three nodes: an add", system=_ALONE, request=_ADD, before=(_ADD,)),
    "gossip_ring-lookup": Golden(
        title="gossip_ring, five nodes: a lookup at a node that does not own the key",
        system=partial(gossip_ring, 5),
        request=Request(f="lookup", key="key-0"),
    ),
    "payments_2pc-transfer": Golden(
        title="payments_2pc, one coordinator and two participants: a transfer between these",
        system=payments_2pc,
        request=Request(f="transfer", key="second", value={"from": "a1", "to": "a2", "amount": 5}),
        before=(Request(f="transfer", key="first", value={"from": "a2", "to": "a1", "amount": 5}),),
    ),
    "skeleton-put": Golden(title="skeleton, three nodes: a put", system=skeleton, request=_PUT, before=(_PUT,)),
}
"""File in `fixtures/traces/`, without its ending -> how it is made."""


def fresh(golden: Golden) -> str:
    """The transcript as it is now."""
    patches.reseed(1)
    world = World(golden.system(), 1, model=Model.counting())
    try:
        return world.run(_story(world, golden))
    finally:
        world.close()


async def _story(world: World, golden: Golden) -> str:
    cluster = await world.start()
    asked = cluster.nodes[0] if golden.at is None else await cluster.wait_role(golden.at[0], 10)
    client = cluster.system.client
    assert client is None or isinstance(client, Client)
    connection = None if client is None else await client.connect(cluster, asked)
    await world.clock.sleep(golden.quiet_s)
    for number, request in enumerate(golden.before, start=1):
        await _ask(client, connection, number, request)
    await world.clock.sleep(golden.quiet_s)
    since, operation = await cluster.relay.mark(), len(golden.before) + 1
    if golden.request is not None:
        await _ask(client, connection, operation, golden.request)
    await world.clock.sleep(golden.window_s)
    if client is not None and client.close is not None:
        await client.close(connection)  # type: ignore[misc]  # in the simulator clients are coroutines
    return _text(golden, cluster.system, await cluster.ledger(since), operation, asked)


async def _ask(client: Client | None, connection: object, number: int, request: Request) -> None:
    assert client is not None, "a request needs a client"
    answer = client.call(connection, Call(id=number, request=request, timeout_s=5.0))
    assert not isinstance(answer, str | int | float | list | dict | None), "in the simulator clients are coroutines"
    await answer


def _text(golden: Golden, system: System, ledger: Ledger, operation: int, asked: str) -> str:
    background = {name for port in system.all_ports for name in port.background or ()}
    hidden = background if golden.hidden is None else frozenset(golden.hidden)
    names = {}
    if golden.at is not None:
        others = [node for node in system.node_names if node != asked]
        names = {asked: golden.at[0], **{node: f"{golden.at[1]}{place}" for place, node in enumerate(others, start=1)}}
    called = {} if golden.request is None else {operation: golden.request.f}
    lines = transcript(ledger, unit_ns=_UNIT_NS, operations=called, names=names, hidden=hidden)
    sent = sum(message.message_class not in hidden for message in ledger.between(system.node_names).messages)
    end = f"{sent} messages between nodes"
    if path := ledger.paths.get(operation):
        steps = " > ".join(step.name for step in path.steps)
        end += f"; in sequence: {path.delays} delays, {path.forced_writes} forced writes ({steps})"
    return f"{golden.title}\n\n{lines}\n{end}\n"


def main() -> None:
    """Compare, or write."""
    patches.install()
    fences.install()
    for name, golden in GOLDEN.items():
        file, text = TRACES / f"{name}.txt", fresh(golden)
        if not file.exists() or file.read_text() != text:
            if "--write" in sys.argv[1:]:
                file.write_text(text)
            print(f"{file.name} {'written' if '--write' in sys.argv[1:] else 'differs'}")


if __name__ == "__main__":
    main()
