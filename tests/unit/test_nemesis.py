"""The nemesis on a scripted in-memory cluster, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from pytest_coordchaos.errors import FaultError, StartError, UsageError
from pytest_coordchaos.faults.model import Fault, Partition, Pause, SlowAll
from pytest_coordchaos.faults.nemesis import carry_out
from pytest_coordchaos.faults.plan import Plan, PlanEvent, draw
from pytest_coordchaos.faults.resolve import describe
from pytest_coordchaos.faults.triggers import Trigger
from pytest_coordchaos.faults.words import Aim
from pytest_coordchaos.run import RunFault
from tests.unit.virtual_time import VirtualClock, run

NODES = ("n1", "n2", "n3", "n4", "n5")


@dataclass
class Applied:
    """A fault in force on the scripted cluster."""

    cluster: ScriptedCluster
    fault: Fault
    verified: bool
    in_force: bool = True

    async def undo(self) -> None:
        await asyncio.sleep(self.cluster.undo_s)
        if self.in_force:
            self.in_force = False
            self.cluster.remove(self.fault)


@dataclass
class Held:
    """The message that set off a trigger."""

    cluster: ScriptedCluster

    async def release(self) -> None:
        self.cluster._note("release")


@dataclass
class PowerLost:
    """A machine without power."""

    cluster: ScriptedCluster
    node: str
    verified: bool = True

    async def undo(self) -> None:
        await self.cluster.restart(self.node)


@dataclass
class ScriptedCluster:
    """Keeps the fault set and node states, and the log of what was done when."""

    leader: Callable[[float], str | None] = lambda now_s: "n3"
    proven: bool = True
    apply_s: float = 0.0
    undo_s: float = 0.0
    restart_s: float = 0.0
    comes_s: float = 0.5
    fails_to_apply: Exception | None = None
    fails_to_restart: Exception | None = None
    nodes: tuple[str, ...] = NODES
    faults: list[Fault] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NODES, "running"))
    log: list[tuple[float, str]] = field(default_factory=list)
    started_s: float = 1000.0

    def state(self, node: str) -> str:
        return self.states[node]

    async def role(self, name: str) -> str | None:
        assert name == "leader"
        return self.leader(self._now())

    async def apply(self, fault: Fault) -> Applied:
        await asyncio.sleep(self.apply_s)
        if self.fails_to_apply is not None:
            raise self.fails_to_apply
        self.faults.append(fault)
        if isinstance(fault, Pause):
            self.states[fault.node] = "paused"
        self._note(describe(fault))
        return Applied(self, fault, self.proven)

    async def kill(self, node: str) -> None:
        assert self.states[node] != "dead"
        self.states[node] = "dead"
        self._note(f"kill {node}")

    async def lose_power(self, node: str) -> PowerLost:
        self.states[node] = "dead"
        self._note(f"power-loss {node}")
        return PowerLost(self, node)

    async def when(self, trigger: Trigger, timeout_s: float) -> Held | None:
        await asyncio.sleep(min(self.comes_s, timeout_s))
        return None if self.comes_s > timeout_s else Held(self)

    async def restart(self, node: str) -> None:
        await asyncio.sleep(self.restart_s)
        if self.fails_to_restart is not None:
            raise self.fails_to_restart
        assert self.states[node] == "dead"
        self.states[node] = "running"
        self._note(f"restart {node}")

    def remove(self, fault: Fault) -> None:
        self.faults.remove(fault)
        if isinstance(fault, Pause):
            self.states[fault.node] = "running"
        self._note(f"undo {describe(fault)}")

    @property
    def healthy(self) -> bool:
        return not self.faults and set(self.states.values()) == {"running"}

    def _now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.started_s, 3)

    def _note(self, what: str) -> None:
        self.log.append((self._now(), what))


def event(word: str, start_s: float = 1.0, duration_s: float = 2.0, number: int = 1, **aim: object) -> PlanEvent:
    """One event of a plan; it waits for its trigger as long as it lasts."""
    times = {"start_s": start_s, "duration_s": duration_s, "wait_s": duration_s if "@" in word else 0.0}
    return PlanEvent(id=f"{number}-{word}", word=word, aim=Aim(**aim), **times)  # type: ignore[arg-type]  # the tests' own fields


def carried(cluster: ScriptedCluster, *events: PlanEvent, record: list[RunFault] | None = None) -> tuple[RunFault, ...]:
    """Carry out a plan of these events from the loop's beginning."""
    plan = Plan(seconds=10.0, nodes=NODES, events=events)
    tell = None if record is None else record.append
    return run(carry_out(plan, cluster, VirtualClock(), int(1000e9), record=tell))


