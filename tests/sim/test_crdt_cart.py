"""The cart simulated: what it costs to the message, how soon all agree, that it holds under all faults, and its mutants."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pytest_coordchaos import Call, Request, Workload, assert_caught
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.workloads.driver import drive
from reference_systems.crdt_cart.client import CartClient, client
from reference_systems.crdt_cart.mutants import MUTANTS
from reference_systems.crdt_cart.system import system
from reference_systems.crdt_cart.workload import carts

FAULTS = (
    "partition:halves",
    "partition:majorities-ring",
    "hold:halves",
    "isolate:one",
    "pause:one",
    "kill:one",
    "kill:minority",
    "power-loss:one",
    "slow:200",
    "lose:50",
    "duplicate",
    "reorder",
    "corrupt",
    "drop-replies:one",
    "skew:one",
    "jump:one",
    "drift:one",
    "slow-disk:one",
    "full-disk:one",
)


async def _ask(world: World, cluster: LiveCluster, requests: list[Request], node: str) -> None:
    """One client asks one node."""
    workload = Workload(name="asked", requests=lambda rng: iter(requests), clients=1)
    rng = random.Random(1)
    await drive(workload, client, cluster, cluster.recorder, rng=rng, clock=world.clock, seconds=100, nodes=[node])


def _adds(count: int) -> list[Request]:
    return [Request(f="add", key=f"item{number}", value=1) for number in range(count)]


@pytest.mark.usefixtures("simulated")
def test_an_operation_asks_no_other_node_and_a_write_forces_once() -> None:
    world = World(system(nodes=3), 1, model=Model.unit())

    async def story() -> list[tuple[str, int, int]]:
        cluster = await world.start()
        since = await cluster.relay.mark()
        await _ask(world, cluster, [*_adds(20), Request(f="remove", key="item3"), Request(f="read"), *_adds(5)], "n2")
        paths = (await cluster.ledger(since)).paths
        return [(op.f, paths[op.id].delays, paths[op.id].forced_writes) for op in cluster.recorder.all()]

    costs = Counter(world.run(story()))
    world.close()

    assert costs == {("add", 0, 1): 25, ("remove", 0, 1): 1, ("read", 0, 0): 1}


@pytest.mark.usefixtures("simulated")
def test_an_operation_asked_twice_is_done_once_also_across_a_crash() -> None:
    """What a client does that got no answer: it asks the same node again, under the same id."""
    world = World(system(nodes=3), 1, model=Model.unit())

    async def story() -> dict[str, int]:
        cluster = await world.start()
        shopper = CartClient(cluster, "n2")
        add, read = (Call(id=7, request=_adds(1)[0], timeout_s=5.0), Call(id=8, request=Request(f="read"), timeout_s=5.0))
        await shopper.call(add)
        await shopper.call(add)
        await (await cluster.kill("n2")).undo()
        await shopper.call(add)
        cart: dict[str, int] = await shopper.call(read)
        return cart

    cart = world.run(story())
    world.close()

    assert cart == {"item0": 1}


async def _sync_bytes(world: World, items: int) -> tuple[int, int]:
    """Bytes of deltas between nodes: for one more add to a cart of so many items, and for a node that begins anew."""
    cluster = await world.start()
    await _ask(world, cluster, _adds(items), "n1")
    await world.clock.sleep(3)
    marks = [await cluster.relay.mark()]
    await _ask(world, cluster, [Request(f="add", key="one more", value=1)], "n1")
    await world.clock.sleep(3)
    marks.append(await cluster.relay.mark())
    await (await cluster.kill("n3")).undo()
    await world.clock.sleep(3)
    marks.append(await cluster.relay.mark())
    return _delta_bytes(await cluster.ledger(*marks[:2])), _delta_bytes(await cluster.ledger(*marks[1:]))


def _delta_bytes(ledger: Ledger) -> int:
    return sum(message.size_bytes for message in ledger.messages if message.message_class == "delta")


@pytest.mark.usefixtures("simulated")
def test_a_sync_costs_what_is_new_whatever_is_in_the_cart() -> None:
    """Slope of bytes against items: 0 for deltas (a number or two gets longer); a node that begins anew needs everything."""
    sizes = {}
    for items in (50, 250):
        world = World(system(nodes=3), 1, model=Model.unit())
        sizes[items] = world.run(_sync_bytes(world, items))
        world.close()
    delta_slope, whole_slope = ((sizes[250][kind] - sizes[50][kind]) / 200 for kind in (0, 1))

    assert abs(delta_slope) < 0.1
    assert whole_slope > 50


async def _spreading_ms(world: World, name: str) -> float:
    """How long an add takes to every node, by the last first delta that one got."""
    cluster = await world.start()
    await world.clock.sleep(2)
    since, asked_ns = await cluster.relay.mark(), world.clock.now_ns()
    await _ask(world, cluster, _adds(1), name)
    await world.clock.sleep(2)
    deltas = [message for message in (await cluster.ledger(since)).messages if message.message_class == "delta"]
    first = {message.receiver: message.delivered_ns or 0 for message in reversed(deltas)}
    assert set(first) >= set(cluster.nodes) - {name}
    return max(time_ns for node, time_ns in first.items() if node != name) / 1e6 - asked_ns / 1e6


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize(("nodes", "hops"), [(3, 1), (12, 2)])
def test_an_add_is_everywhere_after_as_many_periods_as_it_has_hops(nodes: int, hops: int) -> None:
    """A hop takes at most a period, a delay and the forced write."""
    world = World(system(nodes=nodes, sync_ms=100), 2, model=Model.unit())
    took_ms = world.run(_spreading_ms(world, "n1"))
    world.close()

    assert took_ms <= hops * (100 + 2)


def test_it_holds_under_all_faults_and_any_single_node_goes_on() -> None:
    scenario = Scenario(
        system=system(nodes=3), workload=carts(rate_per_s=30), faults=FAULTS, seconds=9, progress=Progress(within_s=5)
    )

    found = explore(scenario, range(8), nodes=system().node_names, keep_going=True)

    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


@pytest.mark.parametrize("name", ["K7", "K11", "K12", "K14", "G1"])
def test_a_mutant_is_caught(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS.mutants if mutant.name == name)

    assert_caught(MUTANTS, mutant, seeds=20)
