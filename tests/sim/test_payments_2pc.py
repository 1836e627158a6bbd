"""The payment service in the simulator: its cost is the floor, blocking ends, no false alarm, bugs are caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_coordchaos import Call, Failed, Lose, Request, System
from pytest_coordchaos.cost.critical_path import CriticalPath
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.mutants.asserting import assert_caught
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario
from pytest_coordchaos.simulation.world import Model, World
from reference_systems.payments_2pc.client import PaymentClient
from reference_systems.payments_2pc.mutants import MUTANTS, broken
from reference_systems.payments_2pc.system import status, system
from reference_systems.payments_2pc.workload import transfers

UNIT_NS = 1_000_000
BACK_S = 1.0
"""Within so long of a coordinator's return nobody is in doubt any more (the README says so)."""

EVERYTHING = (
    "partition:halves",
    "partition:majorities-ring",
    "hold:halves",
    "isolate:one",
    "kill:one",
    "kill:minority",
    "power-loss:one",
    "pause:one",
    "slow:20",
    "lose:10",
    "duplicate",
    "reorder",
    "corrupt:5",
    "drop-replies:one",
)
_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}


pytestmark = pytest.mark.usefixtures("simulated")


class Cost:
    """What one operation cost in a world where a message takes one unit and all else is free."""

    def __init__(self, made: System, *requests: Request) -> None:
        self.answer: object = None
        self.claimed: list[Mapping[str, Any]] = []
        """What the coordinator of the lessons believed after each time that the request was made."""
        self._requests = requests
        world = World(made, 1, model=Model.unit())
        ledger: Ledger = world.run(self._story(world))
        world.close()
        between = [one for one in ledger.messages if {one.sender, one.receiver} <= set(made.node_names)]
        self.messages = Counter(one.message_class for one in between)
        self.forced = Counter(one.node for one in ledger.forced_writes)
        self.path: CriticalPath = ledger.paths[1]
        begun_ns = self.path.steps[0].ended_ns
        self.over = max(((one.delivered_ns or 0) - begun_ns) // UNIT_NS for one in between)
        self.unattributed = [one for one in between if not one.operations]
        self.sent_bytes = sum(one.size_bytes for one in between)

    async def _story(self, world: World) -> Ledger:
        cluster = await world.start()
        await world.clock.sleep(1.0)
        client, since = PaymentClient(cluster, "n1"), await cluster.relay.mark()
        for number, request in enumerate(self._requests, start=1):
            try:
                self.answer = await client.call(Call(id=number, request=request, timeout_s=5.0))
            except Failed as error:
                self.answer = error
            await world.clock.sleep(0.1)
            self.claimed.append(await status(cluster.probe("n1")))
        client.close()
        return await cluster.ledger(since)


def _pay(*accounts: str, payer: str = "a1", each: int = 1) -> Request:
    legs = [[payer, -each * len(accounts)], *([account, each] for account in accounts)]
    return Request(f="transfer", key="k", value=legs)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_commit_costs_4k_messages_2_delays_to_the_decision_and_4_to_the_last_ack(k: int) -> None:
    """k enlisted participants, apart from the coordinator: 4k messages, 2k+1 forced writes, 2 of them before the answer."""
    cost = Cost(system(nodes=5), _pay(*(f"a{number}" for number in range(2, k + 1))))

    assert cost.messages == {"prepare": k, "vote": k, "commit": k, "ack": k}
    assert (cost.path.delays, cost.path.forced_writes) == (2, 2)
    assert cost.over == 4
    assert cost.forced.total() == 2 * k + 1
    assert cost.unattributed == []


def test_a_coordinator_that_is_a_participant_sends_itself_nothing() -> None:
    """4(k-1) messages for k enlisted, the coordinator one of them, whoever it is."""
    for made in (system(nodes=4, coordinator="each"), system(nodes=4, coordinator_holds_accounts=True)):
        cost = Cost(made, _pay("a2", "a3"))

        assert cost.messages == {"prepare": 2, "vote": 2, "commit": 2, "ack": 2}
        assert (cost.path.delays, cost.over) == (2, 4)


@pytest.mark.parametrize("k", [2, 4])
def test_presumed_abort_with_one_no_costs_3k_less_1_and_the_coordinator_writes_nothing(k: int) -> None:
    cost = Cost(system(nodes=5), _pay(*(f"a{number}" for number in range(2, k + 1)), each=1000))

    assert "insufficient" in str(cost.answer)
    assert cost.messages == {"prepare": k, "vote": k, "abort": k - 1}
    assert (cost.forced.total(), cost.forced["n1"]) == (k - 1, 0)
    assert cost.path.delays == 2


def test_presumed_commit_needs_no_acks_of_commits() -> None:
    """3k messages and k+2 forced writes; aborts are acknowledged instead."""
    cost = Cost(system(nodes=5, presumed="commit"), _pay("a2", "a3"))
    refused = Cost(system(nodes=5, presumed="commit"), _pay("a2", "a3", each=1000))

    assert cost.messages == {"prepare": 3, "vote": 3, "commit": 3}
    assert (cost.forced.total(), cost.forced["n1"], cost.path.delays) == (5, 2, 2)
    assert refused.messages == {"prepare": 3, "vote": 3, "abort": 2, "ack": 2}


def test_read_only_participants_are_told_no_decision() -> None:
    """m of k only have to exist: 4k-2m messages, 2(k-m)+1 forced writes; a balance takes 2 messages and no write."""
    witness = Request(f="transfer", key="k", value=[["a1", -1], ["a2", 1], ["a3", 0]])
    cost = Cost(system(nodes=5, read_only=True), witness)
    balance = Cost(system(nodes=5, read_only=True), Request(f="balance", key="a1"))

    assert cost.messages == {"prepare": 3, "vote": 3, "commit": 2, "ack": 2}
    assert cost.forced.total() == 5
    assert balance.answer == 100
    assert (balance.messages, balance.path.delays, balance.forced.total()) == ({"prepare": 1, "vote": 1}, 2, 0)


def test_the_coordinator_from_the_lessons_takes_4k_delays_and_counts_half_of_its_messages() -> None:
    """It asks one after the other, writes nothing down, and believes in 2k messages where 4k are on the wire."""
    k = 4
    cost = Cost(broken("SOURCE", nodes=5), _pay("a2", "a3", "a4"))

    assert cost.messages.total() == 4 * k
    assert cost.path.delays == 4 * k
    assert cost.claimed[0]["claimed_messages"] == 2 * k
    assert 2 * cost.claimed[0]["claimed_bytes"] < cost.sent_bytes
    assert cost.forced["n1"] == 0


def test_the_coordinator_from_the_lessons_gives_running_totals_and_counts_no_abort() -> None:
    """What it says of the second transaction is the sum of both; the third, refused, costs messages, and nothing in its books."""
    first, second = _pay("a2", "a3"), Request(f="transfer", key="l", value=[["a1", -1], ["a2", 1]])
    refused = Request(f="transfer", key="m", value=[["a4", -1000], ["a2", 500], ["a3", 500]])
    cost = Cost(broken("SOURCE", nodes=5), first, second, refused)

    assert "insufficient" in str(cost.answer)
    assert [said["claimed_messages"] for said in cost.claimed] == [6, 10, 10]
    assert cost.messages["prepare"] == 3 + 2 + 1


def _in_world(made: System, story: Callable[[World, Any], Any]) -> Any:
    world = World(made, 1)

    async def work() -> Any:
        return await story(world, await world.start())

    try:
        return world.run(work(), limit_s=200)
    finally:
        world.close()


async def _ask(cluster: Any, node: str, request: Request) -> Any:
    client = PaymentClient(cluster, node)
    try:
        return await client.call(Call(id=1, request=request, timeout_s=5.0))
    finally:
        client.close()


async def _in_doubt(cluster: Any) -> Mapping[str, float]:
    """What n2 says that it waits for."""
    return dict((await status(cluster.probe("n2")))["in_doubt"])


def test_a_participant_in_doubt_says_for_how_long_and_stops_soon_after_its_coordinator_is_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Blocking is what two-phase commit does; here one can see it, and it ends."""

    async def story(world: World, cluster: Any) -> tuple[Mapping[str, float], Mapping[str, float], dict[str, Any]]:
        await cluster.apply(Lose("n1", "n2", rate=1.0, classes=frozenset({"commit"})))
        await _ask(cluster, "n1", _pay("a2"))
        killed = await cluster.kill("n1")
        await world.clock.sleep(20.0)
        blocked = await _in_doubt(cluster)
        for handle in cluster.handles:
            if handle is not killed:
                await handle.undo()
        await killed.undo()
        await world.clock.sleep(BACK_S)
        return blocked, await _in_doubt(cluster), await _ask(cluster, "n2", Request(f="accounts"))

    blocked, later, report = _in_world(system(), story)

    assert [seconds > 19.0 for seconds in blocked.values()] == [True]
    assert later == {}
    assert report["balances"]["a1"] == 99
    said = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == ["n1.1.1 is in doubt for 1.0 s", "n1.1.1 is decided"]


def test_the_source_coordinator_leaves_others_prepared_when_one_does_not_answer() -> None:
    """No timeout: what the first participant promised stays locked for as long as the second is away."""

    async def story(world: World, cluster: Any) -> list[int]:
        await cluster.kill("n3")
        with pytest.raises((TimeoutError, Failed)):
            await _ask(cluster, "n1", _pay("a2"))
        await world.clock.sleep(20.0)
        return [len(await _in_doubt(cluster))]

    assert _in_world(broken("SOURCE"), story) == [1]
    assert _in_world(system(), story) == [0]


def test_an_abort_that_nobody_acknowledges_is_not_taken_for_a_dead_connection() -> None:
    """With presumed abort it has no answer; the next question goes over the same connection, and is not lost with it."""

    async def story(world: World, cluster: Any) -> float:
        with pytest.raises(Failed):
            await _ask(cluster, "n1", _pay("a2", payer="a4", each=1000))
        with pytest.raises(Failed):
            await _ask(cluster, "n1", _pay("a2", payer="a1", each=1000))
        await world.clock.sleep(3.0)
        begun_ns = world.clock.now_ns()
        await _ask(cluster, "n1", _pay("a2"))
        return (world.clock.now_ns() - begun_ns) / 1e9

    assert _in_world(system(), story) < 0.3


@pytest.mark.parametrize(
    "options",
    [{}, {"coordinator": "each"}, {"coordinator": "each", "presumed": "commit", "read_only": True}],
    ids=["one-coordinator", "each", "presumed-commit"],
)
def test_no_false_alarm_with_every_fault(options: dict[str, Any]) -> None:
    """AC1 to AC5, money conserved, reads explained, no charge twice, no lock left; in the end nobody is in doubt."""
    scenario = Scenario(
        system=system(4, **options),
        workload=transfers(rate_per_s=30),
        faults=EVERYTHING,
        seconds=8.0,
        progress=Progress(within_s=60.0),
    )
    found = explore(scenario, range(4), nodes=scenario.system.node_names, jobs=1, keep_going=True, sample=0)

    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


@pytest.mark.parametrize("name", ["T1", "T13"])
def test_mutants_are_caught(name: str) -> None:
    assert_caught(MUTANTS, _MUTANT[name], seeds=20)


def test_every_mutant_of_the_list_is_here_or_it_is_said_why_not() -> None:
    names = {mutant.name for mutant in MUTANTS.mutants} | set(MUTANTS.not_here)

    assert names == {f"T{number}" for number in range(1, 19)} | {"SOURCE"}