def times(fault: RunFault) -> tuple[float, float]:
    """When it was in force, in seconds from the start."""
    assert fault.end_ns is not None
    return round(fault.start_ns / 1e9 - 1000, 3), round(fault.end_ns / 1e9 - 1000, 3)


@pytest.mark.parametrize(
    ("one", "done"),
    [
        (
            event("partition:halves", groups=(frozenset(("n1",)), frozenset(("n2", "n3")))),
            ["partition {n1} | {n2,n3}", "undo partition {n1} | {n2,n3}"],
        ),
        (event("isolate:n2", nodes=("n2",)), ["partition {n2} | {n1,n3,n4,n5}", "undo partition {n2} | {n1,n3,n4,n5}"]),
        (event("pause:n2", nodes=("n2",)), ["pause n2", "undo pause n2"]),
        (event("kill:minority", nodes=("n2", "n4")), ["kill n2", "kill n4", "restart n4", "restart n2"]),
        (
            event("hold:halves", groups=(frozenset(("n1",)), frozenset(("n2", "n3")))),
            ["hold partition {n1} | {n2,n3}", "undo hold partition {n1} | {n2,n3}"],
        ),
        (
            event("drop-replies:n2", nodes=("n2",)),
            [f"drop replies of n2 to {other}" for other in ("n1", "n3", "n4", "n5")]
            + [f"undo drop replies of n2 to {other}" for other in ("n5", "n4", "n3", "n1")],
        ),
        (event("power-loss:n2", nodes=("n2",)), ["power-loss n2", "restart n2"]),
        (event("skew:n2", nodes=("n2",), offset_s=-2.5), [f"{undo}skew clock of n2 by -2.5 s" for undo in ("", "undo ")]),
        (event("jump:n2", nodes=("n2",), offset_s=60.0), [f"{undo}jump clock of n2 by +60 s" for undo in ("", "undo ")]),
        (event("drift:n2", nodes=("n2",), clock_rate=0.97), [f"{undo}drift clock of n2 at rate 0.97" for undo in ("", "undo ")]),
        (
            event("slow-disk:80", nodes=("n2",), sync_ms=80.0),
            [f"{undo}slow disk of n2 by 80 ms a sync" for undo in ("", "undo ")],
        ),
        (event("full-disk:n2", nodes=("n2",)), [f"{undo}full disk of n2" for undo in ("", "undo ")]),
        (event("lose", rate=0.25), [f"{undo}lose 25 % of frames between n1,n2,n3,n4,n5" for undo in ("", "undo ")]),
        (event("slow", one_way_ms=50.0), [f"{undo}slow all links between n1,n2,n3,n4,n5 by 50 ms" for undo in ("", "undo ")]),
    ],
    ids=lambda value: value.word if isinstance(value, PlanEvent) else "",
)
def test_each_verb_is_done_at_its_time_and_undone_at_its_end(one: PlanEvent, done: list[str]) -> None:
    cluster = ScriptedCluster()
    (fault,) = carried(cluster, one)
    half = len(done) // 2
    assert cluster.log == [(1.0, what) for what in done[:half]] + [(3.0, what) for what in done[half:]]
    assert (fault.id, fault.verified, fault.note, times(fault)) == (one.id, True, "", (1.0, 3.0))
    assert fault.words == "; ".join(done[:half])
    assert cluster.healthy


