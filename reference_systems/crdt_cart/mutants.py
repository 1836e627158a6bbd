"""What must notice each bug of `broken`, and under which faults."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_coordchaos import Call, Mutant, MutantSuite, Partition, Request, System
from reference_systems.crdt_cart.client import CartClient
from reference_systems.crdt_cart.system import system
from reference_systems.crdt_cart.workload import carts, item_names

__all__ = ["MUTANTS"]


def _broken(name: str, nodes: int = 3, **options: int) -> System:
    return replace(system(nodes, **options), entry="reference_systems.crdt_cart.broken:main", options={**options, "mutant": name})


async def _alone_with_a_new_disk(cluster: Any, rng: random.Random) -> None:
    """A node dies when the others have all it ever acknowledged; back with nothing, it takes orders before it hears of them."""
    *rest, last = cluster.nodes
    for node in cluster.nodes:
        await _order(cluster, node)
    await cluster.clock.sleep(1.5)
    cut = await cluster.apply(Partition((frozenset([last]), frozenset(rest))))
    await (await cluster.kill(last)).undo()
    for node in cluster.nodes:
        await _order(cluster, node)
    await cut.undo()


async def _order(cluster: Any, node: str) -> None:
    """One of each item at one node."""
    recorder, shopper = cluster.recorder, CartClient(cluster, node)
    process = recorder.next_process()
    for request in (Request(f="add", key=item, value=1) for item in item_names()):
        order = recorder.invoke(process, request.f, request.key, request.value, node=node)
        recorder.ok(order, await shopper.call(Call(id=order, request=request, timeout_s=5.0)))
    shopper.close()


def _mutant(name: str, doc: str, faults: tuple[str, ...], caught_by: tuple[str, ...] = ("cart", "converged")) -> Mutant:
    return Mutant(
        name=name, doc=doc, system=partial(_broken, name), workload=carts, faults=faults, seconds=4.0, caught_by=caught_by
    )


MUTANTS = MutantSuite(
    name="crdt_cart",
    healthy=system,
    mutants=(
        _mutant("K1", "merging takes over the other's counts, as the cart of many articles does", ("slow:200", "kill:one")),
        _mutant("K2", "the last writer wins by the wall clock", ("slow:200", "partition:halves")),
        _mutant("K3", "merging adds up what both hold", ("kill:one", "duplicate")),
        _mutant("K4", "all replicas share one total; merging takes the larger", ("partition:halves",)),
        _mutant("K5", "a replica's net total, merged by the larger: what was taken out comes back", ("slow:200",)),
        _mutant("K6", "a removed item's tag is used again: what is added again stays away", ("slow:200",)),
        replace(
            _mutant("K7", "a remove takes away adds that it has not seen", ("partition:halves", "slow:200")),
            workload=partial(carts, items=3, remove_share=0.3),
        ),
        _mutant("K8", "what was removed is forgotten at once: it comes back", ("isolate:one", "slow:200")),
        _mutant("K9", "a removed item can never be added again", ("slow:200",)),
        _mutant("K10", "the last writer wins by seconds, and of two in one second each keeps its own", ("slow:200",)),
        replace(
            _mutant("K11", "deltas are taken for delivered once sent", ("lose", "isolate:one"), ("converged", "cart")),
            system=partial(_broken, "K11", 2),
        ),
        replace(
            _mutant("K12", "a node that lost its disk begins again under its old name", ()),
            system=partial(_broken, "K12", volatile=1),
            workload=partial(carts, operations=0),
            script=_alone_with_a_new_disk,
        ),
        _mutant("K13", "contexts are merged by adding up: what nobody has seen counts as seen", ("kill:one", "isolate:one")),
        _mutant("K14", "answers and sends before its disk has it", ("kill:one",)),
        _mutant("K15", "removes are counted, not observed: two of them at once leave a hidden negative", ("slow:200",)),
        _mutant("G1", "deltas that everybody has are kept", ("slow:200",), ("metadata-bounded",)),
    ),
    not_here={"K16": "what is sent is bytes, and every state is an immutable value: nothing can share memory with it"},
)