def test_a_trigger_begins_the_fault_which_lasts_from_then_on_and_only_then_lets_the_message_go() -> None:
    cluster = ScriptedCluster(comes_s=0.5)
    first, second = carried(cluster, event("kill:n1@vote#3", nodes=("n1",)), event("pause:n2", 5.0, 1.0, 2, nodes=("n2",)))
    assert cluster.log[:3] == [(1.5, "kill n1"), (1.5, "release"), (3.5, "restart n1")]
    assert (first.verified, times(first), times(second)) == (True, (1.5, 3.5), (5.0, 6.0))


def test_a_trigger_that_never_came_proves_nothing() -> None:
    cluster = ScriptedCluster(comes_s=9.0)
    (fault,) = carried(cluster, event("kill:n1@vote#3", nodes=("n1",)))
    assert (fault.verified, fault.note) == (False, "'vote#3' did not come within 2.0 s")
    assert cluster.log == []


def test_a_fault_that_is_refused_lets_the_message_go() -> None:
    cluster = ScriptedCluster(fails_to_apply=FaultError("no"))
    (fault,) = carried(cluster, event("slow@leader", one_way_ms=5.0))
    assert (fault.verified, cluster.log) == (False, [(1.5, "release")])


def test_the_leader_is_asked_for_when_the_event_begins() -> None:
    cluster = ScriptedCluster(leader=lambda now_s: "n1" if now_s < 1.0 else "n4")
    (fault,) = carried(cluster, event("pause:leader", role="leader"))
    assert (fault.words, fault.note, fault.verified) == ("pause n4", "leader was n4", True)


def test_a_leader_that_is_elected_meanwhile_is_hit_until_the_same_end() -> None:
    cluster = ScriptedCluster(leader=lambda now_s: None if now_s < 1.5 else "n2")
    (fault,) = carried(cluster, event("isolate:leader", role="leader"))
    assert times(fault) == pytest.approx((1.5, 3.0), abs=0.06)
    assert fault.verified


def test_without_a_leader_nobody_is_guessed_and_nothing_is_proven() -> None:
    cluster = ScriptedCluster(leader=lambda now_s: None)
    (fault,) = carried(cluster, event("kill:leader", duration_s=1.0, role="leader"))
    assert (fault.verified, fault.words, fault.note) == (False, "kill:leader", "nobody held the role leader for 1.0 s")
    assert cluster.log == []


def test_a_fault_whose_probe_saw_nothing_is_not_verified_and_still_undone() -> None:
    cluster = ScriptedCluster(proven=False)
    (fault,) = carried(cluster, event("slow", one_way_ms=50.0))
    assert not fault.verified
    assert "its probe did not see it" in fault.note
    assert cluster.healthy


def test_a_refused_fault_is_recorded_and_the_plan_goes_on() -> None:
    cluster = ScriptedCluster(fails_to_apply=FaultError("the relay said no\nand more"))
    first, second = carried(cluster, event("slow", one_way_ms=50.0), event("kill:n1", 4.0, 1.0, 2, nodes=("n1",)))
    assert (first.verified, first.note) == (False, "the relay said no")
    assert second.verified


@pytest.mark.parametrize("verb", ["kill", "pause", "power-loss", "skew"])
def test_a_node_that_is_dead_already_is_left_to_whoever_killed_it(verb: str) -> None:
    cluster = ScriptedCluster()
    cluster.states["n2"] = "dead"
    (fault,) = carried(cluster, event(f"{verb}:n2", nodes=("n2",)))
    assert (fault.verified, fault.note) == (False, "n2 was dead already")
    assert cluster.states["n2"] == "dead"


def test_a_node_that_was_restarted_by_hand_is_not_started_twice() -> None:
    cluster = ScriptedCluster()

    async def both() -> tuple[RunFault, ...]:
        asyncio.get_running_loop().call_later(2.0, cluster.states.__setitem__, "n2", "running")
        plan = Plan(seconds=10.0, events=(event("kill:n2", nodes=("n2",)),))
        return await carry_out(plan, cluster, VirtualClock(), int(1000e9))

    (fault,) = run(both())
    assert fault.verified
    assert cluster.log == [(1.0, "kill n2")]


def test_a_slow_restart_delays_the_next_fault_instead_of_overlapping_it() -> None:
    cluster = ScriptedCluster(restart_s=2.0)
    first, second = carried(cluster, event("kill:n1", nodes=("n1",)), event("pause:n2", 3.5, 3.0, 2, nodes=("n2",)))
    assert (times(first), times(second)) == ((1.0, 5.0), (5.0, 6.5))


def test_events_that_overlap_in_the_plan_overlap() -> None:
    cluster = ScriptedCluster()
    carried(cluster, event("pause:n1", 1.0, 3.0, nodes=("n1",)), event("kill:n2", 2.0, 1.0, 2, nodes=("n2",)))
    assert cluster.log == [(1.0, "pause n1"), (2.0, "kill n2"), (3.0, "restart n2"), (4.0, "undo pause n1")]


def test_two_events_that_end_together_undo_only_their_own() -> None:
    cluster = ScriptedCluster()
    carried(cluster, event("slow", one_way_ms=50.0), event("slow", number=2, one_way_ms=50.0))
    assert cluster.healthy
    assert [what for _, what in cluster.log].count("undo " + describe(SlowAll(frozenset(NODES), 50.0))) == 2


@pytest.mark.parametrize("cancel_s", [0.5, 1.05, 2.0, 3.05])
def test_cancelled_at_any_moment_every_fault_is_undone_first(cancel_s: float) -> None:
    """Before it, while it is being applied, while in force, while it is being undone; and cancelled twice."""
    cluster, told = ScriptedCluster(apply_s=0.1, undo_s=0.1), list[RunFault]()
    plan = Plan(seconds=10.0, events=(event("isolate:n1", nodes=("n1",)), event("pause:n2", 1.0, 2.0, 2, nodes=("n2",))))

    async def cancelled() -> None:
        task = asyncio.create_task(carry_out(plan, cluster, VirtualClock(), int(1000e9), record=told.append))
        await asyncio.sleep(cancel_s)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())
    assert cluster.healthy
    assert len(told) == (0 if cancel_s < 1.0 else 2)


def test_a_node_that_does_not_start_again_is_an_error_and_the_rest_is_undone() -> None:
    cluster, told = ScriptedCluster(fails_to_restart=StartError("n1 exited with 3")), list[RunFault]()
    with pytest.raises(StartError, match="n1 exited with 3"):
        carried(
            cluster,
            event("pause:n2", 0.5, 8.0, nodes=("n2",)),
            event("kill:n1", number=2, nodes=("n1",)),
            event("slow", 9.0, 0.5, 3, one_way_ms=50.0),
            record=told,
        )
    assert cluster.faults == []
    assert [fault.note for fault in told] == ["undo failed: n1 exited with 3", ""]


def test_a_plan_that_does_not_fit_the_cluster_is_an_error() -> None:
    cluster = ScriptedCluster(fails_to_apply=UsageError("no node 'n9'"))
    with pytest.raises(UsageError, match="no node 'n9'"):
        carried(cluster, event("pause:n1", nodes=("n1",)))


def test_a_drawn_plan_leaves_a_healthy_cluster_and_records_all_of_it() -> None:
    words: Sequence[str] = ("partition:majorities-ring", "isolate:minority", "pause:leader", "kill:one", "slow")
    plan = draw(words, NODES, 30.0, 11)
    cluster = ScriptedCluster(apply_s=0.01, undo_s=0.01, restart_s=0.2)
    faults = run(carry_out(plan, cluster, VirtualClock(), int(1000e9)))
    assert [fault.id for fault in faults] == [one.id for one in plan.events]
    assert all(fault.verified for fault in faults)
    assert cluster.healthy
    assert any(isinstance(one.aim.groups, tuple) and Partition(one.aim.groups) for one in plan.events)
